"""Prepared transactions (pg_prepared_xacts)."""

from __future__ import annotations

from pgmon.feature import Tier, feature, gauge, row
from pgmon.rule import Over, Rule


@row
class Prepared:
    """Transactions that are prepared and neither committed nor rolled back."""

    prepared: int = gauge("pg_prepared_transactions", "Prepared transactions.")
    oldest_seconds: float | None = gauge(
        "pg_prepared_oldest_seconds", "Age of the oldest prepared transaction; absent when there is none.", "seconds"
    )


PREPARED = feature(
    "prepared",
    Tier.HOT_PATH,
    Prepared,
    panel="activity",
    rules=(
        Rule(
            "PreparedTransactionOld",
            (Over("oldest_seconds", "prepared_warn_s", "prepared_crit_s"),),
            hold=0,
            message="{prepared} prepared transactions, the oldest for {oldest_seconds:duration}: locks and xmin held",
        ),
    ),
)
