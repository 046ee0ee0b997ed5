"""What pgmon costs an idle server of a hundred tables in an hour, by the CPU time of its backends.

    PYTHONPATH=.:tests python tests/bench/own_cost.py [MAJOR …]

Every refresh of the hot path and the workload that an hour has is made, one after the other. CPU time is that of
pgmon's backends and, to 14, of the statistics collector, which writes a file whenever somebody reads.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from time import sleep

import reading
from fakes import ShiftedTime
from pgmon.feature import Tier
from pgmon.features.statements import COST
from servers import MAJORS, Server, prepare

HOT, WORKLOAD = 240, 60  # refreshes in an hour
PAUSE = 0.6  # seconds after which the collector writes its file anew for who asks (PGSTAT_STAT_INTERVAL is 0.5)
TABLES = """DO $$ BEGIN FOR n IN 1..100 LOOP
    EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY, x text)', n);
END LOOP; END $$"""
OURS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'pgmon'"
SPENT = "SELECT sum({}) / 1000 FROM pg_stat_statements WHERE userid = 'monitor'::regrole{}"


@dataclass
class Hour:
    """What an hour took."""

    major: int
    backend_seconds: float
    collector_seconds: float
    told_seconds: float  # pgmon_db_execution_seconds_total
    statements_seconds: float  # the same by pg_stat_statements itself
    connects: int


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used so far."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def collector(server: Server) -> int | None:
    """Return the pid of the statistics collector, None from 15 on."""
    children = Path(f"/proc/{server.postmaster_pid}/task/{server.postmaster_pid}/children").read_text().split()
    named = {int(pid): Path(f"/proc/{pid}/cmdline").read_text() for pid in children}
    return next((pid for pid, words in named.items() if "stats collector" in words), None)


def measure(major: int) -> Hour:
    """Start a server, and let pgmon watch it for the refreshes of an hour."""
    time = ShiftedTime()
    with Server(major) as server:
        prepare(server)
        with server.connect(dbname="app") as admin, reading.agent(server.dsn("monitor"), time.clock()) as agent:
            admin.execute(TABLES)
            for tier in (Tier.HOT_PATH, Tier.WORKLOAD):
                reading.refreshed(agent, tier)  # the first has connects and plans that later ones have not
            collects = collector(server)
            before = cpu_seconds(collects) if collects else 0.0
            spent = {pid: cpu_seconds(pid) for (pid,) in admin.execute(OURS)}
            for turn in range(HOT):
                time.ahead += 15
                reading.refreshed(agent, Tier.HOT_PATH)
                if turn % (HOT // WORKLOAD) == 3:
                    sleep(PAUSE if collects else 0)
                    reading.refreshed(agent, Tier.WORKLOAD)
            backends = sum(cpu_seconds(pid) - spent.get(pid, 0.0) for (pid,) in admin.execute(OURS))
            told = agent.caches[Tier.WORKLOAD].latest.readings[COST.name, ""].rows[0].own_seconds
            column, toplevel = (
                ("total_time", "") if major < 13 else ("total_exec_time", " AND toplevel" * (major >= 14))
            )
            with server.connect() as home:
                statements = home.execute(SPENT.format(column, toplevel)).fetchone()[0]
            after = cpu_seconds(collects) if collects else 0.0
            return Hour(major, backends, after - before, told, statements, agent.door.connects)


def main() -> None:
    """Print a line for each version."""
    majors = [int(argument) for argument in sys.argv[1:]] or MAJORS
    print("PostgreSQL  backends s/h  collector s/h  told s/h  pg_stat_statements s/h  connects")
    for hour in map(measure, majors):
        print(
            f"{hour.major:10}  {hour.backend_seconds:12.2f}  {hour.collector_seconds:13.2f}  {hour.told_seconds:8.2f}"
            f"  {hour.statements_seconds:22.2f}  {hour.connects:8}"
        )


if __name__ == "__main__":
    main()
