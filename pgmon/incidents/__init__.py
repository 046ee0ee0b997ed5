"""What goes wrong with PostgreSQL, on purpose: for the demo, and for tests of alerts and pages on real servers.

with sessions.lock_queue.on("postgresql://postgres@127.0.0.1/app"):
    ...  # A holds, B waits for A, C waits behind B; afterwards nothing is left of it
"""

from __future__ import annotations

from pgmon.incidents import cluster, relations, sessions

INCIDENTS = (
    sessions.blocked_session,
    sessions.blocking_chain,
    sessions.lock_queue,
    sessions.idle_in_transaction,
    sessions.long_transaction,
    sessions.held_xmin,
    sessions.orphaned_prepared,
    sessions.deadlocks,
    sessions.temp_spill,
    relations.dead_tuples,
    relations.stale_statistics,
    relations.unused_index,
    relations.sequence_near_its_end,
    relations.partition_gap,
    relations.rows_in_default,
    cluster.connection_burst,
    cluster.wal_burst,
    cluster.checkpoint_storm,
    cluster.inactive_slot,
    cluster.wraparound,
)
