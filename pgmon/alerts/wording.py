"""What an alert says: templates of ours, filled with values of others that arrive as text."""

from __future__ import annotations

from collections.abc import Mapping
from string import Formatter
from typing import Any

from pgmon.redact import plain

UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def duration(seconds: float) -> str:
    """Return a duration in its two greatest units.

    >>> duration(42.4), duration(150), duration(93784)
    ('42 s', '2 min 30 s', '1 d 2 h')
    """
    left, parts = round(max(seconds, 0)), []
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        n, left = divmod(left, length)
        parts.append(f"{n} {unit}" if n else "")
    first = next((i for i, part in enumerate(parts) if part), len(parts) - 1)
    return " ".join(part for part in parts[first : first + 2] if part) or "0 s"


def size(amount: float) -> str:
    """Return an amount of bytes.

    >>> size(999), size(10737418240)
    ('999 B', '10 GiB')
    """
    power = 0
    while abs(amount) >= 1024 and power < len(UNITS) - 1:
        amount, power = amount / 1024, power + 1
    return f"{amount:.4g} {UNITS[power]}"


def literal(text: str) -> str:
    """Return a name as an SQL literal: whoever pastes it runs nothing that is in it.

    >>> literal("it's")
    "'it''s'"
    """
    return "'" + text.replace("'", "''") + "'"


class _Words(Formatter):
    """str.format with three formats more, `duration`, `bytes` and `literal`; None is `?`, a text is one line.

    Any other format of a text is what goes before it, unless it is empty.
    """

    def get_value(self, key: int | str, args: Any, kwargs: Mapping[str, Any]) -> Any:
        return getattr(args[0], str(key), None)  # no alert is lost for want of a word

    def format_field(self, value: Any, format_spec: str) -> str:
        if value is None:
            return "?"
        if isinstance(value, str):
            text = plain(value)
            return literal(text) if format_spec == "literal" else format_spec + text if text else ""
        made = {"duration": duration, "bytes": size}.get(format_spec)
        return made(value) if made else str(format(value, format_spec))


def worded(template: str, row: object) -> str:
    """Fill a template with the fields of a row.

    >>> from types import SimpleNamespace
    >>> worded("{pid} for {age:duration}: {query}", SimpleNamespace(pid=7, age=150.0, query="a\\n{{7*7}}"))
    '7 for 2 min 30 s: a {{7*7}}'
    >>> row = SimpleNamespace(held="r1", kept="")
    >>> worded("{held:, held by }{kept:, kept by }", row)
    ', held by r1'
    """
    return _Words().vformat(template, (row,), {})
