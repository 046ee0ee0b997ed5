"""What sessions do now: transactions, vacuum, temporary files, xmin; and what the server is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import reading
import running
from crowd import Crowd
from fakes import ShiftedTime
from pgmon.agent import Agent
from pgmon.feature import Feature, Tier
from pgmon.features.autovacuum import AUTOVACUUM, BY_PHASE, JOBS
from pgmon.features.own import CANARY, SERVER, SERVER_INFO
from pgmon.features.prepared import PREPARED
from pgmon.features.temp import SPILLS, TEMP
from pgmon.features.transactions import IDLEST, SESSIONS, TRANSACTIONS
from pgmon.features.xmin import XMIN
from running import value
from servers import Server

SORTED = "DECLARE c CURSOR FOR SELECT n FROM generate_series(1, 200000) AS n ORDER BY n DESC"
# A page is 10 to cost_limit, so that this sleeps 100 ms at every page.
SLOW = "vacuum_cost_delay = 100, vacuum_cost_limit = 1"


@pytest.fixture
def crowd(server: Server) -> Iterator[Crowd]:
    """Return sessions that do something."""
    with Crowd(server) as gathered:
        yield gathered


@pytest.fixture
def agent(server: Server) -> Iterator[Agent]:
    """Return an agent that has read nothing yet."""
    with reading.agent(server.dsn("monitor"), ShiftedTime().clock()) as made:
        yield made


def now(agent: Agent, feature: Feature):
    """Return the rows of a feature, read now."""
    reading.refreshed(agent, feature.tier)
    return reading.rows(agent, feature)


# --- transactions -----------------------------------------------------------------------------------------------------


def test_a_transaction_left_open_is_the_oldest_and_idle(crowd, agent):
    pid = crowd.holds("SELECT 1")

    row = now(agent, TRANSACTIONS)[0]

    idle = reading.rows(agent, IDLEST)[0]

    assert (row.pid, idle.pid, row.state) == (pid, pid, "idle in transaction")
    assert (row.xact_db, row.application) == ("app", "crowd")
    assert (idle.idle_db, idle.application) == ("app", "crowd")
    assert 0 < idle.longest == idle.unexpected < row.longest == row.unexpected < 10


def test_with_no_transaction_its_age_is_zero(server, agent):
    row = now(agent, TRANSACTIONS)[0]

    assert (row.longest, row.query, row.pid) == (0.0, 0.0, None)
    assert (reading.rows(agent, IDLEST)[0].longest, reading.rows(agent, IDLEST)[0].pid) == (0.0, None)


def test_a_running_statement_has_its_time_and_what_it_waits_for(crowd, agent):
    pid = crowd.sends("SELECT pg_sleep(60), 'hunter2'")
    crowd.server.wait_for(f"SELECT wait_event FROM pg_stat_activity WHERE pid = {pid}", "PgSleep")

    row, session = now(agent, TRANSACTIONS)[0], reading.rows(agent, SESSIONS)[0]

    assert 0 < row.query < 10
    assert (session.pid, session.wait, session.query) == (pid, "Timeout: PgSleep", "SELECT pg_sleep(?), ?")


def test_a_vacuum_by_hand_is_a_job_and_no_long_transaction(crowd, agent):
    session = crowd.session()
    for setting in SLOW.split(", "):
        session.execute(f"SET {setting}")
    session.pgconn.send_query(b"VACUUM ledger")
    session.pgconn.flush()
    crowd.server.wait_for("SELECT phase FROM pg_stat_progress_vacuum", "scanning heap")

    jobs, row = now(agent, JOBS), reading.rows(agent, AUTOVACUUM)[0]

    assert [(j.pid, j.by, j.task, j.phase) for j in jobs] == [
        (session.info.backend_pid, "client", "VACUUM ledger", "scanning heap")
    ]
    assert (row.manual_jobs, row.workers) == (1, 0)
    assert reading.rows(agent, TRANSACTIONS)[0].longest == 0


@pytest.mark.pg(">= 18")
def test_a_backup_is_expected_for_half_a_day(crowd, agent):
    crowd.holds("SET application_name = 'pg_dump'", "SELECT 1")

    row = now(agent, TRANSACTIONS)[0]

    assert (row.longest > 0, row.unexpected) == (True, 0.0)


# --- who holds xmin ---------------------------------------------------------------------------------------------------


def test_a_snapshot_holds_back_what_died_since(crowd, agent):
    pid = crowd.holds("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SELECT 1")
    with crowd.server.connect() as other:
        for _ in range(5):
            other.execute("SELECT txid_current()")

    holders = {h.holder: h for h in now(agent, XMIN)}

    assert holders["backend"].who == f"pid {pid} (crowd)"
    assert holders["backend"].age >= 5
    assert [holders[kind].age for kind in ("prepared", "slot", "standby")] == [0, 0, 0]


def test_a_transaction_that_wrote_holds_back_what_died_since_though_it_idles_without_a_snapshot(crowd, agent):
    pid = crowd.holds("SELECT txid_current()")
    with crowd.server.connect() as other:
        for _ in range(5):
            other.execute("SELECT txid_current()")

    [backend] = [h for h in now(agent, XMIN) if h.holder == "backend"]

    assert (backend.who, backend.age >= 5) == (f"pid {pid} (crowd)", True)


@pytest.mark.parametrize("major", [12, 18], ids="pg{}".format)
def test_prepared_transactions_and_slots_hold_xmin_too(fresh_server, major):
    server = fresh_server(major, {"max_prepared_transactions": "2", "wal_level": "logical"})
    with server.connect() as admin:
        admin.execute("SELECT pg_create_logical_replication_slot('changes', 'pgoutput')")
        admin.execute("CREATE TABLE t (n int)")
        for statement in ("BEGIN", "INSERT INTO t VALUES (1)", "PREPARE TRANSACTION 'forgotten'"):
            admin.execute(statement)
        admin.execute("SELECT txid_current()")

    with reading.agent(server.dsn("monitor"), ShiftedTime().clock()) as agent:
        holders = {h.holder: h for h in now(agent, XMIN)}
        prepared = reading.rows(agent, PREPARED)[0]

    assert (holders["prepared"].who, holders["slot"].who) == ("forgotten", "changes")
    assert holders["prepared"].age >= 1
    assert holders["slot"].age > holders["prepared"].age
    assert prepared.prepared == 1
    assert 0 < prepared.oldest_seconds < 30


# --- autovacuum -------------------------------------------------------------------------------------------------------

DUE = """
CREATE TABLE due (n int, t text) WITH
    (autovacuum_vacuum_threshold = 10, autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1);
