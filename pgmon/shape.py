"""Whether what a statement returned is what its row declares, names and types."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar, get_type_hints

from pgmon.errors import Kind, QueryError

Described = Sequence[tuple[str, int]]  # columns: name and type OID
R = TypeVar("R")

LENGTHS = ("seconds", "age")  # how the name of a column ends that is a length of time

OIDS: Mapping[Any, frozenset[int]] = {
    bool: frozenset({16}),
    int: frozenset({20, 21, 23}),
    float: frozenset({700, 701}),
    str: frozenset({25}),
    list[int]: frozenset({1005, 1007, 1016}),
    list[str]: frozenset({1009}),
    Sequence[str]: frozenset({1009}),
    Mapping[str, Sequence[str]]: frozenset({114, 3802}),
}


def check(name: str, row: type, described: Described) -> None:
    """Raise QueryError when the columns of sql/<name> are not the fields of `row`, in order.

    A type that Python would take for another one counts: a numeric must never become a Decimal in JSON.
    """
    expected = _fields(row)
    described = [(name.replace(" ", "_").lower(), oid) for name, oid in described]  # EXPLAIN's column is "QUERY PLAN"
    names = [name for name, _ in described]
    if names != list(expected):
        raise QueryError(Kind.BUG, f"sql/{name}: the columns are {names}, {row.__name__} has {list(expected)}")
    for column, oid in described:
        if oid not in expected[column]:
            raise QueryError(Kind.BUG, f"sql/{name}: {column} has a type (oid {oid}) that {row.__name__} does not")


def rows(row: Callable[..., R], described: Described, records: Iterable[Sequence[Any]]) -> list[R]:
    """Return records as rows. A length of time below 0 is 0: the server's clock was set back meanwhile.

    >>> rows(lambda seconds: seconds, [("idle_seconds", 701)], [(-2.5,), (None,)])
    [0.0, None]
    """
    lengths = [name.endswith(LENGTHS) and oid in OIDS[float] for name, oid in described]
    return [
        row(*(max(v, 0.0) if long and v is not None else v for v, long in zip(r, lengths, strict=True)))
        for r in records
    ]


@functools.cache
def _fields(row: Any) -> dict[str, frozenset[int]]:
    """Return the type OIDs that each field of a row may come as."""
    return {name: _oids(hint) for name, hint in get_type_hints(row).items() if not name.startswith("_")}


def _oids(hint: Any) -> frozenset[int]:
    if isinstance(hint, types.UnionType):
        hint = next(arm for arm in hint.__args__ if arm is not types.NoneType)
    return OIDS[hint]
