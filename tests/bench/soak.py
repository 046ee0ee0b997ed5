"""Whether an agent that lives for long stays as it is: memory, threads, descriptors, series, and everything it keeps.

    PYTHONPATH=.:tests python tests/bench/soak.py cycles 100000
    PYTHONPATH=.:tests python tests/bench/soak.py minutes 30

`cycles`: refreshes of the hot path back to back, every fifth with a tick of the alerts, every twentieth with a scrape
and a refresh of the workload, fewer with those of the other loops and with a page; time is pushed forward. Before the
server a proxy breaks the connection in every way it knows, and what there is to see in the server changes all the
time. Ctrl-C ends it with a verdict on what was.
`minutes`: the agent as a process of its own, in real time, with four scrapers, two readers of pages, and pgbench.
Both print what they see, and end with 1 when something grows.
"""

from __future__ import annotations

import logging
import os
import random
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import linear_regression, mean
from typing import Any

import psycopg
from pytest_httpserver import HTTPServer

import reading
import servers
from fakes import ShiftedTime
from pgmon import logs
from pgmon.agent import Agent
from pgmon.cli import one_heap
from pgmon.feature import Tier
from pgmon.features import FEATURES
from pgmon.web import create_app
from proxy import Proxy
from running import Process, configured, value
from servers import Server, prepare

Fault = tuple[Callable[[], None], Callable[[], None], int]  # what breaks, what mends, after how many refreshes

SAMPLES = 60  # rows of a run
WARMUP = 0.5  # of a run, in which caches fill
SHARE = 0.03  # of its mean by which a number may grow, along its line, after the warm-up …
LEAST = {"rss_mb": 2, "threads": 1, "fds": 2, "series": 20, "kept": 500}  # … or by so much, for few come and go
PAGES = ("/", "/activity", "/queries", "/storage", "/partitions", "/replication", "/autovacuum", "/alerts", "/status")
NAMED = ("connections", "locks", "transactions")
QUICK = {  # what a fault may take of the time that really passes
    "BUDGETS_HOT_PATH": "200ms",
    "BUDGETS_WORKLOAD": "300ms",
    "BUDGETS_STORAGE": "1s",
    "BUDGETS_HOURLY": "2s",
    "TIMEOUTS_CONNECT_TIMEOUT_S": "2",
}
# What is bounded by a setting is bounded so low that a run comes to its bound: pgmon holds as many statements as the
# server, and with every sample of the last hour those that left the first ones, four times as many as these at most.
FEW = {"LIMITS_TOP_QUERIES": "5"}
SMALL = {"max_connections": "30", "pg_stat_statements.max": "200"}
# Of the hot path only what has names that come and go; of the other loops everything.
FOREMOST = [f for f in FEATURES if f.tier is not Tier.HOT_PATH or (f.of or f).name in NAMED]
SLOWER = {  # so that most cycles are the hot path's alone
    "SAMPLE_INTERVALS_WORKLOAD": "5m",
    "SAMPLE_INTERVALS_STORAGE": "1h",
    "SAMPLE_INTERVALS_HOURLY": "6h",
    "MAX_STALE_WORKLOAD": "15m",
    "MAX_STALE_STORAGE": "3h",
    "MAX_STALE_HOURLY": "18h",
}


@dataclass
class Course:
    """Numbers as they were in the course of a run."""

    rows: list[Mapping[str, float]] = field(default_factory=list)

    def note(self, row: Mapping[str, float]) -> None:
        """Add a row, and print it under a head."""
        if not self.rows:
            print("  ".join(f"{name:>10}" for name in row))
        self.rows.append(row)
        print("  ".join(f"{number:10.6g}" for number in row.values()), flush=True)

    def growth(self) -> Mapping[str, tuple[float, float]]:
        """Return the mean of every number after the warm-up, and by how much it grew in that time, along its line."""
        late = self.rows[int(len(self.rows) * WARMUP) :]
        at = range(len(late))
        columns = {name: [row[name] for row in late] for name in late[0]}
        return {name: (mean(ys), linear_regression(at, ys).slope * len(ys)) for name, ys in columns.items()}

    def verdict(self) -> list[str]:
        """Print the growth of every number; return those that grew."""
        grown = {name: grew for name, grew in self.growth().items() if name in LEAST}
        for name, (level, grew) in grown.items():
            print(f"{name}: {level:.6g} on average, grew by {grew:+.4g} ({grew / max(level, 1):+.2%})")
        return [name for name, (level, grew) in grown.items() if grew > max(SHARE * level, LEAST[name])]


