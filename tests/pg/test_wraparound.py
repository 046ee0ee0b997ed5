"""How near wraparound a server is, and that looking uses up nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import reading
from fakes import ShiftedTime
from pgmon.agent import TIERS
from pgmon.feature import Tier
from pgmon.features.wraparound import FREEZE, WRAPAROUND, WRAPAROUND_LIMITS
from servers import Server

HOUR = 3600.0
BURST = 7200  # xids

NEXT = "SELECT txid_snapshot_xmax(txid_current_snapshot())"
BURN = f"DO $$ BEGIN FOR i IN 1..{BURST} LOOP PERFORM txid_current(); COMMIT; END LOOP; END $$"
OLD = "(((txid_snapshot_xmax(txid_current_snapshot()) - {} + 2^32)::bigint % (2^32)::bigint)::text)::xid"


@contextmanager
def aged(server: Server, age: int, column: str, row: str, db: str = "postgres") -> Iterator[None]:
    """An xid in the catalogue, such as "pg_database.datfrozenxid", that a superuser made so old for a while."""
    table, _, column = column.partition(".")
    # Autovacuum would come at once, and write the true one.
    with server.altered("autovacuum_naptime", "1d"), server.connect(dbname=db) as session:
        was = session.execute(f"SELECT {column}::text FROM {table} WHERE {row}").fetchone()[0]
        session.execute(f"UPDATE {table} SET {column} = {OLD.format(age)} WHERE {row}")
        try:
            yield
        finally:
            session.execute(f"UPDATE {table} SET {column} = '{was}' WHERE {row}")


@contextmanager
def refreshing(server: Server, **environ: str):
    """Return an agent that has refreshed, and a function that does so again, an hour later."""
    time = ShiftedTime()
    with reading.agent(server.dsn("monitor"), time.clock(), **environ) as agent:
        reading.refreshed(agent, Tier.HOURLY)

        def again() -> None:
            time.ahead += HOUR
            reading.refreshed(agent, Tier.HOURLY)

        yield agent, again


# --- databases --------------------------------------------------------------------------------------------------------


def test_the_age_of_a_database_is_that_of_its_oldest_xid(server):
    with aged(server, 1_600_000_000, "pg_database.datfrozenxid", "datname = 'app'"), refreshing(server) as (agent, _):
        ages = {d.db: d.tx_age for d in reading.rows(agent, WRAPAROUND)}

    assert ages["app"] == pytest.approx(1_600_000_000, abs=1000)
    assert ages["postgres"] < 1_000_000


def test_every_database_has_an_age_also_those_that_nobody_may_connect_to(server):
    with refreshing(server, DATABASES_INCLUDE="[app]") as (agent, _):
        ages = {d.db: (d.tx_age, d.multixact_age) for d in reading.rows(agent, WRAPAROUND)}

    assert {"template0", "template1", "app", "postgres"} <= ages.keys()
    assert all(xids > 0 and multixacts >= 0 for xids, multixacts in ages.values())


def test_the_age_is_measured_against_what_autovacuum_and_failsafe_allow(server):
    with aged(server, 800_000_000, "pg_database.datfrozenxid", "datname = 'app'"), refreshing(server) as (agent, _):
        [app] = [d for d in reading.rows(agent, WRAPAROUND) if d.db == "app"]

    assert app.freeze_ratio == pytest.approx(4.0, abs=0.01)
    assert app.failsafe_ratio == (pytest.approx(0.5, abs=0.01) if server.major >= 14 else None)


# --- limits -----------------------------------------------------------------------------------------------------------


def test_each_version_has_its_limits(server):
    with refreshing(server) as (agent, _):
        limits = {r.limit: r.at_age for r in reading.rows(agent, WRAPAROUND_LIMITS)}

    new = server.major >= 14
    assert limits == {
        "freeze_max_age": 200_000_000,
        **({"failsafe": 1_600_000_000} if new else {}),
        "stop": 2**31 - 1 - (3_000_000 if new else 1_000_000),
    }


def test_at_first_nobody_knows_how_long_it_takes(server):
    with refreshing(server) as (agent, _):
        left = {r.seconds_left for r in reading.rows(agent, WRAPAROUND_LIMITS)}

    assert left == {None}


def test_the_time_left_is_what_is_left_at_the_pace_at_which_xids_were_used(server):
    with refreshing(server) as (agent, again):
        with server.connect() as session:
            session.execute(BURN)
        again()
        oldest = max(d.tx_age for d in reading.rows(agent, WRAPAROUND))
        runways = reading.rows(agent, WRAPAROUND_LIMITS)

    assert runways[0].xids_per_second == pytest.approx(BURST / HOUR, rel=0.02)
    for r in runways:
        assert r.seconds_left == pytest.approx((r.at_age - oldest) / (BURST / HOUR), rel=0.02)


def test_a_limit_that_is_passed_leaves_no_time(server):
    with aged(server, 300_000_000, "pg_database.datfrozenxid", "datname = 'app'"), refreshing(server) as (agent, _):
        left = {r.limit: (r.seconds_left, r.oldest) for r in reading.rows(agent, WRAPAROUND_LIMITS)}

    assert left["freeze_max_age"] == (0.0, "app")


def test_only_where_autovacuum_is_behind_the_time_to_the_stop_counts_as_overdue(server):
    with (
        aged(server, 300_000_000, "pg_database.datfrozenxid", "datname = 'app'"),
        refreshing(server) as (agent, again),
        server.connect() as session,
    ):
        session.execute(BURN)
        again()
        left = {d.db: d.overdue_seconds_left for d in reading.rows(agent, WRAPAROUND)}
        runways = {r.limit: r.seconds_left for r in reading.rows(agent, WRAPAROUND_LIMITS)}

    assert left["app"] == pytest.approx(runways["stop"], rel=0.01)
    assert {db for db, seconds in left.items() if seconds is not None} == {"app"}


# --- tables -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["oid", "reltoastrelid"])
def test_a_table_is_as_old_as_the_older_of_itself_and_its_toast(server, part):
    row = f"oid = (SELECT {part} FROM pg_class WHERE relname = 'churned')"
    with aged(server, 90_000_000, "pg_class.relfrozenxid", row, "app"), refreshing(server) as (agent, _):
        first = reading.rows(agent, FREEZE, "app")[0]

    assert (first.relation, first.of_toast) == ("public.churned", part == "reltoastrelid")
    assert first.freeze_age == pytest.approx(90_000_000, abs=1000)


def test_a_table_of_the_catalogue_is_told_once_it_is_overdue(server):
    row = "oid = 'pg_catalog.pg_type'::regclass"
    found = []
    for age in (150_000_000, 250_000_000):
        with aged(server, age, "pg_class.relfrozenxid", row, "app"), refreshing(server) as (agent, _):
            found.append("pg_catalog.pg_type" in {f.relation for f in reading.rows(agent, FREEZE, "app")})

    assert found == [False, True]


def test_a_standby_tells_the_ages_of_its_primary(server, standby):
    with refreshing(standby) as (agent, _), refreshing(server) as (of_primary, _):
        ages = [{d.db: d.tx_age for d in reading.rows(a, WRAPAROUND)} for a in (agent, of_primary)]
        tables = [{f.relation for f in reading.rows(a, FREEZE, "app")} for a in (agent, of_primary)]

    assert ages[0] == {db: pytest.approx(age, abs=100) for db, age in ages[1].items()}
    assert tables[0] == tables[1]


# --- what it costs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("major", [12, 16, 18], ids="pg{}".format)
def test_twenty_refreshes_of_an_idle_server_use_no_xid(fresh_server, major):
    server, time = fresh_server(major, {"autovacuum": "off"}), ShiftedTime()
    with server.connect() as session, reading.agent(server.dsn("monitor"), time.clock()) as agent:
        before = session.execute(NEXT).fetchone()
        for _ in range(20):
            for tier in TIERS:
                assert reading.refreshed(agent, tier).success
            time.ahead += HOUR

        assert session.execute(NEXT).fetchone() == before
