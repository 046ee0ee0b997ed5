"""The command line: what it prints, and what it ends with."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from contextlib import contextmanager

import bcrypt
import psycopg
import pytest
import yaml

import servers
from pgmon import __version__, sqlfiles
from running import Process, command, pgmon

CANARY = "c4n4ry-pass"


def on(*majors):
    """Run a test on servers of a few versions."""
    return pytest.mark.parametrize("pg_version", majors, ids="pg{}".format, indirect=True, scope="session")


newest = on(servers.NEWEST)


def wait_until(holds, seconds=20):
    """Return when something holds, or fail."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to hold"
        time.sleep(0.05)


@pytest.fixture
def dead_dsn():
    """Return the connection string of a server that is not there."""
    return f"postgresql://monitor:{CANARY}@127.0.0.1:{servers.free_port()}/postgres"


@contextmanager
def granted(server, statements):
    """Make roles and a table in the database app for a while; `agent` logs in and has pg_monitor."""
    with server.connect(dbname="app") as connection:
        connection.execute(
            "CREATE ROLE agent LOGIN IN ROLE pg_monitor; CREATE TABLE audited (); CREATE ROLE middle NOINHERIT"
        )
        try:
            connection.execute(statements)
            yield server.dsn("agent", "app")
        finally:
            connection.execute("DROP TABLE audited; DROP ROLE agent, middle")


# --- check ------------------------------------------------------------------------------------------------------------


@newest
def test_check_tells_what_would_run(monitor_dsn, pg_version):
    code, said = pgmon("check", dsn=monitor_dsn)

    assert code == 0
    assert f"PostgreSQL {pg_version}." in said
    assert "primary" in said
    assert "databases: app, postgres" in said
    assert "hot_path  connections      ok" in said


@newest
def test_check_tells_a_standby(standby):
    code, said = command("check", dsn=standby.dsn("monitor"))

    assert (code, "standby" in said) == (0, True)


@newest
def test_check_tells_what_an_absent_extension_takes_away(server):
    code, said = command("check", dsn=server.dsn("monitor", "app"))

    assert code == 0
    assert "CREATE EXTENSION pg_stat_statements" in said


@pytest.mark.fault("F89")
def test_check_tells_every_fault_of_the_configuration_with_its_line(tmp_path):
    file = tmp_path / "pgmon.yaml"
    file.write_text("cluster: test\nlimits:\n  series: many\nbugdets: {}\n")

    code, said = command("--config", str(file), "check")

    assert code == 2
    assert f"{file}:3: limits.series: must be a whole number" in said
    assert f"{file}:4: bugdets: unknown key; did you mean 'budgets'?" in said


def test_check_refuses_a_variable_that_does_not_exist(dead_dsn):
    code, said = command("check", dsn=dead_dsn, CLUSTR="test")

    assert code == 2
    assert "PGMON_CLUSTR: unknown variable; did you mean 'PGMON_CLUSTER'?" in said


def test_check_asks_for_a_dsn():
    code, said = command("check")

    assert (code, "PGMON_DSN" in said) == (2, True)


def test_check_of_a_server_that_is_down_says_so(dead_dsn):
    code, said = pgmon("check", dsn=dead_dsn)

    assert code == 1
    assert said.startswith("pgmon: unreachable: ")


@newest
def test_check_asks_for_pg_monitor(server):
    with granted(server, "REVOKE pg_monitor FROM agent") as dsn:
        code, said = command("check", dsn=dsn)

    assert code == 1
    assert 'GRANT pg_monitor TO "agent"' in said


WRITERS = {
    "a grant": ("GRANT INSERT ON audited TO agent", "REVOKE INSERT ON TABLE public.audited FROM agent;"),
    "a superuser": ("ALTER ROLE agent SUPERUSER", "ALTER ROLE agent NOSUPERUSER;"),
    "a role that can write": (
        "GRANT DELETE ON audited TO middle; GRANT middle TO agent",
        "REVOKE middle FROM agent;",
    ),
}


@newest
@pytest.mark.parametrize(("statements", "cure"), WRITERS.values(), ids=WRITERS)
def test_check_refuses_a_role_that_can_write_and_names_the_cure(server, statements, cure):
    with granted(server, statements) as dsn:
        code, said = command("check", dsn=dsn)

    assert (code, cure in said) == (3, True), said


@newest
def test_check_shows_twenty_refusals_and_counts_the_others(server):
    tables = "; ".join(f"CREATE TABLE t{n} (); GRANT INSERT ON t{n} TO agent" for n in range(22))
    with granted(server, tables) as dsn:
        code, said = command("check", dsn=dsn)
        with server.connect(dbname="app") as connection:
            connection.execute("; ".join(f"DROP TABLE t{n}" for n in range(22)))

    assert (code, said.count("REVOKE INSERT")) == (3, 20)
    assert "… and 2 more to refuse" in said


