"""Clocks that jump: the server's, and the agent's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import servers
from running import value
from servers import Server
from surviving import Survivor
from watching import commit

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
HOUR = 3600


class Jumping(Server):
    """A server whose clock can be set: libfaketime reads by how much it is off from a file."""

    @property
    def envvars(self) -> dict[str, str]:
        """Return the environment in which it runs."""
        faked = {"LD_PRELOAD": str(LIBRARY), "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        return {**os.environ, **faked, "FAKETIME_TIMESTAMP_FILE": str(self.folder / "clock")}

    def start(self) -> Server:
        """Start it with a clock that is right."""
        self.jump(0)
        return super().start()

    def jump(self, seconds: float) -> None:
        """Set the clock so far ahead, or behind."""
        file = self.folder / "clock.new"
        file.write_text(f"{seconds:+}")
        file.chmod(0o644)
        file.rename(self.folder / "clock")


@pytest.fixture(scope="module")
def jumping() -> Iterator[Jumping]:
    """Return a server whose clock can be set."""
    if LIBRARY is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            "libfaketime is not installed: apt-get install faketime."
        )
    with Jumping(16) as server:
        servers.prepare(server)
        yield server


@pytest.mark.fault("F37")
@pytest.mark.parametrize("hours", [1, -1], ids=["ahead", "back"])
def test_a_servers_clock_that_jumps_makes_no_age_negative_and_no_rate_absurd(jumping, hours):
    with Survivor(jumping) as watch, jumping.connect() as idle:
        idle.execute("BEGIN; SELECT 1")
        watch.scrape()
        watch.landed(60)
        jumping.jump(hours * HOUR)
        try:
            seen = [watch.landed(60) for _ in range(2)]
        finally:
            jumping.jump(0)
        seen += [watch.landed(60) for _ in range(2)]

        for samples in seen:
            assert (value(samples, "pg_up"), watch.failed(samples)) == (1, {})
            ages = {name for name in samples if name.startswith("pg_") and name.endswith("_seconds")} - WALL
            assert {name: v for name in ages for v in samples[name].values() if v < 0} == {}
            for rate in ("pg_tps", "pg_qps"):
                assert all(0 <= v < 100 for v in samples.get(rate, {}).values())


# What is a moment, and no age.
WALL = {"pg_incarnation_timestamp_seconds", "pg_start_time_seconds"}


@pytest.mark.fault("F38")
@pytest.mark.parametrize("days", [1, -1], ids=["ahead", "back"])
def test_an_agents_wall_clock_that_jumps_is_of_no_consequence(server, days):
    with Survivor(server) as watch:
        watch.scrape()
        watch.landed(60)
        watch.time.wall_ahead = days * 24 * HOUR
        commit(server, 1000)
        samples = watch.landed(60)

        assert (value(samples, "pg_up"), watch.failed(samples)) == (1, {})
        assert 1000 / 90 < value(samples, "pg_tps", db="postgres") < 2000 / 60


@pytest.mark.fault("F38")
def test_after_an_hour_of_sleep_a_rate_is_that_of_the_hour(server):
    with Survivor(server) as watch:
        watch.scrape()
        watch.landed(60)
        commit(server, 100_000)
        samples = watch.scrape(HOUR)

        assert (value(samples, "pg_up"), watch.failed(samples)) == (1, {})
        assert 100_000 / HOUR * 0.9 < value(samples, "pg_tps", db="postgres") < 110_000 / HOUR
