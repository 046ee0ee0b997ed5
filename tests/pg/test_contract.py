"""Every statement, asked as the bare monitoring role of every server it is for, returns what its row declares."""

from __future__ import annotations

import time
from contextlib import contextmanager

import pytest

import reading
import running
import servers
from pgmon import sqlfiles
from pgmon.agent import TIERS
from pgmon.db import Door, limits_statement
from pgmon.errors import Kind, QueryError
from pgmon.feature import Role, Tier
from pgmon.features import FEATURES

ASKED = [f for f in FEATURES if f.of is None and f.tier is not Tier.AGENT]
OF_EXTENSION = [f for f in ASKED if any(v.of == "pgss" for v in sqlfiles.variants(f.name))]
TOPS = {"top_relations": 50, "top_indexes": 50, "top_queries": 50}
IDS = {"queryids": [-1, 2], "relids": [1259, 1], "seen": [3, 4], "members": [5], "furthest": 6}
PARAMS = TOPS | IDS

each_feature = pytest.mark.parametrize("feature", ASKED, ids=[f.name for f in ASKED])


@contextmanager
def door_of(dsn):
    """Open the agent's own door, without an agent."""
    limits = dict.fromkeys(TIERS, limits_statement(10_000, 1_000))
    door = Door(dsn, 2, limits, 5, time.monotonic)
    try:
        yield door
    finally:
        door.close()


@pytest.fixture(scope="module")
def door(server):
    with door_of(server.dsn("monitor")) as door:
        yield door


@pytest.fixture(scope="module")
def standby_door(standby):
    with door_of(standby.dsn("monitor")) as door:
        yield door


def asked(door, feature):
    """Return the text sent and the rows; the door raises unless names and types are the row's."""
    deadline = time.monotonic() + 20
    return door.ask(feature, door.facts("", feature.tier, deadline), PARAMS, deadline)


def asked_where_it_exists(door, feature, major):
    """Return what `asked` does; skip the test where the server is too old to have such a thing, and says so."""
    least = sqlfiles.variants(feature.name)[0].least[0]
    if major >= least:
        return asked(door, feature)
    with pytest.raises(QueryError, match=f"needs PostgreSQL {least}; this server is {major}"):
        asked(door, feature)
    pytest.skip(f"This needs PostgreSQL {least}, not {major}.")


@each_feature
def test_a_statement_returns_the_fields_of_its_row(door, feature, pg_version):
    sql, rows = asked_where_it_exists(door, feature, pg_version)

    assert f"/* pgmon:{feature.name} */" in sql
    assert {type(row) for row in rows} <= {feature.raw}


@each_feature
def test_a_standby_understands_every_statement(standby_door, feature, pg_version):
    sql, rows = asked_where_it_exists(standby_door, feature, pg_version)

    assert f"/* pgmon:{feature.name} */" in sql
    assert {type(row) for row in rows} <= {feature.raw}


def test_the_facts_tell_primary_and_standby_apart(door, standby_door):
    primary, standby = (d.facts("", Tier.HOT_PATH, time.monotonic() + 20) for d in (door, standby_door))

    assert (primary.in_recovery, standby.in_recovery) == (False, True)
    assert primary.system_identifier == standby.system_identifier
    assert (primary.monitors, primary.shielded) == (standby.monitors, standby.shielded) == (True, True)


def older_versions(major):
    """Return the versions of pg_stat_statements that an upgraded server may still have."""
    known = list(dict.fromkeys(sqlfiles.PGSS.values()))
    return known[: known.index(sqlfiles.PGSS[major])]


@pytest.mark.pg(">= 13")
@pytest.mark.parametrize("feature", OF_EXTENSION, ids=[f.name for f in OF_EXTENSION])
def test_an_extension_that_was_never_updated_is_asked_in_its_own_words(server, scratch, feature):
    for version in older_versions(server.major):
        scratch.execute(f"CREATE EXTENSION pg_stat_statements VERSION '{version}'")
        scratch.commit()
        with door_of(server.dsn("monitor", scratch.info.dbname)) as door:
            asked(door, feature)
        scratch.execute("DROP EXTENSION pg_stat_statements")


# --- the readings of an agent -----------------------------------------------------------------------------------------


def readings_of(dsn):
    """Return what an agent has read once all its tiers have landed."""
    with running.agent(dsn) as agent:
        snapshots = [cache.latest for cache in reading.landed(agent).caches.values()]
    return [r for snapshot in snapshots for r in snapshot.readings.values()]


@pytest.fixture(scope="module")
def of_primary(server):
    return readings_of(server.dsn("monitor"))


@pytest.fixture(scope="module")
def of_standby(standby):
    return readings_of(standby.dsn("monitor"))


def exists(feature, major):
    """Tell whether a server has what a feature is about."""
    return sqlfiles.variants((feature.of or feature).name)[0].least[0] <= major


def failures(readings, role, major):
    """Return what failed, except what holds on the other kind of server, or on later ones, only."""
    applicable = [r for r in readings if r.feature.role in (Role.ANY, role) and exists(r.feature, major)]
    return {(r.feature.name, r.db): (r.failure, r.message) for r in applicable if r.failure}


def test_no_reading_of_a_primary_fails(of_primary, pg_version):
    assert failures(of_primary, Role.PRIMARY, pg_version) == {}


def test_no_reading_of_a_standby_fails(of_standby, pg_version):
    assert failures(of_standby, Role.STANDBY, pg_version) == {}


def test_every_feature_is_read(of_primary, of_standby, pg_version):
    read = {r.feature.name for r in (*of_primary, *of_standby) if r.taken is not None}

    assert read == {f.name for f in FEATURES if f.tier is not Tier.AGENT and exists(f, pg_version)}


def absent(readings):
    """Return the features that say that there is no such thing here."""
    return {r.feature.name for r in readings if r.failure is Kind.UNSUPPORTED and not r.rows and r.taken is None}


def test_a_primary_has_nothing_to_say_as_a_standby(of_primary):
    assert "standby" in absent(of_primary)


def test_a_standby_has_nothing_to_say_of_table_statistics_which_are_zero_there(of_standby):
    assert absent(of_standby) >= {"freshness", "tuples", "autovacuum_due"}


def test_every_database_but_the_templates_is_visited(of_primary):
    visited = {r.db for r in of_primary if r.taken is not None}

    assert visited >= {"", "app", "postgres"}
    assert not {db for db in visited if db.startswith("template")}


def test_a_hostile_table_name_is_read_as_it_is(of_primary):
    relations = {row.relation for r in of_primary for row in r.rows if hasattr(row, "relation")}

    assert f"public.{servers.HOSTILE_NAME}" in relations
