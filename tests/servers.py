"""Real PostgreSQL 12 to 18 servers for the tests: found, started, broken and replicated.

No pytest in here, so a script can use it as well:

    with Server(16) as server:
        prepare(server)
        print(server.dsn("monitor"))
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import random
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
from packaging.version import parse
from psycopg import sql
from psycopg.conninfo import make_conninfo
from pytest_postgresql.executors import PostgreSQLExecutor

MAJORS = (12, 13, 14, 15, 16, 17, 18)
NEWEST = MAJORS[-1]

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.track": "all",
    "track_io_timing": "on",
    "password_encryption": "scram-sha-256",
    "shared_buffers": "16MB",
    "max_prepared_transactions": "5",
    "deadlock_timeout": "100ms",
    "log_min_messages": "info",
    "log_line_prefix": "%m [%p] %q%u@%d %a ",
    "timezone": "UTC",
}

PASSWORDS = {"monitor": "se'cret pass\\word"}  # a quote, a space and a backslash must survive every DSN

# The agent's role logs in with its password; the tests themselves, and replicas, come in freely.
PG_HBA = """\
local all         all     trust
host  all         monitor 127.0.0.1/32 scram-sha-256
host  all         all     127.0.0.1/32 trust
host  replication all     127.0.0.1/32 trust
"""

NPM = Path(__file__).parent / "pg" / "node_modules"
NOBODY = 65534

# What a base backup leaves out: files, and the contents of folders (docs: protocol-replication, BASE_BACKUP).
NOT_COPIED = {"postmaster.pid", "postmaster.opts"}
NOT_FILLED = {
    "pg_wal",
    "pg_replslot",
    "pg_dynshmem",
    "pg_notify",
    "pg_serial",
    "pg_snapshots",
    "pg_stat_tmp",
    "pg_subtrans",
}


# --- finding servers --------------------------------------------------------------------------------------------------


def find(major: int) -> Path | None:
    """Return the folder with the server programs of `major`, or None.

    Looks at PGMON_TEST_PG<major>, /usr/lib/postgresql/<major>/bin, then the npm package (tests/pg/install).
    """
    if named := os.environ.get(f"PGMON_TEST_PG{major}"):
        return Path(named)  # not looked into: a mistake there must not go unnoticed
    packaged = Path(f"/usr/lib/postgresql/{major}/bin")
    if (packaged / "pg_ctl").is_file():
        return packaged
    return unpacked(NPM / f"pg{major}")


def unpacked(package: Path) -> Path | None:
    """Return the bin folder of an npm tree, made runnable, or None when the package is not installed.

    npm packages carry no symbolic links; their install script, which we do not run, would make them.
    """
    links = package / "native" / "pg-symlinks.json"
    if not links.is_file():
        return None
    for link in json.loads(links.read_text()):
        source, target = package / link["source"], package / link["target"]
        with suppress(FileExistsError):  # made before, or just now by a parallel run
            target.symlink_to(os.path.relpath(source, target.parent))
    for program in (package / "native" / "bin").iterdir():
        if not os.access(program, os.X_OK):
            program.chmod(0o755)
    return package / "native" / "bin"


def free_port() -> int:
    """Return a free loopback port below the ephemeral range.

    A port of the ephemeral range could be taken by anybody's outgoing connection while its server is stopped, and
    a client that keeps trying such a closed port can even connect to itself.
    """
    while True:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port


@functools.cache
def memory() -> str | None:
    """Return /dev/shm when programs run there and a gigabyte is free; None stands for the usual temporary folder.

    initdb and start take half the time there.
    """
    with suppress(OSError):
        shm = os.statvfs("/dev/shm")
        if not shm.f_flag & os.ST_NOEXEC and shm.f_bavail * shm.f_frsize > 2**30:
            return "/dev/shm"
    return None


@functools.cache
def blanks() -> Path:
    """Return the folder of this process with a data folder of each kind as initdb left it: to copy one takes less."""
    folder = tempfile.TemporaryDirectory(prefix="pgmon-blanks-")
    atexit.register(folder.cleanup)
    return Path(folder.name)


@functools.cache
def unprivileged() -> tuple[str, ...]:
    """Return the command prefix that runs a program without root's rights; empty for an ordinary user.

    PostgreSQL refuses to run as root. In a user namespace the files stay root's and the pids stay the same.
    """
    if os.getuid() != 0:
        return ()
    unshare = ("unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--")
    if subprocess.run([*unshare, "true"], capture_output=True).returncode == 0:
        return unshare
    return ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--")


# --- running them -----------------------------------------------------------------------------------------------------


class Server(PostgreSQLExecutor):
    """A PostgreSQL server of its own on 127.0.0.1, with its data in a temporary folder.

    Entering the context starts it, leaving stops it and removes the data. As a pytest-postgresql executor it also
    serves that plugin's client fixtures.
    """

    MIN_SUPPORTED_VERSION = parse("12")
    INITDB = "--auth=trust --encoding=UTF8 --no-sync"

    def __init__(
        self, major: int, settings: dict[str, str] | None = None, within: str | None = None, distinct: bool = False
    ) -> None:
        """Set up a server of `major`, not yet started; `settings` go on top of SETTINGS, data into `within`.

        A `distinct` one has a system identifier that no other has. Raises LookupError when that version is not
        installed.
        """
        self.datadir = ""  # the executor's __del__ needs it if this fails
        self.process = None
        bindir = find(major)
        if bindir is None:
            raise LookupError(f"PostgreSQL {major} is not installed: run tests/pg/install or set PGMON_TEST_PG{major}")
        self.major = major
        self.settings = SETTINGS | (settings or {})
        self.distinct = distinct
        self.folder = Path(tempfile.mkdtemp(prefix=f"pgmon-pg{major}-", dir=within or memory()))
        self._stopped_pids: set[int] = set()
        super().__init__(
            executable=self._wrapper(bindir / "pg_ctl"),
            host="127.0.0.1",
            port=free_port(),
            datadir=str(self.folder / "data"),
            unixsocketdir=str(self.folder),
            logfile=str(self.folder / "log"),
            startparams="-w",
            dbname="postgres",
            sleep=0.02,
        )
        self._give_away()

    @property
    def template_dbname(self) -> str:
        """Return the database that pytest-postgresql's client fixtures copy for each test."""
        return "template1"

    def _wrapper(self, pg_ctl: Path) -> str:
        """Return the path of a pg_ctl that is never run as root."""
        if not unprivileged():
            return str(pg_ctl)
        script = self.folder / "pg_ctl"
        # From /, as PostgreSQL complains of a working folder it may not read.
        script.write_text(f'#!/bin/sh\ncd / && exec {shlex.join([*unprivileged(), str(pg_ctl)])} "$@"\n')
        script.chmod(0o755)
        return str(script)

    def _give_away(self) -> None:
        """Give the folder to the user the server runs as, when that is another one."""
        if unprivileged()[:1] != ("setpriv",):
            return
        for path in (self.folder, *self.folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY)

    # -- life ------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Server:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *exc: object) -> None:
        self.close()

    def init_directory(self) -> None:
        """Make the data folder on the first start, later do nothing."""
        if Path(self.datadir).exists():
            return
        if self.version.major != self.major:
            raise LookupError(f"looked for PostgreSQL {self.major}, found {self.version}")
        self._fill()
        self._give_away()

    def _fill(self) -> None:
        blank = blanks() / f"{self.major} {self.INITDB}"
        if blank.exists() and not self.distinct:
            shutil.copytree(blank, self.datadir)
        else:
            options = f"--username={self.user} {self.INITDB}"
            self._run_initdb([self.executable, "initdb", "--pgdata", self.datadir, "-o", options])
            if not self.distinct:
                shutil.copytree(self.datadir, blank.with_suffix(".part")).rename(blank)
        self.configure(self.settings)
        (Path(self.datadir) / "pg_hba.conf").write_text(PG_HBA)

    def configure(self, settings: dict[str, str]) -> None:
        """Append `settings` to postgresql.conf, for the next restart or reload."""
        with (Path(self.datadir) / "postgresql.conf").open("a") as conf:
            for name, value in settings.items():
                conf.write("{} = '{}'\n".format(name, value.replace("'", "''")))

    def alter(self, setting: str, value: str) -> None:
        """Change a setting of the running server and return when it is in force."""
        with self.connect() as admin:
            admin.execute("SET synchronous_commit = off")  # nobody may be there to wait for
            admin.execute(f"ALTER SYSTEM SET {setting} = '{value}'")
            admin.execute("SELECT pg_reload_conf()")
        self.wait_for(f"SHOW {setting}", value)

    @contextmanager
    def altered(self, setting: str, value: str) -> Iterator[None]:
        """Change a setting for a while."""
        with self.connect() as admin:
            [before] = admin.execute(f"SHOW {setting}").fetchone()
        self.alter(setting, value)
        try:
            yield
        finally:
            self.alter(setting, before)

    def start(self) -> Server:
        """Start the server and return when it answers queries."""
        self.init_directory()
        # Not the executor's own start: that one returns when the port is open, which is before the server is ready.
        started = subprocess.run(self.command_parts, env=self.envvars, capture_output=True, text=True)
        if started.returncode != 0:
            raise RuntimeError(f"PostgreSQL {self.major} did not start:\n{started.stderr}{self.log()}")
        return self

    def stop(self, mode: str = "fast") -> Server:
        """Stop the server: 'smart' waits for clients, 'fast' disconnects them, 'immediate' is a crash."""
        self.thaw()
        self._pg_ctl("stop", "-m", mode, "-w")
        return self

    def restart(self, mode: str = "fast") -> Server:
        """Stop and start the server on the same port."""
        return self.stop(mode).start()

    def promote(self) -> None:
        """Make a standby a primary and return when it is one."""
        self._pg_ctl("promote", "-w")

    def close(self) -> None:
        """Stop the server, however it fares, and remove all it left."""
        self.thaw()
        if self.running():
            with suppress(subprocess.SubprocessError):
                self.stop("immediate")
        self.kill()  # whatever did not obey
        shutil.rmtree(self.folder, ignore_errors=True)

    def _pg_ctl(self, action: str, *arguments: str) -> None:
        command = [self.executable, action, "-D", self.datadir, *arguments]
        subprocess.run(command, check=True, capture_output=True, timeout=self._timeout)

    # -- talking to it ---------------------------------------------------------------------------------------------

    def dsn(self, user: str = "postgres", dbname: str = "postgres", **parameters: object) -> str:
        """Return a connection string; `parameters` such as port= (of a proxy) or sslmode= go on top."""
        defaults = {"host": self.host, "port": self.port, "user": user, "dbname": dbname}
        if user in PASSWORDS:
            defaults["password"] = PASSWORDS[user]
        return make_conninfo(**defaults | parameters)

    def connect(self, user: str = "postgres", dbname: str = "postgres", **parameters: object) -> psycopg.Connection:
        """Return an autocommit connection, which the caller closes."""
        parameters.setdefault("connect_timeout", 10)
        return psycopg.connect(self.dsn(user, dbname, **parameters), autocommit=True)

    def wait_for(self, query: str, value: object = True, timeout: float = 10, dbname: str = "postgres") -> None:
        """Repeat `query` until the first column of its first row is `value`; no row counts as None.

        Connections that fail meanwhile are tried again. Raises TimeoutError with the value seen last.
        """
        # Hides mirakuru's wait_for(callable), which only the start and stop replaced here would use.
        deadline = time.monotonic() + timeout
        seen: object = "nothing"
        while time.monotonic() < deadline:
            try:
                with self.connect(dbname=dbname, connect_timeout=2) as connection:
                    while (seen := (connection.execute(query).fetchone() or [None])[0]) != value:
                        if time.monotonic() > deadline:
                            break
                        time.sleep(0.02)
                    else:
                        return
            except psycopg.OperationalError as e:
                seen = e
                time.sleep(0.02)
        raise TimeoutError(f"waited {timeout} s for {value!r}, saw {seen!r}: {query}")

    def log(self) -> str:
        """Return what the server has logged so far."""
        with suppress(FileNotFoundError):
            return Path(self.logfile).read_text(errors="replace")
        return ""

    # -- breaking it -----------------------------------------------------------------------------------------------

    @property
    def postmaster_pid(self) -> int:
        """Return the pid of the running postmaster."""
        return int((Path(self.datadir) / "postmaster.pid").read_text().splitlines()[0])

    def backends(self, user: str = "monitor") -> list[int]:
        """Return the pids of a user's sessions as the kernel knows them, which also a frozen or full server tells."""
        with suppress(OSError):
            children = Path(f"/proc/{(pid := self.postmaster_pid)}/task/{pid}/children").read_text().split()
            return [int(child) for child in children if f"postgres: {user} " in _title(child)]
        return []  # it does not run

    def kill_backend(self, pid: int, sig: int = signal.SIGTERM) -> None:
        """Send `sig` to a backend; SIGKILL makes the whole server restart."""
        os.kill(pid, sig)

    def crash(self) -> None:
        """Let the server end all sessions and recover, as when a backend was killed; return when it answers again."""
        with self.connect() as victim, self.connect() as another:
            self.kill_backend(victim.info.backend_pid, signal.SIGKILL)
            with suppress(psycopg.OperationalError):
                another.execute("SELECT pg_sleep(30)")  # until it has noticed: for a moment it still lets sessions in
        self.wait_for("SELECT true", timeout=30)

    def freeze_backend(self, pid: int) -> None:
        """Stop a backend in its tracks, until thaw()."""
        os.kill(pid, signal.SIGSTOP)
        self._stopped_pids.add(pid)

    def freeze(self) -> None:
        """Stop the postmaster: connections open, but nobody answers; those already there go on."""
        self.freeze_backend(self.postmaster_pid)

    def thaw(self) -> None:
        """Let everything frozen go on."""
        while self._stopped_pids:
            with suppress(ProcessLookupError):
                os.kill(self._stopped_pids.pop(), signal.SIGCONT)

    # -- copying it ------------------------------------------------------------------------------------------------

    def standby(self, name: str = "replica1", settings: dict[str, str] | None = None) -> Standby:
        """Return a streaming replica of this server, not yet started; `name` is its application_name and slot."""
        return Standby(self, name, settings)

    def copy_to(self, folder: Path) -> None:
        """Take a base backup of the running server into `folder`."""
        # Before 15 a backup was exclusive unless told otherwise, and the functions had other names.
        begin, end = "pg_backup_start('copy', true)", "pg_backup_stop()"
        if self.major < 15:
            begin, end = "pg_start_backup('copy', true, false)", "pg_stop_backup(false)"
        with self.connect() as connection:
            connection.execute(f"SELECT {begin}")
            shutil.copytree(self.datadir, folder, ignore=_left_out(self.datadir), copy_function=_copy_if_there)
            label = connection.execute(f"SELECT labelfile FROM {end}").fetchone()[0]
        (folder / "backup_label").write_text(label)


