"""Clients that are slow, greedy, malformed or hostile: whatever they do, who comes after them is answered."""

from __future__ import annotations

import base64
import os
import resource
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import bcrypt
import pytest

import running
from attacking import LIVEZ, METRICS, connect, crowd, dripping, is_ended, sent, slowest, status
from pgmon.web import create_app
from pgmon.web.listener import Bounds, listen
from running import Process
from servers import free_port
from watching import PROMISE

SCRAPE_TIMEOUT = 10.0  # seconds, by default
DEAD = "postgresql://monitor@127.0.0.1:1/postgres"


@pytest.fixture(scope="module")
def agent() -> Iterator[Process]:
    """Return an agent whose server is not there: what it answers it answers from memory."""
    with Process(DEAD) as running:
        yield running


@contextmanager
def listening(**bounds: float) -> Iterator[int]:
    """Listen in this process, with bounds of a test's own; yield the port."""
    with running.agent(DEAD, HTTP_BIND=f"127.0.0.1:{free_port()}") as made:
        server = listen(create_app(made), made.config.http, Bounds(**bounds))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        try:
            yield made.config.http.address[1]
        finally:
            server.close()
            thread.join(5)


# --- slow clients -----------------------------------------------------------------------------------------------------


@pytest.mark.fault("F53")
def test_five_hundred_idle_connections_keep_nobody_out(agent):
    with crowd(agent.port, 500):
        assert slowest(agent) <= PROMISE


@pytest.mark.fault("F53")
@pytest.mark.parametrize(
    ("begun", "drop"),
    [
        (b"GET /metrics HTTP/1.1\r\nX: ", b"x"),
        (b"GET /metrics HTTP/1.1\r\n", b"X: x\r\n"),
        (b"", b"\r\n"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n", b"x"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", b"1"),
    ],
    ids=["a header", "headers", "empty lines", "a body", "chunks"],
)
def test_two_hundred_requests_that_drip_keep_nobody_out(agent, begun, drop):
    with crowd(agent.port, 200, begun) as clients, dripping(clients, drop, 0.02):
        assert slowest(agent, times=3) <= PROMISE


@pytest.mark.fault("F53")
def test_answers_that_nobody_takes_keep_nobody_out(agent):
    with crowd(agent.port, 120, METRICS):
        assert slowest(agent, ("/livez",)) <= PROMISE
        assert slowest(agent, times=1) <= SCRAPE_TIMEOUT


@pytest.mark.fault("F53")
def test_thousands_of_requests_at_once_hold_neither_a_thread_nor_the_memory(agent):
    before = memory(agent)

    with crowd(agent.port, 50, METRICS * 300):
        assert slowest(agent) <= PROMISE
        assert memory(agent) - before < 50 << 20


def memory(agent: Process) -> int:
    """Return the bytes that are resident."""
    pages = Path(f"/proc/{agent.process.pid}/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


@pytest.mark.fault("F53")
@pytest.mark.parametrize(
    ("first", "drop"),
    [
        (b"GET /livez HTTP/1.1\r\nX: ", b"x"),
        (b"", b"\r\n"),
        (METRICS, b""),
        (LIVEZ, b""),
    ],
    ids=["a request that drips", "empty lines", "an answer not taken", "nothing more"],
)
def test_a_client_has_so_many_seconds(first, drop):
    with listening(asking=0.5, quiet=0.5) as port, connect(port) as client:
        client.sendall(first)
        with dripping([client], drop, 0.1):
            assert is_ended(client, within=3)


@pytest.mark.fault("F38", "F53")
def test_who_asks_in_time_keeps_the_connection(agent):
    with connect(agent.port) as client:
        for _ in range(3):
            client.sendall(LIVEZ)
            assert status(answered(client)) == 200


@pytest.mark.fault("F54")
def test_who_leaves_before_the_answer_leaves_no_trace(agent):
    said = len(agent.said())

    for _ in range(20):
        with connect(agent.port) as client:
            client.sendall(METRICS)

    assert slowest(agent) <= PROMISE
    assert agent.said()[said:] == ""


# --- descriptors ------------------------------------------------------------------------------------------------------


@pytest.mark.fault("F84")
def test_clients_get_at_most_half_of_the_descriptors(agent):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
        assert Bounds().most == 32
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.fault("F84")
def test_a_full_table_of_descriptors_is_lived_through(agent):
    pid = agent.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    with connect(agent.port) as known:
        known.sendall(LIVEZ)
        assert status(answered(known)) == 200
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{pid}/fd")), limits[1]))
        try:
            with connect(agent.port) as stranger:
                spent = processor(pid)
                time.sleep(0.5)
                stranger.sendall(LIVEZ)
                assert processor(pid) - spent < 0.2  # it does not try again and again
                assert status(answered(stranger)) == 200  # one who waited made room
        finally:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)

    assert slowest(agent) <= PROMISE
    assert agent.said().count("a connection could not be accepted") == 1


