"""One request over HTTP: no redirects, no proxies of the environment, and little patience."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Mapping
from contextlib import closing
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.util import make_headers

from pgmon import __version__
from pgmon.notify.line import SECONDS, Line, reason
from pgmon.notify.notification import DeliveryError

AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
HEADERS = {"Content-Type": "application/json", "User-Agent": f"pgmon/{__version__}"}


class Post:
    """Sends JSON to one URL."""

    def __init__(self, url: str, block_private: bool, seconds: float = SECONDS) -> None:
        self._url, self._block_private, self._seconds = urlsplit(url), block_private, seconds

    def __call__(self, payload: Mapping[str, Any] | None) -> str:
        """POST a payload (None: GET) and return the status. Raises DeliveryError."""
        with Line(self._block_private, self._seconds) as line:
            try:
                with closing(dialled(self._url, line)) as connection:
                    status, headers = self._answered(connection, payload)
                if line.expired:  # http.client takes an end in the midst of the headers for their end
                    raise TimeoutError
            except (OSError, HTTPError, HTTPException, ValueError) as exc:
                raise DeliveryError(reason(exc, line), again=True) from None  # its own words may hold the URL
        if not 200 <= status < 300:
            raise DeliveryError(f"HTTP {status}", status in AGAIN, retry_after(headers.get("Retry-After", "")))
        return f"HTTP {status}"

    def _answered(self, connection: HTTPConnection, payload: Mapping[str, Any] | None) -> tuple[int, Mapping[str, str]]:
        """Return status and headers; the body is left alone, however long it is."""
        target = (self._url.path or "/") + (f"?{self._url.query}" if self._url.query else "")
        body = None if payload is None else json.dumps(payload).encode()
        headers = {**HEADERS, **self._login()}
        connection.request("GET" if body is None else "POST", target, body, headers, preload_content=False)
        with closing(connection.getresponse()) as answer:
            return answer.status, answer.headers

    def _login(self) -> Mapping[str, str]:
        if self._url.username is None:
            return {}
        return make_headers(basic_auth=f"{unquote(self._url.username)}:{unquote(self._url.password or '')}")


class _Dialled:
    """A connection of urllib3 over a line: name, certificate and Host stay those of the URL."""

    line: Line
    host: str
    port: int

    def _new_conn(self) -> Any:
        return self.line.dial(self.host, self.port)


class _Http(_Dialled, HTTPConnection):
    pass


class _Https(_Dialled, HTTPSConnection):
    pass


def dialled(url: SplitResult, line: Line) -> HTTPConnection:
    """Return a connection to the host of a URL that uses a line."""
    made: _Http | _Https
    if url.scheme == "https":
        context = ssl.create_default_context()
        made = _Https(url.hostname or "", url.port or 443, timeout=line.seconds, ssl_context=context)
    else:
        made = _Http(url.hostname or "", url.port or 80, timeout=line.seconds)
    made.line = line
    return made


def retry_after(header: str) -> float:
    """Return the seconds of Retry-After, which may be a date; 0 when there is none that can be read.

    >>> retry_after("120"), retry_after("soon")
    (120.0, 0.0)
    """
    if header.isascii() and header.isdigit():
        return float(header[:9])
    try:
        return max(parsedate_to_datetime(header).timestamp() - time.time(), 0.0)
    except ValueError:
        return 0.0
