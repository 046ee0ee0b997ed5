"""Who waits for whom, in queues made on purpose."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import reading
import running
from conftest import require
from crowd import Crowd
from fakes import ShiftedTime
from pgmon.agent import Agent
from pgmon.feature import Tier
from pgmon.features.locks import BLOCKING, LOCKS, Node
from servers import Server

WAITED = "SELECT extract(epoch FROM clock_timestamp() - waitstart)::float8 FROM pg_locks WHERE NOT granted AND pid = %s"


@pytest.fixture
def crowd(server: Server) -> Iterator[Crowd]:
    """Return sessions that hold and wait."""
    with Crowd(server) as gathered:
        yield gathered


@pytest.fixture
def agent(server: Server) -> Iterator[Agent]:
    """Return an agent in the database app, whose names of relations it knows, with time for a busy machine."""
    with reading.agent(server.dsn("monitor", "app"), ShiftedTime().clock(), BUDGETS_HOT_PATH="10s") as made:
        yield made


def tree(agent: Agent) -> list[tuple[int, int, int]]:
    """Return depth, pid and number of sessions held back, in the order shown."""
    return [(node.depth, node.pid, node.blocks) for node in nodes(agent)]


def nodes(agent: Agent) -> list[Node]:
    reading.refreshed(agent, Tier.HOT_PATH)
    return list(reading.rows(agent, BLOCKING))


def queue(crowd: Crowd) -> tuple[int, int, int]:
    """Let A read and stay, B wait for A to alter the table, C wait behind B to read it."""
    a = crowd.holds("SELECT count(*) FROM ledger")
    b = crowd.waits("ALTER TABLE ledger ADD COLUMN note text DEFAULT 'hunter2'")
    c = crowd.waits("SELECT * FROM ledger WHERE id = 424242")
    return a, b, c


# --- the queue that every migration can make --------------------------------------------------------------------------


def test_a_queue_behind_an_alter_counts_both_who_wait(crowd, agent):
    queue(crowd)

    reading.refreshed(agent, Tier.HOT_PATH)

    samples = reading.samples(agent)
    assert running.value(samples, "pg_blocked_sessions") == 2
    assert running.value(samples, "pg_blocked_sessions_total") == 2


def test_who_waits_behind_a_waiter_is_queued(crowd, agent):
    queue(crowd)

    reading.refreshed(agent, Tier.HOT_PATH)

    assert running.value(reading.samples(agent), "pg_lock_queue_sessions") == 1


def test_the_root_of_a_queue_is_the_idle_transaction_and_not_the_alter(crowd, agent):
    a, b, _ = queue(crowd)

    reading.refreshed(agent, Tier.HOT_PATH)

    [locks] = reading.rows(agent, LOCKS)
    assert (locks.root_pid, locks.root_state, locks.blocked_pid) == (a, "idle in transaction", b)


def test_a_queue_is_a_tree_of_three_levels(crowd, agent):
    a, b, c = queue(crowd)

    assert tree(agent) == [(0, a, 2), (1, b, 1), (2, c, 0)]


def test_a_waiter_tells_what_it_wants(crowd, agent):
    _, b, c = queue(crowd)

    wanted = {node.pid: (node.mode, node.object) for node in nodes(agent)}
    assert wanted[b] == ("AccessExclusiveLock", "public.ledger")
    assert wanted[c] == ("AccessShareLock", "public.ledger")


def test_literals_of_blocked_statements_are_withheld(crowd, agent):
    queue(crowd)

    shown = repr([nodes(agent), reading.rows(agent, LOCKS)])
    assert "ALTER TABLE ledger" in shown
    assert "hunter2" not in shown
    assert "424242" not in shown


def test_nobody_is_blocked_where_nobody_waits(crowd, agent):
    crowd.holds("SELECT count(*) FROM ledger")

    assert tree(agent) == []
    assert running.value(reading.samples(agent), "pg_blocked_sessions") == 0


# --- other shapes -----------------------------------------------------------------------------------------------------


def test_two_queues_are_two_trees(crowd, agent):
    a, b = crowd.holds("LOCK TABLE ledger"), crowd.holds("LOCK TABLE journal")
    behind_a, behind_b = crowd.waits("TABLE ledger"), crowd.waits("TABLE journal")

    assert sorted(tree(agent)) == sorted([(0, a, 1), (1, behind_a, 0), (0, b, 1), (1, behind_b, 0)])


def test_a_session_blocked_by_two_stands_once_and_both_are_shown(crowd, agent):
    first, second = sorted(crowd.holds("SELECT count(*) FROM ledger") for _ in range(2))
    waiter = crowd.waits("BEGIN", "LOCK TABLE ledger")

    assert tree(agent) == [(0, first, 1), (1, waiter, 0), (0, second, 1)]


def test_the_workers_of_a_parallel_query_are_one_blocker(crowd, agent):
    reader = crowd.session()
    for setting in ("parallel_setup_cost = 0", "parallel_tuple_cost = 0", "min_parallel_table_scan_size = 0"):
        reader.execute(f"SET {setting}")
    reader.pgconn.send_query(b"SELECT count(pg_sleep(0.05)) FROM ledger")
    reader.pgconn.flush()
    pid = reader.info.backend_pid
    held = "FROM pg_locks WHERE relation = 'ledger'::regclass AND granted"
    crowd.server.wait_for(f"SELECT count(DISTINCT pid) > 1 {held}", dbname="app")
    waiter = crowd.waits("BEGIN", "LOCK TABLE ledger")

    assert tree(agent) == [(0, pid, 1), (1, waiter, 0)]


def test_a_row_that_another_has_changed_is_waited_for(crowd, agent):
    holder = crowd.holds("UPDATE ledger SET id = id WHERE id = 1")
    waiter = crowd.waits("UPDATE ledger SET id = id WHERE id = 1")

    assert tree(agent) == [(0, holder, 1), (1, waiter, 0)]


def test_an_advisory_lock_is_waited_for(crowd, agent):
    holder, waiter = crowd.holds("SELECT pg_advisory_lock(7)"), crowd.waits("SELECT pg_advisory_lock(7)")

    assert [(node.pid, node.object) for node in nodes(agent)] == [(holder, ""), (waiter, "advisory")]


@pytest.mark.parametrize("major", [12, 18], ids="pg{}".format)
def test_a_prepared_transaction_is_the_root_with_process_id_0(fresh_server, major):
    server = fresh_server(require(major), {"max_prepared_transactions": "2"})
    with Crowd(server) as crowd, reading.agent(server.dsn("monitor", "app"), ShiftedTime().clock()) as agent:
        with crowd.session() as session:
            session.execute("BEGIN; LOCK TABLE ledger; PREPARE TRANSACTION 'left over'")
        waiter = crowd.waits("TABLE ledger")

        found = tree(agent)
        [locks] = reading.rows(agent, LOCKS)
        crowd.session().execute("ROLLBACK PREPARED 'left over'")

    assert found == [(0, 0, 1), (1, waiter, 0)]
    assert (locks.root_pid, locks.root_state) == (0, "prepared transaction")


# --- for how long -----------------------------------------------------------------------------------------------------


def true_wait(server: Server, pid: int) -> float:
    """Return how long a session has waited for its lock, by the server (from 14 on)."""
    with server.connect() as connection:
        return connection.execute(WAITED, [pid]).fetchone()[0]


def batch(crowd: Crowd, agent: Agent) -> tuple[int, float]:
    """Read while a message of two statements is busy with the first, until the second is seen waiting.

    Return its pid, and the seconds between the last reading that saw it not waiting and this one.
    """
    crowd.holds("SELECT count(*) FROM ledger")
    pid, free = crowd.sends("SELECT pg_sleep(3)", "LOCK TABLE ledger"), 0.0
    while not reading.rows(agent, LOCKS)[0].blocked:
        free = locks_taken(agent)
        reading.refreshed(agent, Tier.HOT_PATH)
    return pid, locks_taken(agent) - free


def locks_taken(agent: Agent) -> float:
    """Return when the locks were last read; under load that is well after the refresh began."""
    return agent.caches[Tier.HOT_PATH].latest.readings[LOCKS.name, ""].taken


@pytest.fixture
def brisk(server: Server) -> Iterator[Agent]:
    """Return an agent that reads its hot path every second of real time."""
    settings = {"SAMPLE_INTERVALS_HOT_PATH": "1s", "BUDGETS_HOT_PATH": "1s"}
    with reading.agent(server.dsn("monitor", "app"), **settings) as made:
        reading.refreshed(made, Tier.HOT_PATH)
        yield made


@pytest.mark.pg(">= 14")
def test_a_wait_is_exact_from_14_on(server, crowd, brisk):
    pid, _ = batch(crowd, brisk)

    least = true_wait(server, pid)
    reading.refreshed(brisk, Tier.HOT_PATH)
    most = true_wait(server, pid)

    [locks] = reading.rows(brisk, LOCKS)
    assert least <= locks.longest <= most


@pytest.mark.pg("< 14")
def test_before_14_a_long_batch_that_waits_since_just_now_has_not_waited_long(crowd, brisk):
    _, elapsed = batch(crowd, brisk)

    [locks] = reading.rows(brisk, LOCKS)
    assert 0 < locks.longest <= elapsed


@pytest.mark.pg("< 14")
def test_before_14_the_tree_has_the_same_bound(crowd, brisk):
    pid, elapsed = batch(crowd, brisk)

    [waited] = [node.waited for node in reading.rows(brisk, BLOCKING) if node.pid == pid]
    assert 0 < waited <= elapsed
