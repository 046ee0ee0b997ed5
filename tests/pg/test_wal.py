"""What is written: WAL, its archive, blocks; and who receives it by logical replication."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import reading
from fakes import ShiftedTime
from pgmon.agent import Agent
from pgmon.feature import Tier
from pgmon.features.archiver import ARCHIVER
from pgmon.features.subscriptions import SUBSCRIPTIONS
from running import Samples, value
from servers import Server

WORK = "CREATE TABLE worked AS SELECT n, repeat('x', 100) FROM generate_series(1, 20000) AS n; DROP TABLE worked"
COUNTED = "SELECT wal_bytes::bigint FROM pg_stat_wal"
LSN = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint"


class Minutes:
    """An agent whose workload loop is read minute after minute."""

    def __init__(self, server: Server) -> None:
        self.server, self.time = server, ShiftedTime()

    @contextmanager
    def watching(self) -> Iterator[Minutes]:
        """Have the agent."""
        with reading.agent(self.server.dsn("monitor"), self.time.clock()) as self.agent:
            yield self

    def next(self) -> Samples:
        """Return what the agent exposes a minute later."""
        self.time.ahead += 60
        reading.refreshed(self.agent, Tier.WORKLOAD)
        return reading.samples(self.agent)


@pytest.fixture
def minutes(server: Server) -> Iterator[Minutes]:
    with Minutes(server).watching() as watching:
        yield watching


def work(server: Server) -> int:
    """Generate some megabytes of WAL; return how many bytes, once they are counted."""
    with server.connect() as connection:
        counted = connection.execute(COUNTED).fetchone()[0] if server.major >= 14 else 0
        before = connection.execute(LSN).fetchone()[0]
        connection.execute(WORK)
        generated = connection.execute(LSN).fetchone()[0] - before
    if server.major >= 14:  # the session reports it at its end; before 15 by way of the statistics collector
        server.wait_for(f"SELECT wal_bytes >= {counted + generated * 0.98} FROM pg_stat_wal")
    return generated


# --- WAL --------------------------------------------------------------------------------------------------------------


def test_wal_written_grows_by_what_was_generated(server, minutes):
    first = minutes.next()
    generated = work(server)
    second = minutes.next()

    assert value(first, "pg_wal_bytes_written_total") == 0
    assert value(second, "pg_wal_bytes_written_total") == pytest.approx(generated, rel=0.02)
    assert value(second, "pg_wal_lsn_bytes") - value(first, "pg_wal_lsn_bytes") >= generated
    assert value(second, "pg_wal_directory_bytes") >= 16 * 2**20


def test_a_restart_neither_loses_nor_invents_wal(fresh_server):
    server = fresh_server(16)
    with Minutes(server).watching() as minutes:
        minutes.next()
        work(server)
        grown = value(minutes.next(), "pg_wal_bytes_written_total")
        server.restart("immediate")
        server.wait_for("SELECT true")
        after = value(minutes.next(), "pg_wal_bytes_written_total")
        generated = work(server)
        later = value(minutes.next(), "pg_wal_bytes_written_total")

    assert grown > 1_000_000
    assert (after, later) == (0, pytest.approx(generated, rel=0.02))  # a counter that began anew


def test_a_standby_tells_what_it_replays(server, standby):
    with Minutes(standby).watching() as minutes:
        minutes.next()
        generated = work(server)
        with server.connect() as primary:
            lsn = primary.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()[0]
        standby.wait_for(f"SELECT pg_last_wal_replay_lsn() >= '{lsn}'")
        replayed = value(minutes.next(), "pg_wal_bytes_written_total")

    assert replayed >= generated * 0.98


@pytest.mark.pg(">= 16")
def test_blocks_are_counted_by_who_touches_them(server, minutes):
    work(server)
    samples = minutes.next()

    clients = {"backend_type": "client backend", "object": "relation", "context": "normal"}
    assert value(samples, "pg_io_extends_total", **clients) > 0
    assert value(samples, "pg_io_hits_total", **clients) > 0
    assert value(samples, "pg_io_writes_seconds_total", **clients) is not None
    assert all(v >= 0 for v in samples["pg_io_reads_total"].values())


def test_pg_stat_statements_tells_how_full_it_is(server, minutes):
    samples = minutes.next()
    with server.connect() as admin:
        entries = admin.execute("SELECT count(*) FROM pg_stat_statements").fetchone()[0]

    assert 0 < value(samples, "pg_stmt_entries") <= entries <= value(samples, "pg_stmt_entries_max") == 5000
    assert (value(samples, "pg_stmt_dealloc_total") is not None) == (server.major >= 14)


# --- its archive ------------------------------------------------------------------------------------------------------


def archiver(agent: Agent):
    """Return the row of the archiver."""
    return reading.rows(agent, ARCHIVER)[0]


def test_where_archiving_is_off_what_waits_is_not_known(server, minutes):
    samples = minutes.next()

    assert value(samples, "pg_archived_total") == 0
    assert not {"pg_archive_ready_files", "pg_archive_last_success_age_seconds"} & samples.keys()


@pytest.mark.parametrize("major", [12, 18], ids="pg{}".format)
def test_what_cannot_be_archived_waits_and_is_told(fresh_server, major):
    server = fresh_server(major, {"archive_mode": "on", "archive_command": "true"})
    with Minutes(server).watching() as minutes:
        with server.connect() as admin:
            admin.execute("SELECT pg_switch_wal()")
            server.wait_for("SELECT archived_count >= 1 FROM pg_stat_archiver")
            minutes.next()
            well = archiver(minutes.agent)
            admin.execute("ALTER SYSTEM SET archive_command = 'false'")
            admin.execute("SELECT pg_reload_conf()")
            for _ in range(2):
                admin.execute("CREATE TABLE t AS SELECT 1; DROP TABLE t; SELECT pg_switch_wal()")
            server.wait_for("SELECT failed_count >= 1 FROM pg_stat_archiver")
        minutes.next()
        ill = archiver(minutes.agent)

    assert (well.archived >= 1, well.failed, well.ready_files, well.oldest_ready_seconds) == (True, 0, 0, None)
    assert 0 <= well.last_success_seconds < 30
    assert (ill.failed >= 1, ill.ready_files) == (True, 2)
    assert 0 <= ill.oldest_ready_seconds < 30
    assert len(ill.last_failed_wal) == 24


# --- logical replication ----------------------------------------------------------------------------------------------


SUBSCRIBE = """CREATE SUBSCRIPTION s CONNECTION '{}' PUBLICATION p
                 WITH (create_slot = false, slot_name = 's', copy_data = false)"""


@pytest.mark.parametrize("major", [12, 14, 18], ids="pg{}".format)
def test_a_subscription_without_its_worker_is_told(fresh_server, major):
    server = fresh_server(major, {"wal_level": "logical"})
    with server.connect(dbname="app") as publisher, server.connect() as subscriber:
        publisher.execute("CREATE PUBLICATION p FOR TABLE churned")
        publisher.execute("SELECT pg_create_logical_replication_slot('s', 'pgoutput')")
        subscriber.execute("CREATE TABLE churned (id integer PRIMARY KEY, payload text)")
        options = "create_slot = false, slot_name = 's', copy_data = false"
        subscriber.execute(
            f"CREATE SUBSCRIPTION s CONNECTION '{server.dsn(dbname='app')}' PUBLICATION p WITH ({options})"
        )
        server.wait_for("SELECT count(*) FROM pg_stat_subscription WHERE pid IS NOT NULL", 1)
        with Minutes(server).watching() as minutes:
            up = minutes.next()
            subscriber.execute("ALTER SUBSCRIPTION s DISABLE")
            server.wait_for("SELECT count(*) FROM pg_stat_subscription WHERE pid IS NOT NULL", 0)
            down = minutes.next()
            [row] = reading.rows(minutes.agent, SUBSCRIPTIONS)
        subscriber.execute("ALTER SUBSCRIPTION s SET (slot_name = NONE)")
        subscriber.execute("DROP SUBSCRIPTION s")

    labels = {"db": "postgres", "subscription": "s"}
    assert value(up, "pg_subscription_worker_up", **labels) == 1
    assert value(down, "pg_subscription_worker_up", **labels) == 0
    assert (row.db, row.subscription, row.enabled) == ("postgres", "s", False)
    assert value(down, "pg_subscription_errors_total", kind="apply", **labels) == (0 if major >= 15 else None)
