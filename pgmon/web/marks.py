"""The marks: bar, stack, spark and strip. Pure functions from numbers to SVG.

Geometry is in presentation attributes, colour in pgmon.css: nothing here needs an inline style. What is not known is
hatched, whatever the mark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup, escape

HATCH = "url(#hatch)"
WIDTH = 120  # of a sparkline, in its own units
TRACK = Markup('<rect class="t" width="100%" height="100%"/>')


def short(x: float) -> str:
    """Return a coordinate with at most one decimal.

    >>> short(2.0), short(66.66), short(0.04)
    ('2', '66.7', '0')
    """
    return f"{x:.1f}".rstrip("0").rstrip(".") or "0"


def ticks(marks: Sequence[float]) -> Markup:
    """Return the marks of limits: of several the last one, the graver, stands out of the bar."""
    if not marks:
        return Markup()
    minor = [Markup('<rect class="m" x="{}%" width="1" height="100%"/>').format(short(x)) for x in marks[:-1]]
    grave = Markup('<rect class="m" x="{}%" y="-3" width="1.5" height="14"/>').format(short(marks[-1]))
    return Markup().join([*minor, grave])


def bar(share: float | None, marks: Sequence[float] = (), state: str = "") -> Markup:
    """Return a bar filled to `share` percent, with the marks of its limits; None is not known."""
    if share is None:
        hatched = Markup('<svg class="bar" aria-hidden="true"><rect fill="{}" width="100%" height="100%"/></svg>')
        return hatched.format(HATCH)
    filled = short(max(0.0, min(share, 100.0)))
    return Markup('<svg class="{}" aria-hidden="true">{}<rect class="f" width="{}%" height="100%"/>{}</svg>').format(
        f"bar {state}".strip(), TRACK, filled, ticks(marks)
    )


def stack(parts: Iterable[tuple[float, str]], marks: Sequence[float] = ()) -> Markup:
    """Return a stacked bar of (percent, class)."""
    drawn, x = [], 0.0
    for percent, kind in parts:
        part = Markup('<rect class="{}" x="{}%" width="{}%" height="100%"/>')
        drawn.append(part.format(kind, short(x), short(percent)))
        x += percent
    whole = Markup('<svg class="bar" aria-hidden="true">{}{}{}</svg>')
    return whole.format(TRACK, Markup().join(drawn), ticks(marks))


def spark(values: Sequence[float | None], label: str, limit: float | None = None, height: int = 36) -> Markup:
    """Return a sparkline; a run of None is hatched. `label` says in words what it shows."""
    seen = [v for v in values if v is not None]
    if len(seen) < 2:
        return Markup()
    reach = [*seen, *([limit] if limit is not None and limit < 3 * max(seen) else [])]  # a far limit flattens the line
    low, high = min(reach), max(reach)
    low, high = (low, high) if high > low else (low - 1, high + 1)

    def y(value: float) -> str:
        return short(height - 3 - (value - low) / (high - low) * (height - 6))

    def x(place: float) -> str:
        return short(place * WIDTH / (len(values) - 1))

    drawn = [
        Markup('<rect fill="{}" x="{}" width="{}" height="{}"/>').format(HATCH, x(a), x(b - a), height)
        for a, b in _holes(values)
    ]
    if limit is not None and limit in reach:
        drawn.append(Markup('<path class="m" d="M0 {}H{}"/>').format(y(limit), WIDTH))
    drawn.append(Markup('<path d="{}"/>').format(_line(values, x, y)))
    if values[-1] is not None:
        drawn.append(Markup('<path class="e" d="M{} {}h0"/>').format(WIDTH, y(values[-1])))
    return Markup(
        '<svg class="spark" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
    ).format(WIDTH, height, label, Markup().join(drawn))


def _line(values: Sequence[float | None], x: Callable[[float], str], y: Callable[[float], str]) -> str:
    """Return the path through what is known; it lifts the pen over what is not."""
    steps, down = [], False
    for place, value in enumerate(values):
        if value is not None:
            steps.append(f"{'L' if down else 'M'}{x(place)} {y(value)}")
        down = value is not None
    return "".join(steps)


def _holes(values: Sequence[float | None]) -> Iterable[tuple[int, int]]:
    """Yield from where to where nothing is known."""
    known = [i for i, v in enumerate(values) if v is not None]
    edges = [(0, known[0]), *pairwise(known), (known[-1], len(values) - 1)]
    yield from ((a, b) for n, (a, b) in enumerate(edges) if b - a > (0 if n in (0, len(edges) - 1) else 1))


def hist(spans: Iterable[tuple[float, float]], state: str, label: str) -> Markup:
    """Return a line of time with spans of (start, width) in percent; none is too short to be seen."""
    drawn = Markup().join(
        Markup('<rect class="{}" x="{}%" width="{}%" height="100%"/>').format(
            {"crit": "sc", "warn": "sw"}.get(state, "s2"), short(min(x, 99.0)), short(max(width, 1.0))
        )
        for x, width in spans
    )
    return Markup('<svg class="bar" role="img" aria-label="{}">{}{}</svg>').format(label, TRACK, drawn)


@dataclass(frozen=True, slots=True)
class Slice:
    """One partition in a strip: place and width in percent of the axis, height as a share; what it is, in words."""

    x: float
    width: float
    share: float
    kind: str  # p: holds rows, a: ahead and empty, 'p now': takes the rows of now
    title: str


def strip(
    slices: Iterable[Slice],
    gaps: Iterable[Slice],
    now: float | None,
    labels: Iterable[tuple[float, str, str]],
    label: str,
    need: float | None = None,
    height: int = 46,
) -> Markup:
    """Return a timeline of partitions: gaps hatched, a line for now, and a mark where the future has to reach."""
    drawn = [
        Markup('<rect fill="{}" x="{}%" width="{}%" height="{}"><title>{}</title></rect>').format(
            HATCH, short(g.x), short(g.width), height, g.title
        )
        for g in gaps
    ]
    for s in slices:
        tall = height - 4 if s.kind == "a" else max(3.0, s.share * (height - 4))
        drawn.append(
            Markup('<rect class="{}" x="{:.2f}%" y="{}" width="{:.2f}%" height="{}"><title>{}</title></rect>').format(
                s.kind, s.x, short(height - tall), s.width, short(tall), s.title
            )
        )
    drawn.append(Markup('<rect class="x" y="{}" width="100%" height="1"/>').format(height))
    if need is not None:
        reach = Markup('<rect class="m" x="{:.2f}%" y="-3" width="1.5" height="{}"/>')
        drawn.append(reach.format(need, height + 6))
    if now is not None:
        line = Markup('<rect class="now" x="{:.2f}%" y="-8" width="1" height="{}"/>')
        drawn.append(line.format(now, height + 12))
    drawn += [
        Markup('<text x="{:.2f}%" y="{}" text-anchor="{}">{}</text>').format(x, height + 16, anchor, text)
        for x, anchor, text in labels
    ]
    return Markup('<svg class="strip" role="img" aria-label="{}">{}</svg>').format(escape(label), Markup().join(drawn))