def processor(pid: int) -> float:
    """Return the seconds of a processor that a process has used."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def answered(client: socket.socket) -> bytes:
    """Return the answer to LIVEZ."""
    answer = b""
    while not answer.endswith(b"ok\n"):
        answer += client.recv(65536)
    return answer


# --- passwords --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def locked() -> Iterator[Process]:
    """Return an agent that asks for a password whose hash takes a while."""
    users = f"{{alice: '{bcrypt.hashpw(b'right', bcrypt.gensalt(10)).decode()}'}}"
    with Process(DEAD, environ={"PGMON_HTTP_AUTH_BASIC_AUTH_USERS": users}) as running:
        yield running


@pytest.mark.fault("F64")
def test_guesses_keep_nobody_out_and_one_at_a_time_is_checked(locked):
    with ThreadPoolExecutor(20) as pool:
        guesses = [pool.submit(locked.get, "/", Authorization=basic("alice", str(n))) for n in range(40)]

        assert slowest(locked, ("/livez",)) <= PROMISE
        assert {guess.result()[0] for guess in guesses} == {401, 429}
    assert locked.get("/", Authorization=basic("alice", "right"))[0] == 200


@pytest.mark.fault("F64")
def test_an_unknown_user_takes_as_long_as_a_known_one(locked):
    def took(user: str) -> float:
        start = time.monotonic()
        assert locked.get("/", Authorization=basic(user, "wrong"))[0] == 401
        return time.monotonic() - start

    known, unknown = (min(took(user) for _ in range(2)) for user in ("alice", "bob"))
    assert known / 3 < unknown < known * 3


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


# --- requests that are none -------------------------------------------------------------------------------------------

HEAD = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.fault("F55", "F57", "F61")
@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ((HEAD + b"X: ").ljust(16384, b"x"), {431}),
        (HEAD + (b"X: x\r\n" * 4000)[: 16384 - len(HEAD)], {431}),
        (b"GET /".ljust(16384, b"x"), {431}),
        (b"GET /livez?" + b"x=1&" * 3000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", {200, 400}),
        (b"GET /%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", {400, 404}),
        (b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n", {400, 404}),
        (b"GET /%ff%fe HTTP/1.1\r\nHost: localhost\r\n\r\n", {400, 404}),
        (b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n", {400, 404}),
        (b"GET //livez HTTP/1.1\r\nHost: localhost\r\n\r\n", {200, 404}),
        (b"GET /queries//x HTTP/1.1\r\nHost: localhost\r\n\r\n", {404}),
        (b"GET /livez/ HTTP/1.1\r\nHost: localhost\r\n\r\n", {404}),
        (b"GET //evil.example/alerts HTTP/1.1\r\nHost: localhost\r\n\r\n", {404}),
        (b"GET /\\evil.example HTTP/1.1\r\nHost: localhost\r\n\r\n", {404}),
        (b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n", {400}),
        (b"GET /livez HTTP/9.9\r\nHost: localhost\r\n\r\n", {200, 400, 505}),
        (b"GET /livez\r\n\r\n", {200, 400}),
        (b"get /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", {400}),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", {400}),
        (b"BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n", {405}),
        (b"TRACE / HTTP/1.1\r\nHost: localhost\r\nCookie: a\r\n\r\n", {405}),
        (b"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", {400, 404, 405}),
        (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", {200, 400, 404}),
        (HEAD + b"X : x\r\n\r\n", {400}),
        (HEAD + b"X: a\r\n b\r\n\r\n", {200, 400}),
        (HEAD + b"X: a\nY: b\r\n\r\n", {400}),
        (HEAD + b"\x00: a\r\n\r\n", {400}),
    ],
)
def test_what_is_no_request_gets_a_plain_answer(agent, request_, expected):
    answer = sent(agent.port, request_)

    assert status(answer) in expected, answer[:300]
    assert b"Traceback" not in answer
    assert b"Server:" not in answer
    assert b"Location:" not in answer


@pytest.mark.fault("F60", "F65")
def test_what_a_proxy_would_say_is_not_believed(agent):
    spoofed = b"".join(
        b"X-Forwarded-%s: %s\r\n" % header
        for header in [(b"Host", b"evil.example"), (b"Proto", b"https"), (b"For", b"127.0.0.1"), (b"Prefix", b"/evil")]
    )
    asked = b"GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n" + spoofed + b"\r\n"

    assert b"evil" not in sent(agent.port, asked % b"localhost")
    assert status(sent(agent.port, asked.replace(b"Host: evil", b"Host: localhost") % b"foreign.example")) == 400


BODY = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.fault("F55")
@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 43\r\n",
        b"Content-Length: 43\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        b"Content-Length: 43\r\nContent-Length: 4\r\n",
        b"Content-Length: 0x2b\r\n",
        b"Content-Length: +43\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 99999999999999999999\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding:\x0bchunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Expect: 100-continue\r\nContent-Length: 43\r\n",
    ],
)
def test_a_request_is_never_read_out_of_the_body_of_another(agent, framing):
    answer = sent(agent.port, HEAD + framing + b"\r\n" + BODY + BODY)

    assert answer.count(b"HTTP/1.") == 1, answer
    assert status(answer) in (400, 413, 501)


@pytest.mark.fault("F53", "F55")
def test_what_is_sent_before_the_answer_is_not_read_and_the_connection_says_so(agent):
    answer = sent(agent.port, LIVEZ * 20)

    assert answer.count(b"HTTP/1.1 200") == 1
    assert b"Connection: close" in answer
