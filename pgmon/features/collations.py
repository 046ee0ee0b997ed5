"""Collations that sort otherwise than when an index was built (pg_collation_actual_version)."""

from __future__ import annotations

from pgmon.feature import Scope, Tier, detail, feature, gauge, row
from pgmon.rule import Over, Rule


@row
class Collations:
    """What depends on a collation whose version is no longer the recorded one: its indexes may miss rows."""

    mismatches: int = gauge(
        "pg_collation_version_mismatch",
        "Indexes that depend on a collation whose version changed, and 1 more for a database whose default did (from "
        "15 on; its indexes count, too).",
    )
    default_changed: bool = detail("The default collation of the database changed (known from 15 on).")
    collations: list[str] = detail("The other collations that changed, and that an index depends on.")


COLLATIONS = feature(
    "collations",
    Tier.HOURLY,
    Collations,
    scope=Scope.DATABASE,
    panel="storage",
    rules=(
        Rule(
            "CollationMismatch",
            (Over("mismatches", 0),),
            hold=0,
            message="{mismatches} depend on a collation that changed: REINDEX, then ALTER … REFRESH COLLATION VERSION",
        ),
    ),
)
