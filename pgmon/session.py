"""One session with PostgreSQL: no wait outlives its deadline, every error has a kind."""

from __future__ import annotations

import math
import random
import select
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Self

import psycopg
from psycopg import errors as pg
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import Loader
from psycopg.pq import TransactionStatus
from psycopg_pool import ConnectionPool, PoolTimeout

from pgmon.errors import Kind, QueryError
from pgmon.redact import words

# They beat the role's own settings and survive RESET ALL; sql/facts.sql reads them back.
OPTIONS = (
    "-c role=none -c default_transaction_read_only=on -c search_path=pg_catalog -c timezone=UTC -c datestyle=ISO "
    "-c jit=off -c max_parallel_workers_per_gather=0 -c idle_in_transaction_session_timeout=5000 "
    "-c work_mem=16MB "  # with 4 a refresh at 100,000 tables writes 100 MB of temporary files
    "-c default_transaction_isolation=read\\ committed "  # a standby refuses serializable
    "-c extra_float_digits=1 "  # with fewer digits every number would be rounded
    "-c statement_timeout=10000 -c lock_timeout=1000"  # until the loop's own limits are set
)
OURS: dict[str, Any] = {
    "application_name": "pgmon",
    "options": OPTIONS,
    # A peer that vanished is noticed within seconds, which frees its place.
    "keepalives_idle": 30,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10000,
}
PREPARED = 3  # times that a session has sent a text before the server keeps its plan: to plan costs more than to read
PAUSE = 15.0  # seconds without a connect after a failed one, at most
REJECTED_PAUSE = 30.0  # … after a refused login: an account may be locked after a few
CANCEL = 0.5  # seconds that asking the server to stop a statement may take

KINDS: tuple[tuple[type[psycopg.Error], Kind], ...] = (
    (pg.QueryCanceled, Kind.TIMEOUT),
    (pg.LockNotAvailable, Kind.LOCKED),
    (pg.InsufficientPrivilege, Kind.DENIED),
    (pg.UndefinedTable, Kind.MISSING),
    (pg.UndefinedFunction, Kind.MISSING),
    (pg.InvalidSchemaName, Kind.MISSING),
    (pg.TooManyConnections, Kind.SATURATED),
    (pg.InvalidAuthorizationSpecification, Kind.REJECTED),  # and its subclass, a wrong password
    (pg.InvalidPassword, Kind.REJECTED),
    (pg.InvalidCatalogName, Kind.GONE),
    (pg.CannotConnectNow, Kind.STARTING),
)
# There is no such plan, there is another one, or (0A000) it "must not change result type".
UNPREPARED = (pg.InvalidSqlStatementName, pg.DuplicatePreparedStatement, pg.FeatureNotSupported)
# A failed connect has no SQLSTATE in psycopg: its kind is read from the server's words, where they are English.
WORDS: tuple[tuple[str, Kind], ...] = (
    ("password authentication failed", Kind.REJECTED),
    ("no pg_hba.conf entry", Kind.REJECTED),
    ("pg_hba.conf rejects", Kind.REJECTED),
    ("is not permitted to log in", Kind.REJECTED),
    ("no password supplied", Kind.REJECTED),
    ("server does not support SSL", Kind.REJECTED),
    ("certificate", Kind.REJECTED),
    ("unsupported startup parameter", Kind.REJECTED),  # a pooler
    ("too many clients", Kind.SATURATED),
    ("too many connections", Kind.SATURATED),
    ("remaining connection slots", Kind.SATURATED),
    ("the database system is", Kind.STARTING),
    ("due to lock timeout", Kind.LOCKED),  # of the catalogue, which a session reads at its start
)


class Deadline(psycopg.OperationalError):
    """No answer within the time that was left."""


