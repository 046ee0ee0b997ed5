"""Time that tests can replace."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


def _uptime() -> float:
    """Return seconds that also pass while the machine is suspended, unlike time.monotonic on Linux.

    With time.monotonic an hour of suspension would be no time at all, and the growth of an hour
    divided by nothing an absurd rate.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Clock:
    """Two readings: `monotonic` for due times, holds and elapsed seconds, `wall` for people."""

    monotonic: Callable[[], float] = _uptime if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic
    wall: Callable[[], float] = time.time
