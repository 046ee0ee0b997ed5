"""What an hour of pgmon leaves behind in a server, and what it takes while it looks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

import reading
from fakes import ShiftedTime
from pgmon import sqlfiles
from pgmon.agent import Agent
from pgmon.db import limits_statement
from pgmon.errors import Kind, QueryError
from pgmon.feature import Tier
from pgmon.session import Session
from servers import Server

HOUR = {Tier.HOT_PATH: 15, Tier.WORKLOAD: 60, Tier.STORAGE: 600, Tier.HOURLY: 3600}  # seconds between refreshes
NAMES = sorted({path.name.split(".")[0] for path in sqlfiles.FOLDER.glob("*.sql")})

TWICE = {"canary_explain": 2}  # from 14 on, with pg_stat_statements.track = all, what is explained is an entry, too
ENTRIES = """
SELECT d.datname, s.queryid, s.query, s.calls
  FROM pg_stat_statements AS s
  JOIN pg_database AS d ON d.oid = s.dbid
 WHERE s.userid = 'monitor'::regrole
"""
LIMITS = limits_statement(1000, 1000)
ROLLBACKS = "SELECT sum(xact_rollback)::bigint FROM pg_stat_database"
LOCKS = """
SELECT DISTINCT l.relation::regclass::text, l.mode
  FROM pg_locks AS l
  JOIN pg_class AS c ON c.oid = l.relation
 WHERE l.pid = %s
   AND c.relnamespace <> 'pg_catalog'::regnamespace
"""


# --- an hour ----------------------------------------------------------------------------------------------------------


def spend_an_hour(agent: Agent, time: ShiftedTime) -> None:
    """Refresh every tier as often as it is in an hour."""
    for second in range(0, 3600, HOUR[Tier.HOT_PATH]):
        for tier, every in HOUR.items():
            if second % every == 0:
                snapshot = reading.refreshed(agent, tier)
                assert snapshot.success, {k: r.message for k, r in snapshot.readings.items() if r.failure}
        time.ahead += HOUR[Tier.HOT_PATH]


@pytest.fixture(scope="module")
def hour(server: Server) -> tuple[list[tuple[str, int, str, int]], int]:
    """Return the entries of pgmon's role in pg_stat_statements after an hour, and by how much xact_rollback grew."""
    with server.connect() as connection:
        connection.execute("SELECT pg_stat_statements_reset()")
    settled(server)
    before = one(server, ROLLBACKS)
    time = ShiftedTime()
    with reading.agent(server.dsn("monitor"), time.clock()) as agent:
        spend_an_hour(agent, time)
        with server.connect() as connection:
            entries = connection.execute(ENTRIES).fetchall()
    settled(server)
    return entries, one(server, ROLLBACKS) - before


def settled(server: Server) -> None:
    """Wait until the sessions of pgmon's role have ended, and with that are counted."""
    server.wait_for("SELECT count(*) FROM pg_stat_activity WHERE usename = 'monitor'", 0)
    if server.major < 15:  # the statistics of that moment have come through the collector when it wrote them later
        ended = one(server, "SELECT clock_timestamp()")
        server.wait_for(f"SELECT pg_stat_get_snapshot_timestamp() > '{ended}'", True)


def one(server: Server, query: str) -> int:
    with server.connect() as connection:
        return connection.execute(query).fetchone()[0]


def marker(text: str) -> str:
    """Return the SQL file that a statement is of; a text without marker stands for itself."""
    found = re.search(r"/\* pgmon:(\w+) \*/", text)
    return found[1] if found else text


@pytest.mark.slow
def test_after_an_hour_every_sql_file_has_one_entry_in_a_database_at_most(hour):
    entries, _ = hour

    counted = Counter((db, marker(text)) for db, _, text, _ in entries)
    assert {(db, file): n for (db, file), n in counted.items() if n > TWICE.get(file, 1)} == {}


@pytest.mark.slow
def test_after_an_hour_every_entry_of_the_role_is_a_sql_file(hour):
    entries, _ = hour

    assert {marker(text) for _, _, text, _ in entries} - set(NAMES) == set()


@pytest.mark.slow
def test_an_hour_is_240_questions_for_connections_and_60_for_statements(hour):
    entries, _ = hour

    calls = {marker(text): n for db, _, text, n in entries if db == "postgres"}
    assert (calls["connections"], calls["statements"]) == (240, 60)


@pytest.mark.slow
def test_after_an_hour_no_transaction_was_rolled_back(hour):
    _, rollbacks = hour

    assert rollbacks == 0