# --- cycles -----------------------------------------------------------------------------------------------------------


def kept(thing: object, *without: object) -> int:
    """Return how many items all containers have that can be reached from something of pgmon's through pgmon's own."""
    seen = {id(one) for one in without}
    total, left = 0, deque([thing])
    while left:
        one = left.popleft()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, dict):
            total += len(one)
            left.extend([*one.keys(), *one.values()])
        elif isinstance(one, (list, tuple, set, frozenset, deque)):
            total += len(one)
            left.extend(one)
        elif type(one).__module__.startswith("pgmon.") or type(one).__module__ == "cachetools":
            left.extend(getattr(one, name, None) for name in _attributes(one))
    return total


def _attributes(thing: object) -> Iterator[str]:
    yield from getattr(thing, "__dict__", ())
    for kind in type(thing).__mro__:
        yield from getattr(kind, "__slots__", ())


class Life:
    """What goes on in a server: names come and go, statements are new, sessions wait, or hold a transaction."""

    def __init__(self, server: Server) -> None:
        self._server, self._turn = server, 0
        self._admin = server.connect(dbname="app")
        self._sessions: deque[psycopg.Connection] = deque()

    def goes_on(self) -> None:
        """Change everything that has a name."""
        self._turn += 1
        n, before = self._turn, max(self._turn - 3, 0)
        self._admin.execute(f"DROP TABLE IF EXISTS soak_{before}")
        self._admin.execute(f"CREATE TABLE soak_{n} (id bigserial PRIMARY KEY, column_{n} text)")
        self._admin.execute(f"INSERT INTO soak_{n} (column_{n}) SELECT n::text FROM generate_series(1, 100) AS n")
        self._sessions.append(self._server.connect(dbname="app", application_name=f"soak {n}"))
        self._sessions[-1].execute(f"BEGIN; LOCK TABLE soak_{n}")
        if len(self._sessions) > 2:
            self._sessions.popleft().close()
        if n % 20 == 0:  # another database each time
            with self._server.connect() as home:
                home.execute(f"CREATE DATABASE soak_{n}")
                home.execute(f"DROP DATABASE IF EXISTS soak_{n - 20} WITH (FORCE)")  # an agent may be in it

    def close(self) -> None:
        """End it."""
        for session in (*self._sessions, self._admin):
            session.close()


def faults(server: Server, proxy: Proxy) -> Sequence[Fault]:
    """Return the faults; the first three take no time."""

    def unplug() -> None:
        proxy.refuse()
        proxy.reset()

    def terminate() -> None:
        with server.connect() as admin:
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgmon'")

    def nothing() -> None:
        pass

    return (
        (proxy.reset, nothing, 1),
        (terminate, nothing, 1),
        (proxy.half_close, nothing, 1),
        (unplug, proxy.listen, 8),
        (lambda: proxy.delay(0.01), lambda: proxy.delay(0), 5),
        (lambda: proxy.drip(2000), lambda: proxy.drip(None), 2),
        (proxy.freeze, proxy.thaw, 2),
        (lambda: server.freeze_backend(random.choice(backends(server))), server.thaw, 2),
    )


def backends(server: Server) -> list[int]:
    """Return pgmon's backends; where there is none, the one that asks."""
    with server.connect() as admin:
        ours = "SELECT pid FROM pg_stat_activity WHERE application_name = 'pgmon'"
        return [pid for (pid,) in admin.execute(ours)] or [admin.info.backend_pid]