INSERT INTO due SELECT n, repeat('x', 500) FROM generate_series(1, 20000) AS n;
DELETE FROM due
"""


@pytest.mark.parametrize("major", [12, 14, 18], ids="pg{}".format)
def test_autovacuums_workers_are_counted_by_phase(fresh_server, major):
    server = fresh_server(major, {"autovacuum_naptime": "1"})
    with server.connect() as admin:
        admin.execute(DUE)
    server.wait_for("SELECT phase FROM pg_stat_progress_vacuum", "scanning heap", timeout=20)

    with reading.agent(server.dsn("monitor"), ShiftedTime().clock()) as agent:
        phases = {p.phase: p.jobs for p in now(agent, BY_PHASE)}
        jobs, row = reading.rows(agent, JOBS), reading.rows(agent, AUTOVACUUM)[0]

    assert (phases["scanning heap"], phases["vacuuming heap"]) == (1, 0)
    assert sum(phases.values()) == row.workers
    job = next(j for j in jobs if j.phase == "scanning heap")
    assert (job.by, job.db, job.task.startswith("autovacuum: VACUUM")) == ("autovacuum", "postgres", True)
    assert job.task.endswith("public.due")
    assert (row.workers_max, row.wraparound_jobs, row.manual_jobs) == (3, 0, 0)


# --- temporary files --------------------------------------------------------------------------------------------------


def test_a_sort_that_spills_is_seen_while_it_does_and_counted_afterwards(crowd, agent):
    before = now(agent, TEMP)[0].live_bytes
    pid = crowd.holds("SET LOCAL work_mem = '64kB'", SORTED, "FETCH 1 FROM c")
    agent.clock.monotonic.ahead += 15
    spilling, spills = now(agent, TEMP)[0].live_bytes, reading.rows(agent, SPILLS)
    with crowd.server.connect() as admin:
        admin.execute("SELECT pg_terminate_backend(%s)", [pid])
    crowd.server.wait_for("SELECT temp_bytes > 1000000 FROM pg_stat_database WHERE datname = 'app'")
    reading.refreshed(agent, Tier.WORKLOAD)

    assert before == 0
    assert spilling > 1_000_000
    assert [(s.pid, s.db, s.bytes) for s in spills] == [(pid, "app", spilling)]
    assert value(reading.samples(agent), "pg_temp_bytes_total", db="app") >= spilling


# --- the server -------------------------------------------------------------------------------------------------------


def test_the_server_tells_what_it_is_and_answers_the_canary(server, agent):
    reading.refreshed(agent, Tier.HOT_PATH)
    samples = reading.samples(agent)
    with server.connect() as admin:
        start = admin.execute("SELECT extract(epoch FROM pg_postmaster_start_time())::float8").fetchone()[0]

    assert value(samples, "pg_start_time_seconds") == start
    assert value(samples, "pg_incarnation_timestamp_seconds") >= start
    assert (value(samples, "pg_timeline"), value(samples, "pg_in_recovery")) == (1, 0)
    [[info, _]] = samples["pg_server_info"].items()
    assert dict(info)["version"].startswith(f"{server.major}.")
    assert {dict(labels)["probe"] for labels in samples["pgmon_canary_seconds"]} == {"select", "explain"}
    assert all(0 < seconds < 1 for seconds in samples["pgmon_canary_seconds"].values())


def test_a_standby_tells_that_it_is_one(standby):
    with reading.agent(standby.dsn("monitor"), ShiftedTime().clock()) as agent:
        reading.refreshed(agent, Tier.HOT_PATH)

        assert value(reading.samples(agent), "pg_in_recovery") == 1


def test_what_the_server_is_is_absent_when_it_was_not_seen_lately(server):
    time = ShiftedTime()
    with reading.agent(server.dsn("monitor"), time.clock()) as agent:
        reading.refreshed(agent, Tier.HOT_PATH)
        time.ahead += 61

        readings = agent.own.read().readings
    assert [readings[feature.name, ""].rows for feature in (SERVER, SERVER_INFO, CANARY)] == [[], [], []]


@pytest.mark.pg(">= 18")
def test_the_canary_can_have_a_table_of_its_own(server):
    with server.connect() as admin:
        admin.execute('CREATE TABLE "My Canary" (n int); GRANT SELECT ON "My Canary" TO monitor')
        with running.agent(server.dsn("monitor"), CANARY_TABLE="My Canary") as agent:
            reading.refreshed(agent, Tier.HOT_PATH)
            found = agent.caches[Tier.HOT_PATH].latest.readings["canary_explain", ""]
        admin.execute('DROP TABLE "My Canary"')

    assert found.failure is None
    assert 'Seq Scan on "My Canary" t' in found.rows[1].query_plan
