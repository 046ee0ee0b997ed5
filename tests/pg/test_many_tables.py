"""Ten thousand tables: the ratios of tests/bench/many_tables.py, with room for a busy machine."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

import pytest

from bench.many_tables import TEMP, Refresh, Scrapes, cpu_nanoseconds, crowded, meter, scrapes
from conftest import require
from pgmon.agent import QUICK, TIERS
from pgmon.config import Limits
from pgmon.feature import Tier
from servers import Server

pytestmark = pytest.mark.slow

TABLES = 10_000
LOOK = """
SELECT sum(pg_stat_get_dead_tuples(oid))
  FROM pg_class
 WHERE relkind IN ('r', 'm')
   AND oid >= 16384
"""
EVERYTHING = {"partitions", "statements"}  # that have no limit in the number of tables: they sum up


@pytest.fixture(scope="module")
def many() -> Iterator[Server]:
    with crowded(require(18), TABLES) as server:
        yield server


@pytest.fixture(scope="module")
def metered(many) -> tuple[dict[Tier, Refresh], list[str]]:
    """Return what the second refresh of each tier cost, and what was sent in the database of the tables."""
    with meter(many) as m:
        for tier in TIERS:
            m.refresh(tier)
        refreshes = {tier: m.refresh(tier) for tier in TIERS}
        return refreshes, [sql for (_, db), sql in m.statements().items() if db == "app"]


@pytest.fixture(scope="module")
def refreshes(metered) -> dict[Tier, Refresh]:
    return metered[0]


@pytest.fixture(scope="module")
def looks(many) -> float:
    """Return the CPU time of a session that looks once at every table and what is counted of it."""
    with many.connect(dbname="app", options="-c max_parallel_workers_per_gather=0") as session:
        spent = []
        for _ in range(10):
            before = cpu_nanoseconds(session.info.backend_pid)
            session.execute(LOOK)
            spent.append(cpu_nanoseconds(session.info.backend_pid) - before)
        return min(spent[1:]) / 1e9


@pytest.fixture(scope="module")
def scraped(many) -> Scrapes:
    return scrapes(many, settled=0)


def test_everything_is_read(refreshes):
    assert {k: why for r in refreshes.values() for k, why in r.failures.items() if "standby" not in why} == {}


def test_a_refresh_of_everything_costs_no_more_than_sixty_looks_at_every_table(refreshes, looks):
    assert sum(r.backends for r in refreshes.values()) < 60 * looks


def test_what_is_read_every_minute_costs_no_more_than_ten(refreshes, looks):
    assert sum(refreshes[tier].backends for tier in QUICK) < 10 * looks


def test_with_an_eighth_of_its_memory_for_a_tenth_of_the_tables_no_statement_writes_temporary_files(many, metered):
    with many.connect() as home, many.connect("monitor", "app", options="-c work_mem=2MB") as session:
        before = home.execute(TEMP).fetchone()[0]
        for sql in metered[1]:
            session.execute(sql)
        after = home.execute(TEMP).fetchone()[0]

    assert len(metered[1]) > 10
    assert after == before


@pytest.mark.fault("F35")
def test_no_statement_returns_more_rows_the_more_tables_there_are(refreshes):
    most = 13 * Limits().top_relations

    assert {n: rows for r in refreshes.values() for n, rows in r.rows.items() if rows > most}.keys() <= EVERYTHING


def test_the_first_scrape_waits_for_no_slow_tier(scraped):
    assert scraped.first < 2


def test_a_warm_scrape_is_made_of_what_is_there(scraped):
    assert statistics.median(scraped.warm) < 0.05


@pytest.mark.fault("F35")
def test_there_are_as_many_samples_as_may_be(scraped):
    assert scraped.samples < Limits().series


@pytest.mark.fault("F35")
def test_the_agent_stays_small(scraped):
    assert scraped.most < 120e6
