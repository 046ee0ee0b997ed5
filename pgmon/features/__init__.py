"""Everything pgmon knows, in the order in which it is read."""

from __future__ import annotations

from typing import Any

from pgmon.feature import Feature
from pgmon.features.checkpoints import CHECKPOINTS
from pgmon.features.connections import BY_STATE, CONNECTIONS, WAITING
from pgmon.features.freshness import FRESHNESS
from pgmon.features.locks import BLOCKING, LOCKS
from pgmon.features.own import (
    ALERT_COUNTS,
    ALERT_HISTORY,
    ALERTS,
    BUILD,
    CHANGED,
    CHECKS,
    COLLECTORS,
    CONNECT_ERRORS,
    CONNECTS,
    COVERAGE,
    DEGRADED,
    DOWN,
    DROPPED,
    FINDINGS,
    LOOPS,
    NOTIFICATIONS,
    SERIES,
    UP,
)
from pgmon.features.privileges import PRIVILEGES
from pgmon.features.replicas import REPLICA_STATES, REPLICAS, SYNC_STATES
from pgmon.features.slots import SLOT_STATUS, SLOTS
from pgmon.features.standby import STANDBY
from pgmon.features.statements import COST, LATENCY, STATEMENTS, TEXTS
from pgmon.features.throughput import THROUGHPUT

FEATURES: tuple[Feature[Any, Any], ...] = (
    CONNECTIONS,
    LOCKS,
    BLOCKING,
    BY_STATE,
    WAITING,
    THROUGHPUT,
    STATEMENTS,
    LATENCY,
    COST,
    TEXTS,
    CHECKPOINTS,
    REPLICAS,
    REPLICA_STATES,
    SYNC_STATES,
    SLOTS,
    SLOT_STATUS,
    STANDBY,
    FRESHNESS,
    PRIVILEGES,
    UP,
    DOWN,
    CHANGED,
    CONNECT_ERRORS,
    LOOPS,
    COLLECTORS,
    CHECKS,
    COVERAGE,
    CONNECTS,
    DEGRADED,
    SERIES,
    DROPPED,
    FINDINGS,
    ALERTS,
    ALERT_COUNTS,
    ALERT_HISTORY,
    NOTIFICATIONS,
    BUILD,
)
