"""The server: down, starting, full, frozen, crashed, promoted, away for long; and who may not log in or read."""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress

import psycopg
import pytest

from running import Process, value
from servers import Server
from surviving import SHORT, Survivor
from watching import PROMISE, RECOVERY, SESSIONS, check, commit, eventually, sessions, waiting

QUICK = {
    "PGMON_SAMPLE_INTERVALS_HOT_PATH": "1s",
    "PGMON_SAMPLE_INTERVALS_WORKLOAD": "1s",
    "PGMON_BUDGETS_HOT_PATH": "1s",
    "PGMON_BUDGETS_WORKLOAD": "1s",
    "PGMON_MAX_STALE_HOT_PATH": "4s",
    "PGMON_TIMEOUTS_CONNECT_TIMEOUT_S": "2",
}


def answers_in_time(pgmon: Process) -> None:
    """Check the promise of every moment."""
    for path in ("/livez", "/metrics"):
        start = time.monotonic()
        assert pgmon.get(path)[0] == 200
        assert time.monotonic() - start <= PROMISE


def lines(pgmon: Process, words: str) -> int:
    """Return how often it logged something of the hot path."""
    return sum(words in line and "hot_path" in line for line in pgmon.said().splitlines())


# --- down and back ----------------------------------------------------------------------------------------------------


@pytest.mark.fault("F01")
def test_with_a_server_down_at_start_it_serves_and_finds_the_server_later(server, proxy):
    proxy.refuse()
    with Process(server.dsn("monitor", port=proxy.port), environ=QUICK) as pgmon:
        for _ in range(3):
            answers_in_time(pgmon)
            time.sleep(0.3)
        samples = pgmon.scrape()
        ready = pgmon.get("/readyz")[0]
        proxy.listen()
        took = pgmon.wait_for("pg_up", 1)

        assert (value(samples, "pg_up"), value(samples, "pg_connections"), ready) == (0, None, 503)
        assert value(samples, "pgmon_connect_error", reason="unreachable") == 1
        assert took <= RECOVERY
        assert (lines(pgmon, "refresh failed"), lines(pgmon, "works again")) == (1, 1)
        assert pgmon.get("/readyz")[0] == 200


@pytest.mark.fault("F01")
def test_the_guard_refuses_a_server_that_was_down_at_start(server, proxy):
    with server.connect() as connection:
        connection.execute(
            "CREATE ROLE writer LOGIN IN ROLE pg_monitor; CREATE TABLE notes (); GRANT INSERT ON notes TO writer"
        )
    proxy.refuse()
    with Process(server.dsn("writer", port=proxy.port), environ=QUICK) as pgmon:
        answers_in_time(pgmon)
        proxy.listen()

        assert pgmon.process.wait(RECOVERY) == 3
        assert "REVOKE INSERT ON TABLE public.notes FROM writer" in pgmon.said()
    with server.connect() as connection:
        connection.execute("DROP TABLE notes; DROP ROLE writer")


@pytest.mark.fault("F03")
def test_nobody_sees_a_restart(server):
    with Survivor(server) as watch:
        watch.scrape()
        watch.landed(60)
        server.restart()
        samples = watch.landed(60)

        assert (value(samples, "pg_up"), value(samples, "pg_connections") > 0) == (1, True)
        assert (watch.failed(samples), sum(samples["pgmon_errors_total"].values())) == ({}, 0)
        assert value(samples, "pg_tps", db="postgres") is None  # counted anew
        assert sessions(server) <= SESSIONS


def test_a_server_away_for_longer_than_any_timeout_is_found_again(server):
    with Survivor(server) as watch:
        watch.scrape()
        server.stop()
        start, stale = time.monotonic(), watch.time() + 240
        while time.monotonic() - start < 2 or watch.time() < stale:  # longer than the pool tries
            samples = watch.scrape(15)
            time.sleep(0.1)
        watch.scrape(86400)
        server.start()

        assert (value(samples, "pg_up"), value(samples, "pg_xact_commit_total", db="postgres")) == (0, None)
        assert watch.until("pg_up", 1, step=15) <= RECOVERY
        assert watch.until("pgmon_last_scrape_success", 1, loop="workload", step=15) <= RECOVERY
        assert sessions(server) <= SESSIONS
        hot = [line["event"] for line in watch.said if line.get("tier") == "hot_path"]
        assert hot == ["refresh failed", "refresh works again"]


