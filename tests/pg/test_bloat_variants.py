"""Each way to measure waste, on every version, as the bare role, while a table is locked."""

from __future__ import annotations

import time

import pytest

from pgmon.agent import TIERS
from pgmon.db import Door, limits_statement
from pgmon.feature import Tier
from pgmon.features.bloat import BLOAT

LARGE = "CREATE TABLE {} AS SELECT n, repeat('x', 300) AS filler FROM generate_series(1, 40000) AS n"  # 13 MB


@pytest.mark.parametrize(
    ("extension", "method"),
    [("pg_freespacemap", "fsm_sample"), ("pgstattuple", "pgstattuple_approx"), (None, "dead_share")],
)
def test_a_table_that_is_locked_holds_up_no_way_to_measure_the_others(server, scratch, extension, method):
    scratch.autocommit = True
    for statement in (LARGE.format("held"), LARGE.format("open"), "VACUUM ANALYZE"):
        scratch.execute(statement)
    if extension:
        scratch.execute(f"CREATE EXTENSION {extension}")
    oids = scratch.execute("SELECT array_agg(oid::bigint) FROM pg_class WHERE relname IN ('held', 'open')").fetchone()[
        0
    ]
    limits = dict.fromkeys(TIERS, limits_statement(5_000, 250))
    door = Door(server.dsn("monitor", scratch.info.dbname), 2, limits, 5, time.monotonic)
    try:
        with scratch.transaction():
            scratch.execute("LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
            deadline = time.monotonic() + 20
            params = {"top_relations": 50, "seen": [], "relids": oids}
            _, rows = door.ask(BLOAT, door.facts("", Tier.HOURLY, deadline), params, deadline)
    finally:
        door.close()

    assert {r.relation: (r.locked, r.method) for r in rows} == {
        # Dead rows are counted by the statistics: nothing is asked of the table.
        "public.held": (True, None) if extension else (False, method),
        "public.open": (False, method),
    }
