"""The privilege guard: every way to write is found, with a cure that takes it away, and nothing else is refused."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from psycopg import errors

import reading
import running
import servers
from fakes import ShiftedTime
from pgmon import sqlfiles
from pgmon.errors import Kind
from pgmon.feature import Tier, columns
from pgmon.findings import Finding
from pgmon.web import create_app

VERSIONS = (12, 14, 16, 18)
on_some = pytest.mark.parametrize("pg_version", VERSIONS, ids="pg{}".format, indirect=True, scope="session")
newest = pytest.mark.parametrize("pg_version", [servers.NEWEST], ids="pg{}".format, indirect=True, scope="session")

DATABASES = ("guarded", "beside", "unvisited")
ROLES = """
CREATE ROLE agent LOGIN IN ROLE pg_monitor;
CREATE ROLE "Mid ""dle" CREATEDB;
CREATE ROLE plain;
CREATE ROLE carrier;
CREATE ROLE "user" CREATEROLE;
CREATE ROLE rds_superuser;
"""
OBJECTS = """
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
CREATE EXTENSION dblink;
REVOKE EXECUTE ON FUNCTION dblink(text), dblink(text, boolean), dblink(text, text), dblink(text, text, boolean),
    dblink_connect(text), dblink_connect(text, text), dblink_exec(text), dblink_exec(text, boolean),
    dblink_exec(text, text), dblink_exec(text, text, boolean) FROM PUBLIC;
CREATE FOREIGN DATA WRAPPER wrapper;
CREATE SERVER far FOREIGN DATA WRAPPER wrapper;
CREATE SCHEMA s;
GRANT USAGE ON SCHEMA s TO PUBLIC;
CREATE TABLE s.t (a int, "b, c" int);
CREATE TABLE s."T ""2" ();
CREATE VIEW s.v AS SELECT 1 AS n;
CREATE SEQUENCE s.q;
CREATE FOREIGN TABLE s.f (n int) SERVER far;
CREATE FUNCTION s.definer(int) RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT $1';
REVOKE EXECUTE ON FUNCTION s.definer(int) FROM PUBLIC;
CREATE SCHEMA closed;
CREATE TABLE closed.t ();
SELECT lo_create(4711);
"""
READING = """
GRANT SELECT ON s.t, s.v, s.f TO agent;
GRANT SELECT ON SEQUENCE s.q TO agent;
GRANT SELECT (a) ON s.t TO PUBLIC;
GRANT USAGE ON SCHEMA s TO agent;
GRANT SELECT ON LARGE OBJECT 4711 TO agent;
ALTER DEFAULT PRIVILEGES IN SCHEMA s GRANT SELECT ON TABLES TO agent;
"""
# What a test left behind, with which the next one could pass or fail.
RESET = """
REASSIGN OWNED BY agent, plain, carrier, "user" TO postgres;
DROP OWNED BY agent, plain, carrier, "user";
ALTER ROLE plain INHERIT;
DO $$
DECLARE
    m record;
BEGIN
    FOR m IN SELECT a.roleid::regrole AS role, a.member::regrole AS member, a.grantor::regrole AS grantor
               FROM pg_auth_members AS a
              WHERE a.member::regrole::text IN ('agent', 'plain', 'carrier', '"user"')
                AND a.roleid <> 'pg_monitor'::regrole
    LOOP
        EXECUTE format('REVOKE %s FROM %s GRANTED BY %s CASCADE', m.role, m.member, m.grantor);
    END LOOP;
