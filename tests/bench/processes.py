"""The agents that are compared, as processes, and what they and their backends have used so far."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.scraping import Scraper
from pgmon.agent import QUICK
from running import ROOT
from servers import Server, free_port

TICKS = os.sysconf("SC_CLK_TCK")
EXPORTER = "PGMON_BENCH_POSTGRES_EXPORTER"  # where it is, if not on the PATH
# Without what structlog and werkzeug import where they find it: it came with the packages for tests.
AS_INSTALLED = """import sys
sys.modules.update(dict.fromkeys(("rich", "greenlet")))
from pgmon.__main__ import main
main()"""


def success(loop: str) -> bytes:
    """Return the sample that says that all of a loop has been read."""
    return f'pgmon_last_scrape_success{{cluster="bench",loop="{loop}"}} 1.0'.encode()


@dataclass
class Running:
    """An agent that runs."""

    port: int
    process: subprocess.Popen[bytes]
    up: float  # seconds from the start of the process until a scrape says that the server is up
    good: float  # … until one has all that a scrape is meant to have

    def cpu(self) -> float:
        """Return the CPU seconds that the process has used so far."""
        user, system = stat(self.process.pid)[11:13]
        return (user + system) / TICKS

    def rss(self) -> int:
        """Return the memory that it occupies, in bytes."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


def stat(pid: int) -> list[int]:
    """Return what /proc/PID/stat says after the name and the state, in clock ticks where it is time."""
    return [0, *map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1:])]


def server_cpu(server: Server) -> float:
    """Return the CPU seconds of all processes of a server so far, of those that ended, too."""
    postmaster = server.postmaster_pid
    spent = sum(stat(postmaster)[11:15]) / TICKS
    for pid in Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split():
        with suppress(FileNotFoundError):
            spent += int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    return spent


@contextmanager
def pgmon(dsn: str, **settings: str) -> Iterator[Running]:
    """Pgmon with its defaults, except for what is set."""
    port = free_port()
    given = {"DSN": dsn, "CLUSTER": "bench", "HTTP_BIND": f"127.0.0.1:{port}", **settings}
    environ = {"PYTHONPATH": str(ROOT), **{f"PGMON_{name}": value for name, value in given.items()}}
    hot, workload = map(success, QUICK)
    command = [sys.executable, "-c", AS_INSTALLED]
    with _started(command, environ, port, hot, lambda body: hot in body and workload in body) as it:
        yield it


@contextmanager
def exporter(program: str, server: Server, role: str) -> Iterator[Running]:
    """postgres_exporter with the collectors it has by default, and that of pg_stat_statements."""
    port = free_port()
    environ = {"DATA_SOURCE_NAME": f"postgresql://{role}@{server.host}:{server.port}/app?sslmode=disable"}
    command = [program, "--collector.stat_statements", f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
    with _started(command, environ, port, b"\npg_up 1") as it:
        yield it


def find_exporter() -> str | None:
    """Return where postgres_exporter is, None when it is not installed."""
    return os.environ.get(EXPORTER) or shutil.which("postgres_exporter") or shutil.which("prometheus-postgres-exporter")


@contextmanager
def canned(folder: Path, plain: bytes, gzipped: bytes) -> Iterator[int]:
    """Yield the port at which waitress serves bytes from memory."""
    files = [folder / "plain", folder / "gzipped"]
    for file, content in zip(files, (plain, gzipped), strict=True):
        file.write_bytes(content)
    port = free_port()
    command = [sys.executable, str(Path(__file__).with_name("canned.py")), str(port), *map(str, files)]
    with _started(command, {}, port, b""):
        yield port


@contextmanager
def _started(
    command: list[str], environ: Mapping[str, str], port: int, up: bytes, good: Callable[[bytes], bool] | None = None
) -> Iterator[Running]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PGMON_", "PG"))}
    start = time.monotonic()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env=inherited | environ, stdout=log, stderr=log, cwd="/")
        try:
            is_up = _until(process, port, lambda body: up in body) - start
            yield Running(port, process, is_up, _until(process, port, good) - start if good else is_up)
        except BaseException:
            log.seek(0)
            print(log.read()[-2000:].decode(errors="replace"), file=sys.stderr)
            raise
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _until(process: subprocess.Popen[bytes], port: int, said: Callable[[bytes], bool], patience: float = 180) -> float:
    """Scrape until it says something; return the time by then."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), Scraper(port, "plain") as scraper:
            scraper.scrape()
            if said(scraper.body):
                return time.monotonic()
        time.sleep(0.02)
    raise TimeoutError(f"{process.args} did not answer as it should within {patience} s")
