"""The cost of an hour stays what it was."""

from __future__ import annotations

import pytest

import servers
from bench import own_cost


@pytest.fixture(scope="module")
def hour():
    return own_cost.measure(servers.NEWEST)


@pytest.mark.slow
def test_an_hour_costs_an_idle_server_less_than_two_and_a_half_seconds_of_cpu(hour):
    assert hour.backend_seconds < 2.5  # 1.6 alone on the machine


@pytest.mark.slow
def test_few_sessions_are_opened(hour):
    assert hour.connects <= 60


@pytest.mark.slow
def test_the_cost_told_is_that_of_pg_stat_statements(hour):
    assert hour.told_seconds == pytest.approx(hour.statements_seconds, rel=0.05)