def test_what_is_asked_again_is_planned_once(server):
    with Session.connect(server.dsn("monitor")) as session:
        plans = [session.run(LIMITS, "SELECT statement FROM pg_catalog.pg_prepared_statements")[1] for _ in range(9)]

    assert (len(plans[0]), len(plans[-1])) == (0, 1)


def test_what_is_asked_with_other_words_each_time_leaves_no_plans(server):
    query = "SELECT count(*) FROM pg_catalog.pg_prepared_statements"
    with Session.connect(server.dsn("monitor")) as session:
        kept = [session.run(LIMITS, query, same=False)[1] for _ in range(9)]

    assert kept == [[(0,)]] * 9


def test_a_plan_that_the_server_lost_is_made_anew(server):
    with Session.connect(server.dsn("monitor")) as session:
        for _ in range(9):
            session.run(LIMITS, "SELECT 1")
        session.pgconn.exec_(b"DEALLOCATE ALL")  # psycopg would hear of it

        assert [session.run(LIMITS, "SELECT 1")[1] for _ in range(9)] == [[(1,)]] * 9


# --- one statement ----------------------------------------------------------------------------------------------------


class Values(dict[str, object]):
    """Values for the variables of every SQL file; a number is 10 unless it is named here."""

    def __missing__(self, name: str) -> int:
        return 10


def tables(server: Server, db: str) -> list[int]:
    """Return the oids of the tables of a database: they are to be measured."""
    with server.connect(dbname=db) as connection:
        query = (
            "SELECT array_agg(oid::bigint) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        )
        return connection.execute(query).fetchone()[0] or []


def filled(server: Server, db: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each statement that this server understands in a database."""
    facts = replace(sqlfiles.assumed(server.major), db=db)
    if db != "postgres":
        facts = replace(facts, extensions={})  # prepare() created them there only
    ids = {"queryids": [1, 2], "relids": tables(server, db), "seen": [], "members": []}
    values = Values(**ids, statement_timeout_ms=5000, lock_timeout_ms=500)
    for name in NAMES:
        try:
            yield name, sqlfiles.fill(sqlfiles.choose(name, facts).text, values, sqlfiles.names(facts))
        except QueryError as exc:
            if exc.kind not in (Kind.UNSUPPORTED, Kind.MISSING):
                raise


@pytest.mark.parametrize("db", ["postgres", "app"])
def test_no_statement_locks_a_relation_outside_of_the_catalogue(server, db):
    taken = {}

    with server.connect("monitor", db) as session, server.connect(dbname=db) as onlooker:
        for name, sql in filled(server, db):
            session.execute("BEGIN")
            session.execute(sql)
            taken[name] = onlooker.execute(LOCKS, [session.info.backend_pid]).fetchall()
            session.execute("COMMIT")

    assert {name: locks for name, locks in taken.items() if locks} == {}


@pytest.mark.fault("F21")
@pytest.mark.parametrize("db", ["postgres", "app"])
def test_every_statement_finishes_while_tables_are_locked_exclusively(server, db):
    stuck = {}

    with server.connect(dbname="app") as holder, server.connect("monitor", db) as session:
        holder.execute("BEGIN")
        for table in ("device", "reading", "churned"):
            holder.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        session.execute("SET lock_timeout = '500ms'")
        for name, sql in filled(server, db):
            try:
                session.execute(sql)
            except psycopg.Error as exc:
                stuck[name] = str(exc)

    assert stuck == {}


@pytest.mark.fault("F22")
def test_every_statement_finishes_while_somebody_waits_for_an_exclusive_lock(server):
    stuck = {}

    with (
        server.connect(dbname="app") as holder,
        server.connect(dbname="app") as waiter,
        server.connect("monitor", "app") as session,
    ):
        holder.execute("BEGIN; SELECT count(*) FROM reading, device, churned WHERE false")
        waiter.pgconn.send_query(b"BEGIN; LOCK TABLE churned; LOCK TABLE device; LOCK TABLE reading")
        waiter.pgconn.flush()
        pid = waiter.info.backend_pid
        server.wait_for(f"SELECT wait_event_type FROM pg_stat_activity WHERE pid = {pid}", "Lock")
        session.execute("SET lock_timeout = '500ms'")
        for name, sql in filled(server, "app"):
            try:
                session.execute(sql)
            except psycopg.Error as exc:
                stuck[name] = str(exc)
        holder.execute("ROLLBACK")
        waiter.pgconn.get_result()
        waiter.close()

    assert stuck == {}
