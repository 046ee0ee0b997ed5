"""Windows in which nothing is sent: when a line of cron last came true."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from pgmon.config import Maintenance

LIMITS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def _numbers(field: str, low: int, high: int) -> Iterator[int]:
    """Yield what a field of cron stands for: `*`, numbers, ranges and steps in a list."""
    for part in field.split(","):
        span, _, step = part.partition("/")
        start, _, end = (f"{low}-{high}" if span == "*" else span).partition("-")
        last = int(end) if end else high if step else int(start)
        yield from range(int(start), last + 1, int(step or 1))


@dataclass(frozen=True, slots=True)
class Line:
    """A line of cron, in UTC."""

    text: str

    def last(self, now: datetime, within: timedelta) -> datetime | None:
        """Return when it last came true, None if not `within` that time.

        >>> Line("30 2 * * 0").last(datetime(2026, 1, 5, tzinfo=UTC), timedelta(days=7)).isoformat()
        '2026-01-04T02:30:00+00:00'
        """
        minutes, hours, *_ = self._fields()
        for back in range(within.days + 2):
            day = now.date() - timedelta(days=back)
            if self._on(day):
                times = (datetime.combine(day, time(h, m), UTC) for h in sorted(hours) for m in sorted(minutes))
                if past := [at for at in times if at <= now]:
                    return past[-1] if now - past[-1] < within else None
        return None

    def _fields(self) -> list[set[int]]:
        return [set(_numbers(f, *limits)) for f, limits in zip(self.text.split(), LIMITS, strict=True)]

    def _on(self, day: date) -> bool:
        """Tell whether it is for that day; as in cron, day and weekday are alternatives where both are limited."""
        _, _, days, months, weekdays = self._fields()
        free = [field.startswith("*") for field in self.text.split()]
        by_day, by_weekday = day.day in days, bool({day.isoweekday(), day.isoweekday() % 7} & weekdays)
        fits = by_day and by_weekday if free[2] or free[4] else by_day or by_weekday
        return day.month in months and fits


def is_maintenance(windows: Sequence[Maintenance], wall: float) -> bool:
    """Tell whether any of the windows is open at a time in seconds since 1970."""
    now = datetime.fromtimestamp(wall, UTC)
    return any(Line(w.cron).last(now, timedelta(seconds=w.duration)) is not None for w in windows)
