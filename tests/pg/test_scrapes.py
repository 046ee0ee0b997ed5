"""Scrapes and what they send: each statement once, whoever asks, and never more than four sessions."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import servers
from pgmon.feature import Role, Scope, Tier
from pgmon.features import FEATURES
from pgmon.web import create_app
from running import Process
from servers import Server
from watching import PROMISE, SESSIONS, Watch, pids, sessions

MARKER = re.compile(r"/\* pgmon:(\w+) \*/")
DATABASES = 2  # app and postgres
SCRAPERS = 64


@pytest.fixture(scope="module")
def logging() -> Iterator[Server]:
    """Return a server that logs every statement."""
    with Server(16, {"log_statement": "all"}) as running:
        servers.prepare(running)
        yield running


@pytest.fixture
def server(logging: Server) -> Iterator[Server]:
    """Return that server, without sessions of pgmon before and after."""
    yield logging
    logging.thaw()
    logging.wait_for("SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE application_name = 'pgmon'", 0)


@pytest.fixture
def sent(server: Server) -> Callable[[], Counter[str]]:
    """Return a function that counts what was sent since it was last called, by feature."""
    seen = len(server.log())

    def since() -> Counter[str]:
        nonlocal seen
        new, seen = server.log()[seen:], len(server.log())
        return Counter(MARKER.findall(new))

    return since


def of_tiers(*tiers: Tier) -> dict[str, int]:
    """Return how often each statement of some tiers is sent in one pass on a primary."""
    return {
        f.name: DATABASES if f.scope is Scope.DATABASE else 1
        for f in FEATURES
        if f.tier in tiers and f.of is None and f.role is not Role.STANDBY
    }


def features(counted: Counter[str]) -> dict[str, int]:
    """Return the counts without those of the flights themselves."""
    return {name: n for name, n in counted.items() if name not in ("facts", "session")}


@pytest.mark.fault("F52")
def test_cold_scrapes_all_at_once_send_each_statement_once(server, sent):
    with Watch(server.dsn("monitor")) as watch, ThreadPoolExecutor(SCRAPERS) as pool:
        app, gate = create_app(watch.agent), threading.Barrier(SCRAPERS)

        def scrape(_: int) -> int:
            gate.wait()
            return app.test_client().get("/metrics").status_code

        answers = list(pool.map(scrape, range(SCRAPERS)))
        watch.rest()
        crowd = sessions(server)
        list(pool.map(scrape, range(SCRAPERS)))  # for what waited until the storage loop had chosen
        watch.rest()
        once = sent()
        list(pool.map(scrape, range(SCRAPERS)))

        assert answers == [200] * SCRAPERS
        assert features(once) == of_tiers(*watch.agent.caches)  # what the guard has asked, the hourly loop does not
        assert crowd <= SESSIONS
        assert sent() == {}  # all of it is fresh


def test_a_scraper_at_the_very_interval_gets_a_refresh_each_time(server, sent):
    with Watch(server.dsn("monitor")) as watch:
        watch.scrape()
        start = watch.time()
        for n in range(1, 9):
            watch.rest()
            watch.scrape(start + 15 * n - watch.time())
        watch.rest()

        counted = sent()
        assert counted["connections"] == 1 + 8
        assert counted["throughput"] == 1 + 2  # every minute


def test_a_named_metric_sends_the_statements_of_its_tier_only(server, sent):
    with Watch(server.dsn("monitor")) as watch:
        client = create_app(watch.agent).test_client()
        answer = client.get("/metrics?name[]=pg_connections")
        watch.rest()

        assert (answer.status_code, "pg_connections{" in answer.text) == (200, True)
        assert features(sent()) == of_tiers(Tier.HOT_PATH) | {"privileges": 1, "grants": 2}  # the guard's
        client.get("/metrics?name[]=pgmon_build_info")
        client.get("/livez")
        client.get("/healthz")
        watch.rest()
        assert sent() == {}


def test_nothing_is_sent_before_somebody_asks(server, sent):
    with Watch(server.dsn("monitor")) as watch:
        families = [family.name for tier in watch.agent.exposition._tiers for family in tier.describe()]

        assert "pg_connections" in families
        assert (sent(), sessions(server), watch.agent.door.connects) == ({}, 0, 0)


@pytest.mark.fault("F52")
def test_livez_answers_while_every_scraper_waits_for_a_frozen_server(server):
    environ = {"PGMON_SAMPLE_INTERVALS_HOT_PATH": "1s", "PGMON_HTTP_THREADS": "8"}
    with Process(server.dsn("monitor"), environ=environ) as pgmon, ThreadPoolExecutor(SCRAPERS) as pool:
        pgmon.wait_for("pg_up", 1)
        for pid in [*pids(server), server.postmaster_pid]:
            server.freeze_backend(pid)
        slowest = 0.0
        for _ in range(2):
            scrapes = [pool.submit(pgmon.get, "/metrics", 10) for _ in range(SCRAPERS)]
            while not all(scrape.done() for scrape in scrapes):
                start = time.monotonic()
                assert pgmon.get("/livez")[0] == 200
                slowest = max(slowest, time.monotonic() - start)
            assert {scrape.result()[0] for scrape in scrapes} == {200}
        pgmon.wait_for("pg_up", 0)
        server.thaw()

        assert slowest <= PROMISE
        assert sessions(server) <= SESSIONS
