"""What changed from one snapshot to the next: one line of the log per change, not per refresh."""

from __future__ import annotations

import structlog

from pgmon.errors import Kind, QueryError
from pgmon.feature import Tier
from pgmon.snapshot import ABSENT, Key, Snapshot

log = structlog.get_logger(__name__)


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
        skipped = {key for key, r in snapshot.readings.items() if r.failure is Kind.SKIPPED}  # nothing is known of it
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
