"""The table of faults: which of them were survived, which are struck out, and why.

A test that shows how a fault is lived through carries its number, or the numbers of several:

    @pytest.mark.fault("F05")
    def test_a_listener_that_never_answers_is_given_up(...): ...

`tests/faults/faults.toml` names all of them, and the reason for each that has no test.
"""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

TABLE = tomllib.loads((Path(__file__).parent / "faults" / "faults.toml").read_text())
FAULTS: Mapping[str, str] = TABLE["faults"]  # number → what goes wrong
STRUCK: Mapping[str, str] = TABLE["struck"]  # number → why no test has it

WORST_FIRST = ("failed", "passed", "skipped")
CALLED = {"failed": "failing", "passed": "survived", "skipped": "skipped here"}


def tell(item: pytest.Item) -> None:
    """Write the numbers of a test's faults into its reports, which reach the summary from other processes, too."""
    item.user_properties += [("fault", number) for mark in item.iter_markers("fault") for number in mark.args]


class FaultTable:
    """A pytest plugin that prints the table when any of the tests had a fault to live through."""

    def __init__(self) -> None:
        self._outcomes: dict[str, set[str]] = defaultdict(set)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how a test ended; its preparation counts only when that went wrong."""
        if report.when == "call" or not report.passed:
            for name, number in report.user_properties:
                if name == "fault":
                    self._outcomes[str(number)].add(report.outcome)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print one line per fault, and how many there are of each kind."""
        if not self._outcomes:
            return
        rows = list(self._rows())
        terminalreporter.section("faults")
        for number, verdict, words in rows:
            terminalreporter.line(f"{number} {verdict:12} {words}")
        verdicts = [verdict for _, verdict, _ in rows]
        counted = ", ".join(f"{verdicts.count(v)} {v}" for v in (*CALLED.values(), "struck out") if v in verdicts)
        terminalreporter.line(f"{counted}, {len(FAULTS) - len(rows)} not run")

    def _rows(self) -> Iterator[tuple[str, str, str]]:
        for number, fault in FAULTS.items():
            if outcomes := self._outcomes.get(number):
                yield number, CALLED[next(o for o in WORST_FIRST if o in outcomes)], fault
            elif number in STRUCK:
                yield number, "struck out", f"{fault}: {STRUCK[number]}"
