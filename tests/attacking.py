"""Clients that no browser and no scraper is: what they send is bytes, and how they take the answer is their own."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from running import Process
from watching import Stalls

LIVEZ = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
METRICS = LIVEZ.replace(b"livez", b"metrics")


def connect(port: int, timeout: float = 5.0) -> socket.socket:
    """Return a connection."""
    return socket.create_connection(("127.0.0.1", port), timeout)


def sent(port: int, data: bytes, timeout: float = 5.0) -> bytes:
    """Send bytes, and return everything that comes until the server ends, or says no more within the timeout."""
    answer = b""
    with connect(port, timeout) as client, suppress(OSError):
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        while more := client.recv(65536):
            answer += more
    return answer


def status(answer: bytes) -> int:
    """Return the status of an answer, 0 when there is none."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.") else 0


@contextmanager
def crowd(port: int, number: int, *first: bytes) -> Iterator[list[socket.socket]]:
    """Keep so many connections open, each of which has said something, and takes no answer."""
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(port)) for _ in range(number)]
        for client in clients:
            with suppress(OSError):  # it may have been replaced
                for data in first:
                    client.sendall(data)
        yield clients


@contextmanager
def dripping(clients: list[socket.socket], drop: bytes, every: float) -> Iterator[None]:
    """Let each of them say something now and then."""
    ended = threading.Event()

    def drip() -> None:
        while not ended.wait(every):
            for client in clients:
                with suppress(OSError):
                    client.send(drop)

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def slowest(agent: Process, paths: tuple[str, ...] = ("/livez", "/metrics"), times: int = 5) -> float:
    """Ask for some pages, each time anew; return the seconds of the slowest answer, less what the machine stalled."""
    stalls = Stalls()
    stalls.start()
    try:
        took = max(_took(lambda path=path: agent.get(path)) for _ in range(times) for path in paths)
    finally:
        stalls.ended.set()
    return took - stalls.total


def _took(ask: Callable[[], tuple[int, str]]) -> float:
    start = time.monotonic()
    assert ask()[0] == 200
    return time.monotonic() - start


def is_ended(client: socket.socket, within: float) -> bool:
    """Tell whether the server ends a connection in time."""
    client.settimeout(within)
    try:
        while client.recv(65536):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True
