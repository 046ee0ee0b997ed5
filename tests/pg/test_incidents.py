"""Each incident brings about what it says, on a real server, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import psycopg
import pytest

from pgmon.incidents import INCIDENTS, cluster, relations, sessions
from pgmon.incidents.scene import Scene, incident
from servers import Server, churn
from watching import eventually

pytestmark = pytest.mark.pg("!= 13, != 14, != 15, != 17")  # the oldest, one between, the newest

MIB = 1024 * 1024
# What an incident might leave. Autovacuum, which comes and goes, is left out.
THERE = """
SELECT pg_catalog.string_agg(thing, E'\\n' ORDER BY thing)
  FROM (SELECT 'relation ' || oid::regclass FROM pg_class
         UNION ALL SELECT 'schema ' || nspname FROM pg_namespace
         UNION ALL SELECT 'database ' || datname || (age(datfrozenxid) > 1000000)::text FROM pg_database
         UNION ALL SELECT 'prepared ' || gid FROM pg_prepared_xacts
         UNION ALL SELECT 'slot ' || slot_name FROM pg_replication_slots
         UNION ALL SELECT 'file ' || name FROM pg_ls_tmpdir()
         UNION ALL SELECT 'session ' || application_name FROM pg_stat_activity WHERE application_name LIKE 'incident%'
         UNION ALL SELECT 'lock ' || locktype || ' ' || mode
                     FROM pg_locks AS l
                     LEFT JOIN pg_stat_activity AS a USING (pid)
                    WHERE l.pid <> pg_backend_pid()
                      AND coalesce(a.backend_type, '') <> 'autovacuum worker') AS t (thing)"""


@pytest.fixture
def seen(server: Server) -> Callable[..., Any]:
    """Return a function that runs a query in the database app and returns the first row, or its only column."""

    def first(query: str, *parameters: object) -> Any:
        with server.connect(dbname="app") as connection:
            row = connection.execute(query, parameters or None).fetchone()
            return row[0] if row and len(row) == 1 else row

    return first


@pytest.fixture
def dsn(server: Server) -> str:
    """Return the superuser's connection string, as an incident takes it."""
    return server.dsn(dbname="app")


# --- what each says ---------------------------------------------------------------------------------------------------

STATE = "SELECT state, wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = %s"
BLOCKERS = "SELECT pg_blocking_pids(%s)"
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


def test_a_blocked_session_waits_for_one_that_is_idle_in_its_transaction(dsn, seen):
    with sessions.blocked_session.on(dsn) as scene:
        a, b = scene.pids

        assert seen(STATE, a)[0] == "idle in transaction"
        assert seen(STATE, b) == ("active", True)
        assert seen(BLOCKERS, b) == [a]


def test_a_blocking_chain_is_three_deep(dsn, seen):
    with sessions.blocking_chain.on(dsn) as scene:
        a, b, c = scene.pids

        assert [seen(BLOCKERS, pid) for pid in (a, b, c)] == [[], [a], [b]]


def test_in_a_lock_queue_a_reader_waits_behind_an_alter(dsn, seen):
    with sessions.lock_queue.on(dsn) as scene:
        a, b, c = scene.pids

        assert [seen(BLOCKERS, pid) for pid in (a, b, c)] == [[], [a], [b]]
        assert seen("SELECT mode FROM pg_locks WHERE pid = %s AND NOT granted", b) == "AccessExclusiveLock"
        assert seen("SELECT mode FROM pg_locks WHERE pid = %s AND NOT granted", c) == "AccessShareLock"


def test_who_is_idle_in_transaction_holds_locks_for_which_nobody_waits(dsn, seen):
    with sessions.idle_in_transaction.on(dsn) as scene:
        [pid] = scene.pids

        assert seen(STATE, pid)[0] == "idle in transaction"
        assert seen("SELECT count(*) FROM pg_locks WHERE pid = %s AND mode = 'RowExclusiveLock'", pid) == 1
        assert seen(WAITING) == 0


def test_a_long_transaction_is_active_and_holds_xmin(dsn, seen):
    with sessions.long_transaction.on(dsn) as scene:
        [pid] = scene.pids

        row = seen("SELECT state, backend_xmin IS NULL, xact_start < now() FROM pg_stat_activity WHERE pid = %s", pid)
        assert row == ("active", False, True)


def test_below_a_held_xmin_no_dead_row_is_removed(dsn, seen, server):
    with sessions.held_xmin.on(dsn) as scene:
        with server.connect(dbname="app") as connection:
            connection.execute(f"VACUUM (TRUNCATE false) {scene.name}.accounts")

        assert seen("SELECT backend_xmin IS NULL FROM pg_stat_activity WHERE pid = %s", scene.pids[0]) is False
        dead = "SELECT n_dead_tup FROM pg_stat_user_tables WHERE schemaname = 'incident_held_xmin'"
        server.wait_for(dead, 1000, dbname="app")


