"""Who waits for whom (pg_blocking_pids, pg_locks), as numbers and as a tree."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from pgmon.config import Config
from pgmon.feature import Before, Feature, Tier, detail, gauge, kept, row, untyped
from pgmon.redact import redact
from pgmon.rule import Over, Rule

Waits = Mapping[tuple[int, float | None], float]  # process id, begin of its statement → seconds


@row
class Session:
    """A session that waits for a lock, holds one back, or waits for a standby."""

    pid: int = detail("Process id.")
    blockers: list[int] = detail("Process ids that block it; 0 is a prepared transaction.")
    syncrep: bool = detail("It waits for a synchronous standby.")
    db: str = detail("Database.")
    application: str = detail("application_name.")
    state: str = detail("State.")
    xact_seconds: float | None = detail("Age of its transaction.", "seconds")
    since: float | None = detail("When its statement began, seconds since 1970.")
    waited: float | None = detail("How long it waits for the lock, at most where `exact` is false.", "seconds")
    exact: bool = detail("waited is the server's own measure (pg_locks.waitstart, from 14 on).")
    mode: str | None = detail("Lock that it waits for.")
    object: str | None = detail("What it wants to lock.")
    query: str = detail("Its statement.")


@row
class Locks:
    """Sessions that wait for locks, and for synchronous standbys."""

    blocked: int = gauge("pg_blocked_sessions", "Sessions waiting for a lock that another holds or waits for.")
    blocked_total: int = untyped(
        "pg_blocked_sessions_total", "The same as pg_blocked_sessions, a gauge under the name of the specification."
    )
    longest: float = gauge("pg_longest_blocked_seconds", "Longest present wait for a lock.", "seconds")
    queued: int = gauge("pg_lock_queue_sessions", "Sessions that queue behind one that is itself waiting for a lock.")
    queue_seconds: float = gauge("pg_lock_queue_seconds", "Longest present wait of those that queue so.", "seconds")
    syncrep: int = gauge("pg_syncrep_waiting_sessions", "Sessions whose commit waits for a synchronous standby.")
    blocked_pid: int | None = detail("Who waits longest.")
    root_pid: int | None = detail("At whose end that queue begins; 0 is a prepared transaction.")
    root_state: str = detail("The state of that session.")
    queue_pid: int | None = detail("Who queues longest.")
    queue_root_pid: int | None = detail("At whose end that queue begins.")
    waits: Waits = kept("How long each waits.")


@row
class Node:
    """Who waits for whom: a session's waiters stand below it."""

    depth: int = detail("Depth in the tree; 0 blocks others and waits for nobody.")
    pid: int = detail("Process id; 0 is a prepared transaction.")
    blocks: int = detail("Sessions waiting for it, directly or not.")
    waited: float | None = detail("How long it waits.", "seconds")
    mode: str = detail("Lock that it waits for.")
    object: str = detail("What it wants to lock.")
    db: str = detail("Database.")
    application: str = detail("application_name.")
    state: str = detail("State.")
    xact_seconds: float | None = detail("Age of its transaction.", "seconds")
    query: str = detail("Its statement, literals withheld.")
    since: float | None = kept("When its statement began.")


def bounded(now: Sequence[Session], earlier: Waits | None, elapsed: float) -> Waits:
    """Return how long each session waits, by process id and begin of its statement.

    Before 14 the server only knows when the statement began: a batch of 33 s that waits for 1 s would read 34 s. Who
    did not wait at the `earlier` reading, `elapsed` seconds ago, waits no longer than since then.
    """
    waits = {(s.pid, s.since): s.waited for s in now if s.waited is not None}
    if earlier is not None:
        for s in now:
            if s.waited is not None and not s.exact:
                waits[s.pid, s.since] = min(s.waited, earlier.get((s.pid, s.since), 0.0) + elapsed)
    return waits


def root_of(pid: int, blockers: Mapping[int, Sequence[int]]) -> int:
    """Follow the first blocker of each to the one who waits for nobody; a cycle is a deadlock in the making.

    >>> root_of(3, {3: [2], 2: [1]})
    1
    """
    seen: set[int] = set()
    while pid not in seen and blockers.get(pid):
        seen.add(pid)
        pid = blockers[pid][0]
    return pid


