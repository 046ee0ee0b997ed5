"""A healthy server is quiet: ten minutes of pgmon's in less than one; tests/bench/healthy.py watches a real hour."""

from __future__ import annotations

import pytest

from bench import healthy
from servers import NEWEST


@pytest.mark.slow
def test_ten_minutes_of_load_with_checkpoints_autovacuum_and_a_batch_are_quiet():
    seen = healthy.watch(NEWEST, minutes=10, speed=15)

    assert (seen.fired, seen.told) == ([], []), str(seen)
    assert seen.transactions > 2000
    assert seen.checkpoints >= 1
    assert seen.vacuums > 10
