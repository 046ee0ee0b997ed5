"""A warm scrape stays as cheap as it is, and the agent as small."""

from __future__ import annotations

import pytest

from bench.side_by_side import as_a_process, exceeded
from conftest import require
from servers import Server, prepare


@pytest.fixture(scope="module")
def measured():
    with Server(require(16)) as server:
        prepare(server)
        return as_a_process(server)


@pytest.mark.slow
def test_a_scrape_and_the_agent_keep_their_limits(measured):
    assert list(exceeded(measured)) == []
