"""What changed from one snapshot to the next: one line of the log per change, not per refresh."""

from __future__ import annotations

import structlog

from pgmon.feature import Tier
from pgmon.snapshot import ABSENT, Key, Snapshot

log = structlog.get_logger(__name__)


class Changes:
    """Hears every snapshot of a tier and tells when a failure begins, changes or ends."""

    def __init__(self, tier: Tier) -> None:
        self._tier = tier
        self._failing: dict[Key, str] = {}
        self._cut = ""

    def __call__(self, snapshot: Snapshot) -> None:
        """Compare with what was heard before."""
        cut = f"{snapshot.failure.kind}: {snapshot.failure}" if snapshot.failure else ""
        if cut != self._cut:
            self._tell_cut(cut)
        if not cut:
            self._compare(snapshot)

    def _tell_cut(self, cut: str) -> None:
        self._cut = cut
        if cut:
            log.warning("refresh failed", tier=self._tier, reason=cut)
        else:
            log.info("refresh works again", tier=self._tier)

    def _compare(self, snapshot: Snapshot) -> None:
        now = {key: str(r.failure) for key, r in snapshot.readings.items() if r.failure}
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
