"""What is promised whatever happens to the server, held against every answer and every fault in the same way.

with Survivor(server, port=proxy.port) as watch:
    seen = watch.survives(frozen(proxy), up=0, reason="unreachable")
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from itertools import pairwise
from types import TracebackType

from structlog.testing import capture_logs
from structlog.typing import EventDict

from pgmon.agent import TIERS, Agent
from pgmon.feature import Tier
from running import Samples, value
from servers import Server
from watching import RECOVERY, SESSIONS, Watch, eventually

STALE = 60.0  # seconds after which rows of the hot path are no longer exported, as by default
STEP = 20.0  # seconds between two scrapes of a fault: every one finds the hot path due
# Where nobody answers, a test need not wait for as long as a loop may.
SHORT = {f"BUDGETS_{tier}": "300ms" for tier in ("HOT_PATH", "WORKLOAD", "STORAGE", "HOURLY")}

ENDS = {"refresh works again", "reading works again"}
STATES = {"refresh failed", "reading failed", "nothing to read"} | ENDS


class Survivor(Watch):
    """An agent that is held to every promise at every answer.

    /metrics and /livez within a second, always 200; no more sessions than allowed, counted by the kernel; every age the
    true one; no change of state told twice; no error of pgmon's own.
    """

    def __init__(
        self,
        server: Server,
        make: type[Agent] = Agent,
        *,
        dsn: str = "",
        others: Sequence[Server] = (),
        **given: object,
    ) -> None:
        """Watch a server; lower-case arguments (port=, password=) are of the DSN, the others PGMON_* variables."""
        environ = {name: str(setting) for name, setting in given.items() if name.isupper()}
        parameters = {name: setting for name, setting in given.items() if not name.isupper()}
        self._servers = (server, *others)
        self._closing = ExitStack()
        self.said = self._closing.enter_context(capture_logs())
        super().__init__(dsn or server.dsn("monitor", **parameters), make, **environ)
        self._begun = self.time()
        self._asked: list[tuple[float, float]] = []  # when refreshes may have started

    def __exit__(self, kind: type | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        try:
            super().__exit__(kind, exc, trace)
            if exc is None:
                self._check_log()
        finally:
            self._closing.close()
            for line in self.said if exc else ():
                print(line)

    # -- at every answer -------------------------------------------------------------------------------------------

    def start(self, after: float) -> None:
        """Start what is due so many seconds later, and wait for nothing."""
        self.rest()
        begin = self.time() + after
        super().start(after)
        self._asked.append((begin, self.time()))

    def scrape(self, after: float = 0.0) -> Samples:
        """Return what /metrics says so many seconds later, if it keeps every promise."""
        self.rest()
        begin = self.time() + after
        samples = super().scrape(after)
        self._asked.append((begin, self.time()))
        self._check_sessions()
        self._check_ages(samples)
        return samples

    def _check_sessions(self) -> None:
        for server in self._servers:
            # One that was closed a moment ago may not have ended yet.
            eventually(lambda server=server: len(server.backends()) <= SESSIONS, within=2)

    def _check_ages(self, samples: Samples) -> None:
        """An age is true when a refresh was started so long ago, and by nobody but this test."""
        begin, end = self._asked[-1]
        for loop in TIERS:
            if (age := value(samples, "pgmon_cache_age_seconds", loop=loop)) is not None:
                assert self._was_asked(begin - age, end - age), f"{loop} claims an age of {age:.1f} s"
        for labels, down in samples.get("pgmon_down_seconds", {}).items():
            assert self._was_asked(begin - down, end - down), f"{dict(labels)} for {down:.1f} s"

    def _was_asked(self, earliest: float, latest: float) -> bool:
        asked = [(self._begun - 1, self._begun), *self._asked]
        return any(begin - 0.1 <= latest and earliest <= end + 0.1 for begin, end in asked)

    # -- a fault, from its beginning to its end --------------------------------------------------------------------

    def survives(
        self,
        fault: AbstractContextManager[object],
        *,
        up: int,
        reason: str = "",
        within: float = RECOVERY,
        scrapes: int = 4,
        loops: Sequence[Tier] = (Tier.HOT_PATH, Tier.WORKLOAD),
    ) -> list[Samples]:
        """Live through a fault and return what was seen while it was in force.

        From the second scrape on `pg_up` must be `up`, and in the end it is told to be down for `reason`; rows are the
        last good ones, and absent when they are too old; `within` seconds after its end the server is seen again, and
        all that failed works.
        """
        self.until("pg_up", 1)
        good = self.scrape(STEP)
        since, heard = self.time(), len(self.said)
        with fault:
            seen = [self.scrape(STEP) for _ in range(scrapes)]
            lasted, ended = self.time() - since, len(self.said)
        self.until("pg_up", 1, within)
        for loop in loops:
            self.until("pgmon_last_scrape_success", 1, loop=loop, within=2 * within)

        assert {value(samples, "pg_up") for samples in seen[1:]} == {up}
        if not up:
            self._check_rows(good, seen, lasted)
            *_, failed = self._turns(heard, ended)
            *_, works = self._turns(heard)
            assert failed["reason"].startswith(f"{reason}:"), failed
            assert [dict(labels)["reason"] for labels in seen[-1]["pgmon_down_seconds"]] == [reason]
            assert works["event"] == "refresh works again"
        return seen

    def _turns(self, since: int, until: int | None = None) -> list[EventDict]:
        """Return the lines in which the hot path told that it fails or works."""
        said = [
            line for line in self.said[since:until] if line.get("tier") == Tier.HOT_PATH and line["event"] in STATES
        ]
        return [line for line in said if line["event"].startswith("refresh")]

    def _check_rows(self, good: Samples, seen: Sequence[Samples], lasted: float) -> None:
        """Nobody answers: what is still told is the last good, then it is absent, and never is it zero."""
        last = value(good, "pg_max_connections")
        told = [value(samples, "pg_max_connections") for samples in seen]
        assert set(told) <= {last, None}, told
        assert lasted <= STALE + STEP / 2 or told[-1] is None, told

    def _check_log(self) -> None:
        """One line per change: of one loop, or one reading of it, no two lines in a row say the same."""
        told = defaultdict(list)
        for line in self.said:
            assert line["event"] not in ("a feature failed", "a tick failed"), line
            if line["event"] in STATES:
                what = (line["tier"], line.get("feature"), line.get("db"))
                told[what].append((line["event"], str(line.get("reason", "")).partition(":")[0]))
        repeated = {what: lines for what, lines in told.items() if any(a == b for a, b in pairwise(lines))}
        assert not repeated
