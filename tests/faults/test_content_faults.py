"""What is in the server: extensions that come and go, statistics that start anew, databases and settings in the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from pgmon.agent import Agent
from running import Samples, value
from servers import Server
from watching import SESSIONS, Watch, check, commit, sessions

PGSS = ("statements", "latency", "cost")


def statuses(samples: Samples, features: Sequence[str] = PGSS) -> set[str]:
    """Return the statuses of some features."""
    return {check(samples, feature) for feature in features}


# --- limits and locks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "status"),
    [
        ({"TIMEOUTS_STATEMENT_TIMEOUT_MS": "300"}, "timeout"),
        ({"TIMEOUTS_LOCK_TIMEOUT_MS": "300"}, "locked"),
    ],
)
def test_f20_a_statement_that_lasts_too_long_fails_alone(server, limits, status):
    with Watch(server.dsn("monitor"), **limits) as watch:
        watch.scrape()
        good = watch.scrape(60)
        with server.connect() as blocker, blocker.transaction():
            blocker.execute("LOCK TABLE pg_catalog.pg_stat_bgwriter")
            bad = watch.scrape(60)
        watch.scrape(60)
        better = watch.scrape(60)

        assert watch.failed(bad) == {
            "checkpoints": status,
            "checkpoint_pace": status,
        }  # the latter is a view of the former
        assert value(bad, "pg_checkpoints_timed_total") == value(good, "pg_checkpoints_timed_total")
        assert value(bad, "pgmon_errors_total", loop="workload") == 2
        assert value(bad, "pg_tps", db="postgres") is not None
        assert value(bad, "pgmon_watchdog_kills_total") == 0  # the server itself has ended it
        assert watch.failed(better) == {}


# --- pg_stat_statements -----------------------------------------------------------------------------------------------


def test_f26_a_dropped_extension_is_missing_and_read_again_when_it_is_back(server):
    with Watch(server.dsn("monitor")) as watch, server.connect() as admin:
        watch.scrape()
        good = watch.scrape(60)
        admin.execute("DROP EXTENSION pg_stat_statements")
        missing = watch.scrape(60)
        later = watch.scrape(180)
        admin.execute("CREATE EXTENSION pg_stat_statements")
        back = watch.scrape(60)

        assert value(good, "pg_qps") is not None
        assert statuses(missing) == {"missing_extension"}
        assert "pg_stmt_calls_total" in missing  # the last good
        assert not {"pg_stmt_calls_total", "pg_qps", "pgmon_db_share_ratio"} & later.keys()
        assert value(later, "pgmon_last_scrape_success", loop="workload") == 1  # what is not there is no failure
        assert statuses(back) == {"ok"}
        assert back["pg_stmt_calls_total"]
        assert value(back, "pg_qps") is None or 0 <= value(back, "pg_qps") < 100


def test_f27_any_version_of_the_extension_in_any_schema_is_read(fresh_server):
    server, schema = fresh_server(18), '"mon ""it\'or"'
    with Watch(server.dsn("monitor")) as watch, server.connect() as admin:
        admin.execute(f"CREATE SCHEMA {schema}; GRANT USAGE ON SCHEMA {schema} TO monitor")
        seen = {}
        for version in ("1.7", "1.8", "1.9", "1.10", "1.12"):
            admin.execute("DROP EXTENSION pg_stat_statements")
            admin.execute(f"CREATE EXTENSION pg_stat_statements SCHEMA {schema} VERSION '{version}'")
            watch.scrape(60)
            samples = watch.scrape(60)
            seen[version] = statuses(samples), watch.failed(samples), bool(samples.get("pg_stmt_calls_total"))

        assert seen == dict.fromkeys(seen, ({"ok"}, {}, True))


@pytest.fixture
def settings(server: Server) -> Iterator[Server]:
    """Return the shared server, to be restarted with other settings, which a test appends and this takes back."""
    before = server.settings["shared_preload_libraries"]
    yield server
    server.configure({"shared_preload_libraries": before, "pg_stat_statements.max": "5000"})
    server.restart()


def test_f28_a_library_that_is_not_loaded_is_missing(settings):
    settings.configure({"shared_preload_libraries": ""})
    settings.restart()
    with Watch(settings.dsn("monitor")) as watch:
        watch.scrape()
        samples = watch.scrape(60)

        assert statuses(samples) == {"missing_extension"}
        assert not {"pg_stmt_calls_total", "pg_qps"} & samples.keys()
        assert (value(samples, "pg_up"), watch.failed(samples)) == (1, {})
        assert value(samples, "pg_tps", db="postgres") is not None


def test_f29_evicted_statements_make_no_rate_negative(settings):
    settings.configure({"pg_stat_statements.max": "100"})
    settings.restart()
    with Watch(settings.dsn("monitor"), LIMITS_TOP_QUERIES="5") as watch, settings.connect() as client:
        seen = []
        for _ in range(5):
            for columns in range(1, 250):
                client.execute("SELECT " + ", ".join(["1"] * columns))
                if columns < 20:
                    client.execute("SELECT " + ", ".join(["1"] * columns))
            seen.append(watch.scrape(60))
        others = [value(s, "pg_stmt_calls_total", db="postgres", queryid="other") for s in seen[1:]]
        rates = [value(s, "pg_qps") for s in seen[1:]]

        assert None not in others
        assert others == sorted(others)
        assert all(0 <= rate < 400 / 60 for rate in rates)
        assert min(v for s in seen for v in s["pg_stmt_time_seconds_total"].values()) >= 0


# --- statistics -------------------------------------------------------------------------------------------------------

RESETS = (
    "SELECT pg_stat_reset()",
    "SELECT public.pg_stat_statements_reset()",
    "SELECT pg_stat_reset_shared('bgwriter')",
)


@pytest.mark.parametrize("reset", RESETS)
def test_f30_statistics_that_were_reset_make_no_absurd_rate(server, reset):
    commit(server, 100_000)
    with Watch(server.dsn("monitor")) as watch, server.connect() as admin:
        watch.scrape()
        watch.scrape(60)
        admin.execute(reset)
        seen = [watch.scrape(60) for _ in range(2)]

        for samples in seen:
            for metric, most in {"pg_tps": 100, "pg_qps": 100, "pgmon_db_share_ratio": 1}.items():
                assert all(0 <= v <= most for v in samples.get(metric, {}).values()), metric
            assert watch.failed(samples) == {}
        assert value(seen[1], "pg_tps", db="postgres") is not None


# --- databases and roles ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gone", ["DROP DATABASE doomed", "ALTER DATABASE doomed RENAME TO renamed"])
def test_f33_a_database_that_is_gone_before_its_turn_is_passed_over(server, gone):
    with server.connect() as admin:

        class Late(Agent):
            """Between finding the databases and visiting them, one is gone."""

            def chosen(self, databases: Sequence[str]) -> list[str]:
                """Return the databases that were there."""
                admin.execute(gone) if "doomed" in databases else None
                return super().chosen(databases)

        with Watch(server.dsn("monitor"), Late) as watch:
            first = watch.scrape()  # the guard has looked into every database there was
            watch.scrape(1)  # nobody waits for the storage loop any more
            watch.rest()
            admin.execute("CREATE DATABASE doomed")
            watch.scrape(60)
            watch.rest()
            facts = watch.agent.caches["workload"].latest
            second = watch.scrape(60)
            crowd = sessions(server)
        admin.execute("DROP DATABASE IF EXISTS renamed")

    assert str(facts.readings["freshness", "doomed"].failure) == "gone"
    assert (value(first, "pg_up"), watch.failed(second)) == (1, {})
    assert facts.success
    assert crowd <= SESSIONS
    assert not [s for family in second.values() for s in family if ("db", "doomed") in s]


HOSTILE = {
    "search_path": "public, pg_catalog",
    "statement_timeout": "1ms",
    "lock_timeout": "1ms",
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Pacific/Kiritimati",
    "default_transaction_read_only": "off",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "role": "powerless",
    "extra_float_digits": "-15",
    "client_min_messages": "debug5",
    "client_encoding": "LATIN1",
    "standard_conforming_strings": "off",
    "row_security": "off",
    "idle_in_transaction_session_timeout": "1ms",
}
SHADOWS = """
CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT NULL::timestamptz';
CREATE VIEW public.pg_stat_activity AS SELECT 1 AS nothing;
GRANT SELECT ON public.pg_stat_activity TO PUBLIC
"""


@pytest.fixture
def hostile(server: Server) -> Iterator[Server]:
    """Return the shared server, whose role has settings that would spoil every answer."""
    with server.connect() as admin:
        admin.execute(f"CREATE ROLE powerless ROLE monitor; {SHADOWS}")
        for name, setting in HOSTILE.items():
            admin.execute(f"ALTER ROLE monitor SET {name} TO {setting if ',' in setting else repr(setting)}")
        yield server
        admin.execute("ALTER ROLE monitor RESET ALL; DROP ROLE powerless")
        admin.execute("DROP FUNCTION public.now; DROP VIEW public.pg_stat_activity")


def test_f43_the_settings_of_the_role_change_nothing(server, request):
    with Watch(server.dsn("monitor")) as watch:
        good = [watch.scrape(), watch.scrape(60)][-1]
        ours = sessions(server)
    server.wait_for("SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE application_name = 'pgmon'", 0)
    request.getfixturevalue("hostile")
    with Watch(server.dsn("monitor")) as watch:
        seen = [watch.scrape()] + [watch.scrape(60) for _ in range(5)]
        now = sessions(server)

        assert [watch.failed(s) for s in seen] == [{}] * 6
        assert sum(seen[-1]["pgmon_errors_total"].values()) == 0
        assert value(seen[-1], "pgmon_degraded", reason="not_shielded") is None
        # The fixture holds one session.
        assert value(seen[-1], "pg_connections") - now == value(good, "pg_connections") - ours + 1
        assert {labels for labels in good["pg_tps"]} == {labels for labels in seen[-1]["pg_tps"]}
        facts = watch.agent.caches["hot_path"].latest.facts
        assert facts.start_time != round(facts.start_time)  # with all its digits


def test_f43_the_settings_of_the_role_change_nothing_on_a_standby(hostile, replica):
    with Watch(replica.dsn("monitor")) as watch:
        watch.scrape()
        samples = watch.scrape(60)

        assert (value(samples, "pg_up"), watch.failed(samples)) == (1, {})
