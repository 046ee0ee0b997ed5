"""The configuration: what it accepts, what it says, and what it never says."""

import json
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pgmon import config, yamlfile
from pgmon.config import Config, describe, load, require_dsn
from pgmon.errors import ConfigError

EXAMPLE = Path(__file__).parents[2] / "examples" / "pgmon.yaml"
CANARY = "s3cr3t-Canary-4711"
HASH = "$2b$12$" + "a" * 53


@pytest.fixture
def written(tmp_path):
    """Return a function that writes a configuration and gives its path."""

    def write(text):
        path = tmp_path / "pgmon.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.fixture
def faults(written):
    """Return a function that gives the faults of a text and an environment, file names cut to their last part."""

    def of(text="cluster: prod", **environ):
        path = written(text)
        with pytest.raises(ConfigError) as caught:
            load(path, environ)
        return [fault.replace(f"{path.parent}/", "") for fault in caught.value.faults]

    return of


@pytest.fixture
def loaded(written):
    """Return a function that gives the configuration of a text and an environment."""
    return lambda text="cluster: prod", **environ: load(written(text), environ).config


# Defaults and the example.


def test_nothing_given_is_the_defaults():
    loaded = load(None, {})

    assert loaded.config == Config()
    assert loaded.warnings == ()


def test_the_example_loads_to_exactly_the_defaults():
    assert load(EXAMPLE, {}, strict=True).config == Config()


def test_the_example_lists_every_key_and_every_file_variable():
    text = EXAMPLE.read_text()

    assert set(config.LEAVES) <= set(yamlfile.parse(text).lines)
    assert all(name in text for name in config.FILES)


def test_the_defaults_pass_their_own_checks(loaded):
    defaults = Config().model_dump(exclude={"dsn", "notifiers"})
    for tiers in ("sample_intervals", "budgets", "max_stale"):
        defaults[tiers] = {tier: f"{seconds:.0f}s" for tier, seconds in defaults[tiers].items()}
    defaults["partitions"]["retention"] = {}
    alerts = defaults["alerts"]
    alerts["group_interval"], alerts["repeat_interval"] = "5m", {"critical": "1h", "warning": "12h"}
    alerts["ignore"] = [{"alert": "LongTransaction", "application": "pg_dump*", "under": "12h"}]

    assert loaded(json.dumps(defaults)) == Config()


def test_the_users_own_example_loads(loaded):
    result = loaded("""
        cluster: "hydro-prod"
        dsn: "postgres://monitor:***@pg-host:5432/postgres?sslmode=require"
        sample_intervals: {hot_path: "15s", workload: "60s", storage: "10m", hourly: "1h"}
        limits: {top_relations: 50, top_indexes: 50, top_queries: 50}
        alerts: {connections_warn: 0.80, long_txn_warn_s: 300, repl_warn_s: 30, repl_crit_s: 300}
        notifiers: {slack_webhook: "", email_smtp: ""}
        http: {bind: "0.0.0.0:8181"}
        security: {read_only_enforce: true, redact_sql_text: true}
        timeouts: {statement_timeout_ms: 3000, lock_timeout_ms: 1000}
    """)

    assert result.cluster == "hydro-prod"
    assert result.dsn.get_secret_value().startswith("postgres://monitor:***@")


def test_the_model_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Config().cluster = "other"


# The file as a file.


@pytest.mark.fault("F89")
def test_a_missing_file_is_a_fault(tmp_path):
    with pytest.raises(ConfigError, match=r"absent\.yaml: cannot be read: No such file or directory"):
        load(tmp_path / "absent.yaml", {})


@pytest.mark.fault("F89")
@pytest.mark.parametrize("text", ["", "\n\n", "# cluster: prod\n", "---\n", "~"])
def test_an_empty_file_is_a_fault(faults, text):
    assert faults(text) == ["pgmon.yaml:1: is empty; write lines such as cluster: prod"]


@pytest.mark.parametrize("text", ["- cluster", "cluster", "dsn:postgres://host"])
def test_a_file_that_is_no_map_is_a_fault(faults, text):
    assert faults(text) == ["pgmon.yaml:1: must be a map of keys; write lines such as cluster: prod"]


