"""The README's table of metrics, made from the catalogue: `python tests/readme.py` writes it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from pgmon.feature import Tier, columns
from pgmon.features import FEATURES

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- metrics: made by tests/readme.py -->\n", "<!-- end of metrics -->\n"
EVERY = {
    Tier.HOT_PATH: "15 s",
    Tier.WORKLOAD: "60 s",
    Tier.STORAGE: "10 min",
    Tier.HOURLY: "1 h",
    Tier.AGENT: "each scrape",
}


def table() -> str:
    """Return the table of all metrics, in the order of the catalogue."""
    head = ["| Metric | Type | Labels | Read | What it is |", "|---|---|---|---|---|"]
    return "\n".join([*head, *_lines()]) + "\n"


def _lines() -> Iterator[str]:
    for feature in FEATURES:
        found = columns(feature.row)
        labels = [name for name, column in found.items() if column.role == "label"]
        for column in found.values():
            if column.metric:
                shown = ", ".join(f"`{name}`" for name in labels) or "–"
                yield f"| `{column.metric}` | {column.role} | {shown} | {EVERY[feature.tier]} | {column.help} |"


def with_table(text: str) -> str:
    """Return the README's text with the table between its marks."""
    head, rest = text.split(BEGIN)
    return head + BEGIN + table() + END + rest.split(END)[1]


if __name__ == "__main__":
    sys.path.insert(0, str(README.parent))
    README.write_text(with_table(README.read_text(encoding="utf-8")), encoding="utf-8")
