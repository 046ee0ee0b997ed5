"""The shape of /metrics on every version: names, types and labels, and which families have no sample there.

After a change that is meant: PGMON_UPDATE_GOLDEN=1 pytest tests/golden
"""

from __future__ import annotations

import difflib
import os
import re
from collections import Counter
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

import running
from fakes import ShiftedTime
from pgmon.agent import TIERS
from pgmon.exposition import Families
from pgmon.features import FEATURES

HERE = Path(__file__).parent
UPDATING = bool(os.environ.get("PGMON_UPDATE_GOLDEN"))
# Whether these have samples depends on what happened on the server, or to the machine, of late.
SOMETIMES = {
    "pg_stats_reset_timestamp_seconds",
    "pg_table_last_autoanalyze_seconds",
    "pg_table_last_autovacuum_seconds",
    "pg_wraparound_seconds_left",
    "pgmon_connect_error",
    "pgmon_degraded",
}


def land(agent):
    """Let every tier land."""
    for tier in TIERS:
        agent.caches[tier].read(wait=30)


def read_twice(agent, server, time):
    """Let every tier land, have the server do something, and let every tier land again, two hours later."""
    land(agent)
    with server.connect() as connection:
        for _ in range(50):
            connection.execute("SELECT 1")
    time.ahead += 7200
    land(agent)


def scraped(watched, primary):
    """Return our families of a scrape, of a server that worked a little between two rounds."""
    time = ShiftedTime()
    with running.agent(watched.dsn("monitor"), time.clock()) as agent:
        read_twice(agent, primary, time)
        text = agent.exposition.encoded("text").decode()
    return [f for f in text_string_to_metric_families(text) if re.match("pg_|pgmon_", f.name)]


@pytest.fixture(scope="module")
def of_primary(server, standby):
    return scraped(server, server)


@pytest.fixture(scope="module")
def of_standby(server, standby):
    return scraped(standby, server)


# Label names of each family as its feature declares them, for families without a sample.
DECLARED = {
    family.name: family._labelnames
    for feature in FEATURES
    for family in Families(feature, None, "", Counter()).made.values()
}


def name_of(family):
    """Return a family's name as the page has it; the parser cuts that of counters."""
    return f"{family.name}_total" if family.type == "counter" else family.name


def shape_of(family):
    """Return the TYPE line of a family, with the label names of its samples."""
    found = {tuple(sorted(sample.labels)) for sample in family.samples} or {tuple(sorted(DECLARED[family.name]))}
    labels = " ".join("{" + ",".join(names) + "}" for names in sorted(found))
    return f"# TYPE {name_of(family)} {family.type} {labels}"


def compare(name, lines):
    """Compare lines with a golden file, and show the difference; or write it."""
    path, now = HERE / name, sorted(lines)
    if UPDATING:
        path.write_text("".join(f"{line}\n" for line in now))
    golden = path.read_text().splitlines()
    assert golden == now, "\n".join(["", *difflib.unified_diff(golden, now, name, "now", lineterm="", n=0)])


@pytest.mark.parametrize("kind", ["of_primary", "of_standby"])
def test_every_server_has_the_same_families_with_the_same_labels(kind, request, pg_version):
    compare("metrics.txt", map(shape_of, request.getfixturevalue(kind)))


def test_a_version_lacks_the_samples_that_it_lacked(of_primary, of_standby, pg_version):
    sampled = {name_of(family) for family in (*of_primary, *of_standby) if family.samples}
    lacking = {name_of(family) for family in of_primary} - sampled

    compare(f"absent.pg{pg_version}.txt", lacking - SOMETIMES)