@pytest.mark.fault("F89")
def test_a_file_above_one_megabyte_is_refused(faults):
    assert faults("cluster: prod\n#" + "é" * 500_000) == ["pgmon.yaml: is larger than 1 MB"]


@pytest.mark.fault("F89")
def test_a_byte_order_mark_is_tolerated(loaded):
    assert loaded("\ufeffcluster: prod").cluster == "prod"


def test_another_encoding_is_a_fault(faults):
    assert faults(b"cluster: \xff\xfe") == ["pgmon.yaml: cannot be read: it is not UTF-8 text"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("http:\n\tbind: x", "2: is not valid YAML: indent with spaces, not with tabs"),
        (
            "databases:\n  include: [*]",
            "2: is not valid YAML: aliases are not supported, and a text that begins with *",
        ),
        ("cluster: &a x\ncanary_table: *a", "2: is not valid YAML: aliases are not supported"),
        ("cluster: @x", "1: is not valid YAML: a text that begins with @, % or ` needs quotes"),
        ("cluster: a: b", "1: is not valid YAML: check the indentation; a text with ': ' in it needs quotes"),
        ("cluster: 'x", "1: is not valid YAML: check quotes"),
        ("---\ncluster: a\n---\ncluster: b", "3: is not valid YAML"),
        ("cluster: a\ndsn: \0", "2: is not valid YAML"),
        ('dsn: "\\UFFFFFFFF"', "1: is not valid YAML"),
        ("cluster: " + "[" * 100_000, "1: is not valid YAML: more than 20 levels"),
        ("cluster: prod\ndsn: !vault x", "2: dsn: tags (!name) are not supported"),
        ('cluster: prod\ndsn: "a\\0b"', "2: dsn: has a control character"),
        ('cluster: prod\ndsn: "\\uD800"', "2: dsn: has a control character"),
        ("cluster: prod\n? [a]\n: b", "2: a key must be a plain word"),
        (
            'cluster: prod\npartitions: {retention: {"a\\0b": 1d}}',
            "2: partitions.retention: a key must be a plain word",
        ),
    ],
)
def test_yaml_that_is_refused_is_told_with_its_line_and_a_remedy(faults, text, said):
    (fault,) = faults(text)

    assert fault.startswith(f"pgmon.yaml:{said}")


@pytest.mark.fault("F89")
def test_an_alias_bomb_is_refused_before_it_unfolds(faults):
    bomb = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in pairwise("abcdefghi"))

    assert faults(bomb)[0].startswith("pgmon.yaml:2: is not valid YAML: aliases are not supported")


@pytest.mark.fault("F89")
def test_a_duplicate_key_is_told_with_both_lines(faults):
    assert faults("http:\n  bind: a:1\n  threads: 4\n  bind: b:2\n") == [
        "pgmon.yaml:4: http.bind: duplicate key, first given on line 2"
    ]


def test_a_duplicate_key_hides_no_other_fault(faults):
    assert len(faults("cluster: a\ncluster: b\nlimits: {series: 0}")) == 2


def test_an_unknown_key_without_a_value_is_a_fault_all_the_same(faults):
    assert faults("clustr:") == ["pgmon.yaml:1: clustr: unknown key; did you mean 'cluster'?"]


def test_a_section_or_key_without_a_value_keeps_its_default(loaded):
    assert loaded("http:\nsecurity:\n  require_tls:\nalerts: {ignore: ~}\n") == Config()


# Keys and types.


@pytest.mark.fault("F89")
def test_all_faults_are_told_at_once_with_their_lines(faults):
    text = "cluster: 5\nhtpp: {}\nlimits:\n  connections: 1\n  top_queries: many\nbudgets: {storage: 11m}\n"

    told = faults(text, PGMON_LOGGING_LEVEL="loud", PGMON_DSN_FILE="/nowhere")

    assert sorted(told) == [
        "PGMON_DSN_FILE: the file cannot be read: No such file or directory",
        "PGMON_LOGGING_LEVEL: must be 'debug', 'info', 'warning' or 'error'",
        "pgmon.yaml:1: cluster: must be a text; put yes, no, on, off, true, false and numbers in quotes",
        "pgmon.yaml:2: htpp: unknown key; did you mean 'http'?",
        "pgmon.yaml:4: limits.connections: must be at least 2",
        "pgmon.yaml:5: limits.top_queries: must be a whole number, without a unit",
        "pgmon.yaml:6: budgets.storage: must not exceed sample_intervals.storage (600)",
    ]


