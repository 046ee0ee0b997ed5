"""Indexes of real servers: which do nothing that another one does not, which are broken, which nobody scans."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

import reading
from fakes import ShiftedTime
from pgmon.agent import Agent
from pgmon.feature import Tier
from pgmon.features.indexes import INDEX_VERDICTS, INDEXES, Verdict
from servers import Server

DAY = 86400.0
SCANS = """
SELECT sum(pg_stat_get_numscans(indexrelid))::bigint
  FROM pg_index
 WHERE indrelid IN ('t'::regclass, 'parted_1'::regclass)
"""
SIZES = """
SELECT relname, pg_relation_size(oid)
  FROM pg_class
 WHERE relkind = 'i'
   AND relnamespace = 'public'::regnamespace
"""

TABLES = """
CREATE TABLE t (id int PRIMARY KEY, a int, b int, c text, d int[], e int NOT NULL);
INSERT INTO t SELECT n, n, n % 5, n::text, ARRAY[n], n FROM generate_series(1, 2000) AS n;

CREATE INDEX ab ON t (a, b);
CREATE INDEX a_prefix ON t (a);
CREATE INDEX ab_same ON t (a, b);
CREATE INDEX b_other ON t (b);
CREATE INDEX ab_desc ON t (a DESC, b);
CREATE INDEX a_include_c ON t (a) INCLUDE (c);
CREATE INDEX a_include_c_b ON t (a) INCLUDE (c, b);
CREATE INDEX a_positive ON t (a) WHERE b > 1;
CREATE INDEX a_positive_same ON t (a) WHERE b > 1;
CREATE INDEX a_more_positive ON t (a) WHERE b > 2;
CREATE INDEX expression ON t (lower(c));
CREATE INDEX expression_same ON t (lower(c));
CREATE INDEX expression_other ON t (upper(c));
CREATE INDEX text_default ON t (c);
CREATE INDEX text_pattern ON t (c text_pattern_ops);
CREATE INDEX text_collated ON t (c COLLATE "POSIX");
CREATE INDEX listed ON t USING gin (d);
CREATE INDEX listed_same ON t USING gin (d);
CREATE INDEX hashed ON t USING hash (b);
CREATE UNIQUE INDEX e_unique ON t (e);
CREATE INDEX e_plain ON t (e);
CREATE UNIQUE INDEX id_again ON t (id);
CREATE UNIQUE INDEX e_identity ON t (e, id);
ALTER TABLE t REPLICA IDENTITY USING INDEX e_identity;

