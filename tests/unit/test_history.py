"""What is kept for the pages to draw: an hour of a few features, and their first reading."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pgmon.errors import Kind
from pgmon.feature import Tier
from pgmon.features.connections import CONNECTIONS
from pgmon.features.locks import LOCKS
from pgmon.features.tables import DATABASE_SIZE, SIZES
from pgmon.history import History
from pgmon.snapshot import Cadence, Reading, Snapshot
from pgmon.web.series import drawn

EVERY = 15.0


@pytest.fixture
def history():
    return History(dict.fromkeys(Tier, Cadence(EVERY, 1, 60)))


def hear(history, taken, rows=("rows",), feature=CONNECTIONS, **changed):
    """Let the history hear a snapshot with one reading."""
    reading = replace(Reading(feature, "", rows=rows, taken=taken), **changed)
    history(Snapshot(taken, taken + EVERY, readings={(feature.name, ""): reading}))


@pytest.mark.fault("F85")
def test_it_keeps_an_hour_and_the_first_reading(history):
    for n in range(1000):
        hear(history, n * EVERY, (n,))
    kept = history.of(CONNECTIONS)

    assert (kept[0].taken, kept[-1].taken) == (999 * EVERY - 3600, 999 * EVERY)
    assert history.first(CONNECTIONS).rows == (0,)


def test_a_reading_that_failed_or_is_known_is_not_kept(history):
    hear(history, 0.0)
    hear(history, 0.0)
    hear(history, 15.0, failure=Kind.TIMEOUT)

    assert [s.taken for s in history.of(CONNECTIONS)] == [0.0]


def test_of_other_features_nothing_is_kept(history):
    hear(history, 0.0, feature=LOCKS)

    assert history.of(LOCKS) == ()
    assert history.first(LOCKS) is None


def test_of_a_database_that_is_gone_nothing_is_kept(history):
    def seen(taken, *dbs):
        readings = {("sizes", db): Reading(SIZES, db, rows=(taken,), taken=taken) for db in dbs}
        readings["database_size", "postgres"] = Reading(DATABASE_SIZE, "postgres")
        history(Snapshot(taken, taken + EVERY, readings=readings))

    hear(history, 0.0)
    seen(0.0, "app", "old")
    seen(15.0, "app")

    assert [len(history.of(SIZES, db)) for db in ("app", "old")] == [2, 0]
    assert history.first(SIZES, "old") is None
    seen(30.0)
    assert history.of(SIZES, "app") == ()
    assert history.of(CONNECTIONS)  # which another loop reads


def test_what_was_not_read_is_a_hole():
    points = [(0, 1.0), (15, 1.0), (60, 2.0), (75, 2.0)]

    assert drawn(points, 76, 15) == [1.0, 1.0, 1.0, None, 2.0, 2.0]
    assert drawn(points, 150, 15)[-1] is None  # nothing came since
    assert drawn([], 76, 15) == drawn([(0, None)], 76, 15) == []
