"""Every incident on real servers: its alert fires in time and of the right thing, nothing else does, and it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
from pytest_httpserver import HTTPServer

import servers
from chaos import SIZES, calms, experienced, fired, followed, played, recovers, settle
from conftest import require
from duty import Duty, on_duty
from pgmon.alerts.alert import Alert
from pgmon.incidents import INCIDENTS, relations, sessions
from pgmon.incidents.scene import Scene
from servers import Server, Standby


@pytest.fixture(scope="module", params=[12, 16, 18], ids="pg{}".format)
def duty(request: pytest.FixtureRequest, make_httpserver: HTTPServer) -> Iterator[Duty]:
    """Return an agent that knows its server for more than a day, in which nothing happened."""
    with experienced(require(request.param), make_httpserver) as made:
        yield made


def points_at(alert: Alert, scene: Scene) -> bool:
    """Tell whether an alert is about what the incident did; one about the server or its database always is."""
    of_all = not alert.object and not alert.pids
    return of_all or scene.name in alert.object or alert.object == "app" or bool(alert.pids & set(scene.pids))


@pytest.mark.parametrize("incident", INCIDENTS, ids=lambda incident: incident.name)
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


def test_an_xmin_that_is_held_for_an_hour_while_a_table_is_due_names_who_holds_it(duty):
    calms(duty, 7200, 300)
    with sessions.held_xmin.on(duty.server.dsn(dbname="app")) as scene:
        found = followed(duty, "XminHeld", 3600 + 3 * 600 + 300, 300)
    calms(duty, 3600, 300)

    alert = found["XminHeld"]
    assert set(found) <= {"XminHeld", "IdleInTransaction", "LongTransaction"}
    assert (alert.labels["db"], alert.pids, alert.inhibited_by) == ("app", set(scene.pids), "IdleInTransaction")
    assert alert.message.startswith(f"incident_held_xmin (pid {scene.pids[0]}) holds xmin for 1 h")


# --- what breaks servers ----------------------------------------------------------------------------------------------

WAL = "SELECT pg_logical_emit_message(true, 'chaos', repeat('x', 1000))"
UNCOPIED = "create_slot = false, slot_name = 's', copy_data = false"
BROKEN = {"ALERTS_REPL_WARN_S": "0.2", "ALERTS_ARCHIVE_READY_WARN_S": "0.01"}


class Checked(Server):
    """A server that checks its pages; before 18 that has to be asked for."""

    INITDB = f"{Server.INITDB} --data-checksums"


@pytest.fixture(scope="module", params=[12, 16, 18], ids="pg{}".format)
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


def test_replay_that_is_paused_is_lag_for_the_primary(pair, httpserver):
    primary, standby = pair
    with on_duty(primary, httpserver, **BROKEN) as duty, standby.connect() as admin, primary.connect() as writer:
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


def test_replay_that_is_paused_is_told_by_the_standby(pair, httpserver):
    _, standby = pair
    with on_duty(standby, httpserver) as duty, standby.connect() as admin:
        admin.execute("SELECT pg_wal_replay_pause()")
        heard = told(duty, "ReplayPaused", 600 + 60 + 15)
        admin.execute("SELECT pg_wal_replay_resume()")
        calms(duty, 600, 60)

    assert heard == ["firing warning ReplayPaused"]


def test_a_standby_that_is_gone_is_missed(pair, httpserver):
    primary, standby = pair
    with on_duty(primary, httpserver) as duty:
        duty.watch(720, 60)
        standby.stop()
        heard = told(duty, "ReplicaMissing", 120 + 60 + 15)
        standby.start()
        calms(duty, 600, 60)

    assert heard == ["firing warning ReplicaMissing"]


def test_commits_that_wait_for_a_synchronous_standby_are_told_and_the_standby_is_not(pair, httpserver):
    primary, standby = pair
    configured(primary, "synchronous_standby_names", standby.name)
    with on_duty(primary, httpserver) as duty, closing(primary.connect(dbname="app")) as waiter:
        duty.watch(720, 60)
        standby.stop()
        waiter.pgconn.send_query(b"CREATE TABLE waits ()")
        waiter.pgconn.flush()
        primary.wait_for(f"SELECT wait_event FROM pg_stat_activity WHERE pid = {waiter.info.backend_pid}", "SyncRep")
        found, messages = followed(duty, "CommitsWaitingForStandby", 10 + 15 + 15, 15), duty.told(0)
        configured(primary, "synchronous_standby_names", "")
        standby.start()
        calms(duty, 600, 60)
    with primary.connect(dbname="app") as admin:
        admin.execute("DROP TABLE waits")

    assert set(found) == {"CommitsWaitingForStandby", "ReplicaMissing"}
    assert messages == ["firing critical CommitsWaitingForStandby"]


def configured(primary: Server, setting: str, value: str) -> None:
    """Change a setting and return when it is in force."""
    with primary.connect() as admin:
        admin.execute("SET synchronous_commit = off")
        admin.execute(f"ALTER SYSTEM SET {setting} = '{value}'")
        admin.execute("SELECT pg_reload_conf()")
    primary.wait_for(f"SHOW {setting}", value)


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
        configured(primary, name, value)
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


def test_a_directory_that_a_slot_makes_large_names_the_slot(pair, httpserver):
    primary, _ = pair
    with on_duty(primary, httpserver) as duty:
        with forgotten_slot(primary) as admin:
            segments(admin, 12)
            configured(primary, "min_wal_size", "32MB")
            configured(primary, "max_wal_size", "64MB")
            heard = told(duty, "WalDirectoryLarge", 600 + 60 + 15)
            [alert] = fired(duty).values()
        calms(duty, 600, 60)
        for name in ("max_wal_size", "min_wal_size"):
            configured(primary, name, {"max_wal_size": "1GB", "min_wal_size": "80MB"}[name])

    assert heard == ["firing warning WalDirectoryLarge"]
    assert alert.message.endswith("kept by slot forgotten")


# --- what is rare -----------------------------------------------------------------------------------------------------


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


def test_a_partition_that_is_kept_for_too_long_is_told(pair, httpserver):
    primary, _ = pair
    kept = '{"incident_partition_gap.samples": "1d"}'
    with on_duty(primary, httpserver, PARTITIONS_RETENTION=kept) as duty:
        with relations.partition_gap.on(primary.dsn(dbname="app"), hours=36) as scene:
            found = followed(duty, "RetentionOverdue", 3600 + 2 * 600 + 300, 300)
        calms(duty, 1200, 300)

    assert set(found) == {"RetentionOverdue"}
    assert points_at(found["RetentionOverdue"], scene)


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
            configured(primary, "wal_retrieve_retry_interval", "1h")  # else now and then one runs for a moment
            subscriber.execute("ALTER SUBSCRIPTION s CONNECTION 'host=127.0.0.1 port=1'")
            primary.wait_for(worker, 0)
            heard = told(duty, "SubscriptionDown", 300 + 60 + 15)
            [alert] = fired(duty).values()
            subscriber.execute(f"ALTER SUBSCRIPTION s CONNECTION '{publisher}'")
            configured(primary, "wal_retrieve_retry_interval", "100ms")
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


def test_wal_that_cannot_be_archived_is_told(pair, httpserver):
    primary, _ = pair
    with on_duty(primary, httpserver, **BROKEN) as duty, primary.connect() as admin:
        configured(primary, "archive_command", "false")
        for _ in range(2):
            admin.execute(WAL)
            admin.execute("SELECT pg_switch_wal()")
        heard = told(duty, "ArchiveFailing", 300 + 60 + 15)
        configured(primary, "archive_command", "true")
        admin.execute(WAL)
        admin.execute("SELECT pg_switch_wal()")
        primary.wait_for("SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'", 0, timeout=70)
        calms(duty, 600, 60)

    assert heard == ["firing warning ArchiveFailing"]