END
$$
"""


class Guarded:
    """A role that only reads, and what the guard finds of it."""

    def __init__(self, server: servers.Server, agent: running.Agent) -> None:
        self.server, self.agent = server, agent
        self.clean = set(self.findings())

    def findings(self) -> Sequence[Finding]:
        """Judge the role."""
        door, clock = self.agent.door, self.agent.clock
        self.agent.guard.judge(door.facts("", Tier.HOT_PATH, clock.monotonic() + 10))
        return self.agent.guard.findings

    def new(self) -> list[Finding]:
        """Return what there is beside what every role has."""
        return [f for f in self.findings() if f not in self.clean]

    def run(self, sql: str, db: str = "") -> None:
        """Run statements in a database, each by itself, as the superuser."""
        with self.server.connect(dbname=db or "guarded") as connection:
            for statement in sql.split("; "):
                connection.execute(statement)

    def cure(self, findings: Sequence[Finding]) -> None:
        """Run the cures, each once, in the databases that they name."""
        for cure, db in dict.fromkeys((f.cure, f.database) for f in findings):
            self.run(cure, db)


@contextmanager
def judging(server: servers.Server, visited: str = "[guarded]") -> Iterator[Guarded]:
    """Open an agent that visits some databases."""
    with running.agent(server.dsn("agent", "guarded"), DATABASES_INCLUDE=visited) as agent:
        yield Guarded(server, agent)


@pytest.fixture(scope="module")
def reader(server) -> Iterator[Guarded]:
    with server.connect() as connection:
        connection.execute(ROLES)
        for db in DATABASES:
            connection.execute(f"CREATE DATABASE {db}")
        for db in DATABASES:
            with server.connect(dbname=db) as inside:
                inside.execute(OBJECTS)
        with judging(server) as guarded:
            yield guarded
        for db in DATABASES:
            connection.execute(f"DROP DATABASE {db}")
        connection.execute('DROP ROLE agent, "Mid ""dle", plain, carrier, "user", rds_superuser')


@pytest.fixture
def guarded(reader) -> Iterator[Guarded]:
    """Return a role that only reads; a test makes it do more."""
    yield reader
    with reader.server.connect(dbname="guarded") as connection:
        connection.execute(RESET)


# What is done → since which version, how grave, the object, and the words of the finding.
MID = '"Mid ""dle"'
VIOLATIONS = {
    "createdb": ("ALTER ROLE agent CREATEDB", 12, "refuse", "role agent", "CREATEDB"),
    "createrole": ("ALTER ROLE agent CREATEROLE", 12, "refuse", "role agent", "CREATEROLE"),
    "replication": ("ALTER ROLE agent REPLICATION", 12, "refuse", "role agent", "REPLICATION"),
    "superuser": ("ALTER ROLE agent SUPERUSER", 12, "refuse", "role agent", "SUPERUSER"),
    "bypassrls": ("ALTER ROLE agent BYPASSRLS", 12, "warn", "role agent", "BYPASSRLS"),
    "an attribute of a role": (f"GRANT {MID} TO agent", 12, "refuse", f"role {MID}", f"CREATEDB through {MID}"),
    "an attribute of a role's role": (
        'GRANT "user" TO plain; GRANT plain TO agent',
        12,
        "refuse",
        'role "user"',
        'CREATEROLE through "user"',
    ),
    "a role's attribute without INHERIT": (
        'ALTER ROLE plain NOINHERIT; GRANT "user" TO plain; GRANT plain TO agent',
        12,
        "refuse",
        'role "user"',
        'CREATEROLE through "user"',
    ),
    "SET alone": (
        "GRANT INSERT ON s.t TO plain; GRANT plain TO agent WITH INHERIT FALSE, SET TRUE",
        16,
        "refuse",
        "table s.t",
        "INSERT through plain",
    ),
    "INHERIT alone": (
        "GRANT INSERT ON s.t TO plain; GRANT plain TO agent WITH INHERIT TRUE, SET FALSE",
        16,
        "refuse",
        "table s.t",
        "INSERT through plain",
    ),
    "ADMIN alone": (
        "GRANT INSERT ON s.t TO plain; GRANT plain TO agent WITH ADMIN TRUE, INHERIT FALSE, SET FALSE",
        16,
        "refuse",
        "table s.t",
        "INSERT through plain",
    ),
    "SET, then INHERIT": (
        "GRANT INSERT ON s.t TO plain; GRANT plain TO carrier WITH INHERIT TRUE, SET FALSE"
        "; GRANT carrier TO agent WITH INHERIT FALSE, SET TRUE",
        16,
        "refuse",
        "table s.t",
        "INSERT through plain",
    ),
    "a membership that another role granted": (
        'GRANT INSERT ON s.t TO plain; GRANT plain TO "user" WITH ADMIN OPTION; SET ROLE "user"; GRANT plain TO agent',
        12,
        "refuse",
        "table s.t",
        "INSERT through plain",
    ),
    "write all data": ("GRANT pg_write_all_data TO agent", 14, "refuse", "role agent", "member of pg_write_all_data"),
    "write all data, of pg_monitor": (
        "GRANT pg_write_all_data TO pg_monitor",
        14,
        "refuse",
        "role agent",
        "member of pg_write_all_data",
    ),
    "write files": ("GRANT pg_write_server_files TO agent", 12, "refuse", "", "member of pg_write_server_files"),
    "run programs": (
        "GRANT pg_execute_server_program TO agent",
        12,
        "refuse",
        "",
        "member of pg_execute_server_program",
    ),
    "read files": ("GRANT pg_read_server_files TO agent", 12, "warn", "", "member of pg_read_server_files"),
    "signal": ("GRANT pg_signal_backend TO agent", 12, "refuse", "", "member of pg_signal_backend"),
    "signal autovacuum": (
        "GRANT pg_signal_autovacuum_worker TO agent",
        18,
        "refuse",
        "",
        "pg_signal_autovacuum_worker",
    ),
    "checkpoint": ("GRANT pg_checkpoint TO agent", 16, "refuse", "", "member of pg_checkpoint"),
    "subscribe": ("GRANT pg_create_subscription TO agent", 16, "refuse", "", "member of pg_create_subscription"),
    "maintain": ("GRANT pg_maintain TO agent", 18, "refuse", "", "member of pg_maintain"),
    "read all data": ("GRANT pg_read_all_data TO agent", 14, "info", "", "member of pg_read_all_data"),
    "a cloud's administrator": ("GRANT rds_superuser TO agent", 12, "refuse", "", "member of rds_superuser"),
    "insert": ("GRANT INSERT ON s.t TO agent", 12, "refuse", "table s.t", "INSERT"),
    "everything on a table": (
        "GRANT ALL ON s.t TO agent",
        12,
        "refuse",
        "table s.t",
        "DELETE, INSERT, ",
    ),
    "maintain a table": ("GRANT MAINTAIN ON s.t TO agent", 18, "refuse", "table s.t", "MAINTAIN"),
    "truncate of an odd name": ('GRANT TRUNCATE ON s."T ""2" TO agent', 12, "refuse", 'table s."T ""2"', "TRUNCATE"),
    "update of a view": ("GRANT UPDATE ON s.v TO agent", 12, "refuse", "table s.v", "UPDATE"),
    "delete of a foreign table": ("GRANT DELETE ON s.f TO agent", 12, "refuse", "table s.f", "DELETE"),
    "references for everybody": (
        "GRANT REFERENCES ON s.t TO PUBLIC",
        12,
        "refuse",
        "table s.t",
        "REFERENCES as everybody",
    ),
    "trigger for pg_monitor": (
        "GRANT TRIGGER ON s.t TO pg_monitor",
        12,
        "refuse",
        "table s.t",
        "TRIGGER through pg_monitor",
    ),
    "columns": (
        'GRANT UPDATE ("b, c"), INSERT (a) ON s.t TO agent',
        12,
        "refuse",
        "table s.t",
        'INSERT (a), UPDATE ("b, c")',
    ),
    "what another role granted": (
        "GRANT INSERT ON s.t TO plain WITH GRANT OPTION; SET ROLE plain; GRANT INSERT ON s.t TO agent",
        12,
        "refuse",
        "table s.t",
        "INSERT",
    ),
    "nextval": ("GRANT USAGE ON SEQUENCE s.q TO agent", 12, "refuse", "sequence s.q", "USAGE"),
    "setval": ("GRANT UPDATE ON SEQUENCE s.q TO agent", 12, "refuse", "sequence s.q", "UPDATE"),
    "create in a schema": ("GRANT CREATE ON SCHEMA s TO agent", 12, "refuse", "schema s", "CREATE"),
    "everybody creates in public": ("GRANT CREATE ON SCHEMA public TO PUBLIC", 12, "refuse", "schema public", "CREATE"),
    "create in a database": ("GRANT CREATE ON DATABASE guarded TO agent", 12, "refuse", "database guarded", "CREATE"),
    "create in a database that is not visited": (
        "GRANT CREATE ON DATABASE unvisited TO PUBLIC",
        12,
        "refuse",
        "database unvisited",
        "CREATE as everybody",
    ),
    "create in a tablespace": (
        "GRANT CREATE ON TABLESPACE pg_default TO agent",
        12,
        "refuse",
        "tablespace pg_default",
        "CREATE",
    ),
    "a large object": ("GRANT UPDATE ON LARGE OBJECT 4711 TO agent", 12, "refuse", "large object 4711", "UPDATE"),
    "alter system": (
        "GRANT ALTER SYSTEM ON PARAMETER work_mem TO agent",
        16,
        "refuse",
        "parameter work_mem",
        "ALTER SYSTEM",
    ),
    "set": ("GRANT SET ON PARAMETER my.own TO agent", 16, "warn", "parameter my.own", "SET"),
    "a foreign data wrapper": (
        "GRANT USAGE ON FOREIGN DATA WRAPPER wrapper TO agent",
        12,
        "warn",
        "foreign data wrapper wrapper",
        "USAGE",
    ),
    "a foreign server": ("GRANT USAGE ON FOREIGN SERVER far TO agent", 12, "warn", "foreign server far", "USAGE"),
    "a user mapping": ("CREATE USER MAPPING FOR agent SERVER far", 12, "warn", "user mapping far", "USER MAPPING"),
    "postgres_fdw": ("CREATE EXTENSION postgres_fdw", 12, "info", "extension postgres_fdw", "installed"),
    "dblink": (
        "GRANT EXECUTE ON FUNCTION public.dblink_exec(text, text) TO PUBLIC",
        12,
        "warn",
        "routine public.dblink_exec(text,text)",
        "EXECUTE as everybody: connects to other servers",
    ),
    "own a database": ("ALTER DATABASE guarded OWNER TO agent", 12, "refuse", "database guarded", "OWNER"),
    "own a database that is not visited": (
        "ALTER DATABASE unvisited OWNER TO agent",
        12,
        "refuse",
        "database unvisited",
        "OWNER",
    ),
    "own a schema": ("ALTER SCHEMA closed OWNER TO agent", 12, "refuse", "schema closed", "OWNER"),
    "own a table": ("ALTER TABLE s.t OWNER TO agent", 12, "refuse", "table s.t", "OWNER"),
    "own a view": ("ALTER VIEW s.v OWNER TO agent", 12, "refuse", "view s.v", "OWNER"),
    "own a sequence": ("ALTER SEQUENCE s.q OWNER TO agent", 12, "refuse", "sequence s.q", "OWNER"),
    "own a function": ("ALTER FUNCTION s.definer OWNER TO agent", 12, "refuse", "function s.definer(integer)", "OWNER"),
    "own a type": ("CREATE TYPE s.e AS ENUM (); ALTER TYPE s.e OWNER TO agent", 12, "refuse", "type s.e", "OWNER"),
    "own a large object": ("ALTER LARGE OBJECT 4711 OWNER TO agent", 12, "refuse", "large object 4711", "OWNER"),
    "own a server": ("ALTER SERVER far OWNER TO agent", 12, "refuse", "server far", "OWNER"),
    "own a publication": (
        "CREATE PUBLICATION p; ALTER PUBLICATION p OWNER TO agent",
        12,
        "refuse",
        "publication p",
        "OWNER",
    ),
    "own through a role": (
        "ALTER TABLE s.t OWNER TO plain; GRANT plain TO agent",
        12,
        "refuse",
        "table s.t",
        "OWNER through plain",
    ),
    "own through pg_monitor": (
        "ALTER VIEW s.v OWNER TO pg_monitor",
        12,
        "refuse",
        "view s.v",
        "OWNER through pg_monitor",
    ),
    "tables to come": (
        "ALTER DEFAULT PRIVILEGES IN SCHEMA s GRANT INSERT ON TABLES TO agent",
        12,
        "warn",
        "default privileges FOR ROLE postgres IN SCHEMA s: tables",
        "INSERT",
    ),
    "sequences to come": (
        "ALTER DEFAULT PRIVILEGES GRANT USAGE ON SEQUENCES TO PUBLIC",
        12,
        "warn",
        "default privileges FOR ROLE postgres: sequences",
        "USAGE as everybody",
    ),
    "schemas to come": (
        "ALTER DEFAULT PRIVILEGES GRANT CREATE ON SCHEMAS TO agent",
        12,
        "warn",
        "default privileges FOR ROLE postgres: schemas",
        "CREATE",
    ),
    "security definer": (
        "GRANT EXECUTE ON FUNCTION s.definer(int) TO agent",
        12,
        "warn",
        "routine s.definer(integer)",
        "EXECUTE: SECURITY DEFINER",
    ),
    "functions that act": (
        "GRANT EXECUTE ON FUNCTION pg_switch_wal(), pg_stat_reset() TO agent",
        12,
        "refuse",
        "routine pg_stat_reset(), pg_switch_wal()",
        "EXECUTE",
    ),
    "functions that read files": (
        "GRANT EXECUTE ON FUNCTION pg_read_file(text) TO PUBLIC",
        12,
        "warn",
        "routine pg_read_file(text)",
        "EXECUTE as everybody: reads files of the server",
    ),
    "a grant in a closed schema": (
        "GRANT INSERT ON closed.t TO agent",
        12,
        "info",
        "table closed.t",
        "INSERT: no USAGE on the schema",
    ),
}


@on_some
@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_privilege_is_found_and_its_cure_takes_it_away(guarded, name):
    statements, since, severity, on, what = VIOLATIONS[name]
    if guarded.server.major < since:
        pytest.skip(f"This needs PostgreSQL {since}.")
    guarded.run(statements)

    found = guarded.new()
    guarded.cure(found)
    left = guarded.new()

    assert [f for f in found if f.severity == severity and on in f.object and what in f.what], found
    assert {f.severity for f in found} == {severity}
    assert left == []


def grave(findings):
    """Return what would be refused or warned of."""
    return [f for f in findings if f.severity != "info"]


@on_some
def test_a_role_that_only_reads_is_not_refused(guarded):
    guarded.run(READING.replace(";\n", "; ").strip("; \n"))

    assert grave(guarded.findings()) == []


@pytest.mark.parametrize("pg_version", [16, 18], ids="pg{}".format, indirect=True, scope="session")
def test_a_chain_of_inherit_alone_and_then_set_alone_leads_nowhere(guarded):
    guarded.run(
        "GRANT INSERT ON s.t TO plain; GRANT plain TO carrier WITH INHERIT FALSE, SET TRUE"
        "; GRANT carrier TO agent WITH INHERIT TRUE, SET FALSE"
    )

    assert guarded.new() == []
    with guarded.server.connect("agent", "guarded") as session, pytest.raises(errors.InsufficientPrivilege):
        session.execute("SET ROLE plain")


# --- other databases --------------------------------------------------------------------------------------------------


@on_some
def test_a_grant_to_everybody_in_another_database_is_found_there(guarded):
    with judging(guarded.server, "[guarded, beside]") as both:
        both.run("GRANT INSERT ON s.t TO PUBLIC", "beside")
        found = both.new()
        both.cure(found)
        left = both.new()

    told = [(f.severity, f.object, f.database, f.cure) for f in found]
    assert told == [("refuse", "table s.t", "beside", "REVOKE INSERT ON TABLE s.t FROM PUBLIC")]
    assert left == []


@on_some
@pytest.mark.parametrize(
    ("statements", "what"),
    [
        ("GRANT SELECT ON s.t TO agent", "GRANTS: in a database that is not visited"),
        ("ALTER TABLE s.t OWNER TO agent", "OWNER: in a database that is not visited"),
    ],
    ids=["granted", "owned"],
)
def test_what_the_role_has_in_a_database_that_is_not_visited_is_refused(guarded, statements, what):
    guarded.run(statements, "unvisited")

    found = guarded.new()
    guarded.cure(found)
    left = guarded.new()

    assert [(f.severity, f.what, f.database) for f in found] == [("refuse", what, "unvisited")]
    assert left == []


@newest
def test_what_the_role_has_in_a_database_that_it_cannot_connect_to_is_no_reason_to_refuse(guarded):
    guarded.run("REVOKE CONNECT ON DATABASE unvisited FROM PUBLIC; GRANT CONNECT ON DATABASE unvisited TO plain")
    guarded.run("GRANT INSERT ON s.t TO agent", "unvisited")

    found = guarded.new()
    guarded.run("GRANT CONNECT ON DATABASE unvisited TO PUBLIC")
    guarded.run("DROP OWNED BY agent", "unvisited")

    assert [(f.severity, f.what) for f in found] == [("info", "GRANTS: no CONNECT on the database")]


@newest
def test_a_database_that_cannot_be_visited_is_left_out_and_said(guarded):
    guarded.run("ALTER DATABASE beside CONNECTION LIMIT 0")
    guarded.run("GRANT INSERT ON s.t TO agent")
    try:
        with judging(guarded.server, "[guarded, beside]") as both:
            unknown, found = both.agent.guard.unknown, both.findings()
    finally:
        guarded.run("ALTER DATABASE beside CONNECTION LIMIT -1")

    assert list(unknown) == ["beside"]
    assert [(f.object, f.database) for f in grave(found)] == [("table s.t", "guarded")]


# --- locks ------------------------------------------------------------------------------------------------------------

LOCKS = """SELECT c.relname FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation
            WHERE l.pid = pg_backend_pid() AND c.relnamespace <> 'pg_catalog'::regnamespace"""


@on_some
def test_a_locked_table_holds_nothing_up_and_nothing_is_locked(guarded):
    guarded.run("ALTER TABLE s.t OWNER TO agent; GRANT INSERT ON s.v TO agent")
    with guarded.server.connect(dbname="guarded") as holder, holder.transaction():
        holder.execute("LOCK TABLE s.t IN ACCESS EXCLUSIVE MODE")
        with guarded.server.connect("agent", "guarded") as session, session.transaction():
            session.execute("SET LOCAL lock_timeout = '1s'")
            found = session.execute(sqlfiles.variants("grants")[0].text).fetchall()
            locked = session.execute(LOCKS).fetchall()

    assert {"s.t", "s.v"} <= {on for _, _, on, *_ in found}
    assert locked == []


# --- later ------------------------------------------------------------------------------------------------------------


@pytest.mark.fault("F25")
@newest
def test_a_privilege_gained_later_is_refused_by_the_hourly_loop(guarded):
    clock = ShiftedTime()
    dsn = guarded.server.dsn("agent", "guarded")
    with reading.agent(dsn, clock.clock(), DATABASES_INCLUDE="[guarded]") as agent:
        reading.refreshed(agent, Tier.HOURLY)
        before = agent.guard.state
        guarded.run("GRANT INSERT ON s.t TO agent")
        clock.ahead += 3600
        reading.refreshed(agent, Tier.HOURLY)
        after = agent.guard.state
        hot = reading.refreshed(agent, Tier.HOT_PATH)

    assert (before, after) == ("passed", "refused")
    assert hot.failure.kind is Kind.REFUSED


# --- who reads it -----------------------------------------------------------------------------------------------------


@newest
def test_page_metric_and_guard_know_the_same_findings(guarded):
    guarded.run("GRANT INSERT, UPDATE ON s.t TO agent")
    lenient = {"DATABASES_INCLUDE": "[guarded]", "SECURITY_READ_ONLY_ENFORCE": "false"}
    with reading.agent(guarded.server.dsn("agent", "guarded"), **lenient) as agent:
        reading.refreshed(agent, Tier.HOURLY)
        client = create_app(agent).test_client()
        panels = client.get("/api/v1/status").json["panels"]
        page = client.get("/status").text
        counted = reading.samples(agent)["pgmon_privilege_findings"]
        health = client.get("/healthz").json

    shown = [
        {name: row[name] for name in columns(Finding)} for id in ("privileges", "grants") for row in panels[id]["data"]
    ]
    known = [{name: getattr(f, name) for name in columns(Finding)} for f in agent.guard.findings]
    assert sorted(map(str, shown)) == sorted(map(str, known))
    assert counted[("severity", "refuse"),] == 1
    assert "REVOKE INSERT, UPDATE ON TABLE s.t FROM agent" in page
    assert health["guard"] == "not enforced: the role can write"


# --- cost -------------------------------------------------------------------------------------------------------------

TABLES = 30_000
MANY = f"""
DO $$
BEGIN
    FOR n IN 1..{TABLES} LOOP
        EXECUTE format('CREATE TABLE many.t%s (a int, b int, c int, d int, e int)', n);
        IF n % 1000 = 0 THEN
            COMMIT;  -- a transaction holds so many locks at most
        END IF;
    END LOOP;
END
$$
"""


@pytest.mark.slow
def test_thirty_thousand_tables_are_judged_within_half_a_second(fresh_server):
    server = fresh_server(settings={"fsync": "off", "max_locks_per_transaction": "256"})
    with server.connect(dbname="app") as connection:
        connection.execute("CREATE SCHEMA many; GRANT USAGE ON SCHEMA many TO monitor")
        connection.execute(MANY)
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA many TO monitor")
        connection.execute("VACUUM ANALYZE pg_catalog.pg_class, pg_catalog.pg_attribute, pg_catalog.pg_shdepend")
    with running.agent(server.dsn("monitor", "app"), DATABASES_INCLUDE="[app]") as agent:
        facts = agent.door.facts("", Tier.HOT_PATH, agent.clock.monotonic() + 10)
        took = []
        for _ in range(3):
            start = time.monotonic()
            agent.guard.judge(facts)
            took.append(time.monotonic() - start)

    print(f"{TABLES} tables with grants: {[f'{t:.3f} s' for t in took]}")
    assert min(took) < 0.5
