"""Incidents on real servers, through the whole agent, to a receiver that hears of each once, and of its end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
from psycopg import sql

import breaking
import reading
from breaking import Stage
from chaos import fired
from conftest import require
from duty import ENDS, PLAYED, Duty, on_duty
from fakes import ShiftedTime
from pgmon.feature import Tier
from pgmon.incidents import sessions
from pgmon.web import create_app
from proxy import Proxy
from running import value
from servers import PASSWORDS, Server, prepare
from watching import eventually

LASTS = """SELECT count(*) > 0 FROM pg_catalog.pg_stat_activity
            WHERE wait_event_type = 'Lock' AND clock_timestamp() - query_start > interval '1.1 s'"""
GROUP = 300.0  # seconds between two messages of an alert
each_major = pytest.mark.parametrize("major", PLAYED, ids="pg{}".format)


# --- incidents --------------------------------------------------------------------------------------------------------


@pytest.mark.pg("!=13,!=14,!=15,!=17")
@pytest.mark.alert("BlockedSessions")
def test_a_blocked_session_is_told_once_and_so_is_its_end(server, httpserver):
    with (
        on_duty(server, httpserver, ALERTS_BLOCKED_WARN_S="0.001") as duty,
        closing(server.connect(dbname="app")) as holder,
        closing(server.connect(dbname="app")) as waiter,
    ):
        holder.execute("BEGIN; LOCK TABLE churned")
        waiter.pgconn.send_query(b"TABLE churned LIMIT 1")
        waiter.pgconn.flush()
        pids = holder.info.backend_pid, waiter.info.backend_pid
        server.wait_for(f"SELECT wait_event_type FROM pg_stat_activity WHERE pid = {pids[1]}", "Lock")

        told = duty.watch(GROUP)
        holder.execute("ROLLBACK")

        assert told == ["firing warning BlockedSessions"]
        assert duty.watch(GROUP) == ["resolved warning BlockedSessions"]

    [alert] = duty.payloads[0]["alerts"]
    assert alert["annotations"]["summary"].startswith(f"{pids[1]} blocked ")
    assert f"by {pids[0]} (idle in transaction)" in alert["annotations"]["summary"]
    assert f"pg_terminate_backend({pids[0]})" in alert["annotations"]["paste"]
    [past] = duty.agent.engine.history
    [_, tree] = past.evidence
    assert (tree.feature, [node["pid"] for node in tree.data()]) == ("blocking", list(pids))


@pytest.mark.pg("!=13,!=14,!=15,!=17")
def test_one_incident_is_one_message_though_three_rules_fire(server, httpserver):
    soon = dict.fromkeys(("ALERTS_BLOCKED_WARN_S", "ALERTS_IDLE_TXN_WARN_S", "ALERTS_LONG_TXN_WARN_S"), "1")
    with on_duty(server, httpserver, **soon) as duty:
        with sessions.lock_queue.on(server.dsn(dbname="app")):
            server.wait_for(LASTS)
            told = duty.watch(60)
            firing = {alert.name: alert.inhibited_by for alert in duty.agent.engine.alerts.values()}
        ended = duty.watch(GROUP)

    assert firing == {
        "BlockedSessions": "",
        "IdleInTransaction": "BlockedSessions",
        "LongTransaction": "BlockedSessions",
    }
    assert (told, ended) == (["firing warning BlockedSessions"], ["resolved warning BlockedSessions"])


@each_major
@pytest.mark.alert("ConnectionSaturation", "used_ratio")
def test_connections_that_run_out_are_told_at_both_severities(fresh_server, httpserver, major):
    server = fresh_server(require(major), {"max_connections": "20"})
    with on_duty(server, httpserver, LIMITS_CONNECTIONS="2") as duty:
        with ExitStack() as crowd:
            for _ in range(13):  # and one or two of pgmon, of the 17 that are not reserved
                crowd.enter_context(server.connect(dbname="app"))
            warned = duty.watch(150)
            for _ in range(3):
                crowd.enter_context(server.connect(dbname="app"))
            alarmed = duty.watch(150)
        eased = duty.watch(GROUP)

    assert (warned, alarmed, eased) == (
        ["firing warning ConnectionSaturation"],
        ["firing critical ConnectionSaturation"],
        ["resolved critical ConnectionSaturation"],
    )


@pytest.mark.fault("F15")
@pytest.mark.alert("ConnectionSaturation", "saturated")
@each_major
def test_pgmon_that_gets_no_connection_says_so_at_once(fresh_server, httpserver, major):
    server = fresh_server(require(major), {"max_connections": "10"})
    with on_duty(server, httpserver) as duty, ExitStack() as crowd, server.connect() as admin:
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgmon'")
        for _ in range(9):
            crowd.enter_context(server.connect(dbname="app"))
        told = duty.watch(30)

    assert told == ["firing critical ConnectionSaturation"]


# --- the server is not seen -------------------------------------------------------------------------------------------


@pytest.mark.fault("F77")
@pytest.mark.alert("DatabaseUnreachable", "unreachable")
@each_major
def test_a_server_that_is_gone_is_one_message_and_its_return_is_told(fresh_server, httpserver, major):
    server = fresh_server(require(major))
    with on_duty(server, httpserver, ALERTS_CONNECTIONS_WARN="0.001", ALERTS_CONNECTIONS_CRIT="1.0") as duty:
        before = duty.watch(150)
        server.stop("immediate")
        gone = duty.watch(GROUP)
        unknown = {alert.name: alert.state for alert in duty.agent.engine.alerts.values()}
        server.start()
        back = duty.watch(GROUP)

    assert before == ["firing warning ConnectionSaturation"]
    assert gone == ["firing critical DatabaseUnreachable"]
    assert unknown["ConnectionSaturation"] == "unknown"
    assert sorted(back) == ["firing warning ServerRestarted", "resolved critical DatabaseUnreachable"]
    summary = duty.payloads[1]["alerts"][0]["annotations"]["summary"]
    assert summary.endswith("before it fired ConnectionSaturation")


@pytest.fixture(scope="module", params=PLAYED, ids="pg{}".format)
def spare(request) -> Iterator[Server]:
    """Return a server of a version that survives what these tests do to it."""
    with Server(require(request.param)) as made:
        prepare(made)
        yield made


@pytest.mark.alert("DatabaseUnreachable", "starting")
def test_a_server_that_starts_for_more_than_five_minutes_is_told(spare, httpserver):
    with on_duty(spare, httpserver) as duty:
        with Proxy(spare.host, spare.port) as proxy, breaking.starting(Stage(spare, proxy)):
            early, late = duty.watch(GROUP - 30), duty.watch(90)
            alert = fired(duty)["DatabaseUnreachable"]
        back = duty.watch(GROUP)

    assert (early, late) == ([], ["firing critical DatabaseUnreachable"])
    assert alert.message.startswith("PostgreSQL is starting for ")
    assert sorted(back) == ["firing warning RoleChanged", "resolved critical DatabaseUnreachable"]  # on a new timeline


@pytest.mark.alert("ServerRestarted")
def test_a_restart_is_not_an_outage(spare, httpserver):
    with on_duty(spare, httpserver) as duty:
        spare.restart()
        told = duty.watch(GROUP)

    assert told == ["firing warning ServerRestarted"]


@pytest.mark.alert("ServerRestarted")
def test_a_crash_is_told_as_one(spare, httpserver):
    with on_duty(spare, httpserver) as duty:
        spare.crash()
        told = duty.watch(60)

    assert told == ["firing warning ServerRestarted"]
    assert "crashed and recovered" in duty.payloads[0]["alerts"][0]["annotations"]["summary"]


@pytest.mark.alert("RoleChanged")
def test_a_promotion_is_told(spare, httpserver):
    with spare.standby() as standby, on_duty(standby, httpserver) as duty:
        standby.promote()
        told = duty.watch(60)

    assert told == ["firing warning RoleChanged"]
    assert "is the primary now" in duty.payloads[0]["alerts"][0]["annotations"]["summary"]


@pytest.mark.alert("CannotLogIn")
def test_a_login_that_is_refused_is_told_as_such(spare, httpserver):
    with on_duty(spare, httpserver) as duty, spare.connect() as admin:
        admin.execute("ALTER ROLE monitor PASSWORD 'another'")
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgmon'")
        told = duty.watch(180)
        admin.execute(sql.SQL("ALTER ROLE monitor PASSWORD {}").format(PASSWORDS["monitor"]))

    assert told == ["firing critical CannotLogIn"]


@pytest.mark.alert("CoverageLost")
def test_coverage_that_is_lost_is_told_and_not_each_of_its_consequences(spare, httpserver):
    with on_duty(spare, httpserver) as duty, spare.connect() as admin:
        admin.execute("REVOKE pg_monitor FROM monitor")
        told = duty.watch(2 * GROUP)
        admin.execute("GRANT pg_monitor TO monitor")

    assert told == ["firing warning CoverageLost"]


@pytest.mark.alert("PrivilegesGained")
def test_a_role_that_can_write_is_told_where_it_is_let(spare, httpserver):
    with on_duty(spare, httpserver, SECURITY_READ_ONLY_ENFORCE="false") as duty, spare.connect(dbname="app") as admin:
        admin.execute("GRANT INSERT ON churned TO monitor")
        told = duty.watch(3600 + 2 * GROUP, GROUP)
        admin.execute("REVOKE INSERT ON churned FROM monitor")

    assert told == ["firing critical PrivilegesGained"]


# --- pgmon's own loops ------------------------------------------------------------------------------------------------


@pytest.mark.alert("LoopFailing")
def test_a_loop_in_which_something_cannot_be_read_is_told(spare, httpserver):
    with on_duty(spare, httpserver) as duty, spare.connect() as holder:
        with holder.transaction():
            holder.execute("LOCK TABLE pg_catalog.pg_subscription")
            told = duty.watch(300 + 60 + 15 + 60)
            [alert] = fired(duty).values()
        ended = duty.watch(2 * GROUP)

    assert (told, ended) == (["firing warning LoopFailing"], ["resolved warning LoopFailing"])
    assert alert.object == "workload"


def broken(*_: object) -> None:
    """Be a mistake of pgmon's own."""
    raise ZeroDivisionError


