"""Tables of real servers: rows, autovacuum's own choice, the true largest, and what is locked, dropped or renamed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

import psycopg
import pytest

import reading
import running
import servers
from conftest import require
from fakes import ShiftedTime
from pgmon.agent import Agent
from pgmon.errors import Kind
from pgmon.facts import Facts
from pgmon.feature import Feature, Params, Tier
from pgmon.features import FEATURES
from pgmon.features.indexes import INDEXES
from pgmon.features.tables import DUE, HELD_BACK, SIZES, TUPLES
from pgmon.incidents import sessions
from pgmon.refresh import Refresher, Source
from pgmon.snapshot import Snapshot
from servers import Server

ENDS = pytest.mark.parametrize("major", [12, 17, 18], ids="pg{}".format)


@contextmanager
def storage(server: Server, db: str, **environ: str) -> Iterator[tuple[Agent, ShiftedTime]]:
    """Return an agent of the DSN's database postgres that visits `db` only, and its time."""
    time = ShiftedTime()
    with reading.agent(server.dsn("monitor"), time.clock(), DATABASES_INCLUDE=f"[{db}]", **environ) as made:
        yield made, time


def read(agent: Agent, time: ShiftedTime, after: float = 600.0) -> Snapshot:
    """Return the next snapshot, which must be a success."""
    time.ahead += after
    snapshot = reading.refreshed(agent, Tier.STORAGE)
    assert snapshot.success, {k: r.message for k, r in snapshot.readings.items() if r.failure}
    return snapshot


# --- in a database that the DSN does not name -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exposed(server: Server) -> running.Samples:
    """Return what is exposed after two rounds of the ten-minute loop."""
    servers.churn(server)  # a vacuum against wraparound may have come, for the sake of another test
    with storage(server, "app") as (agent, time):
        read(agent, time)
        read(agent, time)
        return reading.samples(agent)


METRICS = {
    *("pg_table_dead_tuples", "pg_table_pct_dead", "pg_table_live_tuples", "pg_autovacuum_due_factor"),
    *("pg_relation_size_bytes", "pg_partitioned_size_bytes", "pg_database_size_bytes"),
    *("pg_index_size_bytes", "pg_index_scans_total", "pg_index_unused", "pg_index_invalid", "pg_index_duplicate"),
    *("pg_partitions", "pg_partition_gaps", "pg_partition_oldest_age_seconds"),
}


def test_every_metric_is_there(exposed):
    assert {m for m in METRICS if not any(("db", "app") in labels for labels in exposed.get(m, {}))} == set()


def value(samples: running.Samples, metric: str, **labels: str) -> float | None:
    return running.value(samples, metric, db="app", **labels)


def test_dead_rows_are_counted(exposed):
    assert value(exposed, "pg_table_dead_tuples", relation="public.churned") == 2000
    assert value(exposed, "pg_table_live_tuples", relation="public.churned") == 3000


def test_dead_rows_are_a_share_in_hundred_and_in_one(exposed):
    assert value(exposed, "pg_table_pct_dead", relation="public.churned") == 40
    assert value(exposed, "pg_table_dead_ratio", relation="public.churned") == 0.4


@pytest.mark.parametrize("reason", ["dead", "insert", "analyze"])
def test_where_autovacuum_is_off_only_the_age_can_make_a_table_due(exposed, reason):
    assert value(exposed, "pg_autovacuum_due_factor", relation="public.churned", reason=reason) is None
    assert value(exposed, "pg_autovacuum_due_factor", relation="public.churned", reason="freeze") < 1


def test_a_size_has_its_kind_and_leaves_indexes_out(server, exposed):
    with server.connect(dbname="app") as connection:
        size = connection.execute("SELECT pg_table_size('churned')").fetchone()[0]

    assert value(exposed, "pg_relation_size_bytes", relation="public.churned", relkind="r") == size


def test_a_partitioned_table_is_as_large_as_its_partitions(exposed):
    partitions = [
        value(exposed, "pg_relation_size_bytes", relation=f"public.reading_{year}", relkind="r")
        for year in range(date.today().year - 1, date.today().year + 3)
    ]

    assert value(exposed, "pg_partitioned_size_bytes", relation="public.reading") == sum(partitions)


