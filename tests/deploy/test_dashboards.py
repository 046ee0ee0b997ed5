"""Grafana's dashboards are those of the catalogue, and all that they ask has an answer."""

from __future__ import annotations

import re
import threading
from contextlib import ExitStack, contextmanager
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

import reading
import servers
from dashboards import DASHBOARDS, METRICS, dashboard
from examples import made
from fakes import ShiftedTime
from pgmon.agent import TIERS
from pgmon.incidents import cluster, relations, sessions
from pgmon.web import create_app
from prometheus import Prometheus
from running import ROOT

GOLDEN = ROOT / "tests" / "golden"
PANELS = [(shown.uid, panel) for shown in DASHBOARDS for panel in dashboard(shown)["panels"] if panel["type"] != "row"]
EXPRESSIONS = sorted({target["expr"] for _, panel in PANELS for target in panel["targets"]})


@pytest.mark.parametrize(("path", "text"), list(made()), ids=lambda value: getattr(value, "name", ""))
def test_an_example_that_follows_from_the_catalogue_is_up_to_date(path, text):
    assert path.read_text(encoding="utf-8") == text, "run: python tests/examples.py"


def test_every_metric_is_on_a_dashboard():
    shown = {name for each in DASHBOARDS for names in each.rows.values() for name in names}

    assert shown == set(METRICS)


@pytest.mark.parametrize("shown", DASHBOARDS, ids=lambda shown: shown.uid)
def test_a_dashboard_has_what_grafana_wants(shown):
    found = dashboard(shown)
    variables = {each["name"]: each for each in found["templating"]["list"]}
    panels = [panel for panel in found["panels"] if panel["type"] != "row"]

    assert list(variables) == ["datasource", "job", "instance", "cluster", "db"]
    assert all(variables[name]["multi"] and variables[name]["allValue"] == ".+" for name in list(variables)[1:])
    assert len({panel["id"] for panel in found["panels"]}) == len(found["panels"])
    assert all(panel["title"] and panel["description"] for panel in panels)
    assert all(panel["fieldConfig"]["defaults"]["unit"] for panel in panels)
    assert {panel["datasource"]["uid"] for panel in panels} == {"${datasource}"}


def test_every_expression_chooses_by_the_variables():
    chosen = [f'{name}=~"${name}"' for name in ("job", "instance", "cluster")]

    assert [e for e in EXPRESSIONS if not all(c in e for c in chosen)] == []


def test_counters_and_nothing_else_are_shown_as_rates():
    counted = {name for name, metric in METRICS.items() if metric.column.role == "counter"}

    assert {re.search(r"pg(mon)?_\w+", e)[0] for e in EXPRESSIONS if "rate(" in e} == counted


def test_uids_are_unique():
    assert len({shown.uid for shown in DASHBOARDS}) == len(DASHBOARDS)


def test_every_metric_of_a_dashboard_exists_on_every_version():
    families = re.findall(r"^# TYPE (\S+)", (GOLDEN / "metrics.txt").read_text(), re.MULTILINE)

    assert set(METRICS) - set(families) == set()


# --- with a real Prometheus -------------------------------------------------------------------------------------------

NEWEST = servers.NEWEST
SETTINGS = {"archive_mode": "on", "wal_level": "logical", "max_slot_wal_keep_size": "10GB", "autovacuum_naptime": "1s"}
VACUUMED = "SELECT count(last_autovacuum) > 0 AND count(last_autoanalyze) > 0 FROM pg_stat_user_tables"
SCENE = """
CREATE EXTENSION pg_freespacemap;
GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO monitor;
CREATE TABLE numbered (id integer NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE numbered_1 PARTITION OF numbered FOR VALUES FROM (0) TO (1000);
CREATE TABLE numbered_2 PARTITION OF numbered FOR VALUES FROM (1000) TO (2000);
INSERT INTO numbered VALUES (1);
CREATE TABLE bloated AS SELECT n, repeat('x', 500) AS x FROM generate_series(1, 40000) AS n;
DELETE FROM bloated WHERE n % 2 = 0;
CREATE PUBLICATION told FOR TABLE bloated;
"""
TROUBLE = (sessions.orphaned_prepared, sessions.blocked_session, relations.rows_in_default, cluster.inactive_slot)
# What this scene does not have: what takes a day, and what is absent as long as all is well.
NOT_HERE = {
    "pg_checkpoint_interval_ratio",  # after two checkpoints of half an hour
    *("pg_temp_rate_deviations", "pg_temp_rate_times_mean"),  # once what is usual is learned
    *("pg_wal_rate_deviations", "pg_wal_rate_times_mean"),
    "pg_replication_slot_runway_seconds",  # after ten minutes
    "pg_wraparound_overdue_seconds_left",  # where autovacuum is far behind
    "pgmon_connect_error",  # while nobody can connect: its own test is in tests/faults
    "pgmon_role_changed_seconds",  # after a promotion
}


