"""The network, and servers that do not answer: silence, resets, drops of an answer, another server behind a name."""

from __future__ import annotations

import threading

import pytest

from running import value
from watching import PROMISE, RECOVERY, SESSIONS, Watch, check, commit, eventually, pids, sessions, waiting

SHORT = {f"BUDGETS_{tier}": "200ms" for tier in ("HOT_PATH", "WORKLOAD", "STORAGE", "HOURLY")}
KILLS = "pgmon_watchdog_kills_total"


def flights() -> int:
    """Return how many refreshes are under way."""
    return sum(thread.name == "pgmon-flight" for thread in threading.enumerate())


def test_f05_a_listener_that_never_answers_is_given_up_and_left_alone(server, proxy):
    proxy.freeze()
    with Watch(server.dsn("monitor", port=proxy.port), **SHORT) as watch:
        for _ in range(20):
            samples = watch.scrape(15)
        connects = value(samples, "pgmon_connects_total")

        assert (value(samples, "pg_up"), value(samples, "pg_connections")) == (0, None)
        assert value(samples, "pgmon_connect_error", reason="unreachable") == 1
        assert watch.agent.door._pool.get_stats()["requests_waiting"] <= 4  # they would add up for as long as it lasts
        assert connects <= 20  # one for a scrape at most, though each has four loops
        proxy.thaw()
        assert watch.until("pg_up", 1) <= RECOVERY


def test_f06_a_backend_frozen_in_a_statement_is_given_up_at_the_deadline(server):
    with Watch(server.dsn("monitor"), BUDGETS_WORKLOAD="1s") as watch, server.connect() as blocker:
        watch.scrape()
        good = watch.scrape(60)
        with blocker.transaction():
            blocker.execute("LOCK TABLE pg_catalog.pg_stat_bgwriter")
            watch.rest()
            watch.time.ahead += 60
            watch.agent.settle(0)
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


def test_f07_frozen_idle_sessions_are_parked_and_replaced(server):
    with Watch(server.dsn("monitor")) as watch:
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


def test_f07_with_every_session_frozen_none_is_added_and_they_come_back(server):
    with Watch(server.dsn("monitor"), **SHORT) as watch:
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


def test_f08_a_hundred_refreshes_in_black_holes_leave_no_session_and_no_thread(server, proxy):
    with Watch(server.dsn("monitor", port=proxy.port), **SHORT) as watch:
        watch.until("pg_up", 1)
        threads = threading.active_count()
        for _ in range(4):
            proxy.freeze()
            for _ in range(25):
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


def test_f08_last_good_numbers_stay_with_their_true_age_and_then_are_absent(server, proxy):
    with Watch(server.dsn("monitor", port=proxy.port), BUDGETS_HOT_PATH="300ms") as watch:
        good = watch.scrape()
        taken = watch.time()
        proxy.freeze()
        seen = []
        while watch.time() - taken < 90:
            samples = watch.scrape(10)
            seen.append((watch.time() - taken, value(samples, "pg_connections")))

        assert {n for age, n in seen if age < 60 - PROMISE} == {value(good, "pg_connections")}
        assert {n for age, n in seen if age > 60 + PROMISE} == {None}


@pytest.mark.parametrize("rate", [20, 4000])
def test_f09_a_reset_in_the_middle_of_an_answer_is_not_even_seen(server, proxy, rate):
    with Watch(server.dsn("monitor", port=proxy.port)) as watch:
        watch.scrape()
        watch.scrape(60)
        proxy.drip(rate)
        watch.rest()
        watch.time.ahead += 60
        watch.agent.settle(0)
        threading.Event().wait(0.2)
        assert flights() > 0
        proxy.drip(None)
        proxy.reset()
        watch.rest()
        samples = watch.scrape()

        assert value(samples, "pg_up") == 1
        assert (watch.failed(samples), sum(samples["pgmon_errors_total"].values())) == ({}, 0)
        assert sessions(server) <= SESSIONS


@pytest.mark.parametrize("rate", [1, 500])
def test_f10_an_answer_that_drips_ends_at_the_budget(server, proxy, rate):
    with Watch(server.dsn("monitor", port=proxy.port), MAX_STALE_HOT_PATH="5m") as watch:
        watch.scrape()
        proxy.drip(rate)
        watch.scrape(60)
        watch.rest()
        samples = watch.scrape()
        proxy.drip(None)

        assert value(samples, "pgmon_scrape_duration_seconds", loop="hot_path") < 1 + 0.5 + 0.5
        assert value(samples, "pgmon_last_scrape_success", loop="hot_path") == 0
        assert value(samples, "pg_connections") >= 1
        assert watch.until("pg_up", 1) <= RECOVERY
        watch.until("pgmon_last_scrape_success", 1, loop="workload", within=60)
        assert sessions(server) <= SESSIONS


def test_f12_after_a_failover_nothing_is_compared_with_the_other_server(server, proxy, fresh_server):
    other = fresh_server(18)
    commit(other, 100_000)
    with Watch(server.dsn("monitor", port=proxy.port)) as watch:
        watch.scrape()
        before = watch.scrape(60)
        proxy.target(other.host, other.port)
        proxy.reset()
        first = watch.scrape(60)
        second = watch.scrape(60)

        assert value(before, "pg_tps", db="postgres") is not None
        assert value(first, "pg_xact_commit_total", db="postgres") == 0  # what it counted before is no increase
        assert (value(first, "pg_tps", db="postgres"), value(first, "pg_qps")) == (None, None)
        assert 0 <= value(second, "pg_tps", db="postgres") < 100
        assert (check(first, "checkpoints"), watch.failed(first), watch.failed(second)) == ("ok", {}, {})
        assert sessions(other) <= SESSIONS
