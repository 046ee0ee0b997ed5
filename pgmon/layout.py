"""How the partitions of a table lie: what they cover, where there are gaps, how wide they are usually."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from statistics import median

from pgmon.bounds import Bound, Default, Interval, Range, Value, common, joined, moment, number

ALWAYS: list[Interval] = [(-math.inf, math.inf)]
RECENT = 12  # partitions that the usual width is learned from: calendar months have several


@dataclass(frozen=True, slots=True)
class Part:
    """A partition: its bound (None when that was not understood), its rows, and its own partitions if it has any."""

    bound: Bound | None
    rows: int
    below: Layout | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """A partition by range: from and until by the first column of the key."""

    start: float
    end: float
    bound: Range
    part: Part


@dataclass(frozen=True)
class Layout:
    """A partitioned table: strategy (r, l, h), typcategory of its first key column (None: expression), partitions."""

    strategy: str
    category: str | None
    parts: Sequence[Part]

    @cached_property
    def everything(self) -> Sequence[Layout]:
        """It and all partitioned tables below."""
        return [self, *(deeper for below in self.below for deeper in below.everything)]

    @property
    def below(self) -> Sequence[Layout]:
        """The partitioned tables right below."""
        return [part.below for part in self.parts if part.below]

    @cached_property
    def spans(self) -> Sequence[Span]:
        """The partitions by range in order; none where ranges are of neither times nor numbers.

        An expression may be of anything: its bounds tell.
        """
        read = {"D": moment, "N": number, None: moment}.get(self.category)
        found = []
        for part in self.parts:
            if read and isinstance(part.bound, Range):
                start, end = read(part.bound.lower[0]), read(part.bound.upper[0])
                if start is not None and end is not None:
                    found.append(Span(start, end, part.bound, part))
        return sorted(found, key=lambda s: ([_place(v) for v in s.bound.lower], s.end))

    @property
    def kind(self) -> str:
        """What its ranges are of: 'times', 'numbers', or '' for what has none or others."""
        unread = any(isinstance(part.bound, Range) for part in self.parts) and not self.spans
        if self.strategy != "r" or unread or (self.category is None and not self.spans):
            return ""
        return {"D": "times", "N": "numbers", None: "times"}.get(self.category, "")

    def coverage(self) -> list[Interval]:
        """Return the times for which rows have a partition other than DEFAULT; ALWAYS where time does not matter."""
        if self.kind == "times":
            parts = [(s.part.below.coverage() if s.part.below else ALWAYS, (s.start, s.end)) for s in self.spans]
            return joined(piece for whole, span in parts for piece in common(whole, [span]))
        found = ALWAYS
        for below in self._receiving():
            found = common(found, below.coverage())
        return found

    def _receiving(self) -> Sequence[Layout]:
        """Return the partitioned tables below that new rows may go to: of numbers the uppermost that has rows."""
        if self.kind != "numbers":
            return self.below
        return [s.part.below for s in self.spans if s.part.below and s.part.rows][-1:]

    def gaps(self, *kinds: str) -> list[Interval] | None:
        """Return what lies between two ranges of some kinds, of all levels; None where there are no such ranges."""
        layouts = [layout for layout in self.everything if layout.kind in kinds]
        found = [
            (a.end, b.start)
            for layout in layouts
            for a, b in pairwise(layout.spans)
            if [_place(v) for v in a.bound.upper] != [_place(v) for v in b.bound.lower]
        ]
        return found if layouts else None

    def ends(self, latest: float = math.inf) -> Iterator[float]:
        """Yield for each partition that holds rows the time before which all of them are; infinite where none is."""
        for part in self.parts:
            end = moment(part.bound.upper[0]) if self.kind == "times" and isinstance(part.bound, Range) else None
            limit = latest if end is None else min(latest, end)
            yield from part.below.ends(limit) if part.below else [limit]

    def width(self, end: float) -> float | None:
        """Return the usual width of the ranges of time that end at `end`, of those of any level when none does."""
        timed = [layout for layout in self.everything if layout.kind == "times"]
        ending = [layout for layout in timed if any(s.end == end for s in layout.spans)]
        return min((w for layout in ending or timed if (w := layout._usual()) is not None), default=None)

    def _usual(self) -> float | None:
        widths = [s.end - s.start for s in self.spans if s.start < s.end and not math.isinf(s.end - s.start)]
        return median(widths[-RECENT:]) if widths else None

    def empty_ahead(self) -> int | None:
        """Return how many empty ranges of numbers lie above the uppermost one with rows.

        None where there is no end, or where the first column is not the whole key.
        """
        if self.kind != "numbers" or not self.spans or math.isinf(self.spans[-1].end):
            return None
        if len(self.spans[-1].bound.lower) > 1:
            return None
        filled = [n for n, span in enumerate(self.spans, 1) if span.part.rows]
        return len(self.spans) - (filled[-1] if filled else 0)

    def default_rows(self, strategies: str) -> int | None:
        """Return the rows in DEFAULT partitions of tables of some strategies; None when there is no such partition."""
        rows = [
            part.rows
            for layout in self.everything
            if layout.strategy in strategies
            for part in layout.parts
            if isinstance(part.bound, Default)
        ]
        return sum(rows) if rows else None


def _place(value: Value) -> tuple[int, float, str]:
    """Return what orders the values of one column: numbers and times as such, the rest as texts."""
    for read in (number, moment):
        if (found := read(value)) is not None:
            return 0, found, ""
    return 1, 0.0, str(value)
