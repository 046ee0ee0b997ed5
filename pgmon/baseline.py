"""What is usual for a rate: its mean and deviation, and its peaks by the hour of the day.

What counts as usual is at least two hours old, so that a surge is measured against what was before it, and a new habit
becomes usual. Peaks are kept by the hour, as a nightly batch lies far off the mean every night.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from pgmon.rates import Trail, followed, grown

HOUR, DAY, WEEK = 3600.0, 86400.0, 7 * 86400.0
LAG = 2 * HOUR
AROUND = (-2, -1, 0, 1)  # hours that count as the same time of the day: those of the last two hours, and the next
LEAST = 1.0  # per second: a rate that never was anything else than 0 deviates by 0


@dataclass(frozen=True, slots=True)
class Baseline:
    """What was learned so far, and what waits to be learned. Times are seconds since the first reading."""

    trail: Trail = ()  # what was counted in the last window
    waiting: Trail = ()  # rates of the windows of the last two hours
    learned: float = 0.0  # seconds, until the latest window that is learned
    windows: float = 0.0  # of them, a week at most
    mean: float = 0.0
    variance: float = 0.0
    peaks: tuple[float, ...] = (0.0,) * 24

    def followed(self, counted: float, elapsed: float, window: float) -> Baseline:
        """Return the baseline after a reading of a counter, so many seconds after the previous one."""
        seen = replace(self, trail=followed(self.trail, elapsed, counted, window))
        now, rate = seen.trail[-1][0], seen.rate(window)
        if rate is None or (self.waiting and now - self.waiting[-1][0] < window):
            return seen
        usual = [(at, r) for at, r in self.waiting if now - at >= LAG]
        for at, r in usual:
            seen = seen._learn(at, r, window)
        return replace(seen, waiting=(*self.waiting[len(usual) :], (now, rate)))

    def rate(self, window: float) -> float | None:
        """Return the rate over the last window, None when it was not seen as a whole."""
        (start, first), (end, last) = self.trail[0], self.trail[-1]
        return grown(last, first) / (end - start) if end - start >= window else None

    def _learn(self, at: float, rate: float, window: float) -> Baseline:
        """Return the baseline with a window more; what is a week old has faded."""
        n, hour = min(self.windows + 1, WEEK / window), int(at % DAY // HOUR)
        off = rate - self.mean
        peak = max(self.peaks[hour] * 0.5 ** (window / HOUR / 7), rate)  # halved in a week: an hour comes once a day
        return replace(
            self,
            learned=at,
            windows=n,
            mean=self.mean + off / n,
            variance=(1 - 1 / n) * (self.variance + off * off / n),
            peaks=(*self.peaks[:hour], peak, *self.peaks[hour + 1 :]),
        )

    def deviations(self, window: float) -> float | None:
        """Return by how many σ the rate is above the mean, or above the peaks around this hour of the day.

        None while less than a day is learned.
        """
        rate = self.rate(window)
        if rate is None or self.learned < DAY:
            return None
        hour = int(self.trail[-1][0] % DAY // HOUR)
        expected = max(self.mean, *(self.peaks[(hour + near) % 24] for near in AROUND))
        return (rate - expected) / max(math.sqrt(self.variance), LEAST)

    def times_mean(self, window: float) -> float | None:
        """Return the rate as a multiple of the mean; None while less than a day is learned."""
        rate = self.rate(window)
        return None if rate is None or self.learned < DAY else rate / max(self.mean, LEAST)