def test_a_database_has_its_size(server, exposed):
    with server.connect(dbname="app") as connection:
        size = connection.execute("SELECT pg_database_size('app')").fetchone()[0]

    assert value(exposed, "pg_database_size_bytes") == pytest.approx(size, rel=0.2)


def test_indexes_have_sizes_and_scans(exposed):
    assert value(exposed, "pg_index_size_bytes", index="public.device_pkey") == 16384
    assert value(exposed, "pg_index_scans_total", index="public.device_pkey") >= 0


def test_partitions_are_counted(exposed):
    assert value(exposed, "pg_partitions", relation="public.reading") == 4


def test_a_hostile_name_is_a_label_like_any_other(exposed):
    names = {dict(labels)["relation"] for labels in exposed["pg_relation_size_bytes"]}

    assert any("DROP TABLE device" in name and "\n" not in name for name in names)


def test_a_standby_has_sizes_and_no_table_statistics(server, standby):
    time = ShiftedTime()
    with reading.agent(standby.dsn("monitor"), time.clock(), DATABASES_INCLUDE="[app]") as agent:
        snapshot = read(agent, time)
        samples = reading.samples(agent)

    assert snapshot.readings["tuples", "app"].failure is Kind.UNSUPPORTED
    assert value(samples, "pg_relation_size_bytes", relation="public.churned", relkind="r") > 0
    assert "pg_table_dead_tuples" not in samples
    assert "pg_autovacuum_due_factor" not in samples
    assert "pg_index_unused" not in samples


# --- who is due -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A table of 1000 rows that was vacuumed and analyzed, its options, and what then happens to it."""

    name: str
    options: Mapping[str, object]
    deleted: int = 0
    inserted: int = 0
    least: int = 12  # version


def own(what: str, threshold: int, scale: float = 0.0) -> dict[str, object]:
    """Return the options for a threshold of a table's own."""
    return {f"autovacuum_{what}_threshold": threshold, f"autovacuum_{what}_scale_factor": scale}


def toast(options: Mapping[str, object]) -> dict[str, object]:
    return {f"toast.{name}": value for name, value in options.items()}


RARELY_ANALYZED = own("analyze", 50, 10)
OFF = {"autovacuum_enabled": "false"}
CASES = (
    Case("dead_enough", {}, deleted=300),
    Case("dead_too_few", {}, deleted=100),
    Case("own_threshold", own("vacuum", 10, 0.01), deleted=30),
    Case("own_large_scale_factor", own("vacuum", 50, 10), deleted=300),
    Case("own_analyze", own("analyze", 5), deleted=9),
    Case("inserted_enough", RARELY_ANALYZED, inserted=1300),
    Case("inserted_too_few", RARELY_ANALYZED, inserted=1100),
    Case("own_insert", own("vacuum_insert", 10), inserted=20, least=13),
    Case("insert_disabled", {"autovacuum_vacuum_insert_threshold": -1, **RARELY_ANALYZED}, inserted=1300, least=13),
    Case("disabled", OFF, deleted=900),
    Case("toast_own", toast(own("vacuum", 10)), deleted=20),
    Case("toast_of_its_table", own("vacuum", 60), deleted=30),
    Case("toast_disabled", {**own("vacuum", 60), **toast(OFF)}, deleted=30),
    Case("old", {"autovacuum_freeze_max_age": 100_000}),
    Case("old_and_disabled", {**OFF, "autovacuum_freeze_max_age": 100_000}),
    Case("not_so_old", {"autovacuum_freeze_max_age": 200_000}),
    Case("over_the_most", {"autovacuum_vacuum_max_threshold": 100}, deleted=120, least=18),
    Case("under_the_most", {"autovacuum_vacuum_max_threshold": 130}, deleted=120, least=18),
    Case("without_a_most", {"autovacuum_vacuum_max_threshold": -1}, deleted=120, least=18),
)

