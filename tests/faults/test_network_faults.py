"""The network, and servers that do not answer: silence, resets, drops of an answer, another server behind a name."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from bouncer import Bouncer
from breaking import ended
from elsewhere import SBIN, Elsewhere
from pgmon.agent import Agent
from pgmon.db import limits_statement
from pgmon.session import Session
from proxy import Proxy, listen
from running import Samples, value
from servers import Server
from surviving import SHORT, Survivor
from watching import PROMISE, RECOVERY, SESSIONS, check, commit, eventually, pids, sessions, waiting

KILLS = "pgmon_watchdog_kills_total"
LIMITS = limits_statement(1000, 1000)


def flights() -> int:
    """Return how many refreshes are under way."""
    return sum(thread.name == "pgmon-flight" for thread in threading.enumerate())


@pytest.mark.fault("F05")
def test_a_listener_that_never_answers_is_given_up_and_left_alone(server, proxy):
    proxy.freeze()
    with Survivor(server, port=proxy.port, **SHORT) as watch:
        for _ in range(10):
            samples = watch.scrape(15)
        connects = value(samples, "pgmon_connects_total")

        assert (value(samples, "pg_up"), value(samples, "pg_connections")) == (0, None)
        assert value(samples, "pgmon_connect_error", reason="unreachable") == 1
        assert watch.agent.door._pool.get_stats()["requests_waiting"] <= 4  # they would add up for as long as it lasts
        assert connects <= 10  # one for a scrape at most, though each has four loops
        proxy.thaw()
        assert watch.until("pg_up", 1) <= RECOVERY


@pytest.mark.fault("F06")
def test_a_backend_frozen_in_a_statement_is_given_up_at_the_deadline(server):
    with Survivor(server, BUDGETS_WORKLOAD="1s") as watch, server.connect() as blocker:
        watch.scrape()
        good = watch.landed(60)
        with blocker.transaction():
            blocker.execute("LOCK TABLE pg_catalog.pg_stat_bgwriter")
            watch.start(60)
            eventually(lambda: waiting(server))
            server.freeze_backend(waiting(server)[0])
        late = watch.scrape()
        watch.until("pgmon_last_scrape_success", 1, loop="workload", within=60)
        samples = watch.scrape()

        assert value(late, "pg_checkpoints_timed_total") == value(good, "pg_checkpoints_timed_total")
        assert value(late, "pg_up") == 1  # another loop, another session
        assert value(late, "pgmon_scrape_duration_seconds", loop="workload") < 1 + 0.5 + 0.5  # budget, cancel, noise
        assert value(samples, KILLS) == 1
        assert value(samples, "pgmon_lost_refreshes_total", loop="workload") == 0
        assert sessions(server) <= SESSIONS


@pytest.mark.fault("F07")
def test_frozen_idle_sessions_are_parked_and_replaced(server):
    with Survivor(server) as watch:
        watch.scrape()
        good = watch.scrape(15)
        for pid in pids(server, "postgres")[:2]:  # of the pool's three
            server.freeze_backend(pid)
        seen = [watch.scrape(15) for _ in range(5)]
        crowd = sessions(server)
        server.thaw()
        took = watch.until("pgmon_last_scrape_success", 1, loop="workload", within=60)
        samples = watch.scrape(15)

        assert {value(s, "pg_max_connections") for s in seen} == {value(good, "pg_max_connections")}  # the last good
        assert [value(s, "pg_up") for s in seen][-1] == 1  # one refresh for each of the frozen
        assert value(samples, KILLS) == 2
        assert crowd <= SESSIONS
        assert took <= 60
        assert (sessions(server) <= SESSIONS, watch.failed(samples)) == (True, {})


@pytest.mark.fault("F07")
def test_with_every_session_frozen_none_is_added_and_they_come_back(server):
    with Survivor(server, **SHORT) as watch:
        watch.scrape()
        watch.scrape(15)
        for pid in pids(server):
            server.freeze_backend(pid)
        for _ in range(10):
            samples = watch.scrape(15)
        crowd = sessions(server)
        server.thaw()

        assert (value(samples, "pg_up"), value(samples, "pg_connections")) == (0, None)
        assert crowd <= SESSIONS
        assert watch.until("pg_up", 1) <= RECOVERY
        assert sessions(server) <= SESSIONS


@pytest.mark.fault("F08")
def test_refreshes_in_black_holes_leave_no_session_and_no_thread(server, proxy):
    with Survivor(server, port=proxy.port, **SHORT) as watch:
        watch.until("pg_up", 1)
        threads = threading.active_count()
        for _ in range(2):
            proxy.freeze()
            for _ in range(12):
                samples = watch.scrape(15)
                assert flights() <= 4
            assert value(samples, "pg_up") == 0
            assert value(samples, "pg_connections") is None  # too old, and not zero
            assert sessions(server) <= SESSIONS
            proxy.thaw()
            assert watch.until("pg_up", 1) <= RECOVERY
        samples = watch.scrape()

        assert sessions(server) <= SESSIONS
        watch.rest()
        assert threading.active_count() <= threads + 1
        assert sum(samples["pgmon_lost_refreshes_total"].values()) == 0


@pytest.mark.fault("F08")
def test_last_good_numbers_stay_with_their_true_age_and_then_are_absent(server, proxy):
    with Survivor(server, port=proxy.port, **SHORT) as watch:
        good = watch.scrape()
        taken = watch.time()
        proxy.freeze()
        seen = []
        while watch.time() - taken < 90:
            samples = watch.scrape(10)
            seen.append((watch.time() - taken, value(samples, "pg_connections")))

        assert {n for age, n in seen if age < 60 - PROMISE} == {value(good, "pg_connections")}
        assert {n for age, n in seen if age > 60 + PROMISE} == {None}


@pytest.mark.fault("F09")
@pytest.mark.parametrize("rate", [20, 4000])
def test_a_reset_in_the_middle_of_an_answer_is_not_even_seen(server, proxy, rate):
    with Survivor(server, port=proxy.port) as watch:
        watch.scrape()
        watch.landed(60)
        proxy.drip(rate)
        watch.start(60)
        threading.Event().wait(0.2)
        assert flights() > 0
        proxy.drip(None)
        proxy.reset()
        watch.rest()
        samples = watch.scrape()

        assert value(samples, "pg_up") == 1
        assert (watch.failed(samples), sum(samples["pgmon_errors_total"].values())) == ({}, 0)
        assert sessions(server) <= SESSIONS


@pytest.mark.fault("F10")
def test_an_answer_that_drips_ends_at_the_budget(server, proxy):
    with Survivor(server, port=proxy.port, MAX_STALE_HOT_PATH="5m", **SHORT) as watch:
        watch.until("pg_up", 1)
        watch.landed(15)
        proxy.drip(500)
        watch.landed(60)
        watch.rest()
        samples = watch.scrape()
        proxy.drip(None)

        assert value(samples, "pgmon_scrape_duration_seconds", loop="hot_path") < 0.3 + 0.5 + 0.5 + 0.5
        assert value(samples, "pgmon_last_scrape_success", loop="hot_path") == 0
        assert value(samples, "pg_connections") >= 1
        assert watch.until("pg_up", 1) <= RECOVERY


@pytest.mark.fault("F12")
def test_after_a_failover_nothing_is_compared_with_the_other_server(server, proxy, newest):
    commit(newest, 100_000)
    with Survivor(server, others=[newest], port=proxy.port) as watch:
        watch.scrape()
        before = watch.landed(60)
        proxy.target(newest.host, newest.port)
        proxy.reset()
        first = watch.landed(60)
        second = watch.landed(60)

        assert value(before, "pg_tps", db="postgres") is not None
        assert value(first, "pg_xact_commit_total", db="postgres") == 0  # what it counted before is no increase
        assert (value(first, "pg_tps", db="postgres"), value(first, "pg_qps")) == (None, None)
        assert 0 <= value(second, "pg_tps", db="postgres") < 100
        assert (check(first, "checkpoints"), watch.failed(first), watch.failed(second)) == ("ok", {}, {})
        assert sessions(newest) <= SESSIONS


# --- another server, another address, another way ---------------------------------------------------------------------


@pytest.mark.fault("F39")
def test_after_an_upgrade_in_place_everything_that_is_new_is_read(server, proxy, oldest):
    proxy.target(oldest.host, oldest.port)
    with Survivor(oldest, others=[server], port=proxy.port) as watch:
        watch.scrape()
        before = watch.landed(60)
        oldest.stop()
        watch.landed(60)
        proxy.target(server.host, server.port)
        watch.until("pg_up", 1)
        watch.until("pgmon_last_scrape_success", 1, loop="workload", within=60)
        after = [watch.landed(60), watch.landed(60)]

        assert [version(samples) for samples in (before, *after)] == ["12", "16", "16"]
        assert (check(before, "io"), check(after[0], "io")) == ("not_supported", "ok")
        assert [watch.failed(samples) for samples in after] == [{}, {}]
        assert 0 <= value(after[1], "pg_tps", db="postgres") < 100


def version(samples: Samples) -> str:
    """Return the major version that is exported."""
    [labels] = samples["pg_server_info"]
    return dict(labels)["version"].partition(".")[0]


class Newer(Agent):
    """The server says that it is of a version that nobody knows yet."""

    def __init__(self, *given) -> None:
        super().__init__(*given)
        facts = self.door.facts
        self.door.facts = lambda *look: replace(facts(*look), server_version_num=190000)


@pytest.mark.fault("F40")
def test_a_server_newer_than_anything_known_is_asked_as_the_newest_one(newest):
    with Survivor(newest, Newer) as watch:
        watch.scrape()
        samples = watch.landed(60)

        assert (version(samples), watch.failed(samples)) == ("19", {})
        assert value(samples, "pgmon_degraded", reason="untested_version") == 1


@pytest.fixture(params=["session", "transaction"])
def bouncer(request, server, tmp_path) -> Iterator[Bouncer]:
    """Return a pooler that drops what pgmon sets when it connects."""
    dropped = "options,extra_float_digits"
    with Bouncer(server, tmp_path, pool_mode=request.param, ignore_startup_parameters=dropped) as running:
        yield running


@contextmanager
def away(bouncer: Bouncer) -> Iterator[None]:
    """The pooler is gone."""
    bouncer.stop()
    try:
        yield
    finally:
        bouncer.start()


@pytest.mark.fault("F41")
def test_behind_a_pooler_everything_is_read_and_it_may_come_and_go(server, bouncer):
    with Survivor(server, port=bouncer.port) as watch:
        watch.survives(away(bouncer), up=0, reason="unreachable")
        samples = watch.landed(60)

        assert watch.failed(samples) == {}
        assert value(samples, "pgmon_degraded", reason="not_shielded") == 1  # the pooler's doing


@pytest.mark.fault("F41")
def test_behind_a_pooler_nothing_is_prepared_for_the_next_message_may_go_to_another_session(server, bouncer):
    with Session.connect(server.dsn("monitor", port=bouncer.port)) as session:
        kept = [session.run(LIMITS, "SELECT count(*) FROM pg_catalog.pg_prepared_statements")[1] for _ in range(9)]
    assert kept == [[(0,)]] * 9

    with Survivor(server, port=bouncer.port) as watch:
        seen = [watch.landed(60) for _ in range(6)]

        assert [watch.failed(samples) for samples in seen] == [{}] * 6
        assert sum(seen[-1]["pgmon_errors_total"].values()) == 0


@pytest.mark.fault("F45")
@pytest.mark.parametrize("state", ["refusing", "silent"])
def test_one_dead_host_of_two_costs_its_timeout_and_no_more(server, proxy, state):
    proxy.refuse() if state == "refusing" else proxy.freeze()
    with Survivor(server, host="127.0.0.1,127.0.0.1", port=f"{proxy.port},{server.port}") as watch:
        assert watch.until("pg_up", 1) <= RECOVERY
        assert watch.failed(watch.landed(60)) == {}


NAME = "db.pgmon.test"


class Names:
    """A resolver that knows one name, and may hang, fail or give another address."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.address = "127.0.0.1"
        self.answers = threading.Event()
        self.answers.set()
        self._resolve = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self)

    def __call__(self, host, *given, **named):
        """Resolve a name as the system would."""
        if host != NAME:
            return self._resolve(host, *given, **named)
        self.answers.wait()
        if not self.address:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return self._resolve(self.address, *given, **named)

    @contextmanager
    def unknown(self, server: Server) -> Iterator[None]:
        """Nobody knows the name, and the sessions are gone."""
        known, self.address = self.address, ""
        with ended(server):
            pass
        try:
            yield
        finally:
            self.address = known


