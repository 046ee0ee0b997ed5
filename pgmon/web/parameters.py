"""Parameters of URLs: each page says which it takes, and in which form."""

from __future__ import annotations

import re
from collections.abc import Mapping

from flask import abort, request

NAME = r"[a-z0-9_]{1,63}"
LONGEST = 200
PAGE: Mapping[str, str] = {
    "sort": rf"{NAME}\.{NAME}",
    "dir": "asc|desc",
    "n": NAME,
    "q": f"(?s:.{{0,{LONGEST}}})",
    "wide": NAME,
    "tab": NAME,
    "refresh": "15|60",
}


def checked(allowed: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the parameters of the request. One that is unknown, repeated or of a wrong form ends it with 400."""
    allowed = allowed or {}
    found = {}
    for name, values in request.args.lists():
        if name not in allowed:
            known = f"; there is {', '.join(allowed)}" if allowed else ""
            abort(400, f"there is no parameter of that name{known}")
        if len(values) > 1 or not re.fullmatch(allowed[name], values[0]):
            abort(400, f"the parameter {name} is not of the form {allowed[name]}")
        if values[0]:
            found[name] = values[0]
    return found
