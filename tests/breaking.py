"""Faults of a server and of the way to it: each begins, lasts for as long as the block, and ends.

No pytest in here: the suite holds pgmon against all of them (tests/faults), `tests/bench/faults.py` pgmon and a peer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import trustme
from psycopg import sql

from proxy import Proxy
from servers import Server

HBA = "pg_hba.conf"
REST = "local all all trust\nhost all postgres 127.0.0.1/32 trust\n"  # for everybody but the agent


@dataclass(frozen=True)
class Stage:
    """A server, and the proxy before it through which the agent comes."""

    server: Server
    proxy: Proxy
    authority: trustme.CA | None = None  # of the server's certificate, where it offers TLS


Breaks = Callable[[Stage], AbstractContextManager[object]]


# --- the server -------------------------------------------------------------------------------------------------------


@contextmanager
def stopped(stage: Stage) -> Iterator[None]:
    """The server is stopped in an orderly way."""
    stage.server.stop()
    try:
        yield
    finally:
        stage.server.start()


@contextmanager
def crashed(stage: Stage) -> Iterator[None]:
    """The server crashes, and stays away."""
    stage.server.stop("immediate")
    try:
        yield
    finally:
        stage.server.start()


@contextmanager
def restarted(stage: Stage) -> Iterator[None]:
    """The server is restarted."""
    stage.server.restart()
    yield


@contextmanager
def starting(stage: Stage) -> Iterator[None]:
    """The server recovers from a crash, and lets nobody in."""
    server = stage.server
    gate = Path(server.folder, "gate")
    gate.touch()
    server.stop("immediate")
    Path(server.datadir, "recovery.signal").touch()
    # The command is set by the server's settings; while it runs the server says that it is starting up.
    server.configure({"restore_command": f"while test -e {gate}; do sleep 0.02; done; false"})
    thread = threading.Thread(target=server.start)
    thread.start()
    try:
        while "starting up" not in _refusal(server):
            time.sleep(0.02)
        yield
    finally:
        gate.unlink()
        thread.join()


def _refusal(server: Server) -> str:
    """Return why a server lets nobody in."""
    try:
        server.connect().close()
    except psycopg.OperationalError as exc:
        return str(exc)
    return ""


@contextmanager
def frozen_postmaster(stage: Stage) -> Iterator[None]:
    """The postmaster is frozen, so nobody is let in, and the agent's sessions are ended."""
    server = stage.server
    with ended(server):
        server.freeze()
    try:
        yield
    finally:
        server.thaw()


@contextmanager
def ended(server: Server) -> Iterator[None]:
    """The agent's sessions are ended after the block."""
    with server.connect() as admin:
        yield
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'monitor'")


@contextmanager
def frozen_sessions(stage: Stage, *others: int) -> Iterator[None]:
    """Every session of the agent is frozen, and what else is named; new sessions would be served."""
    for pid in [*stage.server.backends(), *others]:
        stage.server.freeze_backend(pid)
    try:
        yield
    finally:
        stage.server.thaw()


def frozen_entirely(stage: Stage) -> AbstractContextManager[None]:
    """The machine of the server stands still."""
    return frozen_sessions(stage, stage.server.postmaster_pid)


@contextmanager
def full(stage: Stage) -> Iterator[None]:
    """Every connection is taken, those of the agent too."""
    with stage.server.connect() as admin, ExitStack() as crowd:
        while True:
            with suppress(psycopg.OperationalError):
                while True:
                    crowd.enter_context(stage.server.connect())
            if not stage.server.backends():
                break
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'monitor'")
        yield


# --- the network ------------------------------------------------------------------------------------------------------


def proxied(begin: Callable[[Proxy], None], end: Callable[[Proxy], None]) -> Breaks:
    """Return a fault of the network that two calls of the proxy begin and end."""

    @contextmanager
    def fault(stage: Stage) -> Iterator[None]:
        begin(stage.proxy)
        try:
            yield
        finally:
            end(stage.proxy)

    return fault


def _cut_off(proxy: Proxy) -> None:
    proxy.refuse()
    proxy.reset()


black_hole = proxied(Proxy.freeze, Proxy.thaw)
refused = proxied(_cut_off, Proxy.listen)
dripping = proxied(lambda proxy: proxy.drip(1), lambda proxy: proxy.drip(None))
late = proxied(lambda proxy: proxy.delay(3), lambda proxy: proxy.delay(0))


@contextmanager
def repeatedly(stage: Stage, action: Callable[[], None]) -> Iterator[None]:
    """Something happens to the connections again and again."""
    over = threading.Event()

    def again() -> None:
        while not over.wait(0.005):
            action()

    thread = threading.Thread(target=again)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def resets(stage: Stage) -> AbstractContextManager[None]:
    """Every connection is reset within milliseconds."""
    return repeatedly(stage, stage.proxy.reset)


