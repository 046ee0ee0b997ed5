"""What every answer carries, and who is not answered: foreign hosts, and who has not logged in."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Collection
from urllib.parse import urlsplit

from flask import Flask, Response, request

from pgmon.config import Auth, Config, Http
from pgmon.web.auth import Logins

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "X-Frame-Options": "DENY",
}
ANY_HOST = ("/livez", "/metrics")  # a scraper or a probe may come by any name: no browser shows what they say
OPEN = ("/livez",)
ADDRESS = r"([\dA-Fa-f:.]*[\dA-Fa-f:])"
HOST = re.compile(rf"\[{ADDRESS}\](?::\d+)?|([\w.-]+)(?::\d+)?|{ADDRESS}")  # some write no brackets


def host_of(header: str) -> str:
    """Return the host of a Host header without its port; '' for a header that is none.

    >>> host_of("pgmon:8181"), host_of("[::1]:8181"), host_of("::1"), host_of("[::1].example.com")
    ('pgmon', '::1', '::1', '')
    """
    match = HOST.fullmatch(header)
    return match[match.lastindex or 0].lower().rstrip(".") if match else ""


def is_known(host: str, names: Collection[str]) -> bool:
    """Tell whether a host is an address, or one of the names (`.suffix` is every name that ends so).

    A page elsewhere can make a name of its own lead here (DNS rebinding), but no address.

    >>> is_known("10.0.0.7", []), is_known("evil.example", ["pgmon"]), is_known("a.example.com", [".example.com"])
    (True, False, True)
    """
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return any(host == name or (name.startswith(".") and host.endswith(name)) for name in names)
    return True


def own_names(http: Http) -> list[str]:
    """Return the names under which this server may be asked for."""
    here = socket.gethostname().lower()
    linked = urlsplit(http.external_url).hostname or ""
    names = ["localhost", here, here.partition(".")[0], linked, *http.allowed_hosts]
    return [name.lower() for name in names if name]


def is_public(auth: Auth) -> bool:
    """Tell whether everybody may scrape."""
    return not auth.metrics or not (auth.basic_auth_users or auth.bearer_tokens_file)


def protect(app: Flask, config: Config) -> None:
    """Refuse foreign hosts and who has not logged in; put the headers on every answer."""
    http = config.http
    names, logins = own_names(http), Logins.of(config)

    @app.before_request
    def admit() -> Response | None:
        if request.path not in ANY_HOST and not is_known(host_of(request.headers.get("Host", "localhost")), names):
            return _refused("this name is not known to pgmon: add it to http.allowed_hosts", 400)
        if request.path in OPEN or (request.path == "/metrics" and not http.auth.metrics):
            return None
        admitted = logins.admit(request.headers.get("Authorization", ""))
        if admitted is None:
            return _refused("too many are logging in", 429, **{"Retry-After": "1"})
        return None if admitted else _refused("log in", 401, **{"WWW-Authenticate": logins.challenge})

    app.after_request(_with_headers)


def _refused(words: str, code: int, **headers: str) -> Response:
    return Response(f"{words}\n", code, headers, mimetype="text/plain")


def _with_headers(answer: Response) -> Response:
    answer.headers.extend(HEADERS)  # no view sets one of them
    answer.headers.setdefault("Cache-Control", "no-store")
    return answer