def test_a_lost_server_is_not_hammered(server, proxy):
    with Survivor(server, port=proxy.port) as watch:
        watch.scrape()
        proxy.refuse()
        proxy.reset()
        before = value(watch.scrape(15), "pgmon_connects_total")
        watch.rest()
        for _ in range(100):
            samples = watch.scrape(1)
        longest = 100 / 7.5 + 5  # a pause lasts 7.5 to 15 s, the first four are shorter

        assert value(samples, "pgmon_connects_total") - before <= longest


@pytest.mark.fault("F16")
def test_a_refused_password_is_not_tried_again_for_half_a_minute(server):
    with Survivor(server, password="wrong") as watch:
        for _ in range(25):
            samples = watch.scrape(1)
        few = value(samples, "pgmon_connects_total")
        with server.connect() as connection:
            secret = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'monitor'").fetchone()[0]
            connection.execute("ALTER ROLE monitor PASSWORD 'wrong'")
        try:
            took = watch.until("pg_up", 1, within=60)
        finally:
            with server.connect() as connection:
                connection.execute(f"ALTER ROLE monitor PASSWORD '{secret}'")

        assert value(samples, "pgmon_connect_error", reason="rejected") == 1
        assert few == 1
        assert took <= 60


def test_after_the_end_a_refresh_fails_and_nothing_else(server):
    with Survivor(server) as watch:
        watch.scrape()
        watch.agent.close()
        watch.landed(60)
        watch.rest()
        samples = watch.scrape()

        assert (value(samples, "pg_up"), value(samples, "pgmon_errors_total", loop="hot_path") > 0) == (0, True)
        assert sessions(server) == 0


# --- frozen, full, crashed --------------------------------------------------------------------------------------------


def test_a_frozen_postmaster_lets_the_sessions_go_on_that_are_there(server):
    with Survivor(server) as watch:
        watch.scrape()
        watch.scrape(15)
        server.freeze()
        samples = [watch.scrape(15) for _ in range(3)]

        assert [value(s, "pg_up") for s in samples] == [1, 1, 1]


def test_a_frozen_postmaster_at_start_is_unreachable_and_found_when_it_thaws(server):
    server.freeze()
    with Survivor(server, **SHORT) as watch:
        for _ in range(4):
            samples = watch.scrape(15)
        server.thaw()

        assert (value(samples, "pg_up"), value(samples, "pg_connections")) == (0, None)
        assert watch.until("pg_up", 1) <= RECOVERY
        eventually(lambda: sessions(server) <= SESSIONS)


def filled(server: Server) -> ExitStack:
    """Take the last connection of a server; closing what is returned gives all back."""
    crowd = ExitStack()
    with suppress(psycopg.OperationalError):
        while True:
            crowd.enter_context(server.connect())
    return crowd


@pytest.mark.fault("F15")
def test_sessions_that_are_there_measure_a_server_that_fills_up(server):
    with Survivor(server) as watch:
        watch.scrape()
        with filled(server):
            samples = watch.landed(60)

        assert value(samples, "pg_up") == 1
        assert value(samples, "pg_connections_used_ratio") >= 1


@pytest.fixture(params=[12, 16], ids="pg{}".format)
def aging(request, server, oldest) -> Server:
    """Return a server of a version with a statistics collector, and of one without."""
    return {server.major: server, oldest.major: oldest}[request.param]


def test_a_crash_makes_no_rate(aging):
    server = aging
    with Survivor(server) as watch:
        watch.scrape()
        before = watch.landed(60)
        server.crash()
        commit(server, 100_000)
        took = watch.until("pg_up", 1)
        first = watch.landed(60)
        second = watch.landed(60)

        assert value(before, "pg_tps", db="postgres") is not None
        assert took <= RECOVERY
        assert value(first, "pg_xact_commit_total", db="postgres") > 100_000
        assert value(first, "pg_tps", db="postgres") is None or value(first, "pg_tps", db="postgres") < 100
        assert 0 <= value(second, "pg_tps", db="postgres") < 100
        assert (watch.failed(second), sessions(server) <= SESSIONS) == ({}, True)


