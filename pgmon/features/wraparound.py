"""How near xids and multixacts are to wraparound (pg_database, pg_class)."""

from __future__ import annotations

from collections.abc import Sequence

from pgmon.config import Config
from pgmon.feature import Before, Feature, Scope, Tier, detail, gauge, kept, label, row
from pgmon.rates import Trail, followed, per_second, sticky
from pgmon.rule import Over, Rule, Under

WINDOW = 86400.0  # seconds over which xids are counted: a day has its busy and its idle hours
OVERDUE = 1.2  # autovacuum begins to freeze at 1.0, and takes its time
DAY = 86400.0


@row
class Ages:
    """One row of pg_database, with the limits and the next xid of the server."""

    db: str = label("Database.")
    tx_age: int = detail("Age of the oldest unfrozen xid.")
    multixact_age: int = detail("Age of the oldest multixact.")
    freeze_ratio: float = detail("The greater of the two per age at which autovacuum freezes.")
    failsafe_ratio: float | None = detail("The same per age of vacuum's failsafe (from 14 on).")
    freeze_max_age: int = detail("Age in xids at which autovacuum freezes.")
    failsafe_age: int | None = detail("Age in xids at which vacuum's failsafe begins (from 14 on).")
    stop_age: int = detail("Age in xids at which the server assigns no more.")
    next_xid: int = detail("The next xid, epoch included.")


@row
class Wraparound:
    """How old the oldest xid and the oldest multixact of each database are; at 2.1 billion the server stops."""

    db: str = label("Database.")
    tx_age: int = gauge("pg_wraparound_tx_age", "Age of the oldest unfrozen xid of a database.")
    multixact_age: int = gauge("pg_wraparound_multixact_age", "Age of the oldest multixact of a database.")
    freeze_ratio: float = gauge(
        "pg_wraparound_freeze_ratio",
        "Age of a database, in xids or multixacts, per age at which autovacuum must freeze: above 2 it does not keep "
        "up.",
        "ratio",
    )
    failsafe_ratio: float | None = gauge(
        "pg_wraparound_failsafe_ratio",
        "Age of a database, in xids or multixacts, per age at which vacuum drops all else to freeze (from 14 on).",
        "ratio",
    )
    overdue_seconds_left: float | None = gauge(
        "pg_wraparound_overdue_seconds_left",
        "Time until a database stops the server, at the pace of the last day; absent unless autovacuum is behind, by a "
        "fifth of autovacuum_freeze_max_age.",
        "seconds",
    )
    trail: Trail = kept("The next xid in the past.")


@row
class Runway:
    """How long until the oldest database reaches each limit, at the pace at which xids were used in the last day."""

    limit: str = label("freeze_max_age, failsafe or stop.")
    seconds_left: float | None = gauge(
        "pg_wraparound_seconds_left",
        "Time until the oldest database reaches a limit, at the pace of the last day; 0 when it has, absent while no "
        "xid is used.",
        "seconds",
    )
    at_age: int = detail("Age at which that is.")
    oldest: str = detail("The oldest database.")
    xids_per_second: float | None = detail("Xids used per second.")
    trail: Trail = kept("The next xid in the past.")


@row
class FreezeAge:
    """The tables with the oldest xids, which hold back their database; those of their TOAST count as theirs."""

    relation: str = label("Table, as schema.name.")
    freeze_age: int = gauge("pg_table_freeze_age", "Age of the oldest unfrozen xid of a table or of its TOAST.")
    of_toast: bool = detail("It is in the TOAST.")
    multixact_age: int = detail("Age of the oldest multixact.")


def trailed(now: Sequence[Ages], before: Before[Ages, Wraparound] | Before[Ages, Runway] | None) -> Trail:
    """Return the next xid now and in the last day, by the time since the first reading."""
    trail = before.rows[0].trail if before and before.rows else ()
    return followed(trail, before.elapsed if before else 0.0, now[0].next_xid, WINDOW) if now else ()


