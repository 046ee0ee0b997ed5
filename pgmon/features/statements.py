"""Statements (pg_stat_statements): the sticky Top-N with the rest, the latency of all, our own cost, the texts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import fields, replace
from operator import attrgetter
from typing import Any

from pgmon.config import Config
from pgmon.feature import Before, Feature, Look, Params, Tier, counter, detail, feature, gauge, kept, label, row
from pgmon.quantile import mixture
from pgmon.rates import grown, sticky
from pgmon.redact import SHOWN, plain, redact

OTHER = "other"
REMEMBERED = 4  # times the limit: how many texts, and how many statements that left
Key = tuple[str, str]  # database, queryid


@row
class Counters:
    """What one statement did since it entered pg_stat_statements, all users but pgmon's together."""

    db: str = label("Database.")
    queryid: str = label("queryid of pg_stat_statements.")
    toplevel: bool = detail("Sent by a client, not by a function (known from 1.9 on, before: all).")
    own: bool = detail("Sent by pgmon's role.")
    calls: int = detail("Executions.")
    seconds: float = detail("Execution time.", "seconds")
    squares: float = detail("Sum of the squared execution times.")
    rows: int = detail("Rows returned or changed.")
    blks_hit: int = detail("Shared blocks found in the cache.")
    blks_read: int = detail("Shared blocks read from outside the cache.")
    temp_blks_written: int = detail("Temporary blocks written.")
    wal_bytes: int | None = detail("WAL generated (from 1.8 on).", "bytes")


@row
class Statement:
    """The statements that cost most, by time, calls or blocks read; 'other' is the growth of all the rest."""

    db: str = label("Database.")
    queryid: str = label("queryid of pg_stat_statements, or 'other'.")
    calls: float = counter("pg_stmt_calls_total", "Executions of a statement.")
    seconds: float = counter("pg_stmt_time_seconds_total", "Execution time of a statement.", "seconds")
    rows: float = counter("pg_stmt_rows_total", "Rows that a statement returned or changed.")
    blks_hit: float = counter("pg_stmt_shared_blks_hit_total", "Shared blocks that a statement found in the cache.")
    blks_read: float = counter(
        "pg_stmt_shared_blks_read_total", "Shared blocks that a statement read from outside the cache."
    )
    temp_blks_written: float = counter("pg_stmt_temp_blks_written_total", "Temporary blocks that a statement wrote.")
    wal_bytes: float | None = counter("pg_stmt_wal_bytes_total", "WAL that a statement generated.", "bytes")
    left: tuple[Statement, ...] = kept("Of 'other': what left the chosen ones, as it was last shown.")


@row
class Latency:
    """How long statements take: what clients sent since the previous reading, in all databases."""

    mean: float | None = gauge(
        "pg_query_latency_seconds_mean", "Mean execution time since the previous reading.", "seconds"
    )
    p95: float | None = gauge(
        "pg_query_latency_seconds_p95",
        "Estimated 95th percentile of the execution time since the previous reading, from means and deviations: "
        "pg_stat_statements has no histogram. Absent under 20 calls.",
        "seconds",
    )
    qps: float | None = gauge("pg_qps", "Statements per second that clients sent, since the previous reading.")


@row
class Cost:
    """What pgmon costs the server; execution only, so a lower bound."""

    own_seconds: float = counter(
        "pgmon_db_execution_seconds_total", "Execution time of pgmon's role, by pg_stat_statements.", "seconds"
    )
    share: float | None = gauge(
        "pgmon_db_share_ratio", "Share of pgmon's role in all execution time since the previous reading.", "ratio"
    )


@row
class Text:
    """The normalised texts of the statements shown, literals withheld unless security.redact_sql_text is off."""

    queryid: str = label("queryid of pg_stat_statements.")
    query: str = detail("Text.")


@row
class Health:
    """How full pg_stat_statements is: at its limit the statements that ran least are forgotten."""

    entries: int = gauge("pg_stmt_entries", "Entries in pg_stat_statements.")
    entries_max: int | None = gauge("pg_stmt_entries_max", "The setting pg_stat_statements.max.")
    dealloc: int | None = counter("pg_stmt_dealloc_total", "Times that the least used entries were evicted (14+).")


SUMS = tuple(f.name for f in fields(Statement) if f.name not in ("db", "queryid", "left"))  # in the order of fields
counted_of = attrgetter(*SUMS)


def key(c: Counters | Statement) -> Key:
    """Return the database and the queryid."""
    return c.db, c.queryid


def theirs(now: Iterable[Counters]) -> list[Counters]:
    """Return what others than pgmon sent."""
    return [c for c in now if not c.own]


def summed(now: Iterable[Counters]) -> dict[Key, Statement]:
    """Return each statement as counted, nested executions included."""
    found: dict[Key, Statement] = {}
    for c in now:
        s, counts = found.get(key(c)), counted_of(c)
        sums = zip(SUMS, map(_plus, counted_of(s), counts) if s else counts, strict=True)
        found[key(c)] = Statement(c.db, c.queryid, **dict(sums), left=())
    return found


def _plus(a: Any, b: Any) -> Any:
    return b if a is None else a if b is None else a + b