class Soak:
    """An agent in this process, all of whose loops turn as often as they do in so many intervals of the hot path."""

    def __init__(self, server: Server, proxy: Proxy, receiver: HTTPServer) -> None:
        self.time, self.server, self.proxy = ShiftedTime(), server, proxy
        self._receiver = receiver
        self.life = Life(server)
        self.course, self.failed, self.refreshes, self.slowest = Course(), 0, 0, 0.0
        self.faults = faults(server, proxy)

    def run(self, cycles: int, fault_every: int = 400, step: float = 15.0) -> list[str]:
        """Turn, so many seconds at a time; return what grew."""
        self._step = step
        environ = QUICK | SLOWER | FEW | {"NOTIFIERS_WEBHOOK": self._receiver.url_for("/hook")}
        dsn = self.server.dsn("monitor", port=self.proxy.port)
        agent = Agent(configured(dsn, **environ), self.time.clock(), FOREMOST)
        with ExitStack() as stack:
            stack.callback(agent.close)
            stack.callback(reading.rest)
            for mend in (self.proxy.thaw, self.server.thaw, self.life.close):
                stack.callback(mend)
            with suppress(KeyboardInterrupt):
                self._turns(agent, cycles, fault_every)
            return self.course.verdict()

    def _turns(self, agent: Agent, cycles: int, fault_every: int) -> None:
        client, mend = create_app(agent).test_client(), {}
        for cycle in range(cycles):
            if cycle % fault_every == 0:
                self.life.goes_on()
                harm, mended, lasting = self.faults[cycle // fault_every % len(self.faults)]
                harm()
                mend[cycle + lasting] = mended
            if cycle in mend:
                mend.pop(cycle)()
            self._turn(agent, client, cycle)
            if cycle % max(cycles // SAMPLES, 1) == 0:
                self.course.note({"cycle": cycle, **self._look(agent)})

    def _turn(self, agent: Agent, client: Any, cycle: int) -> None:
        """Let a moment pass, as the ticker, a scraper and somebody who reads a page see them."""
        self.time.ahead += self._step
        if cycle % 5 == 0:
            agent.tick()
        for cache in agent.caches.values():  # pushed forward, time would be up for who still flies
            cache.read(5)
        self.refreshes += 1
        if cycle % 20 == 0:
            begun = time.monotonic()
            self.failed += client.get("/metrics").status_code != 200
            self.slowest = max(self.slowest, time.monotonic() - begun)
        if cycle % 200 == 0:
            self.failed += client.get(PAGES[cycle // 200 % len(PAGES)]).status_code != 200

    def _look(self, agent: Agent) -> Mapping[str, float]:
        reading.rest()
        self._receiver.clear_log()  # it keeps every message, in this process
        return {
            **process(os.getpid()),
            "series": agent.exposition.size,
            "kept": kept(agent, agent.engine.history),  # of which 200 are kept, in this run fewer
            "alerts": len(agent.engine.history),
            "errors": sum(s.errors for c in agent.caches.values() if (s := c.latest)),
            "lost": sum(c.lost for c in agent.caches.values()),
        }


def process(pid: int) -> Mapping[str, float]:
    """Return what a process holds."""
    folder = Path(f"/proc/{pid}")
    pages = int((folder / "statm").read_text().split()[1])
    return {
        "rss_mb": pages * resource.getpagesize() / 2**20,
        "threads": len(list((folder / "task").iterdir())),
        "fds": len(list((folder / "fd").iterdir())),
    }


@contextmanager
def soaking(major: int = servers.NEWEST) -> Iterator[Soak]:
    """Start a server, a proxy before it, and a receiver of messages that takes every second one."""
    with Server(major, SMALL) as server, Proxy(server.host, server.port) as proxy:
        prepare(server)
        with HTTPServer() as receiver:
            receiver.no_handler_status_code = 500
            receiver.expect_request("/hook").respond_with_data("ok")
            yield Soak(server, proxy, receiver)


def turn(cycles: int) -> list[str]:
    """Soak; return what is wrong."""
    logs.configure("error", "json")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # the receiver's
    one_heap()
    began = time.monotonic()
    with soaking() as soak:
        grown = soak.run(cycles)
        took = time.monotonic() - began
        print(f"{soak.refreshes} cycles in {took:.0f} s, {soak.refreshes * 15 / 86400:.1f} days of an agent")
        print(f"answers that were not 200: {soak.failed}; slowest /metrics {soak.slowest:.2f} s")
        return [*grown, *(["answers"] if soak.failed else [])]


# --- minutes ----------------------------------------------------------------------------------------------------------


class Visitor(threading.Thread):
    """Asks for pages, one after the other, with a pause after each."""

    def __init__(self, agent: Process, paths: Sequence[str], pause: float) -> None:
        super().__init__(daemon=True)
        self._agent, self._paths, self._pause = agent, paths, pause
        self.ended = threading.Event()
        self.asked = self.failed = 0
        self.slowest = 0.0

    def run(self) -> None:
        """Ask until told to end."""
        while not self.ended.wait(self._pause):
            begun = time.monotonic()
            with suppress(OSError):
                self.failed += self._agent.get(self._paths[self.asked % len(self._paths)])[0] != 200
                self.asked += 1
                self.slowest = max(self.slowest, time.monotonic() - begun)
                continue
            self.failed += 1


def watch(minutes: float) -> list[str]:
    """Let the agent run in real time; return what is wrong."""
    course = Course()
    with ExitStack() as stack:
        server = stack.enter_context(Server(servers.NEWEST, {"max_connections": "30"}))
        prepare(server)
        stack.enter_context(loaded(server))
        agent = stack.enter_context(Process(server.dsn("monitor")))
        agent.wait_for("pg_up", 1)
        scrapers = [Visitor(agent, ("/metrics",), pause) for pause in (5, 10, 15, 15)]
        readers = [Visitor(agent, PAGES, 2), Visitor(agent, [f"/api/v1{p}" for p in ("/overview", "/activity")], 3)]
        for visitor in (*scrapers, *readers):
            visitor.start()
        began = time.monotonic()
        while (past := time.monotonic() - began) < minutes * 60:
            time.sleep(minutes)  # sixty samples
            samples = agent.scrape()
            series = value(samples, "pgmon_series") or 0
            course.note({"seconds": past, **process(agent.process.pid), "series": series})
        for visitor in (*scrapers, *readers):
            visitor.ended.set()
            visitor.join()
        failed = sum(v.failed for v in (*scrapers, *readers))
        for name, visitors in (("scrapes", scrapers), ("pages", readers)):
            slowest = max(v.slowest for v in visitors)
            print(f"{name}: {sum(v.asked for v in visitors)}, the slowest {slowest:.2f} s")
        print(f"answers that were not 200: {failed}; lines logged: {agent.said().count(chr(10))}")
        return [*course.verdict(), *(["answers"] if failed else [])]


@contextmanager
def loaded(server: Server) -> Iterator[None]:
    """Let pgbench run against a server."""
    program = shutil.which("pgbench") or sys.exit("pgbench is needed")
    where = [f"--host={server.host}", f"--port={server.port}", "--username=postgres", "app"]
    subprocess.run([program, "--initialize", "--scale=2", "--quiet", *where], check=True, capture_output=True)
    load = subprocess.Popen(
        [program, "--client=2", "--rate=100", "--time=86400", *where],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        load.terminate()
        load.wait()


def main(kind: str, amount: str) -> int:
    """Run one of both; return 1 when something is wrong."""
    wrong = turn(int(amount)) if kind == "cycles" else watch(float(amount))
    print(f"wrong: {', '.join(wrong)}" if wrong else "flat")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
