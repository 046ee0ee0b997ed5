"""What pgmon costs and is worth beside postgres_exporter on the same servers: one table for docs/performance.md.

    PYTHONPATH=.:tests python tests/bench/side_by_side.py [--majors 16 14] [--tables 100 1000 10000 100000]
        [--rounds 10] [--results FILE] [--write docs/performance.md] [--quick]

One server per version grows from size to size; each agent runs against it in turn. Every case is written as soon as it
is measured: to the results (JSON, which a later run adds to) and to the table between the markers. postgres_exporter is
looked for on the PATH; PGMON_BENCH_POSTGRES_EXPORTER names another place. Without it there are no ratios to it.
--quick measures 100 tables on one version, and fails when one of the limits is exceeded.
"""

from __future__ import annotations

import argparse
import gzip
import json
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import reading
from bench import table
from bench.application import overhead
from bench.processes import Running, canned, exporter, find_exporter, pgmon, server_cpu, success
from bench.scraping import TIMEOUT, Scraper, in_turn, quantile
from bench.shop import OTHER, grow, shop
from fakes import ShiftedTime
from pgmon.agent import TIERS
from pgmon.web import create_app
from servers import Server, memory

HOUR, EVERY = 3600, 15  # seconds, also between scrapes
COLLECTED = 0.6  # seconds after which the statistics collector (to 14) writes its file anew for who asks
WORKLOAD = 4  # scrapes from one reading of the workload to the next
CLIENTS = 50
OURS = "monitor"  # the role of pgmon
SOON = {
    "SAMPLE_INTERVALS_HOT_PATH": "1s",
    "SAMPLE_INTERVALS_WORKLOAD": "3s",
    "SAMPLE_INTERVALS_STORAGE": "10s",
    "SAMPLE_INTERVALS_HOURLY": "15s",
    "BUDGETS_HOURLY": "15s",
}  # much sooner than usual, for memory to be what it is after many refreshes
COLD = 22  # scrapes, one a second, each of which finds something due
PATIENCE = 15.0  # seconds for the scrapes of postgres_exporter; at least two are made
EXECUTED = "SELECT coalesce(sum({}), 0) / 1000 FROM pg_stat_statements WHERE userid = '{}'::regrole{}"
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE usename = '{}'"

Case = dict[str, float]

# What may not get worse, with room for a busy machine: the goals are in the table.
LIMITS: dict[str, tuple[Callable[[Case], float], float]] = {
    "warm scrape p50, plain, to waitress": (lambda c: c["pgmon_alone_plain_p50"] / c["canned_alone_plain_p50"], 4),
    "warm scrape p50, gzip, to waitress": (lambda c: c["pgmon_alone_gzip_p50"] / c["canned_alone_gzip_p50"], 4),
    "p50 of 50 clients, gzip, to waitress": (lambda c: c["pgmon_crowd_gzip_p50"] / c["canned_crowd_gzip_p50"], 5),
    "samples": (lambda c: c["pgmon_samples"], 10_000),
    "RSS after the start": (lambda c: c["pgmon_first_rss"], 90e6),
    "RSS": (lambda c: c["pgmon_rss"], 95e6),
    "CPU of the backends in an hour": (lambda c: c["pgmon_cpu"], 6),
    "CPU of the backends, to postgres_exporter's": (lambda c: c["pgmon_cpu"] / c["exporter_cpu"], 1),
}


# --- one server, one size ---------------------------------------------------------------------------------------------


def measure(server: Server) -> Iterator[Case]:
    """Yield what was measured of both agents on a server, piece by piece."""
    yield an_hour(server)
    yield as_a_process(server)
    yield after_refreshes(server)
    if program := find_exporter():
        yield the_other(server, program)


