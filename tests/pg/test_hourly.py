"""What is read once an hour of a database that the DSN does not name: statistics, sequences, collations, and all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import reading
from fakes import ShiftedTime
from pgmon.agent import Agent
from pgmon.feature import Tier
from pgmon.features.collations import COLLATIONS
from pgmon.features.sequences import SEQUENCES, SEQUENCES_UNREADABLE
from pgmon.features.stale_stats import STALE_STATS
from running import Samples
from servers import Server

DB = "hourly"
HOUR = 3600.0

SETUP = """
CREATE TABLE analyzed (id integer) WITH (autovacuum_enabled = off);
INSERT INTO analyzed SELECT generate_series(1, 10000);
CREATE TABLE eager (id integer)
  WITH (autovacuum_enabled = off, autovacuum_analyze_threshold = 100, autovacuum_analyze_scale_factor = 0.0);
INSERT INTO eager SELECT generate_series(1, 10000);
CREATE TABLE loaded (id integer) WITH (autovacuum_enabled = off);
CREATE TABLE parent (id integer) PARTITION BY RANGE (id);
CREATE TABLE child PARTITION OF parent FOR VALUES FROM (0) TO (1000000);
CREATE TABLE fresh_parent (id integer) PARTITION BY RANGE (id);

CREATE TABLE large (id integer, payload text) WITH (autovacuum_enabled = off);
INSERT INTO large SELECT n, repeat('x', 1000) FROM generate_series(1, 14000) AS n;

CREATE TABLE numbered (small smallserial, middle serial, large bigserial);
CREATE TABLE identified (small smallint GENERATED ALWAYS AS IDENTITY, large bigint GENERATED ALWAYS AS IDENTITY);
CREATE SEQUENCE wide; -- of bigint, for a column that holds less
CREATE TABLE narrow (id integer DEFAULT nextval('wide'));
ALTER SEQUENCE wide OWNED BY narrow.id;
CREATE SEQUENCE downward INCREMENT -1 MINVALUE -1000 MAXVALUE -1;
CREATE SEQUENCE round MAXVALUE 10 CYCLE;
CREATE SEQUENCE untouched;
CREATE SEQUENCE secret;
GRANT SELECT ON SEQUENCE numbered_small_seq, numbered_middle_seq, numbered_large_seq, identified_small_seq,
                         identified_large_seq, wide, downward, round, untouched TO monitor;

CREATE TABLE sorted (a text COLLATE "de-x-icu", b text COLLATE "en-x-icu", c text);
CREATE INDEX german ON sorted (b, a);
CREATE INDEX english ON sorted (b);
CREATE INDEX plain ON sorted (c);
"""
COUNT = """
SELECT setval('numbered_small_seq', 26214), setval('numbered_middle_seq', 1073741824),
       setval('numbered_large_seq', 1073741824), setval('identified_small_seq', 32767),
       setval('identified_large_seq', 1000), setval('wide', 2147483647), setval('downward', -900), setval('round', 10)
