"""The one door to PostgreSQL: few sessions, bounded waits, one visible reason when it stays shut."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg_pool import PoolClosed, PoolTimeout

from pgmon import shape
from pgmon.dsn import home_database
from pgmon.errors import Kind, QueryError
from pgmon.facts import Facts
from pgmon.feature import Feature, Params, Tier
from pgmon.session import Backoff, Pool, Session, query_error
from pgmon.sqlfiles import choose, fill, names, variants

STOPPING = "pgmon is stopping"
POLL = 0.05  # seconds between two looks at whether the pool's connect has failed


def limits_statement(statement_timeout_ms: int, lock_timeout_ms: int) -> str:
    """Return the statement that puts the limits of a loop in force."""
    values = {"statement_timeout_ms": statement_timeout_ms, "lock_timeout_ms": lock_timeout_ms}
    return fill(variants("session")[0].text, values, {})


class Door:
    """Asks in the DSN's database through a small pool, and in the others through one session that visits."""

    def __init__(
        self,
        dsn: str,
        connections: int,
        limits: Mapping[Tier, str],
        connect_timeout: float,
        monotonic: Callable[[], float],
        canary_table: str = "",
    ) -> None:
        self._canary_table = canary_table
        self._dsn, self._limits, self._now = dsn, limits, monotonic
        self._connect_timeout = max(2, round(connect_timeout))
        self.home = home_database(dsn)
        self.backoff = Backoff(monotonic)
        self.kills = self._visits = 0  # waits given up; connects to the other databases
        self._parked: list[Session] = []
        self._visitor: Session | None = None
        self._visiting, self._lock = threading.Lock(), threading.Lock()
        # With max_waiting > 0 and a server away for longer than reconnect_timeout the pool never recovers.
        self._pool = Pool(
            dsn,
            connection_class=Session,
            kwargs={"backoff": self.backoff, "connect_timeout": self._connect_timeout},
            min_size=0,
            max_size=connections - 1,
            max_waiting=0,
            num_workers=1,
            reconnect_timeout=0.5,
            check=None,
            max_idle=300,
            max_lifetime=1800,
            open=True,
            name="pgmon",
        )

    @property
    def trouble(self) -> QueryError | None:
        """Why nobody can connect."""
        return self.backoff.trouble

    @property
    def connects(self) -> int:
        """Sessions opened, or tried to open."""
        return self.backoff.connects + self._visits

    def facts(self, db: str, tier: Tier, deadline: float) -> Facts:
        """Return what the server is, seen from a database ('' for the DSN's). Raises QueryError."""
        described, records = self._query(db, tier, variants("facts")[0].text, deadline)
        shape.check("facts", Facts, described)
        facts = Facts(*records[0])
        if not db:
            self.home = facts.db
        return facts

    def ask(self, feature: Feature[Any, Any], facts: Facts, params: Params, deadline: float) -> tuple[str, list[Any]]:
        """Send the feature's statement in the database of `facts`; return its text and its rows. Raises QueryError."""
        sql = fill(choose(feature.name, facts).text, params, names(facts, self._canary_table))
        described, records = self._query(facts.db, feature.tier, sql, deadline, same=feature.ask is None)
        shape.check(feature.name, feature.raw, described)
        return sql, shape.rows(feature.raw, described, records)

    def close(self) -> None:
        """Close every session; what still runs is cancelled. A visit under way ends by itself, and is the last."""
        self._pool.close(timeout=1)
        for session in (*self._parked, *([self._visitor] if self._visitor else ())):
            if session.asking:
                session.give_up()
            session.close()

    def _query(
        self, db: str, tier: Tier, sql: str, deadline: float, same: bool = True
    ) -> tuple[shape.Described, list[tuple[Any, ...]]]:
        """Send one statement. A session that broke since its last answer is replaced, unseen; so is a conflict."""
        tries = self._pool.max_size
        while True:
            with self._session(db, deadline) as session:
                used = session.used
                try:
                    return session.run(self._limits[tier], sql, same)
                except psycopg.Error as exc:
                    tries -= 1
                    again = (used and session.broken) or isinstance(exc, psycopg.errors.SerializationFailure)
                    if not again or tries < 0 or self._now() >= deadline:
                        raise query_error(exc) from exc

    @contextmanager
    def _session(self, db: str, deadline: float) -> Iterator[Session]:
        session = self._take(deadline) if db in ("", self.home) else self._visit(db, deadline)
        session.monotonic, session.deadline = self._now, deadline
        try:
            yield session
        finally:
            self._give(session)

    def _take(self, deadline: float) -> Session:
        """Return a session of the pool, or say at once why there is none."""
        self._reclaim()
        while True:
            hopeless = self.backoff.pausing or len(self._parked) >= self._pool.max_size
            if hopeless and not self._pool.get_stats()["pool_available"]:
                raise self._refusal()
            try:
                return self._pool.getconn(timeout=max(min(POLL, deadline - self._now()), 0.001))
            except PoolTimeout:
                if self._now() >= deadline:
                    raise self._refusal() from None
            except PoolClosed:
                raise QueryError(Kind.UNREACHABLE, STOPPING) from None

    def _refusal(self) -> QueryError:
        if trouble := self.backoff.trouble:
            return QueryError(trouble.kind, str(trouble))
        if self._parked:
            return QueryError(Kind.UNREACHABLE, f"{len(self._parked)} sessions wait for an answer of the server")
        return QueryError(Kind.UNREACHABLE, "no connection in time")

    def _visit(self, db: str, deadline: float) -> Session:
        """Return the session that visits the other databases, one after the other."""
        if not self._visiting.acquire(timeout=max(deadline - self._now(), 0.0)):
            raise QueryError(Kind.SKIPPED, "another database is being visited")
        try:
            self._visitor = self._moved(self._visitor, db, deadline)
        except psycopg.Error as exc:
            self._visiting.release()
            raise query_error(exc) from exc
        except QueryError:
            self._visiting.release()
            raise
        return self._visitor

    def _moved(self, session: Session | None, db: str, deadline: float) -> Session:
        if session and session.asking and not session.answered:
            raise QueryError(Kind.TIMEOUT, "the session that visits other databases waits for an answer of the server")
        if session:
            session.hear_out()
        if session and not session.closed and not session.asking and session.info.dbname == db:
            return session
        if session:
            session.close()
        if self._pool.closed:
            raise QueryError(Kind.UNREACHABLE, STOPPING)
        timeout = max(2, min(self._connect_timeout, round(deadline - self._now())))
        self._visits += 1
        return Session.connect(self._dsn, dbname=db, connect_timeout=timeout)

    def _give(self, session: Session) -> None:
        """Return a session. One that owes an answer is parked: closed, it would live on in the server."""
        session.deadline = math.inf
        if session.asking:
            self.kills += 1
            if session.give_up():
                session.hear_out()
        if session is self._visitor:
            if self._pool.closed:
                session.close()
            self._visiting.release()
        elif session.asking:
            with self._lock:
                self._parked.append(session)
        else:
            self._pool.putconn(session)

    def _reclaim(self) -> None:
        """Give the places of parked sessions back to the pool once the server has answered."""
        with self._lock:
            back = [session for session in self._parked if session.answered]
            self._parked = [session for session in self._parked if session not in back]
        for session in back:
            session.hear_out()
            if session.asking:
                session.close()
            self._pool.putconn(session)