@pytest.mark.parametrize(
    ("text", "key", "nearest"),
    [
        ("alerts: {conections_warn: 1}", "alerts.conections_warn", "alerts.connections_warn"),
        ("bind: x", "bind", "http.bind"),
        ("sample_interval: {}", "sample_interval", "sample_intervals"),
        ("notifiers: {slack: x}", "notifiers.slack", "notifiers.slack_webhook"),
        ("budgets: {hotpath: 1s}", "budgets.hotpath", "budgets.hot_path"),
        ("DSN: x", "DSN", "dsn"),
        ("alerts: {overrides: {LongTransaction: {wran: 1}}}", "alerts.overrides.LongTransaction.wran", "warn"),
    ],
)
def test_an_unknown_key_is_a_fault_that_names_the_nearest(faults, text, key, nearest):
    assert faults(text) == [f"pgmon.yaml:1: {key}: unknown key; did you mean '{nearest}'?"]


def test_a_file_that_is_no_configuration_gives_a_bounded_answer(faults):
    told = faults("".join(f"key{n}: 1\n" for n in range(300)))

    assert len(told) == config.MAX_FAULTS + 1
    assert told[-1] == "200 more faults"


@pytest.mark.fault("F89")
@pytest.mark.parametrize("word", ["yes", "no", "on", "off", "true", "12", "1.5", "[a]", "{a: b}"])
def test_a_value_that_yaml_takes_for_something_else_must_be_quoted(faults, loaded, word):
    assert faults(f"cluster: {word}")[0].startswith("pgmon.yaml:1: cluster: must be a text; put yes, no,")
    assert loaded(f"cluster: '{word}'").cluster == word


@pytest.mark.parametrize("text", ["0123", "5:30", "2026-12-31", "1__0", "0x", "=", "<<"])
def test_what_only_yaml_1_1_takes_for_a_number_stays_text(loaded, text):
    assert loaded(f"cluster: {text}").cluster == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("security: {require_tls: 1}", "security.require_tls: must be true or false"),
        ("security: {require_tls: 'no'}", "security.require_tls: must be true or false"),
        ("alerts: {long_txn_warn_s: 5m}", "alerts.long_txn_warn_s: must be a number, without a unit"),
        ("alerts: {wraparound_warn: 1.5}", "alerts.wraparound_warn: must be a whole number, without a unit"),
        ("alerts: {surge_sigma: 1.0e+400}", "alerts.surge_sigma: must be a finite number"),
        ("alerts: {connections_warn: 80}", "alerts.connections_warn: must be at most 1"),
        ("alerts: {disabled: Deadlocks}", "alerts.disabled: must be a list such as [a, b]"),
        ("alerts: {disabled: [deadlocks]}", "alerts.disabled.0: must be an alert's name such as LongTransaction"),
        ("alerts: {overrides: []}", "alerts.overrides: must be a map such as {a: b}"),
        ("alerts: {ignore: [{db: x}]}", "alerts.ignore.0: alert: is missing"),
        ("http: 8181", "http: must be a map of keys"),
        ("databases: {include: []}", "databases.include: must not be empty"),
        ("cluster: ''", "cluster: must not be empty"),
        ("timeouts: {lock_timeout_ms: 0}", "timeouts.lock_timeout_ms: must be at least 1"),
        ("http: {allowed_hosts: ['pgmon:8181']}", "http.allowed_hosts.0: must be a host's name without port"),
        ("http: {external_url: 'https://u:p@h'}", "http.external_url: must be a URL such as https://pgmon.example.com"),
        ("http: {auth: {basic_auth_users: {a: b}}}", "http.auth.basic_auth_users.*: must be a bcrypt hash"),
        ("security: {tolerate: [all]}", "security.tolerate.0: must be public_schema_create or"),
        ("notifiers: {webhook: example.com}", "notifiers.webhook: must be a URL such as https://"),
        ("notifiers: {email_smtp: 'smtp://h?from=a'}", "notifiers.email_smtp: must be a URL such as smtp://"),
        ("logging: {format: xml}", "logging.format: must be 'json' or 'console'"),
    ],
)
def test_a_wrong_type_or_form_is_told_with_the_accepted_one(faults, text, said):
    (fault,) = faults(text)

    assert fault.startswith(f"pgmon.yaml:1: {said}")


