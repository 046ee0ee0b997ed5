"""Bounds of partitions, as pg_get_expr(relpartbound, 0) spells them, and what intervals they make."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

Value = str | float | None  # a literal without its quotes; MINVALUE and MAXVALUE are infinite; None is NULL
Interval = tuple[float, float]  # from, until


@dataclass(frozen=True, slots=True)
class Range:
    """FROM (…) TO (…): one value per column of the key, the upper ones excluded."""

    lower: tuple[Value, ...]
    upper: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Values:
    """IN (…)."""

    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Hash:
    """WITH (modulus …, remainder …)."""

    modulus: int
    remainder: int


@dataclass(frozen=True, slots=True)
class Default:
    """DEFAULT: the rows that no other partition takes."""


Bound = Range | Values | Hash | Default

_VALUE = r"(?:'(?:[^']|'')*'|[^\s,()']+)(?:::[^,()']+)?"  # a cast was shown by no version seen
_TUPLE = rf"\(({_VALUE}(?:, {_VALUE})*)\)"
_RANGE = re.compile(rf"FOR VALUES FROM {_TUPLE} TO {_TUPLE}", re.DOTALL)
_VALUES = re.compile(rf"FOR VALUES IN {_TUPLE}", re.DOTALL)
_HASH = re.compile(r"FOR VALUES WITH \(modulus (\d+), remainder (\d+)\)")
_ONE = re.compile(_VALUE, re.DOTALL)
_WORDS: dict[str, Value] = {"MINVALUE": -math.inf, "MAXVALUE": math.inf, "NULL": None}


def parse(text: str) -> Bound | None:
    """Return the bound that a text spells, None for a text that is none.

    >>> parse("FOR VALUES FROM ('2026-01-01', MINVALUE) TO ('2026-02-01', MINVALUE)")
    Range(lower=('2026-01-01', -inf), upper=('2026-02-01', -inf))
    >>> parse("FOR VALUES IN ('it''s', 7, NULL)")
    Values(values=("it's", '7', None))
    """
    if text == "DEFAULT":
        return Default()
    if found := _RANGE.fullmatch(text):
        return Range(_tuple(found[1]), _tuple(found[2]))
    if found := _VALUES.fullmatch(text):
        return Values(_tuple(found[1]))
    if found := _HASH.fullmatch(text):
        return Hash(int(found[1]), int(found[2]))
    return None


def _tuple(text: str) -> tuple[Value, ...]:
    return tuple(_value(one) for one in _ONE.findall(text))


def _value(text: str) -> Value:
    if text.startswith("'"):
        return text[1 : text.rindex("'")].replace("''", "'")
    return _WORDS.get(text, text)


def moment(value: Value) -> float | None:
    """Return a date or time as seconds since 1970, without an offset in UTC; None for what is none.

    Infinite is what PostgreSQL calls so, and what lies outside of the years that Python knows.

    >>> moment("1970-01-02"), moment("1970-01-01 01:00:00+00"), moment("infinity"), moment("44-03-15 BC")
    (86400.0, 3600.0, inf, -inf)
    """
    if not isinstance(value, str):
        return value
    if value.endswith(("infinity", " BC")):
        return math.inf if value == "infinity" else -math.inf
    if re.match(r"\d{5,}-", value):
        return math.inf
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() if "-" in value else None  # 20260101 is a number


def number(value: Value) -> float | None:
    """Return a number, whole if it is; None for what is none.

    >>> number("9007199254740993"), number("-1.5"), number("a")
    (9007199254740993, -1.5, None)
    """
    if not isinstance(value, str):
        return value
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            pass
    return None


def joined(intervals: Iterable[Interval]) -> list[Interval]:
    """Return intervals in order, those that touch made one.

    >>> joined([(3, 4), (1, 2), (2, 3), (6, 7)])
    [(1, 4), (6, 7)]
    """
    found: list[Interval] = []
    for start, end in sorted(intervals):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((start, end))
    return found


def common(a: Sequence[Interval], b: Sequence[Interval]) -> list[Interval]:
    """Return what lies in both.

    >>> common([(1, 4), (6, 9)], [(2, 7)])
    [(2, 4), (6, 7)]
    """
    both = ((max(x[0], y[0]), min(x[1], y[1])) for x in a for y in b)
    return joined((start, end) for start, end in both if start < end)


def until(intervals: Sequence[Interval], now: float) -> float:
    """Return the end of the interval that has `now` in it; `now` when there is none.

    >>> until([(1, 4), (6, 9)], 2), until([(1, 4), (6, 9)], 5)
    (4, 5)
    """
    return next((end for start, end in intervals if start <= now < end), now)
