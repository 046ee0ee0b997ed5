"""What is usual, learned from days that pass in no time."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from pgmon.baseline import DAY, HOUR, LAG, Baseline

MIB = 1024.0 * 1024.0
WINDOW, STEP = 900.0, 300.0


def lived(seconds: float, rate: Callable[[float], float], baseline: Baseline | None = None) -> list[Baseline]:
    """Return the baselines after each reading, of a counter that grows at a rate by the time."""
    found, counted = [baseline or Baseline().followed(0.0, 0.0, WINDOW)], 0.0
    if baseline:
        counted = baseline.trail[-1][1]
    for _ in range(int(seconds / STEP)):
        at = found[-1].trail[-1][0]
        counted += rate(at) * STEP
        found.append(found[-1].followed(counted, STEP, WINDOW))
    return found


def steady(at: float) -> float:
    return MIB


def stands_out(baseline: Baseline) -> bool:
    off, times = baseline.deviations(WINDOW), baseline.times_mean(WINDOW)
    return off is not None and times is not None and off > 3 and times > 3


def test_nothing_is_unusual_until_a_day_was_learned():
    days = lived(2 * DAY, steady)

    known = next(b for b in days if b.deviations(WINDOW) is not None)
    assert known.trail[-1][0] == pytest.approx(DAY + LAG, abs=2 * WINDOW)


def test_a_steady_rate_is_its_own_mean():
    last = lived(3 * DAY, steady)[-1]

    assert (last.rate(WINDOW), last.times_mean(WINDOW)) == (MIB, pytest.approx(1.0))
    assert last.mean == pytest.approx(MIB)


def test_a_surge_stands_out_for_two_hours_and_then_becomes_usual():
    before = lived(2 * DAY, steady)[-1]
    surge = lived(DAY, lambda at: 50 * MIB, before)

    start = before.trail[-1][0]
    unusual = [b.trail[-1][0] - start for b in surge if stands_out(b)]
    assert unusual[0] <= STEP
    assert LAG - WINDOW <= unusual[-1] <= LAG + 2 * WINDOW


def test_what_happens_every_night_is_usual_though_it_is_far_off_the_mean():
    nightly = lambda at: 100 * MIB if 2 <= at % DAY / HOUR < 3 else MIB * (2 + math.sin(at / DAY * 2 * math.pi))  # noqa: E731

    assert not [b for b in lived(14 * DAY, nightly) if stands_out(b)]


def test_the_same_at_another_time_of_the_day_stands_out():
    odd = lambda at: 100 * MIB if 2 <= at % DAY / HOUR < 3 or 5 * DAY + 14 * HOUR <= at < 5 * DAY + 15 * HOUR else MIB  # noqa: E731

    unusual = {b.trail[-1][0] // DAY for b in lived(14 * DAY, odd) if stands_out(b)}
    assert unusual == {5.0}


def test_where_nothing_ever_happened_a_little_is_many_deviations():
    before = lived(2 * DAY, lambda at: 0.0)[-1]

    assert stands_out(lived(STEP, lambda at: 10.0, before)[-1])