def test_an_orphaned_prepared_transaction_holds_locks_without_a_session(dsn, seen):
    with sessions.orphaned_prepared.on(dsn) as scene:
        assert scene.pids == []
        assert seen("SELECT gid FROM pg_prepared_xacts") == scene.name
        assert seen("SELECT count(*) FROM pg_locks WHERE pid IS NULL AND mode = 'RowExclusiveLock'") == 1


def test_deadlocks_are_counted_and_nobody_waits_any_more(dsn, seen):
    counted = "SELECT deadlocks FROM pg_stat_database WHERE datname = 'app'"
    before = seen(counted)

    with sessions.deadlocks.on(dsn):
        assert seen(counted) == before + 5
        assert seen(WAITING) == 0


def test_a_temp_spill_has_files_on_disk_while_its_statement_runs(dsn, seen):
    with sessions.temp_spill.on(dsn) as scene:
        assert seen("SELECT sum(size) FROM pg_ls_tmpdir()") > MIB
        assert seen(STATE, scene.pids[0]) == ("active", False)


TABLE = "SELECT n_live_tup, n_dead_tup, n_mod_since_analyze, last_autovacuum FROM pg_stat_user_tables WHERE relid = %s"


def test_half_of_the_rows_are_dead_and_over_the_alerts_default(dsn, seen):
    with relations.dead_tuples.on(dsn) as scene:
        live, dead, _, vacuumed = seen(f"{TABLE}::regclass", f"{scene.name}.readings")

        assert (live, dead, vacuumed) == (125_000, 125_000, None)


def test_statistics_are_stale_when_the_table_has_doubled(dsn, seen):
    with relations.stale_statistics.on(dsn) as scene:
        table = f"{scene.name}.readings"

        assert seen("SELECT reltuples FROM pg_class WHERE oid = %s::regclass", table) == 50_000
        assert seen(f"{TABLE}::regclass", table) == (100_000, 0, 50_000, None)


def test_an_unused_index_is_valid_and_never_scanned(dsn, seen):
    with relations.unused_index.on(dsn, rows=100) as scene:
        query = """SELECT idx_scan, indisvalid, indisunique
                     FROM pg_stat_user_indexes
                     JOIN pg_index USING (indexrelid)
                    WHERE schemaname = %s"""
        assert seen(query, scene.name) == (0, True, False)


def test_a_sequence_has_used_most_of_its_columns_type(dsn, seen):
    with relations.sequence_near_its_end.on(dsn) as scene:
        used = seen("SELECT last_value / 2147483647.0 FROM pg_sequences WHERE schemaname = %s", scene.name)

        assert 0.949 < used < 0.951


def test_rows_of_tomorrow_have_no_partition(dsn, seen):
    with relations.partition_gap.on(dsn) as scene:
        insert = f"INSERT INTO {scene.name}.samples VALUES (now() + %s::interval) RETURNING tableoid::regclass::text"

        assert seen(insert, "10 hours") == f"{scene.name}.samples_4"
        with pytest.raises(psycopg.errors.CheckViolation, match="no partition"):
            seen(insert, "12 hours")


def test_rows_of_now_are_in_the_default_partition(dsn, seen):
    with relations.rows_in_default.on(dsn) as scene:
        query = (
            f"SELECT min(tableoid::regclass::text), max(tableoid::regclass::text), count(*) FROM {scene.name}.samples"
        )

        assert seen(query) == (f"{scene.name}.samples_rest", f"{scene.name}.samples_rest", 1000)


def test_a_burst_takes_most_connections(dsn, seen):
    with cluster.connection_burst.on(dsn):
        assert seen(f"SELECT ({cluster.CONNECTED})::float8 / ({cluster.USABLE})") == pytest.approx(0.9, abs=0.02)


LSN = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint"


def test_a_burst_writes_wal(dsn, seen):
    before = seen(LSN)

    with cluster.wal_burst.on(dsn):
        assert seen(LSN) - before > 64 * MIB


def test_a_storm_requests_checkpoints(dsn, seen, server, pg_version):
    counter = "checkpointer_num_requested" if pg_version >= 17 else "bgwriter_requested_checkpoints"
    before = seen(f"SELECT pg_stat_get_{counter}()")

    with cluster.checkpoint_storm.on(dsn):
        server.wait_for(f"SELECT pg_stat_get_{counter}() >= {before} + 5")


