"""Texts that nobody would think of, where texts come from outside: headers, URLs, connection strings, names.

Configurations are in test_config, statements in test_redact, bounds of partitions in test_bounds.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from flask.testing import FlaskClient
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families

import running
from pgmon.dsn import check_dsn, home_database, named_hosts
from pgmon.errors import ConfigError
from pgmon.exposition import Page, sanitised
from pgmon.feature import Tier, feature, gauge, label, row
from pgmon.snapshot import Reading
from pgmon.web import create_app, safety
from pgmon.web.metrics import DEFAULT, KNOWN, negotiated, patience
from pgmon.web.words import PAGES

few = settings(max_examples=max(1, settings().max_examples // 5))  # each is a request
SECRET = "c4nary5ecret"
latin = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=60)


def tokens(*words: str) -> st.SearchStrategy[str]:
    """Return texts made of words and of anything."""
    return st.lists(st.sampled_from(words) | st.text(max_size=3), max_size=12).map("".join)


@pytest.fixture(scope="module")
def client() -> Iterator[FlaskClient]:
    """Return a client of an agent whose server is not there."""
    with running.agent("postgresql://monitor@127.0.0.1:1/postgres") as agent:
        yield create_app(agent).test_client()


# --- headers and URLs -------------------------------------------------------------------------------------------------

ACCEPT = tokens("application/openmetrics-text", "text/plain", "*/*", ";", "version=", "1.0.0", "0.0.4", ",", "q=", "=")
PARSERS = {"text": text_families, "openmetrics": openmetrics_families}


@given(ACCEPT)
def test_any_accept_gets_a_format_that_is_known(accept):
    assert negotiated(accept) in {DEFAULT, *KNOWN.values()}


@given(ACCEPT.filter(lambda accept: accept.isprintable() and accept.isascii()) | latin)
@few
def test_what_any_accept_gets_is_read_by_its_parser(client, accept):
    answer = client.get("/metrics?name[]=pgmon_build_info", headers={"Accept": accept})

    assert answer.status_code == 200
    found = PARSERS["openmetrics" if "openmetrics" in answer.content_type else "text"](answer.text)
    assert [family.name for family in found] == ["pgmon_build_info"]


@given(st.text() | st.floats().map(str))
def test_any_timeout_is_a_patience(header):
    assert 0 <= patience(header) <= 0.8


HOST = tokens("localhost", "127.0.0.1", "[::1]", "::1", "evil.example", ":", "@", "80", ".", "[", "]", ",", "/", "%00")


@given(HOST | latin)
@example("[::1].evil.example")
@example("127.0.0.1@evil.example")
def test_a_host_that_is_answered_is_an_address_or_a_name_of_ours(header):
    host = safety.host_of(header)

    if safety.is_known(host, ["localhost"]):
        bare = header if header.startswith("[") or header.count(":") < 2 else f"[{header}]"
        assert (urlsplit(f"//{bare}").hostname or "").rstrip(".") == host  # as others read it
        assert host == "localhost" or ipaddress.ip_address(host)


PATHS = st.sampled_from(["/", *(f"/{page}" for page in PAGES), "/queries/", "/alerts/", "/static/", "/api/v1/"])
QUERY = tokens(
    "sort", "dir", "n", "q", "wide", "tab", "refresh", "=", "&", "name[]", "%00", "..", "1e999", "sessions.pid"
)


@example("/queries/", "/x", "")
@example("/", "/..", "\n")
@example("/static/", "/\n", "")
@given(PATHS, tokens("..", "/", "%2e", "\\", "__class__", "{{7*7}}"), QUERY)
@few
def test_any_url_is_answered_without_an_error_of_ours_and_leads_nowhere_else(client, path, below, query):
    url = {"PATH_INFO": path + below if path.endswith("/") else path, "QUERY_STRING": query}
    wsgi = {name: text.encode(errors="replace").decode("latin-1") for name, text in url.items()}
    answer = client.get("/", environ_overrides=wsgi)

    assert answer.status_code < 500
    assert "Location" not in answer.headers


# --- connection strings -----------------------------------------------------------------------------------------------

DSN = tokens(
    *(
        "postgresql://",
        "host",
        "hostaddr",
        "password",
        "service",
        "sslmode",
        "=",
        " ",
        "'",
        "\\",
        ":",
        "@",
        "/",
        "?",
        "&",
    ),
    *("localhost", "127.0.0.1", "db.example", "disable", "prefer", "%", "%00", ",", "user", SECRET),
)


def refusal(dsn: str, require_tls: bool) -> ConfigError | None:
    """Return why a connection string is not taken, None when it is."""
    try:
        check_dsn(dsn, require_tls)
    except ConfigError as refused:
        return refused
    return None


@given(DSN, st.booleans())
def test_any_connection_string_is_taken_or_refused_without_its_words(dsn, require_tls):
    refused = refusal(dsn, require_tls)

    if refused:
        assert SECRET not in str(refused)
        assert refused.__cause__ is None
        assert refused.__suppress_context__ or refused.__context__ is None
    else:
        assert (type(home_database(dsn)), type(named_hosts(dsn))) == (str, str)


ELSEWHERE = ["db.example", "10.0.0.1", "::2", "localhost.example", "127.0.0.1.example"]
HERE = ["localhost", "127.0.0.1", "::1", "/run", ""]


@given(
    st.lists(st.sampled_from(HERE), max_size=2),
    st.sampled_from(ELSEWHERE),
    st.sampled_from(["host", "hostaddr"]),
    st.sampled_from(["", "sslmode=disable", "sslmode=allow", "sslmode=prefer"]),
)
def test_no_other_host_is_reached_without_tls(others, elsewhere, key, mode):
    hosts = ",".join([*others, elsewhere])

    with pytest.raises(ConfigError, match="TLS"):
        check_dsn(f"host=localhost {key}='{hosts}' {mode}" if key == "hostaddr" else f"{key}='{hosts}' {mode}", True)


@pytest.mark.parametrize(
    ("dsn", "environ"),
    [
        ("service=production", {}),
        ("dbname=app", {"PGSERVICE": "production"}),
        ("host=localhost", {"PGHOSTADDR": "10.0.0.1"}),
        ("dbname=app", {"PGHOST": "db.example"}),
    ],
)
def test_no_other_host_is_reached_without_tls_by_what_libpq_reads_elsewhere(monkeypatch, dsn, environ):
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    assert "TLS" in str(refusal(dsn, True))
    assert refusal(f"{dsn} sslmode=require", True) is None


# --- labels -----------------------------------------------------------------------------------------------------------


@row
class Thing:
    """What has a name."""

    name: str = label("Its name.")
    n: int = gauge("pg_things", "Things.")


THINGS = feature("things", Tier.HOT_PATH, Thing)


@given(st.lists(st.text(), min_size=1, max_size=5, unique_by=lambda name: sanitised(name)), st.text(min_size=1))
@pytest.mark.parametrize("fmt", PARSERS)
def test_any_name_is_read_back_by_the_official_parser(fmt, names, cluster):
    rows = [Thing(name, n) for n, name in enumerate(names)]
    page = Page({THINGS: [Reading(THINGS, "", raw=rows, rows=rows)]}, None, (cluster, "app"))

    text = page.encoded(fmt).decode() + ("# EOF\n" if fmt == "openmetrics" else "")
    [family] = PARSERS[fmt](text)
    assert {s.labels["name"]: s.value for s in family.samples} == {sanitised(n): i for i, n in enumerate(names)}
    assert {s.labels["cluster"] for s in family.samples} == {cluster}
