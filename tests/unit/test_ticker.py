"""The ticker: nobody would be told that nobody is told any more."""

from __future__ import annotations

import threading

import pytest

from pgmon.agent import Agent
from running import configured
from servers import free_port
from watching import eventually


class Stumbling(Agent):
    """An agent whose first tick fails."""

    def tick(self) -> None:
        """Fail, then say that it went on."""
        self.ticks = getattr(self, "ticks", 0) + 1
        if self.ticks == 1:
            raise RuntimeError("a bug")
        went_on.set()


went_on = threading.Event()


def tickers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "pgmon-ticker"]


@pytest.mark.fault("F79", "F83")
def test_a_tick_that_fails_is_not_the_last():
    agent = Stumbling(configured(f"host=127.0.0.1 port={free_port()}", SAMPLE_INTERVALS_HOT_PATH="1s"))
    agent.start()

    assert went_on.wait(5)
    agent.close()
    eventually(lambda: not tickers())


def test_without_alerts_nothing_ticks():
    agent = Stumbling(configured(f"host=127.0.0.1 port={free_port()}", ALERTS_ENABLED="false"))
    agent.start()

    assert not tickers()
    agent.close()
