"""Everything pgmon knows, in the order in which it is read."""

from __future__ import annotations

from typing import Any

from pgmon.feature import Feature
from pgmon.features.archiver import ARCHIVER
from pgmon.features.autovacuum import AUTOVACUUM, BY_PHASE, JOBS
from pgmon.features.canary import CANARY_EXPLAIN, CANARY_SELECT
from pgmon.features.checkpoints import CHECKPOINTS
from pgmon.features.connections import BY_STATE, CONNECTIONS, WAITING
from pgmon.features.freshness import FRESHNESS
from pgmon.features.io import IO
from pgmon.features.locks import BLOCKING, LOCKS
from pgmon.features.own import (
    BUILD,
    CANARY,
    CHECKS,
    COLLECTORS,
    CONNECT_ERRORS,
    CONNECTS,
    DEGRADED,
    DROPPED,
    FINDINGS,
    LOOPS,
    SERIES,
    SERVER,
    SERVER_INFO,
    UP,
)
from pgmon.features.prepared import PREPARED
from pgmon.features.privileges import GRANTS, PRIVILEGES
from pgmon.features.replicas import REPLICA_STATES, REPLICAS, SYNC_STATES
from pgmon.features.slots import SLOT_STATUS, SLOTS
from pgmon.features.standby import STANDBY
from pgmon.features.statements import COST, HEALTH, LATENCY, STATEMENTS, TEXTS
from pgmon.features.subscriptions import SUBSCRIPTION_ERRORS, SUBSCRIPTIONS
from pgmon.features.temp import SPILLS, TEMP
from pgmon.features.throughput import THROUGHPUT
from pgmon.features.transactions import SESSIONS, TRANSACTIONS
from pgmon.features.wal import WAL
from pgmon.features.xmin import XMIN

FEATURES: tuple[Feature[Any, Any], ...] = (
    CONNECTIONS,
    BY_STATE,
    WAITING,
    LOCKS,
    BLOCKING,
    TRANSACTIONS,
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
    STATEMENTS,
    LATENCY,
    COST,
    TEXTS,
    HEALTH,
    WAL,
    IO,
    CHECKPOINTS,
    ARCHIVER,
    REPLICAS,
    REPLICA_STATES,
    SYNC_STATES,
    SLOTS,
    SLOT_STATUS,
    STANDBY,
    SUBSCRIPTIONS,
    SUBSCRIPTION_ERRORS,
    FRESHNESS,
    PRIVILEGES,
    GRANTS,
    UP,
    SERVER,
    SERVER_INFO,
    CANARY,
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