class Standby(Server):
    """A streaming replica of `primary`, through a slot of its own."""

    def __init__(self, primary: Server, name: str, settings: dict[str, str] | None = None) -> None:
        super().__init__(primary.major, settings)
        self.primary, self.name = primary, name

    def _fill(self) -> None:
        with self.primary.connect() as connection:
            connection.execute("SELECT pg_create_physical_replication_slot(%s, true)", [self.name])
        self.primary.copy_to(Path(self.datadir))
        source = make_conninfo(self.primary.dsn(), application_name=self.name)
        self.configure(self.settings | {"primary_conninfo": source, "primary_slot_name": self.name})
        (Path(self.datadir) / "standby.signal").touch()

    def start(self) -> Standby:
        """Start the replica and return when it answers queries and, unless promoted, streams."""
        super().start()
        if (Path(self.datadir) / "standby.signal").exists() and self.primary.running():
            streaming = "SELECT state FROM pg_catalog.pg_stat_replication WHERE application_name = '{}'"
            self.primary.wait_for(streaming.format(self.name), "streaming")
        return self

    def close(self) -> None:
        """Stop and remove the replica, and its slot on the primary."""
        super().close()
        if not self.primary.running():
            return
        self.primary.thaw()
        slot = f"pg_catalog.pg_replication_slots WHERE slot_name = '{self.name}'"
        # A slot stays active until its walsender has noticed the end; only then can it be dropped.
        self.primary.wait_for(f"SELECT count(*) FROM {slot} AND active", 0)
        with self.primary.connect() as connection:
            connection.execute(f"SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM {slot}")


