"""A network namespace, from which a proxy leads to a server, and in which packets can be dropped. It takes root."""

from __future__ import annotations

import ctypes
import os
import random
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from proxy import Proxy, listen
from servers import Server
from watching import eventually

PORT = 5432  # every port of a new namespace is free
SBIN = f"{os.environ['PATH']}:/usr/sbin:/sbin"


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"PATH": SBIN})


class Elsewhere:
    """The way to a server through another network: connect to (host, port)."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._name = f"pgmon-{random.randrange(2**24):x}"
        net = f"198.18.{random.randrange(256)}.{4 * random.randrange(64)}"  # for benchmarks of networks (RFC 2544)
        here, self.host = (net.rpartition(".")[0] + f".{int(net.rpartition('.')[2]) + n}" for n in (1, 2))
        self._links = (f"h{self._name[5:]}", here), (f"n{self._name[5:]}", self.host)
        self._undo = ExitStack()

    def __enter__(self) -> Elsewhere:
        with ExitStack() as undo:
            _run("ip", "netns", "add", self._name)
            undo.callback(_run, "ip", "netns", "delete", self._name)
            (ours, here), (theirs, there) = self._links
            _run("ip", "link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", self._name)
            for inside, link, address in (((), ours, here), (self._inside, theirs, there)):
                _run(*inside, "ip", "address", "add", f"{address}/30", "dev", link)
                _run(*inside, "ip", "link", "set", link, "up")
            proxy = undo.enter_context(Proxy(self._server.host, self._server.port, self._listener()))
            self.port = proxy.port
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._undo.close()

    @property
    def _inside(self) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self._name)

    def _listener(self) -> socket.socket:
        """Return a socket that listens in the namespace; only the thread that makes it enters that."""
        made: list[socket.socket] = []

        def enter() -> None:
            with open(f"/run/netns/{self._name}") as namespace:
                if ctypes.CDLL(None).setns(namespace.fileno(), 0) == 0:
                    made.append(listen(self.host, PORT))

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        return made[0]

    @contextmanager
    def dropping(self) -> Iterator[None]:
        """Whatever is sent to the namespace, or from it, vanishes."""
        for chain in ("INPUT", "OUTPUT"):
            _run(*self._inside, "iptables", "-A", chain, "-j", "DROP")
        try:
            yield
        finally:
            _run(*self._inside, "iptables", "-F")
            eventually(self._is_heard, within=20)  # TCP tries again after ever longer pauses

    def _is_heard(self) -> bool:
        """Whether all that was sent to the namespace has arrived."""
        there = f"{socket.inet_aton(self.host)[::-1].hex()}:{PORT:04x}".upper()
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
        return not any(row[2] == there and not row[4].startswith("00000000:") for row in rows)