# Durations, moments, cron.


@pytest.mark.parametrize(
    ("text", "seconds"), [("1s", 1), ("15s", 15), ("10m", 600), ("1h30m", 5400), ("90d", 7_776_000), ("1500ms", 1.5)]
)
def test_durations_become_seconds(loaded, text, seconds):
    assert loaded(f"partitions: {{retention: {{public.readings: {text}}}}}").partitions.retention == {
        "public.readings": seconds
    }


@pytest.mark.fault("F89")
@pytest.mark.parametrize("text", ["15", "1.5", "''", "15 s", "s", "1m1h", "-5s", "1e3s", "yes", "[15s]", "1:30", "١٥s"])
def test_a_duration_without_its_unit_is_told_how_to_write_it(faults, text):
    assert faults(f"alerts: {{group_interval: {text}}}") == [
        "pgmon.yaml:1: alerts.group_interval: must be a duration such as 15s, 10m, 1h30m or 90d (write 15s, not 15)"
    ]


@pytest.mark.parametrize("text", ["999ms", "0s", "3651d"])
def test_an_interval_is_one_second_at_least(faults, text):
    (fault,) = faults(f"sample_intervals: {{hot_path: {text}}}")

    assert fault == "pgmon.yaml:1: sample_intervals.hot_path: must be a duration from 1s to 3650d"


def test_the_lists_of_alerts_become_typed_values(loaded):
    alerts = loaded("""
        alerts:
          overrides: {LongTransaction: {warn: 600, crit: 7200, for: 0s, severity: critical, class: advisory}}
          ignore:
            - {alert: DeadTuples, db: iot, object: public.*, until: 2026-12-31}
            - {alert: WalSurge, until: 2026-12-31T18:00Z}
          maintenance: [{cron: "0,30 2-4/2 * * 0", duration: 2h}]
          disabled: [Deadlocks]
    """).alerts

    override = alerts.overrides["LongTransaction"]
    assert (override.warn, override.for_, override.keep_firing_for, override.class_) == (600, 0, None, "advisory")
    assert [ignore.until for ignore in alerts.ignore] == [
        datetime(2026, 12, 31, tzinfo=UTC),
        datetime(2026, 12, 31, 18, tzinfo=UTC),
    ]
    assert alerts.maintenance[0].duration == 7200
    assert alerts.disabled == ("Deadlocks",)


@pytest.mark.parametrize("cron", ["0 25 * * *", "* * * *", "@daily", "*/0 * * * *", "0 2 * * SUN", "0 2 0 * *", ""])
def test_a_cron_line_that_never_comes_is_a_fault(faults, cron):
    (fault,) = faults(f"alerts: {{maintenance: [{{cron: '{cron}', duration: 2h}}]}}")

    assert fault.startswith("pgmon.yaml:1: alerts.maintenance.0.cron: must be five fields of numbers")


@pytest.mark.parametrize("until", ["tomorrow", "2026-02-30", "[]", "yes"])
def test_an_end_that_is_no_date_is_a_fault(faults, until):
    (fault,) = faults(f"alerts: {{ignore: [{{alert: WalSurge, until: {until}}}]}}")

    assert fault.startswith("pgmon.yaml:1: alerts.ignore.0.until: must be a date or a time such as 2026-12-31")


# Keys that depend on each other.


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("budgets: {workload: 2m}", "budgets.workload: must not exceed sample_intervals.workload (60)"),
        ("sample_intervals: {workload: 2s}", "sample_intervals.workload: must be at least budgets.workload (3)"),
        ("sample_intervals: {hourly: 4h}", "sample_intervals.hourly: must not exceed max_stale.hourly (10800)"),
        ("max_stale: {hot_path: 10s}", "max_stale.hot_path: must be at least sample_intervals.hot_path (15)"),
        ("alerts: {repl_warn_s: 301}", "alerts.repl_warn_s: must not exceed alerts.repl_crit_s (300)"),
        ("alerts: {xmin_crit: 1}", "alerts.xmin_crit: must be at least alerts.xmin_warn (50000000)"),
        ("alerts: {slot_runway_crit_s: 14401}", "alerts.slot_runway_crit_s: must not exceed alerts.slot_runway_warn_s"),
    ],
)
def test_keys_that_contradict_each_other_are_faults(faults, text, said):
    (fault,) = faults(text)

    assert fault.startswith(f"pgmon.yaml:1: {said}")