def an_hour(server: Server) -> Case:
    """Let pgmon live an hour of default cadence without the pauses, with a scrape every 15 s."""
    clock = ShiftedTime()
    with reading.agent(server.dsn(OURS), clock.clock()) as agent:
        scraper = create_app(agent).test_client()
        reading.landed(agent)

        def live() -> None:
            for turn in range(HOUR // EVERY):
                clock.ahead += EVERY
                if server.major < 15 and turn % WORKLOAD == 0:
                    time.sleep(COLLECTED)
                agent.tick()
                reading.rest(120)
                scraper.get("/metrics", headers={"Accept-Encoding": "gzip"})

        own = time.process_time()
        spent = _spent(server, OURS, live)
        return {
            "pgmon_cpu": spent["cpu"],
            "pgmon_executed": spent["executed"],
            "pgmon_own_cpu": time.process_time() - own,
            "hour_wall": spent["wall"],
        }


def as_a_process(server: Server) -> Case:
    """Start pgmon, and compare its answers with the same bytes from memory."""
    with pgmon(server.dsn(OURS)) as agent, Scraper(agent.port, "plain") as scraper:
        plain = everything(scraper)
        case = {"pgmon_up": agent.up, "pgmon_good": agent.good, "pgmon_first_rss": agent.rss(), **_size("pgmon", plain)}
        with Scraper(agent.port, "gzip") as packed, tempfile.TemporaryDirectory() as folder:
            packed.scrape()
            with canned(Path(folder), plain, packed.body) as port, _most_sessions(server, OURS) as sessions:
                case |= _latencies({"pgmon": agent.port, "canned": port}, rounds=6, alone=50, crowded=300)
        return case | {"pgmon_crowd_sessions": max(sessions)}


def everything(scraper: Scraper) -> bytes:
    """Return the page when every loop has been read once, or what there is after a minute."""
    until = time.monotonic() + 60
    while scraper.scrape() and time.monotonic() < until:
        if all(success(loop) in scraper.body for loop in TIERS):
            break
        time.sleep(0.2)
    return scraper.body


def after_refreshes(server: Server) -> Case:
    """Let pgmon refresh everything much more often than usual; return its memory, and scrapes that find work."""
    with pgmon(server.dsn(OURS), **SOON) as agent, _most_sessions(server, OURS) as sessions:
        with Scraper(agent.port, "gzip") as scraper:
            cold = []
            for _ in range(COLD):
                cold.append(scraper.scrape())
                time.sleep(max(1 - cold[-1], 0))
        cold.sort()
        rss = agent.rss()
    return {
        "pgmon_rss": rss,
        "pgmon_cold_p50": quantile(cold, 0.5),
        "pgmon_cold_p99": quantile(cold, 0.99),
        "pgmon_sessions": max(sessions),
    }


def the_other(server: Server, program: str) -> Case:
    """Return the same of postgres_exporter, which reads everything at each scrape."""
    with exporter(program, server, OTHER) as agent:
        took: list[float] = []

        def scrapes() -> None:
            with Scraper(agent.port, "gzip") as scraper:
                while len(took) < 2 or (len(took) < 40 and sum(took) < PATIENCE):
                    took.append(scraper.scrape())

        own = agent.cpu()
        try:
            spent = _spent(server, OTHER, scrapes)
        except TimeoutError:
            return {"exporter_up": agent.up, "exporter_unanswered": TIMEOUT, "exporter_rss": agent.rss()}
        hourly = HOUR / EVERY / len(took)
        case = {
            "exporter_cpu": spent["cpu"] * hourly,
            "exporter_executed": spent["executed"] * hourly,
            "exporter_own_cpu": (agent.cpu() - own) * hourly,
            "exporter_wall": spent["wall"] * hourly,
            "exporter_up": agent.up,
            "exporter_alone_gzip_p50": quantile(sorted(took), 0.5),
            "exporter_alone_gzip_p99": quantile(sorted(took), 0.99),
        }
        with _most_sessions(server, OTHER) as sessions, Scraper(agent.port, "plain") as scraper:
            scraper.scrape()
            case |= _size("exporter", scraper.body)
        case |= {"exporter_sessions": max(sessions), "exporter_rss": agent.rss()}
        if case["exporter_alone_gzip_p50"] * CLIENTS < PATIENCE:
            case |= crowded(server, agent)
        return case


def crowded(server: Server, agent: Running) -> Case:
    """Let fifty clients ask postgres_exporter."""
    with _most_sessions(server, OTHER) as sessions:
        took = in_turn({"it": agent.port}, "gzip", CLIENTS, 1, 2 * CLIENTS)["it"]
    return {
        "exporter_crowd_gzip_p50": quantile(took, 0.5),
        "exporter_crowd_gzip_p99": quantile(took, 0.99),
        "exporter_crowd_sessions": max(sessions),
    }


def _latencies(ports: dict[str, int], rounds: int, alone: int, crowded: int) -> Case:
    """Return p50 and p99 of each server, asked by one client and by fifty, without and with gzip."""
    case: Case = {}
    for encoding in ("plain", "gzip"):
        for clients, requests in ((1, alone), (CLIENTS, crowded)):
            for name, took in in_turn(ports, encoding, clients, rounds, requests).items():
                key = f"{name}_{'alone' if clients == 1 else 'crowd'}_{encoding}"
                case |= {f"{key}_p50": quantile(took, 0.5), f"{key}_p99": quantile(took, 0.99)}
    return case


def _size(name: str, body: bytes) -> Case:
    samples = sum(bool(line) and not line.startswith(b"#") for line in body.splitlines())
    return {f"{name}_samples": samples, f"{name}_bytes": len(body), f"{name}_gzip": len(gzip.compress(body, 4))}


def _spent(server: Server, role: str, work: Callable[[], object]) -> dict[str, float]:
    """Return what the server used while something was done: CPU and execution time, and how long that took."""
    column, toplevel = ("total_time", "") if server.major < 13 else ("total_exec_time", " AND toplevel")
    query = EXECUTED.format(column, role, toplevel * (server.major > 13))
    with server.connect() as admin:
        executed = admin.execute(query).fetchone()[0]
        before, start = server_cpu(server), time.monotonic()
        work()
        wall, cpu = time.monotonic() - start, server_cpu(server) - before
        return {"cpu": cpu, "executed": float(admin.execute(query).fetchone()[0] - executed), "wall": wall}


@contextmanager
def _most_sessions(server: Server, role: str) -> Iterator[list[int]]:
    """A list that gets the number of the agent's sessions, ten times a second."""
    seen, done = [0], threading.Event()

    def look() -> None:
        with server.connect() as admin:
            while not done.wait(0.1):
                seen.append(admin.execute(SESSIONS.format(role)).fetchone()[0])

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield seen
    finally:
        done.set()
        looking.join()


# --- all of them ------------------------------------------------------------------------------------------------------


class Results:
    """The cases so far, on disk and in the table."""

    def __init__(self, kept: Path, page: Path | None) -> None:
        self._kept, self._page = kept, page
        self.cases: dict[str, Case] = json.loads(kept.read_text()) if kept.is_file() else {}

    def add(self, key: str, piece: Case) -> None:
        """Add to a case, and write everything."""
        self.cases.setdefault(key, {}).update(piece)
        self._kept.write_text(json.dumps(self.cases, indent=1))
        if self._page:
            table.write(self._page, self.cases)


def run(majors: list[int], sizes: list[int], rounds: int, results: Results) -> bool:
    """Measure everything; return whether all of it worked. What fails is told, and costs no other case."""
    good = True
    for major in majors:
        with shop(major) as server:
            there = 100
            for size in sorted(sizes):
                start = time.monotonic()
                if size > there:
                    grow(server, there, size)
                there = max(there, size)
                print(f"PostgreSQL {major}, {size} tables, made in {time.monotonic() - start:.0f} s", flush=True)
                good &= _all_of(f"{major}/{size}", measure(server), results)
                if rounds and major == majors[0] and size == min(10_000, max(sizes)):
                    good &= _all_of("application", overhead(server, rounds), results)
    return good


def _all_of(key: str, pieces: Iterator[Case], results: Results) -> bool:
    start = time.monotonic()
    try:
        for piece in pieces:
            results.add(key, piece)
            print(
                f"  {time.monotonic() - start:4.0f} s  {', '.join(f'{k} {v:.4g}' for k, v in piece.items())}",
                flush=True,
            )
    except Exception:
        traceback.print_exc()
        return False
    return True


def exceeded(case: Case) -> Iterator[str]:
    """Yield which limits are not kept, of what was measured."""
    for name, (measured, limit) in LIMITS.items():
        with suppress(KeyError):
            if (value := measured(case)) > limit:
                yield f"{name}: {table.number(value)} of at most {table.number(limit)}"


def main() -> int:
    """Measure, and write the table."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # whatever ends it, servers and agents end with it
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--majors", type=int, nargs="+", default=[16, 14])
    parser.add_argument("--tables", type=int, nargs="+", default=[100, 1000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=10, help="of pgbench without an agent and with each; 0: none")
    parser.add_argument("--results", type=Path, default=Path(memory() or "/tmp") / "pgmon-bench.json")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="replace the table between the markers")
    parser.add_argument("--quick", action="store_true", help="100 tables on one version, held to the limits")
    wanted = parser.parse_args()
    if wanted.quick:
        wanted.majors, wanted.tables, wanted.rounds, wanted.results = [16], [100], 0, Path("/dev/null")
    if not find_exporter():
        print("postgres_exporter is not on the PATH: pgmon is measured alone", file=sys.stderr)
    results = Results(wanted.results, wanted.write)
    good = run(wanted.majors, wanted.tables, wanted.rounds, results)
    print("\n".join(table.lines(results.cases)))
    broken = [words for case in results.cases.values() for words in exceeded(case)] if wanted.quick else []
    print("\n".join(broken))
    return 0 if good and not broken else 1


if __name__ == "__main__":
    raise SystemExit(main())
