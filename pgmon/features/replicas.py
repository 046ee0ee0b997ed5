"""Standbys as their sender sees them (pg_stat_replication)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pgmon.config import Config
from pgmon.feature import Before, Feature, Role, Tier, detail, gauge, kept, label, row
from pgmon.rule import Over, Rule

STATES = ("streaming", "catchup", "startup", "backup", "stopping")
SETTLED = 600.0  # seconds after which a standby is one whose end is news
MISSED = 86400.0  # … and after which it is no longer missed
SAMPLES = 120  # of our own position, to date a standby's by; when full every second one goes, so the span stays

Trail = tuple[tuple[float, int], ...]  # server time, our position in bytes


@row
class Sender:
    """One row of pg_stat_replication, and where we are ourselves."""

    replica: str = label("application_name, numbered where several have the same.")
    state: str = detail("State of the sender.")
    sync_state: str = detail("async, potential, sync or quorum.")
    now: float = detail("Server time, seconds since 1970.")
    lsn: int = detail("Our own position.", "bytes")
    sent_lsn: int | None = detail("Position sent.", "bytes")
    flush_lsn: int | None = detail("Position it has flushed.", "bytes")
    replay_lsn: int | None = detail("Position it has replayed.", "bytes")
    replay_lag: float | None = detail("replay_lag as the server has it.", "seconds")


@row
class Replica:
    """How far each standby is behind."""

    replica: str = label("application_name of the standby, numbered where several have the same.")
    lag_seconds: float | None = gauge(
        "pg_replication_lag_seconds",
        "How old what a standby replays is: 0 when it has replayed everything; absent for what does not replay.",
        "seconds",
    )
    lag_bytes: int | None = gauge("pg_replication_lag_bytes", "WAL that a standby has yet to replay.", "bytes")
    state: str = detail("State of the sender.")
    sync_state: str = detail("async, potential, sync or quorum.")
    unsent_bytes: int | None = detail("WAL not sent yet.", "bytes")
    unflushed_bytes: int | None = detail("WAL that it has not flushed yet.", "bytes")
    trail: Trail = kept("When we were where.")


@row
class ReplicaState:
    """Standbys by the state of their sender."""

    state: str = label("State of the sender.")
    replicas: int = gauge("pg_replication_replicas", "Senders to standbys, by state.")


@row
class SyncState:
    """How synchronous each standby is."""

    replica: str = label("application_name of the standby.")
    state: str = label("async, potential, sync or quorum.")
    present: int = gauge("pg_replication_sync_state", "1 for the present synchronous state of a standby.")


@row
class Familiar:
    """Standbys that were connected for ten minutes, and whether they still are; a day later they are forgotten."""

    replica: str = label("application_name of the standby, numbered where several have the same.")
    missing: int = gauge("pg_replication_replica_missing", "1 when a standby that was connected is not any more.")
    synchronous_missing: int = gauge(
        "pg_replication_synchronous_replica_missing", "The same, 1 only for one that was synchronous."
    )
    synchronous: bool = detail("It is synchronous, or was.")
    gone_seconds: float = detail("For how long it is gone.", "seconds")
    seen_seconds: float = kept("For how long it was seen.")


@row
class Expected:
    """The standbys that replication.expected asks for."""

    fewer: int = gauge("pg_replication_replicas_short", "By how many standbys there are fewer than expected.")
    connected: int = detail("Standbys connected.")
    expected: int = detail("Standbys expected, 0 for however many.")


def lengthened(trail: Trail, now: float, lsn: int) -> Trail:
    """Return the trail with one more sample, thinned where it is full.

    >>> lengthened(((1.0, 10),), 2.0, 20)
    ((1.0, 10), (2.0, 20))
    """
    longer = (*trail, (now, lsn))
    return longer if len(longer) <= SAMPLES else (*longer[:-1:2], longer[-1])


def behind(trail: Trail, now: float, replayed: int) -> float:
    """Return for how long at least there has been WAL beyond `replayed`.

    replay_lag alone is not enough: it stands still when replay is paused on an idle primary.

    >>> behind(((1.0, 10), (2.0, 20), (3.0, 20)), 9.0, 10)
    7.0
    """
    return next((now - at for at, lsn in trail if lsn > replayed), 0.0)


def lags(now: Sequence[Sender], before: Before[Sender, Replica] | None, config: Config) -> list[Replica]:
    """Return how far each standby is behind, in bytes and in seconds."""
    trail = max((r.trail for r in before.rows), key=len, default=()) if before else ()
    if now:
        trail = lengthened(trail, now[0].now, now[0].lsn)
    return [_lag(s, trail) for s in now]


def _lag(s: Sender, trail: Trail) -> Replica:
    seconds = lag = None
    if s.replay_lsn is not None and s.state != "backup":  # pg_receivewal and base backups replay nothing
        lag = max(s.lsn - s.replay_lsn, 0)
        seconds = max(s.replay_lag or 0.0, behind(trail, s.now, s.replay_lsn)) if lag else 0.0
    return Replica(
        s.replica, seconds, lag, s.state, s.sync_state, _left(s.lsn, s.sent_lsn), _left(s.lsn, s.flush_lsn), trail
    )


def _left(ours: int, theirs: int | None) -> int | None:
    return None if theirs is None else max(ours - theirs, 0)


def by_state(now: Sequence[Sender], before: Before[Sender, ReplicaState] | None, config: Config) -> list[ReplicaState]:
    """Count the senders by state, 0 included: a lost standby must not be a lost series."""
    counted = Counter(s.state for s in now)
    return [ReplicaState(state, counted[state]) for state in sorted({*STATES, *counted})]


def sync_states(now: Sequence[Sender], before: Before[Sender, SyncState] | None, config: Config) -> list[SyncState]:
    """Say of each standby how synchronous it is."""
    return [SyncState(s.replica, s.sync_state, 1) for s in now]


def _standbys(now: Sequence[Sender]) -> list[Sender]:
    """Leave out base backups, which end, and pg_receivewal, which replays nothing."""
    return [s for s in now if s.replay_lsn is not None and s.state != "backup"]


def familiar(now: Sequence[Sender], before: Before[Sender, Familiar] | None, config: Config) -> list[Familiar]:
    """Return who is here, and who was here for long and is not."""
    here, prior = {s.replica: s for s in _standbys(now)}, {f.replica: f for f in before.rows} if before else {}
    elapsed = before.elapsed if before else 0.0
    found = [_present(s, prior.get(name), elapsed) for name, s in here.items()]
    gone = [_absent(f, elapsed) for name, f in prior.items() if name not in here and f.seen_seconds >= SETTLED]
    return [*found, *(f for f in gone if f.gone_seconds < MISSED)]


def _present(s: Sender, prior: Familiar | None, elapsed: float) -> Familiar:
    seen = prior.seen_seconds + elapsed if prior else 0.0
    return Familiar(s.replica, 0, 0, s.sync_state in ("sync", "quorum"), 0.0, seen)


def _absent(f: Familiar, elapsed: float) -> Familiar:
    return Familiar(f.replica, 1, int(f.synchronous), f.synchronous, f.gone_seconds + elapsed, f.seen_seconds)


def expected(now: Sequence[Sender], before: Before[Sender, Expected] | None, config: Config) -> list[Expected]:
    """Compare how many there are with how many there should be."""
    connected, wanted = len(_standbys(now)), config.replication.expected
    return [Expected(max(wanted - connected, 0), connected, wanted)]


REPLICAS = Feature(
    "replicas",
    Tier.WORKLOAD,
    Sender,
    Replica,
    lags,
    panel="replication",
    rules=(
        Rule(
            "ReplicationLag",
            (Over("lag_seconds", "repl_warn_s", "repl_crit_s"),),
            hold=60,
            message="{replica} is {lag_seconds:duration} behind, {lag_bytes:bytes} of WAL ({state})",
        ),
        Rule(
            "ReplicationLag",
            (Over("lag_bytes", "repl_warn_bytes"),),
            hold=60,
            message="{replica} has {lag_bytes:bytes} of WAL yet to replay ({state})",
        ),
    ),
)
FAMILIAR = Feature(
    "familiar_replicas",
    Tier.WORKLOAD,
    Sender,
    Familiar,
    familiar,
    role=Role.PRIMARY,
    of=REPLICAS,
    panel="replication",
    rules=(
        Rule(
            "ReplicaMissing",
            (Over("missing", 0),),
            hold=120,
            message="The standby {replica} is gone for {gone_seconds:duration}",
        ),
        Rule(
            "ReplicaMissing",
            (Over("synchronous_missing", crit=0),),
            hold=120,
            message="The synchronous standby {replica} is gone for {gone_seconds:duration}",
        ),
    ),
)
EXPECTED = Feature(
    "expected_replicas",
    Tier.WORKLOAD,
    Sender,
    Expected,
    expected,
    role=Role.PRIMARY,
    of=REPLICAS,
    panel="replication",
    rules=(
        Rule(
            "ReplicaMissing",
            (Over("fewer", 0),),
            hold=120,
            message="{connected} of {expected} standbys are connected",
        ),
    ),
)
REPLICA_STATES = Feature(
    "replica_states", Tier.WORKLOAD, Sender, ReplicaState, by_state, of=REPLICAS, panel="replication"
)
SYNC_STATES = Feature("sync_states", Tier.WORKLOAD, Sender, SyncState, sync_states, of=REPLICAS, panel="replication")
