"""The harness itself: servers of every version, their replicas, and the proxy's faults."""

from __future__ import annotations

import signal
import socket
import socketserver
import threading
import time

import psycopg
import pytest

import servers
from proxy import Proxy

# --- servers ----------------------------------------------------------------------------------------------------------


def test_the_monitoring_role_has_pg_monitor_and_nothing_else(pg_version, monitor_dsn):
    with psycopg.connect(monitor_dsn) as connection:
        major = connection.info.server_version // 10_000
        granted = connection.execute(
            """SELECT array_agg(roleid::regrole::text)
                 FROM pg_catalog.pg_auth_members
                WHERE member = 'monitor'::regrole"""
        ).fetchone()
        creates = connection.execute("SELECT has_schema_privilege('public', 'CREATE')").fetchone()

    assert major == pg_version
    assert granted == (["pg_monitor"],)
    assert creates == (False,)


def test_the_monitoring_role_needs_its_password(server):
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        server.connect("monitor", password="wrong")


def test_the_app_database_has_a_partitioned_a_hostile_and_a_churned_table(server):
    with server.connect("monitor", "app") as connection:
        relations = connection.execute("SELECT relname, relkind::text FROM pg_class").fetchall()
        dead = connection.execute(
            "SELECT n_live_tup, n_dead_tup FROM pg_stat_user_tables WHERE relname = 'churned'"
        ).fetchone()

    assert {("reading", "p"), (servers.HOSTILE_NAME, "r")} <= set(relations)
    assert dead == (3000, 2000)


def test_statements_are_tracked_with_their_io_times(server):
    with server.connect("monitor") as connection:
        assert connection.execute("SELECT count(*) > 0 FROM pg_stat_statements").fetchone() == (True,)
        assert connection.execute("SHOW track_io_timing").fetchone() == ("on",)


@pytest.mark.pg(">= 14")
def test_a_marked_test_runs_on_its_versions_only(pg_version):
    assert pg_version >= 14


def test_a_scratch_database_is_made_for_one_test(server, scratch):
    scratch.execute("CREATE TABLE only_here ()")

    assert (scratch.info.dbname, scratch.info.port) == ("scratch", server.port)


def test_the_standby_streams(server, standby):
    with server.connect() as connection:
        lsn = connection.execute("SELECT pg_current_wal_lsn()").fetchone()[0]

    standby.wait_for(f"SELECT pg_last_wal_replay_lsn() >= '{lsn}'")
    standby.wait_for("SELECT pg_is_in_recovery()")
    server.wait_for("SELECT state FROM pg_stat_replication WHERE application_name = 'replica1'", "streaming")


def test_a_server_survives_a_restart_a_crash_and_a_killed_backend(fresh_server):
    server = fresh_server()
    port = server.port

    with server.connect() as connection:
        server.restart()
        with pytest.raises(psycopg.errors.AdminShutdown):
            connection.execute("SELECT 1")
    server.stop("immediate").start()
    with server.connect() as connection:
        server.kill_backend(connection.info.backend_pid, signal.SIGKILL)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    server.wait_for("SELECT 1", 1)

    assert server.port == port
    assert "terminated by signal 9" in server.log()


def test_a_frozen_postmaster_lets_nobody_in_but_serves_those_inside(fresh_server):
    server = fresh_server()
    with server.connect() as connection:
        server.freeze()

        assert connection.execute("SELECT 1").fetchone() == (1,)
        with socket.create_connection((server.host, server.port), 1) as newcomer:
            newcomer.sendall(bytes.fromhex("0000000804d2162f"))  # may I use TLS? (SSLRequest)
            assert_silent(newcomer)
            server.thaw()
            assert newcomer.recv(1) in b"SN"


def test_a_frozen_backend_answers_when_it_thaws(fresh_server):
    server = fresh_server()
    with server.connect() as connection:
        server.freeze_backend(connection.info.backend_pid)
        query = threading.Thread(target=connection.execute, args=["SELECT 1"])
        query.start()
        query.join(0.2)
        was_waiting = query.is_alive()
        server.thaw()
        query.join(5)

        assert was_waiting
        assert not query.is_alive()


def test_a_promoted_standby_takes_writes_while_its_primary_is_gone(fresh_server):
    primary = fresh_server()
    with primary.standby() as replica:
        primary.stop("immediate")
        replica.promote()

        with replica.connect() as connection:
            connection.execute("CREATE TABLE written ()")
            wal_file = connection.execute("SELECT pg_walfile_name(pg_current_wal_lsn())").fetchone()[0]
        assert wal_file.startswith("00000002")  # the second timeline


def test_a_closed_standby_leaves_no_slot(fresh_server):
    primary = fresh_server()
    with primary.standby("replica2"):
        primary.wait_for("SELECT count(*) FROM pg_replication_slots", 1)

    primary.wait_for("SELECT count(*) FROM pg_replication_slots", 0)


def test_a_server_that_cannot_start_says_why():
    broken = servers.Server(servers.NEWEST, {"shared_buffers": "much"})

    with pytest.raises(RuntimeError, match='invalid value for parameter "shared_buffers"'), broken:
        pass
    assert not broken.folder.exists()


def test_an_environment_variable_names_the_server(monkeypatch, tmp_path):
    monkeypatch.setenv("PGMON_TEST_PG16", str(tmp_path))

    assert servers.find(16) == tmp_path


# --- the proxy --------------------------------------------------------------------------------------------------------