def _left_out(datadir: str):
    """Return what shutil.copytree is to ignore in a data folder."""

    def ignore(folder: str, names: list[str]) -> set[str]:
        if folder == datadir:
            return NOT_COPIED & set(names)
        return set(names) if os.path.relpath(folder, datadir) in NOT_FILLED else set()

    return ignore


def _title(pid: str) -> str:
    """Return what a process calls itself, '' when it is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    return ""


def _copy_if_there(source: str, target: str) -> None:
    """Copy a file, unless the running server has just removed it."""
    with suppress(FileNotFoundError):
        shutil.copy2(source, target)


# --- what is in them --------------------------------------------------------------------------------------------------

# Quotes of both kinds, a backslash, a newline, SQL, HTML, and what formats in Python.
HOSTILE_NAME = "we\"ird'\\ %s {0}\n<b>é; DROP TABLE device; --"

TABLES = """
CREATE TABLE device (
    id   integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE
);
INSERT INTO device (name) SELECT 'device ' || n FROM generate_series(1, 100) AS n;

CREATE TABLE reading (
    device_id integer NOT NULL REFERENCES device,
    taken_at  timestamptz NOT NULL,
    value     float8
) PARTITION BY RANGE (taken_at);
DO $$
DECLARE
    this integer := extract(year FROM now());
