"""Fixtures: real PostgreSQL servers of seven versions, a replica of each, a proxy before them."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager, nullcontext

import psycopg
import pytest
from hypothesis import settings
from packaging.specifiers import SpecifierSet
from pytest_postgresql import factories
from xdist.scheduler import LoadScopeScheduling

import fault_table
import servers
from fault_table import FaultTable
from proxy import Proxy
from servers import Server, Standby

# PGMON_EXAMPLES=10000 tries a hundred times as many texts where texts come from outside.
settings.register_profile(
    "pgmon", max_examples=int(os.environ.get("PGMON_EXAMPLES", "100")), deadline=None, database=None
)
settings.load_profile("pgmon")


def pytest_configure(config: pytest.Config) -> None:
    """Print the table of faults at the end."""
    config.pluginmanager.register(FaultTable())


def pytest_report_header() -> list[str]:
    """List the PostgreSQL servers found."""
    return [f"PostgreSQL {major}: {servers.find(major) or 'not found'}" for major in servers.MAJORS]


NEWEST = f"pg{servers.NEWEST}"


def version(nodeid: str) -> str:
    """Return the PostgreSQL version that a test is for, '' when it has none.

    >>> version("tests/pg/test_x.py::test_y[pg12-held]")
    'pg12'
    """
    found = re.search(r"\[.*\b(pg\d\d)\b", nodeid)
    return found[1] if found else ""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Count lines on the newest version only, and not in incidents: to count takes longer than to run.

    What they run of pgmon, others run as well.
    """
    counted = version(item.nodeid) in ("", NEWEST) and not item.get_closest_marker("alert")
    with nullcontext() if counted else uncounted():
        return (yield)


@contextmanager
def uncounted() -> Iterator[None]:
    """Let coverage count nothing for a while, neither here nor in processes that are started meanwhile."""
    here, threads = sys.gettrace(), threading.gettrace()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # by which it gets into them
        trace(None, None)
        try:
            yield
        finally:
            trace(here, threads)


def trace(here: Callable | None, threads: Callable | None) -> None:
    """Let a function of coverage, or none, follow this thread and those that start from now on."""
    sys.settrace(here)
    threading.settrace(threads)


APART = {"tests/pg/test_chaos.py"}  # its servers nobody shares


class SharedServers(LoadScopeScheduling):
    """Deals the tests out so that those of one PostgreSQL version, which share its server, stay with one worker."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file + version(nodeid) if file in APART else version(nodeid) or file


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> SharedServers:
    """Let `pytest -n 4` deal out by shared servers."""
    # By the number of tests, one that takes a minute would come last; by folder, tests/unit does, which is quick.
    config.option.loadscopereorder = False
    return SharedServers(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked pg(">= 14") on the versions they are not for; note the faults of each."""
    for item in items:
        fault_table.tell(item)
        for marker in item.iter_markers("pg"):
            if "pg_version" not in item.fixturenames:
                raise pytest.UsageError(f"{item.nodeid} is marked pg, but uses neither server nor pg_version")
            major = item.callspec.params["pg_version"]
            if str(major) not in SpecifierSet(marker.args[0]):
                item.add_marker(pytest.mark.skip(f"This needs PostgreSQL {marker.args[0]}, not {major}."))


def require(major: int) -> int:
    """Return `major` if it is installed; otherwise skip the test, or let it fail in CI."""
    if servers.find(major):
        return major
    missing = f"PostgreSQL {major} is not installed: run tests/pg/install or set PGMON_TEST_PG{major}."
    (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)


@pytest.fixture(scope="session", params=servers.MAJORS, ids="pg{}".format)
def pg_version(request: pytest.FixtureRequest) -> int:
    """Return each major version in turn; a test that uses it, or `server`, runs once for each."""
    return require(request.param)


@pytest.fixture(scope="session")
def server(pg_version: int) -> Iterator[Server]:
    """Return the prepared server of this version. All its tests share it: leave it as you found it."""
    with Server(pg_version) as running:
        servers.prepare(running)
        yield running


@pytest.fixture(scope="session")
def standby(server: Server) -> Iterator[Standby]:
    """Return a streaming replica of `server`, shared by the tests of its version."""
    with server.standby() as replica:
        yield replica


scratch_connection = factories.postgresql("server", dbname="scratch")


@pytest.fixture
def scratch(server: Server, scratch_connection: psycopg.Connection) -> psycopg.Connection:
    """Return pytest-postgresql's connection to an empty database made for this test, as superuser, no autocommit."""
    # It asks for its server by name, so only the parameter `server` here makes the test run once for each version.
    return scratch_connection


@pytest.fixture
def monitor_dsn(server: Server) -> str:
    """Return the connection string of the agent's role, which only has pg_monitor."""
    return server.dsn("monitor")


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    """Return a proxy before `server`: connect with server.dsn("monitor", port=proxy.port)."""
    with Proxy(server.host, server.port) as listening:
        yield listening


@pytest.fixture
def fresh_server() -> Iterator[Callable[..., Server]]:
    """Return a function that starts a prepared server to be destroyed: fresh_server(16, {"work_mem": "1MB"})."""
    with ExitStack() as started:

        def start(major: int = servers.NEWEST, settings: dict[str, str] | None = None, **further: bool) -> Server:
            running = started.enter_context(Server(require(major), settings, **further))
            servers.prepare(running)
            return running

        yield start