AGED = """
UPDATE pg_class
   SET relfrozenxid = ((txid_current() + 4294967296 - 150000) % 4294967296)::text::xid
 WHERE relname ~ 'old'
   AND relkind = 'r'
   AND relnamespace = 'public'::regnamespace
"""
HANDLED = """
SELECT relname,
       pg_stat_get_autovacuum_count(oid) + pg_stat_get_autovacuum_count(reltoastrelid) > 0,
       pg_stat_get_autoanalyze_count(oid) > 0
  FROM pg_class
 WHERE relkind = 'r'
   AND relnamespace = 'public'::regnamespace
"""
COUNTED = """
SELECT sum(pg_stat_get_tuples_inserted(oid) + pg_stat_get_tuples_deleted(oid))::bigint
  FROM pg_class
 WHERE relkind IN ('r', 't')
   AND relnamespace IN ('public'::regnamespace, 'pg_toast'::regnamespace)
"""
ROUND = "INSERT INTO round SELECT n FROM generate_series(1, 1000) AS n; DELETE FROM round"


def settled(server: Server) -> None:
    """Wait until what was done is counted: until for a second nothing more comes in."""
    with server.connect(dbname="app") as connection:
        before, now = None, connection.execute(COUNTED).fetchone()[0]
        while now != before:
            connection.execute("SELECT pg_sleep(1.1)")
            before, now = now, connection.execute(COUNTED).fetchone()[0]


def make(server: Server) -> set[str]:
    """Make the tables of the cases that the server understands, unhandled so far; return their names."""
    cases = [c for c in CASES if server.major >= c.least]
    with server.connect(dbname="app") as connection:
        connection.execute("CREATE TABLE round (n int) WITH (autovacuum_vacuum_threshold = 1)")
        for c in cases:
            options = ", ".join(f"{name} = {value}" for name, value in c.options.items())
            connection.execute(f"CREATE TABLE {c.name} (id int, v text){f' WITH ({options})' if options else ''}")
            connection.execute(f"ALTER TABLE {c.name} ALTER v SET STORAGE EXTERNAL")
            wide = f"repeat('x', {9000 if c.name.startswith('toast') else 0})"
            connection.execute(f"INSERT INTO {c.name} SELECT n, {wide} FROM generate_series(1, 1000) AS n")
    settled(server)
    with server.connect(dbname="app") as connection:
        connection.execute("VACUUM ANALYZE")
        for c in cases:
            connection.execute(f"DELETE FROM {c.name} WHERE id <= {c.deleted}")
            connection.execute(f"INSERT INTO {c.name} SELECT n, '' FROM generate_series(1, {c.inserted}) AS n")
        connection.execute(AGED)
    settled(server)
    return {c.name for c in cases}


def let_autovacuum_run(server: Server) -> None:
    """Let autovacuum make two rounds in the database app."""
    with server.connect() as connection:
        connection.execute("ALTER SYSTEM SET autovacuum_naptime = '1s'")
        connection.execute("SELECT pg_reload_conf()")
    for n in (1, 2):
        with server.connect(dbname="app") as connection:
            connection.execute(ROUND)
        came = "SELECT pg_stat_get_autovacuum_count('round'::regclass) >= {}"
        server.wait_for(came.format(n), timeout=30, dbname="app")


@ENDS
def test_the_tables_above_1_are_those_that_autovacuum_handles(fresh_server, major):
    server = fresh_server(require(major), {"autovacuum_naptime": "2000000s", "autovacuum_vacuum_cost_delay": "0"})
    names = make(server)
    with storage(server, "app") as (agent, time):
        read(agent, time)
        due = {(d.relation.removeprefix("public."), d.reason) for d in reading.rows(agent, DUE, "app") if d.factor > 1}

    let_autovacuum_run(server)

    with server.connect(dbname="app") as connection:
        handled = [row for row in connection.execute(HANDLED).fetchall() if row[0] in names]
    assert {n for n, reason in due if reason != "analyze" and n in names} == {
        n for n, vacuumed, _ in handled if vacuumed
    }
    assert {n for n, reason in due if reason == "analyze" and n in names} == {
        n for n, _, analyzed in handled if analyzed
    }
    assert ("old_and_disabled", "freeze") in due
    assert ("toast_own", "dead") in due


# --- the largest ------------------------------------------------------------------------------------------------------

