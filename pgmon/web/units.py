"""Numbers as people read them: three figures, the unit apart, the exact value beside it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

NBSP, THIN = "\u00a0", "\u202f"
SIZES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
COUNTS = ("", "k", "M", "bn", "tn")
WHOLE = 10_000  # counts below are written out

UNKNOWN = "–"


@dataclass(frozen=True, slots=True)
class Amount:
    """A number, its unit, and the exact value where these are rounded."""

    text: str
    unit: str = ""
    exact: str = ""

    def __str__(self) -> str:
        return f"{self.text}{NBSP}{self.unit}" if self.unit else self.text


def figures(x: float) -> str:
    """Return three figures, none after the point that says nothing.

    >>> figures(3.60), figures(41.27), figures(412.3), figures(0.1304), figures(0)
    ('3.6', '41.3', '412', '0.13', '0')
    """
    digits = 0 if abs(x) >= 100 else 1 if abs(x) >= 10 else 2
    if 0 < abs(x) < 0.01:
        return f"{x:.1g}" if abs(x) >= 0.001 else "< 0.001"
    text = f"{x:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def _scaled(x: float, base: float, units: tuple[str, ...]) -> tuple[str, str]:
    power = 0
    while abs(x) >= base * 0.9995 and power < len(units) - 1:
        x, power = x / base, power + 1
    return figures(x), units[power]


def count(n: float) -> Amount:
    """Return a count.

    >>> str(count(312)), str(count(4812)), str(count(1_204_331))
    ('312', '4\\u202f812', '1.2\\xa0M')
    """
    if float(n).is_integer() and abs(n) < WHOLE:
        return Amount(f"{int(n):,}".replace(",", THIN), exact=str(int(n)))
    if abs(n) < WHOLE:
        return Amount(figures(n) if abs(n) < 1000 else f"{n:,.0f}".replace(",", THIN), exact=repr(float(n)))
    return Amount(*_scaled(n, 1000, COUNTS), exact=f"{n:,.0f}")


def size(n: float) -> Amount:
    """Return an amount of bytes.

    >>> str(size(0)), str(size(432_013_312))
    ('0\\xa0B', '412\\xa0MiB')
    """
    return Amount(*_scaled(n, 1024, SIZES), exact=f"{n:,.0f} bytes")


def duration(seconds: float) -> str:
    """Return a duration in its two greatest units, the second of two digits.

    >>> [duration(s).replace(NBSP, " ") for s in (0, 0.00013, 0.0381, 1.05, 41.6, 62, 3720, 93784)]
    ['0 s', '0.13 ms', '38.1 ms', '1.05 s', '42 s', '1 m 02 s', '1 h 02 m', '1 d 2 h']
    >>> duration(1800).replace(NBSP, " ")
    '30 m'
    """
    if seconds < 0:
        return f"−{duration(-seconds)}"
    if seconds < 59.5:
        if 0 < seconds < 0.9995:
            return f"{figures(seconds * 1000)}{NBSP}ms"
        return f"{figures(seconds) if seconds < 10 else f'{seconds:.0f}'}{NBSP}s"
    whole = round(seconds)
    for unit, length, lesser, part in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if whole >= length:
            rest = whole % length // part
            digits = "" if unit == "d" else "02"
            return f"{whole // length}{NBSP}{unit}" + (f"{NBSP}{rest:{digits}}{NBSP}{lesser}" if rest else "")
    return f"{whole}{NBSP}s"


def age(seconds: float) -> str:
    """Return an age in words, in whole seconds.

    >>> age(6.4).replace(NBSP, " "), age(150).replace(NBSP, " ")
    ('6 s ago', '2 m ago')
    """
    whole = int(seconds)
    text = duration(whole) if whole < 60 or whole >= 3600 else f"{whole // 60}{NBSP}m"
    return f"{text} ago" if whole >= 1 else "now"


def share(ratio: float) -> Amount:
    """Return a ratio in percent.

    >>> str(share(0.634)), str(share(1))
    ('63.4\\xa0%', '100\\xa0%')
    """
    return Amount(f"{figures(round(ratio * 100, 1))}{NBSP}%", exact=repr(float(ratio)))


def amount(value: float, unit: str) -> Amount:
    """Return a number of a column's unit."""
    if unit == "seconds":
        return Amount(duration(value), exact=f"{value:.6g} s")
    if unit == "timestamp":
        at = datetime.fromtimestamp(value, UTC)
        return Amount(f"{at:%Y-%m-%d %H:%M}".replace(" ", NBSP), exact=f"{at:%Y-%m-%dT%H:%M:%SZ}")
    if unit == "bytes":
        return size(value)
    if unit == "ratio":
        return share(value)
    if unit == "percent":
        return Amount(f"{figures(round(value, 1))}{NBSP}%", exact=f"{value:.6g}")
    return count(value)
