"""Logical replication as its receiver sees it (pg_subscription, pg_stat_subscription)."""

from __future__ import annotations

from collections.abc import Sequence

from pgmon.config import Config
from pgmon.feature import Before, Feature, Role, Tier, counter, detail, feature, gauge, kept, label, row
from pgmon.rates import Trail, followed, increase
from pgmon.rule import Over, Rule

WINDOW = 900.0  # seconds: a worker that fails is started again and again


@row
class Subscription:
    """Subscriptions, and whether changes are applied."""

    db: str = label("Database.")
    subscription: str = label("Subscription.")
    enabled: bool = detail("It is enabled.")
    worker_up: int = gauge("pg_subscription_worker_up", "1 when the apply worker of a subscription runs.")
    down: int = gauge("pg_subscription_down", "1 when a subscription is enabled and its apply worker does not run.")
    silent_seconds: float | None = detail("Since the last message of the publisher.", "seconds")


@row
class SubscriptionErrors:
    """What went wrong with subscriptions."""

    db: str = label("Database.")
    subscription: str = label("Subscription.")
    kind: str = label("apply or sync.")
    errors: int = counter("pg_subscription_errors_total", "Errors of a subscription (15+).")


@row
class RecentErrors:
    """Subscriptions that fail now."""

    db: str = label("Database.")
    subscription: str = label("Subscription.")
    kind: str = label("apply or sync.")
    errors: int = gauge(
        "pg_subscription_errors_recent", "Errors of a subscription in the last quarter of an hour (15+)."
    )
    trail: Trail = kept("Errors in the past.")


def lately(
    now: Sequence[SubscriptionErrors], before: Before[SubscriptionErrors, RecentErrors] | None, config: Config
) -> list[RecentErrors]:
    """Count the errors of the last quarter of an hour."""
    trails = {(e.db, e.subscription, e.kind): e.trail for e in before.rows} if before else {}
    elapsed = before.elapsed if before else 0.0
    longer = [(e, followed(trails.get((e.db, e.subscription, e.kind), ()), elapsed, e.errors, WINDOW)) for e in now]
    return [RecentErrors(e.db, e.subscription, e.kind, int(increase(trail)), trail) for e, trail in longer]


SUBSCRIPTIONS = feature(
    "subscriptions",
    Tier.WORKLOAD,
    Subscription,
    role=Role.PRIMARY,
    panel="replication",
    rules=(
        Rule(
            "SubscriptionDown",
            (Over("down", 0),),
            hold=300,
            message="{subscription} in {db}: no apply worker runs, nothing is replicated",
        ),
    ),
)
SUBSCRIPTION_ERRORS = feature(
    "subscription_errors", Tier.WORKLOAD, SubscriptionErrors, role=Role.PRIMARY, panel="replication"
)
RECENT_ERRORS = Feature(
    "subscription_errors_recent",
    Tier.WORKLOAD,
    SubscriptionErrors,
    RecentErrors,
    lately,
    role=Role.PRIMARY,
    of=SUBSCRIPTION_ERRORS,
    panel="replication",
    rules=(
        Rule(
            "SubscriptionDown",
            (Over("errors", 1),),
            hold=300,
            message="{subscription} in {db}: {errors} errors ({kind}) in a quarter of an hour",
        ),
    ),
)
