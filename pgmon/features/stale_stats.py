"""How old the planner's statistics are (pg_stat_get_last_*analyze_time, pg_stat_get_mod_since_analyze)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pgmon.config import Config
from pgmon.feature import Before, Feature, Role, Scope, Tier, detail, gauge, label, row
from pgmon.rates import grown, sticky
from pgmon.relations import chosen
from pgmon.rule import Over, Rule

MANY = 10_000  # rows of which a plan may depend
PARTITIONED = "p"


@row
class StaleStats:
    """The tables that outgrew the planner's statistics most; and partitioned ones, which autovacuum never analyzes."""

    relation: str = label("Table, as schema.name.")
    age: float | None = gauge(
        "pg_table_stats_age_seconds",
        "Age of a table's last ANALYZE, by autovacuum or by hand; absent if the statistics know of none, and for "
        "partitioned tables before 14.",
        "seconds",
    )
    mods: int | None = gauge(
        "pg_table_mods_since_analyze", "Rows changed since the last ANALYZE; not known of partitioned tables."
    )
    recent_mods: int | None = gauge(
        "pg_table_mods_recent", "Rows changed since the previous reading; after an ANALYZE those since that."
    )
    analyze_ratio: float | None = gauge(
        "pg_table_analyze_due_ratio", "Rows changed per rows at which autovacuum analyzes this table.", "ratio"
    )
    mods_ratio: float | None = gauge("pg_table_mods_ratio", "Rows changed per row of the table.", "ratio")
    never_analyzed: int | None = gauge(
        "pg_table_never_analyzed",
        "1 when the statistics know of no ANALYZE of the table; of partitioned tables from 14 on.",
    )
    unanalyzed_seconds: float | None = gauge(
        "pg_table_unanalyzed_seconds", "For how long a table is seen that was never analyzed; else absent.", "seconds"
    )
    relkind: str = detail("r: table, m: materialized view, p: partitioned table.")


def stalest(
    now: Sequence[StaleStats], before: Before[StaleStats, StaleStats] | None, config: Config
) -> list[StaleStats]:
    """Return the tables most due for an ANALYZE, who is among them stays for a while; then the partitioned ones."""
    members = {s.relation for s in before.rows} if before else set()
    tables = [s for s in now if s.relkind != PARTITIONED]
    orders = (lambda s: s.analyze_ratio or 0.0,)
    chosen = sticky(tables, lambda s: s.relation, orders, members, config.limits.top_relations)
    rows = [*_changed(chosen, before.raw if before else ()), *(s for s in now if s.relkind == PARTITIONED)]
    return _watched(rows, before)


def _watched(rows: Sequence[StaleStats], before: Before[StaleStats, StaleStats] | None) -> list[StaleStats]:
    """Return the rows, those never analyzed with how long they are seen."""
    prior = {s.relation: s.unanalyzed_seconds for s in before.rows} if before else {}
    elapsed = before.elapsed if before else 0.0
    return [
        replace(s, unanalyzed_seconds=0.0 if (seen := prior.get(s.relation)) is None else seen + elapsed)
        if s.never_analyzed
        else s
        for s in rows
    ]


def _changed(now: Sequence[StaleStats], before: Sequence[StaleStats]) -> list[StaleStats]:
    """Return the tables with what changed since the previous reading, unknown of those that it did not have."""
    prior = {s.relation: s.mods for s in before}
    return [
        replace(s, recent_mods=int(grown(s.mods or 0, prior[s.relation]))) if s.relation in prior else s for s in now
    ]


STALE_STATS = Feature(
    "stale_stats",
    Tier.HOURLY,
    StaleStats,
    StaleStats,
    stalest,
    scope=Scope.DATABASE,
    role=Role.PRIMARY,  # on a standby all table statistics are zero
    ask=chosen,
    panel="autovacuum",
    rules=(
        Rule(
            "StaleStatistics",
            (Over("age", "stale_stats_s"), Over("analyze_ratio", 1.0), Over("recent_mods", 0)),
            hold=0,
            message="{relation}: stats stale {age:duration}, {mods} rows changed, {analyze_ratio:.1f} times due",
            advisory=True,
        ),
        Rule(
            "StaleStatistics",
            (Over("age", "stale_stats_s"), Over("mods_ratio", 0.05), Over("mods", MANY), Over("recent_mods", 0)),
            hold=0,
            message="{relation}: stats stale {age:duration}, {mods} rows changed, {mods_ratio:.0%} of the table",
            advisory=True,
        ),
        Rule(
            "StaleStatistics",
            # a table that was just loaded will have its turn; so will all after a crash
            (Over("unanalyzed_seconds", "stale_stats_s"), Over("mods", MANY)),
            hold=0,
            message="{relation}: never analyzed, {mods} rows changed",
            advisory=True,
        ),
    ),
)
