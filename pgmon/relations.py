"""Every table, looked at once per refresh (pg_class, pg_stat_get_*()); what else asks about tables asks for these.

A look at each of 100,000 tables takes a tenth of a second, and as long again for a few numbers of each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pgmon.config import Config
from pgmon.feature import Before, Feature, Look, Params, Scope, Tier, detail, label, row

REASONS = ("dead", "insert", "analyze", "freeze", "multixact")


@row
class Table:
    """What the catalogue and the statistics say of a table and its TOAST table."""

    relation: str = label("Table, as schema.name.")
    oid: int = detail("Its oid.")
    estimated_bytes: int = detail("Size by the catalogue, with what came since in proportion.", "bytes")
    grown: float = detail("Rows that the catalogue does not know of yet.")
    live: int = detail("Estimated live rows.")
    dead: int = detail("Estimated dead rows.")
    dead_due: float | None = detail("Dead rows per row of autovacuum's threshold.")
    insert_due: float | None = detail("Inserted rows per row of its threshold (from 13 on).")
    analyze_due: float | None = detail("Changed rows per row of autoanalyze's threshold.")
    freeze_due: float | None = detail("Age in transactions per transaction of freeze_max_age.")
    multixact_due: float | None = detail("Age in multixacts per multixact of multixact_freeze_max_age.")
    vacuumed_seconds: float | None = detail("Age of the last VACUUM, by whom ever.", "seconds")
    analyzed_seconds: float | None = detail("Age of the last ANALYZE, by whom ever.", "seconds")
    holder: str | None = detail("Who holds the oldest xid after which VACUUM removes no row in this database.")
    holder_pid: int | None = detail("Its process, if it is one.")
    held_xid: int | None = detail("That xid.")
    holder_seconds: float | None = detail("Age of its transaction; unknown for a slot and a standby.", "seconds")

    @property
    def due(self) -> Mapping[str, float]:
        """What autovacuum compares, by reason; more than 1 is due."""
        factors = {reason: getattr(self, f"{reason}_due") for reason in REASONS}
        return {reason: factor for reason, factor in factors.items() if factor is not None}

    @property
    def most_due(self) -> float:
        """The greatest of them."""
        return max(self.due.values(), default=0.0)

    @property
    def kept_by(self) -> str:
        """Who keeps the dead rows, where VACUUM came meanwhile; else ''."""
        since, vacuumed = self.holder_seconds, self.vacuumed_seconds
        return self.holder or "" if vacuumed is not None and (since is None or vacuumed < since) else ""


@row
class Candidate:
    """The tables that are looked at: foremost by size, growth, dead rows, or in need of autovacuum."""

    relation: str = label("Table, as schema.name.")
    oid: int = detail("Its oid.")
    estimated_bytes: int = detail("Size by the catalogue, with what came since in proportion.", "bytes")
    measured: bool = detail("Its size is asked for: it is one of the largest, or of those that grew most.")


def candidates(now: Sequence[Table], before: Before[Table, Candidate] | None, config: Config) -> list[Candidate]:
    """Return all, the largest first. Measured are twice as many as are shown, and those that nobody analyzed since."""
    n = config.limits.top_relations
    largest = sorted(now, key=lambda t: t.estimated_bytes, reverse=True)
    grown = sorted((t for t in now if t.grown), key=lambda t: t.grown, reverse=True)
    measured = {t.oid for t in (*largest[: 2 * n], *grown[:n])}
    return [Candidate(t.relation, t.oid, t.estimated_bytes, t.oid in measured) for t in largest]


RELATIONS = Feature("relations", Tier.STORAGE, Table, Candidate, candidates, scope=Scope.DATABASE, panel="storage")


def chosen(look: Look) -> Params:
    """Ask for the tables that were chosen: nobody else looks at all there are."""
    return {"relids": sorted(c.oid for c in look(RELATIONS))}


def measured(look: Look) -> Params:
    """Ask for those of them that are measured."""
    return {"relids": sorted(c.oid for c in look(RELATIONS) if c.measured)}
