"""A rule: one condition, read by the engine and by Prometheus."""

from __future__ import annotations

import re
import shutil
import subprocess
from types import MappingProxyType

import pytest
import yaml

import promrules
from pgmon.alerts.catalogue import INHIBITIONS, overridden, unknown_names
from pgmon.alerts.prometheus import prometheus_rules, promql
from pgmon.alerts.runbook import FOLDER, runbook
from pgmon.alerts.wording import worded
from pgmon.config import Config, Override
from pgmon.feature import Tier, columns, feature, gauge, label, row
from pgmon.features import FEATURES
from pgmon.rule import Is, Over, Rule, Under


@row
class Dead:
    """Dead rows."""

    share: float | None = gauge("pg_share", "Share.")
    rows: int = gauge("pg_rows", "Rows.")


RULE = Rule("DeadRows", (Over("share", "share_warn", 40), Over("rows", "rows_min")), 600, "{rows} rows")


@row
class Slot:
    """A slot's status."""

    status: str = label("Status.")
    present: int = gauge("pg_slot_status", "1.")


SLOT = feature("slot", Tier.WORKLOAD, Slot)
THRESHOLDS = {"share_warn": 20.0, "rows_min": 100_000.0}
DEAD = feature("dead", Tier.STORAGE, Dead, rules=(RULE,))


@pytest.mark.parametrize(
    ("row", "severity"),
    [
        (Dead(50.0, 200_000), "critical"),
        (Dead(30.0, 200_000), "warning"),
        (Dead(30.0, 100_000), None),
        (Dead(20.0, 200_000), None),
        (Dead(None, 200_000), None),
    ],
)
def test_a_rule_holds_when_all_its_conditions_do(row: Dead, severity: str | None):
    assert gravest(RULE, row, THRESHOLDS) == severity


def gravest(rule, row, thresholds=MappingProxyType({})):
    """Return the gravest severity at which a rule holds."""
    return next((s for s in rule.severities if rule.holds(row, s, thresholds)), None)


def test_under_holds_below_its_limit():
    rule = Rule("Low", (Under("share", 10, 5),), 0, "low")

    assert [gravest(rule, Dead(x, 0)) for x in (4.0, 7.0, 10.0, None)] == ["critical", "warning", None, None]


def test_without_a_limit_for_it_there_is_no_warning():
    rule = Rule("Lost", (Over("share", crit=50), Over("rows", 7)), 0, "lost")

    assert [gravest(rule, Dead(x, 8)) for x in (51.0, 50.0)] == ["critical", None]
    assert rule.severities == ("critical",)


def test_a_label_chooses_the_rows():
    rule = Rule("Lost", (Is("status", ("lost", "unreserved")), Over("present", 0)), 0, "lost")

    assert [gravest(rule, Slot(status, 1)) for status in ("lost", "unreserved", "reserved")] == ["warning"] * 2 + [None]
    assert promql(SLOT, rule, "warning", {}) == 'pg_slot_status{status=~"lost|unreserved"} > 0'


def test_rules_of_one_name_are_alternatives():
    few = Rule("DeadRows", (Over("rows", 7),), 600, "many")
    rules = exported([feature("dead", Tier.STORAGE, Dead, rules=(Rule("DeadRows", (Over("share", 9),), 600, ""), few))])

    assert [r["expr"] for r in rules] == ["pg_share > 9 or pg_rows > 7"]


def exported(features, **config):
    """Return the rules of Prometheus's file."""
    made = prometheus_rules(features, Config.model_validate(config))
    return [rule for group in made["groups"] for rule in group["rules"]]


def test_the_same_conditions_are_promql():
    assert promql(DEAD, RULE, "warning", THRESHOLDS) == "pg_share > 20 and pg_rows > 100000"
    assert promql(DEAD, RULE, "critical", THRESHOLDS) == "pg_share > 40 and pg_rows > 100000"


def test_a_large_limit_is_written_out():
    rule = Rule("Many", (Over("rows", 1_500_000_001),), 0, "many")

    assert promql(DEAD, rule, "warning", {}) == "pg_rows > 1500000001"


LITERAL = Rule("DeadRows", (Over("share", 20, 40), Over("rows", 100_000)), 600, "{rows} rows", keep_firing_for=300)
LITERAL_DEAD = feature("dead", Tier.STORAGE, Dead, rules=(LITERAL,), panel="storage")


def test_each_severity_is_a_rule_of_its_own():
    rules = exported([LITERAL_DEAD])

    assert [(r["alert"], r["for"], r["keep_firing_for"], r["labels"]["severity"]) for r in rules] == [
        ("PgDeadRows", "600s", "300s", "critical"),
        ("PgDeadRows", "600s", "300s", "warning"),
    ]


def test_links_are_those_of_external_url():
    [rule, _] = exported([LITERAL_DEAD], http={"external_url": "https://pg.example.com/mon/"})

    assert rule["annotations"]["runbook_url"] == "https://pg.example.com/mon/alerts/DeadRows"
    assert rule["annotations"]["dashboard_url"] == "https://pg.example.com/mon/storage"


