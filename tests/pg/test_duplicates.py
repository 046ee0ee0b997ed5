"""Nothing is exported twice, whoever does the same thing at the same time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

import reading
from crowd import Crowd
from fakes import ShiftedTime
from pgmon.agent import TIERS
from pgmon.features.autovacuum import AUTOVACUUM
from running import value
from servers import Server

NESTED = """CREATE FUNCTION nested() RETURNS bigint LANGUAGE plpgsql
                AS 'BEGIN RETURN (SELECT count(*) FROM pg_catalog.pg_class); END'"""


@pytest.fixture
def alike(server: Server) -> Iterator[Crowd]:
    """Return sessions of two users that did the same in two databases; in one of them two VACUUMs run."""
    with Crowd(server) as crowd, server.connect() as admin:
        admin.execute("CREATE ROLE twin LOGIN SUPERUSER")
        for db in ("postgres", "app"):
            with server.connect(dbname=db) as owner:
                owner.execute(NESTED)
            for user in ("postgres", "twin"):
                with server.connect(user, db) as client:
                    for _ in range(30):
                        client.execute("SELECT public.nested()")
                        client.execute("SELECT count(*) FROM pg_catalog.pg_class")
        for table in ("ledger", "journal"):
            session = crowd.session()
            session.execute(f"INSERT INTO {table} SELECT generate_series(1, 100000)")  # half a minute at that pace
            session.execute("SET vacuum_cost_delay = 100")
            session.execute("SET vacuum_cost_limit = 1")
            session.pgconn.send_query(f"VACUUM {table}".encode())
            session.pgconn.flush()
        server.wait_for("SELECT count(*) FROM pg_stat_progress_vacuum WHERE phase = 'scanning heap'", 2)
        yield crowd
        for db in ("postgres", "app"):
            with server.connect(dbname=db) as owner:
                owner.execute("DROP FUNCTION public.nested")
        admin.execute("DROP ROLE twin")


@pytest.mark.fault("F47")
def test_every_series_is_there_once_and_none_had_to_be_dropped(alike, server):
    time = ShiftedTime()
    with reading.agent(server.dsn("monitor"), time.clock()) as agent:
        for _ in range(2):
            time.ahead += 3600
            for tier in TIERS:
                reading.refreshed(agent, tier)
        text, samples = agent.exposition.encoded("text").decode(), reading.samples(agent)
        manual = reading.rows(agent, AUTOVACUUM)[0].manual_jobs

    series = Counter(line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#"))
    assert {name: n for name, n in series.items() if n > 1} == {}
    assert value(samples, "pgmon_series_dropped_total", reason="duplicate") == 0
    assert manual == 2
    assert {dict(labels)["db"] for labels in samples["pg_stmt_calls_total"]} >= {"app", "postgres"}
