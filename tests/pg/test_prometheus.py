"""A real Prometheus scrapes a real pgmon, in both formats."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import yaml

import running
import servers
from pgmon.web.words import PAGES, TWINS
from prometheus import Prometheus, Relay, promtool
from running import Process, Samples

FORMATS = {"openmetrics": "application/openmetrics-text; version=1.0.0", "text": "text/plain; version=0.0.4"}
# What is read once stays as it is, so that what Prometheus has can be compared with what the agent says.
HOSTILE = 'pro"d\\ \u202e😀'
LOOPS = ("hot_path", "workload", "storage", "hourly")
ONCE = {f"PGMON_{key}_{loop.upper()}": "1h" for key in ("SAMPLE_INTERVALS", "MAX_STALE") for loop in LOOPS}


def on(*majors):
    """Run a test on servers of a few versions."""
    return pytest.mark.parametrize("pg_version", majors, ids="pg{}".format, indirect=True, scope="session")


each_end = on(12, servers.NEWEST)
each_format = pytest.mark.parametrize("job", FORMATS)


def settled(agent: Process) -> None:
    """Wait until every loop was read."""
    for loop in LOOPS:
        agent.wait_for("pgmon_last_scrape_success", 1, loop=loop)


@dataclass(frozen=True)
class Scraped:
    """A Prometheus with a job for each format, the relays between, and what the agent said meanwhile.

    `asked` are the queries that the agent's panels name, by metric.
    """

    prometheus: Prometheus
    relays: dict[str, Relay]
    said: Samples
    asked: dict[str, str]


@pytest.fixture(scope="module")
def scraped(server) -> Iterator[Scraped]:
    """Return what a Prometheus has of an agent that has read everything once."""
    with Process(server.dsn("monitor"), environ={**ONCE, "PGMON_CLUSTER": HOSTILE}) as agent:
        settled(agent)
        with Relay(agent.port) as openmetrics, Relay(agent.port, "text/plain") as text:
            relays = {"openmetrics": openmetrics, "text": text}
            with Prometheus({job: relay.port for job, relay in relays.items()}) as prometheus:
                for job in FORMATS:
                    prometheus.wait_for(f'count_over_time(up{{job="{job}"}}[1m]) > bool 1', 1)
                yield Scraped(prometheus, relays, agent.scrape(), asked(agent))


def asked(agent: Process) -> dict[str, str]:
    """Return the queries of all panels by metric: a query names one."""
    pages = [json.loads(agent.get(f"/api/v1/{TWINS.get(page, page)}")[1]) for page in PAGES]
    queries = [query for page in pages for panel in page["panels"].values() for query in panel["promql"]]
    return {re.search(r"\bpg\w+", query)[0]: query for query in queries}


@each_end
@each_format
def test_prometheus_scrapes_without_an_error(scraped, job):
    assert set(scraped.relays[job].answers) == {f"{FORMATS[job]}; charset=utf-8"}
    assert scraped.prometheus.value(f'min_over_time(up{{job="{job}"}}[1m])') == 1
    assert scraped.prometheus.targets()[job]["lastError"] == ""


@each_end
@each_format
def test_prometheus_keeps_every_sample(scraped, job):
    samples = sum(map(len, scraped.said.values()))

    assert samples > 100
    assert scraped.prometheus.value(f'scrape_samples_post_metric_relabeling{{job="{job}"}}') == samples


@each_end
@each_format
@pytest.mark.parametrize("metric", ["pg_max_connections", "pg_xact_commit_total"])
def test_prometheus_reads_back_what_the_agent_says(scraped, job, metric):
    for labels, value in scraped.said[metric].items():
        selector = ",".join(f'{name}="{text}"' for name, text in (*labels, ("job", job)))
        assert scraped.prometheus.value(f"{metric}{{{selector}}}") == value


@each_end
def test_prometheus_has_an_answer_for_every_panel(scraped):
    answered = {
        metric for metric, query in scraped.asked.items() if scraped.prometheus.ask("query", query=query)["result"]
    }

    assert len(answered) > 100
    assert answered == scraped.asked.keys() & scraped.said.keys()


@each_end
@pytest.mark.parametrize("role", ["primary", "standby"])
def test_promtool_has_nothing_to_say_of_the_metrics(server, standby, role):
    watched = {"primary": server, "standby": standby}[role]
    with Process(watched.dsn("monitor")) as agent:
        settled(agent)

        assert promtool("check", "metrics", given=agent.get("/metrics")[1]) == (0, "")


@each_end
def test_every_metric_of_a_rule_is_scraped(server):
    groups = yaml.safe_load(running.command("rules")[1])["groups"]
    named = {name for group in groups for rule in group["rules"] for name in re.findall(r"\bpg\w*_\w+", rule["expr"])}
    with Process(server.dsn("monitor")) as agent:
        settled(agent)
        scraped = set(re.findall(r"^# TYPE (\S+) gauge$", agent.get("/metrics")[1], re.MULTILINE))

    assert len(named) > 40
    assert named - scraped == set()


def test_promtool_accepts_the_rules(tmp_path):
    _, printed = running.command("rules")
    (tmp_path / "pgmon.yml").write_text(printed)
    code, said = promtool("check", "rules", "--lint-fatal", str(tmp_path / "pgmon.yml"))

    assert (code, "rules found" in said) == (0, True), said
