"""What goes wrong with the agent itself: its clock, its processor, its files, its log, and another one beside it."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Iterator

import pytest

import running
from fakes import ShiftedTime
from pgmon.clock import Clock
from pgmon.web import create_app
from running import Process, parsed, value
from servers import Server
from watching import SESSIONS, commit, eventually, sessions

DAY = 86400.0


@pytest.fixture
def quiet(server: Server) -> Iterator[Process]:
    """Return an agent that looks every second, and leaves nothing of its coverage behind: it may not write."""
    environ = {"PGMON_SAMPLE_INTERVALS_HOT_PATH": "1s", "COVERAGE_PROCESS_START": "", "COVERAGE_PROCESS_CONFIG": ""}
    with Process(server.dsn("monitor"), environ=environ) as pgmon:
        pgmon.wait_for("pg_up", 1)
        yield pgmon


# --- time -------------------------------------------------------------------------------------------------------------


@pytest.mark.fault("F38")
@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_a_wall_clock_that_jumps_changes_no_rate_no_age_and_no_alert(server, jump):
    ahead, wall = ShiftedTime(), ShiftedTime()
    with running.agent(server.dsn("monitor"), Clock(ahead, lambda: time.time() + wall.ahead)) as agent:
        client = create_app(agent).test_client()

        def scrape() -> running.Samples:
            ahead.ahead += 60
            agent.tick()
            for cache in agent.caches.values():
                cache.read(10)
            return parsed(client.get("/metrics").text)

        scrape()
        before = scrape()
        wall.ahead = jump
        after = scrape()

        assert (value(before, "pg_up"), value(after, "pg_up")) == (1, 1)
        assert 0 <= value(after, "pg_tps", db="postgres") < 100
        assert max(after["pgmon_cache_age_seconds"].values()) < 600
        assert {a.name for a in agent.engine.alerts.values() if a.fired} == set()


@pytest.mark.fault("F38")
def test_after_an_hour_of_suspension_a_rate_is_that_of_an_hour(server):
    ahead = ShiftedTime()
    with running.agent(server.dsn("monitor"), ahead.clock()) as agent:
        client = create_app(agent).test_client()
        for passed in (0, 60, 3600):
            ahead.ahead += passed
            commit(server, 10_000)
            for cache in agent.caches.values():
                cache.read(10)
        samples = parsed(client.get("/metrics").text)

        assert 0 < value(samples, "pg_tps", db="postgres") < 10  # and not thousands


@pytest.mark.fault("F93")
def test_an_agent_that_stands_still_for_a_moment_does_not_take_its_server_for_dead(quiet):
    for _ in range(2):
        quiet.process.send_signal(signal.SIGSTOP)
        time.sleep(1.2)  # longer than the budget of a refresh
        quiet.process.send_signal(signal.SIGCONT)
        for _ in range(3):
            assert value(quiet.scrape(), "pg_up") == 1


# --- what it writes and finds -----------------------------------------------------------------------------------------


@pytest.mark.fault("F86")
def test_an_agent_that_can_write_no_file_serves_everything(quiet):
    resource.prlimit(quiet.process.pid, resource.RLIMIT_FSIZE, (0, 0))

    answers = {path: quiet.get(path)[0] for path in ("/", "/queries", "/status", "/metrics", "/static/pgmon.css")}

    assert set(answers.values()) == {200}
    assert quiet.end() == 0
    assert "Traceback" not in quiet.said()


@pytest.mark.fault("F86", "F87")
def test_without_home_folder_for_files_locale_and_time_zones_all_is_served(server):
    poor = {
        **{name: "/nonexistent" for name in ("HOME", "TMPDIR", "XDG_CONFIG_HOME", "TZDIR")},
        **{"LANG": "C", "LC_ALL": "C", "PYTHONTZPATH": "", "TZ": "Nowhere/Nothing", "PYTHONCOERCECLOCALE": "0"},
    }
    with Process(server.dsn("monitor"), environ=poor) as pgmon:
        pgmon.wait_for("pgmon_last_scrape_success", 1, loop="storage")

        assert {pgmon.get(path)[0] for path in ("/", "/storage", "/partitions", "/metrics")} == {200}
        assert pgmon.end() == 0
        assert "Traceback" not in pgmon.said()


@pytest.mark.fault("F88")
def test_an_agent_whose_log_has_no_reader_any_more_goes_on(server):
    with Process(server.dsn("monitor"), environ={"PGMON_SAMPLE_INTERVALS_HOT_PATH": "1s"}) as pgmon:
        pgmon.wait_for("pg_up", 1)
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, pgmon.process.stdout.fileno())  # which ends the pipe
        os.close(null)
        server.stop("immediate")
        pgmon.wait_for("pg_up", 0)
        server.start()
        pgmon.wait_for("pg_up", 1)

        assert pgmon.end() == 0


# --- others -----------------------------------------------------------------------------------------------------------


@pytest.mark.fault("F90")
def test_two_agents_watch_one_server(server):
    with running.agent(server.dsn("monitor")) as one, running.agent(server.dsn("monitor")) as other:
        for agent in (one, other, one, other):
            for cache in agent.caches.values():
                cache.read(10)

        for agent in (one, other):
            assert value(parsed(agent.exposition.encoded("text").decode()), "pg_up") == 1
        assert sessions(server) <= 2 * SESSIONS
    eventually(lambda: sessions(server) == 0)