class Backoff:
    """Who connects when: after a failed connect nobody does for a while."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._now, self._lock = monotonic, threading.Lock()
        self._failures, self._retry_at = 0, 0.0
        self.trouble: QueryError | None = None  # why nobody can connect
        self.connects = 0  # begun, however they went

    @property
    def pausing(self) -> bool:
        """Whether it is too soon to try."""
        return self._now() < self._retry_at

    def begin(self) -> None:
        """Count a connect. Raises psycopg.OperationalError when it is too soon: a pool would try again at once."""
        if self.pausing:
            raise psycopg.OperationalError("too soon after a failed connect")
        with self._lock:
            self.connects += 1

    def failed(self, exc: psycopg.Error) -> None:
        """Note why, and pause: longer after each failure, longest after a refused login."""
        with self._lock:
            self.trouble = query_error(exc)
            pause = min(2.0**self._failures, PAUSE) * random.uniform(0.5, 1.0)
            self._retry_at = self._now() + (REJECTED_PAUSE if self.trouble.kind is Kind.REJECTED else pause)
            self._failures += 1

    def worked(self) -> None:
        """Forget what was wrong."""
        with self._lock:
            self.trouble, self._failures, self._retry_at = None, 0, 0.0


class Text(Loader):
    """Loads what may be in no encoding: names in SQL_ASCII, statements of sessions in databases of another encoding."""

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        named = self.connection.info.encoding if self.connection else "ascii"
        self._encoding = "utf-8" if named == "ascii" else named  # what is in SQL_ASCII nobody knows

    def load(self, data: Buffer) -> str:
        """Return the text, with an escape for every byte that belongs to none."""
        return bytes(data).decode(self._encoding, "backslashreplace")


class Session(psycopg.Connection[Any]):
    """A connection on which no wait outlives `deadline`: with a frozen server any wait would be for ever."""

    deadline = math.inf  # of `monotonic`
    monotonic: Callable[[], float] = staticmethod(time.monotonic)
    limits = ""  # the statement that set those of its loop
    used = False  # it has answered before
    direct = True  # no pooler is known to be before it

    @classmethod
    def connect(cls, conninfo: str = "", *, backoff: Backoff | None = None, **rest: Any) -> Self:  # type: ignore[override]
        """Connect when it is time, and note why it failed: a pool keeps the reason from whoever waits."""
        if backoff is None:
            return cls._connected(conninfo, rest)
        backoff.begin()
        try:
            session = cls._connected(conninfo, rest)
        except psycopg.Error as exc:
            backoff.failed(exc)
            raise
        backoff.worked()
        return session

    @classmethod
    def _connected(cls, conninfo: str, rest: Mapping[str, Any]) -> Self:
        try:
            session = super().connect(conninfo, **rest, **OURS, autocommit=True, prepare_threshold=None)
            session.adapters.register_loader("text", Text)
            return session
        except psycopg.Error as exc:
            # psycopg 3.3 forgets to end a connect that took too long: the server would keep a session, one for each
            # attempt, until the garbage collector comes by.
            traceback.clear_frames(exc.__traceback__)
            raise

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait for an answer. Raises Deadline."""
        left = max(self.deadline - self.monotonic(), 0.0)
        try:
            return super().wait(gen, interval, left if timeout is None else min(left, timeout))
        except psycopg.OperationalError as exc:
            if exc.sqlstate is None and self.monotonic() >= self.deadline:
                raise Deadline("no answer in time") from None
            raise

    def run(self, limits: str, sql: str, same: bool = True) -> tuple[Sequence[tuple[str, int]], list[tuple[Any, ...]]]:
        """Set the limits of the loop if another's are in force, send `sql`; return columns (name, type) and records.

        A text that is not always the `same` is not prepared: until the session ends the server keeps every plan.
        """
        if self.limits != limits:
            *_, pid = self.execute(limits, prepare=False).fetchall()[0]
            # Most poolers have a number of their own for it, and may send the next message to another session.
            self.direct = self.direct and pid == self.info.backend_pid
            self.prepare_threshold = PREPARED if self.direct else None
            self.limits = limits
        cursor = self._sent(sql, same)
        self.used = True
        return [(c.name, c.type_code) for c in cursor.description or ()], cursor.fetchall()

    def _sent(self, sql: str, same: bool) -> psycopg.Cursor[Any]:
        """Send a text; without a plan, now and from now on, where the one the server should have kept is of no use."""
        try:
            return self.execute(sql, prepare=None if same else False)
        except UNPREPARED:
            if self.prepare_threshold is None:
                raise
            self.direct, self.prepare_threshold = False, None
            return self.execute(sql)

    @property
    def asking(self) -> bool:
        """Whether the server still owes an answer."""
        return not self.closed and self.pgconn.transaction_status == TransactionStatus.ACTIVE  # psycopg_c: an int

    @property
    def answered(self) -> bool:
        """Whether something has arrived: an answer that came late, or the end of the connection."""
        try:
            return bool(select.select([self.pgconn.socket], [], [], 0)[0])
        except (psycopg.OperationalError, OSError, ValueError):
            return True  # it has no socket any more

    def give_up(self) -> bool:
        """Ask the server to stop what it does; return whether it took the request: it may be too frozen to."""
        with suppress(psycopg.Error):
            self.cancel_safe(timeout=CANCEL)
            return True
        return False

    def hear_out(self) -> None:
        """Take the last word on what was given up: a session that has it is as good as before."""
        until = time.monotonic() + CANCEL
        with suppress(psycopg.Error):
            while self.asking and select.select([self.pgconn.socket], [], [], max(until - time.monotonic(), 0.0))[0]:
                self.pgconn.consume_input()
                while not self.pgconn.is_busy() and self.pgconn.get_result():
                    pass


class Pool(ConnectionPool[Session]):
    """The pool, whose queue forgets who gave up: psycopg_pool 3.3 would keep them until a connection comes."""

    def getconn(self, timeout: float | None = None) -> Session:
        """Return a session. Raises PoolTimeout."""
        try:
            return super().getconn(timeout)
        except PoolTimeout:
            with self._lock:  # a server that is deaf for a day would cost a gigabyte
                self._waiting = deque(client for client in self._waiting if client.error is None)
            raise


def kind_of(exc: psycopg.Error) -> Kind:
    """Return why PostgreSQL gave no answer."""
    if isinstance(exc, Deadline):
        return Kind.TIMEOUT
    if isinstance(exc, pg.ObjectNotInPrerequisiteState) and "shared_preload_libraries" in str(exc):
        return Kind.MISSING
    for error, kind in KINDS:
        if isinstance(exc, error):
            return kind
    if isinstance(exc, psycopg.OperationalError) and (exc.sqlstate is None or exc.sqlstate.startswith(("08", "57"))):
        return _kind_of_words(str(exc))
    return Kind.FAILED


def _kind_of_words(text: str) -> Kind:
    if "database" in text and "does not exist" in text:
        return Kind.GONE
    if "role" in text and "does not exist" in text:
        return Kind.REJECTED
    return next((kind for words, kind in WORDS if words in text), Kind.UNREACHABLE)


def query_error(exc: psycopg.Error) -> QueryError:
    """Return pgmon's error for psycopg's: the kind, and the server's own words where they are safe to show."""
    lines = [line for line in str(exc).strip().splitlines() if not line.startswith("\t")]  # libpq's hints are indented
    return QueryError(kind_of(exc), words(exc.diag.message_primary or (lines or [type(exc).__name__])[-1]))
