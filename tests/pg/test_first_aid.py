"""What usually goes wrong when pgmon is set up: `pgmon check` says what it is, and what helps."""

from __future__ import annotations

import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
import trustme

import servers
from prometheus import program
from running import pgmon
from servers import Server

newest = pytest.mark.parametrize("pg_version", [servers.NEWEST], ids="pg{}".format, indirect=True, scope="session")
HBA = "pg_hba.conf"


@contextmanager
def admitting(server, rules):
    """Let only in whom `rules` of pg_hba.conf let in."""
    file = Path(server.datadir) / HBA
    usual = file.read_text()
    try:
        _rule(server, file, rules)
        yield
    finally:
        _rule(server, file, usual)


def _rule(server, file, rules):
    with psycopg.connect(host=str(server.folder), port=server.port, user="postgres", autocommit=True) as session:
        before = session.execute("SELECT pg_conf_load_time()").fetchone()
        file.write_text(rules)
        session.execute("SELECT pg_reload_conf()")
        while session.execute("SELECT pg_conf_load_time()").fetchone() == before:
            time.sleep(0.01)


@newest
@pytest.mark.parametrize(
    ("given", "said", "cure"),
    [
        ({"password": "wrong"}, 'password authentication failed for user "monitor"', "PGMON_DSN_FILE"),
        ({"password": ""}, "no password supplied", "PGPASSFILE"),
        ({"user": "nobody"}, 'role "nobody" does not exist', "examples/role.sql"),
        ({"user": "pg_monitor"}, "is not permitted to log in", "ALTER ROLE … LOGIN"),
        ({"dbname": "nix"}, 'database "nix" does not exist', "the name of the database in the DSN"),
        ({"sslmode": "require"}, "server does not support SSL", "set ssl = on in postgresql.conf"),
        ({"port": 1}, "Connection refused", "look whether the server runs, and at host and port"),
        ({"host": "nohost.invalid", "sslmode": "require"}, "failed to resolve host", "host and port of the DSN"),
    ],
    ids=["wrong password", "no password", "no role", "no login", "no database", "no TLS there", "no server", "no host"],
)
def test_a_failed_connect_is_told_with_what_helps(server, given, said, cure):
    code, printed = pgmon("check", dsn=server.dsn(**{"user": "monitor"} | given))

    assert code == 1
    assert said in printed
    assert cure in printed


@newest
def test_a_missing_line_of_pg_hba_is_told_with_the_line_that_helps(server, monitor_dsn):
    with admitting(server, "local all all trust\n"):
        code, said = pgmon("check", dsn=monitor_dsn)

    assert (code, "no pg_hba.conf entry" in said) == (1, True), said
    assert "hostssl all pgmon ADDRESS/32 scram-sha-256" in said


def test_another_host_without_tls_is_told_before_anybody_connects():
    code, said = pgmon("check", dsn="postgresql://pgmon@db.example.com/postgres")

    assert code == 2
    assert "another host needs TLS: add sslmode=verify-full (or require)" in said


@newest
def test_a_certificate_that_nobody_vouches_for_is_told_with_what_helps(server, tmp_path, monitor_dsn):
    theirs, ours = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    issued = theirs.issue_cert("127.0.0.1")
    folder = Path(server.datadir)
    issued.cert_chain_pems[0].write_to_path(str(folder / "server.crt"))
    issued.private_key_pem.write_to_path(str(folder / "server.key"))
    (folder / "server.key").chmod(0o600)
    server._give_away()
    with server.connect() as session:
        session.execute("ALTER SYSTEM SET ssl = on")
        session.execute("SELECT pg_reload_conf()")
        try:
            server.wait_for("SHOW ssl", "on")
            dsn = server.dsn("monitor", sslmode="verify-full", sslrootcert=tmp_path / "ca.pem")
            code, said = pgmon("check", dsn=dsn)
        finally:
            session.execute("ALTER SYSTEM RESET ssl")
            session.execute("SELECT pg_reload_conf()")

    assert (code, "certificate verify failed" in said) == (1, True), said
    assert "name the authority of the server's certificate by sslrootcert" in said


@pytest.fixture(scope="module")
def bare():
    """Return a server that preloads nothing, with the extension but not its library."""
    with Server(servers.NEWEST, {"shared_preload_libraries": ""}) as server:
        servers.prepare(server)
        yield server


def test_a_library_that_is_not_preloaded_is_told_with_what_helps(bare):
    code, said = pgmon("check", dsn=bare.dsn("monitor"))

    assert code == 0
    line = next(line for line in said.splitlines() if " statements " in line)
    assert "must be loaded via" in line
    assert "add pg_stat_statements to shared_preload_libraries and restart the server" in line


def test_an_extension_that_is_missing_is_told_with_what_helps(bare):
    code, said = pgmon("check", dsn=bare.dsn("monitor", "app"))

    line = next(line for line in said.splitlines() if " statements " in line)
    assert (code, line.endswith("CREATE EXTENSION pg_stat_statements")) == (0, True), line


class Bouncer:
    """A pgbouncer before a server, that trusts everybody."""

    def __init__(self, server, folder, **settings):
        self.port, self._settings = servers.free_port(), settings
        self._program = program("pgbouncer", "pgbouncer")
        users = folder / "users"
        users.write_text('"monitor" "{}"\n'.format(servers.PASSWORDS["monitor"].replace('"', '""')))
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "trust",
            "auth_file": users,
            **settings,
        }
        self._ini = folder / "pgbouncer.ini"
        lines = [f"{name} = {value}" for name, value in settings.items()]
        self._ini.write_text(
            "\n".join([f"[databases]\n* = host=127.0.0.1 port={server.port}\n[pgbouncer]", *lines, ""])
        )
        for path in (folder, users, self._ini):
            path.chmod(0o755)

    def __enter__(self):
        command = [*servers.unprivileged(), self._program, str(self._ini)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
        return self

    def __exit__(self, *exc):
        self._process.terminate()
        self._process.wait(10)

    def check(self, server):
        """Return what `pgmon check` says through it, once it listens."""
        give_up = time.monotonic() + 10
        while time.monotonic() < give_up:
            with suppress(psycopg.OperationalError):
                psycopg.connect(server.dsn("postgres", port=self.port), connect_timeout=2).close()
            code, said = pgmon("check", dsn=server.dsn("monitor", port=self.port))
            if "Connection refused" not in said:
                return code, said
        raise TimeoutError("pgbouncer does not listen")


@newest
def test_a_pooler_that_refuses_what_pgmon_sets_is_told_with_what_helps(server, tmp_path):
    with Bouncer(server, tmp_path) as bouncer:
        code, said = bouncer.check(server)

    assert (code, "unsupported startup parameter: options" in said) == (1, True), said
    assert "a pooler is in front: name PostgreSQL's own address in the DSN" in said


@newest
def test_a_pooler_that_drops_what_pgmon_sets_is_told(server, tmp_path):
    with Bouncer(server, tmp_path, ignore_startup_parameters="options,extra_float_digits") as bouncer:
        code, said = bouncer.check(server)

    assert (code, "not read-only by itself: a pooler drops what pgmon sets" in said) == (0, True), said
