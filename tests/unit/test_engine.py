"""The engine under a clock: when an alert is pending, fires, is unknown, is resolved, and what explains it."""

from __future__ import annotations

from typing import Any

import pytest

from fakes import FakeTime
from pgmon.alerts.alert import Alert
from pgmon.alerts.engine import Engine
from pgmon.config import Config
from pgmon.errors import Kind, QueryError
from pgmon.feature import Feature, Tier, detail, feature, gauge, kept, label, mark, row
from pgmon.rule import Over, Rule
from pgmon.snapshot import Reading, Snapshot


@row
class Table:
    """A table."""

    relation: str = label("Table.")
    dead: float | None = gauge("pg_dead", "Dead rows.")
    application: str = detail("Who is at it.")
    pid: int | None = detail("Process.")
    unread: str = mark("Why it could not be read.")
    trail: int = kept("Memory.")


def table(
    relation: str = "t", dead: float | None = 30.0, application: str = "", pid: int | None = None, unread: str = ""
):
    return Table(relation, dead, application, pid, unread, 7)


def rule(name: str = "Dead", hold: float = 0, **rest: Any) -> Rule:
    return Rule(name, (Over("dead", 20, 40),), hold, "{relation}: {dead:.0f} dead", **rest)


class Bench:
    """An engine that is shown one feature's rows, at every tick new ones."""

    def __init__(self, *rules: Rule, tier: Tier = Tier.HOT_PATH, **config: Any) -> None:
        self.time = FakeTime()
        self.feature = feature("tables", tier, Table, rules=rules or (rule(),))
        self.view = Feature("view", tier, Table, Table, lambda now, before, config: now, of=self.feature)
        settings = Config.model_validate({"alerts": {"ignore": (), **config}})
        self.engine = Engine([self.feature, self.view], settings, lambda: "app", self.time.clock())
        self.snapshot: Snapshot | None = None

    def tick(self, *rows: Table, after: float = 15.0, db: str = "", failure: Kind | None = None) -> dict[str, Alert]:
        """Show rows (with a failure: those of before, and the failure) so many seconds later."""
        self.time.now += after
        taken = self.time.now if failure is None else None
        readings = [Reading(f, db, rows=rows, taken=taken, failure=failure) for f in (self.feature, self.view)]
        self.snapshot = Snapshot(self.time.now, self.time.now, readings={(r.feature.name, db): r for r in readings})
        return self.again(0)

    def again(self, after: float) -> dict[str, Alert]:
        """Show the same snapshot once more."""
        self.time.now += after
        self.engine.evaluate({self.feature.tier: self.snapshot})
        return self.alerts

    @property
    def alerts(self) -> dict[str, Alert]:
        """The alerts by object."""
        return {alert.object: alert for alert in self.engine.alerts.values()}

    @property
    def states(self) -> dict[str, str]:
        return {name: alert.state for name, alert in self.alerts.items()}


# --- pending, firing, resolved ----------------------------------------------------------------------------------------


def test_without_for_an_alert_fires_at_once():
    assert Bench().tick(table())["t"].state == "firing"


def test_what_is_within_the_limits_is_no_alert():
    assert Bench().tick(table(dead=20.0)) == {}


def test_with_for_an_alert_is_pending_until_it_has_lasted():
    bench = Bench(rule(hold=30))

    assert [bench.tick(table())["t"].state for _ in range(4)] == ["pending", "pending", "firing", "firing"]


def test_one_snapshot_makes_no_alert_however_often_it_is_looked_at():
    bench = Bench(rule(hold=30))
    bench.tick(table())

    assert bench.again(45)["t"].state == "pending"
    assert bench.tick(table())["t"].state == "firing"


def test_a_pending_alert_that_is_met_no_more_is_forgotten():
    bench = Bench(rule(hold=30))
    bench.tick(table())
    bench.tick(table(dead=0.0))

    assert [bench.tick(table())["t"].state for _ in range(2)] == ["pending", "pending"]
    assert bench.engine.history == ()


def test_what_leaves_a_good_reading_is_resolved():
    bench = Bench()
    bench.tick(table("a"), table("b"))

    assert set(bench.tick(table("b"))) == {"b"}
    assert {a.object: (a.state, a.ended) for a in bench.engine.history} == {
        "a": ("resolved", bench.time.now),
        "b": ("firing", None),
    }


@pytest.mark.fault("F75")
def test_an_alert_fires_on_for_a_while_where_the_rule_says_so():
    bench = Bench(rule(keep_firing_for=30))
    bench.tick(table())

    assert [set(bench.tick()) for _ in range(2)] == [{"t"}, set()]


def test_an_alert_says_what_is_wrong_where_and_since_when():
    bench = Bench(rule(hold=15))
    bench.tick()
    bench.tick(table("public.t"))
    since = bench.time.now
    alert = bench.tick(table("public.t", 35.0))["public.t"]

    assert (alert.name, alert.message) == ("Dead", "public.t: 35 dead")
    assert alert.labels == {"cluster": "pgmon", "db": "app", "relation": "public.t"}
    assert (alert.since, alert.started) == (since, bench.time.now)


