"""Every incident on real servers: its alert fires in time and of the right thing, nothing else does, and it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from pytest_httpserver import HTTPServer

import servers
from chaos import SIZES, calms, experienced, fired, followed, meant, played, recovers, settle
from conftest import require
from duty import PLAYED, Duty, on_duty
from pgmon.alerts.alert import Alert
from pgmon.incidents import INCIDENTS, cluster, relations, sessions
from pgmon.incidents.scene import Scene
from servers import Server, Standby
from telling import HOSTILE


@pytest.fixture(scope="module", params=PLAYED, ids="pg{}".format)
def duty(request: pytest.FixtureRequest, make_httpserver: HTTPServer) -> Iterator[Duty]:
    """Return an agent that knows its server for more than a day, in which nothing happened."""
    with experienced(require(request.param), make_httpserver) as made:
        yield made


def points_at(alert: Alert, scene: Scene) -> bool:
    """Tell whether an alert is about what the incident did; one about the server or its database always is."""
    of_all = not alert.object and not alert.pids
    return of_all or scene.name in alert.object or alert.object == "app" or bool(alert.pids & set(scene.pids))


@pytest.mark.parametrize(
    "incident", [pytest.param(i, id=i.name, marks=pytest.mark.alert(*meant(i))) for i in INCIDENTS]
)
def test_an_incident_makes_its_alert_fire_and_nothing_that_it_does_not_explain(duty, incident):
    settle(duty, incident)
    heard = len(duty.payloads)

    with incident.on(duty.server.dsn(dbname="app"), **SIZES.get(incident, {})) as scene:
        found = played(duty, incident, scene)
        told = [message for message in duty.told(heard) if message.startswith("firing")]

    assert set(found) - {incident.alert, *incident.consequences} == set()
    assert points_at(found[incident.alert], scene)
    assert len(told) == 1, told
    recovers(duty, incident)


@pytest.mark.alert("XminHeld", "tables_due")
def test_an_xmin_that_is_held_for_an_hour_while_a_table_is_due_names_who_holds_it(duty):
    calms(duty, 7200, 300)
    with sessions.held_xmin.on(duty.server.dsn(dbname="app")) as scene:
        found = followed(duty, "XminHeld", 3600 + 3 * 600 + 300, 300)
    calms(duty, 3600, 300)

    alert = found["XminHeld"]
    assert set(found) <= {"XminHeld", "IdleInTransaction", "LongTransaction"}
    assert (alert.labels["db"], alert.pids, alert.inhibited_by) == ("app", set(scene.pids), "IdleInTransaction")
    assert alert.message.startswith(f"incident_held_xmin (pid {scene.pids[0]}) holds xmin for 1 h")


@pytest.mark.alert("LockQueue", "queued")
def test_ten_sessions_that_queue_are_critical_however_short_they_wait(duty):
    settle(duty, sessions.lock_queue)
    with sessions.lock_queue.on(duty.server.dsn(dbname="app"), readers=10) as scene:
        found = followed(duty, "LockQueue", 10 + 15 + 15, 15)
    recovers(duty, sessions.lock_queue)

    assert set(found) - {"LockQueue", *sessions.lock_queue.consequences} == set()
    assert (found["LockQueue"].severity, scene.pids[0] in found["LockQueue"].pids) == ("critical", True)
    assert found["LockQueue"].message.startswith("10 sessions queue")


# --- what breaks servers ----------------------------------------------------------------------------------------------

WAL = "SELECT pg_logical_emit_message(true, 'chaos', repeat('x', 1000))"
UNCOPIED = "create_slot = false, slot_name = 's', copy_data = false"


class Checked(Server):
    """A server that checks its pages; before 18 that has to be asked for."""

    INITDB = f"{Server.INITDB} --data-checksums"


@pytest.fixture(scope="module", params=PLAYED, ids="pg{}".format)
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[Server, Standby]]:
    """Return a primary, which archives and publishes, and its standby."""
    settings = {"archive_mode": "on", "archive_command": "true", "wal_level": "logical"}
    with Checked(require(request.param), settings) as primary:
        servers.prepare(primary)
        with primary.standby() as standby:
            yield primary, standby


def told(duty: Duty, name: str, limit: float, step: float = 15) -> list[str]:
    """Return the messages until an alert fires, which it must within a limit, and four minutes after."""
    heard = len(duty.payloads)
    found = followed(duty, name, limit, step)
    assert set(found) == {name}
    return duty.told(heard)


@pytest.mark.parametrize(
    "limit",
    [
        pytest.param({"ALERTS_REPL_WARN_S": "0.2"}, marks=pytest.mark.alert("ReplicationLag", "lag_seconds")),
        pytest.param({"ALERTS_REPL_WARN_BYTES": "100"}, marks=pytest.mark.alert("ReplicationLag", "lag_bytes")),
    ],
    ids=("seconds", "bytes"),
)
def test_replay_that_is_paused_is_lag_for_the_primary(pair, httpserver, limit):
    primary, standby = pair
    with on_duty(primary, httpserver, **limit) as duty, standby.connect() as admin, primary.connect() as writer:
        admin.execute("SELECT pg_wal_replay_pause()")
        writer.execute(WAL)
        duty.watch(60)
        writer.execute("SELECT pg_sleep(0.3)")
        told(duty, "ReplicationLag", 60 + 60 + 15)
        heard = duty.told(0)  # on a busy machine it lags for longer than a moment before we wait for it
        admin.execute("SELECT pg_wal_replay_resume()")
        primary.wait_for("SELECT replay_lsn >= pg_current_wal_lsn() FROM pg_stat_replication", timeout=30)
        calms(duty, 600, 60)

    assert heard == ["firing warning ReplicationLag"]


@pytest.mark.alert("ReplayPaused")
def test_replay_that_is_paused_is_told_by_the_standby(pair, httpserver):
    _, standby = pair
    with on_duty(standby, httpserver) as duty, standby.connect() as admin:
        admin.execute("SELECT pg_wal_replay_pause()")
        heard = told(duty, "ReplayPaused", 600 + 60 + 15)
        admin.execute("SELECT pg_wal_replay_resume()")
        calms(duty, 600, 60)

    assert heard == ["firing warning ReplayPaused"]


@pytest.mark.alert("ReplicaMissing", "missing")
def test_a_standby_that_is_gone_is_missed(pair, httpserver):
    primary, standby = pair
    with on_duty(primary, httpserver) as duty:
        duty.watch(720, 60)
        standby.stop()
        heard = told(duty, "ReplicaMissing", 120 + 60 + 15)
        standby.start()
        calms(duty, 600, 60)

    assert heard == ["firing warning ReplicaMissing"]


@pytest.mark.alert("ReplicaMissing", "fewer")
def test_a_standby_that_was_expected_and_never_came_is_missed(pair, httpserver):
    primary, standby = pair
    with on_duty(primary, httpserver, REPLICATION_EXPECTED="1") as duty:
        standby.stop()
        heard = told(duty, "ReplicaMissing", 120 + 60 + 15)
        [alert] = fired(duty).values()
        standby.start()
        calms(duty, 600, 60)

    assert (heard, alert.message) == (["firing warning ReplicaMissing"], "0 of 1 standbys are connected")


@pytest.mark.alert("CommitsWaitingForStandby")
@pytest.mark.alert("ReplicaMissing", "synchronous_missing")
def test_commits_that_wait_for_a_synchronous_standby_are_told_and_the_standby_is_not(pair, httpserver):
    primary, standby = pair
    primary.alter("synchronous_standby_names", standby.name)
    with on_duty(primary, httpserver) as duty, closing(primary.connect(dbname="app")) as waiter:
        duty.watch(720, 60)
        standby.stop()
        waiter.pgconn.send_query(b"CREATE TABLE waits ()")
        waiter.pgconn.flush()
        primary.wait_for(f"SELECT wait_event FROM pg_stat_activity WHERE pid = {waiter.info.backend_pid}", "SyncRep")
        found, messages = followed(duty, "CommitsWaitingForStandby", 10 + 15 + 15, 15), duty.told(0)
        primary.alter("synchronous_standby_names", "")
        standby.start()
        calms(duty, 600, 60)
    with primary.connect(dbname="app") as admin:
        admin.execute("DROP TABLE waits")

    assert set(found) == {"CommitsWaitingForStandby", "ReplicaMissing"}
    assert found["ReplicaMissing"].message.startswith("The synchronous standby replica1 is gone")
    assert messages == ["firing critical CommitsWaitingForStandby"]


@pytest.mark.alert("StandbyReceiverDown")
def test_a_standby_that_receives_nothing_says_so(pair, httpserver):
    primary, standby = pair
    with on_duty(standby, httpserver) as duty:
        primary.stop()
        standby.wait_for("SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'", 0)
        heard = told(duty, "StandbyReceiverDown", 120 + 60 + 15)
        primary.start()
        standby.wait_for("SELECT status FROM pg_stat_wal_receiver", "streaming", timeout=30)
        calms(duty, 600, 60)

    assert heard == ["firing warning StandbyReceiverDown"]


# --- slots, and what they keep ----------------------------------------------------------------------------------------


def segments(admin: psycopg.Connection, n: int) -> None:
    """Go on by so many files of WAL, 16 MiB each, of which little is written."""
    for _ in range(n):
        admin.execute(WAL)
        admin.execute("SELECT pg_switch_wal()")


@contextmanager
def forgotten_slot(primary: Server, **settings: str) -> Iterator[psycopg.Connection]:
    """Make a slot that nobody reads from, and yield a session; afterwards it and the settings are gone."""
    for name, value in settings.items():
        primary.alter(name, value)
    with primary.connect() as admin:
        admin.execute("SELECT pg_create_physical_replication_slot('forgotten', true)")
        try:
            yield admin
        finally:
            admin.execute("SELECT pg_drop_replication_slot('forgotten')")
            admin.execute("CHECKPOINT")
            for name in settings:
                admin.execute(f"ALTER SYSTEM RESET {name}")
            admin.execute("SELECT pg_reload_conf()")


@pytest.mark.alert("SlotUnreserved")
@pytest.mark.alert("SlotLost")
def test_a_slot_is_unreserved_and_then_lost(pair, httpserver):
    primary, _ = pair
    if primary.major < 13:
        pytest.skip("Before 13 no slot is lost.")
    with on_duty(primary, httpserver) as duty:
        with forgotten_slot(primary, max_slot_wal_keep_size="1MB") as admin:
            segments(admin, 3)
            heard = told(duty, "SlotUnreserved", 60 + 15)
            admin.execute("CHECKPOINT")
            then, worse = followed(duty, "SlotLost", 60 + 15, 15), duty.told(len(heard))
        calms(duty, 600, 60)

    assert heard == ["firing warning SlotUnreserved"]
    assert set(then) == {"SlotUnreserved", "SlotLost"}  # the one is over, and told so at its interval
    assert worse[0] == "firing critical SlotLost"


@pytest.mark.alert("SlotRunway", "runway_seconds")
def test_a_slot_that_uses_up_its_room_has_a_runway(pair, httpserver):
    primary, _ = pair
    limited = {"max_slot_wal_keep_size": "512MB"} if primary.major >= 13 else {}
    volume = {} if limited else {"WAL_VOLUME_BYTES": str(512 * 2**20)}
    with on_duty(primary, httpserver, **volume) as duty:
        with forgotten_slot(primary, **limited) as admin:
            for _ in range(3):  # 32 MiB in ten minutes: about two hours and a half are left
                assert duty.watch(300, 60) == []
                segments(admin, 1)
            heard = told(duty, "SlotRunway", 300 + 60 + 15)
        calms(duty, 600, 60)

    assert heard == ["firing warning SlotRunway"]


@pytest.mark.alert("WalDirectoryLarge")
def test_a_directory_that_a_slot_makes_large_names_the_slot(pair, httpserver):
    primary, _ = pair
    with on_duty(primary, httpserver) as duty:
        with forgotten_slot(primary) as admin:
            segments(admin, 12)
            primary.alter("min_wal_size", "32MB")
            primary.alter("max_wal_size", "64MB")
            heard = told(duty, "WalDirectoryLarge", 600 + 60 + 15)
            [alert] = fired(duty).values()
        calms(duty, 600, 60)
        for name in ("max_wal_size", "min_wal_size"):
            primary.alter(name, {"max_wal_size": "1GB", "min_wal_size": "80MB"}[name])

    assert heard == ["firing warning WalDirectoryLarge"]
    assert alert.message.endswith("kept by slot forgotten")


# --- what is rare -----------------------------------------------------------------------------------------------------


@pytest.mark.alert("ChecksumFailure")
def test_a_page_whose_checksum_is_wrong_names_its_database(pair, httpserver):
    primary, _ = pair
    copied = " STRATEGY file_copy" if primary.major >= 15 else ""  # else its pages are in the buffers
    with primary.connect() as admin:
        admin.execute(f"CREATE DATABASE broken TEMPLATE app{copied}")
    with primary.connect(dbname="broken") as reader:
        path = reader.execute("SELECT pg_relation_filepath('churned')").fetchone()[0]
        with (Path(primary.datadir) / path).open("r+b") as file:
            file.seek(4000)
            file.write(b"rotten")
        with on_duty(primary, httpserver) as duty:
            with pytest.raises(psycopg.errors.DataCorrupted):
                reader.execute("SELECT count(*) FROM churned")
            primary.wait_for("SELECT checksum_failures > 0 FROM pg_stat_database WHERE datname = 'broken'")
            heard = told(duty, "ChecksumFailure", 60 + 15)
            [alert] = fired(duty).values()
            reader.close()
            with primary.connect() as admin:
                admin.execute("DROP DATABASE broken")
            calms(duty, 600, 60)

    assert heard == ["firing critical ChecksumFailure"]
    assert alert.object == "broken"


@pytest.mark.alert("RetentionOverdue")
def test_a_partition_that_is_kept_for_too_long_is_told(pair, httpserver):
    primary, _ = pair
    kept = '{"incident_partition_gap.samples": "1d"}'
    with on_duty(primary, httpserver, PARTITIONS_RETENTION=kept) as duty:
        with relations.partition_gap.on(primary.dsn(dbname="app"), hours=36) as scene:
            found = followed(duty, "RetentionOverdue", 3600 + 2 * 600 + 300, 300)
        calms(duty, 1200, 300)

    assert set(found) == {"RetentionOverdue"}
    assert points_at(found["RetentionOverdue"], scene)


@pytest.mark.alert("CollationMismatch")
def test_an_index_whose_collation_changed_is_told(pair, httpserver):
    primary, _ = pair
    with on_duty(primary, httpserver) as duty, primary.connect(dbname="app") as admin:
        admin.execute('CREATE TABLE names (name text COLLATE "en-x-icu" PRIMARY KEY)')
        changed = "UPDATE pg_collation SET collversion = {} WHERE collname = 'en-x-icu'"
        admin.execute(changed.format("'old ' || collversion"))
        heard = told(duty, "CollationMismatch", 3600 + 15, 300)
        admin.execute(changed.format("substr(collversion, 5)"))
        calms(duty, 7200, 300)
        admin.execute("DROP TABLE names")

    assert heard == ["firing warning CollationMismatch"]


@pytest.mark.alert("SubscriptionDown", "down")
def test_a_subscription_whose_publisher_is_gone_is_told(pair, httpserver):
    primary, _ = pair
    publisher = primary.dsn(dbname="app")
    with primary.connect(dbname="app") as app, primary.connect() as subscriber:
        app.execute("CREATE PUBLICATION p FOR TABLE device")
        app.execute("SELECT pg_create_logical_replication_slot('s', 'pgoutput')")
        subscriber.execute("CREATE TABLE device (id integer PRIMARY KEY, name text)")
        subscriber.execute(f"CREATE SUBSCRIPTION s CONNECTION '{publisher}' PUBLICATION p WITH ({UNCOPIED})")
        worker = "SELECT count(pid) FROM pg_stat_subscription"
        primary.wait_for(worker, 1)
        with on_duty(primary, httpserver) as duty:
            primary.alter("wal_retrieve_retry_interval", "1h")  # else now and then one runs for a moment
            subscriber.execute("ALTER SUBSCRIPTION s CONNECTION 'host=127.0.0.1 port=1'")
            primary.wait_for(worker, 0)
            heard = told(duty, "SubscriptionDown", 300 + 60 + 15)
            [alert] = fired(duty).values()
            subscriber.execute(f"ALTER SUBSCRIPTION s CONNECTION '{publisher}'")
            primary.alter("wal_retrieve_retry_interval", "100ms")
            primary.wait_for(worker, 1)
            calms(duty, 600, 60)
        subscriber.execute("DROP SUBSCRIPTION s")
        subscriber.execute("DROP TABLE device")
        app.execute("DROP PUBLICATION p")

    assert heard == ["firing warning SubscriptionDown"]
    assert (alert.object, alert.message) == (
        "postgres, s",
        "s in postgres: no apply worker runs, nothing is replicated",
    )


@pytest.mark.parametrize(
    ("limit", "severity", "summary"),
    [
        pytest.param(
            {"ALERTS_ARCHIVE_READY_WARN_S": "0.01"},
            "warning",
            "WAL files wait",
            marks=pytest.mark.alert("ArchiveFailing", "oldest_ready_seconds"),
        ),
        pytest.param(
            {"ALERTS_ARCHIVE_READY_FILES": "1"},
            "critical",
            "WAL files wait",
            marks=pytest.mark.alert("ArchiveFailing", "archive_ready_files"),
        ),
        pytest.param({}, "warning", "times in a row", marks=pytest.mark.alert("ArchiveFailing", "failures")),
    ],
    ids=("old", "many", "in a row"),
)
def test_wal_that_cannot_be_archived_is_told(pair, httpserver, limit, severity, summary):
    primary, _ = pair
    with on_duty(primary, httpserver, **limit) as duty, primary.connect() as admin:
        failed = admin.execute("SELECT failed_count FROM pg_stat_archiver").fetchone()[0]
        with primary.altered("archive_command", "false"):
            segments(admin, 2)
            primary.wait_for(f"SELECT failed_count >= {failed} + 3 FROM pg_stat_archiver")
            heard = told(duty, "ArchiveFailing", 300 + 60 + 15)
            alerts = fired(duty).values()
        segments(admin, 1)
        primary.wait_for("SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'", 0, timeout=70)
        primary.wait_for("SELECT last_archived_time > last_failed_time FROM pg_stat_archiver")
        calms(duty, 600, 60)

    assert heard == [f"firing {severity} ArchiveFailing"]
    assert any(summary in alert.message for alert in alerts)


# --- autovacuum does not come -----------------------------------------------------------------------------------------

WORKERS = "FROM pg_stat_activity WHERE backend_type = 'autovacuum worker'"
WIDE = """CREATE TABLE wide WITH (autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1)
                  AS SELECT n AS id, repeat('x', 1000) AS text FROM generate_series(1, 5000) AS n"""


@pytest.mark.alert("AutovacuumStarvation", "busy_seconds")
@pytest.mark.parametrize("major", PLAYED, ids="pg{}".format)
def test_workers_that_are_all_busy_for_an_hour_are_told(fresh_server, httpserver, major):
    server = fresh_server(require(major), {"autovacuum_max_workers": "1", "autovacuum_naptime": "1s"})
    with on_duty(server, httpserver) as duty, server.connect() as admin:
        run(server, "VACUUM ANALYZE", WIDE, "VACUUM ANALYZE wide", "DELETE FROM wide WHERE id <= 1500")
        server.wait_for(f"SELECT count(*) {WORKERS} AND query LIKE 'autovacuum: VACUUM%wide'", 1, timeout=30)
        heard = told(duty, "AutovacuumStarvation", 3600 + 3 * 300, 300)
        [alert] = fired(duty).values()
        server.alter("autovacuum", "off")
        admin.execute(f"SELECT pg_terminate_backend(pid) {WORKERS}")
        server.wait_for(f"SELECT count(*) {WORKERS}", 0)
        calms(duty, 600, 60)

    assert heard == ["firing warning AutovacuumStarvation"]
    assert alert.message.startswith("All 1 workers of autovacuum are busy for 1 h")


def run(server: Server, *statements: str, **parameters: str) -> None:
    """Run statements in a session that then ends, which reports its statistics."""
    with server.connect(dbname="app", **parameters) as session:
        for statement in statements:
            session.execute(statement)


@contextmanager
def neglected(primary: Server, *statements: str) -> Iterator[psycopg.Connection]:
    """Let autovacuum stay away from a schema of that name, where statements run; yield a session."""
    within = {"options": "-c search_path=neglected"}
    with primary.altered("autovacuum_naptime", "1d"):
        run(primary, "VACUUM ANALYZE", "CREATE SCHEMA neglected")
        try:
            run(primary, *statements, **within)
            with primary.connect(dbname="app", **within) as admin:
                yield admin
        finally:
            run(primary, "DROP SCHEMA neglected CASCADE")


ROWS = "CREATE TABLE rows AS SELECT n AS id FROM generate_series(1, 1000) AS n"
DEAD = """SELECT pg_stat_get_dead_tuples(oid)
            FROM pg_class
           WHERE relnamespace = 'neglected'::regnamespace AND relkind = 'r'"""


@pytest.mark.alert("DeadTuples", "factor")
@pytest.mark.alert("AutovacuumStarvation", "overdue_seconds")
def test_a_table_to_which_nobody_comes_is_behind_and_then_starved(pair, httpserver):
    primary, _ = pair
    dead = "ANALYZE rows", "DELETE FROM rows WHERE id <= 700"
    with on_duty(primary, httpserver) as duty, neglected(primary, ROWS, *dead) as admin:
        primary.wait_for(DEAD, 700, dbname="app")
        heard = told(duty, "DeadTuples", 3 * 600 + 600, 300)
        found = followed(duty, "AutovacuumStarvation", 21600 + 2 * 600, 600)
        admin.execute("VACUUM rows")
        primary.wait_for(DEAD, 0, dbname="app")
        calms(duty, 1800, 300)

    assert heard == ["firing warning DeadTuples"]
    assert set(found) == {"DeadTuples", "AutovacuumStarvation"}
    assert all("neglected.rows" in alert.object for alert in found.values())


CHANGED = "UPDATE rows SET id = id + 1 WHERE id <= {}"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("ANALYZE rows", CHANGED.format(200), marks=pytest.mark.alert("StaleStatistics", "analyze_ratio")),
        pytest.param(
            "ALTER TABLE rows SET (autovacuum_enabled = off)",
            "INSERT INTO rows SELECT n FROM generate_series(1, 20000) AS n",
            marks=pytest.mark.alert("StaleStatistics", "unanalyzed_seconds"),
        ),
    ],
    ids=("due", "never"),
)
def test_statistics_that_nobody_makes_are_told(pair, httpserver, before, after):
    primary, _ = pair
    with on_duty(primary, httpserver, ALERTS_STALE_STATS_S="0") as duty:
        with neglected(primary, ROWS, before) as admin:
            duty.watch(3600 + 600, 600)
            admin.execute(after)
            admin.execute("SELECT pg_sleep(1)")  # before 15 statistics come in twice a second
            found = followed(duty, "StaleStatistics", 2 * 3600 + 2 * 300, 300)
        calms(duty, 7200, 300)

    assert set(found) - {"DeadTuples"} == {"StaleStatistics"}
    assert found["StaleStatistics"].object == "neglected.rows"


MANY = """DO $$ BEGIN FOR n IN 1..500 LOOP
    EXECUTE format('CREATE TABLE many_%s (id integer)', n);
    EXECUTE format('ANALYZE many_%s', n);