def test_every_threshold_with_two_levels_is_compared():
    pairs = {name.replace("_crit", "_warn") for name in config.Alerts.model_fields if "_crit" in name}

    assert {
        next(n for n in (low[1], high[1]) if "_warn" in n) for low, high in config._PAIRS if low[0] == "alerts"
    } == pairs


def test_equal_levels_are_no_contradiction(loaded):
    assert loaded("alerts: {repl_warn_s: 300}\nbudgets: {workload: 60s}\n").alerts.repl_warn_s == 300


def test_a_faulty_key_is_not_compared_with_its_default(faults):
    assert len(faults("sample_intervals: {workload: 5x}\nbudgets: {workload: 2m}")) == 1
    assert len(faults("sample_intervals: 5\nbudgets: {workload: 2m}")) == 1


# http.bind


@pytest.mark.parametrize(
    ("bind", "address"),
    [
        ("0.0.0.0:8181", ("0.0.0.0", 8181)),
        ("[::]:8181", ("::", 8181)),
        ("[::1]:0", ("::1", 0)),
        ("localhost:65535", ("localhost", 65535)),
    ],
)
def test_bind_gives_host_and_port(loaded, bind, address):
    assert loaded(f"http: {{bind: '{bind}'}}").http.address == address


@pytest.mark.parametrize(
    "bind", ["8181", ":8181", "::1:8181", "[::1]", "host", "host:", "host:65536", "host:٨١٨١", "host:-1", "a b:1"]
)
def test_a_bind_that_is_no_address_is_a_fault(faults, bind):
    (fault,) = faults(f"http: {{bind: '{bind}'}}")

    assert fault.startswith("pgmon.yaml:1: http.bind: must be host:port such as 0.0.0.0:8181 or [::]:8181")


# The environment.


def test_every_key_has_one_variable():
    assert len(config.VARIABLES) == len(config.LEAVES)
    assert {"PGMON_DSN", "PGMON_ALERTS_LONG_TXN_WARN_S", "PGMON_HTTP_AUTH_METRICS"} <= set(config.VARIABLES)


def test_a_variable_wins_over_the_file(loaded):
    result = loaded("cluster: file\nlimits: {databases: 7}\nhttp:\n", PGMON_CLUSTER="env", PGMON_HTTP_THREADS="9")

    assert (result.cluster, result.limits.databases, result.http.threads) == ("env", 7, 9)


def test_a_variable_replaces_a_faulty_value_of_the_file(loaded):
    text = "dsn: [x]\nalerts: {overrides: {A: 5}}"

    assert loaded(text, PGMON_DSN="good", PGMON_ALERTS_OVERRIDES="{A: {warn: 1}}").alerts.overrides["A"].warn == 1


def test_a_faulty_value_is_told_at_the_variable_that_replaced_it(faults):
    (fault,) = faults("alerts: {overrides: {A: {warn: 1}}}", PGMON_ALERTS_OVERRIDES="{A: {warn: x}}")

    assert fault == "PGMON_ALERTS_OVERRIDES: A.warn: must be a number, without a unit"


def test_a_variable_does_not_mend_a_section_that_is_none(faults):
    assert faults("http: 8181", PGMON_HTTP_THREADS="4") == ["pgmon.yaml:1: http: must be a map of keys"]


@pytest.mark.parametrize("text", ["0123", "yes", "null", "1.50", "a: b", "[x]", "*x", "p#w", "~"])
def test_a_text_in_a_variable_is_taken_as_it_is(text):
    result = load(None, {"PGMON_CLUSTER": text, "PGMON_DSN": text}).config

    assert (result.cluster, result.dsn.get_secret_value()) == (text, text)