@pytest.mark.alert("LoopStale")
def test_a_loop_that_does_not_land_by_a_mistake_of_pgmons_own_is_told(spare, httpserver, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    with on_duty(spare, httpserver) as duty:
        with monkeypatch.context() as broken_loop:
            broken_loop.setattr(duty.agent.caches[Tier.STORAGE], "_refresh", broken)
            told = duty.watch(2 * 600 + 10 + 300 + 60)
            [alert] = fired(duty).values()
        ended = duty.watch(GROUP)

    assert (told, ended) == (["firing warning LoopStale"], ["resolved warning LoopStale"])
    assert alert.object == "storage"


# --- what is told of the telling --------------------------------------------------------------------------------------


@pytest.mark.fault("F68", "F69", "F70")
@pytest.mark.pg("!=13,!=14,!=15,!=17")
@pytest.mark.parametrize(("status", "failed"), [(404, 1), (302, 1), (500, 0), (429, 0)])
def test_a_receiver_that_fails_is_counted_and_shown(server, httpserver, status, failed):
    httpserver.expect_request("/bad").respond_with_data("", status=status, headers={"Retry-After": "600"})
    url = httpserver.url_for("/bad")
    settings = {"NOTIFIERS_SLACK_WEBHOOK": url, "ALERTS_CONNECTIONS_WARN": "0.001", "ALERTS_CONNECTIONS_CRIT": "1.0"}
    settings["PARTITIONS_IGNORE"] = ENDS
    with reading.agent(server.dsn("monitor"), (time := ShiftedTime()).clock(), **settings) as agent:
        duty = Duty(agent, server, time, httpserver)
        for _ in range(12):
            duty.tick()
        eventually(lambda: agent.notifier.senders[0].failing and agent.notifier.senders[0].failed == failed)
        duty.tick()
        samples = reading.samples(agent)
        page = create_app(agent).test_client().get("/api/v1/alerts").get_json()

    assert value(samples, "pgmon_notifications_failed_total", channel="slack") == failed
    assert value(samples, "pgmon_notifications_waiting", channel="slack") == 1 - failed
    assert value(samples, "pgmon_alerts", alert="ConnectionSaturation", state="firing", severity="warning") == 1
    rows = {name: panel["data"] for name, panel in page["panels"].items()}
    assert [row["result"] for row in rows["notifications"]] == [f"HTTP {status}"]
    assert [(row["alert"], row["state"]) for row in rows["alerts"]] == [
        ("ConnectionSaturation", "firing"),
        ("NotificationsFailing", "pending"),
    ]
    assert url not in str(page)


@pytest.mark.pg("!=13,!=14,!=15,!=17")
@pytest.mark.alert("NotificationsFailing")
def test_a_channel_that_takes_no_messages_is_told_by_another(server, httpserver):
    httpserver.expect_request("/slack").respond_with_data("", status=404)
    settings = {"ALERTS_CONNECTIONS_WARN": "0.001", "ALERTS_CONNECTIONS_CRIT": "1.0"}
    with on_duty(server, httpserver, NOTIFIERS_SLACK_WEBHOOK=httpserver.url_for("/slack"), **settings) as duty:
        told = duty.watch(600)
        failing = fired(duty)["NotificationsFailing"]

    assert told == ["firing warning ConnectionSaturation", "firing warning NotificationsFailing"]
    assert (failing.object, "HTTP 404" in failing.message) == ("slack", True)


def test_in_a_maintenance_window_nothing_is_sent_and_all_is_recorded(server, httpserver):
    window = '[{cron: "* * * * *", duration: 1h}]'
    settings = {"ALERTS_CONNECTIONS_WARN": "0.001", "ALERTS_CONNECTIONS_CRIT": "1.0", "ALERTS_MAINTENANCE": window}
    with on_duty(server, httpserver, **settings) as duty:
        assert duty.watch(GROUP) == []
        assert [(a.name, a.state) for a in duty.agent.engine.history] == [("ConnectionSaturation", "firing")]


def test_a_sign_of_life_is_given_every_minute_while_all_is_well(fresh_server, httpserver):
    server = fresh_server()
    httpserver.expect_request("/alive").respond_with_data("ok")
    with on_duty(server, httpserver, NOTIFIERS_HEARTBEAT_URL=httpserver.url_for("/alive")) as duty:
        alive = lambda: sum(request.path == "/alive" for request, _ in httpserver.log)  # noqa: E731
        before = alive()
        duty.watch(600)
        during = alive() - before
        server.stop("immediate")
        duty.watch(180)

    assert during == 10
    assert alive() - before - during <= 1


def test_a_runbook_shows_what_to_paste_and_what_was_seen(server, httpserver):
    with on_duty(server, httpserver, ALERTS_CONNECTIONS_WARN="0.001", ALERTS_CONNECTIONS_CRIT="1.0") as duty:
        duty.watch(150)
        client = create_app(duty.agent).test_client()
        page = client.get("/alerts/ConnectionSaturation").get_data(as_text=True)
        [told] = client.get("/api/v1/alerts/ConnectionSaturation").get_json()["alerts"]
        status = client.get("/alerts/Nonsense").status_code

    assert "max_connections" in page
    assert "Connections at" in page
    assert told["evidence"]["connections"][0]["connections"] >= 1
    assert status == 404
