"""Everything pgmon knows, in the order in which it is read."""

from __future__ import annotations

from typing import Any

from pgmon.feature import Feature
from pgmon.features.checkpoints import CHECKPOINTS
from pgmon.features.connections import BY_STATE, CONNECTIONS, WAITING
from pgmon.features.freshness import FRESHNESS
from pgmon.features.indexes import INDEX_VERDICTS, INDEXES
from pgmon.features.locks import BLOCKING, LOCKS
from pgmon.features.own import (
    BUILD,
    CHECKS,
    COLLECTORS,
    CONNECT_ERRORS,
    CONNECTS,
    DEGRADED,
    DROPPED,
    FINDINGS,
    LOOPS,
    SERIES,
    UP,
)
from pgmon.features.partitions import PARTITIONS
from pgmon.features.privileges import PRIVILEGES
from pgmon.features.replicas import REPLICA_STATES, REPLICAS, SYNC_STATES
from pgmon.features.slots import SLOT_STATUS, SLOTS
from pgmon.features.standby import STANDBY
from pgmon.features.statements import COST, LATENCY, STATEMENTS, TEXTS
from pgmon.features.tables import DATABASE_SIZE, DUE, PARTITIONED_SIZES, RELATIONS, SIZES, TUPLES
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
    RELATIONS,
    TUPLES,
    DUE,
    SIZES,
    PARTITIONED_SIZES,
    DATABASE_SIZE,
    INDEXES,
    INDEX_VERDICTS,
    PARTITIONS,
    PRIVILEGES,
    UP,
    CONNECT_ERRORS,
    LOOPS,
    COLLECTORS,
    CHECKS,
    CONNECTS,
    DEGRADED,
    SERIES,
    DROPPED,
    FINDINGS,
    BUILD,
)
