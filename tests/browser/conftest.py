"""Fixtures: a browser, and pgmon serving a real server on which things go wrong."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, sync_playwright

import running
import servers
from browsing import AXE, QUIET, Site, Visitor
from pgmon.incidents import relations, sessions
from reading import landed
from servers import Server

HOSTILE = (
    "<script>window.hacked=1</script>",
    "<img src=x onerror=window.hacked=1>",
    "{{7*7}}",
    "\"'> \u202e\n",
    "😀" * 15,
)
PARTED = "<svg onload=window.hacked=1>{{7*7}}"
PARTITIONED = f"""CREATE TABLE "{PARTED}" (id int) PARTITION BY RANGE (id);
CREATE TABLE "{PARTED} of" PARTITION OF "{PARTED}" FOR VALUES FROM (0) TO (9)"""


def missing(what: str) -> None:
    """Skip the test; in CI, where everything is to be there, let it fail."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(what)


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """Return pgmon before a server with hostile names, waiting sessions, dead rows and a gap between partitions."""
    if not servers.find(servers.NEWEST):
        missing("PostgreSQL is not installed: run tests/pg/install")
    limits = {"ALERTS_BLOCKED_WARN_S": "0", "ALERTS_IDLE_TXN_WARN_S": "0", "ALERTS_IDLE_TXN_CRIT_S": "0.1"}
    with ExitStack() as stack:
        server = stack.enter_context(Server(servers.NEWEST))
        servers.prepare(server)
        with server.connect(dbname="app") as connection:
            for name in HOSTILE:
                connection.execute('CREATE TABLE "{}" (id int)'.format(name.replace('"', '""')))
            connection.execute(PARTITIONED)
        dsn = server.dsn(dbname="app")
        for incident in (sessions.blocking_chain, relations.partition_gap, relations.sequence_near_its_end):
            stack.enter_context(incident.on(dsn, dsn))
        agent = stack.enter_context(running.agent(server.dsn("monitor"), CLUSTER="<b>prod</b>", **limits))
        landed(agent)
        yield Site(stack.enter_context(running.serving(agent)), agent, server)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Return the system's Chromium, headless."""
    program = shutil.which("chromium")
    if not program:
        missing("Chromium is not installed: apt-get install chromium")
    if not AXE.is_file():
        missing("axe-core is not installed: run tests/browser/install")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=QUIET)
        yield started
        started.close()


@pytest.fixture
def visit(browser: Browser, site: Site):
    """Return a function that makes a visitor: visit(javascript=False, width=360)."""
    with ExitStack() as contexts:

        def make(width: int = 1280, javascript: bool = True, dark: bool = False) -> Visitor:
            context = browser.new_context(
                viewport={"width": width, "height": 800},
                color_scheme="dark" if dark else "light",
                java_script_enabled=javascript,
                permissions=["clipboard-read", "clipboard-write"],
            )
            contexts.callback(context.close)
            return Visitor(context, site.url)

        yield make
