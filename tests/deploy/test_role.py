"""examples/role.sql makes the role that pgmon wants, on every version."""

from __future__ import annotations

import json

import pytest

import running
from running import ROOT
from servers import Server

ROLE = (ROOT / "examples" / "role.sql").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def checked(pg_version):
    """Return what `pgmon check` finds on a server as initdb leaves it, to which role.sql was given, twice."""
    with Server(pg_version) as server:
        for dbname in ("template1", "postgres", "template1"):
            with server.connect(dbname=dbname) as connection:
                connection.execute(ROLE)
        with server.connect() as connection:
            connection.execute("CREATE DATABASE later")
        code, said = running.command("check", "--json", dsn=server.dsn("pgmon"))
    return {"code": code, **json.loads(said)}


def test_the_guard_has_nothing_against_the_role(checked):
    assert (checked["code"], checked["not_judged"]) == (0, [])
    assert {f["severity"] for f in checked["findings"]} == {"info"}


def test_everything_that_the_version_has_is_read(checked):
    unread = {each["feature"]: each["verdict"] for each in checked["plan"] if each["verdict"] != "ok"}

    assert [verdict for verdict in unread.values() if not verdict.startswith("not_supported")] == []


def test_a_database_made_later_is_watched_and_needs_nothing(checked):
    assert checked["databases"] == ["later", "postgres"]