def test_each_database_has_alerts_of_its_own():
    bench = Bench()

    assert bench.tick(table(), db="one")["t"].labels["db"] == "one"


def test_rules_of_one_name_are_one_alert():
    bench = Bench(rule(), Rule("Dead", (Over("dead", 10),), 0, "more than ten"))

    assert len(bench.tick(table(dead=15.0))) == 1
    assert len(bench.tick(table(dead=45.0))) == 1
    assert bench.alerts["t"].severity == "critical"


# --- severity ---------------------------------------------------------------------------------------------------------


def test_the_graver_severity_counts_and_the_lesser_returns():
    bench = Bench()

    assert [bench.tick(table(dead=n))["t"].severity for n in (30, 50, 30)] == ["warning", "critical", "warning"]
    assert len(bench.engine.history) == 1


def test_each_severity_has_to_last_for_itself():
    bench = Bench(rule(hold=30))
    for _ in range(3):
        bench.tick(table(dead=30.0))

    found = [bench.tick(table(dead=50.0))["t"].severity for _ in range(3)]

    assert found == ["warning", "warning", "critical"]


# --- unknown ----------------------------------------------------------------------------------------------------------

LOST = [Kind.TIMEOUT, Kind.LOCKED, Kind.DENIED, Kind.SKIPPED, Kind.UNREACHABLE, Kind.FAILED, Kind.BUG]


@pytest.mark.fault("F77")
@pytest.mark.parametrize("kind", LOST)
def test_what_could_not_be_read_is_unknown_and_not_resolved(kind):
    bench = Bench()
    bench.tick(table())
    alert = bench.tick(failure=kind)["t"]

    assert (alert.state, alert.unknown) == ("unknown", kind)
    assert [a.state for a in bench.engine.history] == ["unknown"]


@pytest.mark.parametrize("kind", [Kind.UNSUPPORTED, Kind.MISSING, Kind.GONE])
def test_what_is_not_there_any_more_is_resolved(kind):
    bench = Bench()
    bench.tick(table())

    assert bench.tick(table(), failure=kind) == {}


def test_an_unknown_alert_fires_again_or_is_resolved_when_it_can_be_looked_at():
    bench = Bench()
    bench.tick(table("a"), table("b"))
    bench.tick(failure=Kind.TIMEOUT)

    assert {name: a.state for name, a in bench.tick(table("a")).items()} == {"a": "firing"}


def test_a_pending_alert_does_not_come_to_fire_while_nothing_is_known():
    bench = Bench(rule(hold=30))
    bench.tick(table())

    assert [bench.tick(failure=Kind.TIMEOUT)["t"].state for _ in range(4)] == ["pending"] * 4
    assert bench.tick(table())["t"].state == "firing"


def test_a_row_that_is_marked_is_unknown_and_the_others_are_not():
    bench = Bench()
    bench.tick(table("a"), table("b"))
    bench.tick(table("a", dead=None, unread="locked"), table("b", dead=0.0))

    assert {name: (a.state, a.unknown) for name, a in bench.alerts.items()} == {"a": ("unknown", "locked")}


def test_a_row_that_is_marked_fires_nothing_whatever_it_says():
    assert Bench().tick(table(dead=50.0, unread="locked")) == {}


def test_a_value_that_is_not_there_meets_nothing():
    bench = Bench()
    bench.tick(table())

    assert bench.tick(table(dead=None)) == {}


def test_rows_that_are_too_old_are_unknown():
    bench = Bench()
    bench.tick(table())

    assert bench.again(61)["t"].unknown == "stale"


def test_a_database_that_is_gone_has_resolved_its_alerts():
    bench = Bench()
    bench.tick(table(), db="gone")

    assert bench.tick(db="other") == {}


def test_databases_nobody_could_ask_for_are_unknown():
    bench = Bench()
    bench.tick(table(), db="one")
    bench.snapshot = Snapshot(bench.time.now, 0, failure=QueryError(Kind.UNREACHABLE, "no answer"))

    assert bench.again(15)["t"].unknown == "unreachable"


# --- what is overlooked -----------------------------------------------------------------------------------------------


def ignoring(**ignore: Any) -> Bench:
    return Bench(ignore=({"alert": "Dead", **ignore},))


@pytest.mark.parametrize(
    ("ignore", "overlooked"),
    [
        ({"application": "pg_dump*"}, {"a"}),
        ({"object": "b*"}, {"b"}),
        ({"db": "app"}, {"a", "b"}),
        ({"db": "app", "object": "a"}, {"a"}),
        ({"db": "other"}, set()),
        ({"application": "pg_dump*", "under": "30s"}, set()),
        ({"application": "pg_dump*", "under": "40s"}, {"a"}),
        ({"until": "1970-01-01T00:20:00Z"}, {"a", "b"}),
        ({"until": "1970-01-01T00:10:00Z"}, set()),
    ],
)
def test_what_the_configuration_ignores_is_no_alert(ignore, overlooked):
    found = ignoring(**ignore).tick(table("a", 35, "pg_dump: app"), table("b", 35, "shop"))

    assert {"a", "b"} - set(found) == overlooked


