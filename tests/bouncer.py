"""A real PgBouncer before a server, from Debian's package `pgbouncer`."""

from __future__ import annotations

import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import servers
from prometheus import program
from servers import Server


class Bouncer:
    """A PgBouncer that trusts everybody, and listens as long as the context lasts."""

    def __init__(self, server: Server, folder: Path, **settings: object) -> None:
        self.port, self._server = servers.free_port(), server
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

    def __enter__(self) -> Bouncer:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, and return when it listens."""
        command = [*servers.unprivileged(), self._program, str(self._ini)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
        give_up = time.monotonic() + 10
        while time.monotonic() < give_up:
            with suppress(OSError):
                return socket.create_connection(("127.0.0.1", self.port)).close()
            time.sleep(0.02)
        raise TimeoutError("pgbouncer does not listen")

    def stop(self) -> None:
        """End it, and with it every connection."""
        self._process.terminate()
        self._process.wait(10)
