"""Archiving of WAL (pg_stat_archiver, pg_ls_archive_statusdir)."""

from __future__ import annotations

from collections.abc import Sequence

from pgmon.config import Config
from pgmon.feature import Before, Feature, Tier, counter, detail, feature, gauge, kept, row
from pgmon.rates import grown
from pgmon.rule import Over, Rule


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


@row
class Failures:
    """Whether archiving gets on at all."""

    failures: int = gauge(
        "pg_archive_failures_since_success",
        "Attempts to archive a WAL file that failed since pgmon saw one succeed, or since it looks.",
    )
    last_failed_wal: str | None = detail("The WAL file that failed last.")
    counted: tuple[int, int] = kept("Archived and failed so far.")


def failures(now: Sequence[Archiver], before: Before[Archiver, Failures] | None, config: Config) -> list[Failures]:
    """Count the failures since something was archived."""
    a, last = now[0], before.rows[0] if before else None
    if last is None or a.archived != last.counted[0]:
        return [Failures(0, a.last_failed_wal, (a.archived, a.failed))]
    failed = last.failures + int(grown(a.failed, last.counted[1]))
    return [Failures(failed, a.last_failed_wal, (a.archived, a.failed))]


WAITING = "{ready_files} WAL files wait to be archived, the oldest for {oldest_ready_seconds:duration}; last failed: "
ARCHIVER = feature(
    "archiver",
    Tier.WORKLOAD,
    Archiver,
    panel="replication",
    rules=(
        Rule(
            "ArchiveFailing",
            (Over("ready_files", 1), Over("oldest_ready_seconds", "archive_ready_warn_s", "archive_ready_crit_s")),
            hold=300,
            message=WAITING + "{last_failed_wal}",
        ),
        Rule(
            "ArchiveFailing",
            (Over("ready_files", crit="archive_ready_files"),),
            hold=300,
            message=WAITING + "{last_failed_wal}",
        ),
    ),
)
ARCHIVE_FAILURES = Feature(
    "archive_failures",
    Tier.WORKLOAD,
    Archiver,
    Failures,
    failures,
    of=ARCHIVER,
    panel="replication",
    rules=(
        Rule(
            "ArchiveFailing",
            (Over("failures", 2),),
            hold=300,
            message="Archiving failed {failures} times in a row, last with {last_failed_wal}",
        ),
    ),
)
