"""What usually goes wrong when pgmon is set up: `pgmon check` says what it is, and what helps."""

from __future__ import annotations

import pytest
import trustme

import servers
from bouncer import Bouncer
from breaking import admitting, encrypted
from running import command
from servers import Server

newest = pytest.mark.parametrize("pg_version", [servers.NEWEST], ids="pg{}".format, indirect=True, scope="session")


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
    code, printed = command("check", dsn=server.dsn(**{"user": "monitor"} | given))

    assert code == 1
    assert said in printed
    assert cure in printed


@newest
def test_a_missing_line_of_pg_hba_is_told_with_the_line_that_helps(server, monitor_dsn):
    with admitting(server, "local all all trust\n"):
        code, said = command("check", dsn=monitor_dsn)

    assert (code, "no pg_hba.conf entry" in said) == (1, True), said
    assert "hostssl all pgmon ADDRESS/32 scram-sha-256" in said


def test_another_host_without_tls_is_told_before_anybody_connects():
    code, said = command("check", dsn="postgresql://pgmon@db.example.com/postgres")

    assert code == 2
    assert "another host needs TLS: add sslmode=verify-full (or require)" in said


@newest
def test_a_certificate_that_nobody_vouches_for_is_told_with_what_helps(server, tmp_path, monitor_dsn):
    theirs, ours = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with encrypted(server, theirs.issue_cert("127.0.0.1")):
        code, said = command("check", dsn=server.dsn("monitor", sslmode="verify-full", sslrootcert=tmp_path / "ca.pem"))

    assert (code, "certificate verify failed" in said) == (1, True), said
    assert "name the authority of the server's certificate by sslrootcert" in said


@pytest.fixture(scope="module")
def bare():
    """Return a server that preloads nothing, with the extension but not its library."""
    with Server(servers.NEWEST, {"shared_preload_libraries": ""}) as server:
        servers.prepare(server)
        yield server


def test_a_library_that_is_not_preloaded_is_told_with_what_helps(bare):
    code, said = command("check", dsn=bare.dsn("monitor"))

    assert code == 0
    line = next(line for line in said.splitlines() if " statements " in line)
    assert "must be loaded via" in line
    assert "add pg_stat_statements to shared_preload_libraries and restart the server" in line


def test_an_extension_that_is_missing_is_told_with_what_helps(bare):
    code, said = command("check", dsn=bare.dsn("monitor", "app"))

    line = next(line for line in said.splitlines() if " statements " in line)
    assert (code, line.endswith("CREATE EXTENSION pg_stat_statements")) == (0, True), line


def checked(server, bouncer):
    """Return what `pgmon check` says through a pooler."""
    return command("check", dsn=server.dsn("monitor", port=bouncer.port))


@newest
def test_a_pooler_that_refuses_what_pgmon_sets_is_told_with_what_helps(server, tmp_path):
    with Bouncer(server, tmp_path) as bouncer:
        code, said = checked(server, bouncer)

    assert (code, "unsupported startup parameter: options" in said) == (1, True), said
    assert "a pooler is in front: name PostgreSQL's own address in the DSN" in said


@newest
def test_a_pooler_that_drops_what_pgmon_sets_is_told(server, tmp_path):
    with Bouncer(server, tmp_path, ignore_startup_parameters="options,extra_float_digits") as bouncer:
        code, said = checked(server, bouncer)

    assert (code, "not read-only by itself: a pooler drops what pgmon sets" in said) == (0, True), said
