"""Fixtures: an agent that has read a server of each version, and whoever asks it over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

import running
from fakes import HaltingTime
from pgmon.agent import Agent
from pgmon.web import create_app
from reading import landed
from servers import Server


@pytest.fixture(scope="module")
def watching(server: Server) -> Iterator[Agent]:
    """Return an agent that has read everything once, and whose time stands still."""
    time = HaltingTime()
    with running.agent(server.dsn("monitor"), time.clock()) as agent:
        landed(agent)
        time.halt()
        yield agent


@pytest.fixture
def client(watching: Agent) -> FlaskClient:
    """Return who asks that agent."""
    return create_app(watching).test_client()