@newest
def test_check_runs_as_a_role_that_can_write_when_told_to_and_says_so(server):
    with granted(server, "GRANT INSERT ON audited TO agent") as dsn:
        code, said = command("check", dsn=dsn, SECURITY_READ_ONLY_ENFORCE="false")

    assert (code, "privileges: not enforced: the role can write" in said) == (0, True)


@newest
def test_check_accepts_what_is_tolerated_and_says_so(server):
    with granted(server, "GRANT INSERT ON audited TO agent") as dsn:
        code, said = command("check", dsn=dsn, SECURITY_TOLERATE="['public.audited:INSERT']")

    assert (code, "INSERT: tolerated" in said) == (0, True)


@pytest.mark.fault("F92")
@newest
def test_check_refuses_a_role_that_it_could_not_judge(server, monitor_dsn):
    with server.connect() as holder, holder.transaction():
        holder.execute("LOCK TABLE pg_catalog.pg_default_acl IN ACCESS EXCLUSIVE MODE")
        code, said = command("check", dsn=monitor_dsn)

    assert (code, "the privileges of the role are not known" in said) == (3, True)


@newest
def test_check_as_json_has_everything_that_the_text_has(server):
    with granted(server, "GRANT INSERT ON audited TO agent") as dsn:
        code, said = command("check", "--json", dsn=dsn)

    found, _ = json.JSONDecoder().raw_decode(said)
    assert code == 3
    assert (found["configuration"], found["server"]["state"], found["databases"]) == (
        "ok",
        "primary",
        ["app", "postgres"],
    )
    assert found["findings"][0] == {
        "severity": "refuse",
        "what": "INSERT",
        "object": "table public.audited",
        "database": "app",
        "cure": "REVOKE INSERT ON TABLE public.audited FROM agent",
    }
    assert {"loop": "hot_path", "feature": "connections", "verdict": "ok"} in found["plan"]
    assert found["not_judged"] == []


# --- serve ------------------------------------------------------------------------------------------------------------


@newest
def test_the_agent_refuses_to_run_as_a_role_that_can_write(server):
    with granted(server, "GRANT INSERT ON audited TO agent") as dsn, Process(dsn) as agent:
        assert agent.process.wait(10) == 3

        assert "REVOKE INSERT ON TABLE public.audited FROM agent" in agent.said()


@newest
def test_the_agent_ends_when_a_server_comes_up_where_the_role_can_write(server, proxy):
    proxy.refuse()
    quick = {"PGMON_SAMPLE_INTERVALS_HOT_PATH": "1s", "PGMON_TIMEOUTS_CONNECT_TIMEOUT_S": "2"}
    with granted(server, "GRANT INSERT ON audited TO agent"):
        dsn = server.dsn("agent", "app", port=proxy.port)
        with Process(dsn, environ=quick) as agent:
            agent.wait_for("pgmon_connect_error", 1, reason="unreachable")
            proxy.listen()

            assert agent.process.wait(20) == 3


@pytest.mark.fault("F25")
@newest
def test_the_agent_ends_when_its_role_gains_a_privilege(server):
    quick = {
        "PGMON_SAMPLE_INTERVALS_HOURLY": "1s",
        "PGMON_BUDGETS_HOURLY": "1s",
        "PGMON_SAMPLE_INTERVALS_HOT_PATH": "1s",
    }
    with granted(server, "GRANT SELECT ON audited TO agent") as dsn, Process(dsn, environ=quick) as agent:
        agent.wait_for("pgmon_privilege_findings", 0, severity="refuse")
        with server.connect(dbname="app") as connection:
            connection.execute("GRANT INSERT ON audited TO agent")

        assert agent.process.wait(20) == 3
        assert "REVOKE INSERT ON TABLE public.audited FROM agent" in agent.said()


@newest
def test_the_agent_runs_as_a_role_that_can_write_when_told_to_and_says_so(server):
    lenient = {"PGMON_SECURITY_READ_ONLY_ENFORCE": "false"}
    with granted(server, "GRANT INSERT ON audited TO agent") as dsn, Process(dsn, environ=lenient) as agent:
        agent.wait_for("pgmon_privilege_findings", 1, severity="refuse")

        assert agent.scrape()["pgmon_degraded"] == {(("reason", "not_enforced"),): 1.0}
        assert "not enforced: the role can write" in agent.get("/healthz")[1]
        assert '"level": "error"' in next(line for line in agent.said().splitlines() if "REVOKE INSERT" in line)