def half_closed(stage: Stage) -> AbstractContextManager[None]:
    """Every connection loses the direction of its answers within milliseconds."""
    return repeatedly(stage, stage.proxy.half_close)


# --- who may come in --------------------------------------------------------------------------------------------------


@contextmanager
def admitting(server: Server, rules: str) -> Iterator[None]:
    """Let only in whom `rules` of pg_hba.conf let in."""
    file = Path(server.datadir) / HBA
    usual = file.read_text()
    try:
        _rule(server, file, rules)
        yield
    finally:
        _rule(server, file, usual)


def _rule(server: Server, file: Path, rules: str) -> None:
    with psycopg.connect(host=str(server.folder), port=server.port, user="postgres", autocommit=True) as session:
        file.write_text(rules)
        _reload(session)


def ruled(rules: str) -> Breaks:
    """Return the fault that pg_hba.conf has other rules for the agent, whose sessions are ended."""

    @contextmanager
    def fault(stage: Stage) -> Iterator[None]:
        with admitting(stage.server, rules + REST):
            with ended(stage.server):
                pass
            yield

    return fault


def altered(alter: str, back: str) -> Breaks:
    """Return the fault that the agent's role was altered, and its sessions ended."""

    @contextmanager
    def fault(stage: Stage) -> Iterator[None]:
        with stage.server.connect() as admin:
            admin.execute(alter)
        with ended(stage.server):
            pass
        try:
            yield
        finally:
            with stage.server.connect() as admin:
                admin.execute(back)

    return fault


@contextmanager
def another_password(stage: Stage) -> Iterator[None]:
    """The role has another password."""
    with stage.server.connect() as admin:
        secret = admin.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'monitor'").fetchone()[0]
        back = sql.SQL("ALTER ROLE monitor PASSWORD {}").format(secret).as_string(admin)
    with altered("ALTER ROLE monitor PASSWORD 'another'", back)(stage):
        yield


no_login = altered("ALTER ROLE monitor NOLOGIN", "ALTER ROLE monitor LOGIN")
expired_password = altered("ALTER ROLE monitor VALID UNTIL '2001-01-01'", "ALTER ROLE monitor VALID UNTIL 'infinity'")
no_connection_left = altered("ALTER ROLE monitor CONNECTION LIMIT 0", "ALTER ROLE monitor CONNECTION LIMIT -1")
rejected = ruled("host all monitor 127.0.0.1/32 reject\n")
tls_required = ruled("hostssl all monitor 127.0.0.1/32 scram-sha-256\n")


# --- locks ------------------------------------------------------------------------------------------------------------


@contextmanager
def locked(stage: Stage, table: str, dbname: str = "postgres") -> Iterator[None]:
    """A relation is locked exclusively."""
    with stage.server.connect(dbname=dbname) as holder, holder.transaction():
        holder.execute(f"LOCK TABLE {table}")
        yield


@contextmanager
def locked_table(stage: Stage) -> Iterator[None]:
    """A table is locked exclusively."""
    with locked(stage, "churned", "app"):
        yield


@contextmanager
def queued_lock(stage: Stage) -> Iterator[None]:
    """Somebody waits for an exclusive lock on a table that another one reads."""
    with closing(stage.server.connect(dbname="app")) as reader, closing(stage.server.connect(dbname="app")) as waiter:
        reader.execute("BEGIN; TABLE churned LIMIT 1")
        waiter.pgconn.send_query(b"BEGIN; LOCK TABLE churned")
        waiter.pgconn.flush()
        stage.server.wait_for(
            f"SELECT wait_event_type FROM pg_stat_activity WHERE pid = {waiter.info.backend_pid}", "Lock"
        )
        yield


@contextmanager
def locked_catalogue(stage: Stage) -> Iterator[None]:
    """pg_class itself is locked: no session of this database that lacks something in its cache gets further."""
    with locked(stage, "pg_catalog.pg_class"):
        yield


# --- TLS --------------------------------------------------------------------------------------------------------------


HOUR = timedelta(hours=1)


@contextmanager
def encrypted(server: Server, certificate: trustme.LeafCert) -> Iterator[None]:
    """The server offers TLS with a certificate, and all sessions of the agent begin anew."""
    present(server, certificate)
    _switch_tls(server, "on")
    try:
        yield
    finally:
        _switch_tls(server, "off")


