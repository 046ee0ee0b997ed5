"""Partitioned tables of real servers: until when rows have a partition, and what fell through."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

import reading
import running
from conftest import require
from fakes import ShiftedTime
from pgmon.agent import Agent
from pgmon.feature import Tier
from pgmon.features import FEATURES
from pgmon.features.partitions import PARTITIONS, Partitioned
from servers import Server

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
DAY = 86400.0
SLACK = 120.0  # seconds between making tables and reading them, on a busy machine


def day(n: int) -> str:
    """Return the date `n` days from today."""
    return f"'{TODAY + timedelta(days=n):%Y-%m-%d}'"


def month(n: int) -> datetime:
    """Return the start of the month `n` months from this one."""
    months = TODAY.year * 12 + TODAY.month - 1 + n
    return TODAY.replace(year=months // 12, month=months % 12 + 1, day=1)


def part(root: str, name: str, bound: str, more: str = "") -> str:
    """Return the command that makes a partition."""
    return f"CREATE TABLE {root}_{name} PARTITION OF {root} {bound} {more};"


def daily(root: str, days: range, *without: int) -> str:
    """Return the commands that make a partition of a day each."""
    spans = ((n, f"FOR VALUES FROM ({day(n)}) TO ({day(n + 1)})") for n in days if n not in without)
    return "".join(part(root, f"d{n - days.start}", bound) for n, bound in spans)


LAYOUTS = f"""
CREATE TABLE daily (d date, n int) PARTITION BY RANGE (d);
{daily("daily", range(-5, 4))}

CREATE TABLE gapped (t timestamptz) PARTITION BY RANGE (t);
{daily("gapped", range(-9, 9), -7, 3)}

CREATE TABLE over (t timestamp) PARTITION BY RANGE (t);
{daily("over", range(-9, -2))}

CREATE TABLE fallen (d date) PARTITION BY RANGE (d);
{daily("fallen", range(-3, 3))}
{part("fallen", "default", "DEFAULT")}
INSERT INTO fallen VALUES ({day(9)}), ({day(10)});

CREATE TABLE monthly (t timestamptz, device int) PARTITION BY RANGE (t, device);
{
    "".join(
        part("monthly", f"m{n + 4}", f"FOR VALUES FROM ('{month(n)}', MINVALUE) TO ('{month(n + 1)}', MINVALUE)")
        for n in range(-4, 3)
    )
}

CREATE TABLE numbered (id bigint) PARTITION BY RANGE (id);
{"".join(part("numbered", f"p{n}", f"FOR VALUES FROM ({n}000) TO ({n + 1}000)") for n in range(6))}
INSERT INTO numbered SELECT n FROM generate_series(1, 2500) AS n;

CREATE TABLE endless (d date) PARTITION BY RANGE (d);
{part("endless", "old", f"FOR VALUES FROM (MINVALUE) TO ({day(0)})")}
{part("endless", "new", f"FOR VALUES FROM ({day(0)}) TO (MAXVALUE)")}

CREATE TABLE listed (region text) PARTITION BY LIST (region);
{part("listed", "a", "FOR VALUES IN ('a', 'b')")}
{part("listed", "default", "DEFAULT")}
INSERT INTO listed VALUES ('z');

CREATE TABLE hashed (id int) PARTITION BY HASH (id);
{"".join(part("hashed", f"h{n}", f"FOR VALUES WITH (MODULUS 3, REMAINDER {n})") for n in range(3))}

CREATE TABLE levels (region text, d date) PARTITION BY LIST (region);
{part("levels", "a", "FOR VALUES IN ('a')", "PARTITION BY RANGE (d)")}
{daily("levels_a", range(-2, 6))}
{part("levels", "b", "FOR VALUES IN ('b')", "PARTITION BY RANGE (d)")}
{daily("levels_b", range(-2, 2))}

CREATE TABLE expressed (t timestamptz) PARTITION BY RANGE (((t AT TIME ZONE 'UTC')::date));
{daily("expressed", range(-1, 2))}

