"""Snapshots into families and bytes."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from fakes import FakeTime
from pgmon.exposition import Exposition, Page, TierCollector
from pgmon.feature import Feature, Tier, counter, detail, feature, gauge, kept, label, row, untyped
from pgmon.rule import Over, Rule
from pgmon.snapshot import Cadence, Reading, Snapshot
from running import parsed, value


@row
class Table:
    """A table."""

    relation: str = label("Table.")
    bytes: int | None = gauge("pg_bytes", "Bytes.")
    scans: int | None = counter("pg_scans_total", "Scans.")
    note: str = detail("A note.")
    memory: str = kept("Memory.")


TABLES = feature("tables", Tier.STORAGE, Table)
CADENCE = Cadence(15, 1, 60)


def tables(*names: str) -> list[Table]:
    return [Table(name, 1, 2, "n", "m") for name in names]


def page(rows: list[Any], feature: Feature[Any, Any] = TABLES, room: float = math.inf, db: str = "") -> Page:
    return Page({feature: [Reading(feature, db, rows=rows, taken=0.0)]}, CADENCE, ("prod", "home"), room)


def text(made: Page, fmt: str = "text") -> str:
    return made.encoded(fmt).decode()


def test_a_row_becomes_one_sample_per_metric_with_cluster_and_database():
    assert 'pg_bytes{cluster="prod",db="home",relation="public.t"} 1.0' in text(page(tables("public.t")))


def test_a_reading_of_a_database_carries_its_name():
    assert 'db="app"' in text(page(tables("public.t"), db="app"))


@pytest.mark.fault("F31")
def test_what_is_not_known_has_no_sample():
    made = text(page([Table("t", None, 2, "", "")]))

    assert "\npg_bytes{" not in made
    assert "\npg_scans_total{" in made


def test_help_says_how_often_it_is_read():
    assert "# HELP pg_bytes Bytes. Read every 15 s." in text(page([]))


@pytest.mark.parametrize("word", ["note", "memory"])
def test_details_and_memory_are_not_exported(word: str):
    assert word not in text(page(tables("t")))


def test_counters_and_gauges_have_their_types_in_both_formats():
    made = page(tables("t"))

    assert "# TYPE pg_scans_total counter" in text(made)
    assert "# TYPE pg_scans counter" in text(made, "openmetrics")
    assert "# TYPE pg_bytes gauge" in text(made, "openmetrics")


def test_an_untyped_metric_may_end_in_total_and_go_down():
    @row
    class Odd:
        """Odd."""

        n: int = untyped("pg_odd_total", "Odd.")

    assert "# TYPE pg_odd_total untyped" in text(page([Odd(1)], feature("odd", Tier.STORAGE, Odd)))


def test_metrics_of_the_agent_have_no_database():
    @row
    class Mine:
        """Mine."""

        loop: str = label("Loop.")
        n: int = gauge("pgmon_n", "N.")

    assert 'pgmon_n{cluster="prod",loop="a"} 1.0' in text(page([Mine("a", 1)], feature("mine", Tier.AGENT, Mine)))


@pytest.mark.fault("F46")
@pytest.mark.parametrize(
    ("name", "shown"),
    [("a\nb", "a b"), ("x" * 200, "x" * 127 + "…"), ("", "-"), ("a\u202eb", "a\ufffdb")],
)
def test_labels_are_made_harmless(name: str, shown: str):
    samples = parsed(text(page(tables(name))))

    assert value(samples, "pg_bytes", relation=shown) == 1


@pytest.mark.fault("F47")
def test_names_that_become_equal_are_told_apart():
    made = parsed(text(page(tables("a\nb", "a\rb"))))

    assert {dict(k)["relation"] for k in made["pg_bytes"]} == {"a b", "a b~2"}


@pytest.mark.fault("F47")
def test_the_very_same_row_twice_is_exported_once_and_counted():
    made = page(tables("t", "t"))

    assert made.size == 2
    assert made.dropped["duplicate"] == 1


@row
class Seen:
    """What only pages show."""

    note: str = detail("Note.")


def test_rows_without_metrics_are_no_duplicates():
    assert not page([Seen("a"), Seen("a")], feature("seen", Tier.WORKLOAD, Seen)).dropped


@pytest.mark.fault("F31")
@pytest.mark.parametrize("bad", [math.nan, "many", 10**400])
def test_one_bad_value_costs_one_sample(bad: object):
    made = page([Table("t", bad, 2, "", ""), *tables("u")])

    assert made.size == 3
    assert made.dropped["value"] == 1


@pytest.mark.fault("F67")
def test_at_the_cap_the_last_rows_of_the_longest_families_go():
    made = page(tables(*(f"t{n:02}" for n in range(50))), room=20)

    kept_names = {dict(k)["relation"] for k in parsed(text(made))["pg_bytes"]}
    assert made.size <= 20
    assert kept_names == {f"t{n:02}" for n in range(len(kept_names))}
    assert made.dropped["cap"] == 100 - made.size


@pytest.mark.fault("F67")
def test_what_carries_an_alert_is_never_cut():
    alerting = replace(TABLES, rules=(Rule("Big", (Over("bytes", 1),), 0, "big"),))

    assert page(tables(*map(str, range(50))), alerting, room=20).size == 100


def test_one_page_is_encoded_once_per_format():
    made = page(tables("t"))

    assert made.encoded("text") is made.encoded("text")


class Latest:
    """A cache whose latest snapshot the test sets, and which counts who reads."""

    def __init__(self, snapshot: Snapshot | None = None) -> None:
        self.snapshot, self.reads = snapshot, 0

    def read(self, wait: float = 0.0) -> Snapshot | None:
        self.reads += 1
        return self.snapshot


def snapshot(taken: float, rows: list[Table]) -> Snapshot:
    reading = Reading(TABLES, "", rows=rows, taken=taken)
    return Snapshot(taken, taken + 14, readings={("tables", ""): reading})


def collector(latest: Latest, time: FakeTime, exposition: Exposition | None = None) -> TierCollector:
    exposition = exposition or Exposition(10_000)
    made = TierCollector(Tier.STORAGE, latest, [TABLES], CADENCE, lambda: ("prod", "home"), time, exposition.room)
    exposition.add(made)
    return made


def test_registering_reads_nothing():
    latest = Latest()

    collector(latest, FakeTime())

    assert latest.reads == 0


def test_an_unread_tier_has_families_without_samples():
    assert [len(m.samples) for m in collector(Latest(), FakeTime()).collect()] == [0, 0]


def test_rows_older_than_max_stale_are_no_longer_exported():
    time = FakeTime()
    made = collector(Latest(snapshot(time.now, tables("t"))), time)
    assert made.page().size == 2

    time.now += 60.1

    assert made.page().size == 0


def test_the_same_snapshot_is_not_made_into_a_page_twice():
    time = FakeTime()
    made = collector(Latest(snapshot(time.now, tables("t"))), time)

    assert made.page() is made.page()


def test_dropped_samples_are_counted_once_per_page():
    time = FakeTime()
    made = collector(Latest(snapshot(time.now, tables("t", "t"))), time)
    made.page()
    made.page()

    assert made.dropped == Counter(duplicate=1)


def test_openmetrics_ends_once():
    exposition, time = Exposition(10_000), FakeTime()
    collector(Latest(snapshot(time.now, tables("t"))), time, exposition)

    assert exposition.encoded("openmetrics").count(b"# EOF") == 1
    assert exposition.encoded("openmetrics").endswith(b"# EOF\n")


def test_a_name_selects_its_family_alone():
    exposition, time = Exposition(10_000), FakeTime()
    collector(Latest(snapshot(time.now, tables("t"))), time, exposition)

    assert list(parsed(exposition.encoded("text", ["pg_bytes"]).decode())) == ["pg_bytes"]


def test_the_process_is_on_the_page():
    assert b"process_resident_memory_bytes" in Exposition(10).encoded("text")
