"""The faults of tests/breaking.py against pgmon and, by the same measure, postgres_exporter; no part of the suite.

    PYTHONPATH=.:tests python tests/bench/faults.py --exporter PATH [--only WORD] > table.md

Each fault lasts for at least eight seconds in which both are scraped, each with a server of its own. It is survived
when every answer was 200 and came within a second (not counting moments at which the machine was busy elsewhere),
`pg_up` told the truth from the fourth second on, and the server was seen again without a restart within 30 s of its
return (60 s after a refused login). It takes a quarter of an hour.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

import trustme

import servers
from breaking import FAULTS, TLS_FAULTS, Fault, Stage, encrypted
from proxy import Proxy
from running import Process, parsed
from servers import Server
from watching import Stalls

PROMISE = 1.0  # seconds within which an answer has to come
PATIENCE = 10.0  # … that Prometheus waits for one by default
LASTS = 8.0  # … that a fault lasts
NOTICED = 4.0  # … after which its truth is told
PAUSE = 0.5  # … between two scrapes
STALLS = Stalls()
PASSWORD = "plain"  # the peer cannot log in with the suite's, which has a quote and a backslash
EVERY_SECOND = {
    "PGMON_SAMPLE_INTERVALS_HOT_PATH": "1s",  # as the peer, which asks at every scrape
    "PGMON_BUDGETS_HOT_PATH": "1s",
    "PGMON_TIMEOUTS_CONNECT_TIMEOUT_S": "2",
}


class Exporter(Process):
    """postgres_exporter with its defaults, as a process of its own, on a free port."""

    def __init__(self, program: str, stage: Stage, root: Path | None) -> None:
        super().__init__("")
        tls = f"verify-full&sslrootcert={root}" if root else "disable"
        self.environ["DATA_SOURCE_NAME"] = (
            f"postgresql://monitor:{PASSWORD}@127.0.0.1:{stage.proxy.port}/postgres?sslmode={tls}"
        )
        self.arguments = [program, f"--web.listen-address=127.0.0.1:{self.port}"]

    def _answers(self) -> bool:
        try:
            return self.get("/")[0] == 200
        except OSError:
            return False


@dataclass
class Answer:
    """One scrape."""

    at: float  # seconds since the fault began
    took: float
    up: float | None  # what pg_up says; None: no answer, or none with pg_up


def scraped(agent: Process, since: float) -> Answer:
    """Scrape once."""
    start, stalled = time.monotonic(), STALLS.total
    try:
        status, body = agent.get("/metrics", PATIENCE)
        up = [v for v in parsed(body).get("pg_up", {}).values()] if status == 200 else []
    except OSError:
        up = []
    took = time.monotonic() - start - (STALLS.total - stalled)
    return Answer(start - since, took, up[0] if up else None)


@dataclass
class Result:
    """How an agent lived through a fault."""

    fault: Fault
    answers: Sequence[Answer]
    sessions: int  # the most that it had
    recovered: float | None  # seconds after the end of the fault; None: not in time

    @property
    def slowest(self) -> float:
        """The seconds of the slowest answer."""
        return max(a.took for a in self.answers)

    @property
    def truthful(self) -> bool:
        """Whether pg_up was right, once it could be known."""
        return {a.up for a in self.answers if a.at >= NOTICED} == {self.fault.up}

    @property
    def patiently(self) -> bool:
        """Whether all was well for a scraper as patient as Prometheus is by default."""
        return all(a.up is not None for a in self.answers) and self.truthful and self.recovered is not None

    @property
    def survived(self) -> bool:
        """Whether all of it was well."""
        return self.patiently and self.slowest <= PROMISE

    @property
    def verdict(self) -> str:
        """Return it in a few words."""
        if self.survived:
            return "survived"
        lost = sum(a.up is None for a in self.answers)
        faults = [
            f"{lost} of {len(self.answers)} scrapes without an answer" if lost else "",
            f"answers after {self.slowest:.1f} s" if self.slowest > PROMISE and not lost else "",
            "pg_up wrong" if not self.truthful and not lost else "",
            "not seen again" if self.recovered is None else "",
        ]
        return ", ".join(filter(None, faults))


def lived(agent: Process, stage: Stage, fault: Fault) -> Result:
    """Let an agent live through a fault."""
    assert seen_again(agent, 30) is not None, agent.said()
    sessions, answers = 0, []
    with fault.breaks(stage):
        start = time.monotonic()
        while time.monotonic() - start < LASTS:
            answers.append(scraped(agent, start))
            sessions = max(sessions, len(stage.server.backends()))
            time.sleep(PAUSE)
    return Result(fault, answers, sessions, seen_again(agent, fault.within))


def seen_again(agent: Process, within: float) -> float | None:
    """Return the seconds until pg_up is 1, None when that takes too long."""
    start = time.monotonic()
    while (took := time.monotonic() - start) <= within:
        if scraped(agent, start).up == 1:
            return took
        time.sleep(PAUSE)
    return None


def all_of_them(make: Callable[[Stage, Path | None], Process], only: str) -> list[Result]:
    """Return how an agent lives through each of the faults, restarted before each."""
    results = []
    authority = trustme.CA()
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        authority.cert_pem.write_to_path(str(root := folder / "root.pem"))
        server = opened.enter_context(Server(16, {"max_connections": "20", "restore_command": "false"}))
        servers.prepare(server)
        with server.connect() as admin:
            admin.execute(f"ALTER ROLE monitor PASSWORD '{PASSWORD}'")
        for faults, tls in ((FAULTS, None), (TLS_FAULTS, root)):
            if tls:
                opened.enter_context(encrypted(server, authority.issue_cert("127.0.0.1")))
            for fault in (f for f in faults if only in f.name):
                with Proxy(server.host, server.port) as proxy:
                    stage = Stage(server, proxy, authority)
                    with make(stage, tls) as agent:
                        results.append(lived(agent, stage, fault))
                        print(fault.name, results[-1].verdict, file=sys.stderr, flush=True)
    return results


def pgmon(stage: Stage, root: Path | None) -> Process:
    """Return pgmon before a stage."""
    tls = {"sslmode": "verify-full", "sslrootcert": root} if root else {}
    return Process(stage.server.dsn("monitor", port=stage.proxy.port, password=PASSWORD, **tls), environ=EVERY_SECOND)


_survived, _patiently = attrgetter("survived"), attrgetter("patiently")


def table(ours: Sequence[Result], theirs: Sequence[Result]) -> str:
    """Return the two side by side, as Markdown."""
    lines = [
        "| Fault | | pgmon | slowest | sessions | back | postgres_exporter | slowest | sessions | back |",
        "|---|---|---|--:|--:|--:|---|--:|--:|--:|",
    ]
    for us, them in zip(ours, theirs, strict=True):
        cells = [us.fault.number, us.fault.name]
        for r in (us, them):
            back = "–" if r.recovered is None else f"{r.recovered:.1f} s"
            cells += [r.verdict, f"{r.slowest:.2f} s", str(r.sessions), back]
        lines.append(f"| {' | '.join(cells)} |")
    strict, lenient = ([sum(map(by, results)) for results in (ours, theirs)] for by in (_survived, _patiently))
    lines += ["", f"Survived, of {len(ours)}: pgmon {strict[0]}, postgres_exporter {strict[1]}."]
    lines += [f"With ten seconds for an answer, as Prometheus gives by default: {lenient[0]} and {lenient[1]}."]
    return "\n".join(lines)


def main() -> None:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--exporter", required=True, help="path of postgres_exporter")
    parser.add_argument("--only", default="", help="faults whose name has this word")
    given = parser.parse_args()
    makers = (pgmon, lambda stage, root: Exporter(given.exporter, stage, root))
    STALLS.start()
    with ThreadPoolExecutor(2) as pool:
        ours, theirs = pool.map(lambda make: all_of_them(make, given.only), makers)
    print(table(ours, theirs))


if __name__ == "__main__":
    main()