def test_lists_maps_numbers_and_durations_in_variables_are_yaml():
    result = load(
        None,
        {
            "PGMON_DATABASES_EXCLUDE": "[a, 'b*']",
            "PGMON_PARTITIONS_RETENTION": "{public.readings: 90d}",
            "PGMON_ALERTS_CONNECTIONS_WARN": "0.5",
            "PGMON_ALERTS_ENABLED": "no",
            "PGMON_BUDGETS_WORKLOAD": "1500ms",
            "PGMON_LOGGING_LEVEL": "debug",
        },
    ).config

    assert result.databases.exclude == ("a", "b*")
    assert result.partitions.retention == {"public.readings": 7_776_000}
    assert (result.alerts.connections_warn, result.alerts.enabled) == (0.5, False)
    assert (result.budgets.workload, result.logging.level) == (1.5, "debug")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PGMON_BUDGETS_WORKLOAD", "15", "must be a duration such as 15s"),
        ("PGMON_DATABASES_EXCLUDE", "a,b", "must be a list such as [a, b]"),
        ("PGMON_DATABASES_EXCLUDE", "[*]", "is not valid YAML: aliases"),
        ("PGMON_LIMITS_SERIES", "many", "must be a whole number"),
        ("PGMON_PARTITIONS_RETENTION", "{a.b: 1d, a.b: 2d}", "a.b: duplicate key, first given on line 1"),
        ("PGMON_PARTITIONS_RETENTION", "{a.b: 90}", "a.b: must be a duration"),
        ("PGMON_ALERTS_CONNECTIONS_WARN", "0.99", "must not exceed alerts.connections_crit (0.95)"),
        ("PGMON_CLUSTER", "a\0b", "has a control character"),
        ("PGMON_CLUSTER", "a\udcff", "has a control character"),
    ],
)
def test_a_faulty_variable_is_told_by_its_name(name, value, said):
    with pytest.raises(ConfigError) as caught:
        load(None, {name: value})

    assert caught.value.faults[0].startswith(f"{name}: {said}")


def test_an_empty_variable_counts_as_not_set(loaded):
    assert loaded("cluster: file", PGMON_CLUSTER="", PGMON_DSN_FILE="", PGMON_NONSENSE="").cluster == "file"


def test_a_final_newline_of_a_secret_is_cut():
    assert load(None, {"PGMON_DSN": "host=db\n"}).config.dsn.get_secret_value() == "host=db"


def test_an_unknown_variable_is_a_warning_that_names_the_nearest():
    loaded = load(None, {"PGMON_ALERTS_LONG_TX_WARN_S": "1", "PGMON_DSN_FIEL": "x", "PGMON_XYZZY": "x", "PATH": "/bin"})

    assert loaded.warnings == (
        "PGMON_ALERTS_LONG_TX_WARN_S: unknown variable; did you mean 'PGMON_ALERTS_LONG_TXN_WARN_S'?",
        "PGMON_DSN_FIEL: unknown variable; did you mean 'PGMON_DSN_FILE'?",
        "PGMON_XYZZY: unknown variable",
    )


def test_an_unknown_variable_is_a_fault_for_check():
    with pytest.raises(ConfigError, match="PGMON_CLUSTR: unknown variable; did you mean 'PGMON_CLUSTER'"):
        load(None, {"PGMON_CLUSTR": "x"}, strict=True)


@pytest.mark.parametrize(
    "name",
    [
        "PGMON_SERVICE_HOST",
        "PGMON_SERVICE_PORT",
        "PGMON_SERVICE_PORT_HTTP",
        "PGMON_PORT",
        "PGMON_PORT_8181_TCP",
        "PGMON_PORT_8181_TCP_ADDR",
        "PGMON_METRICS_SERVICE_HOST",
        "PGMON_METRICS_PORT_80_TCP_PROTO",
    ],
)
def test_the_variables_that_kubernetes_injects_are_ignored(name):
    assert load(None, {name: "tcp://10.0.0.1:8181"}, strict=True).config == Config()


@pytest.mark.parametrize("name", ["PGMON_REPORT", "PGMON_PORTS", "PGMON_PORT_8181"])
def test_what_only_looks_like_kubernetes_is_not_ignored(name):
    assert load(None, {name: "x"}).warnings


