"""The JSON API against its own description, and who is answered at all."""

from __future__ import annotations

import base64
import socket

import bcrypt
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

import running
import servers
from fakes import HaltingTime
from pgmon.errors import StartError
from pgmon.web import create_app
from pgmon.web.words import PAGES, TWINS
from reading import landed

newest = pytest.mark.parametrize("pg_version", [servers.NEWEST], ids="pg{}".format, indirect=True, scope="session")
DEAD = "postgresql://monitor@127.0.0.1:1/postgres"
FEW = settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
    database=None,
)


def client_of(**environ):
    """Return a client of an agent that has no server to watch."""
    with running.agent(DEAD, **environ) as agent:
        return create_app(agent).test_client()


# --- the description --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def app(server):
    """Return the application of an agent that has read everything once, and whose time stands still."""
    time = HaltingTime()
    with running.agent(server.dsn("monitor"), time.clock()) as agent:
        landed(agent)
        time.halt()
        yield create_app(agent)


@newest
def test_the_api_is_what_its_description_says(app):
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", app)

    @FEW
    @given(case=schema.as_strategy())
    def every_answer_conforms(case):
        case.call_and_validate()

    every_answer_conforms()


@newest
def test_the_description_names_every_page(app):
    paths = app.test_client().get("/api/v1/openapi.json").json["paths"]

    expected = {f"/api/v1/{TWINS.get(page, page)}" for page in PAGES}

    assert set(paths) == {*expected, "/api/v1/alerts/{name}"}


@newest
def test_a_64_bit_id_is_a_text(app):
    rows = app.test_client().get("/api/v1/top-queries").json["panels"]["statements"]["data"]

    assert rows
    assert all(isinstance(row["queryid"], str) for row in rows)


@newest
def test_a_fault_is_told_as_json(app):
    client = app.test_client()

    assert client.get("/api/v1/nothing").json["error"].startswith("there is overview, ")
    assert client.get("/api/v1/status?x=1").json == {"error": "there is no parameter of that name"}
    assert "error" in client.post("/api/v1/status").json


def test_without_a_server_the_api_says_so():
    answer = client_of().get("/api/v1/activity").json

    assert answer["database"] != "up"
    assert {panel["status"] for panel in answer["panels"].values()} <= {"loading", "error"}


# --- headers and hosts ------------------------------------------------------------------------------------------------

STRICT = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@pytest.mark.fault("F62", "F63")
@pytest.mark.parametrize("path", ["/", "/api/v1/status", "/metrics", "/livez", "/nothing", "/activity?x=1"])
def test_every_answer_has_the_strict_headers(path):
    headers = client_of().get(path).headers

    assert STRICT.items() <= dict(headers).items()
    assert headers["Cache-Control"] == "no-store"


KNOWN = ["localhost", "127.0.0.1:8181", "10.1.2.3", "[::1]:8181", "[fe80::1]", socket.gethostname(), "LOCALHOST:1"]


@pytest.mark.fault("F60")
@pytest.mark.parametrize("host", [*KNOWN, "pgmon.example.com", "a.internal", "db.example.org:443"])
def test_a_host_that_is_known_is_answered(host):
    client = client_of(
        HTTP_ALLOWED_HOSTS="[pgmon.example.com, .internal]", HTTP_EXTERNAL_URL="https://db.example.org/x"
    )

    assert client.get("/activity", headers={"Host": host}).status_code == 200


@pytest.mark.fault("F60")
@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "xinternal", "a b"),
        *("[::1].evil.example", "localhost:80@evil.example", "localhost, evil.example", "localhost:x", ""),
    ],
)
def test_a_foreign_host_is_refused(host):
    client = client_of(HTTP_ALLOWED_HOSTS="[.internal]")

    for path in ("/activity", "/api/v1/status", "/nothing", "/static/pgmon.css", "/healthz"):
        answer = client.get(path, headers={"Host": host})
        assert (answer.status_code, "http.allowed_hosts" in answer.text) == (400, True), path


@pytest.mark.parametrize("path", ["/livez", "/metrics"])
def test_probes_and_scrapers_come_by_any_name(path):
    assert client_of().get(path, headers={"Host": "pgmon.monitoring.svc"}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/activity", "/sql", "/api/v1/status", "/static/pgmon.css"])
def test_a_head_is_a_get_without_a_body(path):
    answer = client_of().head(path)

    assert (answer.status_code, answer.data) == (200, b"")


# --- logging in -------------------------------------------------------------------------------------------------------

PASSWORD = "p\u00e4ss:wort"
HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
USERS = {"HTTP_AUTH_BASIC_AUTH_USERS": f"{{alice: '{HASH}'}}"}


def basic(user, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_a_user_with_the_right_password_is_answered():
    client = client_of(**USERS)

    for _ in range(2):  # the second is remembered
        assert client.get("/activity", headers=basic("alice", PASSWORD)).status_code == 200


WRONG = [
    {},
    basic("alice", "x"),
    basic("bob", PASSWORD),
    {"Authorization": "Basic %%%"},
    {"Authorization": "Basic /w=="},
]


@pytest.mark.parametrize("headers", [*WRONG, {"Authorization": "Bearer "}, {"Authorization": "Digest a"}])
@pytest.mark.parametrize("path", ["/", "/api/v1/status", "/metrics", "/healthz", "/static/pgmon.css", "/nothing"])
def test_who_has_not_logged_in_is_told_how(path, headers):
    answer = client_of(**USERS).get(path, headers=headers)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="pgmon", charset="UTF-8"'
    assert HASH not in answer.text


def test_a_bearer_of_a_token_is_answered(tmp_path):
    (tmp_path / "tokens").write_text("first\n\n  second \n")
    client = client_of(HTTP_AUTH_BEARER_TOKENS_FILE=str(tmp_path / "tokens"))

    codes = [client.get("/", headers={"Authorization": f"Bearer {t}"}).status_code for t in ("second", "third", "")]
    assert codes == [200, 401, 401]


def test_livez_is_open_and_metrics_where_configured():
    closed, ajar = client_of(**USERS), client_of(**USERS, HTTP_AUTH_METRICS="false")

    assert [c.get("/livez").status_code for c in (closed, ajar)] == [200, 200]
    assert [c.get("/metrics").status_code for c in (closed, ajar)] == [401, 200]


@pytest.mark.parametrize("content", [None, "", " \n"])
def test_a_file_without_tokens_is_no_lock(tmp_path, content):
    file = tmp_path / "tokens"
    if content is not None:
        file.write_text(content)

    with pytest.raises(StartError, match="bearer_tokens_file"):
        client_of(HTTP_AUTH_BEARER_TOKENS_FILE=str(file))
