"""One flight: who is asked, what is kept, when it is tried again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fakes import FACTS, FakeDoor, FakeTime
from pgmon.config import Config, Limits
from pgmon.errors import Kind, QueryError
from pgmon.feature import Before, Feature, Role, Scope, Tier, counter, feature, gauge, label, row
from pgmon.refresh import LEAST_SHARE, RECONNECT, RETRY, Refresher
from pgmon.snapshot import Cadence, Reading, Snapshot


@row
class One:
    """One number."""

    n: int = gauge("pg_one", "One.")


def plain(name: str, **rest: Any) -> Feature[One, One]:
    return feature(name, Tier.HOT_PATH, One, **rest)


def derived(name: str, derive: Callable[..., Any], **rest: Any) -> Feature[One, One]:
    return Feature(name, Tier.HOT_PATH, One, One, derive, **rest)


class Bench:
    """A refresher over a fake door, flown again and again."""

    def __init__(self, features: list[Feature[Any, Any]], answer=lambda name: [One(1)], ttl=15.0, budget=1.0) -> None:
        self.time, self.door = FakeTime(), FakeDoor(answer)
        self.snapshot: Snapshot | None = None
        config = Config(limits=Limits(top_relations=50))
        chosen = lambda databases: list(databases)  # noqa: E731
        self.others: dict[Tier, Snapshot] = {}
        cadence = Cadence(ttl, budget, 60)
        self._plan = Refresher(
            Tier.HOT_PATH, features, self.door, cadence, config, chosen, self.time, lambda tier: self.others.get(tier)
        )

    def fly(self) -> Snapshot:
        self.snapshot = self._plan(self.snapshot)
        return self.snapshot

    def reading(self, name: str, db: str = ""):
        return self.snapshot.readings[name, db]

    @property
    def asked(self) -> list[str]:
        return [name for name, _ in self.door.asked]


def failing(kind: Kind, *names: str) -> Callable[[str], list[One]]:
    def answer(name: str) -> list[One]:
        if not names or name in names:
            raise QueryError(kind, "it failed")
        return [One(1)]

    return answer


def test_a_reading_holds_the_text_that_was_sent():
    bench = Bench([plain("f")])

    bench.fly()

    assert bench.reading("f").sql == "SELECT f"


def test_a_reading_is_due_a_second_before_its_ttl():
    bench = Bench([plain("f")], ttl=15)

    assert bench.fly().due == bench.time.now + 14


def test_a_short_ttl_gives_up_a_tenth_of_itself():
    bench = Bench([plain("f")], ttl=2, budget=1)

    assert bench.fly().due == pytest.approx(bench.time.now + 1.8)


def test_the_last_good_rows_survive_failures_with_their_age():
    bench = Bench([plain("f")])
    bench.fly()
    taken = bench.time.now
    bench.door.answer = failing(Kind.TIMEOUT)

    for _ in range(3):
        bench.time.now += 100
        bench.fly()

    reading = bench.reading("f")
    assert (reading.rows, reading.taken, reading.failure, reading.failures) == ([One(1)], taken, Kind.TIMEOUT, 3)


def test_a_success_after_failures_compares_with_the_last_good_reading():
    seen: list[Before[One, One] | None] = []

    def derive(raw, before, config):
        seen.append(before)
        return raw

    bench = Bench([derived("f", derive)])
    bench.fly()
    bench.door.answer = failing(Kind.TIMEOUT)
    bench.time.now += 20
    bench.fly()
    bench.door.answer = lambda name: [One(2)]
    bench.time.now += 80
    bench.fly()

    assert seen[-1] == Before([One(1)], [One(1)], 100.0)


def test_only_the_failed_reading_is_tried_again_and_ever_less_often():
    bench = Bench([plain(f"f{n}") for n in range(6)], failing(Kind.TIMEOUT, "f3"), ttl=3600, budget=60)

    for _ in range(240):
        if bench.snapshot is None or bench.time.now >= bench.snapshot.due:
            bench.fly()
        bench.time.now += 15

    assert bench.asked.count("f0") in (1, 2)
    assert 4 <= bench.asked.count("f3") <= 7


def test_a_failed_statement_waits_at_least_a_minute_in_a_slow_loop():
    bench = Bench([plain("f")], failing(Kind.TIMEOUT), ttl=600, budget=10)

    assert bench.fly().due == bench.time.now + RETRY


def test_after_a_lost_connection_the_slow_loops_do_not_wait_for_their_ttl():
    bench = Bench([plain("f")], failing(Kind.UNREACHABLE), ttl=3600, budget=60)

    assert bench.fly().due == bench.time.now + RECONNECT


def test_nobody_else_is_asked_once_the_server_is_unreachable():
    bench = Bench([plain("f"), plain("g")], failing(Kind.UNREACHABLE))

    bench.fly()

    assert bench.asked == ["f"]
    assert bench.reading("g").failure is Kind.UNREACHABLE
    assert bench.snapshot.failure.kind is Kind.UNREACHABLE  # one thing happened, and is told once


def test_nobody_starves_behind_a_statement_that_eats_the_budget():
    bench = Bench([plain(f"f{n}") for n in range(6)])

    def answer(name: str) -> list[One]:
        bench.time.now += 1.0 if name == "f0" else 0.01
        if name == "f0":
            raise QueryError(Kind.TIMEOUT, "too slow")
        return [One(1)]

    bench.door.answer = answer
    for _ in range(20):
        bench.fly()
        bench.time.now += 16

    assert min(bench.asked.count(f"f{n}") for n in range(6)) >= 5


def test_what_the_budget_did_not_reach_is_due_at_once_and_says_so():
    bench = Bench([plain("f"), plain("g")])

    def answer(name: str) -> list[One]:
        bench.time.now += 1.0
        return [One(1)]

    bench.door.answer = answer
    start = bench.time.now
    bench.fly()

    assert (bench.reading("g").failure, bench.snapshot.due) == (Kind.SKIPPED, start)


def test_a_bug_in_one_feature_stays_with_it():
    def derive(raw, before, config):
        raise ZeroDivisionError

    bench = Bench([derived("f", derive), plain("g")])

    bench.fly()

    assert bench.reading("f").failure is Kind.BUG
    assert bench.reading("g").failure is None


def test_a_view_gets_what_its_source_returned_without_a_statement():
    source = plain("f")
    view = derived("v", lambda raw, before, config: [One(raw[0].n + 1)], of=source)
    bench = Bench([source, view])

    bench.fly()

    assert bench.asked == ["f"]
    assert (bench.reading("v").rows, bench.reading("v").sql) == ([One(2)], "SELECT f")


def test_a_view_fails_with_its_source():
    source = plain("f")
    bench = Bench([source, derived("v", lambda raw, before, config: raw, of=source)], failing(Kind.DENIED))

    bench.fly()

    assert bench.reading("v").failure is Kind.DENIED


def test_a_question_can_look_at_rows_read_earlier_in_the_flight():
    source = plain("f")
    bench = Bench([source, plain("g", ask=lambda look: {"n": look(source)[0].n})])

    bench.fly()

    assert bench.door.params[-1]["n"] == 1


def snapshot_of(reading: Reading) -> Snapshot:
    """Return a snapshot of one reading."""
    return Snapshot(0.0, 0.0, readings={(reading.feature.name, reading.db): reading})


def test_a_question_can_look_at_what_another_tier_has_read():
    slow = feature("slow", Tier.STORAGE, One)
    bench = Bench([plain("g", ask=lambda look: {"n": look(slow)[0].n})])
    bench.others[Tier.STORAGE] = snapshot_of(Reading(slow, "", rows=[One(7)], taken=1.0))

    bench.fly()

    assert bench.door.params[-1]["n"] == 7


@pytest.mark.parametrize("read", [None, Reading(plain("slow"), "", failure=Kind.TIMEOUT)])
def test_until_another_tier_has_read_it_a_question_waits_and_nothing_is_at_fault(read):
    slow = feature("slow", Tier.STORAGE, One)
    bench = Bench([plain("f"), plain("g", ask=lambda look: {"n": look(slow)[0].n})])
    if read:
        bench.others[Tier.STORAGE] = snapshot_of(read)

    snapshot = bench.fly()

    assert (bench.asked, bench.reading("g").failure) == (["f"], Kind.WAITING)
    assert (snapshot.success, snapshot.errors, snapshot.due) == (True, 0, bench.time.now)


def test_with_nothing_to_ask_the_rows_stand_and_stay_young():
    asks = iter(({}, None))
    bench = Bench([plain("f", ask=lambda look: next(asks))])
    bench.fly()

    bench.time.now += 15
    bench.fly()

    assert bench.asked == ["f"]
    assert (bench.reading("f").rows, bench.reading("f").taken) == ([One(1)], bench.time.now)


def test_a_feature_of_a_database_is_read_in_each():
    bench = Bench([plain("f", scope=Scope.DATABASE)])

    bench.fly()

    assert bench.door.asked == [("f", "app"), ("f", "postgres")]


def test_databases_share_the_limit_of_a_top_n():
    bench = Bench([plain("f", scope=Scope.DATABASE)])
    bench.door.seen = replace(FACTS, databases=[f"db{n}" for n in range(20)])

    bench.fly()

    assert bench.door.params[0]["top_relations"] == LEAST_SHARE


def test_a_database_that_is_gone_takes_its_reading_with_it():
    bench = Bench([plain("f", scope=Scope.DATABASE)])
    bench.fly()

    bench.door.seen = replace(FACTS, databases=["app"])
    bench.time.now += 15
    bench.fly()

    assert list(bench.snapshot.readings) == [("f", "app")]


@pytest.mark.parametrize("kind", [Kind.REJECTED, Kind.SATURATED])
def test_a_database_that_refuses_us_or_is_full_does_not_end_the_flight(kind):
    bench = Bench([plain("f", scope=Scope.DATABASE), plain("g")])
    facts = bench.door.facts

    def refusing(db, tier, deadline):
        if db == "app":
            raise QueryError(kind, "not this database")
        return facts(db, tier, deadline)

    bench.door.facts = refusing
    bench.fly()

    assert bench.reading("f", "app").failure is kind
    assert bench.reading("g").failure is None


def test_a_view_of_the_other_role_is_unsupported_where_its_statement_is_not():
    source = plain("f")
    bench = Bench([source, plain("view", of=source, role=Role.PRIMARY)])
    bench.door.seen = replace(FACTS, in_recovery=True)

    bench.fly()

    assert bench.reading("f").failure is None
    assert (bench.reading("view").failure, bench.reading("view").rows) == (Kind.UNSUPPORTED, ())


@pytest.mark.parametrize(("role", "in_recovery"), [(Role.PRIMARY, True), (Role.STANDBY, False)])
def test_a_feature_of_the_other_role_is_unsupported_and_has_no_rows(role: Role, in_recovery: bool):
    bench = Bench([plain("f", role=role)])
    bench.door.seen = replace(FACTS, in_recovery=in_recovery)

    bench.fly()

    assert (bench.reading("f").failure, bench.reading("f").rows, bench.asked) == (Kind.UNSUPPORTED, (), [])


def test_a_promotion_is_noticed_at_the_next_flight_and_voids_comparisons():
    seen = []

    def derive(raw, before, config):
        seen.append(before)
        return raw

    bench = Bench([derived("f", derive), plain("g", role=Role.PRIMARY)])
    bench.door.seen = replace(FACTS, in_recovery=True)
    bench.fly()

    bench.door.seen = FACTS
    bench.time.now += 1
    bench.fly()

    assert seen == [None, None]
    assert bench.reading("g").rows == [One(1)]


def test_a_failure_on_a_new_incarnation_does_not_hide_that_the_old_reading_is_void():
    seen = []

    def derive(raw, before, config):
        seen.append(before)
        return raw

    bench = Bench([derived("f", derive)])
    bench.fly()
    bench.door.seen = replace(FACTS, start_time=99.0)
    bench.door.answer = failing(Kind.TIMEOUT)
    bench.time.now += 15
    bench.fly()
    bench.door.answer = lambda name: [One(1)]
    bench.time.now += 60
    bench.fly()

    assert seen == [None, None]


def test_without_pg_monitor_every_reading_is_denied_with_the_grant():
    bench = Bench([plain("f"), plain("g")])
    bench.door.seen = replace(FACTS, monitors=False)

    bench.fly()

    assert {r.failure for r in bench.snapshot.readings.values()} == {Kind.DENIED}
    assert 'GRANT pg_monitor TO "pgmon"' in bench.reading("f").message
    assert bench.asked == []


def test_a_flight_that_sees_no_facts_keeps_the_old_ones_and_says_why():
    bench = Bench([plain("f")])
    bench.fly()

    def away(db, tier, deadline):
        raise QueryError(Kind.UNREACHABLE, "nobody answers")

    bench.door.facts = away
    bench.time.now += 15
    snapshot = bench.fly()

    assert snapshot.facts == FACTS
    assert snapshot.failure.kind is Kind.UNREACHABLE
    assert not snapshot.success


def test_failed_readings_are_counted_but_not_those_of_what_is_not_there():
    bench = Bench([plain("f"), plain("g"), plain("h")])

    def answer(name: str) -> list[One]:
        raise QueryError({"f": Kind.TIMEOUT, "g": Kind.MISSING, "h": Kind.DENIED}[name], "no")

    bench.door.answer = answer
    bench.fly()
    bench.time.now += 200

    assert bench.fly().errors == 4


def test_what_is_missing_leaves_the_loop_successful():
    bench = Bench([plain("f")], failing(Kind.MISSING))

    assert bench.fly().success


# --- another server ---------------------------------------------------------------------------------------------------


@row
class Counted:
    """Something that is counted."""

    name: str = label("Its name.")
    n: int = counter("pg_counted_total", "How often.")


class Counting(Bench):
    """A refresher of one feature that counts, on servers that come and go."""

    def __init__(self) -> None:
        super().__init__([feature("counted", Tier.HOT_PATH, Counted)], lambda name: list(self.rows))

    def first(self, *rows: Counted, **changed: object) -> object:
        """Fly once more over a server that has changed, and return what was seen first of it."""
        self.rows = rows
        self.door.seen = replace(self.door.seen, **changed)
        self.time.now += 15
        self.fly()
        return self.reading("counted").first


def test_of_another_server_each_row_is_remembered_as_first_seen():
    bench = Counting()

    assert bench.first(Counted("a", 100)) is None
    assert bench.first(Counted("a", 900), system_identifier="8") == {("a",): Counted("a", 900)}
    assert bench.first(Counted("a", 905), Counted("b", 50)) == {("a",): Counted("a", 900), ("b",): Counted("b", 50)}
    assert bench.first(Counted("b", 51)) == {("a",): Counted("a", 900), ("b",): Counted("b", 50)}


@pytest.mark.parametrize("changed", [{"start_time": 5.0}, {"timeline": 9}, {"in_recovery": True}])
def test_a_server_that_restarts_or_is_promoted_is_the_same(changed):
    bench = Counting()

    bench.first(Counted("a", 100))
    assert bench.first(Counted("a", 101), **changed) is None


def test_a_standby_that_answers_in_its_primarys_place_is_another():
    bench = Counting()

    bench.first(Counted("a", 100))
    assert bench.first(Counted("a", 7), timeline=9, start_time=5.0) == {("a",): Counted("a", 7)}
