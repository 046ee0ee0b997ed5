"""Sessions that hold, wait, stay or spill."""

from __future__ import annotations

from pgmon.incidents.scene import Scene, incident

ACCOUNTS = "CREATE TABLE accounts AS SELECT n AS id, 0 AS balance FROM generate_series(1, 1000) AS n"
CHANGE = "UPDATE accounts SET balance = balance + 1 WHERE id = {}"
DAY = 86400


@incident("BlockedSessions", "IdleInTransaction", "LongTransaction")
def blocked_session(scene: Scene) -> None:
    """A changed a row and left its transaction open; B waits to change the same row."""
    scene.run(ACCOUNTS)
    scene.stays("BEGIN", CHANGE.format(1))
    scene.waits(CHANGE.format(1))


@incident("BlockedSessions", "LockQueue", "IdleInTransaction", "LongTransaction")
def blocking_chain(scene: Scene) -> None:
    """A left its transaction open, B waits for a row of A's, and C for one of B's."""
    scene.run(ACCOUNTS)
    scene.stays("BEGIN", CHANGE.format(1))
    scene.waits("BEGIN", CHANGE.format(2), CHANGE.format(1))
    scene.waits(CHANGE.format(2))


@incident("LockQueue", "BlockedSessions", "IdleInTransaction", "LongTransaction")
def lock_queue(scene: Scene, readers: int = 1) -> None:
    """A read a table and left its transaction open, B waits to alter the table, and C queues behind B to read it."""
    scene.run(ACCOUNTS)
    scene.stays("BEGIN", "SELECT count(*) FROM accounts")
    scene.waits("ALTER TABLE accounts ADD COLUMN note text")
    for _ in range(readers):
        scene.waits("SELECT balance FROM accounts WHERE id = 1")


@incident("IdleInTransaction", "LongTransaction")
def idle_in_transaction(scene: Scene) -> None:
    """A session changed a row and does nothing since, its transaction open and its locks held."""
    scene.run(ACCOUNTS)
    scene.stays("BEGIN", CHANGE.format(1))


@incident("LongTransaction", "XminHeld")
def long_transaction(scene: Scene) -> None:
    """A statement runs for as long as it is let."""
    scene.run(ACCOUNTS)
    scene.executes(f"SELECT count(*), pg_sleep({DAY}) FROM accounts")
    scene.until(f"(SELECT state = 'active' FROM pg_stat_activity WHERE pid = {scene.pids[-1]})")


@incident("XminHeld", "IdleInTransaction", "LongTransaction", "DeadTuples")
def held_xmin(scene: Scene) -> None:
    """A repeatable read transaction keeps its snapshot, so that VACUUM removes no row that was deleted since."""
    scene.run(ACCOUNTS)
    scene.stays("BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM accounts")
    scene.run("DELETE FROM accounts")
    scene.run("VACUUM (TRUNCATE false) accounts")  # to truncate it would wait five seconds for the reader
    scene.until("pg_stat_get_vacuum_count('accounts'::regclass) > 0")
    scene.until("pg_stat_get_dead_tuples('accounts'::regclass) >= 1000")


@incident("PreparedTransactionOld", "XminHeld", "BlockedSessions")
def orphaned_prepared(scene: Scene) -> None:
    """A transaction was prepared, and nobody commits it or rolls it back. Needs max_prepared_transactions > 0."""
    scene.run(ACCOUNTS, "BEGIN", CHANGE.format(1), f"PREPARE TRANSACTION '{scene.name}'")
    scene.undo(f"ROLLBACK PREPARED '{scene.name}'")


@incident("Deadlocks")
def deadlocks(scene: Scene, pairs: int = 5) -> None:
    """Pairs of transactions lock the same two things in opposite order, all at the same time."""
    gate = scene.stays("SELECT pg_advisory_lock(0)")  # a lock that all wait for who have their first
    lock = "SELECT pg_advisory_xact_lock({}); SELECT pg_advisory_xact_lock_shared(0); SELECT pg_advisory_xact_lock({})"
    waiters = [scene.waits(lock.format(*order)) for n in range(1, pairs + 1) for order in ((n, -n), (-n, n))]
    for session in (gate, *waiters):
        session.close()  # its end reports its statistics
    counted = "SELECT sum(pg_stat_get_db_deadlocks(oid)) FROM pg_database WHERE datname = current_database()"
    scene.until(f"({counted}) >= {pairs}")


@incident("TempSurge", "LongTransaction")
def temp_spill(scene: Scene, rows: int = 200_000) -> None:
    """A statement sorts more than its work_mem holds, and keeps its temporary files for as long as it runs."""
    # The sort is of a subquery, so that it is done before the first row sleeps.
    ordered = f"SELECT n FROM generate_series(1, {rows}) AS n ORDER BY md5(n::text)"
    scene.executes("SET work_mem = '64kB'", f"SELECT n, pg_sleep({DAY}) FROM ({ordered}) AS spilt")
    scene.until(f"(SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = {scene.pids[-1]})")
