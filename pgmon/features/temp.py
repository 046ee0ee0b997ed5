"""Temporary files that exist now (pg_ls_tmpdir); pg_stat_database counts a file when it is closed."""

from __future__ import annotations

from collections.abc import Sequence

from pgmon.baseline import Baseline
from pgmon.config import Config
from pgmon.feature import Before, Feature, Tier, detail, gauge, kept, row
from pgmon.redact import redact
from pgmon.rule import Over, Rule

WINDOW = 300.0  # seconds


@row
class Files:
    """The temporary files of a process; one row without a process when there are none."""

    pid: int | None = detail("Process id.")
    files: int = detail("How many.")
    bytes: int = detail("Their size.", "bytes")
    all_bytes: int = detail("The size of everybody's.", "bytes")
    closed_bytes: int = detail("What was written to files that are closed, in all databases.", "bytes")
    db: str = detail("Database.")
    application: str = detail("application_name.")
    query_seconds: float | None = detail("How long its statement runs.", "seconds")
    query: str = detail("Its statement.")


@row
class Temp:
    """Temporary files of sorts, hashes and the like that did not fit into work_mem."""

    live_bytes: int = gauge(
        "pg_temp_live_bytes",
        "Temporary files that exist now, in all tablespaces; those that parallel workers share are not seen.",
        "bytes",
    )
    window_rate: float | None = gauge(
        "pg_temp_rate",
        "Bytes per second written to temporary files over the last five minutes; absent until these were seen.",
    )
    deviations: float | None = gauge(
        "pg_temp_rate_deviations",
        "By how many standard deviations that is above the mean, or above the usual peak of this hour of the day; "
        "absent until a day was learned.",
    )
    times_mean: float | None = gauge("pg_temp_rate_times_mean", "The same rate as a multiple of the mean.")
    learned_seconds: float = gauge(
        "pg_temp_rate_learned_seconds",
        "For how long it was learned what is usual; what is a week old has faded.",
        "seconds",
    )
    pids: list[int] = detail("Process ids of those that have such files.")
    written: int = kept("Bytes written since the first reading.")
    mark: int = kept("The most that was counted so far.")
    baseline: Baseline = kept("What is usual.")


@row
class Spill:
    """Who has temporary files now, the largest first."""

    pid: int | None = detail("Process id.")
    files: int = detail("Temporary files.")
    bytes: int = detail("Their size.", "bytes")
    db: str = detail("Database.")
    application: str = detail("application_name.")
    query_seconds: float | None = detail("How long its statement runs.", "seconds")
    query: str = detail("Its statement, literals withheld.")


def live(now: Sequence[Files], before: Before[Files, Temp] | None, config: Config) -> list[Temp]:
    """Return the size of all, and how fast they are written: what is closed is counted only then."""
    f, last = now[0], before.rows[0] if before else None
    counted = f.closed_bytes + f.all_bytes
    # A file that was just closed may be gone and not yet counted: what is less than before is nothing new.
    reset = before is None or f.closed_bytes < before.raw[0].closed_bytes
    mark = counted if last is None or reset else max(counted, last.mark)
    written = (last.written if last else 0) + (0 if last is None or reset else mark - last.mark)
    usual = (last.baseline if last else Baseline()).followed(written, before.elapsed if before else 0.0, WINDOW)
    return [
        Temp(
            live_bytes=f.all_bytes,
            window_rate=usual.rate(WINDOW),
            deviations=usual.deviations(WINDOW),
            times_mean=usual.times_mean(WINDOW),
            learned_seconds=usual.learned,
            pids=[file.pid for file in now if file.pid is not None],
            written=written,
            mark=mark,
            baseline=usual,
        )
    ]


def spills(now: Sequence[Files], before: Before[Files, Spill] | None, config: Config) -> list[Spill]:
    """Show whose they are."""
    return [
        Spill(f.pid, f.files, f.bytes, f.db, f.application, f.query_seconds, redact(f.query)) for f in now if f.files
    ]


TEMP = Feature(
    "temp",
    Tier.HOT_PATH,
    Files,
    Temp,
    live,
    panel="activity",
    rules=(
        Rule(
            "TempSurge",
            (
                Over("deviations", "surge_sigma"),
                Over("times_mean", 3),
                Over("window_rate", "temp_surge_min_bytes_per_s"),
            ),
            hold=0,
            message="{window_rate:bytes} per second into temporary files, {times_mean:.0f} times as much as usual; "
            "{live_bytes:bytes} exist now",
            pids=("pids",),
        ),
    ),
)
SPILLS = Feature("temp_files", Tier.HOT_PATH, Files, Spill, spills, of=TEMP, panel="activity")