def test_there_are_no_links_without_external_url():
    assert not [name for rule in exported([LITERAL_DEAD]) for name in rule["annotations"] if name.endswith("_url")]


def test_a_disabled_alert_is_no_rule():
    assert exported([LITERAL_DEAD], alerts={"disabled": ("DeadRows",)}) == []


def test_an_override_has_the_last_word():
    override = {"warn": 30.0, "crit": 60.0, "for": "5m", "keep_firing_for": "1m", "class": "advisory"}
    critical, warning = exported([LITERAL_DEAD], alerts={"overrides": {"DeadRows": override}})

    assert (critical["expr"], warning["expr"]) == (
        "pg_share > 60 and pg_rows > 100000",
        "pg_share > 30 and pg_rows > 100000",
    )
    assert (warning["for"], warning["keep_firing_for"], warning["labels"]["class"]) == ("300s", "60s", "advisory")


@pytest.mark.parametrize("severity", ["critical", "warning"])
def test_an_override_of_the_severity_leaves_one_at_the_first_limit(severity):
    rule = overridden(LITERAL, Override.model_validate({"severity": severity}))

    assert rule.severities == (severity,)
    assert gravest(rule, Dead(21.0, 200_000)) == severity


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_promtool_finds_nothing_to_complain_about(tmp_path):
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump(prometheus_rules(FEATURES, Config.model_validate({}))))

    done = subprocess.run(["promtool", "check", "rules", path], capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("path", "made"), [(promrules.RULES, promrules.rules), (promrules.TESTS, promrules.tests)])
def test_the_files_for_prometheus_are_those_of_the_catalogue(path, made):
    assert path.read_text(encoding="utf-8") == made(), "run: python tests/promrules.py"


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_promtool_sees_each_rule_fire_and_end_and_hold_still_at_its_limits():
    done = subprocess.run(["promtool", "test", "rules", promrules.TESTS], capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_rule_can_only_compare_exported_gauges():
    with pytest.raises(ValueError, match="compares \\['note'\\]"):
        feature("dead", Tier.STORAGE, Dead, rules=(Rule("X", (Over("note", 1),), 0, ""),))


def test_a_rule_can_only_choose_by_labels():
    with pytest.raises(ValueError, match="chooses by \\['rows'\\]"):
        feature("dead", Tier.STORAGE, Dead, rules=(Rule("X", (Is("rows", ("1",)), Over("rows", 1)), 0, ""),))


def test_every_number_of_alerts_is_a_threshold_or_makes_one():
    thresholds = Config().alerts.thresholds
    compared = {limit for _, rule in RULES for c in rule.compared for limit in (c.warn, c.crit)}
    made = {"group_interval", "unused_index_days", "wraparound_days_left"}

    assert {name for name, value in thresholds.items() if type(value) in (int, float)} - compared == made
    assert thresholds["wraparound_left_s"] == 7 * 86400


def test_names_of_no_alert_are_found():
    alerts = {"disabled": ("DeadRows", "DeadRow"), "overrides": {"Nothing": {}}, "ignore": ({"alert": "Never"},)}

    assert unknown_names([LITERAL_DEAD], Config.model_validate({"alerts": alerts}).alerts) == [
        "DeadRow",
        "Never",
        "Nothing",
    ]


def test_the_defaults_name_no_unknown_alert():
    assert unknown_names([], Config.model_validate({}).alerts) == []


# --- the rules there are ----------------------------------------------------------------------------------------------

RULES = [(f, rule) for f in FEATURES for rule in f.rules]
NAMES = sorted({rule.name for _, rule in RULES})
each_rule = pytest.mark.parametrize(("feature", "rule"), RULES, ids=[f"{f.name}-{rule.name}" for f, rule in RULES])
VALUES = {"int": 7, "float": 7.5, "bool": True, "str": "x {{7*7}}", "list[int]": [7]}


@pytest.mark.parametrize("name", NAMES)
def test_a_rule_has_a_runbook_that_says_what_it_means_and_what_to_paste(name):
    assert len(runbook(name).meaning) > 80
    assert runbook(name).paste


def test_a_runbook_is_that_of_a_rule():
    assert sorted(path.stem for path in FOLDER.glob("*.md")) == NAMES


@each_rule
def test_message_and_paste_can_be_filled_whatever_is_known(feature, rule):
    known = {name: VALUES.get(kind.removesuffix(" | None")) for name, kind in feature.row.__annotations__.items()}
    unknown = dict.fromkeys(known)

    for template in (rule.message, runbook(rule.name).paste):
        for values in (known, unknown):
            assert worded(template, feature.row(**values))


@each_rule
def test_a_runbook_names_fields_of_the_row(feature, rule):
    assert set(re.findall(r"\{(\w+)", runbook(rule.name).paste)) <= set(columns(feature.row))


@each_rule
def test_the_processes_of_a_rule_are_fields_of_the_row(feature, rule):
    assert set(rule.pids) <= set(columns(feature.row))


def test_what_inhibits_by_process_says_which_they_are():
    silent = [
        rule.name for _, rule in RULES for i in INHIBITIONS if i.same_process and i.by == rule.name and not rule.pids
    ]

    assert silent == []