def present(server: Server, certificate: trustme.LeafCert) -> None:
    """Give the server another certificate."""
    folder = Path(server.datadir)
    certificate.cert_chain_pems[0].write_to_path(str(folder / "server.crt"))
    certificate.private_key_pem.write_to_path(str(folder / "server.key"))
    (folder / "server.key").chmod(0o600)
    server._give_away()


def _switch_tls(server: Server, on: str) -> None:
    with server.connect(sslmode="disable") as admin:
        admin.execute(f"ALTER SYSTEM SET ssl = {on}")
        _reload(admin)
    server.wait_for("SHOW ssl", on)
    with ended(server):
        pass


def _reload(session: psycopg.Connection) -> None:
    """Have the server read its files, and return when it has."""
    before = session.execute("SELECT pg_conf_load_time()").fetchone()
    session.execute("SELECT pg_reload_conf()")
    while session.execute("SELECT pg_conf_load_time()").fetchone() == before:
        time.sleep(0.01)


def presenting(bad: Callable[[trustme.CA], trustme.LeafCert]) -> Breaks:
    """Return the fault that the server has another certificate than the good one of the stage's authority."""

    @contextmanager
    def fault(stage: Stage) -> Iterator[None]:
        assert stage.authority
        present(stage.server, bad(stage.authority))
        _switch_tls(stage.server, "on")
        try:
            yield
        finally:
            present(stage.server, stage.authority.issue_cert("127.0.0.1"))
            _switch_tls(stage.server, "on")

    return fault


@contextmanager
def downgraded(stage: Stage) -> Iterator[None]:
    """The server does not offer TLS any more."""
    _switch_tls(stage.server, "off")
    try:
        yield
    finally:
        _switch_tls(stage.server, "on")


def _expired(authority: trustme.CA) -> trustme.LeafCert:
    now = datetime.now(UTC)
    return authority.issue_cert("127.0.0.1", not_before=now - 2 * HOUR, not_after=now - HOUR)


def _of_another_host(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert("elsewhere.example")


def _of_a_stranger(authority: trustme.CA) -> trustme.LeafCert:
    return trustme.CA().issue_cert("127.0.0.1")


# --- all of them ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fault:
    """A fault that begins and ends, and what a client can truly say of the server while it lasts."""

    number: str
    name: str
    breaks: Breaks
    up: int
    reason: str = ""  # why the server is not seen
    within: float = 30.0  # seconds after its end until the server has to be seen again
    hangs: bool = False  # whoever asks waits in vain


FAULTS: Sequence[Fault] = (
    Fault("F02", "stopped", stopped, 0, "unreachable"),
    Fault("F02", "crashed", crashed, 0, "unreachable"),
    Fault("F02", "refused", refused, 0, "unreachable"),
    Fault("F03", "restarted", restarted, 1),
    Fault("F04", "starting", starting, 0, "starting"),
    Fault("F05", "postmaster frozen", frozen_postmaster, 0, "unreachable", hangs=True),
    Fault("F06", "machine frozen", frozen_entirely, 0, "unreachable", hangs=True),
    Fault("F07", "sessions frozen", frozen_sessions, 0, "unreachable", hangs=True),
    Fault("F08", "black hole", black_hole, 0, "unreachable", hangs=True),
    Fault("F09", "resets", resets, 0, "unreachable"),
    Fault("F09", "half closed", half_closed, 0, "unreachable"),
    Fault("F10", "dripping", dripping, 0, "unreachable", hangs=True),
    Fault("F19", "answers late", late, 0, "unreachable", hangs=True),
    Fault("F15", "full", full, 0, "saturated"),
    Fault("F16", "another password", another_password, 0, "rejected", within=60),
    Fault("F16", "no login", no_login, 0, "rejected", within=60),
    Fault("F16", "password expired", expired_password, 0, "rejected", within=60),
    Fault("F16", "connection limit of the role", no_connection_left, 0, "saturated"),
    Fault("F17", "rejected by pg_hba.conf", rejected, 0, "rejected", within=60),
    Fault("F17", "TLS required by pg_hba.conf", tls_required, 0, "rejected", within=60),
    Fault("F21", "table locked", locked_table, 1),
    Fault("F22", "lock awaited", queued_lock, 1),
    Fault("F23", "pg_class locked", locked_catalogue, 1, hangs=True),
)

# For an agent that insists on TLS, on the name of the server and on the authority of the stage.
TLS_FAULTS: Sequence[Fault] = (
    Fault("F18", "certificate expired", presenting(_expired), 0, "rejected", within=60),
    Fault("F18", "certificate of another host", presenting(_of_another_host), 0, "rejected", within=60),
    Fault("F18", "certificate of an unknown authority", presenting(_of_a_stranger), 0, "rejected", within=60),
    Fault("F18", "TLS not offered", downgraded, 0, "rejected", within=60),
)
