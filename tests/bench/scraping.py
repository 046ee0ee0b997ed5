"""Scrapers that keep their connections, as Prometheus does: how long an answer takes when one or many ask."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Mapping

TIMEOUT = 120.0
ENCODINGS = {"plain": "identity", "gzip": "gzip"}


class Scraper:
    """One connection to /metrics."""

    def __init__(self, port: int, encoding: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        self._asks = (
            f"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept-Encoding: {ENCODINGS[encoding]}\r\n\r\n"
        ).encode()
        self._answer, self._sent = bytearray(), 0.0

    def ask(self) -> None:
        """Send a request."""
        self._answer.clear()
        self._sent = time.perf_counter()
        self.socket.sendall(self._asks)

    def hear(self) -> float | None:
        """Receive some of the answer; return the seconds that it took when that was all. Raises OSError."""
        got = self.socket.recv(1 << 20)
        if not got:
            raise ConnectionError("closed in the middle of an answer")
        self._answer += got
        return time.perf_counter() - self._sent if self._complete() else None

    def _complete(self) -> bool:
        head, end, body = self._answer.partition(b"\r\n\r\n")
        if not end:
            return False
        if b" 200 " not in head[:16]:
            raise OSError(head.decode(errors="replace"))
        _, _, length = head.lower().partition(b"content-length:")
        return len(body) >= int(length.split()[0]) if length else body.endswith(b"0\r\n\r\n")  # or in chunks

    @property
    def body(self) -> bytes:
        """What was answered, as it came; of an answer in chunks their lengths, too."""
        return bytes(self._answer.partition(b"\r\n\r\n")[2])

    def scrape(self) -> float:
        """Ask and wait for the answer; return the seconds that it took."""
        self.ask()
        while (took := self.hear()) is None:
            pass
        return took

    def __enter__(self) -> Scraper:
        return self

    def __exit__(self, *exc: object) -> None:
        self.socket.close()


def crowd(port: int, encoding: str, clients: int, requests: int) -> list[float]:
    """Return the seconds of each of so many requests by clients who ask again as soon as they were answered."""
    scrapers = [Scraper(port, encoding) for _ in range(clients)]
    took: list[float] = []
    with selectors.DefaultSelector() as waiting:
        for scraper in scrapers:
            waiting.register(scraper.socket, selectors.EVENT_READ, scraper)
            scraper.ask()
        while len(took) < requests:
            for key, _ in waiting.select(TIMEOUT):
                if (seconds := key.data.hear()) is not None:
                    took.append(seconds)
                    key.data.ask()
    for scraper in scrapers:
        scraper.socket.close()
    return took


def in_turn(
    ports: Mapping[str, int], encoding: str, clients: int, rounds: int, requests: int
) -> dict[str, list[float]]:
    """Return the sorted seconds of each server, asked in turns so that a busy moment of the machine hits all."""
    took: dict[str, list[float]] = {name: [] for name in ports}
    for _ in range(rounds):
        for name, port in ports.items():
            took[name] += crowd(port, encoding, clients, requests)
    return {name: sorted(seconds) for name, seconds in took.items()}


def quantile(ordered: list[float], q: float) -> float:
    """Return a quantile of sorted numbers.

    >>> quantile([1.0, 2.0, 3.0, 4.0], 0.5), quantile([1.0, 2.0], 0.99)
    (3.0, 2.0)
    """
    return ordered[min(int(len(ordered) * q), len(ordered) - 1)]
