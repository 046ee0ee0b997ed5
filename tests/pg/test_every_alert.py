"""Every rule of the catalogue fires in an incident on real servers."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from chaos import rule_meant
from pgmon.features import FEATURES

# Name and word of a rule that no incident can let fire → why not.
NEVER: dict[tuple[str, ...], str] = {}


def loaded(name: str) -> ModuleType:
    """Return a module of tests that stands beside this one."""
    spec = spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def declared(module: ModuleType) -> Iterator[tuple[str, ...]]:
    """Yield what the tests of a module are marked with, and the cases of those that have several."""
    for test in vars(module).values():
        for mark in getattr(test, "pytestmark", ()) if callable(test) else ():
            cases = mark.args[1] if mark.name == "parametrize" else ()
            marks = [mark, *(m for case in cases for m in getattr(case, "marks", ()))]
            yield from (m.args for m in marks if m.name == "alert")


@pytest.fixture(scope="module")
def shown() -> list[tuple[str, ...]]:
    """Return what tests let fire; that it does, conftest.py sees."""
    return [mark for name in ("test_alerts", "test_chaos") for mark in declared(loaded(name))]


def test_every_rule_fires_in_an_incident_or_it_is_said_why_none_can_let_it(shown):
    known = [rule_meant(*words)[1] for words in (*shown, *NEVER)]

    assert [(f.name, rule.name, rule.when) for f in FEATURES for rule in f.rules if rule not in known] == []


def test_no_rule_of_which_it_is_said_that_none_can_has_one(shown):
    assert not NEVER.keys() & set(shown)
