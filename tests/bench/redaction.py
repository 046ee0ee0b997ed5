"""A million texts through the redaction: as they are, cut off anywhere, and mutated.

    PYTHONPATH=.:tests python tests/bench/redaction.py [TEXTS [SEED]]

A mark stands in what is to be hidden. Where a mutation took it out of there, PostgreSQL's own scanner has the last
word: the mark may be shown only where that reads it as part of a name. Some texts no scanner reads (0x/): nobody can
tell what was hidden in them, and they are counted apart.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from contextlib import suppress

from pglast import parser

from pgmon.redact import SHOWN, redact

MARK = "Ж"
QUIET = ["SELECT a", "x.y", "$1", "||", "(", ")", ",", ";", "=", "12.5", "a$b$", "E", "U&", '"O\'Hara"', "'it''s'"]
ODD = [
    "'",
    '"',
    "\\",
    "$",
    "$$",
    "$a$",
    "/*",
    "*/",
    "--",
    "\n",
    "\r",
    "''",
    "E'",
    "U&'",
    "b'",
    ";",
    "SET a =",
    "é",
    "0x",
    ".",
]
ENDS = ["", "'", '"', "*/", "*/*/", "$$", "$a$", "$ä_1$", "\\'"]  # what a text that was cut off may lack
HIDING = [
    lambda inside: "'{}'".format(inside.replace("'", "''")),
    lambda inside: "U&'{}'".format(inside.replace("'", "''")),
    lambda inside: "E'{}'".format(inside.replace("\\", "\\\\").replace("'", "\\'")),
    lambda inside: "$${}$$".format(inside.replace("$", "")),
    lambda inside: "$ä_1${}$ä_1$".format(inside.replace("$", "")),
    lambda inside: "/*{0}/*{0} ***/{0}**/".format(inside.replace("*", "")),
    lambda inside: "--{}\n".format(inside.replace("\n", "").replace("\r", "")),
    lambda inside: f"; SET a = {MARK}",
    lambda inside: f"; ALTER ROLE {MARK} PASSWORD {MARK}",
    lambda inside: f"; CREATE SERVER {MARK} OPTIONS (a {MARK})",
]


def inside(chance: random.Random) -> str:
    """Return what is to be hidden, with the mark somewhere."""
    parts = [chance.choice(ODD + QUIET) for _ in range(chance.randrange(4))]
    parts.insert(chance.randrange(len(parts) + 1), MARK)
    return "".join(parts)


def whole(chance: random.Random) -> str:
    """Return a text that hides the mark."""
    before = " ".join(chance.choice(QUIET) for _ in range(chance.randrange(6)))
    after = "".join(chance.choice(QUIET + ODD) for _ in range(chance.randrange(4)))
    return f"{before} {chance.choice(HIDING)(inside(chance))}{after}"


def mutated(chance: random.Random, text: str) -> str:
    """Return the text with up to three pieces put in, taken out or doubled."""
    for _ in range(chance.randrange(1, 4)):
        at, end = sorted(chance.randrange(len(text) + 1) for _ in range(2))
        put_in = text[:at] + chance.choice(ODD) + text[at:]
        text = chance.choice([put_in, text[:at] + text[min(end, at + 3) :], text[:end] + text[at:]])
    return text


def readings(text: str) -> list[bool]:
    """Return, for each end with which PostgreSQL reads the text, whether the mark is part of a name in it."""
    found = []
    for end in ENDS:
        with suppress(parser.ParseError):
            tokens = parser.scan(text + end)
            names = (text[token.start : token.end + 1] for token in tokens if token.name in ("IDENT", "UIDENT"))
            found.append(any(MARK in name for name in names))
    return found


def verdict(kind: str, text: str, shown: str) -> str:
    """Return hidden, name, unreadable or leaked."""
    if MARK not in shown:
        return "hidden"
    if kind != "mutated":
        return "leaked"
    read = readings(text)
    return "name" if any(read) else "leaked" if read else "unreadable"


def main(texts: int = 1_000_000, seed: int = 1) -> int:
    """Print what was tried and what came through; return the number of marks that should not have."""
    chance, counted = random.Random(seed), Counter()
    for _ in range(texts):
        text, kind = whole(chance), chance.choice(["whole", "cut", "mutated"])
        if kind == "cut":
            text = text[: chance.randrange(len(text) + 1)]
        elif kind == "mutated":
            text = mutated(chance, text)
        shown = redact(text)
        assert len(shown) <= SHOWN, repr(text)
        assert shown == " ".join(shown.split()), repr(text)
        told = verdict(kind, text, shown)
        counted[f"{kind} {told}"] += 1
        if told == "leaked":
            print(f"{kind}: {text!r} → {shown!r}")
    print("\n".join(f"{n:9,} {what}" for what, n in sorted(counted.items())))
    return sum(n for what, n in counted.items() if what.endswith("leaked"))


if __name__ == "__main__":
    sys.exit(min(main(*map(int, sys.argv[1:])), 1))
