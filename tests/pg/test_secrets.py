"""A secret in what clients send is in nothing that pgmon shows: metrics, pages, JSON, log."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crowd import Crowd
from running import Process
from servers import Server

SECRET = "c4nary5ecret"
LONG = "SELECT " + ", ".join(["1"] * 400)  # longer than track_activity_query_size, which cuts it off

# Each is sent, and stands in pg_stat_statements and as the last word of a session that idles in its transaction.
TOLD = [
    f"CREATE ROLE stranger PASSWORD '{SECRET}'",
    f"ALTER ROLE monitor VALID UNTIL 'infinity' /* {SECRET} */",
    f"CREATE USER MAPPING FOR monitor SERVER elsewhere OPTIONS (user 'u', password '{SECRET}')",
    f"ALTER SERVER elsewhere OPTIONS (ADD host '{SECRET}')",
    f"SELECT '{SECRET}'",
    f"SELECT E'it\\'s {SECRET}'",
    f"SELECT U&'\\0441{SECRET}'",
    f"SELECT $${SECRET}$$, $tag${SECRET}$tag$",
    f"SELECT B'1' /* a /* nested */ {SECRET} */ -- {SECRET}",
    f"SELECT 1 -- {SECRET}",
    f"SET LOCAL app.key = {SECRET}",
    f"SET LOCAL app.key = '{SECRET}'",
    f"DO $$ BEGIN PERFORM '{SECRET}'; END $$",
    f"PREPARE p AS SELECT '{SECRET}'",
    f"DECLARE c CURSOR FOR SELECT '{SECRET}'",
    f"COPY (SELECT '{SECRET}') TO PROGRAM 'cat > /dev/null; : {SECRET}'",
    f"{LONG} AS x, '{SECRET}'",
    f"SELECT '{'x' * 1000}', '{SECRET}{'y' * 200}'",
    f"SELECT '{'x' * 1000}{SECRET}'",
    f"EXPLAIN SELECT * FROM journal WHERE id::text = '{SECRET}'",
]
WRONG = [f"SELECT '{SECRET}'::integer", f"SELECT {SECRET}", f'SELECT 1 FROM "{SECRET}']
PAGES = ["/", "/activity", "/queries", "/autovacuum", "/replication", "/status"]
TWINS = ["overview", "activity", "top-queries", "autovacuum", "replication", "status"]
EVERYTHING = ["/metrics", *PAGES, *(f"/api/v1/{name}" for name in TWINS), "/healthz"]


@pytest.fixture
def indiscreet(server: Server) -> Iterator[Crowd]:
    """Return sessions that have all said a secret; one waits for a lock while it does."""
    with server.connect() as admin, Crowd(server) as crowd:
        admin.execute("SELECT pg_stat_statements_reset()")
        with server.connect(dbname="app") as app:
            app.execute("CREATE EXTENSION postgres_fdw; CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw")
        for statement in TOLD:
            crowd.holds(statement)
        for statement in WRONG:
            crowd.sends(statement)
        crowd.holds("LOCK TABLE ledger")
        crowd.waits(f"DELETE FROM ledger WHERE id::text = '{SECRET}'")
        crowd.holds("SET LOCAL work_mem = '64kB'", spilling(), f"FETCH 1 FROM c /* {SECRET} */")
        yield crowd
    with server.connect(dbname="app") as app:
        app.execute("DROP SERVER elsewhere CASCADE; DROP EXTENSION postgres_fdw")


def spilling() -> str:
    """Return a cursor whose sort has temporary files."""
    return f"DECLARE c CURSOR FOR SELECT n, '{SECRET}' FROM generate_series(1, 200000) AS n ORDER BY n DESC"


@pytest.mark.fault("F51")
@pytest.mark.pg("!= 13, != 14, != 15, != 16, != 17")
def test_no_answer_and_no_log_line_has_a_secret_of_a_client(indiscreet, server):
    with Process(server.dsn("monitor"), environ={"PGMON_LOGGING_LEVEL": "debug"}) as agent:
        agent.wait_for("pgmon_last_scrape_success", 1, loop="workload")
        shown = {path: agent.get(path)[1] for path in EVERYTHING}
        shown["log"] = agent.said()

    assert [path for path, text in shown.items() if SECRET in text] == []
    # What is withheld was there to be shown.
    activity, queries = shown["/api/v1/activity"], shown["/api/v1/top-queries"]
    assert "CREATE ROLE <withheld>" in activity
    assert "DELETE FROM ledger WHERE id::text = ?" in activity
    assert "SELECT" in queries
