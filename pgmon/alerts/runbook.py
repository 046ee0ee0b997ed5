"""What an alert means and what to paste: runbooks/<name>.md, prose and then indented lines."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "runbooks"


@dataclass(frozen=True, slots=True)
class Runbook:
    """What an alert means, and the lines to paste: a format string over the row, as the rule's message."""

    meaning: str
    paste: str


@cache
def runbook(name: str) -> Runbook:
    """Return the runbook of an alert; an empty one where there is none."""
    path = FOLDER / f"{name}.md"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    prose = [line for line in text.splitlines() if not line.startswith("    ")]
    lines = [line for line in text.splitlines() if line.startswith("    ")]
    return Runbook("\n".join(prose).strip(), textwrap.dedent("\n".join(lines)))
