"""/metrics: what Prometheus reads."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING

from flask import Blueprint, Response, current_app, request
from werkzeug.datastructures import Accept
from werkzeug.http import parse_accept_header

from pgmon.agent import PATIENCE, Agent
from pgmon.feature import Tier

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

blueprint = Blueprint("metrics", __name__)

Headers = list[tuple[str, str]]
PLAIN = ("/metrics", "GET", "")  # path, method, query

OFFSET = 0.5  # seconds before the scraper's deadline at which the answer should be on its way
LONGEST = 120.0  # seconds; what claims to wait longer is not believed

OPENMETRICS = "application/openmetrics-text; version={}; charset=utf-8"
TEXT = "text/plain; version={}; charset=utf-8"
# Accept → format and content type. The library parses versions and raises on odd ones; this list does not.
KNOWN = {
    ("application/openmetrics-text", ""): ("openmetrics", OPENMETRICS.format("1.0.0")),
    ("application/openmetrics-text", "0.0.1"): ("openmetrics", OPENMETRICS.format("0.0.1")),
    ("application/openmetrics-text", "1.0.0"): ("openmetrics", OPENMETRICS.format("1.0.0")),
    ("text/plain", "1.0.0"): ("text", TEXT.format("1.0.0")),
}
DEFAULT = ("text", TEXT.format("0.0.4"))


def negotiated(accept: str) -> tuple[str, str]:
    """Return the format and content type for an Accept header: the first that is known, else text 0.0.4.

    >>> negotiated("application/openmetrics-text;version=1.0.0,text/plain;q=0.1")[0]
    'openmetrics'
    >>> negotiated("application/openmetrics-text;version=abc")
    ('text', 'text/plain; version=0.0.4; charset=utf-8')
    """
    for offer in accept.split(","):
        media, *parameters = (part.strip() for part in offer.split(";"))
        version = next((p.removeprefix("version=") for p in parameters if p.startswith("version=")), "")
        if found := KNOWN.get((media.lower(), version)):
            return found
        if media in ("text/plain", "*/*"):
            return DEFAULT
    return DEFAULT


def patience(header: str | None) -> float:
    """Return how long a scrape may wait, from X-Prometheus-Scrape-Timeout-Seconds.

    >>> patience(None), patience("0.9"), patience("nan"), patience("-1")
    (0.8, 0.4, 0.8, 0.8)
    """
    try:
        timeout = float(header or "nan")
    except ValueError:
        timeout = math.nan
    if not 0 < timeout <= LONGEST:
        return PATIENCE
    return min(PATIENCE, max(timeout - OFFSET, 0.0))


@lru_cache(64)
def unpacks(accept_encoding: str) -> bool:
    """Tell whether who sent this Accept-Encoding can unpack gzip.

    >>> unpacks("gzip"), unpacks("gzip;q=0"), unpacks("br"), unpacks("")
    (True, False, False, False)
    """
    return bool(parse_accept_header(accept_encoding, Accept)["gzip"] > 0)


@blueprint.get("/metrics")
def metrics() -> Response:
    """Answer a scrape: the whole page, or the families named by `name[]`, which read only their tiers."""
    agent: Agent = current_app.extensions["pgmon"]
    names = request.args.getlist("name[]")
    if unknown := [name for name in names if name not in agent.exposition.names]:
        near = get_close_matches(unknown[0], agent.exposition.names, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return Response(f"there is no metric of that name{hint}\n", 400, mimetype="text/plain")
    headers, body = answered(agent, request.environ, names)
    return Response(body, headers=headers)


def answered(agent: Agent, environ: WSGIEnvironment, names: Sequence[str] = ()) -> tuple[Headers, bytes]:
    """Return the headers and the body of an answer, in the format and the encoding that was asked for."""
    tiers = [tier for tier in agent.exposition.owners(names) if tier is not Tier.AGENT] if names else list(agent.caches)
    agent.settle(patience(environ.get("HTTP_X_PROMETHEUS_SCRAPE_TIMEOUT_SECONDS")), tiers)
    fmt, content_type = negotiated(environ.get("HTTP_ACCEPT", ""))
    headers = [("Cache-Control", "no-store"), ("Vary", "Accept, Accept-Encoding"), ("Content-Type", content_type)]
    if packed := unpacks(environ.get("HTTP_ACCEPT_ENCODING", "")):
        headers.append(("Content-Encoding", "gzip"))
    return headers, agent.exposition.answer(fmt, packed, names)


def shortened(agent: Agent, flask: WSGIApplication, always: Headers) -> WSGIApplication:
    """Return an application that answers plain scrapes itself: Flask takes as long as all the rest together."""

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if (environ["PATH_INFO"], environ["REQUEST_METHOD"], environ["QUERY_STRING"]) != PLAIN:
            return flask(environ, start_response)
        headers, body = answered(agent, environ)
        start_response("200 OK", [*headers, *always, ("Content-Length", str(len(body)))])
        return [body]

    return answer
