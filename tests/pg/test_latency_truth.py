"""p95, mean, TPS and QPS of five fixed loads against the server's own log.

PGMON_TEST_LATENCY names other versions than 16 ("12 18"); PGMON_TEST_PUBLISH a file that the table is appended to.
"""

from __future__ import annotations

import math
import os
import random
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psycopg
import pytest

import reading
import running
import servers
from conftest import require
from pgmon.agent import Agent
from pgmon.feature import Tier

pytestmark = pytest.mark.slow

VERSIONS = [int(major) for major in os.environ.get("PGMON_TEST_LATENCY", "16").split()]
ATTEMPTS = 5
# The log's duration of a COMMIT has the flush of the WAL in it, pg_stat_statements' has not: here it costs nothing.
SETTINGS = {"log_min_duration_statement": "0", "fsync": "off"}
# How many calls out of a hundred take how many milliseconds on average: an application's usual mix.
MIX = {4: 30, 6: 20, 9: 15, 13: 12, 20: 9, 30: 7, 45: 4, 70: 3}
# Unlogged, or the creation of a WAL segment stops whatever statement needs it for up to 80 ms. Indexed, so that the
# last job is as quick as the first. Before 18 a parallel worker counts as two transactions.
ENTRY = """
CREATE UNLOGGED TABLE entry (job integer, n integer, kind integer, payload text, PRIMARY KEY (job, n))
WITH (parallel_workers = 0)
"""
JOB = (
    "BEGIN",
    "INSERT INTO entry SELECT {job}, n, n % 100, 'entry ' || n FROM generate_series(1, {rows}) AS n",
    "UPDATE entry SET kind = kind + 1 WHERE job = {job} AND n <= {rows} / 2",
    "SELECT kind, count(*), sum(length(payload)) FROM entry WHERE job = {job} GROUP BY kind ORDER BY kind",
    "COMMIT",
)


def shares(n: int, quantile: Callable[[float], float]) -> list[float]:
    """Return `n` durations in seconds that are the distribution itself, not a draw from it, in a fixed order."""
    durations = [quantile((i + 0.5) / n) / 1000 for i in range(n)]
    random.Random(n).shuffle(durations)
    return durations


def sleep(seconds: float, columns: int = 0) -> str:
    """Return a statement of that duration; other `columns` make it another one to pg_stat_statements."""
    return f"SELECT pg_sleep({seconds:.4f})" + ", 1" * columns


def uniform() -> list[str]:
    return [sleep(s) for s in shares(800, lambda q: 10 + 20 * q)]


def mixed() -> list[str]:
    calls = [
        sleep(s, kind)
        for kind, (ms, share) in enumerate(MIX.items())
        for s in shares(10 * share, lambda q, ms=ms: ms * (0.5 + q))
    ]
    random.Random(1).shuffle(calls)
    return calls


def skewed() -> list[str]:
    return [sleep(s) for s in shares(800, lambda q: 5 - 15 * math.log(1 - q))]


def bimodal() -> list[str]:
    return [sleep(s) for s in shares(2000, lambda q: 2 if q < 0.9 else 50)]


def batch() -> list[str]:
    # With jobs of one size, all that the 95th percentile would tell is how busy the machine was.
    sizes = [round(1000 * s) for s in shares(80, lambda q: 2000 + 6000 * q)]
    jobs = (statement.format(job=job, rows=rows) for job, rows in enumerate(sizes) for statement in JOB)
    return ["TRUNCATE entry", *jobs]


@dataclass(frozen=True)
class Load:
    """Statements that sessions take from one list, at the same time."""

    name: str
    what: str
    sessions: int
    statements: Callable[[], list[str]]
    rounds: int = 1  # of which the middle one counts: real work takes longer when others work, too


LOADS = (
    Load("uniform", "One statement of 10 to 30 ms, every duration equally likely.", 8, uniform),
    Load("mixed", "Eight statements of 4 to 70 ms, the quick ones more often, each from half to 1.5 times.", 8, mixed),
    Load("skewed", "One statement of 5 ms and more, exponential, 20 ms on average.", 8, skewed),
    Load(
        "batch",
        "Transactions that load 2000 to 8000 rows, change half of them and count all.",
        1,
        batch,
        5,
    ),
    Load("bimodal", "One statement of 2 ms, but 50 ms in one call of ten.", 8, bimodal),
)


@dataclass(frozen=True)
class Numbers:
    """What a load was, in seconds and per second."""

    p95: float
    mean: float
    tps: float
    qps: float


