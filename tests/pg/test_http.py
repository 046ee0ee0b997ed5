"""The HTTP face of an agent that watches a real server."""

from __future__ import annotations

import gzip
from dataclasses import replace

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

import running
import servers
from pgmon.agent import TIERS, Agent
from pgmon.exposition import sanitised
from pgmon.feature import Tier
from pgmon.features.prepared import PREPARED
from pgmon.features.transactions import TRANSACTIONS
from pgmon.web import create_app
from reading import landed


def on(*majors):
    """Run a test on servers of a few versions."""
    return pytest.mark.parametrize("pg_version", majors, ids="pg{}".format, indirect=True, scope="session")


newest, each_end = on(servers.NEWEST), on(12, servers.NEWEST)

DEAD = "postgresql://monitor@127.0.0.1:1/postgres"


@pytest.fixture
def lonely():
    """Return a client of an agent whose server is not there."""
    with running.agent(DEAD) as agent:
        yield create_app(agent).test_client()


def names_of(text):
    return {family.name for family in text_string_to_metric_families(text)}


# --- /metrics ---------------------------------------------------------------------------------------------------------


@newest
def test_metrics_are_text_unless_asked_otherwise(client):
    answer = client.get("/metrics")

    assert (answer.status_code, answer.content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert {"pg_up", "pg_connections", "pgmon_build_info", "process_cpu_seconds"} <= names_of(answer.text)


@newest
def test_metrics_are_openmetrics_when_asked(client):
    answer = client.get("/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.1"})

    assert answer.content_type == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert "pg_connections" in {family.name for family in openmetrics_families(answer.text)}


@newest
def test_both_formats_have_the_same_samples(client):
    text = text_string_to_metric_families(client.get("/metrics").text)
    other = openmetrics_families(client.get("/metrics", headers={"Accept": "application/openmetrics-text"}).text)
    found = [{(s.name, *s.labels.items()) for f in families for s in f.samples} for families in (text, other)]

    assert found[0] == found[1]


@newest
def test_metrics_are_packed_for_who_can_unpack(client):
    names = {"name[]": "pg_max_connections"}
    packed = client.get("/metrics", query_string=names, headers={"Accept-Encoding": "gzip"})

    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == client.get("/metrics", query_string=names).data


@newest
def test_a_plain_scrape_has_the_headers_of_every_answer(client):
    plain, named = (client.get("/metrics", query_string=names) for names in ("", {"name[]": "pg_max_connections"}))

    assert sorted(plain.headers.keys()) == sorted(named.headers.keys())


@newest
@pytest.mark.parametrize("accepted", ["identity", "gzip;q=0", "br", ""])
def test_metrics_are_plain_for_who_cannot_unpack(client, accepted):
    answer = client.get("/metrics", headers={"Accept-Encoding": accepted})

    assert "Content-Encoding" not in answer.headers
    assert "# TYPE pg_up gauge" in answer.text


@newest
@pytest.mark.parametrize("name", ["pg_connections", "pg_xact_commit_total", "pgmon_build_info", "process_open_fds"])
def test_one_family_is_served_by_its_name(client, name):
    answer = client.get("/metrics", query_string={"name[]": name})

    assert answer.status_code == 200
    assert names_of(answer.text) == {name.removesuffix("_total")}


@newest
def test_several_families_are_served_by_their_names(client):
    answer = client.get("/metrics?name[]=pg_up&name[]=pg_connections&name[]=pg_up")

    assert names_of(answer.text) == {"pg_up", "pg_connections"}


@newest
def test_a_family_asked_for_by_name_is_all_that_is_read(server):
    with running.agent(server.dsn("monitor")) as agent:
        answer = create_app(agent).test_client().get("/metrics?name[]=pg_connections")

        assert names_of(answer.text) == {"pg_connections"}
        assert {tier for tier, cache in agent.caches.items() if cache.latest} == {Tier.HOT_PATH}


@newest
def test_an_unknown_name_is_refused_with_the_nearest_one(client):
    answer = client.get("/metrics?name[]=pg_conections")

    assert answer.status_code == 400
    assert answer.text == "there is no metric of that name; did you mean pg_connections?\n"