def test_an_inactive_slot_keeps_wal(dsn, seen):
    kept_for = "SELECT active, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) FROM pg_replication_slots"

    with cluster.inactive_slot.on(dsn) as scene:
        active, kept = seen(f"{kept_for} WHERE slot_name = %s", scene.name)

    assert not active
    assert kept >= 32 * MIB


AGE = "SELECT age(datfrozenxid), datallowconn FROM pg_database WHERE datname = 'incident_wraparound'"


def test_a_database_is_near_wraparound_and_lets_nobody_in(dsn, seen):
    with cluster.wraparound.on(dsn):
        age, enters = seen(AGE)

    assert 1_600_000_000 <= age < 1_601_000_000
    assert not enters


# --- how it stays, and goes -------------------------------------------------------------------------------------------


SMALL = {
    "temp_spill": {"rows": 20_000},
    "deadlocks": {"pairs": 1},
    "dead_tuples": {"rows": 1000},
    "stale_statistics": {"rows": 1000},
    "connection_burst": {"used": 0.2},
    "wal_burst": {"mebibytes": 1},
    "checkpoint_storm": {"checkpoints": 1},
    "inactive_slot": {"mebibytes": 1},
}


@pytest.mark.parametrize("error", [None, ZeroDivisionError])
@pytest.mark.parametrize("incident", INCIDENTS, ids=lambda i: i.name)
def test_nothing_is_left_however_the_block_ends(server, dsn, seen, incident, error):
    before = seen(THERE)

    with pytest.raises(error) if error else nullcontext(), incident.on(dsn, **SMALL.get(incident.name, {})):
        if error:
            raise error

    server.wait_for(THERE, before, dbname="app")


@incident("Deadlocks")
def broken(scene: Scene) -> None:
    """It fails when half of it is brought about."""
    scene.run("CREATE TABLE half ()")
    scene.stays("BEGIN", "LOCK TABLE half")
    scene.command("SELECT 1 / 0")


def test_nothing_is_left_of_one_that_fails_to_come_about(server, dsn, seen):
    before = seen(THERE)

    with pytest.raises(psycopg.errors.DivisionByZero), broken.on(dsn):
        pass

    server.wait_for(THERE, before, dbname="app")


def test_tables_and_sessions_are_the_applications_where_it_has_a_role(server, dsn, seen):
    with sessions.blocked_session.on(dsn, server.dsn("monitor", "app")) as scene:
        users = "SELECT array_agg(DISTINCT usename::text) FROM pg_stat_activity WHERE application_name = %s"
        owners = "SELECT array_agg(DISTINCT tableowner::text) FROM pg_tables WHERE schemaname = %s"

        assert seen(users, scene.name) == seen(owners, scene.name) == ["monitor"]


@incident("LongTransaction")
def asking(scene: Scene) -> None:
    """A session tells in a table which limits it has."""
    limits = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
    scene.stays(f"CREATE TABLE limits AS SELECT {', '.join(f'current_setting({name!r}) AS {name}' for name in limits)}")


def test_no_limit_of_the_role_cuts_short_what_lasts(server, dsn, seen):
    limited = server.dsn(dbname="app", options="-c lock_timeout=1s -c statement_timeout=1s")
    with asking.on(dsn, limited) as scene:
        assert seen(f"SELECT * FROM {scene.name}.limits") == ("0", "0", "0")


def test_incidents_play_side_by_side(dsn, seen):
    with sessions.lock_queue.on(dsn), sessions.blocked_session.on(dsn), relations.partition_gap.on(dsn):
        assert seen(WAITING) == 3


@pytest.mark.pg(">= 18")
def test_autovacuum_does_not_set_the_age_right(fresh_server, pg_version):
    server = fresh_server(pg_version, {"autovacuum_naptime": "1s", "log_min_messages": "debug1"})

    with cluster.wraparound.on(server.dsn()), server.connect() as connection:
        # The second visit: by then the first is over.
        eventually(lambda: server.log().count('processing database "incident_wraparound"') > 1)
        age = connection.execute(AGE).fetchone()[0]

    assert age > 1_000_000_000


def test_the_server_does_not_keep_the_limits_of_a_database_near_wraparound(dsn, seen, server):
    oldest = "SELECT oldest_xid FROM pg_control_checkpoint()"
    with server.connect(dbname="app") as connection:
        connection.execute("VACUUM")
        connection.execute("CHECKPOINT")
        before = seen(oldest)

        with cluster.wraparound.on(dsn):
            connection.execute("VACUUM FREEZE")
        connection.execute("CHECKPOINT")
    churn(server)  # the table of dead rows that others look at

    assert int(seen(oldest)) >= int(before)
    assert int(seen(oldest)) < 1_000_000_000