ALL = "SELECT relname, pg_table_size(oid) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"


def fill(connection: psycopg.Connection) -> None:
    """Make 150 tables of many sizes that are analyzed, then let some grow, and add some that never were."""
    for n in range(150):
        connection.execute(f"CREATE TABLE t{n} (id int, v text) WITH (autovacuum_enabled = off)")
        connection.execute(f"ALTER TABLE t{n} ALTER v SET STORAGE EXTERNAL")
        text = f"repeat('x', {n % 50 * 4})"
        connection.execute(f"INSERT INTO t{n} SELECT n, {text} FROM generate_series(1, {n * 13}) AS n")
    connection.execute("ANALYZE")
    for n in range(0, 150, 10):
        connection.execute(f"INSERT INTO t{n} SELECT n, repeat('y', 100) FROM generate_series(1, 4000) AS n")
        connection.execute(f"CREATE TABLE new{n} AS SELECT n, repeat('y', {n}) AS v FROM generate_series(1, 2000) AS n")
    for n in range(3):  # few rows, much TOAST
        connection.execute(f"INSERT INTO t{n} SELECT n, repeat('z', 100000) FROM generate_series(1, 10) AS n")


def test_the_largest_are_found_even_if_they_grew_since(server, scratch):
    with server.connect(dbname="scratch") as connection:
        connection.execute("BEGIN")
        fill(connection)
    server.wait_for("SELECT pg_stat_get_live_tuples('t2'::regclass) > 30", dbname="scratch")

    with storage(server, "scratch") as (agent, time):
        read(agent, time)
        found = {s.relation.removeprefix("public."): s.bytes for s in reading.rows(agent, SIZES, "scratch")}

    everything = dict(scratch.execute(ALL).fetchall())
    assert found.items() <= everything.items()
    assert sorted(found.values()) == sorted(everything.values())[-50:]


PARTS = """
SELECT 'public.' || relname AS relation,
       pg_table_size(oid) - coalesce(pg_total_relation_size(nullif(reltoastrelid, 0)), 0),
       coalesce(pg_total_relation_size(nullif(reltoastrelid, 0)), 0),
       pg_indexes_size(oid)
  FROM pg_class
 WHERE relname IN ('plain', 'wide')"""


def test_a_table_is_told_apart_into_heap_toast_and_indexes(server, scratch):
    scratch.execute("CREATE TABLE plain AS SELECT n FROM generate_series(1, 1000) AS n; CREATE INDEX i ON plain (n)")
    scratch.execute("CREATE TABLE wide (v text); ALTER TABLE wide ALTER v SET STORAGE EXTERNAL")
    scratch.execute("INSERT INTO wide SELECT repeat('x', 100000)")
    scratch.commit()

    def parts(agent, time):
        read(agent, time)
        found = reading.rows(agent, SIZES, "scratch")
        return sorted((s.relation, s.heap_bytes, s.toast_bytes, s.index_bytes) for s in found)

    with storage(server, "scratch") as (agent, time):
        expected = sorted(scratch.execute(PARTS).fetchall())
        scratch.commit()
        assert parts(agent, time) == expected
        scratch.execute("REINDEX INDEX i")  # locks the index ACCESS EXCLUSIVE, and not its table
        assert parts(agent, time) == expected
    scratch.rollback()


# --- what is locked ---------------------------------------------------------------------------------------------------


@contextmanager
def locks(server: Server) -> Iterator[None]:
    """Hold an ACCESS EXCLUSIVE lock on churned, and wait for one on device."""
    with closing(server.connect(dbname="app")) as holder, closing(server.connect(dbname="app")) as waiter:
        holder.execute("BEGIN; LOCK TABLE churned; SELECT count(*) FROM device WHERE false")
        waiter.pgconn.send_query(b"BEGIN; LOCK TABLE device")
        waiter.pgconn.flush()
        pid = waiter.info.backend_pid
        server.wait_for(f"SELECT wait_event_type FROM pg_stat_activity WHERE pid = {pid}", "Lock")
        yield
    server.wait_for(f"SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}", 0)


