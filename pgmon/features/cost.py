"""What pgmon costs the server, by the server's own account (pg_stat_statements)."""

from __future__ import annotations

from collections.abc import Sequence

from pgmon.feature import Before, Feature, Limits, Tier, counter, detail, gauge, row
from pgmon.rates import grown


@row
class Spent:
    """Execution time in pg_stat_statements."""

    own_seconds: float = detail("Of our role.", "seconds")
    all_seconds: float = detail("Of all roles, statements inside functions left out.", "seconds")


@row
class Cost:
    """What pgmon costs the server; execution only, so a lower bound."""

    own_seconds: float = counter(
        "pgmon_db_execution_seconds_total", "Execution time of pgmon's role, by pg_stat_statements.", "seconds"
    )
    share: float | None = gauge(
        "pgmon_db_share_ratio", "Share of pgmon's role in all execution time since the previous reading.", "ratio"
    )


def share(now: Sequence[Spent], before: Before[Spent, Cost] | None, limits: Limits) -> list[Cost]:
    """Compare what we used with what all used since the previous reading."""
    spent = now[0]
    if before is None:
        return [Cost(spent.own_seconds, None)]
    everything = grown(spent.all_seconds, before.raw[0].all_seconds)
    own = grown(spent.own_seconds, before.raw[0].own_seconds)
    return [Cost(spent.own_seconds, own / everything if everything > 0 else None)]


COST = Feature("cost", Tier.WORKLOAD, Spent, Cost, share, panel="status")