@pytest.mark.fault("F91")
def test_a_taken_port_is_named_before_anybody_connects():
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as database:
        database.setblocking(False)
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        dsn = f"postgresql://monitor@127.0.0.1:{database.getsockname()[1]}/postgres"

        code, said = pgmon(dsn=dsn, HTTP_BIND=bind)

        assert (code, f"cannot listen on {bind}" in said) == (1, True)
        with pytest.raises(BlockingIOError):
            database.accept()


@pytest.mark.fault("F81")
@newest
def test_sigterm_ends_it_well(monitor_dsn):
    with Process(monitor_dsn) as agent:
        agent.wait_for("pg_up", 1)

        assert agent.end(5) == 0


@pytest.mark.fault("F81")
@newest
def test_sigterm_lets_a_scrape_under_way_finish(server, proxy):
    with Process(server.dsn("monitor", port=proxy.port), environ={"PGMON_ALERTS_ENABLED": "false"}) as agent:
        proxy.freeze()
        answers = []
        scrape = threading.Thread(target=lambda: answers.append(agent.get("/metrics", 10)[0]))
        scrape.start()
        wait_until(lambda: proxy.accepted)

        assert agent.end(5) == 0
        scrape.join(5)
        assert answers == [200]


@pytest.mark.fault("F81")
@newest
def test_sigterm_while_the_server_is_frozen_leaves_no_traceback(server, proxy):
    proxy.freeze()
    with Process(server.dsn("monitor", port=proxy.port)) as agent:
        wait_until(lambda: proxy.accepted)

        agent.end(5)
        assert "Traceback" not in agent.said()


@pytest.fixture
def file(tmp_path):
    """Return a configuration file of the cluster 'first'."""
    file = tmp_path / "pgmon.yaml"
    file.write_text("cluster: first\n")
    return file


def cluster_of(agent):
    """Return the label `cluster` that an agent exposes; None while it does not answer."""
    try:
        body = agent.get("/metrics", 2)[1]
    except OSError:
        return None
    return next(name for name in ("first", "second") if f'pgmon_series{{cluster="{name}"}}' in body)


@pytest.mark.fault("F82")
def test_sighup_reloads_the_configuration_in_the_same_process(dead_dsn, file):
    with Process(dead_dsn, "--config", str(file)) as agent:
        file.write_text("cluster: second\n")
        agent.process.send_signal(signal.SIGHUP)

        wait_until(lambda: cluster_of(agent) == "second")
        assert agent.process.poll() is None


@pytest.mark.fault("F82")
def test_sighup_with_a_faulty_configuration_changes_nothing(dead_dsn, file):
    with Process(dead_dsn, "--config", str(file)) as agent:
        file.write_text("cluster: second\nlimits: {series: none}\n")
        agent.process.send_signal(signal.SIGHUP)

        wait_until(lambda: "the new configuration is not used" in agent.said())
        assert cluster_of(agent) == "first"


# --- sql --------------------------------------------------------------------------------------------------------------


@newest
def test_sql_prints_a_statement_for_the_connected_server(monitor_dsn):
    code, said = command("sql", "checkpoints", dsn=monitor_dsn)

    assert (code, said) == (0, sqlfiles.variants("checkpoints")[-1].text + ";\n\n")


@newest
def test_what_sql_prints_runs_in_psql(server, monitor_dsn):
    _, said = command("sql", "connections", dsn=monitor_dsn)

    with psycopg.connect(monitor_dsn) as connection:
        assert connection.execute(said).fetchall()


def test_sql_prints_every_statement_for_a_version_without_connecting():
    code, said = command("sql", "--server-version", "12")

    assert code == 0
    assert sqlfiles.variants("checkpoints")[0].text in said
    assert said.count("/* pgmon:") > 10


def test_sql_names_the_statements_that_there_are():
    code, said = command("sql", "conections", "--server-version", "12")

    assert code == 2
    assert "connections, locks" in said


def test_sql_knows_no_server_before_12():
    code, said = command("sql", "--server-version", "11")

    assert (code, "12" in said) == (2, True)


# --- rules, version ---------------------------------------------------------------------------------------------------


def test_rules_have_the_thresholds_of_the_configuration():
    code, said = command("rules", ALERTS_CONNECTIONS_WARN="0.5", ALERTS_CONNECTIONS_CRIT="0.7")

    expressions = [rule["expr"] for group in yaml.safe_load(said)["groups"] for rule in group["rules"]]
    assert code == 0
    assert {"pg_connections_used_ratio > 0.5", "pg_connections_used_ratio > 0.7"} <= set(expressions)


def test_rules_with_thresholds_that_contradict_each_other_are_refused():
    code, said = command("rules", ALERTS_CONNECTIONS_WARN="0.99")

    assert code == 2
    assert "PGMON_ALERTS_CONNECTIONS_WARN: must not exceed alerts.connections_crit" in said


