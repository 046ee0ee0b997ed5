"""A few hours of an agent under faults leave nothing behind; `soak.py cycles 100000` is the same for weeks."""

from __future__ import annotations

import pytest

from bench import soak

CYCLES = 200  # of a minute


@pytest.mark.slow
@pytest.mark.fault("F85")
def test_an_agent_that_lives_long_keeps_no_more_and_answers_throughout():
    with soak.soaking() as run:
        run.faults = run.faults[:3]  # after which sessions are there again at once
        grown = run.run(CYCLES, fault_every=20, step=60)

    assert grown == []
    assert (run.refreshes, run.failed) == (CYCLES, 0)
    assert run.proxy.accepted > CYCLES // 20  # what each fault ended was opened again


def test_what_grows_is_told(capsys):
    course = soak.Course()
    for n in range(40):
        course.note({"rss_mb": 80.0 + n, "threads": 7, "fds": 20 + n % 2})

    assert course.verdict() == ["rss_mb"]


def test_everything_that_is_kept_is_counted():
    assert soak.kept({"a": [1, 2], "b": ({3},)}) == 2 + 2 + 1 + 1