ODD_ACCEPTS = [
    "application/openmetrics-text;version=abc",
    'application/openmetrics-text; version="1.0.0"',
    "application/openmetrics-text;version=99.1",
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
    "text/html",
    ";;;,,,===",
    "text/plain;version=0.0.4;escaping=allow-utf-8",
    "é",
    "",
]


@pytest.mark.fault("F56")
@newest
@pytest.mark.parametrize("accept", ODD_ACCEPTS)
def test_an_odd_accept_gets_text(client, accept):
    answer = client.get("/metrics", headers={"Accept": accept})

    assert (answer.status_code, answer.content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")


@pytest.mark.fault("F56")
@newest
@pytest.mark.parametrize("seconds", ["", "abc", "nan", "inf", "-1", "0", "0.001", "1e9", "10", "١٠"])
def test_an_odd_timeout_is_no_obstacle(client, seconds):
    answer = client.get("/metrics", headers={"X-Prometheus-Scrape-Timeout-Seconds": seconds})

    assert answer.status_code == 200


@pytest.mark.fault("F57")
@newest
def test_a_head_is_answered_without_a_body(client):
    answer = client.head("/metrics")

    assert (answer.status_code, answer.data) == (200, b"")


@pytest.mark.fault("F57", "F62")
@newest
@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/livez", "/", "/api/v1/status"])
def test_nothing_can_be_changed(client, method, path):
    answer = getattr(client, method)(path)

    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]


# --- health -----------------------------------------------------------------------------------------------------------


@newest
def test_an_agent_that_sees_its_server_is_well(client):
    answer = client.get("/healthz")

    assert (answer.status_code, answer.json["database"], answer.json["guard"]) == (200, "up", "passed")
    assert answer.json["loops"] == dict.fromkeys(TIERS, "on schedule")


def test_an_agent_without_its_server_is_not_well_and_says_why(lonely):
    lonely.get("/metrics")
    answer = lonely.get("/healthz")

    assert (answer.status_code, answer.json["status"]) == (503, "failing")
    assert answer.json["database"].startswith("unreachable: ")


@newest
def test_an_agent_that_sees_its_server_is_ready(client):
    answer = client.get("/readyz")

    assert (answer.status_code, answer.json) == (200, {"ready": True})


def test_an_agent_without_its_server_is_not_ready(lonely):
    answer = lonely.get("/readyz")

    assert (answer.status_code, answer.json) == (503, {"ready": False})


def test_an_agent_without_its_server_lives(lonely):
    answer = lonely.get("/livez")

    assert (answer.status_code, answer.text) == (200, "ok\n")


def test_without_a_server_the_metrics_say_so(lonely):
    answer = lonely.get("/metrics")

    assert answer.status_code == 200
    assert running.value(running.parsed(answer.text), "pg_up") == 0


# --- hostile names ----------------------------------------------------------------------------------------------------


@pytest.mark.fault("F46")
@newest
def test_a_hostile_table_name_is_one_label_in_the_metrics(client):
    samples = running.parsed(client.get("/metrics").text)

    assert running.value(
        samples, "pg_table_never_autovacuumed", relation=sanitised(f"public.{servers.HOSTILE_NAME}"), db="app"
    )


# --- a bug of ours ----------------------------------------------------------------------------------------------------


class Unshowable:
    """A value that nobody thought of."""

    def __str__(self):
        raise RuntimeError("a bug")


@pytest.mark.fault("F66")
@newest
def test_a_panel_that_fails_leaves_the_others_on_its_page(server):
    def wrong(raw, before, config):
        return [replace(row, application=Unshowable()) for row in TRANSACTIONS.derive(raw, before, config)]

    features = [PREPARED, replace(TRANSACTIONS, derive=wrong)]
    agent = Agent(running.configured(server.dsn("monitor")), features=features)
    try:
        landed(agent)
        answer = create_app(agent).test_client().get("/activity")
    finally:
        agent.close()

    assert answer.status_code == 200
    assert answer.text.count("pgmon failed to show it") == 1
    assert 'id="prepared"' in answer.text
