"""What large tables waste, held against pgstattuple, which reads every page of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import reading
from fakes import ShiftedTime
from pgmon.agent import Agent
from pgmon.feature import Tier
from pgmon.features.bloat import BLOAT, BLOAT_METHODS, Bloat
from servers import Server

HOUR = 3600.0
MARGIN = 0.03  # of a table
PGSTATTUPLE = "pgstattuple_approx"

ROWS = "INSERT INTO {} SELECT n, md5(n::text), now() FROM generate_series(1, 200000) AS n"
NARROW = "CREATE TABLE {} (id integer, payload text, at timestamptz)"
WIDE = "INSERT INTO {} SELECT n, repeat(md5(n::text), 50) FROM generate_series(1, 10000) AS n"
PADDED = "INSERT INTO {} SELECT true, n, true, n, true, n FROM generate_series(1, 300000) AS n"
DROPPED = "INSERT INTO {} SELECT n, repeat(md5(n::text), 5), md5(n::text) FROM generate_series(1, 80000) AS n"
QUIET = "ALTER TABLE {} SET (autovacuum_enabled = off)"
VACUUM = "VACUUM ANALYZE {}"
DELETE = "DELETE FROM {} WHERE id % 10 < 4"

# What is done to each table, every step by a session of its own: it counts what it did when it ends.
TABLES = {
    "clean": (NARROW, ROWS, VACUUM),
    "vacuumed": (NARROW, ROWS, DELETE, VACUUM),
    "not_vacuumed": (NARROW, ROWS, VACUUM, DELETE),
    "vacuumed_once": (NARROW, ROWS, DELETE, VACUUM, "DELETE FROM {} WHERE id % 10 < 7"),
    "reserving": (NARROW + " WITH (fillfactor = 70)", ROWS, VACUUM),
    "reserving_vacuumed": (NARROW + " WITH (fillfactor = 70)", ROWS, DELETE, VACUUM),
    "wide": (
        "CREATE TABLE {} (id integer, payload text)",
        "ALTER TABLE {} ALTER payload SET STORAGE PLAIN",
        WIDE,
        VACUUM,
        DELETE,
    ),
    "padded": (
        "CREATE TABLE {} (a boolean, id bigint, b boolean, c bigint, d boolean, e bigint)",
        PADDED,
        VACUUM,
        DELETE,
    ),
    "dropped": (
        "CREATE TABLE {} (id integer, gone text, payload text)",
        DROPPED,
        "ALTER TABLE {} DROP COLUMN gone",
        VACUUM,
    ),
}
RESERVED = {"reserving": 0.3, "reserving_vacuumed": 0.3}
TRUTH = """
SELECT c.relname, (t.free_percent + t.dead_tuple_percent) / 100
  FROM pg_class AS c, pgstattuple(c.oid) AS t
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
"""
some_versions = pytest.mark.pg("!=13,!=14,!=15,!=17")
newest_version = pytest.mark.pg(">=18")


@contextmanager
def database(server: Server, name: str, *statements: str) -> Iterator[str]:
    """A database in which statements were executed, each by a session of its own."""
    do(server, "postgres", f"CREATE DATABASE {name}")
    try:
        for statement in statements:
            do(server, name, statement)
        yield name
    finally:
        do(server, "postgres", f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        server.wait_for(f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'", 0)
        do(server, "postgres", f"DROP DATABASE {name}")


def do(server: Server, db: str, statement: str) -> None:
    """Execute a statement; return when its session is gone and what it counted is told."""
    with server.connect(dbname=db) as session:
        pid = session.info.backend_pid
        session.execute(statement)
    server.wait_for(f"SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}", 0)


def read(server: Server, db: str) -> dict[str, Bloat]:
    """Return what a new agent knows of the tables of a database after a refresh."""
    with reading.agent(server.dsn("monitor")) as agent:
        reading.refreshed(agent, Tier.STORAGE)  # which chooses the tables
        reading.refreshed(agent, Tier.HOURLY)
        return by_table(agent, db)


def by_table(agent, db: str) -> dict[str, Bloat]:
    return {b.relation.removeprefix("public."): b for b in reading.rows(agent, BLOAT, db)}


@pytest.fixture(scope="module")
def estimates(server: Server) -> Iterator[dict[str, dict[str, Bloat]]]:
    """Return the estimates by each method, and under 'pgstattuple' the truth."""
    steps = [step.format(table) for table, (create, *rest) in TABLES.items() for step in (create, QUIET, *rest)]
    # Who analyzes a catalogue meanwhile would keep VACUUM from what was deleted last.
    with server.altered("autovacuum_naptime", "1d"), database(server, "bloated", *steps) as db:
        server.wait_for("SELECT count(*) FROM pg_stat_user_tables WHERE n_dead_tup > 0", 4, dbname=db)
        by_method = {"dead_share": read(server, db)}
        do(server, db, "CREATE EXTENSION pgstattuple")
        by_method["pgstattuple_approx"] = read(server, db)
        do(server, db, "CREATE EXTENSION pg_freespacemap")
        by_method["fsm_sample"] = read(server, db)
        with server.connect(dbname=db) as session:
            by_method["pgstattuple"] = dict(session.execute(TRUTH).fetchall())
        yield by_method


def waste(table: str, by_method: dict[str, dict[str, Bloat]]) -> float:
    """Return what pgstattuple counts as free or dead, without what the fillfactor reserves."""
    return max(by_method["pgstattuple"][table] - RESERVED.get(table, 0.0), 0.0)


@some_versions
@pytest.mark.parametrize("method", ["fsm_sample", "pgstattuple_approx"])
def test_the_waste_of_a_table_is_known_within_three_percent_of_it(estimates, method):
    off = {table: (e.ratio, waste(table, estimates)) for table, e in estimates[method].items()}

    assert {e.method for e in estimates[method].values()} == {method}
    assert off.keys() == TABLES.keys()
    assert {table: known for table, known in off.items() if abs(known[0] - known[1]) > MARGIN} == {}


@some_versions
def test_nobody_had_to_read_pg_stats_for_it(server, estimates):
    with server.connect("monitor", "bloated") as session:
        readable = session.execute("SELECT count(*) FROM pg_stats WHERE schemaname = 'public'").fetchone()[0]

    assert readable == 0


@some_versions
def test_bytes_are_the_ratio_of_the_size(estimates):
    off = [e for e in estimates["fsm_sample"].values() if abs(e.wasted - e.ratio * e.size) > 1]

    assert off == []


@some_versions
def test_without_an_extension_the_dead_rows_are_told_and_no_more(estimates):
    known = {table: (e.method, round(e.ratio, 2)) for table, e in estimates["dead_share"].items()}

    assert known["not_vacuumed"] == ("dead_share", 0.4)
    assert known["vacuumed"] == ("dead_share", 0.0)


# --- whom it looks at -------------------------------------------------------------------------------------------------

# As far as the catalogue knows.
LARGE = (
    "UPDATE pg_class SET (relpages, relallvisible) = (2000 + reltuples, 2000 + reltuples) WHERE relname LIKE 'table%'"
)


def small_tables(n: int, *more: str) -> list[str]:
    """Return the statements for so many tables that look large, the last one largest."""
    made = [f"CREATE TABLE table{i:02} AS SELECT generate_series(1, {i} * 10) AS id" for i in range(n)]
    return ["; ".join(made), "VACUUM ANALYZE", LARGE, *more]


class Rounds:
    """An agent that refreshes, an hour later each time."""

    def __init__(self, agent: Agent, time: ShiftedTime) -> None:
        self.agent, self.time = agent, time

    def __call__(self, db: str) -> dict[str, Bloat]:
        """Refresh, and return what is known of the tables of a database."""
        self.time.ahead += HOUR
        reading.refreshed(self.agent, Tier.STORAGE)
        read = reading.refreshed(self.agent, Tier.HOURLY).readings[BLOAT.name, db]
        assert read.failure is None, read.message
        return by_table(self.agent, db)


@pytest.fixture
def rounds(server: Server) -> Iterator[Rounds]:
    """Return what refreshes."""
    time = ShiftedTime()
    with reading.agent(server.dsn("monitor"), time.clock(), LIMITS_TOP_RELATIONS="1000") as agent:
        yield Rounds(agent, time)


each_extension = pytest.mark.parametrize("extension", ["pg_freespacemap", "pgstattuple"])


@newest_version
@each_extension
def test_tables_take_turns_ten_in_a_refresh_the_largest_first(server, rounds, extension):
    with database(server, "turns", *small_tables(25), f"CREATE EXTENSION {extension}") as db:
        looked_at = [{table for table, b in rounds(db).items() if b.age == 0} for _ in range(3)]

        assert looked_at[0] == {f"table{i}" for i in range(15, 25)}
        assert looked_at[1] == {f"table{i:02}" for i in range(5, 15)}
        assert looked_at[2] == {f"table{i:02}" for i in range(5)} | {f"table{i}" for i in range(20, 25)}


@newest_version
@each_extension
def test_between_turns_an_estimate_stays_and_grows_old(server, rounds, extension):
    with database(server, "turns", *small_tables(25), f"CREATE EXTENSION {extension}") as db:
        first, second = rounds(db)["table24"], rounds(db)["table24"]

        assert (second.ratio, second.method) == (first.ratio, first.method)
        assert second.age == pytest.approx(HOUR, abs=60)


@newest_version
@each_extension
@pytest.mark.parametrize("waiting", [False, True], ids=["held", "awaited"])
def test_a_table_that_is_locked_is_passed_over_and_its_estimate_stays(server, rounds, extension, waiting):
    with database(server, "turns", *small_tables(3), f"CREATE EXTENSION {extension}") as db:
        before = rounds(db)
        with locked(server, db, "table01", waiting):
            now = rounds(db)

        assert {table for table, b in now.items() if b.locked} == {"table01"}
        assert now["table01"].ratio == before["table01"].ratio
        assert (now["table01"].age > 0, now["table02"].age) == (True, 0)


@contextmanager
def locked(server: Server, db: str, table: str, waiting: bool) -> Iterator[None]:
    """A lock that excludes everybody, held, or waited for."""
    with server.connect(dbname=db) as reader, server.connect(dbname=db) as locker:
        if waiting:
            reader.execute(f"BEGIN; SELECT FROM {table}")
        locker.pgconn.send_query(f"BEGIN; LOCK TABLE {table}".encode())
        locker.pgconn.flush()
        granted = "SELECT bool_or(granted) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND pid = {}"
        server.wait_for(granted.format(locker.info.backend_pid), not waiting)
        yield
        locker.close()  # it may still be waiting


@newest_version
@each_extension
def test_what_it_locks_to_look_at_it_gives_back_at_once(server, rounds, extension):
    left = "SELECT relation::regclass FROM pg_locks WHERE pid = pg_backend_pid() AND relation >= 16384"
    with database(server, "turns", *small_tables(3), f"CREATE EXTENSION {extension}") as db:
        rounds(db)
        with server.connect("monitor", db) as session:
            session.execute("BEGIN")
            session.execute(rounds.agent.caches[Tier.HOURLY].latest.readings[BLOAT.name, db].sql)

            assert session.execute(left).fetchall() == []


@newest_version
def test_a_table_that_pgstattuple_would_read_for_too_long_is_not_given_to_it(server, rounds):
    dear = "UPDATE pg_class SET relpages = 20000, relallvisible = 1000 WHERE relname = 'table02'"
    with database(server, "turns", *small_tables(3), "CREATE EXTENSION pgstattuple", dear) as db:
        methods = {table: b.method for table, b in rounds(db).items()}

        assert methods == {"table00": PGSTATTUPLE, "table01": PGSTATTUPLE, "table02": "dead_share"}


@newest_version
def test_pgstattuple_reads_no_more_in_a_refresh_than_it_may(server, rounds):
    half = "UPDATE pg_class SET relpages = 8000, relallvisible = 0 WHERE relname LIKE 'table%'"
    with database(server, "turns", *small_tables(3), "CREATE EXTENSION pgstattuple", half) as db:
        looked_at = [sum(b.age == 0 for b in rounds(db).values()) for _ in range(2)]

        assert looked_at == [2, 2]


@newest_version
def test_a_table_that_was_dropped_is_forgotten(server, rounds):
    with database(server, "turns", *small_tables(3), "CREATE EXTENSION pg_freespacemap") as db:
        rounds(db)
        do(server, db, "DROP TABLE table01")

        assert rounds(db).keys() == {"table00", "table02"}


@newest_version
def test_small_temporary_and_catalogue_tables_are_none_of_it(server, rounds):
    with database(server, "turns", *small_tables(2), "CREATE TABLE small AS SELECT 1 AS id") as db:
        do(server, db, "UPDATE pg_class SET relpages = 5000 WHERE relname IN ('pg_proc', 'sql_features')")
        with server.connect(dbname=db) as session:
            session.execute("CREATE TEMP TABLE tableT AS SELECT 1 AS id")
            session.execute("UPDATE pg_class SET relpages = 5000 WHERE relname = 'tablet'")

            assert rounds(db).keys() == {"table00", "table01"}


@newest_version
def test_the_method_is_told_of_every_estimate_also_between_turns(server, rounds):
    with database(server, "turns", *small_tables(12), "CREATE EXTENSION pg_freespacemap") as db:
        for known in (10, 12):
            rounds(db)

            assert [m.method for m in reading.rows(rounds.agent, BLOAT_METHODS, db)] == ["fsm_sample"] * known


# --- what it costs ----------------------------------------------------------------------------------------------------

COST = """
SELECT s.min_exec_time
  FROM pg_stat_statements AS s
  JOIN pg_database AS d ON d.oid = s.dbid
 WHERE d.datname = %s AND s.query LIKE '%%pgmon:bloat *%%'
"""


@newest_version
@pytest.mark.slow
def test_a_table_of_a_gigabyte_takes_less_than_five_milliseconds(server, rounds):
    made = (
        "CREATE UNLOGGED TABLE large (filler text)",
        "ALTER TABLE large ALTER COLUMN filler SET STORAGE PLAIN",  # a page a row
        "INSERT INTO large SELECT repeat('x', 7000) FROM generate_series(1, 135000)",
    )
    with database(server, "large", *made, "VACUUM ANALYZE", "CREATE EXTENSION pg_freespacemap") as db:
        do(server, "postgres", "SELECT pg_stat_statements_reset()")
        for _ in range(30):  # the least: this machine may be busy
            size = rounds(db)["large"].size
        with server.connect() as session:
            milliseconds = session.execute(COST, [db]).fetchone()[0]
        print(f"{milliseconds:.1f} ms for {size / 2**20:.0f} MB")

        assert size > 2**30
        assert milliseconds < 5