CREATE SCHEMA _timescaledb_internal;
CREATE TABLE _timescaledb_internal.chunks (d date) PARTITION BY RANGE (d);
CREATE TABLE ignored (d date) PARTITION BY RANGE (d);
"""

SETTINGS = {
    "DATABASES_INCLUDE": "[app, scratch]",
    "PARTITIONS_IGNORE": "['public.ign*']",
    "PARTITIONS_RETENTION": "{public.daily: 3d, public.gapped: 90d}",
}


@pytest.fixture(scope="module")
def laid_out(server: Server) -> Iterator[tuple[Agent, ShiftedTime]]:
    """Return an agent, and its time, of a server whose database `layouts` has them all."""
    with server.connect() as connection:
        connection.execute("CREATE DATABASE layouts")
        with server.connect(dbname="layouts") as within:
            within.execute(LAYOUTS)
        # A session's counts come in at its end.
        server.wait_for("SELECT pg_stat_get_live_tuples('fallen_default'::regclass)", 2, dbname="layouts")
        server.wait_for("SELECT pg_stat_get_live_tuples('numbered_p2'::regclass)", 501, dbname="layouts")
        time = ShiftedTime()
        settings = SETTINGS | {"DATABASES_INCLUDE": "[layouts]"}
        with reading.agent(server.dsn("monitor"), time.clock(), **settings) as agent:
            yield agent, time
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'layouts'")
        server.wait_for("SELECT count(*) FROM pg_stat_activity WHERE datname = 'layouts'", 0)
        connection.execute("DROP DATABASE layouts")


@pytest.fixture(scope="module")
def roots(laid_out) -> dict[str, Partitioned]:
    """Return what is known of each root, by its name."""
    agent, _ = laid_out
    assert reading.refreshed(agent, Tier.STORAGE).success
    return {p.relation.removeprefix("public."): p for p in reading.rows(agent, PARTITIONS, "layouts")}


def left(until: datetime) -> object:
    """Return about how many seconds are left until a time."""
    return pytest.approx((until - datetime.now(UTC)).total_seconds(), abs=SLACK)


def test_the_runway_of_days_ends_with_the_last_one(roots):
    assert roots["daily"].runway_seconds == left(TODAY + timedelta(days=4))
    assert roots["daily"].width_seconds == DAY


def test_the_runway_ends_at_the_first_gap(roots):
    assert roots["gapped"].runway_seconds == left(TODAY + timedelta(days=3))


def test_gaps_are_counted_and_those_that_lie_ahead_apart(roots):
    assert (roots["gapped"].gaps, roots["gapped"].gaps_ahead) == (2, 1)
    assert (roots["daily"].gaps, roots["daily"].gaps_ahead) == (0, 0)


def test_when_rows_have_no_partition_now_the_runway_is_0(roots):
    assert (roots["over"].runway_seconds, roots["over"].runway_widths) == (0, 0)


def test_the_runway_of_months_ends_with_the_last_one_and_is_told_in_months(roots):
    assert roots["monthly"].runway_seconds == left(month(3))
    assert 28 * DAY <= roots["monthly"].width_seconds <= 31 * DAY
    assert 2 < roots["monthly"].runway_widths < 3.4
    assert roots["monthly"].gaps == 0


def test_below_a_list_the_shortest_runway_counts(roots):
    assert roots["levels"].runway_seconds == left(TODAY + timedelta(days=2))
    assert roots["levels"].partitions == 12
    assert roots["levels"].strategy == "list / range"


def test_an_expression_of_time_has_a_runway(roots):
    assert roots["expressed"].runway_seconds == left(TODAY + timedelta(days=2))


@pytest.mark.parametrize("root", ["numbered", "endless", "listed", "hashed"])
def test_what_does_not_end_with_time_has_no_runway(roots, root):
    assert (roots[root].runway_seconds, roots[root].runway_widths) == (None, None)


def test_of_numbers_the_empty_partitions_ahead_are_counted(roots):
    assert roots["numbered"].empty_ahead == 3
    assert roots["numbered"].gaps == 0
    assert roots["daily"].empty_ahead is None


def test_rows_in_default_are_counted(roots):
    assert roots["fallen"].default_rows == 2
    assert roots["listed"].default_rows == 1
    assert roots["daily"].default_rows is None


def test_the_age_of_the_oldest_partition_is_that_of_its_end(roots):
    age = (datetime.now(UTC) - (TODAY - timedelta(days=4))).total_seconds()

    assert roots["daily"].oldest_age_seconds == pytest.approx(age, abs=SLACK)


def test_what_is_older_than_its_retention_is_overdue(roots):
    assert roots["daily"].overdue_seconds == pytest.approx(roots["daily"].oldest_age_seconds - 3 * DAY)
    assert roots["gapped"].overdue_seconds == 0
    assert roots["monthly"].overdue_seconds is None


def test_partitions_are_counted_and_their_rows_added_up(roots):
    assert {name: roots[name].partitions for name in ("daily", "hashed", "fallen")} == {
        "daily": 9,
        "hashed": 3,
        "fallen": 7,
    }
    assert roots["numbered"].live == 2500


def test_ignored_roots_and_excluded_schemas_are_left_out(roots):
    assert not {name for name in roots if "ignored" in name or "chunks" in name}


def test_what_is_not_known_is_absent(laid_out, roots):
    agent, _ = laid_out
    samples = reading.samples(agent)

    assert running.value(samples, "pg_partitions", relation="public.listed") == 2
    assert running.value(samples, "pg_partition_runway_seconds", relation="public.listed") is None


def test_more_rows_in_default_are_growth(server, laid_out, roots):
    agent, time = laid_out
    with server.connect(dbname="layouts") as connection:
        for table, value in (("fallen", day(11)), ("listed", "'y'")):
            connection.execute(f"INSERT INTO {table} VALUES ({value})")
    server.wait_for("SELECT pg_stat_get_live_tuples('fallen_default'::regclass)", 3, dbname="layouts")

    time.ahead += 600
    reading.refreshed(agent, Tier.STORAGE)

    now = {p.relation: p for p in reading.rows(agent, PARTITIONS, "layouts")}
    assert now["public.fallen"].default_growth == 1
    assert now["public.listed"].default_growth is None


# --- detached half way ------------------------------------------------------------------------------------------------


@pytest.mark.pg(">= 14")
def test_what_is_detached_half_way_is_pending_and_takes_no_rows(server, scratch):
    scratch.execute(f"CREATE TABLE root (d date) PARTITION BY RANGE (d); {daily('root', range(-1, 3))}")
    scratch.commit()
    scratch.execute("SELECT count(*) FROM root")  # the DETACH has to wait for it
    with server.connect(dbname="scratch") as other:
        other.execute("SET lock_timeout = '100ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute("ALTER TABLE root DETACH PARTITION root_d3 CONCURRENTLY")
    scratch.rollback()

    with reading.agent(server.dsn("monitor"), DATABASES_INCLUDE="[scratch]") as agent:
        assert reading.refreshed(agent, Tier.STORAGE).success
        [root] = reading.rows(agent, PARTITIONS, "scratch")

    assert root.detach_pending == 1
    assert root.partitions == 4
    assert root.runway_seconds == left(TODAY + timedelta(days=2))


@pytest.mark.pg("< 14")
def test_before_14_nothing_is_known_of_detaching(roots):
    assert roots["daily"].detach_pending is None


# --- many -------------------------------------------------------------------------------------------------------------

# In two levels: to make the 10,000th beside 9,999 others takes the server a hundred times as long as to read them all.
TEN_THOUSAND = """
DO $$
BEGIN
    CREATE TABLE many (id bigint) PARTITION BY RANGE (id);
    FOR i IN 0..99 LOOP
        EXECUTE format('CREATE TABLE many_%s PARTITION OF many FOR VALUES FROM (%s) TO (%s) PARTITION BY RANGE (id)',
                       i, i * 100, (i + 1) * 100);
        FOR j IN i * 100 .. i * 100 + 99 LOOP
            EXECUTE format('CREATE TABLE leaf_%s PARTITION OF many_%s FOR VALUES FROM (%s) TO (%s)', j, i, j, j + 1);
        END LOOP;
        COMMIT;
    END LOOP;
