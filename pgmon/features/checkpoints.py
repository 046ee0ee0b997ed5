"""Checkpoints by cause (pg_stat_bgwriter to 16, pg_stat_checkpointer and pg_stat_io from 17)."""

from __future__ import annotations

from pgmon.feature import Tier, counter, feature, gauge, row


@row
class Checkpoints:
    """Checkpoints (on a standby: restartpoints) by cause, and what they wrote."""

    checkpoints_timed: int = counter("pg_checkpoints_timed_total", "Checkpoints started by checkpoint_timeout.")
    checkpoints_requested: int = counter(
        "pg_checkpoints_requested_total", "Checkpoints started by max_wal_size, a command or a base backup."
    )
    write_seconds: float = counter(
        "pg_checkpoint_write_seconds_total", "Time that checkpoints spent writing files.", "seconds"
    )
    sync_seconds: float = counter(
        "pg_checkpoint_sync_seconds_total", "Time that checkpoints spent synchronising files.", "seconds"
    )
    buffers: int = counter("pg_checkpoint_buffers_total", "Buffers written by checkpoints.")
    backend_fsync: int | None = counter(
        "pg_backend_fsync_total",
        "Times that a client backend had to call fsync itself: the checkpointer's queue was full.",
    )
    timeout_seconds: float = gauge("pg_checkpoint_timeout_seconds", "The setting checkpoint_timeout.", "seconds")


CHECKPOINTS = feature("checkpoints", Tier.WORKLOAD, Checkpoints, panel="overview")