class Quiet(WSGIRequestHandler):
    """A handler that logs nothing."""

    def log_message(self, *arguments):
        """Say nothing."""


@contextmanager
def served(agent):
    """Serve an agent of this process; give the port."""
    server = make_server("127.0.0.1", servers.free_port(), create_app(agent), handler_class=Quiet)
    threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def land(agent, time, ahead=0.0):
    """Let every tier land, so many seconds later, and judge."""
    reading.rest()
    time.ahead += ahead
    for tier in TIERS:
        reading.refreshed(agent, tier)
    agent.tick()


def subscribe(server):
    """Let another database subscribe to `told`."""
    with server.connect(dbname="app") as app:
        app.execute("SELECT pg_create_logical_replication_slot('told', 'pgoutput')")
        app.execute("CREATE DATABASE subscriber")
    with server.connect(dbname="subscriber") as there:
        there.execute("CREATE TABLE bloated (n integer, x text)")
        there.execute(
            f"CREATE SUBSCRIPTION heard CONNECTION '{server.dsn(dbname='app')}' PUBLICATION told"
            " WITH (create_slot = false, slot_name = 'told')"
        )


def archive(server, works):
    """Let a WAL file be archived, or fail to be."""
    counted = "archived_count" if works else "failed_count"
    with server.connect() as session:
        session.execute(f"ALTER SYSTEM SET archive_command = '{'true' if works else 'false'}'")
        session.execute("SELECT pg_reload_conf()")
        session.execute("SELECT pg_create_restore_point('here'); SELECT pg_switch_wal()")
    server.wait_for(f"SELECT {counted} > 0 FROM pg_stat_archiver")


def work(server):
    """Let a server do something: transactions, statements, WAL."""
    with server.connect() as session:
        for _ in range(50):
            session.execute("SELECT 1")
        session.execute("SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000000)), txid_current()")


@pytest.fixture(scope="module")
def prometheus():
    """Return a Prometheus that scraped agents of a primary, a standby and a server that went away, all in trouble."""
    with ExitStack() as stack:
        server = stack.enter_context(servers.Server(NEWEST, SETTINGS))
        servers.prepare(server)
        with server.connect(dbname="app") as app:
            app.execute("SELECT pg_stat_reset()")
            app.execute(SCENE)
        server.wait_for(VACUUMED, dbname="app", timeout=60)
        subscribe(server)
        archive(server, works=True)
        standby = stack.enter_context(server.standby())  # a backup waits until it is archived
        archive(server, works=False)
        gone = stack.enter_context(servers.Server(NEWEST, distinct=True))
        servers.prepare(gone)
        for incident in TROUBLE:
            stack.enter_context(incident.on(server.dsn(dbname="app")))
        environ = {
            "NOTIFIERS_WEBHOOK": f"http://127.0.0.1:{servers.free_port()}/",
            "PARTITIONS_RETENTION": '{"public.reading": 30d}',
            "SECURITY_READ_ONLY_ENFORCE": "false",
        }
        jobs = {}
        for name, watched in {"primary": server, "standby": standby, "gone": gone}.items():
            time = ShiftedTime()
            agent = stack.enter_context(reading.agent(watched.dsn("monitor"), time.clock(), **environ))
            for ahead in (0, 7200, 7200):
                work(server)
                land(agent, time, ahead)
            if name == "gone":
                gone.restart("immediate")
                time.ahead += 60
                reading.refreshed(agent, TIERS[0])
                gone.stop()
                time.ahead += 60
            jobs[name] = stack.enter_context(served(agent))
        running = stack.enter_context(Prometheus(jobs))
        for name in jobs:
            running.wait_for(f'count_over_time(up{{job="{name}"}}[1m]) > bool 2', 1, within=60)
        yield running


@pytest.mark.slow
def test_every_expression_has_an_answer(prometheus):
    def answer(expression):
        asked = re.sub(r"\$__rate_interval", "1m", expression)
        return prometheus.ask("query", query=re.sub(r"\$\w+", ".+", asked))["result"]

    silent = {re.search(r"pg(mon)?_\w+", expression)[0] for expression in EXPRESSIONS if not answer(expression)}

    assert not silent - NOT_HERE, " ".join(sorted(silent - NOT_HERE))
