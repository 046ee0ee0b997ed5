"""What happened to a server, told by the facts of two flights."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fakes import FACTS, FakeTime
from pgmon.changes import Incarnations
from pgmon.errors import Kind, QueryError
from pgmon.snapshot import Snapshot

RUNNING = replace(FACTS, start_time=1.0, checkpointer_start=2.0, timeline=1, in_recovery=False)


def heard(*changes: dict[str, object]) -> Incarnations:
    """Return what is remembered after a server that was running looked like this, one flight after the other."""
    time = FakeTime()
    incarnations = Incarnations(time)
    for change in ({}, *changes):
        time.now += 15
        incarnations(Snapshot(time.now, time.now, facts=replace(RUNNING, **change)))
    return incarnations


def test_a_server_that_runs_on_is_no_news():
    seen = heard({}, {})

    assert (seen.restarted, seen.changed_role) == (None, None)


@pytest.mark.parametrize(
    ("change", "how"),
    [
        ({"start_time": 9.0, "checkpointer_start": 9.0}, "restarted"),
        ({"checkpointer_start": 9.0}, "crashed and recovered"),
        ({"checkpointer_start": None}, ""),
    ],
)
def test_a_start_is_a_restart_or_a_crash(change, how):
    seen = heard(change)

    assert (seen.how, seen.restarted) == (how, 1030.0 if how else None)
    assert seen.changed_role is None


@pytest.mark.parametrize(
    ("change", "role"),
    [
        ({"in_recovery": True}, "is a standby now"),
        ({"system_identifier": "8"}, "is another one behind the same address"),
        ({"timeline": 2, "start_time": 9.0}, "is another one behind the same address"),
        ({"timeline": 2}, ""),
    ],
)
def test_a_role_changes_or_another_server_answers(change, role):
    seen = heard(change)

    assert (seen.role, seen.changed_role) == (role, 1030.0 if role else None)
    assert seen.restarted is None


def test_a_promotion_is_told_once_though_its_timeline_follows_later():
    seen = heard({"in_recovery": True}, {}, {"timeline": 2})

    assert (seen.role, seen.changed_role, seen.restarted) == ("is the primary now", 1045.0, None)


def test_an_outage_in_between_does_not_hide_a_restart():
    time = FakeTime()
    incarnations = Incarnations(time)
    for facts, failure in (
        (RUNNING, None),
        (RUNNING, QueryError(Kind.UNREACHABLE, "no answer")),
        (replace(RUNNING, start_time=9.0), None),
    ):
        incarnations(Snapshot(time.now, time.now, facts=facts, failure=failure))

    assert incarnations.how == "restarted"
