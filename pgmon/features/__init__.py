"""Everything pgmon knows, in the order in which it is read."""

from __future__ import annotations

from typing import Any

from pgmon.feature import Feature
from pgmon.features.archiver import ARCHIVE_FAILURES, ARCHIVER
from pgmon.features.autovacuum import AUTOVACUUM, BY_PHASE, JOBS
from pgmon.features.bloat import BLOAT, BLOAT_METHODS
from pgmon.features.canary import CANARY_EXPLAIN, CANARY_SELECT
from pgmon.features.checkpoints import CHECKPOINT_PACE, CHECKPOINTS
from pgmon.features.collations import COLLATIONS
from pgmon.features.connections import BY_STATE, CONNECTIONS, WAITING
from pgmon.features.freshness import FRESHNESS
from pgmon.features.indexes import INDEX_VERDICTS, INDEXES
from pgmon.features.io import IO
from pgmon.features.locks import BLOCKING, LOCKS
from pgmon.features.own import (
    ALERT_COUNTS,
    ALERT_HISTORY,
    ALERTS,
    BUILD,
    CANARY,
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
    SERVER,
    SERVER_INFO,
    UP,
)
from pgmon.features.partitions import PARTITION_RANGES, PARTITIONS
from pgmon.features.prepared import PREPARED
from pgmon.features.privileges import GRANTS, PRIVILEGES
from pgmon.features.replicas import EXPECTED, FAMILIAR, REPLICA_STATES, REPLICAS, SYNC_STATES
from pgmon.features.sequences import SEQUENCES, SEQUENCES_UNREADABLE
from pgmon.features.slots import SLOT_STATUS, SLOTS
from pgmon.features.stale_stats import STALE_STATS
from pgmon.features.standby import STANDBY
from pgmon.features.statements import COST, HEALTH, LATENCY, STATEMENTS, TEXTS
from pgmon.features.subscriptions import RECENT_ERRORS, SUBSCRIPTION_ERRORS, SUBSCRIPTIONS
from pgmon.features.tables import DATABASE_SIZE, DUE, HELD_BACK, PARTITIONED_SIZES, SIZES, TUPLES
from pgmon.features.temp import SPILLS, TEMP
from pgmon.features.throughput import FAULTS, THROUGHPUT
from pgmon.features.transactions import IDLEST, SESSIONS, TRANSACTIONS
from pgmon.features.wal import WAL
from pgmon.features.wraparound import FREEZE, WRAPAROUND, WRAPAROUND_LIMITS
from pgmon.features.xmin import XMIN
from pgmon.relations import RELATIONS

FEATURES: tuple[Feature[Any, Any], ...] = (
    CONNECTIONS,
    BY_STATE,
    WAITING,
    LOCKS,
    BLOCKING,
    TRANSACTIONS,
    IDLEST,
    SESSIONS,
    PREPARED,
    XMIN,
    AUTOVACUUM,
    BY_PHASE,
    JOBS,
    TEMP,
    SPILLS,
    CANARY_SELECT,
    CANARY_EXPLAIN,
    THROUGHPUT,
    FAULTS,
    STATEMENTS,
    LATENCY,
    COST,
    TEXTS,
    HEALTH,
    WAL,
    IO,
    CHECKPOINTS,
    CHECKPOINT_PACE,
    ARCHIVER,
    ARCHIVE_FAILURES,
    REPLICAS,
    REPLICA_STATES,
    SYNC_STATES,
    FAMILIAR,
    EXPECTED,
    SLOTS,
    SLOT_STATUS,
    STANDBY,
    SUBSCRIPTIONS,
    SUBSCRIPTION_ERRORS,
    RECENT_ERRORS,
    FRESHNESS,
    RELATIONS,
    TUPLES,
    DUE,
    HELD_BACK,
    SIZES,
    PARTITIONED_SIZES,
    DATABASE_SIZE,
    INDEXES,
    INDEX_VERDICTS,
    PARTITIONS,
    PARTITION_RANGES,
    WRAPAROUND,
    WRAPAROUND_LIMITS,
    FREEZE,
    BLOAT,
    BLOAT_METHODS,
    STALE_STATS,
    SEQUENCES,
    SEQUENCES_UNREADABLE,
    COLLATIONS,
    PRIVILEGES,
    GRANTS,
    UP,
    SERVER,
    SERVER_INFO,
    CANARY,
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
