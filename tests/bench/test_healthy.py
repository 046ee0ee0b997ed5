"""A healthy server is quiet: ten minutes of pgmon's in one; `python tests/bench/healthy.py 60` watches a real hour."""

from __future__ import annotations

import pytest

from bench import healthy
from servers import NEWEST


@pytest.mark.slow
def test_ten_minutes_of_load_with_checkpoints_autovacuum_and_a_batch_are_quiet():
    seen = healthy.watch(NEWEST, minutes=10, speed=10)

    assert (seen.fired, seen.told) == ([], []), str(seen)
    assert seen.transactions > 3000
    assert seen.checkpoints >= 1
    assert seen.vacuums > 10
