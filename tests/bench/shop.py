"""A server with many tables, statements and sessions, that grows from one size to the next."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.many_tables import CATALOGUE, SCHEMAS, SETTINGS, TABLES
from servers import Server, prepare

STATEMENTS, SESSIONS, IN_TRANSACTION = 5000, 200, 10
ROOMY = SETTINGS | {"max_connections": "400", "pg_stat_statements.max": "10000", "max_wal_size": "256MB"}
OTHER = "exporter"  # the role of postgres_exporter, that of pgmon is monitor
ROOM = 10e9  # bytes of memory for the largest shop and who reads it; with less it is built on disk
LEAST = 1000  # tables that one session makes at once

# Each combination of operators is another statement to pg_stat_statements; the comment makes it as long as usual.
STATEMENT = "SELECT a {} FROM shop_1.t1 WHERE id = 1 /* {} */"


@contextmanager
def shop(major: int) -> Iterator[Server]:
    """A server with sessions and statements, and without tables so far."""
    with Server(major, ROOMY, within()) as server, ExitStack() as sessions:
        prepare(server)
        with server.connect(dbname="app") as admin:
            admin.execute(f"CREATE ROLE {OTHER} LOGIN IN ROLE pg_monitor")
            admin.execute("CREATE EXTENSION pg_stat_statements")  # postgres_exporter looks for it where the tables are
            admin.execute(SCHEMAS)
        grow(server, 0, 100)
        with server.connect(dbname="app") as admin:
            for n in range(STATEMENTS):
                admin.execute(STATEMENT.format("".join("+-"[n >> bit & 1] + " 1" for bit in range(13)), "x" * 300))
        for n in range(SESSIONS):
            session = sessions.enter_context(server.connect(dbname="app", application_name=f"shop {n % 20}"))
            session.execute("BEGIN" if n < IN_TRANSACTION else "SELECT 1")
        yield server


def within() -> str | None:
    """Return where the data should be; None stands for the usual folder, which is in memory."""
    available = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable"))
    return None if int(available.split()[1]) * 1024 > ROOM else tempfile.gettempdir()


def grow(server: Server, there: int, wanted: int) -> None:
    """Make more tables, in two sessions, and vacuum the catalogue as autovacuum would have by then."""
    middle = (there + wanted) // 2 // LEAST * LEAST
    parts = [(there + 1, middle), (middle + 1, wanted)] if there < middle < wanted else [(there + 1, wanted)]
    makers = ThreadPoolExecutor(2)
    try:
        list(makers.map(lambda part: _make(server, *part), parts))
    finally:
        makers.shutdown(wait=False)  # who is interrupted stops the server, and that the makers
    with server.connect(dbname="app") as admin:
        admin.execute(f"VACUUM (ANALYZE) {', '.join(CATALOGUE)}")
        admin.execute("CHECKPOINT")


def _make(server: Server, first: int, last: int) -> None:
    with server.connect(dbname="app") as session:
        session.execute("SET pg_stat_statements.track = 'none'")
        session.execute(TABLES.format(first=first, last=last))
