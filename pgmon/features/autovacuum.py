"""What vacuums and analyzes now (pg_stat_activity, pg_stat_progress_vacuum)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pgmon.config import Config
from pgmon.feature import Before, Feature, Tier, detail, gauge, label, row
from pgmon.redact import redact
from pgmon.rule import Over, Rule

# Of pg_stat_progress_vacuum, and what its view does not know.
PHASES = (
    "starting",
    "initializing",
    "scanning heap",
    "vacuuming indexes",
    "vacuuming heap",
    "cleaning up indexes",
    "truncating heap",
    "performing final cleanup",
    "analyzing",
)
WRAPAROUND = "(to prevent wraparound)"  # the end of what such a worker says of itself


@row
class Process:
    """A process that vacuums or analyzes; None in all but the setting when there is none."""

    workers_max: int = detail("The setting autovacuum_max_workers.")
    pid: int | None = detail("Process id.")
    worker: bool | None = detail("It is autovacuum's; otherwise a client's VACUUM.")
    db: str | None = detail("Database.")
    task: str | None = detail("What it says it does.")
    phase: str | None = detail("Phase of VACUUM, else analyzing or starting.")
    seconds: float | None = detail("For how long.", "seconds")
    scanned_ratio: float | None = detail("Scanned share of the table.", "ratio")
    index_passes: int | None = detail("How often it has gone through the indexes.")


@row
class Autovacuum:
    """Autovacuum's workers, and what clients vacuum by hand."""

    workers: int = detail("Autovacuum workers at work.")
    workers_max: int = gauge("pg_autovacuum_workers_max", "The setting autovacuum_max_workers.")
    wraparound_jobs: int = gauge(
        "pg_autovacuum_wraparound_jobs", "Autovacuum workers that vacuum to prevent wraparound; these do not give way."
    )
    manual_jobs: int = gauge("pg_vacuum_manual_jobs", "Client sessions that vacuum.")
    busy_seconds: float = gauge(
        "pg_autovacuum_all_busy_seconds", "For how long no worker of autovacuum is seen to be free.", "seconds"
    )


@row
class Phase:
    """Autovacuum workers by what they do; the sum is the workers at work."""

    phase: str = label("Phase of pg_stat_progress_vacuum, else analyzing or starting.")
    jobs: int = gauge("pg_autovacuum_jobs", "Autovacuum workers in a phase.")


@row
class Job:
    """Processes that vacuum or analyze now, the longest first."""

    pid: int = detail("Process id.")
    by: str = detail("autovacuum or client.")
    db: str = detail("Database.")
    task: str = detail("What it does.")
    phase: str = detail("Phase.")
    seconds: float | None = detail("For how long.", "seconds")
    scanned_ratio: float | None = detail("Scanned share of the table.", "ratio")
    index_passes: int | None = detail("How often it has gone through the indexes.")


def summary(now: Sequence[Process], before: Before[Process, Autovacuum] | None, config: Config) -> list[Autovacuum]:
    """Count workers and clients."""
    workers = [p for p in now if p.worker]
    wraparound = sum((p.task or "").endswith(WRAPAROUND) for p in workers)
    manual = sum(p.worker is False for p in now)
    busy = 0.0
    if before and len(workers) >= now[0].workers_max <= before.rows[0].workers:
        busy = before.rows[0].busy_seconds + before.elapsed
    return [Autovacuum(len(workers), now[0].workers_max, wraparound, manual, busy)]


def by_phase(now: Sequence[Process], before: Before[Process, Phase] | None, config: Config) -> list[Phase]:
    """Count the workers by phase, those of a later release included."""
    counted = Counter(dict.fromkeys(PHASES, 0))
    counted.update(p.phase for p in now if p.worker and p.phase)
    return [Phase(phase, n) for phase, n in counted.items()]


def jobs(now: Sequence[Process], before: Before[Process, Job] | None, config: Config) -> list[Job]:
    """Show each, the statements of clients redacted."""
    return [
        Job(
            p.pid,
            "autovacuum" if p.worker else "client",
            p.db or "",
            redact(p.task or ""),
            p.phase or "",
            p.seconds,
            p.scanned_ratio,
            p.index_passes,
        )
        for p in now
        if p.pid is not None
    ]


AUTOVACUUM = Feature(
    "autovacuum",
    Tier.HOT_PATH,
    Process,
    Autovacuum,
    summary,
    panel="autovacuum",
    rules=(
        Rule(
            "AutovacuumStarvation",
            (Over("busy_seconds", 3600),),
            hold=0,
            message="All {workers_max} workers of autovacuum are busy for {busy_seconds:duration}",
        ),
    ),
)
BY_PHASE = Feature("autovacuum_phases", Tier.HOT_PATH, Process, Phase, by_phase, of=AUTOVACUUM, panel="autovacuum")
JOBS = Feature("vacuum_jobs", Tier.HOT_PATH, Process, Job, jobs, of=AUTOVACUUM, panel="autovacuum")