# --- standbys ---------------------------------------------------------------------------------------------------------


# Nothing ends by itself while a test arranges its locks.
PATIENT = {"BUDGETS_WORKLOAD": "30s", "TIMEOUTS_STATEMENT_TIMEOUT_MS": "30000", "TIMEOUTS_LOCK_TIMEOUT_MS": "30000"}


def flush(server: Server) -> None:
    """Send what is in the WAL to the standbys, the records of locks among it."""
    with server.connect() as connection:
        connection.execute("SELECT pg_catalog.pg_switch_wal()")


@pytest.mark.fault("F13")
def test_a_promotion_changes_what_is_read_and_compares_nothing(replica):
    with Survivor(replica) as watch:
        watch.scrape()
        before = watch.landed(60)
        replica.promote()
        commit(replica, 100_000)
        first = watch.landed(60)
        second = watch.landed(60)

        assert (check(before, "standby"), check(before, "freshness")) == ("ok", "not_supported")
        assert (check(first, "standby"), check(first, "freshness")) == ("not_supported", "ok")
        assert value(before, "pg_wal_receiver_up") is not None
        assert value(first, "pg_wal_receiver_up") is None
        assert value(first, "pg_tps", db="postgres") is None
        assert 0 <= value(second, "pg_tps", db="postgres") < 100
        assert (watch.failed(before), watch.failed(first), watch.failed(second)) == ({}, {}, {})
        assert sum(second["pgmon_errors_total"].values()) == 0


@pytest.mark.fault("F14")
def test_a_statement_cancelled_for_recovery_is_sent_again_unseen(server, replica):
    lock = "LOCK TABLE pg_catalog.pg_stat_bgwriter"
    locked = "SELECT {} FROM pg_catalog.pg_locks WHERE relation = 'pg_stat_bgwriter'::regclass"
    with Survivor(replica, **PATIENT) as watch, server.connect() as admin:
        watch.scrape()
        with admin.transaction():
            admin.execute(lock)
            flush(server)
            replica.wait_for(locked.format("count(*)"), 1)
            watch.start(60)
            replica.wait_for(locked.format("count(*) FILTER (WHERE NOT granted)"), 1)
            (pid,) = waiting(replica)
            replica.freeze_backend(pid)
        flush(server)
        replica.wait_for(locked.format("bool_and(granted)"))  # by the one that is frozen, and cannot let go
        with admin.transaction():
            admin.execute(lock)
            flush(server)
            replica.wait_for("SELECT count(*) > 0 FROM pg_catalog.pg_locks WHERE NOT granted")
            replica.thaw()
            replica.wait_for(locked.format("count(*) FILTER (WHERE granted AND mode = 'AccessExclusiveLock')"), 1)
        watch.rest()
        samples = watch.scrape()

        assert "canceling statement due to conflict with recovery" in replica.log()
        assert (check(samples, "checkpoints"), watch.failed(samples)) == ("ok", {})
        assert sum(samples["pgmon_errors_total"].values()) == 0


# --- what the role may see --------------------------------------------------------------------------------------------


@pytest.mark.fault("F24")
def test_without_pg_monitor_everything_is_denied_then_absent_and_never_zero(server):
    with Survivor(server) as watch, server.connect() as admin:
        good = watch.scrape()
        admin.execute("REVOKE pg_monitor FROM monitor")
        try:
            young = watch.scrape(30)
            old = watch.landed(60)
            older = watch.scrape(11_000)  # longer than any loop's max_stale
        finally:
            admin.execute("GRANT pg_monitor TO monitor")
        took = watch.until("pgmon_last_scrape_success", 1, loop="workload", step=15)

        assert check(young, "connections") == check(old, "throughput") == "denied"
        assert value(young, "pg_connections") == value(good, "pg_connections")
        assert value(old, "pg_connections") is None
        assert not [name for name in older if name.startswith("pg_") and name != "pg_up"]
        assert took <= RECOVERY
        assert value(watch.scrape(15), "pg_connections") > 0
