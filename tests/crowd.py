"""Sessions that hold locks, wait for them, or are busy with something else."""

from __future__ import annotations

import psycopg

from servers import Server

TABLES = ("ledger", "journal")
ENDED = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'crowd'"


class Crowd:
    """Sessions in the database app; `first` opened, last closed are those that wait for nobody."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.sessions: list[psycopg.Connection] = []
        with server.connect(dbname="app") as connection:
            for table in TABLES:
                connection.execute(f"CREATE TABLE {table} AS SELECT n AS id FROM generate_series(1, 1000) AS n")

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *exc: object) -> None:
        with self.server.connect(dbname="app") as connection:
            connection.execute(ENDED)
            for session in self.sessions:
                session.close()
            connection.execute("SET lock_timeout = '10s'")
            for table in TABLES:
                connection.execute(f"DROP TABLE {table}")

    def session(self) -> psycopg.Connection:
        """Return a new session."""
        self.sessions.append(self.server.connect(dbname="app", application_name="crowd"))
        return self.sessions[-1]

    def holds(self, *statements: str) -> int:
        """Open a transaction, run the statements in it, and stay idle; return the pid."""
        session = self.session()
        for statement in ("BEGIN", *statements):
            session.execute(statement)
        return session.info.backend_pid

    def waits(self, *statements: str) -> int:
        """Send the statements in one message, of which one waits for a lock; return the pid when it does."""
        pid = self.sends(*statements)
        self.server.wait_for(f"SELECT wait_event_type FROM pg_stat_activity WHERE pid = {pid}", "Lock")
        return pid

    def sends(self, *statements: str) -> int:
        """Send the statements in one message; return the pid."""
        session = self.session()
        session.pgconn.send_query("; ".join(statements).encode())
        session.pgconn.flush()
        return session.info.backend_pid