CREATE TABLE parted (d int, x int) PARTITION BY RANGE (d);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (1000);
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (1000) TO (2000);
CREATE INDEX used ON parted (d);
CREATE INDEX idle ON parted (x);
INSERT INTO parted SELECT n, n FROM generate_series(0, 1999) AS n;
"""


@pytest.fixture(scope="module")
def made(server: Server) -> Iterator[None]:
    """Make a database `indexed`, of whose indexes a_more_positive, b_other (or hashed) and used were scanned."""
    with server.connect() as connection:
        connection.execute("CREATE DATABASE indexed")
        with server.connect(dbname="indexed") as within:
            within.execute(TABLES)
            with pytest.raises(psycopg.errors.UniqueViolation):
                within.execute("CREATE UNIQUE INDEX CONCURRENTLY broken ON t (b)")
        scan(server)
        yield
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'indexed'")
        server.wait_for("SELECT count(*) FROM pg_stat_activity WHERE datname = 'indexed'", 0)
        connection.execute("DROP DATABASE indexed")


def scan(server: Server) -> None:
    """Scan three indexes once more, and return when that is counted."""
    with server.connect(dbname="indexed") as user:
        before = user.execute(SCANS).fetchone()[0]
        user.execute("SET enable_seqscan = off")
        for condition in ("t WHERE a = 7 AND b > 2", "t WHERE b = 7", "parted WHERE d = 7"):
            user.execute(f"SELECT count(*) FROM {condition}")
    server.wait_for(f"SELECT ({SCANS}) >= {before + 3}", dbname="indexed")


@contextmanager
def watching(server: Server, **environ: str) -> Iterator[tuple[Agent, ShiftedTime]]:
    """Return an agent for which every index is large enough, and its time."""
    time = ShiftedTime()
    settings = {"DATABASES_INCLUDE": "[indexed]", "ALERTS_UNUSED_INDEX_MIN_BYTES": "0"} | environ
    with reading.agent(server.dsn("monitor"), time.clock(), **settings) as made:
        yield made, time


def verdicts(agent: Agent) -> dict[str, Verdict]:
    assert reading.refreshed(agent, Tier.STORAGE).success
    return {v.index.removeprefix("public."): v for v in reading.rows(agent, INDEX_VERDICTS, "indexed")}


@pytest.fixture(scope="module")
def judged(server: Server, made: None) -> dict[str, Verdict]:
    """Return the verdicts where no evidence is wanted but that there was no scan."""
    with watching(server, ALERTS_UNUSED_INDEX_DAYS="0") as (agent, _):
        return verdicts(agent)


# --- redundant --------------------------------------------------------------------------------------------------------

REDUNDANT = {
    "a_prefix": "ab",
    "ab_same": "ab",
    "a_include_c": "a_include_c_b",
    "a_positive_same": "a_positive",
    "expression_same": "expression",
    "listed_same": "listed",
    "e_plain": "e_unique",
    "id_again": "t_pkey",
}


def test_an_index_that_does_nothing_of_its_own_is_a_duplicate(judged):
    assert {name for name, v in judged.items() if v.duplicate} == REDUNDANT.keys()


def test_a_duplicate_tells_beside_which_other_it_is(judged):
    assert {name: v.beside for name, v in judged.items() if v.duplicate} == REDUNDANT


# --- invalid ----------------------------------------------------------------------------------------------------------


def test_an_index_whose_build_failed_is_invalid(judged):
    assert {name for name, v in judged.items() if v.invalid} == {"broken"}


# --- unused -----------------------------------------------------------------------------------------------------------


def unused(found: dict[str, Verdict]) -> set[str]:
    return {name for name, v in found.items() if v.unused}


def test_an_index_that_was_never_scanned_is_unused_and_counts_with_its_size(judged):
    assert {"ab_desc", "text_collated", "a_prefix"} <= unused(judged)
    assert all((v.unused_bytes > 0) == bool(v.unused) for v in judged.values())


def test_an_index_that_was_scanned_is_used(judged):
    assert "a_more_positive" not in unused(judged)


def test_what_makes_sure_of_something_is_never_unused(judged):
    assert not {"t_pkey", "e_unique", "id_again", "e_identity"} & unused(judged)


def test_a_partition_of_an_index_is_used_when_another_one_is(judged):
    assert not {"parted_1_d_idx", "parted_2_d_idx"} & unused(judged)
    assert {"parted_1_x_idx", "parted_2_x_idx"} <= unused(judged)


def test_a_small_index_is_not_worth_the_trouble(server, made):
    with watching(server, ALERTS_UNUSED_INDEX_DAYS="0", ALERTS_UNUSED_INDEX_MIN_BYTES="1000000000") as (agent, _):
        assert unused(verdicts(agent)) == set()


def test_after_a_week_of_ours_the_statistics_are_still_those_of_a_young_server(server, made):
    with watching(server) as (agent, time):
        verdicts(agent)
        time.ahead += 8 * DAY
        found = verdicts(agent)

    assert unused(found) == set()
    assert 0 < found["ab_desc"].idle_seconds < DAY


def test_a_new_agent_has_no_evidence_of_its_own(server, made):
    with watching(server) as (agent, _):
        assert verdicts(agent)["ab_desc"].idle_seconds == 0


@pytest.mark.pg(">= 16")
def test_from_16_on_the_time_of_the_last_scan_is_evidence(server, made):
    with watching(server) as (agent, _):
        assert 0 < verdicts(agent)["a_more_positive"].idle_seconds < DAY


@pytest.mark.pg("< 16")
def test_before_16_a_scan_is_seen_as_the_count_moves(server, made):
    with watching(server) as (agent, time):
        verdicts(agent)
        time.ahead += 600
        still = verdicts(agent)["a_more_positive"].idle_seconds
        scan(server)
        time.ahead += 600
        moved = verdicts(agent)["a_more_positive"].idle_seconds

    assert still > 0
    assert moved == 0


# --- sizes ------------------------------------------------------------------------------------------------------------


def test_the_sizes_are_those_of_the_server(server, made):
    with watching(server) as (agent, _):
        verdicts(agent)
        found = {i.index.removeprefix("public."): i.bytes for i in reading.rows(agent, INDEXES, "indexed")}

    with server.connect(dbname="indexed") as connection:
        assert found == dict(connection.execute(SIZES).fetchall())