"""


@contextmanager
def session(server: Server, db: str = DB):
    """A session of a superuser."""
    with server.connect(dbname=db) as made:
        yield made


@pytest.fixture(scope="module")
def hourly(server: Server) -> Iterator[Server]:
    """Return the server, with a database that has one of everything."""
    with session(server, "postgres") as s:
        s.execute(f"CREATE DATABASE {DB}")
    with session(server) as s:
        s.execute(SETUP)
        s.execute(COUNT)
    with session(server) as s:
        s.execute("ANALYZE analyzed, eager, large, parent")
    with session(server) as s:
        s.execute("INSERT INTO analyzed SELECT generate_series(1, 2000)")
        s.execute("INSERT INTO eager SELECT generate_series(1, 300)")
        s.execute("INSERT INTO loaded SELECT generate_series(1, 20000)")
    counted = (
        "SELECT sum(n_mod_since_analyze) FROM pg_stat_user_tables WHERE relname IN ('analyzed', 'eager', 'loaded')"
    )
    server.wait_for(f"SELECT ({counted})::int", 22300, dbname=DB)
    yield server
    with session(server, "postgres") as s:
        s.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{DB}'")
        server.wait_for(f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{DB}'", 0)
        s.execute(f"DROP DATABASE {DB}")


@pytest.fixture(scope="module")
def agent(hourly: Server) -> Iterator[Agent]:
    """Return an agent that has refreshed twice, an hour apart, with changes in between."""
    time = ShiftedTime()
    with reading.agent(hourly.dsn("monitor"), time.clock()) as made:
        reading.refreshed(made, Tier.STORAGE)  # which chooses the tables
        reading.refreshed(made, Tier.HOURLY)
        with session(hourly) as s:
            s.execute("INSERT INTO analyzed SELECT generate_series(1, 500)")
            s.execute("DO $$ BEGIN FOR i IN 1..100 LOOP PERFORM txid_current(); COMMIT; END LOOP; END $$")
        counted = "SELECT n_mod_since_analyze FROM pg_stat_user_tables WHERE relname = 'analyzed'"
        hourly.wait_for(counted, 2500, dbname=DB)
        time.ahead += HOUR
        assert reading.refreshed(made, Tier.HOURLY).success
        yield made


def named(agent: Agent, feature, field: str) -> dict:
    """Return the rows of a feature by the names of its tables or sequences in public."""
    return {getattr(r, field).removeprefix("public."): r for r in reading.rows(agent, feature, DB)}


# --- everything -------------------------------------------------------------------------------------------------------

METRICS = {
    *("pg_table_freeze_age", "pg_table_bloat_bytes", "pg_table_bloat_ratio", "pg_table_bloat_method_info"),
    *("pg_table_stats_age_seconds", "pg_table_mods_since_analyze", "pg_table_mods_recent", "pg_table_never_analyzed"),
    *("pg_table_analyze_due_ratio", "pg_table_mods_ratio"),
    *("pg_sequence_used_ratio", "pg_sequence_cycles", "pg_sequences_unreadable", "pg_collation_version_mismatch"),
    *("pg_wraparound_tx_age", "pg_wraparound_multixact_age", "pg_wraparound_freeze_ratio"),
}


def test_a_database_that_the_dsn_does_not_name_has_every_metric(agent):
    samples = reading.samples(agent)

    assert {m for m in METRICS if not any(("db", DB) in labels for labels in samples.get(m, {}))} == set()


def test_the_time_left_is_the_servers_and_told_with_the_database_of_the_dsn(agent):
    samples: Samples = reading.samples(agent)

    limits = {dict(labels)["limit"] for labels in samples["pg_wraparound_seconds_left"] if ("db", "postgres") in labels}
    assert limits >= {"freeze_max_age", "stop"}


# --- statistics -------------------------------------------------------------------------------------------------------


def test_rows_changed_are_told_since_the_last_analyze_and_since_the_previous_reading(agent):
    analyzed = named(agent, STALE_STATS, "relation")["analyzed"]

    assert (analyzed.mods, analyzed.recent_mods) == (2500, 500)
    assert analyzed.mods_ratio == pytest.approx(0.25)
    assert 0 < analyzed.age < 300


def test_what_is_due_is_measured_by_the_tables_own_threshold(agent):
    tables = named(agent, STALE_STATS, "relation")

    assert tables["eager"].analyze_ratio == pytest.approx(300 / 100, rel=0.02)
    assert tables["analyzed"].analyze_ratio == pytest.approx(2500 / (50 + 0.1 * 10000), rel=0.02)


def test_a_table_that_was_never_analyzed_has_no_age(agent):
    loaded = named(agent, STALE_STATS, "relation")["loaded"]

    assert (loaded.age, loaded.never_analyzed, loaded.mods) == (None, 1, 20000)


def test_a_partitioned_table_is_told_by_its_last_analyze_where_that_is_known(agent, pg_version):
    tables = named(agent, STALE_STATS, "relation")
    parent, fresh = tables["parent"], tables["fresh_parent"]

    assert (parent.relkind, parent.mods) == ("p", None)
    assert (parent.age is not None, fresh.never_analyzed) == ((True, 1) if pg_version >= 14 else (False, None))


# --- sequences --------------------------------------------------------------------------------------------------------


def test_a_sequence_is_used_up_as_far_as_its_column_can_hold(agent):
    used = {name: u.used_ratio for name, u in named(agent, SEQUENCES, "sequence").items()}

    assert used == {
        "numbered_small_seq": pytest.approx(0.8, abs=0.001),
        "numbered_middle_seq": pytest.approx(0.5),
        "numbered_large_seq": pytest.approx(0.0, abs=1e-6),
        "identified_small_seq": pytest.approx(1.0),
        "identified_large_seq": pytest.approx(0.0, abs=1e-6),
        "wide": pytest.approx(1.0),
        "downward": pytest.approx(899 / 999),
        "round": pytest.approx(1.0),
        "untouched": 0.0,
        "secret": None,
    }


def test_a_sequence_that_may_not_be_read_is_denied_and_counted(agent):
    secret = named(agent, SEQUENCES, "sequence")["secret"]

    assert (secret.unread.partition(":")[0], secret.last_value) == ("denied", None)
    assert [u.sequences for u in reading.rows(agent, SEQUENCES_UNREADABLE, DB)] == [1]


def test_a_sequence_that_begins_anew_says_so(agent):
    assert [name for name, u in named(agent, SEQUENCES, "sequence").items() if u.cycles] == ["round"]


def test_a_sequence_names_the_column_that_owns_it(agent):
    owners = {name: u.owner for name, u in named(agent, SEQUENCES, "sequence").items()}

    assert (owners["wide"], owners["identified_small_seq"]) == ("public.narrow.id", "public.identified.small")
    assert owners["untouched"] is None


def test_a_sequence_that_is_being_altered_is_passed_over_and_keeps_its_value(hourly):
    time = ShiftedTime()
    with reading.agent(hourly.dsn("monitor"), time.clock()) as agent, session(hourly) as altering:
        reading.refreshed(agent, Tier.HOURLY)
        altering.execute("BEGIN; ALTER SEQUENCE numbered_small_seq INCREMENT 2")
        time.ahead += HOUR
        snapshot = reading.refreshed(agent, Tier.HOURLY)
        altered = named(agent, SEQUENCES, "sequence")["numbered_small_seq"]
        altering.execute("ROLLBACK")

    assert snapshot.readings[SEQUENCES.name, DB].failure is None
    assert "locked" in {u.unread for u in snapshot.readings[SEQUENCES.name, DB].raw}
    assert (altered.unread, altered.used_ratio) == ("", pytest.approx(0.8, abs=0.001))


def test_more_sequences_than_a_refresh_reads_take_turns_and_the_fullest_are_always_read(hourly):
    time = ShiftedTime()
    with session(hourly) as s:
        s.execute("DO $$ BEGIN FOR i IN 1..60 LOOP EXECUTE 'CREATE SEQUENCE many' || i; END LOOP; END $$")
    with reading.agent(hourly.dsn("monitor"), time.clock(), LIMITS_TOP_RELATIONS="5") as agent:
        seen, always = set(), {"identified_small_seq", "wide", "round"}
        for _ in range(5):
            reading.refreshed(agent, Tier.HOURLY)
            now = agent.caches[Tier.HOURLY].latest.readings[SEQUENCES.name, DB].raw
            assert len(now) == 20
            seen |= {u.sequence.removeprefix("public.") for u in now}
            assert always <= named(agent, SEQUENCES, "sequence").keys()
            time.ahead += HOUR
    with session(hourly) as s:
        s.execute("DO $$ BEGIN FOR i IN 1..60 LOOP EXECUTE 'DROP SEQUENCE many' || i; END LOOP; END $$")

    assert {f"many{i}" for i in range(1, 61)} <= seen


# --- collations -------------------------------------------------------------------------------------------------------


@contextmanager
def other_version(server: Server, table: str, column: str, name: str) -> Iterator[None]:
    """A collation version that a superuser recorded as another one."""
    where = {"pg_collation": "collname", "pg_database": "datname"}[table]
    with session(server) as s:
        was = s.execute(f"SELECT {column} FROM {table} WHERE {where} = %s", [name]).fetchone()[0]
        s.execute(f"UPDATE {table} SET {column} = 'other' WHERE {where} = %s", [name])
        try:
            yield
        finally:
            s.execute(f"UPDATE {table} SET {column} = %s WHERE {where} = %s", [was, name])


def mismatch(server: Server):
    """Return what a new agent knows of the collations."""
    with reading.agent(server.dsn("monitor")) as agent:
        reading.refreshed(agent, Tier.HOURLY)
        [found] = reading.rows(agent, COLLATIONS, DB)
        return found.mismatches, found.default_changed, found.collations


def test_where_nothing_changed_nothing_depends_on_it(hourly):
    assert mismatch(hourly) == (0, False, [])


def test_each_index_on_a_collation_that_changed_counts_once(hourly):
    with other_version(hourly, "pg_collation", "collversion", "en-x-icu"):
        assert mismatch(hourly) == (2, False, ["en-x-icu"])


def test_a_changed_collation_that_no_index_depends_on_is_none_of_it(hourly):
    with other_version(hourly, "pg_collation", "collversion", "fr-x-icu"):
        assert mismatch(hourly) == (0, False, [])


@pytest.mark.pg(">= 15")
def test_a_changed_default_counts_with_its_indexes(hourly, pg_version):
    with other_version(hourly, "pg_database", "datcollversion", DB):
        assert mismatch(hourly) == (2, True, ["default"])
