"""What Prometheus makes of the Top-N: while members come and go, the sum of increase() is what was executed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

import prometheus
import reading
import servers
from fakes import ShiftedTime
from pgmon.feature import Tier
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


def series(exposed: list[Samples]) -> Iterator[dict[str, str]]:
    """Yield each series of the database app as promtool has it: a value for each scrape, _ where there is none."""
    names = {labels for samples in exposed for labels in samples[METRIC] if dict(labels)["db"] == "app"}
    for labels in sorted(names):
        values = [f"{samples[METRIC].get(labels, '_')}" for samples in exposed]
        scraped = " ".join(value for value in values for _ in range(READ // SCRAPED))
        yield {"series": METRIC + "{" + ",".join(f'{k}="{v}"' for k, v in labels) + "}", "values": scraped}


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
