"""A line to a receiver: to an allowed address, and cut when its time is up, whatever the other side does."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
from contextlib import suppress
from types import TracebackType
from typing import Any

from pgmon.notify.notification import DeliveryError

SECONDS = 10.0  # for a whole message, from the connect to the last byte of the answer

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Where clouds hand out credentials to whoever asks from inside: never a receiver of ours.
METADATA = [
    ipaddress.ip_network(network)
    for network in (
        "169.254.0.0/16",  # link-local: AWS, Azure, Google, OpenStack
        "fe80::/10",
        "fd00:ec2::/32",  # AWS
        "fd20:ce::254/128",  # Google
        "100.100.100.200/32",  # Alibaba
        "168.63.129.16/32",  # Azure's wire server
        "192.0.0.192/32",  # Oracle
    )
]
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def refusal(text: str, block_private: bool) -> str:
    """Return why nothing is sent to an address; '' when it is.

    >>> refusal("::ffff:169.254.169.254", False), refusal("10.0.0.1", True), refusal("10.0.0.1", False)
    ('an address of a metadata service is never called', 'private addresses are blocked (notifiers.block_private)', '')
    """
    address = _embedded(ipaddress.ip_address(text.partition("%")[0]))
    if address.is_multicast or address.is_unspecified or any(address in network for network in METADATA):
        return "an address of a metadata service is never called"
    if block_private and not address.is_global:
        return "private addresses are blocked (notifiers.block_private)"
    return ""


def _embedded(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one stands for."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    return inner or (ipaddress.IPv4Address(address.packed[-4:]) if address in NAT64 else address)


class Line:
    """The sockets of one attempt. Timeouts of sockets end no drip: a timer shuts them down."""

    def __init__(self, block_private: bool, seconds: float) -> None:
        self._block_private, self.seconds = block_private, seconds
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self.expired = False

    def __enter__(self) -> Line:
        self._timer.start()
        return self

    def __exit__(self, kind: type | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self._timer.cancel()
        for sock in self._sockets:
            sock.close()

    def _cut(self) -> None:
        self.expired = True
        for sock in self._sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def dial(self, host: str, port: int) -> socket.socket:
        """Return a connection to the very address that was found to be allowed. Raises DeliveryError, OSError."""
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)  # the resolver ends by itself, in its own time
        for *_, address in found:
            if reason := refusal(str(address[0]), self._block_private):
                raise DeliveryError(reason, again=False)
        failure: OSError = OSError("no address")
        for family, kind, protocol, _, address in found:
            try:
                return self._connected(socket.socket(family, kind, protocol), address)
            except OSError as exc:
                failure = exc
        raise failure

    def _connected(self, sock: socket.socket, address: Any) -> socket.socket:
        self._sockets += [sock, sock.dup()]  # the same connection twice: TLS takes the first's descriptor away
        if self.expired:
            raise TimeoutError
        sock.settimeout(self.seconds)
        sock.connect(address)
        return sock


def reason(exc: Exception, line: Line) -> str:
    """Return why there was no answer, in words that never hold an address."""
    if line.expired or isinstance(exc, TimeoutError):
        return f"no answer within {line.seconds:g} s"
    if isinstance(exc, ssl.SSLError) or isinstance(exc.__cause__, ssl.SSLError):
        return "the certificate is not valid, or TLS failed"
    return exc.strerror if isinstance(exc, OSError) and exc.strerror else type(exc).__name__
