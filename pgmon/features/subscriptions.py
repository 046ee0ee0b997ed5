"""Logical replication as its receiver sees it (pg_subscription, pg_stat_subscription)."""

from __future__ import annotations

from pgmon.feature import Role, Tier, counter, detail, feature, gauge, label, row


@row
class Subscription:
    """Subscriptions, and whether changes are applied."""

    db: str = label("Database.")
    subscription: str = label("Subscription.")
    enabled: bool = detail("It is enabled.")
    worker_up: int = gauge("pg_subscription_worker_up", "1 when the apply worker of a subscription runs.")
    silent_seconds: float | None = detail("Since the last message of the publisher.", "seconds")


@row
class SubscriptionErrors:
    """What went wrong with subscriptions."""

    db: str = label("Database.")
    subscription: str = label("Subscription.")
    kind: str = label("apply or sync.")
    errors: int = counter("pg_subscription_errors_total", "Errors of a subscription (15+).")


SUBSCRIPTIONS = feature("subscriptions", Tier.WORKLOAD, Subscription, role=Role.PRIMARY, panel="replication")
SUBSCRIPTION_ERRORS = feature(
    "subscription_errors", Tier.WORKLOAD, SubscriptionErrors, role=Role.PRIMARY, panel="replication"
)