@pytest.fixture
def names(monkeypatch) -> Iterator[Names]:
    """Return the resolver; it answers in the end."""
    yield (made := Names(monkeypatch))
    made.answers.set()


REMOTE = {"host": NAME, "SECURITY_REQUIRE_TLS": "false"}


@pytest.mark.fault("F11")
def test_a_name_that_cannot_be_resolved_is_tried_again(server, proxy, names):
    with Survivor(server, port=proxy.port, **REMOTE) as watch:
        watch.survives(names.unknown(server), up=0, reason="unreachable")


@pytest.mark.fault("F11", "F83")
def test_a_resolver_that_hangs_costs_refreshes_and_no_answer(server, proxy, names):
    with Survivor(server, port=proxy.port, **REMOTE, **SHORT) as watch:
        watch.until("pg_up", 1)
        watch.rest()
        watch.rest = lambda: None  # a refresh that hangs is left behind
        names.answers.clear()
        with ended(server):
            pass
        for _ in range(5):
            samples = watch.scrape(20)
        names.answers.set()
        del watch.rest

        assert (value(samples, "pg_up"), value(samples, "pg_connections")) == (0, None)
        assert watch.until("pg_up", 1) <= RECOVERY


@pytest.mark.fault("F11")
def test_a_name_that_moves_is_followed(server, proxy, names, newest):
    with newest.connect() as connection:
        [there] = connection.execute("SHOW server_version").fetchone()
    with (
        Proxy(newest.host, newest.port, listen("127.0.0.2", proxy.port)),
        Survivor(server, others=[newest], port=proxy.port, **REMOTE) as watch,
    ):
        watch.until("pg_up", 1)
        names.address = "127.0.0.2"
        proxy.refuse()
        proxy.reset()

        assert watch.until("pg_server_info", 1, version=there) <= RECOVERY


# --- packets that are dropped -----------------------------------------------------------------------------------------


@pytest.fixture
def elsewhere(server) -> Iterator[Elsewhere]:
    """Return a network of its own from which the server is reached; it takes root."""
    if os.geteuid() != 0 or not shutil.which("ip", path=SBIN) or not shutil.which("iptables", path=SBIN):
        pytest.skip("A network namespace takes root, ip and iptables.")
    with Elsewhere(server) as made:
        yield made


@pytest.mark.fault("F08")
def test_dropped_packets_are_survived(server, elsewhere):
    dropping = elsewhere.dropping()
    with Survivor(server, host=elsewhere.host, port=elsewhere.port, SECURITY_REQUIRE_TLS="false", **SHORT) as watch:
        watch.survives(dropping, up=0, reason="unreachable")
