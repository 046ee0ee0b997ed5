"""The guard: refuses a role that can write, before anything else is asked of a server and whenever it is seen later."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from pgmon.errors import Kind, QueryError
from pgmon.facts import Facts
from pgmon.feature import Feature, Params, Scope, Tier
from pgmon.features.privileges import GRANTS, PRIVILEGES
from pgmon.findings import MADE_FOR_IT, SEVERITIES, Finding
from pgmon.refresh import Source
from pgmon.snapshot import Key, Reading, Snapshot

JUDGED = (PRIVILEGES, GRANTS)
TIME = 10.0  # seconds to judge a server nobody has seen: a database of 1.6 million columns takes 0.3 s
JUST_NOW = 60.0  # seconds within which the hourly loop follows, at the start and after a failover
SHOWN = 20
ADVICE = f"or use a role made for it: {MADE_FOR_IT}"

log = structlog.get_logger(__name__)


class Guard:
    """The door, behind a look at what the role may do on every server it has not seen, and then hourly."""

    def __init__(
        self,
        door: Source,
        read: Callable[[Snapshot | None], Snapshot],  # the features judged, past the guard
        enforce: bool,
        monotonic: Callable[[], float],
        refused: Callable[[], None],
    ) -> None:
        self._door, self._read, self._enforce, self._now, self._refused = door, read, enforce, monotonic, refused
        self._lock = threading.Lock()
        self._admitted: set[tuple[str, str]] = set()  # system identifier, role
        self._readings: Mapping[Key, Reading] = {}
        self._judged: dict[Key, Reading] = {}  # what the hourly loop would ask again
        self.findings: Sequence[Finding] | None = None  # None: no server was judged yet

    def facts(self, db: str, tier: Tier, deadline: float) -> Facts:
        """Return what the server is. Raises QueryError, of kind 'refused' where the role can write."""
        facts = self._door.facts(db, tier, deadline)
        if facts.monitors and (facts.system_identifier, facts.role) not in self._admitted:
            self._admit(facts, deadline)
        return facts

    def ask(self, feature: Feature[Any, Any], facts: Facts, params: Params, deadline: float) -> tuple[str, list[Any]]:
        """Ask the door, but not for what was judged just now."""
        db = facts.db if feature.scope is Scope.DATABASE else ""
        judged = self._judged.pop((feature.name, db), None)
        if judged and judged.taken is not None and self._now() - judged.taken < JUST_NOW:
            return judged.sql, list(judged.raw)
        return self._door.ask(feature, facts, params, deadline)

    def _admit(self, facts: Facts, deadline: float) -> None:
        """Judge a server once; the flights that come meanwhile wait for the verdict as long as they may."""
        if not self._lock.acquire(timeout=max(deadline - self._now(), 0.0)):
            raise QueryError(Kind.SKIPPED, "the privileges of the role are being looked at")
        try:
            if (facts.system_identifier, facts.role) in self._admitted:
                return
            known = self.findings
            self.judge(facts)
            self._tell(known)
            for db, reason in self.unknown.items():
                log.warning("privileges in a database are not known", db=db, reason=reason)
            if self.is_refused:
                self._refused()
                raise QueryError(Kind.REFUSED, self.verdict)
            self._admitted.add((facts.system_identifier, facts.role))
        finally:
            self._lock.release()

    def judge(self, facts: Facts) -> None:
        """Find out what the role may do in every database that can be visited.

        Raises QueryError when the cluster, or the database of the DSN, does not tell.
        """
        snapshot = self._read(None)
        if snapshot.failure:
            raise snapshot.failure
        for (_, db), reading in snapshot.readings.items():
            if reading.failure and db in ("", facts.db):
                raise QueryError(reading.failure, f"the privileges of the role are not known: {reading.message}")
        self._take(snapshot.readings)
        self._judged = dict(snapshot.readings)

    def __call__(self, snapshot: Snapshot) -> None:
        """Hear what the hourly loop has read, and judge it; what it could not read is as it was."""
        now = {key: r for key, r in snapshot.readings.items() if r.feature in JUDGED}
        if snapshot.failure or not now:
            return
        with self._lock:
            known = self.findings
            self._take({key: self._as_known(key, r) for key, r in now.items()})
            self._tell(known)
            if self.is_refused:
                self._admitted.clear()
                self._refused()

    def _as_known(self, key: Key, r: Reading) -> Reading:
        known = self._readings.get(key)
        return replace(r, rows=known.rows) if known and r.taken is None else r

    def _take(self, readings: Mapping[Key, Reading]) -> None:
        self._readings = readings
        found = [finding for reading in readings.values() for finding in reading.rows]
        self.findings = sorted(found, key=lambda f: SEVERITIES.index(f.severity))

    def _tell(self, known: Sequence[Finding] | None) -> None:
        """Log what is new: what every role has as a number, the rest one by one."""
        new = [f for f in self.findings or () if f not in set(known or ())]
        for f in [f for f in new if f.severity != "info"][:SHOWN]:
            say = log.error if f.severity == "refuse" else log.warning
            say("a role that should only read", can=f.what, on=f.object, db=f.database, cure=f.cure)
        if new:
            log.info("privileges judged", **{s: sum(f.severity == s for f in self.findings or ()) for s in SEVERITIES})

    @property
    def unknown(self) -> Mapping[str, str]:
        """The databases in which the privileges could not be read lately, and why."""
        return {db: reading.message for (_, db), reading in self._readings.items() if reading.failure}

    @property
    def refusals(self) -> list[Finding]:
        """The findings for which pgmon does not run, unless read_only_enforce is off."""
        return [f for f in self.findings or () if f.severity == "refuse"]

    @property
    def is_refused(self) -> bool:
        """Whether pgmon does not run as this role."""
        return self._enforce and bool(self.refusals)

    @property
    def state(self) -> str:
        """Return the verdict in a few words."""
        if self.findings is None:
            return "not judged yet"
        if not self.refusals:
            return "passed"
        return "refused" if self._enforce else "not enforced: the role can write"

    @property
    def verdict(self) -> str:
        """Return the refusals as text, one per line with its cure."""
        lines = [told(f) for f in self.refusals[:SHOWN]]
        more = [f"  … and {len(self.refusals) - SHOWN} more"] if len(self.refusals) > SHOWN else []
        return "\n".join(["the role can write; take that away,", *lines, *more, ADVICE])


def told(f: Finding) -> str:
    """Return a finding in one line.

    >>> told(Finding("refuse", "INSERT", "table public.t", "app", "REVOKE INSERT ON TABLE public.t FROM agent"))
    '  table public.t (database app): INSERT: REVOKE INSERT ON TABLE public.t FROM agent'
    """
    place = f" (database {f.database})" if f.database else ""
    return f"  {f.object}{place}: {f.what}: {f.cure}"
