"""One server for most faults: broken by a test, mended after it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

import servers
from conftest import require
from servers import Server, Standby
from watching import COUNT


@pytest.fixture(scope="session")
def patient() -> Iterator[Server]:
    """Return the server that the tests of this folder break one after the other."""
    settings = {"max_connections": "20", "restore_command": "false", "log_connections": "on"}
    with Server(16, settings) as running:
        servers.prepare(running)
        yield running


@pytest.fixture
def server(patient: Server) -> Iterator[Server]:
    """Return the shared server, running; afterwards it runs again, and nobody of pgmon is left in it."""
    yield from mended(patient)


def mended(server: Server) -> Iterator[Server]:
    """Lend a server to a test, and see that it runs and is empty afterwards."""
    yield server
    server.thaw()
    if not server.running():
        server.start()
    server.wait_for(COUNT, 0)


@pytest.fixture(scope="session")
def _others() -> Iterator[Callable[[int], Server]]:
    """Return a function that starts a server of another version, once."""
    with ExitStack() as started:

        @functools.cache
        def other(major: int) -> Server:
            running = started.enter_context(Server(require(major)))
            servers.prepare(running)
            return running

        yield other


@pytest.fixture
def oldest(_others: Callable[[int], Server]) -> Iterator[Server]:
    """Return a server of the oldest version, to be broken and mended as `server` is."""
    yield from mended(_others(servers.MAJORS[0]))


@pytest.fixture
def newest(_others: Callable[[int], Server]) -> Iterator[Server]:
    """Return a server of the newest version, to be broken and mended as `server` is."""
    yield from mended(_others(servers.NEWEST))


@pytest.fixture
def replica(server: Server) -> Iterator[Standby]:
    """Return a standby of the shared server, to be broken."""
    with server.standby(settings={"max_standby_streaming_delay": "0"}) as standby:
        yield standby
