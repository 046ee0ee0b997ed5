"""Archiving of WAL (pg_stat_archiver, pg_ls_archive_statusdir)."""

from __future__ import annotations

from pgmon.feature import Tier, counter, detail, feature, gauge, row


@row
class Archiver:
    """How archiving of WAL goes, and what waits for it."""

    archived: int = counter("pg_archived_total", "WAL files archived.")
    failed: int = counter("pg_archive_failed_total", "Attempts to archive a WAL file that failed.")
    last_success_seconds: float | None = gauge(
        "pg_archive_last_success_age_seconds", "Since a WAL file was last archived; absent if none was.", "seconds"
    )
    ready_files: int | None = gauge(
        "pg_archive_ready_files", "WAL files that wait to be archived; absent where archiving is off."
    )
    oldest_ready_seconds: float | None = gauge(
        "pg_archive_oldest_ready_seconds", "How long the oldest of them waits; absent when none does.", "seconds"
    )
    last_failed_wal: str | None = detail("The WAL file that failed last.")


ARCHIVER = feature("archiver", Tier.WORKLOAD, Archiver, panel="replication")