def test_other_alerts_are_not_ignored():
    assert Bench(ignore=({"alert": "Alive"},)).tick(table())["t"].state == "firing"


# --- what explains what -----------------------------------------------------------------------------------------------


def by_process(*rows: tuple[str, int]) -> dict[str, str]:
    """Return which alert inhibits which, for alerts by name and process."""
    rules = [
        Rule(name, (Over("dead", 20),), 0, "x", pids=("pid",))
        for name in ("LockQueue", "LongTransaction", "IdleInTransaction", "BlockedSessions")
    ]
    bench = Bench(*rules)
    bench.tick(*(table(name, pid=pid) for name, pid in rows))
    return {f"{a.name} {a.object}": a.inhibited_by for a in bench.engine.alerts.values()}


def test_one_process_is_told_by_its_root_cause_alone():
    assert by_process(("t", 7)) == {
        "BlockedSessions t": "",
        "IdleInTransaction t": "BlockedSessions",
        "LongTransaction t": "BlockedSessions",
        "LockQueue t": "BlockedSessions",
    }


def test_another_process_is_another_incident():
    blocked = Rule("BlockedSessions", (Over("dead", 40),), 0, "x", pids=("pid",))
    bench = Bench(blocked, rule("LongTransaction", pids=("pid",)))
    bench.tick(table("blocked", 50, pid=1), table("same", 30, pid=1), table("other", 30, pid=2), table("unnamed", 30))

    long = {a.object: a.inhibited_by for a in bench.engine.alerts.values() if a.name == "LongTransaction"}
    assert long == {"blocked": "BlockedSessions", "same": "BlockedSessions", "other": "", "unnamed": ""}


def test_what_is_unknown_explains_nothing():
    bench = Bench(rule("BlockedSessions", pids=("pid",)), rule("LongTransaction", pids=("pid",)))
    bench.tick(table(pid=1))
    bench.tick(failure=Kind.TIMEOUT)

    assert {a.inhibited_by for a in bench.engine.alerts.values()} == {""}


@pytest.mark.fault("F77")
def test_a_server_that_does_not_answer_explains_everything_and_says_what_was_before():
    bench = Bench(rule("Dead"), Rule("DatabaseUnreachable", (Over("dead", crit=90),), 0, "no answer"))
    bench.tick(table())
    bench.tick(table(dead=91.0))

    found = {a.name: (a.inhibited_by, a.message) for a in bench.engine.alerts.values()}
    assert found["DatabaseUnreachable"] == ("", "no answer; before it fired Dead")
    assert found["Dead"][0] == "DatabaseUnreachable"


# --- what is kept -----------------------------------------------------------------------------------------------------


def test_the_rows_of_every_view_are_kept_from_when_it_began_to_fire():
    bench = Bench()
    bench.tick(table(dead=30.0))
    bench.tick(table(dead=50.0))
    bench.tick()

    [alert] = bench.engine.history
    shown = {"relation": "t", "dead": 30.0, "application": "", "pid": None, "unread": ""}
    assert {e.feature: e.data() for e in alert.evidence} == {"tables": [shown], "view": [shown]}


@pytest.mark.fault("F85")
def test_the_past_is_bounded():
    bench = Bench()
    bench.tick(*(table(f"t{n}") for n in range(500)))
    bench.tick()

    assert len(bench.engine.history) == 200
    assert {a.state for a in bench.engine.history} == {"resolved"}


@pytest.mark.fault("F78")
def test_what_fires_at_the_first_look_says_that_it_may_be_older():
    bench = Bench()

    assert "since before pgmon" in bench.tick(table("old"))["old"].message
    assert "since before pgmon" not in bench.tick(table("old"), table("new"))["new"].message


@pytest.mark.fault("F78")
def test_what_fires_at_the_first_good_look_says_so_too():
    bench = Bench()
    bench.tick(failure=Kind.DENIED)
    bench.tick(failure=Kind.TIMEOUT)

    assert "since before pgmon" in bench.tick(table())["t"].message


def test_what_fires_in_a_database_that_was_made_since_is_not_older():
    bench = Bench()
    bench.tick(db="shop")

    assert "since before pgmon" not in bench.tick(table(), db="made")["t"].message


def test_of_databases_that_are_gone_nothing_is_awaited():
    bench = Bench()
    for n in range(9):
        bench.tick(db=f"shop_{n}", failure=Kind.TIMEOUT)

    assert all(not awaited for awaited in bench.engine._awaited.values())


def test_the_agents_own_alerts_are_no_older_than_the_agent():
    assert "since before" not in Bench(tier=Tier.AGENT).tick(table())["t"].message


@pytest.mark.fault("F80")
def test_texts_of_others_arrive_as_text():
    assert Bench().tick(table("a\n{{7*7}} {pid}"))["a\n{{7*7}} {pid}"].message.startswith("a {{7*7}} {pid}: 30 dead")