def top(now: Sequence[Counters], before: Before[Counters, Statement] | None, config: Config) -> list[Statement]:
    """Return the chosen statements, and per database the growth of all others.

    The sum of their increase() is what was executed, whoever comes and goes: what comes is as counted, and what it grew
    by until then is the growth of another; what comes back goes on from where it left.
    """
    before = before or Before(now, (), 0.0)  # at first nothing has grown
    now, shown = theirs(now), {key(s): s for s in before.rows}
    counted, prior = summed(now), summed(c for c in theirs(before.raw) if key(c) in shown)
    left = {key(s): s for other in before.rows for s in other.left}
    orders = (lambda s: s.seconds, lambda s: s.calls, lambda s: s.blks_read)
    chosen = {key(s): s for s in sticky(list(counted.values()), key, orders, shown, config.limits.top_queries)}
    members = [_continued(shown[k], s, prior[k]) if k in shown else left.get(k, s) for k, s in chosen.items()]
    gone = [s for k, s in {**shown, **left}.items() if s.queryid != OTHER and k not in chosen]
    return members + rest(now, before, chosen.keys() & shown.keys(), gone[: REMEMBERED * config.limits.top_queries])


def _continued(old: Statement, now: Statement, prior: Statement) -> Statement:
    return now if now.calls < prior.calls else _accumulated(old, now, prior)


def rest(
    now: Sequence[Counters], before: Before[Counters, Statement], staying: Collection[Key], left: Sequence[Statement]
) -> list[Statement]:
    """Accumulate what grew outside `staying`, nested executions left out: their time is in the caller's, too.

    Total minus members would jump whenever a member changes, and rate() would read that as a reset.
    """
    prior = {(key(c), c.toplevel): c for c in theirs(before.raw)}
    others = {s.db: s for s in before.rows if s.queryid == OTHER}
    for c in now:
        known = prior.get((key(c), True))
        if c.toplevel and key(c) not in staying and (c != known or c.db not in others):  # of thousands most are idle
            others[c.db] = _accumulated(others.get(c.db), c, known)
    return [replace(other, left=tuple(s for s in left if s.db == db)) for db, other in others.items()]


def _accumulated(old: Statement | None, now: Counters | Statement, prior: Counters | Statement | None) -> Statement:
    growth = {n: _grown(getattr(now, n), getattr(prior, n, None)) for n in SUMS}
    old = old or Statement(now.db, OTHER, 0, 0.0, 0, 0, 0, 0, None, ())
    return replace(old, **{n: _plus(getattr(old, n), growth[n]) for n in SUMS})


def _grown(now: Any, before: Any) -> Any:
    return None if now is None else grown(now, before)


def latency(now: Sequence[Counters], before: Before[Counters, Latency] | None, config: Config) -> list[Latency]:
    """Fit a log-normal distribution to what each statement did since the previous reading."""
    if before is None or before.elapsed <= 0:
        return [Latency(None, None, None)]
    prior = {key(c): c for c in theirs(before.raw) if c.toplevel}
    parts = [part for c in theirs(now) if c.toplevel and (part := _window(c, prior.get(key(c))))]
    calls = sum(n for n, _, _ in parts)
    mean = sum(n * m for n, m, _ in parts) / calls if calls else None
    return [Latency(mean, mixture(parts, 0.95), calls / before.elapsed)]


def _window(c: Counters, prior: Counters | None) -> tuple[float, float, float] | None:
    """Return calls, mean and deviation (of the population, as pg_stat_statements has it) in the window."""
    if prior is None or c.calls < prior.calls:  # new, or evicted and back: all it counts is of the window
        prior = replace(c, calls=0, seconds=0.0, squares=0.0)
    n, x, xx = c.calls - prior.calls, c.seconds - prior.seconds, c.squares - prior.squares
    if n <= 0 or x < 0:
        return None
    return n, x / n, max(xx / n - (x / n) ** 2, 0.0) ** 0.5


def cost(now: Sequence[Counters], before: Before[Counters, Cost] | None, config: Config) -> list[Cost]:
    """Add up what each statement of ours grew by, and compare with that of all: entries come and go."""
    if before is None:
        return [Cost(sum(c.seconds for c in now if c.own and c.toplevel), None)]
    prior = {(key(c), c.own): c.seconds for c in before.raw if c.toplevel}
    growth = [(c.own, grown(c.seconds, prior.get((key(c), c.own)))) for c in now if c.toplevel]
    own, everything = sum(g for ours, g in growth if ours), sum(g for _, g in growth)
    return [Cost(before.rows[0].own_seconds + own, own / everything if everything > 0 else None)]


def unknown(look: Look) -> Params | None:
    """Ask for the texts that were never fetched; None when there is none."""
    known = {t.queryid for t in look(TEXTS)}
    ids = {int(s.queryid) for s in look(STATEMENTS) if s.queryid != OTHER and s.queryid not in known}
    return {"queryids": sorted(ids)} if ids else None


def texts(now: Sequence[Text], before: Before[Text, Text] | None, config: Config) -> list[Text]:
    """Redact the new texts unless told not to, and keep those of before: newest first, four times the limit at most."""
    redacted = config.security.redact_sql_text
    new = [Text(t.queryid, redact(t.query) if redacted else plain(t.query, SHOWN)) for t in now]
    return [*new, *(before.rows if before else ())][: REMEMBERED * config.limits.top_queries]


STATEMENTS = Feature("statements", Tier.WORKLOAD, Counters, Statement, top, panel="queries")
LATENCY = Feature("latency", Tier.WORKLOAD, Counters, Latency, latency, of=STATEMENTS, panel="overview")
COST = Feature("cost", Tier.WORKLOAD, Counters, Cost, cost, of=STATEMENTS, panel="status")
TEXTS = Feature("statement_texts", Tier.WORKLOAD, Text, Text, texts, ask=unknown, panel="queries")
HEALTH = feature("statements_health", Tier.WORKLOAD, Health, panel="queries")
