"""Fixtures: an agent that has read a server of each version, and whoever asks it over HTTP."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

import running
from chaos import means
from duty import FIRED
from fakes import HaltingTime
from pgmon.agent import Agent
from pgmon.web import create_app
from reading import landed
from servers import Server


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """See that what a test says it lets fire did fire, by that very rule."""
    FIRED.clear()
    outcome = yield
    for mark in pyfuncitem.iter_markers("alert"):
        assert any(means(rule, *mark.args) for rule in FIRED), f"did not fire: {' '.join(mark.args)}"
    return outcome


@pytest.fixture(scope="module")
def watching(server: Server) -> Iterator[Agent]:
    """Return an agent that has read everything once, and whose time stands still."""
    time = HaltingTime()
    with running.agent(server.dsn("monitor"), time.clock()) as agent:
        landed(agent)
        time.halt()
        yield agent


@pytest.fixture(scope="module")
def site(watching: Agent) -> Flask:
    """Return what that agent serves: it compiles its pages once."""
    return create_app(watching)


@pytest.fixture
def client(site: Flask) -> FlaskClient:
    """Return who asks that agent."""
    return site.test_client()
