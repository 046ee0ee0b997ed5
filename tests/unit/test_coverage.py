"""What pgmon says of what it could not read."""

from __future__ import annotations

import pytest

from pgmon.errors import Kind
from pgmon.feature import Scope, Tier, detail, feature, row
from pgmon.own import coverage
from pgmon.remedy import REMEDIES, remedy
from pgmon.snapshot import Reading


@row
class Row:
    """A row."""

    n: int = detail("A number.")


FEATURE = feature("sizes", Tier.STORAGE, Row, scope=Scope.DATABASE)


def read(db: str, failure: Kind | None = None, message: str = "") -> Reading:
    return Reading(FEATURE, db, taken=1.0, failure=failure, message=message)


def test_what_was_read_everywhere_is_ok():
    check = coverage(FEATURE, [read("a"), read("b")], "pgmon")

    assert (check.check, check.status, check.databases, check.why, check.remedy) == ("sizes", "ok", "", "", "")


@pytest.mark.parametrize(("elsewhere", "status"), [([read("a")], "ok"), ([], "waiting")])
def test_a_database_that_waits_for_its_turn_says_nothing_of_the_others(elsewhere, status):
    check = coverage(FEATURE, [*elsewhere, read("b", Kind.WAITING, "it has yet to be read")], "pgmon")

    assert check.status == status


def test_what_failed_in_some_databases_is_degraded_and_says_where_and_why():
    check = coverage(FEATURE, [read("a"), read("b", Kind.LOCKED, "lock timeout")], "pgmon")

    assert (check.status, check.databases, check.why) == ("degraded", "b", "lock timeout")
    assert check.remedy == REMEDIES[Kind.LOCKED]


def test_what_failed_everywhere_has_its_own_status():
    assert coverage(FEATURE, [read("a", Kind.DENIED), read("b", Kind.DENIED)], "pgmon").status == "denied"


def test_a_denial_is_cured_by_a_grant_to_the_role():
    check = coverage(FEATURE, [read("a", Kind.DENIED, "permission denied for view pg_hidden")], 'the "role"')

    assert check.remedy == 'GRANT SELECT ON pg_hidden TO "the ""role"""'


def test_a_timeout_names_the_key_of_its_loop():
    assert "budgets.storage" in coverage(FEATURE, [read("a", Kind.TIMEOUT)], "pgmon").remedy


def test_what_the_server_does_not_have_needs_no_remedy():
    assert coverage(FEATURE, [read("a", Kind.UNSUPPORTED, "needs PostgreSQL 16")], "pgmon").remedy == ""


@pytest.mark.parametrize("kind", sorted(set(Kind) - {Kind.UNSUPPORTED, Kind.REFUSED}))
def test_every_other_failure_has_a_remedy(kind):
    assert remedy(kind, "", "pgmon", "storage")
