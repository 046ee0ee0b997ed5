"""Alerts and messages to try notifiers with, and receivers that behave badly."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from fakes import FakeTime
from pgmon.alerts.alert import Alert
from pgmon.notify.notification import Channel, Notification, Place
from pgmon.notify.sender import Sender
from watching import eventually

HOSTILE = "<!channel> {{7*7}} `x` *y* & <b>z</b> \nBcc: all@example.com"


def alert(name: str = "Dead", severity: Any = "warning", of: str = "t", **rest: Any) -> Alert:
    """Return an alert that fires."""
    made = {
        "key": (name, "", (of,)),
        "severity": severity,
        "state": "firing",
        "advisory": False,
        "labels": {"cluster": "prod", "db": "app", "relation": of},
        "panel": "storage",
        "message": f"{of} is dead",
        "paste": "VACUUM;",
        "pids": frozenset(),
        "since": 1.0,
        "started": 2.0,
    }
    return Alert(**{**made, **rest})


def notification(*firing: Alert, resolved: tuple[Alert, ...] = (), base: str = "") -> Notification:
    """Return a message about alerts."""
    everything = firing or (() if resolved else (alert(),))
    return Notification("Dead", everything, resolved, Place("prod", "db1", "primary"), base)


def tried(channel: Channel) -> tuple[int, int, str]:
    """Return how many messages a channel took and lost of the one it is given, and the last that was said of it.

    Pauses pass at once.
    """
    time = FakeTime()

    def wait(seconds: float) -> bool:
        time.now += seconds
        return False

    sender = Sender(channel, time, wait, lambda low, high: high)
    sender.offer(notification())
    eventually(lambda: not sender.waiting)
    sender.close(5)
    return sender.sent, sender.failed, sender.result


@contextmanager
def listening(talk: Callable[[socket.socket, threading.Event], None]) -> Iterator[int]:
    """Yield the port of a server that does to each client what `talk` does, until it is told to end."""
    ended = threading.Event()

    def meet(client: socket.socket) -> None:
        with client, suppress(OSError):
            talk(client, ended)

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = server.accept()
                threads.append(threading.Thread(target=meet, args=(client,), daemon=True))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threads = [threading.Thread(target=accept, daemon=True)]
        threads[0].start()
        try:
            yield server.getsockname()[1]
        finally:
            ended.set()
            server.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(5)


def hang(client: socket.socket, ended: threading.Event) -> None:
    """Take everything and say nothing."""
    ended.wait()


def drip(text: bytes) -> Callable[[socket.socket, threading.Event], None]:
    """Say something, a byte at a time, for ever."""

    def talk(client: socket.socket, ended: threading.Event) -> None:
        while not ended.is_set():
            for n in range(len(text)):
                client.sendall(text[n : n + 1])
                if ended.wait(0.02):
                    return

    return talk
