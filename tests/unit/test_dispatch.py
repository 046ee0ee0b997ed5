"""Who is told when: at once, in groups, again, in a digest, or not at all."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from fakes import FakeTime
from pgmon.alerts.alert import Alert
from pgmon.alerts.maintenance import is_maintenance
from pgmon.config import Alerts, Maintenance
from pgmon.notify.dispatch import Dispatcher
from pgmon.notify.notification import MOST, Notification, Place
from telling import alert

GROUP, HOUR, DAY = 300.0, 3600.0, 86400.0


class Bench:
    """A dispatcher that is shown at every tick what fires."""

    def __init__(self) -> None:
        self.time = FakeTime()
        self.dispatcher = Dispatcher(Alerts(), "", lambda: Place("prod", "db1", "primary"), self.time.clock())
        self.messages: list[tuple[float, Notification]] = []

    def tick(self, *alerts: Alert, after: float = 15.0) -> list[Notification]:
        self.time.now += after
        due = self.dispatcher.due(alerts)
        self.messages += [(self.time.now, message) for message in due]
        return due

    def lasting(self, seconds: float, *alerts: Alert) -> list[Notification]:
        """Return what is sent while the same fires on."""
        return [message for _ in range(int(seconds // 15)) for message in self.tick(*alerts)]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_what_is_new_is_told_once(bench):
    [message] = bench.lasting(HOUR, alert())

    assert message.title == "WARNING Dead on prod (db1, primary)"


@pytest.mark.fault("F76")
def test_what_fires_together_is_one_message(bench):
    [message] = bench.tick(*(alert(of=f"t{n}") for n in range(500)))

    assert (len(message.shown), message.more) == (MOST, "and 490 more")
    assert message.title == "WARNING Dead (500 firing) on prod (db1, primary)"


def test_it_is_known_when_people_are_told_again(bench):
    bench.tick(alert(of="a"))
    bench.tick(alert(of="a"), alert(of="b"), after=60.0)

    assert bench.dispatcher.again(alert(of="a")) == 12 * HOUR - 60
    assert bench.dispatcher.again(alert(of="b")) is None


def test_what_joins_a_group_waits_for_its_interval(bench):
    bench.tick(alert(of="a"))

    assert bench.lasting(GROUP - 15, alert(of="a"), alert(of="b")) == []
    assert len(bench.tick(alert(of="a"), alert(of="b"))) == 1


def test_the_first_critical_is_told_at_once(bench):
    bench.tick(alert(of="a"))

    [message] = bench.tick(alert(of="a"), alert(of="b", severity="critical"))

    assert [a.object for a in message.firing] == ["b", "a"]


def test_the_second_critical_waits(bench):
    first, second = alert(of="a", severity="critical"), alert(of="b", severity="critical")
    bench.tick(first)

    assert bench.lasting(GROUP - 15, first, second) == []
    assert len(bench.tick(first, second)) == 1


def test_a_change_of_severity_is_told(bench):
    bench.tick(alert())

    assert [m.severity for m in bench.tick(alert(severity="critical"))] == ["critical"]
    assert bench.lasting(GROUP - 15, alert()) == []
    assert [m.severity for m in bench.tick(alert())] == ["warning"]


def test_the_end_is_told(bench):
    bench.tick(alert(severity="critical"))

    [message] = bench.lasting(GROUP)

    assert [(a.state, a.ended) for a in message.resolved] == [("resolved", bench.time.now)]
    assert message.title == "RESOLVED Dead on prod (db1, primary)"
    assert bench.lasting(DAY) == []


def test_what_nobody_was_told_of_has_no_end(bench):
    bench.tick(alert(of="a"))
    bench.tick(alert(of="a"), alert(of="b"))

    assert bench.lasting(GROUP, alert(of="a")) == []


@pytest.mark.parametrize(("severity", "interval"), [("critical", HOUR), ("warning", 12 * HOUR)])
def test_what_lasts_is_told_again(bench, severity, interval):
    bench.tick(alert(severity=severity))

    assert bench.lasting(interval - 15, alert(severity=severity)) == []
    assert len(bench.tick(alert(severity=severity))) == 1


@pytest.mark.fault("F75")
@pytest.mark.parametrize("severity", ["critical", "warning"])
@pytest.mark.parametrize("length", [1, 2, 7, 19, 21])
def test_what_flaps_is_told_at_most_once_per_interval(bench, severity, length):
    for _ in range(200):
        for firing in ([alert(severity=severity)], []):
            for _ in range(length):
                bench.tick(*firing)

    times = [time for time, _ in bench.messages]
    assert len(times) > 1 or length < 20
    assert all(after - before >= GROUP for before, after in pairwise(times))


@pytest.mark.fault("F75")
@pytest.mark.parametrize("names", [3, 15])
def test_each_key_is_told_at_most_once_per_interval_whatever_flaps_beside_it(bench, names):
    chance, keys = Random(7), [(f"A{n}", of) for n in range(names) for of in "ab"]
    firing = set()
    for _ in range(1000):
        firing ^= {key for key in keys if chance.random() < 0.1}
        bench.tick(*(alert(name, of=of) for name, of in sorted(firing)))

    for name, of in keys:
        told = [time for time, m in bench.messages if any(a.key == (name, "", (of,)) for a in (*m.firing, *m.resolved))]
        assert len(told) > 10
        assert all(after - before >= GROUP for before, after in pairwise(told))


def test_what_is_explained_pending_or_unknown_is_not_told(bench):
    told = bench.lasting(
        DAY,
        alert(of="a", inhibited_by="BlockedSessions"),
        alert(of="b", state="pending", started=None),
        alert(of="c", state="unknown"),
    )

    assert told == []


@pytest.mark.parametrize("now", [{"state": "unknown"}, {"inhibited_by": "DatabaseUnreachable"}])
def test_what_cannot_be_looked_at_has_not_ended(bench, now):
    bench.tick(alert())

    assert bench.lasting(DAY, alert(**now)) == []


def test_what_is_no_longer_explained_is_told(bench):
    bench.tick(alert(inhibited_by="BlockedSessions"))

    assert len(bench.tick(alert())) == 1


@pytest.mark.fault("F69", "F76")
def test_more_than_ten_messages_are_one_digest_the_gravest_first(bench):
    firing = [alert(f"A{n}") for n in range(10)] + [alert("Worst", "critical")]

    [message] = bench.tick(*firing)

    assert message.title == "CRITICAL digest (11 firing) on prod (db1, primary)"
    assert (message.firing[0].name, message.more) == ("Worst", "and 1 more")


def test_the_gravest_message_goes_first(bench):
    assert [m.group for m in bench.tick(alert("A"), alert("B", "critical"), alert("C"))] == ["B", "A", "C"]


def test_ten_messages_are_ten(bench):
    assert len(bench.tick(*(alert(f"A{n}") for n in range(10)))) == 10


def test_what_follows_a_storm_closely_is_a_digest_too(bench):
    first = [alert(f"A{n}") for n in range(9)]
    bench.tick(*first)

    assert [m.group for m in bench.tick(*first, alert("B1"), alert("B2"))] == ["digest"]


def test_the_end_of_a_digest_is_told_by_alert(bench):
    firing = [alert(f"A{n}") for n in range(11)]
    bench.tick(*firing)

    assert [m.title for m in bench.lasting(GROUP, *firing[1:])] == ["RESOLVED A0 on prod (db1, primary)"]


def test_advice_is_given_once_a_day_and_its_end_is_not_told(bench):
    advice = [alert("UnusedIndexes", advisory=True, of="i"), alert("StaleStatistics", advisory=True)]

    assert bench.lasting(HOUR - 15, *advice) == []
    [message] = bench.lasting(DAY, *advice)
    assert (message.group, len(message.firing)) == ("advisory", 2)
    assert bench.lasting(2 * DAY) == []


@pytest.mark.fault("F85")
def test_groups_of_the_past_are_forgotten(bench):
    for n in range(50):
        bench.tick(alert(f"A{n}"), after=GROUP)
    bench.lasting(DAY + HOUR)

    assert bench.dispatcher._groups == {}


# --- maintenance ------------------------------------------------------------------------------------------------------

SUNDAY = 1767492000.0  # 2026-01-04T02:00:00Z, a Sunday


@pytest.mark.parametrize(
    ("cron", "duration", "after", "open_"),
    [
        ("0 2 * * 0", "2h", -1, False),
        ("0 2 * * 0", "2h", 0, True),
        ("0 2 * * 0", "2h", 7199, True),
        ("0 2 * * 0", "2h", 7200, False),
        ("0 2 * * 7", "2h", 0, True),
        ("0 2 * * 1", "2h", 0, False),
        ("0 22 * * 6", "6h", 0, True),
        ("*/15 1-3 * 1,12 *", "5m", 15 * 60 + 10, True),
        ("*/15 1-3 * 1,12 *", "5m", 10 * 60, False),
        ("0 2 4 * *", "1h", 0, True),
        ("0 2 5 * *", "1h", 0, False),
        ("0 2 5 * 0", "1h", 0, True),
        ("0 0 1 1 *", "10d", 0, True),
        ("0 0 1 2 *", "3650d", 0, True),
    ],
)
def test_a_window_is_open_from_its_minute_on(cron, duration, after, open_):
    window = Maintenance.model_validate({"cron": cron, "duration": duration})

    assert is_maintenance([window], SUNDAY + after) is open_