def test_the_version_is_told():
    assert pgmon("--version") == (0, f"pgmon, version {__version__}\n")


# --- healthcheck ------------------------------------------------------------------------------------------------------


def health(agent, *kind, **environ):
    """Return the exit code of a health check of that agent."""
    return command("--healthcheck", *kind, HTTP_BIND=f"127.0.0.1:{agent.port}", **environ)[0]


@newest
def test_an_agent_whose_database_answers_is_healthy(monitor_dsn):
    with Process(monitor_dsn) as agent:
        agent.wait_for("pg_up", 1)

        assert (health(agent), health(agent, "live"), health(agent, "strict")) == (0, 0, 0)


@newest
def test_an_agent_that_wants_a_login_is_asked_by_who_has_its_configuration(monitor_dsn, tmp_path):
    (tmp_path / "tokens").write_text("secret\n")
    locked = {
        "HTTP_AUTH_BASIC_AUTH_USERS": f"{{alice: '{bcrypt.hashpw(b'secret', bcrypt.gensalt(4)).decode()}'}}",
        "HTTP_AUTH_BEARER_TOKENS_FILE": str(tmp_path / "tokens"),
    }
    with Process(monitor_dsn, environ={f"PGMON_{name}": value for name, value in locked.items()}) as agent:
        while agent.get("/healthz", Authorization="Bearer secret")[0] != 200:
            time.sleep(0.1)

        assert health(agent, "strict", dsn=monitor_dsn, **locked) == 0
        assert health(agent, "strict", dsn=monitor_dsn) == 1


def test_an_agent_whose_database_is_down_lives_but_is_not_well(dead_dsn):
    with Process(dead_dsn) as agent:
        assert (health(agent), health(agent, "strict")) == (0, 1)


def test_an_agent_that_is_not_there_is_not_healthy():
    with socket.create_server(("127.0.0.1", 0)) as unused:
        address = f"127.0.0.1:{unused.getsockname()[1]}"

    assert pgmon("--healthcheck", HTTP_BIND=address)[0] == 1


# --- secrets ----------------------------------------------------------------------------------------------------------

LEAKY = {
    "no server": f"postgresql://monitor:{CANARY}@127.0.0.1:1/postgres",
    "no host": f"postgresql://monitor:{CANARY}@nohost.invalid/postgres",
    "no scheme": f"monitor:{CANARY}@127.0.0.1/postgres",
    "a slash in the password": f"postgresql://monitor:{CANARY}/x@127.0.0.1/postgres",
    "an at in the password": f"postgresql://monitor:x@{CANARY}@127.0.0.1/postgres",
    "a number and a slash in the password": f"postgresql://127.0.0.1:1/{CANARY}@127.0.0.1/postgres",
    "an unknown key": f"host=127.0.0.1 port=1 passwort={CANARY}",
    "a space in the password": f"host=127.0.0.1 port=1 password=x {CANARY}",
    "an open quote": f"host=127.0.0.1 port=1 password='{CANARY}",
    "no port": f"host=127.0.0.1 port={CANARY}",
}


@pytest.mark.fault("F51")
@pytest.mark.parametrize("dsn", LEAKY.values(), ids=LEAKY)
def test_no_error_shows_the_password(dsn):
    code, said = command("check", dsn=dsn, SECURITY_REQUIRE_TLS="false")

    assert code in (1, 2)
    assert CANARY not in said


@newest
def test_a_refused_password_is_not_shown(server):
    code, said = pgmon("check", dsn=server.dsn("monitor", password=CANARY))

    assert code == 1
    assert said.startswith("pgmon: rejected: ")
    assert 'password authentication failed for user "monitor"' in said


EVERYTHING = (
    "/",
    "/activity",
    "/queries",
    "/status",
    "/metrics",
    "/healthz",
    "/readyz",
    "/api/v1/status",
    "/api/v1/overview",
)


@pytest.mark.fault("F16", "F51")
@newest
def test_an_agent_with_a_refused_password_does_not_show_it(server):
    with Process(server.dsn("monitor", password=CANARY), environ={"PGMON_LOGGING_LEVEL": "debug"}) as agent:
        agent.wait_for("pgmon_connect_error", 1, reason="rejected")
        answers = [agent.get(path)[1] for path in EVERYTHING]
        agent.end()

        assert not [path for path, said in zip(EVERYTHING, answers, strict=True) if CANARY in said]
        assert CANARY not in agent.said()


@pytest.mark.fault("F48")
def test_a_log_line_is_an_object(dead_dsn):
    with Process(dead_dsn) as agent:
        wait_until(lambda: "refresh failed" in agent.said())

        lines = [json.loads(line) for line in agent.said().splitlines()]
        assert {"event", "level", "timestamp"} <= set.intersection(*map(set, lines))