def how(agent: Agent, feature: Feature[Any, Any], label: str) -> dict[str, tuple[str, int]]:
    return {getattr(r, label).removeprefix("public."): (r.how, r.bytes) for r in reading.rows(agent, feature, "app")}


LOCKED = {"churned", "device"}


def test_what_is_locked_is_marked_and_as_large_as_it_was(server):
    with storage(server, "app") as (agent, time):
        read(agent, time)
        before = how(agent, SIZES, "relation")
        with locks(server):
            read(agent, time)
            during = how(agent, SIZES, "relation")

    assert {name for name, (mark, _) in during.items() if mark == "locked"} == LOCKED
    assert {name: size for name, (_, size) in during.items()} == {name: size for name, (_, size) in before.items()}


def test_what_is_locked_and_was_never_measured_is_estimated(server):
    with storage(server, "app") as (agent, time), locks(server):
        read(agent, time)
        found = how(agent, SIZES, "relation")

    assert {name for name, (mark, _) in found.items() if mark == "estimated"} == LOCKED
    assert all(found[name][1] > 0 for name in LOCKED)


def test_the_indexes_of_what_is_locked_are_marked_and_as_large_as_they_were(server):
    with storage(server, "app") as (agent, time):
        read(agent, time)
        before = how(agent, INDEXES, "index")
        with locks(server):
            read(agent, time)
            during = how(agent, INDEXES, "index")

    assert {name for name, (mark, _) in during.items() if mark == "locked"} == {
        "churned_pkey",
        "device_pkey",
        "device_name_key",
    }
    assert {name: size for name, (_, size) in during.items()} == {name: size for name, (_, size) in before.items()}


def test_rows_are_counted_while_their_table_is_locked(server):
    with storage(server, "app") as (agent, time), locks(server):
        read(agent, time)
        found = {t.relation: t.dead for t in reading.rows(agent, TUPLES, "app")}

    assert found["public.churned"] == 2000


@pytest.mark.parametrize("tier", [Tier.STORAGE, Tier.HOURLY])
def test_a_slow_loop_ends_well_and_in_time_while_one_table_is_locked_and_another_about_to_be(server, tier):
    with storage(server, "app") as (agent, _), locks(server):
        snapshot = reading.refreshed(agent, tier)

    assert snapshot.success, {k: r.message for k, r in snapshot.readings.items() if r.failure}
    assert snapshot.seconds < agent.cadences[tier].budget


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.fault("F47")
def test_names_that_become_equal_are_told_apart_by_their_last_label(server, scratch):
    scratch.execute('CREATE TABLE "a b" AS SELECT 1 AS n; CREATE TABLE "a\nb" AS SELECT 1 AS n')
    scratch.commit()

    with storage(server, "scratch") as (agent, time):
        read(agent, time)
        found = {tuple(dict(labels).values()) for labels in reading.samples(agent)["pg_relation_size_bytes"]}

    assert found == {("scratch", "public.a b", "r"), ("scratch", "public.a b~2", "r")}


def test_temporary_tables_are_left_out(server, scratch):
    scratch.execute("CREATE TEMP TABLE passing AS SELECT 1 AS n")
    scratch.commit()

    with storage(server, "scratch") as (agent, time):
        read(agent, time)
        found = reading.rows(agent, SIZES, "scratch")

    assert found == []


# --- what goes while we look ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Meddling:
    """A source before whose answer to one question something happens."""

    source: Source
    feature: str
    db: str
    happens: Callable[[], None]

    def facts(self, db: str, tier: Tier, deadline: float) -> Facts:
        """Return the facts."""
        return self.source.facts(db, tier, deadline)

    def ask(self, feature: Feature[Any, Any], facts: Facts, params: Params, deadline: float) -> tuple[str, list[Any]]:
        """Let it happen, and ask."""
        if (feature.name, facts.db) == (self.feature, self.db):
            self.happens()
        return self.source.ask(feature, facts, params, deadline)


def meddled(agent: Agent, feature: str, db: str, happens: Callable[[], None], tier: Tier = Tier.STORAGE) -> Snapshot:
    """Return a snapshot during which something happened."""
    source, features = Meddling(agent.guard, feature, db, happens), [f for f in FEATURES if f.tier is tier]
    cadence, now = agent.cadences[tier], agent.clock.monotonic
    return Refresher(tier, features, source, cadence, agent.config, agent.chosen, now, agent.latest)(None)


