"""An agent in this process behind its web application, held to its promises at every answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

from fakes import ShiftedTime
from pgmon.agent import Agent
from pgmon.web import create_app
from running import Samples, configured, parsed, value
from servers import Server

PROMISE = 1.0  # seconds within which /metrics and /livez answer, whatever the server does
RECOVERY = 30.0  # seconds after its return within which the server is seen
SESSIONS = 4  # that pgmon has at most
FINE = {"ok", "waiting", "not_supported", "missing_extension"}  # what is read, will be, and what is not there

COUNT = "SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE application_name = 'pgmon'"

PIDS = """SELECT array_agg(pid) FROM pg_catalog.pg_stat_activity
           WHERE application_name = 'pgmon' AND datname LIKE %s"""


def sessions(server: Server) -> int:
    """Return how many sessions of pgmon the server has."""
    with server.connect() as connection:
        return connection.execute(COUNT).fetchone()[0]


def pids(server: Server, db: str = "%") -> list[int]:
    """Return the backends of pgmon in a database."""
    with server.connect() as connection:
        return connection.execute(PIDS, [db]).fetchone()[0] or []


def waiting(server: Server) -> list[int]:
    """Return the backends of pgmon that wait for a lock."""
    with server.connect() as connection:
        return connection.execute(f"{PIDS} AND wait_event_type = 'Lock'", ["%"]).fetchone()[0] or []


def commit(server: Server, times: int) -> None:
    """Run so many transactions, and return when they are counted."""
    with server.connect() as connection:
        connection.execute(f"DO $$ BEGIN FOR i IN 1..{times} LOOP COMMIT; END LOOP; END $$")
    counted = "SELECT xact_commit >= {} FROM pg_catalog.pg_stat_database WHERE datname = 'postgres'"
    server.wait_for(counted.format(times))


def eventually(holds: Callable[[], object], within: float = 10.0) -> None:
    """Wait until something holds."""
    give_up = time.monotonic() + within
    while not holds():
        assert time.monotonic() < give_up, f"it did not come to hold within {within} s"
        time.sleep(0.02)


class Stalls(threading.Thread):
    """Counts for how long this machine kept a thread from running that wanted to."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.total = 0.0
        self.ended = threading.Event()

    def run(self) -> None:
        """Count."""
        before = time.monotonic()
        while not self.ended.wait(0.01):
            before, late = time.monotonic(), time.monotonic() - before - 0.01
            self.total += late if late > 0.01 else 0.0


class Watch:
    """An agent whose time a test can push forward; `slowest` is the answer that took longest."""

    def __init__(self, dsn: str, make: type[Agent] = Agent, **environ: str) -> None:
        self.time = ShiftedTime()
        # A test does not wait for a minute until the slow loops give up.
        environ = {"TIMEOUTS_CONNECT_TIMEOUT_S": "2", "BUDGETS_STORAGE": "3s", "BUDGETS_HOURLY": "3s"} | environ
        self.agent = make(configured(dsn, **environ), self.time.clock())
        self._client = create_app(self.agent).test_client()
        self.slowest = 0.0
        self._stalls = Stalls()
        self._stalls.start()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, kind: type | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self._stalls.ended.set()
        self.rest()
        self.agent.close()

    def rest(self) -> None:
        """Wait until no refresh is under way: pushed forward, time would be up for it."""
        eventually(lambda: not any(t.name == "pgmon-flight" for t in threading.enumerate()))

    def start(self, after: float) -> None:
        """Start what is due so many seconds later, and wait for nothing."""
        self.rest()
        self.time.ahead += after
        self.agent.settle(0)

    def scrape(self, after: float = 0.0) -> Samples:
        """Return what /metrics says so many seconds later; it and /livez must answer 200 in time."""
        self.rest()
        self.time.ahead += after
        self._stalls.total = 0.0
        self._get("/livez")
        return parsed(self._get("/metrics"))

    def landed(self, after: float = 0.0) -> Samples:
        """Return what /metrics says once the refreshes have landed that were due so many seconds later."""
        self.scrape(after)
        return self.scrape()

    def _get(self, path: str) -> str:
        start = time.monotonic()
        answer = self._client.get(path)
        took = time.monotonic() - start
        self.slowest = max(self.slowest, took)
        assert answer.status_code == 200
        assert took <= PROMISE + self._stalls.total, f"{path} took {took:.2f} s"
        return answer.get_data(as_text=True)

    def status(self, path: str = "/readyz") -> int:
        """Return the status of a page."""
        return self._client.get(path).status_code

    def until(self, metric: str, expected: float | None, within: float = RECOVERY, step: float = 3.0, **labels: str):
        """Scrape every `step` seconds until a sample has a value (None: is absent); return the seconds it took."""
        start = self.time()
        while True:
            samples = self.scrape(step)
            got = value(samples, metric, **labels)
            if got == expected:
                return self.time() - start
            assert self.time() - start < within + 1, f"{metric}{labels} is {got} and not {expected} after {within} s"

    def failed(self, samples: Samples) -> dict[str, str]:
        """Return the features that could not be read though they exist, with their status."""
        found = (dict(labels) for labels in samples["pgmon_check_status"])
        return {f["check"]: f["status"] for f in found if f["status"] not in FINE}


def check(samples: Samples, feature: str) -> str:
    """Return the status of a feature."""
    found = (dict(labels) for labels in samples["pgmon_check_status"])
    return next((f["status"] for f in found if f["check"] == feature), "never read")
