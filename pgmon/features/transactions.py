"""Sessions in a transaction: how old, how idle (pg_stat_activity)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from pgmon.config import Config
from pgmon.feature import Before, Feature, Tier, detail, gauge, row
from pgmon.redact import redact
from pgmon.rule import Over, Rule

IDLE = ("idle in transaction", "idle in transaction (aborted)")
SHOWN = 50  # sessions on the page


@row
class Open:
    """A client session in a transaction."""

    pid: int = detail("Process id.")
    db: str = detail("Database.")
    application: str = detail("application_name.")
    state: str = detail("State.")
    wait: str = detail("What it waits for; '' when it does not.")
    xact_seconds: float = detail("Age of its transaction.", "seconds")
    state_seconds: float | None = detail("How long it is in its state.", "seconds")
    query_seconds: float | None = detail("How long its statement runs.", "seconds")
    xmin_age: int | None = detail("Transactions begun since its snapshot.")
    maintenance: bool = detail("It vacuums, clusters or builds an index.")
    now: float = detail("The server's time, seconds since 1970.")
    query: str = detail("Its statement, the latest when it is idle.")


@row
class Transactions:
    """The oldest transaction, statement and idle transaction of clients; VACUUM and index builds are left out."""

    longest: float = gauge("pg_longest_transaction_seconds", "Age of the oldest transaction of a client.", "seconds")
    unexpected: float = gauge(
        "pg_longest_unexpected_transaction_seconds",
        "Age of the oldest transaction that alerts.ignore does not overlook.",
        "seconds",
    )
    pid: int | None = detail("Process id of that session.")
    state: str = detail("State of that session.")
    application: str = detail("application_name of that session.")
    xact_db: str = detail("Database of that session.")
    query: float = gauge("pg_longest_query_seconds", "How long the longest running statement runs.", "seconds")
    sessions: int = detail("Sessions in a transaction.")


@row
class Idle:
    """The client session that idles longest in a transaction: nothing runs, and its locks and its snapshot stay."""

    longest: float = gauge(
        "pg_longest_idle_in_transaction_seconds", "Longest time that a session idles in a transaction.", "seconds"
    )
    unexpected: float = gauge(
        "pg_longest_unexpected_idle_in_transaction_seconds",
        "The same without those that alerts.ignore overlooks.",
        "seconds",
    )
    pid: int | None = detail("Process id of that session.")
    application: str = detail("application_name of that session.")
    idle_db: str = detail("Database of that session.")
    xmin_age: int | None = detail("Transactions begun since its snapshot.")


@row
class Working:
    """Client sessions in a transaction, the oldest first."""

    pid: int = detail("Process id.")
    db: str = detail("Database.")
    application: str = detail("application_name.")
    state: str = detail("State.")
    wait: str = detail("What it waits for.")
    xact_seconds: float = detail("Age of its transaction.", "seconds")
    state_seconds: float | None = detail("How long it is in its state.", "seconds")
    xmin_age: int | None = detail("Transactions begun since its snapshot, whose dead rows it keeps.")
    query: str = detail("Its statement, the latest when it is idle, literals withheld.")


def oldest(now: Sequence[Open], before: Before[Open, Transactions] | None, config: Config) -> list[Transactions]:
    """Find the oldest; with nobody in a transaction it is 0 s old."""
    clients = [s for s in now if not s.maintenance]
    odd = max((s for s in clients if not _overlooked("LongTransaction", s, _age(s), config)), key=_age, default=None)
    return [
        Transactions(
            longest=max(map(_age, clients), default=0.0),
            unexpected=odd.xact_seconds if odd else 0.0,
            pid=odd.pid if odd else None,
            state=odd.state if odd else "",
            application=odd.application if odd else "",
            xact_db=odd.db if odd else "",
            query=max((s.query_seconds or 0.0 for s in clients), default=0.0),
            sessions=len(now),
        )
    ]


def idlest(now: Sequence[Open], before: Before[Open, Idle] | None, config: Config) -> list[Idle]:
    """Find who idles longest; with nobody idle that is 0 s."""
    idle = sorted((s for s in now if s.state in IDLE), key=_idleness, reverse=True)
    odd = next((s for s in idle if not _overlooked("IdleInTransaction", s, _idleness(s), config)), None)
    longest = _idleness(idle[0]) if idle else 0.0
    if odd is None:
        return [Idle(longest, 0.0, None, "", "", None)]
    return [Idle(longest, _idleness(odd), odd.pid, odd.application, odd.db, odd.xmin_age)]


def _age(s: Open) -> float:
    return s.xact_seconds


def _idleness(s: Open) -> float:
    return s.state_seconds or 0.0


def _overlooked(alert: str, s: Open, age: float, config: Config) -> bool:
    """Tell whether the configuration expects this session, as it does backups for half a day."""
    return any(
        i.alert == alert
        and fnmatchcase(s.application, i.application or "*")
        and fnmatchcase(s.db, i.db or "*")
        and (i.under is None or age < i.under)
        and (i.until is None or datetime.fromtimestamp(s.now, UTC) < i.until)
        for i in config.alerts.ignore
    )


def working(now: Sequence[Open], before: Before[Open, Working] | None, config: Config) -> list[Working]:
    """Show the oldest, their texts redacted."""
    return [
        Working(
            s.pid, s.db, s.application, s.state, s.wait, s.xact_seconds, s.state_seconds, s.xmin_age, redact(s.query)
        )
        for s in now[:SHOWN]
    ]


TRANSACTIONS = Feature(
    "transactions",
    Tier.HOT_PATH,
    Open,
    Transactions,
    oldest,
    panel="activity",
    rules=(
        Rule(
            "LongTransaction",
            (Over("unexpected", "long_txn_warn_s", "long_txn_crit_s"),),
            hold=0,
            message="Txn {pid} age {unexpected:duration} (state={state}) of {application} in {xact_db}",
            pids=("pid",),
        ),
    ),
)
IDLEST = Feature(
    "idle_in_transaction",
    Tier.HOT_PATH,
    Open,
    Idle,
    idlest,
    of=TRANSACTIONS,
    panel="activity",
    rules=(
        Rule(
            "IdleInTransaction",
            (Over("unexpected", "idle_txn_warn_s", "idle_txn_crit_s"),),
            hold=0,
            message="{pid} ({application} in {idle_db}) idle in transaction for {unexpected:duration}",
            pids=("pid",),
        ),
    ),
)
SESSIONS = Feature("sessions", Tier.HOT_PATH, Open, Working, working, of=TRANSACTIONS, panel="activity")