def summary(now: Sequence[Session], before: Before[Session, Locks] | None, config: Config) -> list[Locks]:
    """Count, and find the root of the longest wait."""
    waits = bounded(now, before.rows[0].waits if before else None, before.elapsed if before else 0.0)
    seconds, blockers = {pid: w for (pid, _), w in waits.items()}, {s.pid: s.blockers for s in now if s.blockers}
    queued = [pid for pid, chain in blockers.items() if any(b in blockers for b in chain)]
    worst, longest, root = _longest(blockers, seconds, blockers)
    queue_worst, queue_longest, queue_root = _longest(queued, seconds, blockers)
    known = {s.pid: s.state for s in now} | {0: "prepared transaction"}
    return [
        Locks(
            blocked=len(blockers),
            blocked_total=len(blockers),
            longest=longest,
            queued=len(queued),
            queue_seconds=queue_longest,
            syncrep=sum(s.syncrep for s in now),
            blocked_pid=worst,
            root_pid=root,
            root_state="" if root is None else known.get(root, "gone"),
            queue_pid=queue_worst,
            queue_root_pid=queue_root,
            waits=waits,
        )
    ]


def _longest(
    pids: Collection[int], seconds: Mapping[int, float], blockers: Mapping[int, Sequence[int]]
) -> tuple[int | None, float, int | None]:
    """Return who of some waits longest, for how long, and at whose end the queue begins."""
    worst = max(pids, key=lambda pid: seconds.get(pid, 0.0), default=None)
    return (None, 0.0, None) if worst is None else (worst, seconds.get(worst, 0.0), root_of(worst, blockers))


def tree(now: Sequence[Session], before: Before[Session, Node] | None, config: Config) -> list[Node]:
    """Return the sessions depth first, each once: who waits for several stands below the first of them."""
    earlier = {(n.pid, n.since): n.waited for n in before.rows if n.waited is not None} if before else None
    waits = bounded(now, earlier, before.elapsed if before else 0.0)
    known = {s.pid: s for s in now if s.blockers or not s.syncrep}
    blockers = {s.pid: s.blockers for s in known.values() if s.blockers}
    behind: dict[int, list[int]] = {}
    for pid, chain in blockers.items():
        for blocker in chain:
            behind.setdefault(blocker, []).append(pid)
    shown: set[int] = set()

    def walk(pid: int, depth: int) -> Iterator[Node]:
        shown.add(pid)
        yield _node(pid, depth, held_back(pid, behind), known.get(pid), waits)
        for waiter in behind.get(pid, ()):
            if blockers[waiter][0] == pid and waiter not in shown:
                yield from walk(waiter, depth + 1)

    roots = [pid for pid in sorted(behind) if pid not in blockers]
    cycles = (root_of(pid, blockers) for pid in sorted(blockers))  # of those not shown by then
    return [node for pid in (*roots, *cycles) if pid not in shown for node in walk(pid, 0)]


def held_back(pid: int, behind: Mapping[int, Sequence[int]]) -> int:
    """Return how many wait for a session, directly or not.

    >>> held_back(1, {1: [2], 2: [3, 1]})
    2
    """
    found, todo = {pid}, [pid]
    while todo:
        new = set(behind.get(todo.pop(), ())) - found
        found |= new
        todo += new
    return len(found) - 1


def _node(pid: int, depth: int, blocks: int, s: Session | None, waits: Waits) -> Node:
    if s is None:
        state = "prepared transaction" if pid == 0 else "gone"
        return Node(depth, pid, blocks, None, "", "", "", "", state, None, "", None)
    return Node(
        depth=depth,
        pid=pid,
        blocks=blocks,
        waited=waits.get((pid, s.since)),
        mode=s.mode or "",
        object=s.object or "",
        db=s.db,
        application=s.application,
        state=s.state,
        xact_seconds=s.xact_seconds,
        query=redact(s.query),
        since=s.since,
    )


QUEUE = (
    "{queued} sessions queue behind one that waits itself, {queue_pid} for {queue_seconds:duration}; "
    "at the head is {queue_root_pid}"
)
LOCKS = Feature(
    "locks",
    Tier.HOT_PATH,
    Session,
    Locks,
    summary,
    panel="activity",
    rules=(
        Rule(
            "BlockedSessions",
            (Over("longest", "blocked_warn_s", "blocked_crit_s"),),
            hold=0,
            message="{blocked_pid} blocked {longest:duration} by {root_pid} ({root_state})",
            pids=("root_pid", "blocked_pid"),
        ),
        Rule(
            "LockQueue",
            (Over("queue_seconds", "lock_queue_warn_s", "lock_queue_crit_s"),),
            hold=10,
            message=QUEUE,
            pids=("queue_pid", "queue_root_pid"),
        ),
        Rule(
            "LockQueue",
            (Over("queued", crit="lock_queue_sessions"),),
            hold=10,
            message=QUEUE,
            pids=("queue_pid", "queue_root_pid"),
        ),
        Rule(
            "CommitsWaitingForStandby",
            (Over("syncrep", crit=0),),
            hold=10,
            message="{syncrep} commits wait for a synchronous standby",
        ),
    ),
)
BLOCKING = Feature("blocking", Tier.HOT_PATH, Session, Node, tree, of=LOCKS, panel="activity")
