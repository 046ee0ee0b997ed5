"""A quantile where only counts, means and standard deviations are known."""

from __future__ import annotations

import math
from collections.abc import Sequence

LEAST_CALLS = 20  # fewer say nothing about a 95th percentile
STEPS = 50  # bisections of the logarithm's range: far below a microsecond of error


def mixture(parts: Sequence[tuple[float, float, float]], q: float) -> float | None:
    """Return the `q` quantile, in seconds, of parts (calls, mean, stddev), None under 20 calls.

    Each part is taken for a log-normal distribution with its mean and deviation; the answer is the x at which the
    call-weighted sum of their distribution functions reaches `q`. Estimate / truth by the server's log is 0.94 to 1.08
    on four loads, but 0.5 for a single statement that takes either 2 or 50 ms (docs/latency.md): hence "estimated".

    >>> round(mixture([(1000, 0.010, 0.0)], 0.95), 4)
    0.01
    >>> mixture([(19, 0.010, 0.0)], 0.95) is None
    True
    """
    calls = sum(n for n, _, _ in parts)
    if calls < LEAST_CALLS:
        return None
    logs = [(n, *_log_normal(mean, stddev)) for n, mean, stddev in parts]
    low, high = min(m - 9 * s for _, m, s in logs), max(m + 9 * s for _, m, s in logs)
    for _ in range(STEPS):
        middle = (low + high) / 2
        below = sum(n * (1 + math.erf((middle - m) / (s * math.sqrt(2)))) for n, m, s in logs) / 2
        low, high = (middle, high) if below < q * calls else (low, middle)
    return math.exp(high)


def _log_normal(mean: float, stddev: float) -> tuple[float, float]:
    """Return mu and sigma of the log-normal distribution with a mean and a standard deviation."""
    mean = max(mean, 1e-9)
    variance = math.log1p((stddev / mean) ** 2)
    return math.log(mean) - variance / 2, max(math.sqrt(variance), 1e-6)
