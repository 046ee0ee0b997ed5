"""A throw-away PostgreSQL under a small live load, to look at pgmon without a server of one's own."""

from __future__ import annotations

import secrets
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from pgmon.demo import postgres
from pgmon.demo.load import put_under_load
from pgmon.incidents import relations, sessions

# So that rates, which need two readings, and what just happened are seen while one looks.
INTERVALS = {
    f"PGMON_SAMPLE_INTERVALS_{tier}": interval
    for tier, interval in {"HOT_PATH": "3s", "WORKLOAD": "3s", "STORAGE": "30s", "HOURLY": "60s"}.items()
}
UNSEEN = "-c pg_stat_statements.track=none"  # it would keep the passwords
ROLES = """CREATE USER app REPLICATION PASSWORD '{app}';
CREATE USER pgmon_demo PASSWORD '{pgmon_demo}' IN ROLE pg_monitor"""
DATABASES = ("iot", "billing")  # the first is the DSN's
# By default everybody may create temporary tables, and up to 14 tables in public.
ANY_DATABASE = """REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
CREATE EXTENSION pgstattuple;
CREATE EXTENSION pg_freespacemap"""
RIGHTS = """GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO app;
GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO pgmon_demo;
ANALYZE"""
SEEN = ("SELECT pg_switch_wal()", "CHECKPOINT")  # a first segment to archive, a first checkpoint
LASTING = (relations.dead_tuples, relations.stale_statistics, relations.partition_gap)
PASSING = (sessions.lock_queue, sessions.temp_spill, sessions.blocked_session, sessions.idle_in_transaction)
EACH_SECONDS = 60.0  # two alerts of the four hold for thirty


@dataclass(frozen=True, slots=True)
class Demo:
    """A running server; the DSNs hold this run's passwords, so they are not in its repr."""

    dsn: str = field(repr=False)
    superuser_dsn: str = field(repr=False)
    app_dsn: str = field(repr=False)
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
        started = postgres.started(stack, binaries, passwords["postgres"])
        place = f"host=127.0.0.1 port={started.port} dbname={DATABASES[0]} sslmode=disable connect_timeout=5"
        dsn = {role: make_conninfo(place, user=role, password=word) for role, word in passwords.items()}
        with started.first_session(dsn["postgres"], UNSEEN) as session:
            version = session.info.parameter_status("server_version") or ""
            _furnish(session, dsn["postgres"], passwords)
        put_under_load(stack, dsn["app"])
        yield Demo(dsn["pgmon_demo"], dsn["postgres"], dsn["app"], version.partition(" ")[0])


def _furnish(session: psycopg.Connection, dsn: str, passwords: dict[str, str]) -> None:
    """Make the roles and the databases, with what is in them."""
    session.execute(ANY_DATABASE.format("postgres").encode())
    session.execute(ROLES.format(**passwords).encode())
    for name in DATABASES:
        session.execute(f"CREATE DATABASE {name}".encode())
        content = Path(__file__).with_name(f"{name}.sql").read_text()
        with psycopg.connect(dsn, dbname=name, autocommit=True, options=UNSEEN) as inside:
            for text in (ANY_DATABASE.format(name), content, RIGHTS):
                inside.execute(text.encode())
    for statement in SEEN:
        session.execute(statement.encode())


@contextmanager
def troubled(demo: Demo, each_seconds: float = EACH_SECONDS) -> Iterator[None]:
    """Let incidents come and go in the DSN's database: some last, of the others there is one at a time."""
    stop = threading.Event()
    thread = threading.Thread(target=_play, args=(demo, stop, each_seconds), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(5)


def _play(demo: Demo, stop: threading.Event, each_seconds: float) -> None:
    with suppress(psycopg.Error, TimeoutError), ExitStack() as lasting:
        for incident in LASTING:
            lasting.enter_context(incident.on(demo.superuser_dsn, demo.app_dsn))
        for incident in cycle(PASSING):
            with incident.on(demo.superuser_dsn, demo.app_dsn):
                if stop.wait(each_seconds):
                    return
