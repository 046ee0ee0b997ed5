"""Temporary files that exist now (pg_ls_tmpdir); pg_stat_database counts a file when it is closed."""

from __future__ import annotations

from collections.abc import Sequence

from pgmon.config import Config
from pgmon.feature import Before, Feature, Tier, detail, gauge, row
from pgmon.redact import redact


@row
class Files:
    """The temporary files of a process."""

    pid: int | None = detail("Process id.")
    files: int = detail("How many.")
    bytes: int = detail("Their size.", "bytes")
    all_bytes: int = detail("The size of everybody's.", "bytes")
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
    """Return the size of all; no file is 0."""
    return [Temp(now[0].all_bytes if now else 0)]


def spills(now: Sequence[Files], before: Before[Files, Spill] | None, config: Config) -> list[Spill]:
    """Show whose they are."""
    return [Spill(f.pid, f.files, f.bytes, f.db, f.application, f.query_seconds, redact(f.query)) for f in now]


TEMP = Feature("temp", Tier.HOT_PATH, Files, Temp, live, panel="activity")
SPILLS = Feature("temp_files", Tier.HOT_PATH, Files, Spill, spills, of=TEMP, panel="activity")
