"""The guard: when it judges, what it lets through, and what it takes over from the hourly loop."""

from __future__ import annotations

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from fakes import FACTS, FakeDoor, FakeTime
from pgmon.config import Config
from pgmon.errors import Kind, QueryError
from pgmon.feature import Tier
from pgmon.features.privileges import GRANTS, PRIVILEGES
from pgmon.findings import Privilege
from pgmon.guard import JUDGED, SHOWN, Guard
from pgmon.refresh import Refresher
from pgmon.snapshot import Cadence, Snapshot

INSERT = Privilege("table", ["INSERT"], "public.t", "app", "monitor", "", [], "")
CURE = "REVOKE INSERT ON TABLE public.t FROM monitor"


class Bench:
    """A guard over a fake door, in whose database `app` the role has some privileges."""

    def __init__(self, *privileges: Privilege, enforce: bool = True) -> None:
        self.privileges = list(privileges)
        self.failing: dict[str, QueryError] = {}  # by database
        self.door, self.time = Failing(self), FakeTime()
        self.refused: list[bool] = []
        cadence = Cadence(3600, 10, 10800)
        self.read = Refresher(
            Tier.HOURLY, JUDGED, self.door, cadence, Config(), lambda dbs: list(dbs), self.time, {}.get
        )
        self.guard = Guard(self.door, self.read, enforce, self.time, lambda: self.refused.append(True))

    def look(self):
        return self.guard.facts("", Tier.HOT_PATH, 2000.0)

    def hour(self, before: Snapshot | None = None) -> Snapshot:
        """Let the hourly loop read, and the guard hear it."""
        self.time.now += 3600
        snapshot = self.read(before)
        self.guard(snapshot)
        return snapshot


class Failing(FakeDoor):
    """A door that fails in some databases."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(lambda name: [])
        self.bench = bench

    def ask(self, feature, facts, params, deadline):
        """Return what the role may do in `app`, or fail."""
        super().ask(feature, facts, params, deadline)
        if failure := self.bench.failing.get(facts.db):
            raise failure
        found = self.bench.privileges if (feature.name, facts.db) == ("grants", "app") else []
        return f"SELECT {feature.name}", list(found)


def test_a_clean_role_is_judged_once_per_server_in_every_database():
    bench = Bench()

    bench.look()
    bench.look()

    assert bench.door.asked == [("privileges", "app"), ("grants", "app"), ("grants", "postgres")]
    assert bench.guard.state == "passed"


def hourly_asks(bench: Bench) -> list[tuple[str, str]]:
    """Let the hourly loop ask the guard for what it judges; return what was asked of the door meanwhile."""
    before, facts = len(bench.door.asked), replace(FACTS, db="app")
    for feature in JUDGED:
        bench.guard.ask(feature, facts, {}, 2000.0)
    return bench.door.asked[before:]


def test_what_was_judged_just_now_is_not_asked_again():
    bench = Bench(INSERT, enforce=False)
    bench.look()

    facts = replace(FACTS, db="app")
    assert bench.guard.ask(GRANTS, facts, {}, 2000.0) == ("SELECT grants", [INSERT])
    assert bench.guard.ask(PRIVILEGES, facts, {}, 2000.0) == ("SELECT privileges", [])
    assert len(bench.door.asked) == 3


@pytest.mark.parametrize("seconds", [0.0, 3600.0])
def test_it_is_asked_again_an_hour_later_whether_or_not_it_was_taken_over(seconds):
    bench = Bench()
    bench.look()
    bench.time.now += seconds
    hourly_asks(bench)
    bench.time.now += 3600

    assert len(hourly_asks(bench)) == 2


@pytest.mark.parametrize("change", [{"system_identifier": "8"}, {"role": "other"}], ids=["server", "role"])
def test_what_was_not_seen_before_is_judged_anew(change):
    bench = Bench()
    bench.look()

    bench.door.seen = replace(FACTS, **change)
    bench.look()

    assert len(bench.door.asked) == 6


def test_a_role_that_can_write_is_refused_every_time():
    bench = Bench(INSERT)

    for _ in range(2):
        with pytest.raises(QueryError, match=CURE) as caught:
            bench.look()

    assert caught.value.kind is Kind.REFUSED
    assert bench.refused == [True, True]


def test_not_enforced_the_findings_are_told_and_the_work_goes_on():
    bench = Bench(INSERT, enforce=False)

    with capture_logs() as logs:
        bench.look()

    told = [line["cure"] for line in logs if line["log_level"] == "error"]
    assert (told, bench.refused, bench.guard.state) == ([CURE], [], "not enforced: the role can write")


@pytest.mark.fault("F92")
def test_a_server_that_could_not_be_judged_is_not_asked():
    bench = Bench()
    bench.failing["app"] = QueryError(Kind.TIMEOUT, "too slow")

    for _ in range(2):
        with pytest.raises(QueryError, match="privileges of the role are not known: too slow"):
            bench.look()

    assert bench.guard.state == "not judged yet"


def test_another_database_that_does_not_tell_is_said_and_holds_nothing_up():
    bench = Bench()
    bench.failing["postgres"] = QueryError(Kind.SATURATED, "full")

    with capture_logs() as logs:
        bench.look()

    assert bench.guard.unknown == {"postgres": "full"}
    assert [(line["db"], line["reason"]) for line in logs if line["log_level"] == "warning"] == [("postgres", "full")]


def test_a_long_list_is_shown_in_part():
    bench = Bench(*(replace(INSERT, object=f"public.t{n}") for n in range(30)))
    with pytest.raises(QueryError):
        bench.look()

    assert bench.guard.verdict.count("REVOKE") == SHOWN
    assert "… and 10 more" in bench.guard.verdict


# --- the hourly loop --------------------------------------------------------------------------------------------------


@pytest.mark.fault("F25")
def test_a_privilege_gained_later_is_refused():
    bench = Bench()
    bench.look()

    bench.privileges.append(INSERT)
    bench.hour()

    assert bench.refused == [True]
    with pytest.raises(QueryError, match=CURE):
        bench.look()


def test_a_finding_is_told_once():
    bench = Bench(INSERT, enforce=False)
    bench.look()

    with capture_logs() as logs:
        bench.hour()

    assert logs == []


def test_what_the_hourly_loop_could_not_read_is_as_it_was():
    bench = Bench(INSERT, enforce=False)
    bench.look()

    bench.failing["app"] = QueryError(Kind.TIMEOUT, "too slow")
    bench.hour()

    assert [f.cure for f in bench.guard.findings] == [CURE]
    assert bench.guard.unknown == {"": "too slow", "app": "too slow"}


def test_a_database_that_is_gone_takes_its_findings_along():
    bench = Bench(INSERT, enforce=False)
    bench.look()

    bench.door.seen = replace(FACTS, db="postgres", databases=["postgres"])
    bench.hour()

    assert bench.guard.findings == []


def test_a_loop_without_connection_says_nothing_of_privileges():
    bench = Bench(INSERT, enforce=False)
    bench.look()

    bench.guard(Snapshot(0.0, 0.0, failure=QueryError(Kind.UNREACHABLE, "nobody answers")))

    assert [f.cure for f in bench.guard.findings] == [CURE]
