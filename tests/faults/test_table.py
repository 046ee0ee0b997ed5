"""Every fault is accounted for: a test lives through it, or the table says why there is none."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import breaking
from fault_table import FAULTS, STRUCK

SLOW = "pytest.mark.slow"
TESTS = Path(__file__).parent.parent


def marked(path: Path) -> Iterator[str]:
    """Yield the numbers that a file of tests names in `pytest.mark.fault(…)`, but for those of slow tests."""
    tree = ast.parse(path.read_text())
    if f"pytestmark = {SLOW}" in map(ast.unparse, tree.body):
        return
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    slow = {node for f in functions if SLOW in map(ast.unparse, f.decorator_list) for node in ast.walk(f)}
    for node in ast.walk(tree):
        if node not in slow and isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.fault":
            yield from (argument.value for argument in node.args if isinstance(argument, ast.Constant))


@pytest.fixture(scope="module")
def tested() -> set[str]:
    """Return every number that a test of tests/run has, whichever tests are run now."""
    made = {fault.number for fault in (*breaking.FAULTS, *breaking.TLS_FAULTS)}
    return made | {number for path in TESTS.glob("*/test_*.py") for number in marked(path)}


def test_there_are_94_faults():
    assert list(FAULTS) == [f"F{n:02}" for n in range(1, 95)]


def test_every_fault_has_a_test_or_a_reason(tested):
    assert sorted(FAULTS.keys() - tested - STRUCK.keys()) == []


def test_no_fault_that_was_struck_out_has_a_test(tested):
    assert sorted(STRUCK.keys() & tested) == []


def test_every_number_is_that_of_a_fault(tested):
    assert sorted((tested | STRUCK.keys()) - FAULTS.keys()) == []