@pytest.mark.parametrize("name", ["PGMON_DSN", *(v for v in config.FILES.values() if "NOTIFIERS" in v)])
def test_a_secret_is_read_from_the_file_that_a_variable_names(tmp_path, name):
    value = "smtp://user:0123@host:587?from=a@b.c&to=d@e.f" if "SMTP" in name else "https://example.com/0123"
    (tmp_path / "secret").write_text(f"{value}\n")

    result = load(None, {f"{name}_FILE": str(tmp_path / "secret")}).config

    section = result if name == "PGMON_DSN" else result.notifiers
    assert getattr(section, config.VARIABLES[name][-1]).get_secret_value() == value


def test_a_byte_order_mark_is_no_part_of_a_secret(tmp_path):
    (tmp_path / "secret").write_text("host=db", encoding="utf-8-sig")

    assert load(None, {"PGMON_DSN_FILE": str(tmp_path / "secret")}).config.dsn.get_secret_value() == "host=db"


def test_a_variable_and_its_file_exclude_each_other(tmp_path, faults):
    (tmp_path / "secret").write_text("host=db")

    assert faults(PGMON_DSN="x", PGMON_DSN_FILE=str(tmp_path / "secret")) == [
        "PGMON_DSN_FILE: PGMON_DSN is set too; set one of them"
    ]


def test_an_empty_secret_file_is_a_fault(tmp_path, faults):
    (tmp_path / "secret").write_text("\n")

    assert faults(PGMON_DSN_FILE=str(tmp_path / "secret")) == ["PGMON_DSN_FILE: the file is empty"]


@pytest.mark.parametrize("name", [f"postgres://u:{CANARY}@h", f"\0{CANARY}", "\udcff" + CANARY, "/"])
def test_an_unreadable_secret_file_is_a_fault_without_its_name(faults, name):
    (fault,) = faults(PGMON_DSN_FILE=name)

    assert fault.startswith("PGMON_DSN_FILE: the file cannot be read: ")
    assert CANARY not in fault


# Secrets.


SHAPES = [
    CANARY,
    [CANARY],
    {CANARY: CANARY},
    {"a": CANARY},
    [{CANARY: 5}],
    {"a": {"b": [CANARY]}},
    {CANARY: {CANARY: 5}},
]
PLACES = [*config.KEYS, ("unknown",), ("http", "unknown"), ("alerts", CANARY), (CANARY,), ("notifiers", CANARY)]
BROKEN = [
    "dsn: '",
    "dsn: *",
    "dsn: @",
    "dsn: a: ",
    "dsn: !",
    "dsn: &",
    "- ",
    "",
    "\tdsn: ",
    "dsn: {",
    '"',
    "%",
    "dsn: |9",
]


def planted():
    """Yield texts with the canary in every place of a configuration, right or wrong."""
    for path in PLACES:
        for value in SHAPES:
            for key in reversed(path):
                value = {key: value}
            yield yaml.safe_dump(value)
    yield from (beginning + CANARY for beginning in BROKEN)
    yield f"dsn: {CANARY}\ndsn: {CANARY}"
    yield f"dsn: {{{CANARY}: 1, {CANARY}: 2}}"
    yield f'dsn: "\\x{CANARY}"'
    yield f"{CANARY}\ndsn: x"
    yield f"dsn: x\n{CANARY}"


def outcome(path, environ):
    """Return the result of a load, or its ConfigError."""
    try:
        return load(path, environ, strict=True)
    except ConfigError as error:
        return error


def said(path, environ):
    """Return what a load says: its faults and their causes, or what its result shows of the secret keys."""
    result = outcome(path, environ)
    if isinstance(result, ConfigError):
        return repr((str(result), result, result.faults, result.__cause__, result.__context__))
    config, shown = result.config, describe(result.config)
    return repr((config.dsn, config.notifiers, config.http.auth.basic_auth_users, shown["dsn"], shown["notifiers"]))


@pytest.mark.fault("F51")
def test_a_value_of_the_file_is_never_quoted(written):
    assert [text for text in planted() if CANARY in said(written(text), {})] == []