END LOOP; END $$"""
MORE = """DO $$ BEGIN FOR n IN 1..500 LOOP
    EXECUTE format('INSERT INTO many_%s SELECT generate_series(1, 100)', n);
END LOOP; END $$"""


@pytest.mark.fault("F76")
@pytest.mark.alert("StaleStatistics", "analyze_ratio")
def test_five_hundred_tables_whose_statistics_are_stale_are_one_message(pair, httpserver):
    primary, _ = pair
    all_of_one = {"ALERTS_STALE_STATS_S": "0", "LIMITS_TOP_RELATIONS": "1000", "DATABASES_INCLUDE": "[app]"}
    with on_duty(primary, httpserver, **all_of_one) as duty:
        with neglected(primary, MANY):
            duty.watch(3600 + 600, 600)
            run(primary, MORE, options="-c search_path=neglected")
            primary.wait_for("SELECT pg_stat_get_mod_since_analyze('neglected.many_500'::regclass)", 100, dbname="app")
            heard = told(duty, "StaleStatistics", 2 * 3600 + 2 * 300, 300)
            [message] = duty.payloads
        calms(duty, 7200, 300)

    assert heard == ["firing warning StaleStatistics"]
    assert len(message["alerts"]) + message["truncatedAlerts"] == 500


@pytest.mark.fault("F74", "F80")
def test_the_name_of_a_table_is_text_to_whoever_is_told(pair, httpserver):
    primary, _ = pair
    name = sql.Identifier(HOSTILE).as_string(None)
    statements = (ROWS, f"ALTER TABLE rows RENAME TO {name}", f"ANALYZE {name}", f"DELETE FROM {name} WHERE id <= 700")
    httpserver.expect_request("/slack").respond_with_data("ok")
    with on_duty(primary, httpserver, NOTIFIERS_SLACK_WEBHOOK=httpserver.url_for("/slack")) as duty:
        with neglected(primary, *statements):
            primary.wait_for(DEAD, 700, dbname="app")
            told(duty, "DeadTuples", 3 * 600 + 600, 300)
        calms(duty, 1800, 300)
    [slack] = [r.get_json() for r, _ in httpserver.log if r.path == "/slack" and "WARNING" in r.get_data(as_text=True)]

    [alert] = duty.payloads[0]["alerts"]
    assert "<!channel> {{7*7}} `x`" in alert["annotations"]["summary"]
    assert "\n" not in alert["annotations"]["summary"]
    assert "&lt;!channel&gt; {{7*7}}" in str(slack)
    assert "<" not in str(slack)


# --- partitions -------------------------------------------------------------------------------------------------------

DAYS = relations.DAYS.format(days=6, hours=96)
NUMBERS = "CREATE TABLE numbers (id bigint) PARTITION BY RANGE (id)"
HALF = "CREATE TABLE numbers_{0} PARTITION OF numbers FOR VALUES FROM ({0}) TO ({0} + 10)"
FILLED = "INSERT INTO numbers VALUES (15)", "ANALYZE numbers_10"  # before 15 statistics arrive when they like
TROUBLES = {
    "runway_seconds": ("critical", [relations.PARTITIONED, relations.DAYS.format(days=4, hours=3)]),
    "empty_ahead": ("warning", [NUMBERS, HALF.format(0), HALF.format(10), *FILLED]),
    "gaps_ahead": ("warning", [relations.PARTITIONED, DAYS, "DROP TABLE samples_5"]),
}


@pytest.mark.parametrize("word", [pytest.param(w, marks=pytest.mark.alert("PartitionRunway", w)) for w in TROUBLES])
def test_partitions_that_will_not_do_are_told(pair, httpserver, word):
    primary, _ = pair
    severity, statements = TROUBLES[word]
    with on_duty(primary, httpserver) as duty:
        with neglected(primary, *statements):
            heard = told(duty, "PartitionRunway", 600 + 600 + 60, 60)
            [alert] = fired(duty).values()
        calms(duty, 1800, 60)

    assert heard == [f"firing {severity} PartitionRunway"]
    assert alert.object.startswith("neglected.")


@pytest.mark.alert("PartitionRunway", "default_growth")
def test_rows_that_go_on_to_fall_into_default_are_told(pair, httpserver):
    primary, _ = pair
    rest = "CREATE TABLE samples_rest PARTITION OF samples DEFAULT"
    inserted = count(100, 100)

    def falls() -> None:
        run(primary, "INSERT INTO neglected.samples SELECT now() - interval '1 y' FROM generate_series(1, 100)")
        counted = "SELECT pg_stat_get_tuples_inserted('neglected.samples_rest'::regclass)"
        primary.wait_for(counted, next(inserted), dbname="app")

    with on_duty(primary, httpserver) as duty:
        with neglected(primary, relations.PARTITIONED, DAYS, rest):
            duty.after = falls
            heard = told(duty, "PartitionRunway", 600 + 3 * 600 + 300, 300)
            [alert] = fired(duty).values()
            duty.after = lambda: None
        calms(duty, 1800, 60)

    assert heard == ["firing warning PartitionRunway"]
    assert "more rows fell into DEFAULT" in alert.message


@pytest.mark.alert("PartitionRunway", "detach_pending")
def test_a_partition_that_is_half_detached_is_told(pair, httpserver):
    primary, _ = pair
    if primary.major < 14:
        pytest.skip("Before 14 a partition is detached at once.")
    detach = "ALTER TABLE samples DETACH PARTITION samples_1 {}"
    with on_duty(primary, httpserver) as duty, neglected(primary, relations.PARTITIONED, DAYS) as admin:
        with primary.connect(dbname="app") as reader, reader.transaction():
            reader.execute("SELECT count(*) FROM neglected.samples")
            admin.execute("SET statement_timeout = '500ms'")
            with pytest.raises(psycopg.errors.QueryCanceled):
                admin.execute(detach.format("CONCURRENTLY"))
            admin.execute("RESET statement_timeout")
        heard = told(duty, "PartitionRunway", 600 + 600 + 60, 60)
        [alert] = fired(duty).values()
        admin.execute(detach.format("FINALIZE"))
        calms(duty, 1800, 60)

    assert heard == ["firing warning PartitionRunway"]
    assert alert.message == "neglected.samples: 1 partitions half detached"


# --- transaction ids --------------------------------------------------------------------------------------------------

MULTIXACT = """UPDATE pg_database
   SET datminmxid = ((mxid_age('1'::xid)::bigint + 1 + 4294967296 - 1600000000) % 4294967296)::text::xid
 WHERE datname = 'incident_wraparound'"""


@pytest.mark.parametrize(
    ("age", "severity", "summary"),
    [
        pytest.param(1000, "warning", "oldest multixact", marks=pytest.mark.alert("WraparoundDanger", "multixact_age")),
        pytest.param(
            350_000_000, "critical", "failsafe", marks=pytest.mark.alert("WraparoundDanger", "failsafe_ratio")
        ),
        pytest.param(
            450_000_000, "warning", "does not keep up", marks=pytest.mark.alert("WraparoundDanger", "freeze_ratio")
        ),
    ],
    ids=("multixact", "failsafe", "freeze"),
)
def test_ids_that_grow_old_are_told(pair, httpserver, age, severity, summary):
    primary, _ = pair
    if primary.major < 14 and summary == "failsafe":
        pytest.skip("Before 14 vacuum has no failsafe.")
    failsafe = "300000000" if summary == "failsafe" else "1600000000"
    soon = primary.altered("vacuum_failsafe_age", failsafe)
    with soon if primary.major >= 14 else nullcontext(), on_duty(primary, httpserver) as duty:
        with cluster.wraparound.on(primary.dsn(dbname="app"), age=age) as scene:
            if summary == "oldest multixact":
                scene.command(MULTIXACT)
            heard = told(duty, "WraparoundDanger", 3600 + 2 * 300, 300)
            [alert] = fired(duty).values()
        calms(duty, 7200, 300)

    assert heard == [f"firing {severity} WraparoundDanger"]
    assert alert.object == scene.name


@pytest.mark.alert("WraparoundDanger", "overdue_seconds_left")
def test_a_pace_at_which_ids_run_out_is_told(pair, httpserver):
    primary, _ = pair
    soon = {"SAMPLE_INTERVALS_HOURLY": "60s", "ALERTS_WRAPAROUND_DAYS_LEFT": "2000"}
    burn = "DO $$ BEGIN FOR i IN 1..5000 LOOP PERFORM txid_current(); COMMIT; END LOOP; END $$"
    with on_duty(primary, httpserver, **soon) as duty:
        with cluster.wraparound.on(primary.dsn(dbname="app"), age=300_000_000) as scene:
            duty.watch(120, 60)
            scene.command("SET synchronous_commit = off", burn)
            heard = told(duty, "WraparoundDanger", 60 + 2 * 15)
            [alert] = fired(duty).values()
        calms(duty, 600, 60)

    assert heard == ["firing warning WraparoundDanger"]
    assert (alert.object, "autovacuum is behind" in alert.message) == (scene.name, True)


# --- what else --------------------------------------------------------------------------------------------------------


@pytest.mark.alert("CheckpointThrash", "interval_ratio")
def test_checkpoints_that_follow_each_other_too_soon_are_told_whoever_asked_for_them(pair, httpserver):
    primary, _ = pair
    with on_duty(primary, httpserver, ALERTS_CHECKPOINT_REQUESTED_SHARE="1") as duty:
        duty.watch(600, 60)
        with cluster.checkpoint_storm.on(primary.dsn(dbname="app")) as scene:
            scene.command("SELECT pg_sleep(1)")  # before 15 statistics come in twice a second
            heard = told(duty, "CheckpointThrash", 60 + 15)
            [alert] = fired(duty).values()
        calms(duty, 3600, 60)

    assert heard == ["firing warning CheckpointThrash"]
    assert alert.message.endswith("they follow each other too soon")


@pytest.mark.alert("SubscriptionDown", "errors")
def test_a_subscription_whose_changes_cannot_be_applied_is_told(pair, httpserver):
    primary, _ = pair
    if primary.major < 15:
        pytest.skip("Before 15 errors of subscriptions are not counted.")
    with primary.connect(dbname="app") as app, primary.connect() as subscriber:
        app.execute("CREATE TABLE orders (id integer PRIMARY KEY)")
        app.execute("CREATE PUBLICATION p FOR TABLE orders")
        app.execute("SELECT pg_create_logical_replication_slot('s', 'pgoutput')")
        subscriber.execute("CREATE TABLE orders (id integer PRIMARY KEY)")
        subscriber.execute("INSERT INTO orders VALUES (1)")
        with on_duty(primary, httpserver) as duty:
            primary.alter("wal_retrieve_retry_interval", "100ms")
            publisher = primary.dsn(dbname="app")
            subscriber.execute(f"CREATE SUBSCRIPTION s CONNECTION '{publisher}' PUBLICATION p WITH ({UNCOPIED})")
            duty.watch(60)
            app.execute("INSERT INTO orders VALUES (1)")
            primary.wait_for("SELECT apply_error_count > 2 FROM pg_stat_subscription_stats", timeout=60)
            heard = told(duty, "SubscriptionDown", 300 + 60 + 15)
            messages = [alert.message for alert in fired(duty).values()]
            subscriber.execute("DELETE FROM orders")
            primary.wait_for("SELECT count(*) FROM orders", 1)
            calms(duty, 900 + 600, 60)
        subscriber.execute("DROP SUBSCRIPTION s")
        subscriber.execute("DROP TABLE orders")
        app.execute("DROP PUBLICATION p")
        app.execute("DROP TABLE orders")

    assert heard == ["firing warning SubscriptionDown"]
    assert any("errors (apply) in a quarter of an hour" in message for message in messages)
