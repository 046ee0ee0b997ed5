"""What an incident is, and the scene on which it plays: sessions and a schema of its own, and the way back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from inspect import getdoc
from typing import Any

import psycopg
from psycopg.sql import Identifier

PATIENCE = 30.0  # seconds within which the server shows what was done to it, however loaded it is
# Whatever the server or the role has set: what lasts is not to be cut short.
UNLIMITED = "-c lock_timeout=0 -c statement_timeout=0 -c idle_in_transaction_session_timeout=0"
# The way back is not to hang on a lock that somebody else took.
LIMITED = f"-c lock_timeout={PATIENCE:g}s"


class Scene:
    """One run of an incident.

    Its tables are in the schema `name`, its sessions have that application_name, and `pids` lists them in the order
    in which they came.
    """

    def __init__(self, name: str, dsn: str, app_dsn: str, way_back: ExitStack) -> None:
        self.name, self.pids = name, list[int]()
        self._dsn, self._app_dsn, self._way_back = dsn, app_dsn, way_back
        self._sessions: list[psycopg.Connection] = []

    def begin(self) -> None:
        """Make the schema, which belongs to the application's role."""
        with self._connected(self._app_dsn) as session:
            role = Identifier(session.info.user).as_string()
        self.command(f"CREATE SCHEMA {self.name} AUTHORIZATION {role}")
        self.undo(f"DROP SCHEMA {self.name} CASCADE")
        self._way_back.callback(self._end_sessions)

    def _connected(
        self, dsn: str, name: str = "incidents", limits: str = LIMITED, dbname: str | None = None
    ) -> psycopg.Connection:
        options = f"-c search_path={self.name} {limits}"
        return psycopg.connect(dsn, autocommit=True, dbname=dbname, application_name=name, options=options)

    # What is done once.

    def command(self, *statements: str, dbname: str | None = None) -> Any:
        """Run statements one by one as the superuser; return the last one's first value, None if it has none."""
        with self._connected(self._dsn, dbname=dbname) as session:
            return _run(session, *statements)

    def run(self, *statements: str) -> None:
        """Run statements one by one as the application, in a session that then ends, which reports its statistics."""
        with self._connected(self._app_dsn) as session:
            _run(session, *statements)

    def undo(self, statement: str) -> None:
        """Run a statement as the superuser at the end, before those given earlier."""
        self._way_back.callback(self.command, statement)

    # What lasts.

    def stays(self, *statements: str) -> psycopg.Connection:
        """Open a session of the application that runs statements and stays; after a BEGIN, in its transaction."""
        session = self._connected(self._app_dsn, self.name, UNLIMITED)
        self._sessions.append(session)
        self.pids.append(session.info.backend_pid)
        _run(session, *statements)
        return session

    def executes(self, *statements: str) -> psycopg.Connection:
        """Open a session of the application in which the last of the statements does not end."""
        *first, last = statements
        session = self.stays(*first)
        session.pgconn.send_query(last.encode())
        session.pgconn.flush()
        return session

    def waits(self, *statements: str) -> psycopg.Connection:
        """Open a session of the application in which the last of the statements waits for a lock."""
        session = self.executes(*statements)
        self.until(f"(SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = {self.pids[-1]})")
        return session

    def until(self, condition: str) -> None:
        """Return when a condition, an SQL expression, is true. Raises TimeoutError."""
        give_up = time.monotonic() + PATIENCE
        with self._connected(self._dsn) as session:
            while not _run(session, f"SELECT {condition}"):
                if time.monotonic() > give_up:
                    raise TimeoutError(f"{self.name}: did not come true within {PATIENCE:g} s: {condition}")
                time.sleep(0.01)

    def _end_sessions(self) -> None:
        """End the sessions of this scene: a backend that waits or works does not see that its client is gone."""
        for session in self._sessions:
            session.close()
        mine = f"FROM pg_stat_activity WHERE application_name = '{self.name}'"
        self.command(f"SELECT pg_terminate_backend(pid) {mine}")
        self.until(f"NOT EXISTS (SELECT {mine})")


def _run(session: psycopg.Connection, *statements: str) -> Any:
    cursor = session.cursor()
    for statement in statements:
        cursor.execute(statement.encode())
    row = cursor.fetchone() if cursor.description else None
    return row and row[0]


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that goes wrong: what it is, the alert it is the cause of, and the alerts that may follow from it."""

    name: str
    what: str
    alert: str
    consequences: tuple[str, ...]
    bring_about: Callable[..., None]

    @contextmanager
    def on(self, dsn: str, app_dsn: str = "", **sizes: float) -> Iterator[Scene]:
        """Bring it about in the database of `dsn`, a superuser's, and take all of it back after the block.

        With `app_dsn` the tables and sessions are of that role. `sizes` are the parameters of `bring_about`; the
        defaults pass the alert's default thresholds where that takes less than a second (rates and gibibytes do not).
        Raises TimeoutError, and psycopg's errors.
        """
        with ExitStack() as way_back:
            scene = Scene(f"incident_{self.name}", dsn, app_dsn or dsn, way_back)
            scene.begin()
            self.bring_about(scene, **sizes)
            yield scene


def incident(alert: str, *consequences: str) -> Callable[[Callable[..., None]], Incident]:
    """Make an incident of the function that brings it about: its name, and as `what` its docstring."""
    return lambda play: Incident(play.__name__, getdoc(play) or "", alert, consequences, play)
