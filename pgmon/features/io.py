"""Reads and writes by kind of process, object and context (pg_stat_io, from 16 on)."""

from __future__ import annotations

from pgmon.feature import Tier, counter, feature, label, row


@row
class Io:
    """What is read, written, extended and synchronised, by whom; times need track_io_timing."""

    backend_type: str = label("Kind of process.")
    object: str = label("relation, temp relation or wal.")
    context: str = label("normal, vacuum, bulkread, bulkwrite or init.")
    reads: int | None = counter("pg_io_reads_total", "Reads.")
    read_seconds: float | None = counter("pg_io_reads_seconds_total", "Time spent reading.", "seconds")
    writes: int | None = counter("pg_io_writes_total", "Writes.")
    write_seconds: float | None = counter("pg_io_writes_seconds_total", "Time spent writing.", "seconds")
    extends: int | None = counter("pg_io_extends_total", "Extensions of a relation.")
    extend_seconds: float | None = counter("pg_io_extends_seconds_total", "Time spent extending.", "seconds")
    fsyncs: int | None = counter("pg_io_fsyncs_total", "Calls of fsync.")
    fsync_seconds: float | None = counter("pg_io_fsyncs_seconds_total", "Time spent in fsync.", "seconds")
    hits: int | None = counter("pg_io_hits_total", "Blocks found in the shared buffers.")
    evictions: int | None = counter("pg_io_evictions_total", "Blocks evicted to make room.")


IO = feature("io", Tier.WORKLOAD, Io, panel="overview")