def pace(trail: Trail) -> float | None:
    """Return the xids used per second, None at first.

    >>> pace(((0.0, 1000), (3600.0, 8200)))
    2.0
    """
    if not trail:
        return None
    (start, first), (end, last) = trail[0], trail[-1]
    return per_second(last, first, end - start)


def left(age: int, limit: int, xids_per_second: float | None) -> float | None:
    """Return the seconds until an age reaches a limit: 0 when it has, None when it never will.

    >>> left(50, 200, 2.0), left(50, 200, 0.0), left(250, 200, None)
    (75.0, None, 0.0)
    """
    if age >= limit:
        return 0.0
    return (limit - age) / xids_per_second if xids_per_second else None


def databases(now: Sequence[Ages], before: Before[Ages, Wraparound] | None, config: Config) -> list[Wraparound]:
    """Return each database, with the time that is left where autovacuum is behind."""
    trail = trailed(now, before)
    return [
        Wraparound(
            d.db,
            d.tx_age,
            d.multixact_age,
            d.freeze_ratio,
            d.failsafe_ratio,
            left(d.tx_age, d.stop_age, pace(trail)) if d.tx_age > OVERDUE * d.freeze_max_age else None,
            trail,
        )
        for d in now
    ]


def runways(now: Sequence[Ages], before: Before[Ages, Runway] | None, config: Config) -> list[Runway]:
    """Return how far the oldest database is from each limit that this server has."""
    trail = trailed(now, before)
    oldest, rate = max(now, key=lambda d: d.tx_age), pace(trail)
    limits = {"freeze_max_age": oldest.freeze_max_age, "failsafe": oldest.failsafe_age, "stop": oldest.stop_age}
    return [
        Runway(limit, left(oldest.tx_age, age, rate), age, oldest.db, rate, trail)
        for limit, age in limits.items()
        if age is not None
    ]


def top(now: Sequence[FreezeAge], before: Before[FreezeAge, FreezeAge] | None, config: Config) -> list[FreezeAge]:
    """Return the oldest tables; who is among them stays for a while."""
    members = {f.relation for f in before.rows} if before else set()
    return sticky(now, lambda f: f.relation, (lambda f: f.freeze_age,), members, config.limits.top_relations)


WRAPAROUND = Feature(
    "wraparound",
    Tier.HOURLY,
    Ages,
    Wraparound,
    databases,
    panel="autovacuum",
    rules=(
        Rule(
            "WraparoundDanger",
            (Over("tx_age", "wraparound_warn", "wraparound_crit"),),
            hold=0,
            message="{db}: the oldest xid is {tx_age} old; at 2.1 billion the server stops",
        ),
        Rule(
            "WraparoundDanger",
            (Over("multixact_age", "wraparound_warn", "wraparound_crit"),),
            hold=0,
            message="{db}: the oldest multixact is {multixact_age} old; at 2.1 billion the server stops",
        ),
        Rule(
            "WraparoundDanger",
            (Over("failsafe_ratio", 1.0, 1.0),),
            hold=0,
            message="{db}: {tx_age} xids and {multixact_age} multixacts old, vacuum is in its failsafe",
        ),
        Rule(
            "WraparoundDanger",
            (Over("freeze_ratio", 2.0),),
            hold=0,
            message="{db}: {freeze_ratio:.1f} times the age at which autovacuum must freeze: it does not keep up",
        ),
        Rule(
            "WraparoundDanger",
            (Under("overdue_seconds_left", "wraparound_left_s", DAY),),
            hold=0,
            message="{db}: at this pace the server stops in {overdue_seconds_left:duration}, and autovacuum is behind",
        ),
    ),
)
WRAPAROUND_LIMITS = Feature("wraparound_limits", Tier.HOURLY, Ages, Runway, runways, of=WRAPAROUND, panel="autovacuum")
FREEZE = Feature("freeze", Tier.HOURLY, FreezeAge, FreezeAge, top, scope=Scope.DATABASE, panel="autovacuum")
