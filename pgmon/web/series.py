"""Numbers over the last hour, out of the samples that the agent keeps."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from pgmon.feature import Feature
from pgmon.history import SPAN
from pgmon.rates import per_second
from pgmon.web.view import View

Pick = Callable[[Sequence[Any]], float | None]
Point = tuple[float, float | None]  # monotonic time, value

POINTS = 120  # drawn at most
MISSED = 1.5  # steps without a reading after which nothing is known


def values(view: View, feature: Feature[Any, Any], pick: Pick) -> list[Point]:
    """Return a number of every sample."""
    return [(s.taken, pick(s.rows)) for s in view.agent.history.of(feature)]


def rates(view: View, feature: Feature[Any, Any], pick: Pick) -> list[Point]:
    """Return the growth per second of a counter between samples; None where it began anew."""
    found: list[Point] = []
    for a, b in pairwise(view.agent.history.of(feature)):
        before, now = pick(a.rows), pick(b.rows)
        same = a.incarnation == b.incarnation
        rate = per_second(now, before, b.taken - a.taken) if same and now is not None else None
        found.append((b.taken, rate))
    return found


def drawn(points: Sequence[Point], now: float, every: float) -> list[float | None]:
    """Return the points at even distances from the first one, or an hour ago, to now; None where two were missed.

    >>> drawn([(0, 1.0), (10, 2.0), (40, 5.0)], 42, 10)
    [1.0, 2.0, 2.0, None, 5.0]
    """
    first = next((at for at, value in points if value is not None), None)
    if first is None:
        return []
    start = max(first, now - SPAN)
    step = max(every, (now - start) / POINTS)
    places = [start + n * step for n in range(int((now - start) / step + 0.5) + 1)]
    found = [_near(points, place, step) for place in places]
    if found[-1] is None and now - points[-1][0] <= 2 * every:
        found.pop()  # the next one is not due yet
    return found


def _near(points: Sequence[Point], place: float, step: float) -> float | None:
    """Return the latest value up to half a step after a place, if it is not much older than a step."""
    n = bisect_right(points, place + step / 2, key=lambda point: point[0])
    return points[n - 1][1] if n and place - points[n - 1][0] <= MISSED * step else None
