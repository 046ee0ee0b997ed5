"""SQL in colour: the class names of Pygments, only where the style sheet has one."""

from __future__ import annotations

from functools import lru_cache
from itertools import groupby
from typing import Any

from markupsafe import Markup, escape
from pygments.token import STANDARD_TYPES, Token

STYLED = (Token.Comment, Token.Keyword, Token.String, Token.Name.Variable, Token.Name.Builtin)
LONGEST = 10_000  # characters: 400 kB take 0.65 s


def _kind(token: Any) -> str:
    return STANDARD_TYPES.get(token, "") if any(token in styled for styled in STYLED) else ""


@lru_cache(512)
def sql(text: str) -> Markup:
    """Return a statement as HTML; what is longer than 10,000 characters stays plain.

    >>> str(sql("SELECT 1 AS <x>"))
    '<span class="k">SELECT</span> 1 <span class="k">AS</span> &lt;x&gt;'
    """
    if len(text) > LONGEST:
        return escape(text)
    from pygments.lexers import PostgresLexer  # a megabyte, for who looks at pages

    tokens = ((_kind(token), value) for token, value in PostgresLexer(stripnl=False, ensurenl=False).get_tokens(text))
    runs = ((kind, "".join(value for _, value in run)) for kind, run in groupby(tokens, key=lambda t: t[0]))
    return Markup().join(
        Markup('<span class="{}">{}</span>').format(kind, run) if kind else escape(run) for kind, run in runs
    )