class Echo(socketserver.ThreadingTCPServer):
    """A server that sends back what it receives, after `greeting`; hears_end is set when a client has finished."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, greeting: bytes = b"") -> None:
        super().__init__(("127.0.0.1", 0), EchoHandler)
        self.greeting = greeting
        self.heard = b""
        self.heard_end = threading.Event()
        threading.Thread(target=self.serve_forever, args=[0.01], daemon=True).start()

    def __exit__(self, *exc: object) -> None:
        self.shutdown()
        self.server_close()


class EchoHandler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.sendall(self.server.greeting)
        try:
            while chunk := self.request.recv(65_536):
                self.server.heard += chunk
                self.request.sendall(chunk)
        except ConnectionError:
            pass
        self.server.heard_end.set()


@pytest.fixture
def echo():
    with Echo() as echo:
        yield echo


@pytest.fixture
def echo_proxy(echo):
    with Proxy(*echo.server_address) as proxy:
        yield proxy


@pytest.fixture
def client(echo_proxy):
    with connected(echo_proxy) as client:
        yield client


def connected(proxy: Proxy) -> socket.socket:
    return socket.create_connection((proxy.host, proxy.port), 2)


def ask(client: socket.socket, question: bytes = b"ping") -> bytes:
    client.sendall(question)
    answer = b""
    while len(answer) < len(question) and (chunk := client.recv(65_536)):
        answer += chunk
    return answer


def assert_silent(client: socket.socket, seconds: float = 0.1) -> None:
    client.settimeout(seconds)
    with pytest.raises(TimeoutError):
        client.recv(1)
    client.settimeout(2)


def test_a_server_is_reached_through_the_proxy(server, proxy):
    with server.connect("monitor", port=proxy.port) as connection:
        assert connection.execute("SELECT repeat('x', 1000000)").fetchone() == ("x" * 1_000_000,)
        assert (proxy.accepted, proxy.open) == (1, 1)


def test_the_proxy_forwards_both_ways(echo_proxy, client):
    much = b"0123456789" * 400_000
    sender = threading.Thread(target=client.sendall, args=[much])

    sender.start()
    received = b""
    while len(received) < len(much):
        received += client.recv(65_536)
    sender.join()

    assert received == much
    assert echo_proxy.accepted == 1


def test_an_end_passes_through(echo, echo_proxy, client):
    client.shutdown(socket.SHUT_WR)

    assert client.recv(1) == b""
    assert echo.heard_end.wait(1)


def test_a_frozen_proxy_is_silent_but_accepts(echo, echo_proxy, client):
    assert ask(client) == b"ping"

    echo_proxy.freeze()
    client.sendall(b"lost?")
    assert_silent(client)
    with connected(echo_proxy) as newcomer:
        newcomer.sendall(b"anybody?")
        assert_silent(newcomer)
    assert echo.heard == b"ping"

    echo_proxy.thaw()
    assert client.recv(5) == b"lost?"


def test_a_reset_reaches_client_and_server(echo, echo_proxy, client):
    assert ask(client) == b"ping"

    echo_proxy.reset()

    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert echo.heard_end.wait(1)
    assert echo_proxy.open == 0


def test_a_refusing_proxy_keeps_its_connections_and_comes_back(echo_proxy, client):
    assert ask(client) == b"ping"

    echo_proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        connected(echo_proxy)
    assert ask(client) == b"ping"

    echo_proxy.listen()
    with connected(echo_proxy) as newcomer:
        assert ask(newcomer) == b"ping"


def test_a_delay_holds_answers_back(echo_proxy, client):
    echo_proxy.delay(0.2)
    begin = time.monotonic()
    assert ask(client) == b"ping"
    assert 0.2 <= time.monotonic() - begin < 0.9

    echo_proxy.delay(0)
    begin = time.monotonic()
    assert ask(client) == b"ping"
    assert time.monotonic() - begin < 0.2


def test_answers_drip(echo_proxy, client):
    echo_proxy.drip(20)
    client.sendall(b"drops")
    begin = time.monotonic()
    received = [client.recv(5) for _ in range(5)]
    elapsed = time.monotonic() - begin

    assert received == [b"d", b"r", b"o", b"p", b"s"]
    assert 0.15 <= elapsed < 0.9


def test_a_drip_at_a_high_rate_keeps_to_it(echo_proxy, client):
    echo_proxy.drip(100_000)
    begin = time.monotonic()
    ask(client, b"x" * 30_000)

    assert 0.25 <= time.monotonic() - begin < 0.9


def test_new_connections_go_to_the_new_target(echo_proxy, client):
    assert ask(client) == b"ping"
    with Echo(b"other") as other:
        echo_proxy.target(*other.server_address)
        with connected(echo_proxy) as newcomer:
            assert newcomer.recv(5) == b"other"

    assert ask(client) == b"ping"


def test_a_half_closed_connection_still_carries_requests(echo, echo_proxy, client):
    echo_proxy.delay(5)  # nothing may overtake the end
    client.sendall(b"before")
    assert_silent(client)

    echo_proxy.half_close()

    assert client.recv(10) == b""
    client.sendall(b" after")
    client.shutdown(socket.SHUT_WR)
    assert echo.heard_end.wait(1)
    assert echo.heard == b"before after"


def test_a_target_that_refuses_looks_like_a_reset(echo_proxy):
    echo_proxy.target("127.0.0.1", servers.free_port())

    with pytest.raises(ConnectionResetError), connected(echo_proxy) as client:
        ask(client)


def test_a_closed_proxy_leaves_no_thread(echo):
    with Proxy(*echo.server_address) as proxy, connected(proxy) as client:
        assert ask(client) == b"ping"
        name = f"proxy-{proxy.port}"
        assert name in [thread.name for thread in threading.enumerate()]

    assert name not in [thread.name for thread in threading.enumerate()]
    with pytest.raises(ConnectionRefusedError):
        connected(proxy)