@pytest.mark.fault("F34")
def test_a_table_that_is_dropped_before_it_is_measured_is_left_out(server, scratch):
    scratch.execute("CREATE TABLE kept AS SELECT 1 AS n; CREATE TABLE dropped AS SELECT 1 AS n")
    scratch.commit()

    def drop():
        scratch.execute("DROP TABLE dropped")
        scratch.commit()

    with storage(server, "scratch") as (agent, _):
        snapshot = meddled(agent, "sizes", "scratch", drop)

    assert snapshot.success
    assert {c.relation for c in snapshot.readings["relations", "scratch"].rows} == {"public.kept", "public.dropped"}
    assert {s.relation for s in snapshot.readings["sizes", "scratch"].rows} == {"public.kept"}


def test_a_table_that_is_renamed_has_its_new_name(server, scratch):
    scratch.execute("CREATE TABLE old AS SELECT 1 AS n")
    scratch.commit()

    def rename():
        scratch.execute("ALTER TABLE old RENAME TO new")
        scratch.commit()

    with storage(server, "scratch") as (agent, _):
        snapshot = meddled(agent, "sizes", "scratch", rename)

    assert snapshot.success
    assert {s.relation for s in snapshot.readings["sizes", "scratch"].rows} == {"public.new"}


ENDED = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'doomed'"


@pytest.mark.fault("F33")
@pytest.mark.parametrize(("tier", "feature"), [(Tier.STORAGE, "sizes"), (Tier.HOURLY, "freeze")])
def test_a_database_that_is_dropped_is_gone_and_no_error(server, tier, feature):
    with server.connect() as connection:
        connection.execute("CREATE DATABASE doomed")

        def drop():
            connection.execute(ENDED)
            server.wait_for("SELECT count(*) FROM pg_stat_activity WHERE datname = 'doomed'", 0)
            connection.execute("DROP DATABASE doomed")

        with storage(server, "'*'") as (agent, _):
            snapshot = meddled(agent, feature, "doomed", drop, tier)

    assert snapshot.success
    assert snapshot.errors == 0
    assert snapshot.readings[feature, "doomed"].failure is Kind.GONE
    assert snapshot.readings[feature, "app"].failure is None


# --- who keeps dead rows ----------------------------------------------------------------------------------------------


def kept_by(agent: Agent, relation: str) -> str:
    """Return who keeps the dead rows of a table of the database app."""
    return next(r.kept_by for r in reading.rows(agent, TUPLES, "app") if r.relation == relation)


def test_dead_rows_that_vacuum_may_not_remove_name_the_session_whose_snapshot_keeps_them(server):
    with storage(server, "app") as (agent, time), sessions.held_xmin.on(server.dsn(dbname="app")) as scene:
        read(agent, time)
        read(agent, time)
        [held] = reading.rows(agent, HELD_BACK, "app")
        keeper = kept_by(agent, f"{scene.name}.accounts")

    assert keeper == held.holder == f"{scene.name} (pid {scene.pids[0]})"
    assert (held.pid, held.tables_due, 590 < held.seconds < 610) == (scene.pids[0], 1, True)


def test_a_session_that_wrote_keeps_dead_rows_without_a_snapshot(server):
    with server.connect() as elsewhere, storage(server, "app") as (agent, time):
        elsewhere.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        elsewhere.execute("SELECT 1")  # in another database it keeps nothing here
        with sessions.idle_in_transaction.on(server.dsn(dbname="app")) as scene:
            read(agent, time)
            [held] = reading.rows(agent, HELD_BACK, "app")

    assert held.pid == scene.pids[0]


def test_a_prepared_transaction_keeps_dead_rows(server):
    with storage(server, "app") as (agent, time), sessions.orphaned_prepared.on(server.dsn(dbname="app")) as scene:
        read(agent, time)
        [held] = reading.rows(agent, HELD_BACK, "app")

    assert (held.holder, held.pid) == (f"the prepared transaction {scene.name}", None)
