"""What Prometheus makes of counters: whatever becomes of a Top-N or a server, no increase() is too much."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

import prometheus
import reading
import servers
from fakes import ShiftedTime
from pgmon.agent import Agent
from pgmon.feature import Tier
from proxy import Proxy
from running import Samples

READ, SCRAPED = 60, 15  # seconds, as by default
SHOWN, STATEMENTS, TURNS = 3, 8, 12
PAST = 200  # executions of each statement before: they must not count when it comes
METRIC = "pg_stmt_calls_total"


def burst(turn: int) -> dict[int, int]:
    """Return how often each statement is executed: one after the other, then from the first again, overtakes all."""
    return {nth: 2 + (20 * (turn + 1) if nth == turn % STATEMENTS else 0) for nth in range(STATEMENTS)}


def execute(server: servers.Server, calls: dict[int, int]) -> int:
    """Execute the statements, told apart by how many columns they have; return how many calls that was."""
    with server.connect(dbname="app") as connection:
        for nth, times in calls.items():
            for _ in range(times):
                connection.execute("SELECT 1" + ", 1" * nth, prepare=False)
    return sum(calls.values())


def recorded(server: servers.Server) -> tuple[list[Samples], int]:
    """Return what an agent that shows few statements exposes before and after each turn, and the calls between."""
    with server.connect() as connection:
        connection.execute("SELECT pg_stat_statements_reset()")
    time, calls = ShiftedTime(), 0
    with reading.agent(server.dsn("monitor"), time.clock(), LIMITS_TOP_QUERIES=str(SHOWN)) as agent:
        execute(server, dict.fromkeys(range(STATEMENTS), PAST))
        reading.refreshed(agent, Tier.WORKLOAD)
        exposed = [reading.samples(agent)]
        for turn in range(TURNS):
            calls += execute(server, burst(turn))
            reading.rest()  # pushed forward, time would be up for a refresh under way
            time.ahead += READ
            reading.refreshed(agent, Tier.WORKLOAD)
            exposed.append(reading.samples(agent))
    return exposed, calls


def series(exposed: list[Samples], metric: str = METRIC) -> Iterator[dict[str, str]]:
    """Yield each series of a metric, of statements those in app, as promtool has it: a value for each scrape, or _."""
    names = {labels for samples in exposed for labels in samples.get(metric, {})}
    names = {labels for labels in names if metric != METRIC or dict(labels)["db"] == "app"}
    for labels in sorted(names):
        values = [f"{samples.get(metric, {}).get(labels, '_')}" for samples in exposed]
        scraped = " ".join(value for value in values for _ in range(READ // SCRAPED))
        yield {"series": metric + "{" + ",".join(f'{k}="{v}"' for k, v in labels) + "}", "values": scraped}


@pytest.mark.fault("F36")
@pytest.mark.parametrize("pg_version", [12, servers.NEWEST], ids="pg{}".format, indirect=True, scope="session")
def test_the_increase_of_members_and_other_is_what_was_executed_while_members_change(server, tmp_path):
    exposed, calls = recorded(server)
    shown = list(series(exposed))
    seconds = READ * len(exposed) - SCRAPED
    expression = {
        "expr": f"round(sum(increase({METRIC}[{seconds}s])) / {calls}, 0.05)",
        "eval_time": f"{seconds}s",
        "exp_samples": [{"value": 1}],
    }
    test = {"interval": f"{SCRAPED}s", "input_series": shown, "promql_expr_test": [expression]}
    file = tmp_path / "increase.yaml"
    file.write_text(yaml.safe_dump({"tests": [test]}))

    assert len(shown) > SHOWN + 1  # the members did change
    code, said = prometheus.promtool("test", "rules", str(file))
    assert code == 0, said


# --- another server, and one that crashes -----------------------------------------------------------------------------


def commit(server: servers.Server, times: int) -> None:
    """Commit so many transactions in the database app, which are then counted, of an update each."""
    counted = "SELECT xact_commit FROM pg_stat_database WHERE datname = 'app'"
    with server.connect() as admin:
        before = admin.execute(counted).fetchone()[0]
    with server.connect(dbname="app") as connection:
        loop = f"FOR i IN 1..{times} LOOP UPDATE device SET name = name WHERE id = 1; COMMIT; END LOOP"
        connection.execute(f"DO $$ BEGIN {loop}; END $$")
    server.wait_for(counted.replace("xact_commit", f"xact_commit >= {before + times}"))


def turns(agent: Agent, time: ShiftedTime, n: int = 2) -> list[Samples]:
    """Return what is exposed after each of so many minutes."""
    exposed = []
    for _ in range(n):
        reading.rest()
        time.ahead += READ
        reading.refreshed(agent, Tier.WORKLOAD)
        exposed.append(reading.samples(agent))
    return exposed


def increases(exposed: list[Samples], file: Path, most: Mapping[str, float]) -> tuple[int, str]:
    """Let promtool see that no increase() over all that was exposed is more than what was counted."""
    seconds = READ * len(exposed) - SCRAPED
    tests = [
        {
            "expr": f"sum(increase({metric}[{seconds}s])) <= bool {limit}",
            "eval_time": f"{seconds}s",
            "exp_samples": [{"labels": "{}", "value": 1}],
        }
        for metric, limit in most.items()
    ]
    shown = [one for metric in most for one in series(exposed, metric)]
    test = {"interval": f"{SCRAPED}s", "input_series": shown, "promql_expr_test": tests}
    file.write_text(yaml.safe_dump({"tests": [test]}))
    return prometheus.promtool("test", "rules", str(file))


# Of the updates twenty come while we look, or none; the rest is what pgmon itself and autovacuum count meanwhile.
OURS = {"pg_tup_updated_total": 50, "pg_xact_commit_total": 500, METRIC: 400}


@pytest.mark.parametrize("counted", [(1000, 20), (20, 1000)], ids=["fewer", "more"])
@pytest.mark.parametrize("major", [12, servers.NEWEST], ids="pg{}".format)
def test_what_another_server_behind_the_address_had_counted_is_no_increase(fresh_server, major, counted, tmp_path):
    first, second = fresh_server(major), fresh_server(major, distinct=True)
    for server, times in zip((first, second), counted, strict=True):
        commit(server, times)
    time = ShiftedTime()
    with (
        Proxy(first.host, first.port) as proxy,
        reading.agent(first.dsn("monitor", port=proxy.port), time.clock()) as agent,
    ):
        exposed = turns(agent, time, 3)
        proxy.target(second.host, second.port)
        proxy.reset()
        exposed += turns(agent, time, 3)

    code, said = increases(exposed, tmp_path / "test.yaml", OURS)
    assert code == 0, said


@pytest.mark.parametrize("major", [12, servers.NEWEST], ids="pg{}".format)
def test_a_crash_makes_no_increase(fresh_server, major, tmp_path):
    server, time = fresh_server(major), ShiftedTime()
    commit(server, 1000)
    with reading.agent(server.dsn("monitor"), time.clock()) as agent:
        exposed = turns(agent, time, 3)
        server.crash()
        commit(server, 20)
        exposed += turns(agent, time, 3)

    code, said = increases(exposed, tmp_path / "test.yaml", OURS)
    assert code == 0, said