@dataclass(frozen=True)
class Outcome:
    """What pgmon says of a load, and what the server's log says."""

    load: Load
    calls: int
    said: Numbers
    true: Numbers


# --- the server's log -------------------------------------------------------------------------------------------------

RECORD = re.compile(
    r"(?P<at>\S+ \S+) UTC \[(?P<pid>\d+)\] (?P<user>\w+)@(?P<db>\w+) (?P<application>\S+) LOG:  "
    r"duration: (?P<ms>[\d.]+) ms  (?:statement|execute \w+): (?P<text>.*)",
    re.DOTALL,
)


@dataclass(frozen=True)
class Logged:
    """One statement of the log."""

    at: float
    pid: int
    user: str
    db: str
    seconds: float
    text: str


def logged(log: str) -> list[Logged]:
    """Return the statements of a log in which every duration is logged."""
    records = (RECORD.match(entry) for entry in re.split(r"\n(?!\t)", log))
    return [
        Logged(
            datetime.fromisoformat(r["at"] + "+00:00").timestamp(),
            int(r["pid"]),
            r["user"],
            r["db"],
            float(r["ms"]) / 1000,
            r["text"],
        )
        for r in records
        if r
    ]


def transactions(statements: Sequence[Logged]) -> int:
    """Count them: one for each COMMIT, one for each statement outside of BEGIN … COMMIT."""
    inside: set[int] = set()
    count = 0
    for s in statements:
        if s.text == "BEGIN":
            inside.add(s.pid)
        elif s.text == "COMMIT":
            inside.discard(s.pid)
        count += s.pid not in inside
    return count


def truth(log: str) -> tuple[int, Numbers]:
    """Return the calls between pgmon's two readings in the log, and their numbers; TPS is that of the database app."""
    statements = logged(log)
    first, *_, last = (i for i, s in enumerate(statements) if "/* pgmon:throughput */" in s.text)
    window = statements[first + 1 : last + 1]
    seconds = statements[last].at - statements[first].at
    durations = sorted(s.seconds for s in window if s.user != "monitor")
    return len(durations), Numbers(
        p95=durations[math.ceil(0.95 * len(durations)) - 1],
        mean=sum(durations) / len(durations),
        tps=transactions([s for s in window if s.db == "app"]) / seconds,
        qps=len(durations) / seconds,
    )


# --- the loads --------------------------------------------------------------------------------------------------------


def run(load: Load, sessions: Sequence[psycopg.Connection]) -> None:
    """Send the statements of a load, each as soon as a session is free, and end the sessions."""
    statements = iter(load.statements())
    take = threading.Lock()

    def work(session: psycopg.Connection) -> None:
        while True:
            with take:
                statement = next(statements, None)
            if statement is None:
                break
            session.execute(statement)
        session.close()  # a session counts its last transactions when it ends

    threads = [threading.Thread(target=work, args=[session]) for session in sessions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Witness(threading.Thread):
    """Sleeps a little, again and again, and notes when the machine let it oversleep: then it stalled everybody."""

    NAP, STALL, TOLERATED = 0.005, 0.02, 0.02  # seconds, and the share of the time that may be lost in stalls

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._end = threading.Event()
        self.stalled = self.seconds = 0.0

    def run(self) -> None:
        began = at = time.monotonic()
        while not self._end.wait(self.NAP):
            now = time.monotonic()
            self.stalled += now - at if now - at > self.NAP + self.STALL else 0.0
            at = now
        self.seconds = at - began

    def __enter__(self) -> Witness:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._end.set()
        self.join()

    @property
    def disturbed(self) -> bool:
        """Whether the load was not the one defined: its calls took what the machine did meanwhile."""
        return self.stalled > self.TOLERATED * self.seconds


def counted(server: servers.Server, load: Load) -> None:
    """Wait until the server has counted all that the load did; the monitor's own statements do not matter."""
    with server.connect("monitor") as connection:
        deadline = time.monotonic() + 10
        while connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", [load.name]
        ).fetchone() != (0,):
            assert time.monotonic() < deadline, f"{load.name} does not end"
            time.sleep(0.02)


def undisturbed(server: servers.Server, agent: Agent, load: Load) -> Outcome:
    """Measure a load, again when the machine was busy with something else meanwhile, five times at most."""
    for _ in range(ATTEMPTS):
        with Witness() as witness:
            outcome = measured(server, agent, load)
        if not witness.disturbed:
            break
    return outcome


