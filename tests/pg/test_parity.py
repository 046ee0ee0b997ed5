"""Some incidents before a real Prometheus and Alertmanager, too; tests/bench/parity.py plays all of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_httpserver import HTTPServer

from bench.parity import Both, both
from conftest import require
from pgmon.incidents import relations, sessions
from servers import NEWEST

# One that explains others, one that has to last, one that is critical.
SELECTION = (sessions.lock_queue, relations.dead_tuples, relations.sequence_near_its_end)


@pytest.fixture(scope="module")
def watched(make_httpserver: HTTPServer) -> Iterator[Both]:
    """Return an agent on duty, and Prometheus with it."""
    with both(require(NEWEST), make_httpserver) as made:
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("incident", SELECTION, ids=lambda incident: incident.name)
def test_prometheus_fires_what_the_engine_fires_and_alertmanager_knows_it(watched, incident):
    engine, found = watched.play(incident)

    assert incident.alert in {name for name, _ in engine}
    assert engine == found
