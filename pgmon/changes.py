"""What changed from one snapshot to the next: one line of the log per change, not per refresh."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from pgmon.errors import Kind, QueryError
from pgmon.facts import Facts
from pgmon.feature import Tier
from pgmon.snapshot import ABSENT, Key, Snapshot

log = structlog.get_logger(__name__)
NOT_YET = (Kind.SKIPPED, Kind.WAITING)


class Changes:
    """Hears every snapshot of a tier and tells when a failure begins, changes or ends."""

    def __init__(self, tier: Tier) -> None:
        self._tier = tier
        self._failing: dict[Key, str] = {}
        self._cut: Kind | None = None

    def __call__(self, snapshot: Snapshot) -> None:
        """Compare with what was heard before."""
        failure = snapshot.failure
        cut = failure.kind if failure else None  # the words vary from one attempt to the next
        if cut != self._cut:
            self._tell_cut(failure)
        self._cut = cut
        if not cut:
            self._compare(snapshot)

    def _tell_cut(self, failure: QueryError | None) -> None:
        if failure:
            log.warning("refresh failed", tier=self._tier, reason=f"{failure.kind}: {failure}")
        else:
            log.info("refresh works again", tier=self._tier)

    def _compare(self, snapshot: Snapshot) -> None:
        skipped = {key for key, r in snapshot.readings.items() if r.failure in NOT_YET}  # nothing is known of it
        now = {key: str(r.failure) for key, r in snapshot.readings.items() if r.failure and key not in skipped}
        now |= {key: self._failing[key] for key in skipped & self._failing.keys()}
        for key in now.keys() | self._failing.keys():
            if now.get(key) != self._failing.get(key):
                self._tell(key, snapshot)
        self._failing = now

    def _tell(self, key: Key, snapshot: Snapshot) -> None:
        reading, (feature, db) = snapshot.readings.get(key), key
        if reading is None or reading.failure is None:
            log.info("reading works again", tier=self._tier, feature=feature, db=db)
        elif reading.failure in ABSENT:
            log.info("nothing to read", tier=self._tier, feature=feature, db=db, reason=reading.message)
        else:
            log.warning("reading failed", tier=self._tier, feature=feature, db=db, reason=reading.message)


class Incarnations:
    """Hears the snapshots of a loop and remembers when the server was last seen to be another than before.

    Times are monotonic, None when that was not seen.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._now = monotonic
        self._facts: Facts | None = None
        self.restarted: float | None = None
        self.changed_role: float | None = None
        self.how = self.role = ""  # in what way

    def __call__(self, snapshot: Snapshot) -> None:
        """Compare with the server that was heard of before."""
        before, after = self._facts, snapshot.facts
        if before and after:
            if role := new_role(before, after):
                self.changed_role, self.role = self._now(), role
            elif how := restart(before, after):
                self.restarted, self.how = self._now(), how
        self._facts = after or before


def restart(before: Facts, after: Facts) -> str:
    """Return how a server started anew, '' when it did not.

    After a crash of a backend the postmaster lives on and starts the others anew: all counters are 0, too.
    """
    if before.start_time != after.start_time:
        return "restarted"
    old, new = before.checkpointer_start, after.checkpointer_start
    return "crashed and recovered" if old and new and old != new else ""


def new_role(before: Facts, after: Facts) -> str:
    """Return what became of a server, '' when it is the same one in the same role."""
    if before.in_recovery != after.in_recovery:
        return "is a standby now" if after.in_recovery else "is the primary now"
    other = before.system_identifier != after.system_identifier
    # A promoted server moves to its timeline a little after it has left recovery: it is the same one.
    failover = before.timeline != after.timeline and before.start_time != after.start_time and not after.in_recovery
    return "is another one behind the same address" if other or failover else ""