def typical(server: servers.Server, agent: Agent, load: Load) -> Outcome:
    """Measure a load in all its rounds; return the one with the median of what pgmon says in terms of what is true."""
    outcomes = [undisturbed(server, agent, load) for _ in range(load.rounds)]
    return sorted(outcomes, key=lambda o: o.said.p95 / o.true.p95)[load.rounds // 2]


def measured(server: servers.Server, agent: Agent, load: Load) -> Outcome:
    """Read, run the load, read again, and compare with the log between."""
    sessions = [server.connect(dbname="app", application_name=load.name) for _ in range(load.sessions)]
    for session in sessions:
        session.prepare_threshold = None  # a prepared statement has its duration in two or three lines of the log
    begin = len(server.log())
    reading.refreshed(agent, Tier.WORKLOAD)
    run(load, sessions)
    counted(server, load)
    reading.refreshed(agent, Tier.WORKLOAD)

    samples = reading.samples(agent)
    said = Numbers(
        p95=running.value(samples, "pg_query_latency_seconds_p95"),
        mean=running.value(samples, "pg_query_latency_seconds_mean"),
        tps=running.value(samples, "pg_tps", db="app"),
        qps=running.value(samples, "pg_qps"),
    )
    calls, true = truth(server.log()[begin:])
    return Outcome(load, calls, said, true)


def table(major: int, outcomes: Sequence[Outcome]) -> str:
    """Return the outcomes as a Markdown table."""
    lines = [
        f"PostgreSQL {major}: what pgmon says / what the server's log says",
        "",
        "| load | calls | p95 ms | ratio | mean ms | ratio | TPS | ratio | QPS | ratio |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for o in outcomes:
        pairs = [
            (1000 * o.said.p95, 1000 * o.true.p95),
            (1000 * o.said.mean, 1000 * o.true.mean),
            (o.said.tps, o.true.tps),
            (o.said.qps, o.true.qps),
        ]
        cells = [cell for said, true in pairs for cell in (f"{said:.1f} / {true:.1f}", f"{said / true:.3f}")]
        lines.append(f"| {o.load.name} | {o.calls} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *(f"- {load.name}: {load.what}" for load in LOADS), ""])


@pytest.fixture(scope="module", params=VERSIONS, ids="pg{}".format)
def outcomes(request: pytest.FixtureRequest) -> dict[str, Outcome]:
    """Run the five loads, one after the other, and publish what came out, whatever it is."""
    major = require(request.param)
    with servers.Server(major, SETTINGS) as server:
        servers.prepare(server)
        with server.connect(dbname="app") as connection:
            connection.execute(ENTRY)
        settings = {"SAMPLE_INTERVALS_WORKLOAD": "1s", "BUDGETS_WORKLOAD": "1s"}
        with reading.agent(server.dsn("monitor"), **settings) as agent:
            reading.landed(agent)  # no feature waits for another any more
            found = {load.name: typical(server, agent, load) for load in LOADS}
    publish(request.config, table(major, list(found.values())))
    return found


def publish(config: pytest.Config, text: str) -> None:
    """Show the table however the output is captured, and append it to a file if one is named."""
    with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n{text}")
    if named := os.environ.get("PGMON_TEST_PUBLISH"):
        with Path(named).open("a") as file:
            file.write(f"{text}\n")


# --- what is promised -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("load", ["uniform", "mixed", "skewed", "batch"])
def test_the_95th_percentile_is_right_within_ten_percent(outcomes, load):
    said, true = outcomes[load].said, outcomes[load].true

    assert said.p95 == pytest.approx(true.p95, rel=0.10)


@pytest.mark.parametrize("load", [load.name for load in LOADS])
def test_the_mean_is_right_within_five_percent(outcomes, load):
    said, true = outcomes[load].said, outcomes[load].true

    assert said.mean == pytest.approx(true.mean, rel=0.05)


@pytest.mark.parametrize("load", [load.name for load in LOADS])
def test_transactions_per_second_are_right_within_five_percent(outcomes, load):
    said, true = outcomes[load].said, outcomes[load].true

    assert said.tps == pytest.approx(true.tps, rel=0.05)


@pytest.mark.parametrize("load", [load.name for load in LOADS])
def test_statements_per_second_are_right_within_five_percent(outcomes, load):
    said, true = outcomes[load].said, outcomes[load].true

    assert said.qps == pytest.approx(true.qps, rel=0.05)