END $$
"""
MOST_LOCKS = """
SELECT count(*)
  FROM pg_locks AS l
  JOIN pg_class AS c ON c.oid = l.relation
 WHERE l.pid = %s
   AND c.relnamespace <> 'pg_catalog'::regnamespace
"""


@pytest.fixture(scope="module")
def crowded() -> Iterator[Server]:
    """Return a server of the newest version with 10,000 partitions of one table."""
    with Server(require(18)) as running_server:
        with running_server.connect() as connection:
            connection.execute("CREATE ROLE monitor LOGIN IN ROLE pg_monitor PASSWORD 'se''cret pass\\word'")
            connection.execute(TEN_THOUSAND)
            connection.execute("INSERT INTO leaf_4999 VALUES (4999)")
        yield running_server


@pytest.mark.fault("F35")
def test_ten_thousand_partitions_are_read_within_the_budget(crowded):
    crowded.wait_for("SELECT pg_stat_get_live_tuples('leaf_4999'::regclass)", 1)
    with reading.agent(crowded.dsn("monitor")) as agent:
        snapshot = reading.refreshed(agent, Tier.STORAGE)
        [root] = reading.rows(agent, PARTITIONS, "postgres")

    assert snapshot.success, {k: r.message for k, r in snapshot.readings.items() if r.failure}
    assert snapshot.seconds < 10
    assert (root.partitions, root.empty_ahead, root.gaps) == (10_000, 50, 0)


def test_ten_thousand_partitions_cost_no_place_in_the_lock_table(crowded):
    with reading.agent(crowded.dsn("monitor")) as agent:
        snapshot = reading.refreshed(agent, Tier.STORAGE)
    sent = {r.feature.name: r.sql for r in snapshot.readings.values() if r.feature.of is None}
    assert sent.keys() == {f.name for f in FEATURES if f.tier is Tier.STORAGE and f.of is None}

    held = {}
    with crowded.connect("monitor") as session, crowded.connect() as onlooker:
        for name, sql in sent.items():
            session.execute("BEGIN")
            session.execute(sql)
            held[name] = onlooker.execute(MOST_LOCKS, [session.info.backend_pid]).fetchone()[0]
            session.execute("COMMIT")

    assert held == dict.fromkeys(sent, 0)
