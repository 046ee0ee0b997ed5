"""One server for most faults: broken by a test, mended after it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import servers
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
    yield patient
    patient.thaw()
    if not patient.running():
        patient.start()
    patient.wait_for(COUNT, 0)


@pytest.fixture
def replica(server: Server) -> Iterator[Standby]:
    """Return a standby of the shared server, to be broken."""
    with server.standby(settings={"max_standby_streaming_delay": "0"}) as standby:
        yield standby