@pytest.mark.fault("F51")
@pytest.mark.parametrize("shape", ["{}", "[{}]", "{{{0}: {0}}}", "{{{0}: 1, {0}: 2}}", "'{}", "*{}", "a\0{}"])
def test_a_value_of_the_environment_is_never_quoted(shape):
    names = [*config.VARIABLES, *config.FILES, "PGMON_UNKNOWN"]

    assert [name for name in names if CANARY in said(None, {name: shape.format(CANARY)})] == []


def test_no_chained_exception_keeps_a_value():
    for environ in ({"PGMON_LIMITS_SERIES": CANARY}, {"PGMON_DSN_FILE": CANARY}, {"PGMON_ALERTS_IGNORE": f"[{CANARY}"}):
        error = outcome(None, environ)
        assert (error.__cause__, error.__context__) == (None, None)


def test_a_good_configuration_never_shows_its_secrets(loaded):
    result = loaded(
        f"dsn: postgres://u:{CANARY}@h/db\n"
        f"http: {{auth: {{basic_auth_users: {{ann: '{HASH}'}}}}}}\n"
        f"notifiers: {{slack_webhook: 'https://h/{CANARY}', webhook: 'https://h/{CANARY}',\n"
        f"  email_smtp: 'smtp://u:{CANARY}@h?from=a&to=b', heartbeat_url: 'https://h/{CANARY}'}}\n"
    )

    shown = f"{result} {result!r} {describe(result)} {result.model_dump()} {result.model_dump_json()}"
    assert CANARY not in shown
    assert HASH not in shown
    assert CANARY in result.notifiers.webhook.get_secret_value()


def test_describe_tells_whether_a_secret_is_set(loaded):
    shown = describe(loaded("dsn: x\nbudgets: {workload: 2s}\nalerts: {overrides: {Deadlocks: {for: 5m}}}"))

    assert json.loads(json.dumps(shown)) == shown
    assert (shown["dsn"], shown["notifiers"]["webhook"], shown["budgets"]["workload"]) == ("(set)", "(not set)", 2)
    assert shown["alerts"]["overrides"]["Deadlocks"]["for"] == 300


# The DSN.


@pytest.mark.parametrize("dsn", ["", " "])
def test_a_command_that_needs_a_dsn_names_the_three_ways(dsn):
    with pytest.raises(ConfigError, match="dsn in the file, PGMON_DSN, or PGMON_DSN_FILE"):
        require_dsn(load(None, {"PGMON_DSN": dsn}).config)


def test_a_dsn_that_is_given_is_enough():
    require_dsn(load(None, {"PGMON_DSN": "host=db"}).config)


# Whatever is given.

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["15s", "a:1", "[", "*"])
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.sampled_from(["warn", "alert"]), inner, max_size=3)
    ),
    max_leaves=8,
)
words = st.sampled_from(sorted({str(part) for path in config.KEYS for part in path})) | st.text(max_size=5)
documents = st.recursive(values, lambda inner: st.dictionaries(words, inner, max_size=5), max_leaves=20)
environs = st.dictionaries(
    st.sampled_from([*config.VARIABLES, *config.FILES]) | st.text().map("PGMON_".__add__), st.text(), max_size=4
)


@pytest.mark.fault("F89")
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode(errors="surrogatepass")))
def test_random_bytes_raise_nothing_but_config_errors(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "bytes.yaml"
    path.write_bytes(content)

    outcome(path, {})


@given(document=documents, environ=environs)
def test_random_yaml_raises_nothing_but_config_errors(tmp_path_factory, document, environ):
    path = tmp_path_factory.getbasetemp() / "random.yaml"
    path.write_text(yaml.safe_dump(document, allow_unicode=True), errors="surrogatepass")

    outcome(path, environ)


@given(
    tokens=st.lists(
        st.sampled_from([*"[]{}:-?!&*|>'\"%@`#,\n\t \\x0", ": ", "\n  ", "- ", "dsn", "alerts", "<<", "!!int "]),
        max_size=40,
    )
)
def test_random_tokens_of_yaml_raise_nothing_but_config_errors(tmp_path_factory, tokens):
    path = tmp_path_factory.getbasetemp() / "tokens.yaml"
    path.write_text("".join(tokens))

    outcome(path, {"PGMON_ALERTS_OVERRIDES": "".join(tokens)})
