"""When autovacuum last came to each table (pg_stat_get_last_auto*_time)."""

from __future__ import annotations

from collections.abc import Sequence

from pgmon.config import Config
from pgmon.feature import Before, Feature, Role, Scope, Tier, detail, gauge, label, row
from pgmon.rates import sticky
from pgmon.relations import chosen


@row
class Freshness:
    """When autovacuum and autoanalyze last came to the tables that are most in need of them."""

    relation: str = label("Table, as schema.name.")
    autovacuum_seconds: float | None = gauge(
        "pg_table_last_autovacuum_seconds", "Age of a table's last autovacuum; absent if there was none.", "seconds"
    )
    autoanalyze_seconds: float | None = gauge(
        "pg_table_last_autoanalyze_seconds", "Age of a table's last autoanalyze; absent if there was none.", "seconds"
    )
    never_autovacuumed: int = gauge(
        "pg_table_never_autovacuumed", "1 when the statistics know of no autovacuum of the table."
    )
    vacuum_seconds: float | None = detail("Age of the last VACUUM by hand.", "seconds")
    analyze_seconds: float | None = detail("Age of the last ANALYZE by hand.", "seconds")
    dead_tuples: int = detail("Estimated dead rows.")
    due: float = detail("Dead rows per row of the server's autovacuum threshold.")


def top(now: Sequence[Freshness], before: Before[Freshness, Freshness] | None, config: Config) -> list[Freshness]:
    """Return the tables most due for a vacuum; who is among them stays for a while."""
    members = {f.relation for f in before.rows} if before else set()
    return sticky(now, lambda f: f.relation, (lambda f: f.due,), members, config.limits.top_relations)


FRESHNESS = Feature(
    "freshness",
    Tier.WORKLOAD,
    Freshness,
    Freshness,
    top,
    scope=Scope.DATABASE,
    role=Role.PRIMARY,  # on a standby all table statistics are zero
    ask=chosen,
    panel="autovacuum",
)
