"""Growth of cumulative counters, and who stays in a Top-N."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Hashable, Sequence
from typing import TypeVar

T = TypeVar("T")

Trail = tuple[tuple[float, float], ...]  # when in seconds, and what was read then
SAMPLES = 60  # of a trail at most


def grown(now: float, before: float | None) -> float:
    """Return how much a counter grew; after a reset or an eviction that is what it counts now.

    >>> grown(150, 100), grown(3, 100), grown(7, None)
    (50, 3, 7)
    """
    return now if before is None or now < before else now - before


def per_second(now: float, before: float | None, elapsed: float) -> float | None:
    """Return the rate per second, or None on the first reading or after a reset.

    >>> per_second(150, 100, 10)
    5.0
    >>> per_second(3, 100, 10) is None
    True
    """
    if before is None or now < before or elapsed <= 0:
        return None
    return (now - before) / elapsed


def recent(trail: Trail, at: float, value: float, window: float) -> Trail:
    """Return the trail with a value more: those of the last window, and the last one before it.

    >>> recent(((0.0, 9), (100.0, 8), (500.0, 7)), 800.0, 6, 600.0)
    ((100.0, 8), (500.0, 7), (800.0, 6))
    """
    longer = (*trail, (at, value))
    older = [i for i, (then, _) in enumerate(longer) if at - then >= window]
    lately = longer[older[-1] if older else 0 :]
    return lately if len(lately) <= SAMPLES else (*lately[:-1:2], lately[-1])  # thinner, and as long


def followed(trail: Trail, elapsed: float, value: float, window: float) -> Trail:
    """Return the trail with a value more, read so many seconds after the previous one; the first is at 0 s.

    >>> followed(((0.0, 9),), 60.0, 7, 600.0)
    ((0.0, 9), (60.0, 7))
    """
    return recent(trail, trail[-1][0] + elapsed if trail else 0.0, value, window)


def increase(trail: Trail) -> float:
    """Return how much a counter grew over a trail; after a reset that is what it counts now.

    >>> increase(((0.0, 4), (60.0, 9)))
    5
    """
    return grown(trail[-1][1], trail[0][1])


def sticky(
    rows: Sequence[T],
    key: Callable[[T], Hashable],
    by: Sequence[Callable[[T], float]],
    members: Collection[Hashable],
    n: int,
    first: Callable[[T], bool] = lambda row: False,
) -> list[T]:
    """Return the `n` best rows by any of the orders; a member counts at half its rank, so it leaves late.

    Whatever its rank, a row that is `first` (as it violates a rule) comes before those that are not. Equals share the
    last of their ranks: where nobody reads blocks, nobody is first by it.

    >>> sticky("abcd", str, [lambda c: -ord(c)], {"c"}, 2)
    ['a', 'c']
    >>> sticky("abcd", str, [lambda c: -ord(c)], {"c"}, 2, lambda c: c == "d")
    ['d', 'a']
    >>> sticky("abcd", str, [ord, lambda c: 0], {}, 2)
    ['d', 'c']
    """
    best: dict[Hashable, float] = {}
    for order in by:
        values = sorted(map(order, rows))
        for r in rows:
            rank = len(rows) - bisect_left(values, order(r))
            weighed = rank / 2 if key(r) in members else rank
            best[key(r)] = min(best.get(key(r), weighed), weighed)
    return sorted(rows, key=lambda r: (not first(r), best[key(r)]))[:n]