BEGIN
    FOR year IN this - 1 .. this + 2 LOOP
        EXECUTE format('CREATE TABLE reading_%s PARTITION OF reading FOR VALUES FROM (%L) TO (%L)',
                       year, make_date(year, 1, 1), make_date(year + 1, 1, 1));
    END LOOP;
END
$$;
CREATE INDEX reading_taken_at ON reading (taken_at);
INSERT INTO reading
SELECT 1 + n % 100, date_trunc('year', now()) + (n - 4400) * interval '1 hour', n FROM generate_series(1, 10000) AS n;

CREATE TABLE churned (id integer PRIMARY KEY, payload text) WITH (autovacuum_enabled = off);
"""

CHURN = """
TRUNCATE churned;
INSERT INTO churned SELECT n, repeat('x', 200) FROM generate_series(1, 5000) AS n;
DELETE FROM churned WHERE id <= 2000;
"""


def prepare(server: Server) -> None:
    """Fill a running server: role monitor (pg_monitor only), database app with tables, pg_stat_statements.

    `churned` has 2000 dead rows of 5000, `reading` a partition for each year from the last to the one after the next,
    and HOSTILE_NAME is a table of one row.
    """
    for dbname in ("template1", "postgres"):
        with server.connect(dbname=dbname) as connection:
            connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")  # from 15 on nobody has it anyway
    with server.connect() as connection:
        connection.execute("CREATE EXTENSION pg_stat_statements")
        connection.execute(sql.SQL("CREATE ROLE monitor LOGIN PASSWORD {}").format(PASSWORDS["monitor"]))
        connection.execute("GRANT pg_monitor TO monitor")
        connection.execute("CREATE DATABASE app")
    with server.connect(dbname="app") as connection:
        connection.execute(TABLES)
        connection.execute(sql.SQL("CREATE TABLE {} AS SELECT 1 AS id").format(sql.Identifier(HOSTILE_NAME)))
    churn(server)


def churn(server: Server) -> None:
    """Leave 2000 dead rows of 5000 in `churned`, whatever was there, and analyze everything."""
    with server.connect(dbname="app") as connection:
        connection.execute(CHURN)
    # What a session counts may come in after its own ANALYZE, and be counted twice.
    counted = "SELECT n_dead_tup FROM pg_catalog.pg_stat_user_tables WHERE relname = 'churned'"
    server.wait_for(counted, 2000, dbname="app")
    with server.connect(dbname="app") as connection:
        connection.execute("ANALYZE")
