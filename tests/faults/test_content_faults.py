"""What is in the server: extensions that come and go, statistics that start anew, databases and settings in the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from pgmon.agent import Agent
from running import Process, Samples, value
from servers import Server
from surviving import Survivor
from watching import SESSIONS, Watch, check, commit, sessions

PGSS = ("statements", "latency", "cost")


def statuses(samples: Samples, features: Sequence[str] = PGSS) -> set[str]:
    """Return the statuses of some features."""
    return {check(samples, feature) for feature in features}


# --- limits and locks -------------------------------------------------------------------------------------------------


@pytest.mark.fault("F20")
@pytest.mark.parametrize(
    ("limits", "status"),
    [
        ({"TIMEOUTS_STATEMENT_TIMEOUT_MS": "300"}, "timeout"),
        ({"TIMEOUTS_LOCK_TIMEOUT_MS": "300"}, "locked"),
    ],
)
def test_a_statement_that_lasts_too_long_fails_alone(server, limits, status):
    with Survivor(server, **limits) as watch:
        watch.scrape()
        good = watch.landed(60)
        with server.connect() as blocker, blocker.transaction():
            blocker.execute("LOCK TABLE pg_catalog.pg_stat_bgwriter")
            bad = watch.landed(60)
        watch.landed(60)
        better = watch.landed(60)

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


@pytest.mark.fault("F26")
def test_a_dropped_extension_is_missing_and_read_again_when_it_is_back(server):
    with Survivor(server) as watch, server.connect() as admin:
        watch.scrape()
        good = watch.landed(60)
        admin.execute("DROP EXTENSION pg_stat_statements")
        missing = watch.landed(60)
        later = watch.scrape(180)
        admin.execute("CREATE EXTENSION pg_stat_statements")
        back = watch.landed(60)

        assert value(good, "pg_qps") is not None
        assert statuses(missing) == {"missing_extension"}
        assert "pg_stmt_calls_total" in missing  # the last good
        assert not {"pg_stmt_calls_total", "pg_qps", "pgmon_db_share_ratio"} & later.keys()
        assert value(later, "pgmon_last_scrape_success", loop="workload") == 1  # what is not there is no failure
        assert statuses(back) == {"ok"}
        assert back["pg_stmt_calls_total"]
        assert value(back, "pg_qps") is None or 0 <= value(back, "pg_qps") < 100


@pytest.mark.fault("F27")
def test_any_version_of_the_extension_in_any_schema_is_read(newest):
    server, schema = newest, '"mon ""it\'or"'
    with Survivor(server) as watch, server.connect() as admin:
        admin.execute(f"CREATE SCHEMA {schema}; GRANT USAGE ON SCHEMA {schema} TO monitor")
        seen = {}
        for version in ("1.7", "1.8", "1.9", "1.10", "1.12"):
            admin.execute("DROP EXTENSION pg_stat_statements")
            admin.execute(f"CREATE EXTENSION pg_stat_statements SCHEMA {schema} VERSION '{version}'")
            watch.landed(60)
            samples = watch.landed(60)
            seen[version] = statuses(samples), watch.failed(samples), bool(samples.get("pg_stmt_calls_total"))

        admin.execute(f"DROP SCHEMA {schema} CASCADE; CREATE EXTENSION pg_stat_statements")
        assert seen == dict.fromkeys(seen, ({"ok"}, {}, True))


@pytest.fixture
def settings(server: Server) -> Iterator[Server]:
    """Return the shared server, to be restarted with other settings, which a test appends and this takes back."""
    before = server.settings["shared_preload_libraries"]
    yield server
    server.configure({"shared_preload_libraries": before, "pg_stat_statements.max": "5000"})
    server.restart()


@pytest.mark.fault("F28")
def test_a_library_that_is_not_loaded_is_missing(settings):
    settings.configure({"shared_preload_libraries": ""})
    settings.restart()
    with Survivor(settings) as watch:
        watch.scrape()
        samples = watch.landed(60)

        assert statuses(samples) == {"missing_extension"}
        assert not {"pg_stmt_calls_total", "pg_qps"} & samples.keys()
        assert (value(samples, "pg_up"), watch.failed(samples)) == (1, {})
        assert value(samples, "pg_tps", db="postgres") is not None


@pytest.mark.fault("F29")
def test_evicted_statements_make_no_rate_negative(settings):
    settings.configure({"pg_stat_statements.max": "100"})
    settings.restart()
    with Survivor(settings, LIMITS_TOP_QUERIES="5") as watch, settings.connect() as client:
        seen = []
        for _ in range(5):
            for columns in range(1, 250):
                client.execute("SELECT " + ", ".join(["1"] * columns))
                if columns < 20:
                    client.execute("SELECT " + ", ".join(["1"] * columns))
            seen.append(watch.landed(60))
        others = [value(s, "pg_stmt_calls_total", db="postgres", queryid="other") for s in seen[1:]]
        rates = [value(s, "pg_qps") for s in seen[1:]]

        assert None not in others
        assert others == sorted(others)
        assert all(0 <= rate < 400 / 60 for rate in rates)
        assert min(v for s in seen for v in s["pg_stmt_time_seconds_total"].values()) >= 0


@pytest.mark.fault("F32")
def test_statements_without_an_id_are_no_rows_and_no_failure(settings):
    settings.configure({"compute_query_id": "off"})
    settings.restart()
    with Survivor(settings) as watch, settings.connect() as client:
        client.execute("SELECT pg_stat_statements_reset()")
        for _ in range(2):
            client.execute("SELECT 'nobody counts this'")
            samples = watch.landed(60)
        settings.configure({"compute_query_id": "auto"})

        assert watch.failed(samples) == {}
        assert not {labels for labels in samples.get("pg_stmt_calls_total", {}) if ("queryid", "other") not in labels}


# --- statistics -------------------------------------------------------------------------------------------------------

RESETS = (
    "SELECT pg_stat_reset()",
    "SELECT public.pg_stat_statements_reset()",
    "SELECT pg_stat_reset_shared('bgwriter')",
)


@pytest.mark.fault("F30")
@pytest.mark.parametrize("reset", RESETS)
def test_statistics_that_were_reset_make_no_absurd_rate(server, reset):
    commit(server, 100_000)
    with Survivor(server) as watch, server.connect() as admin:
        watch.scrape()
        watch.landed(60)
        admin.execute(reset)
        seen = [watch.landed(60) for _ in range(2)]

        for samples in seen:
            for metric, most in {"pg_tps": 100, "pg_qps": 100, "pgmon_db_share_ratio": 1}.items():
                assert all(0 <= v <= most for v in samples.get(metric, {}).values()), metric
            assert watch.failed(samples) == {}
        assert value(seen[1], "pg_tps", db="postgres") is not None


# --- databases and roles ----------------------------------------------------------------------------------------------


@pytest.mark.fault("F33")
@pytest.mark.parametrize("gone", ["DROP DATABASE doomed", "ALTER DATABASE doomed RENAME TO renamed"])
def test_a_database_that_is_gone_before_its_turn_is_passed_over(server, gone):
    with server.connect() as admin:

        class Late(Agent):
            """Between finding the databases and visiting them, one is gone."""

            def chosen(self, databases: Sequence[str]) -> list[str]:
                """Return the databases that were there."""
                admin.execute(gone) if "doomed" in databases else None
                return super().chosen(databases)

        with Survivor(server, Late) as watch:
            first = watch.landed()  # the guard has looked into every database there was
            watch.rest()
            admin.execute("CREATE DATABASE doomed")
            watch.landed(60)
            watch.rest()
            facts = watch.agent.caches["workload"].latest
            second = watch.landed(60)
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
CREATE FUNCTION public.wrong(integer, integer) RETURNS boolean LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR public.= (LEFTARG = integer, RIGHTARG = integer, FUNCTION = public.wrong);
CREATE VIEW public.pg_stat_activity AS SELECT 1 AS nothing;
CREATE TABLE public."☃" AS SELECT 1 AS in_no_latin1;
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
        admin.execute("DROP FUNCTION public.now; DROP FUNCTION public.wrong CASCADE")
        admin.execute('DROP VIEW public.pg_stat_activity; DROP TABLE public."☃"')


@pytest.mark.fault("F43", "F44")
def test_the_settings_of_the_role_change_nothing(server, request):
    with Survivor(server) as watch:
        good = [watch.scrape(), watch.landed(60)][-1]
        ours = sessions(server)
    server.wait_for("SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE application_name = 'pgmon'", 0)
    request.getfixturevalue("hostile")
    with Survivor(server) as watch:
        seen = [watch.scrape()] + [watch.landed(60) for _ in range(5)]
        now = sessions(server)

        assert [watch.failed(s) for s in seen] == [{}] * 6
        assert sum(seen[-1]["pgmon_errors_total"].values()) == 0
        assert value(seen[-1], "pgmon_degraded", reason="not_shielded") is None
        # The fixture holds one session.
        assert value(seen[-1], "pg_connections") - now == value(good, "pg_connections") - ours + 1
        assert {labels for labels in good["pg_tps"]} == {labels for labels in seen[-1]["pg_tps"]}
        facts = watch.agent.caches["hot_path"].latest.facts
        assert facts.start_time != round(facts.start_time)  # with all its digits


@pytest.mark.fault("F43")
def test_the_settings_of_the_role_change_nothing_on_a_standby(hostile, replica):
    with Survivor(replica) as watch:
        watch.scrape()
        samples = watch.landed(60)

        assert (value(samples, "pg_up"), watch.failed(samples)) == (1, {})


# --- bytes ------------------------------------------------------------------------------------------------------------

BYTES = b"caf\xe9"  # a word of LATIN1, and no UTF-8


@pytest.fixture(params=["SQL_ASCII", "LATIN1"])
def foreign(request, server: Server) -> Iterator[str]:
    """Return a database of another encoding, with a table whose name is no UTF-8, and a session that shows such."""
    make = "CREATE DATABASE odd TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C' ENCODING '{}'"
    with server.connect() as admin:
        admin.execute(make.format(request.param))
        with server.connect(dbname="odd", client_encoding=request.param) as client:
            client.execute(b'CREATE TABLE "' + BYTES + b'" AS SELECT generate_series(1, 1000) AS n')
            client.execute(b"SET application_name = '" + BYTES + b"'")
            client.execute(b'BEGIN; SELECT 1 AS "' + BYTES + b'"')
            yield request.param
        admin.execute("DROP DATABASE odd WITH (FORCE)")
        admin.execute("SELECT pg_stat_statements_reset()")


@pytest.mark.fault("F42")
def test_names_in_no_encoding_are_shown_and_break_nothing(server, foreign):
    with Survivor(server, BUDGETS_STORAGE="30s", BUDGETS_HOURLY="30s") as watch:
        watch.scrape()
        watch.rest()
        samples = watch.landed(60)

        # One statement in SQL_ASCII, and pg_stat_statements tells the text of none.
        assert watch.failed(samples) == ({"statement_texts": "failed"} if foreign == "SQL_ASCII" else {})
        assert [s for s in samples["pg_relation_size_bytes"] if ("db", "odd") in s]


# --- others who watch -------------------------------------------------------------------------------------------------


@pytest.mark.fault("F90")
def test_two_agents_watch_one_server_and_neither_minds(server):
    environ = {"PGMON_LIMITS_CONNECTIONS": "2", "PGMON_SAMPLE_INTERVALS_HOT_PATH": "1s"}
    with Process(server.dsn("monitor"), environ=environ) as other, Watch(server.dsn("monitor")) as watch:
        seen = [watch.landed(60) for _ in range(3)]
        other.wait_for("pg_up", 1)

        assert (value(seen[-1], "pg_up"), watch.failed(seen[-1])) == (1, {})
