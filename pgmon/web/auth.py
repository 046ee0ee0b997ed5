"""Who may look: users with bcrypt hashes, and bearer tokens. Where neither is configured, everybody."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import importlib
import secrets
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pgmon.config import Auth, Config
from pgmon.errors import StartError

REMEMBERED = 1000  # logins that worked; a bcrypt hash takes a quarter of a second
PLACES = 2  # passwords at a time, of which one is checked and the others wait: guesses must not take every thread

Check = Callable[[bytes, bytes], bool]


@dataclass(slots=True)
class Logins:
    """The users and tokens there are."""

    users: Mapping[str, str] = field(default_factory=dict)
    tokens: Collection[bytes] = ()
    own: bytes = b""  # of pgmon's own healthcheck, which can read the configuration
    check: Check = hmac.compare_digest
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    _worked: set[bytes] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _places: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(PLACES))

    @classmethod
    def of(cls, config: Config) -> Logins:
        """Return what the configuration says. Raises StartError when it cannot be used."""
        auth = config.http.auth
        users, own = _users(auth), _digest(own_token(config).encode())
        return cls(users, _tokens(auth.bearer_tokens_file), own, _bcrypt() if users else hmac.compare_digest)

    @property
    def challenge(self) -> str:
        """What a client is told to send."""
        basic = ['Basic realm="pgmon", charset="UTF-8"'] if self.users else []
        return ", ".join([*basic, *(['Bearer realm="pgmon"'] if self.tokens else [])])

    def admit(self, authorization: str) -> bool | None:
        """Tell whether who sent this header may look; None when too many wait for that already."""
        if not self.users and not self.tokens:
            return True
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() == "bearer":
            digest = _digest(given.strip().encode())
            return any([hmac.compare_digest(digest, token) for token in (*self.tokens, self.own)])  # no timing
        return self._is_user(given) if scheme.lower() == "basic" and self.users else False

    def _is_user(self, given: str) -> bool | None:
        try:
            name, _, password = base64.b64decode(given, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        mark = hmac.digest(self._key, given.encode(), "sha256")
        if mark in self._worked:
            return True
        works = self._checked(name, password)
        if works and len(self._worked) < REMEMBERED:
            self._worked.add(mark)
        return works

    def _checked(self, name: str, password: str) -> bool | None:
        """Check a password, one at a time."""
        if not self._places.acquire(blocking=False):
            return None
        anybody = next(iter(self.users.values()))  # an unknown user takes as long as a known one
        try:
            with self._lock:
                return self.check(password.encode()[:72], self.users.get(name, anybody).encode()) and name in self.users
        finally:
            self._places.release()


def own_token(config: Config) -> str:
    """Return the token of the healthcheck: only who can read the configuration, the DSN included, can make it.

    Raises StartError.
    """
    auth = config.http.auth
    known = "\0".join((config.dsn.get_secret_value(), *_users(auth).values())).encode()
    key = b"\0".join((known, *_tokens(auth.bearer_tokens_file)))
    return hmac.new(key, b"pgmon --healthcheck", "sha256").hexdigest()


def _users(auth: Auth) -> dict[str, str]:
    """Return the hashes of the users."""
    return {name: secret.get_secret_value() for name, secret in auth.basic_auth_users.items()}


def _bcrypt() -> Check:
    try:
        check: Check = importlib.import_module("bcrypt").checkpw
    except ImportError as exc:
        raise StartError("http.auth.basic_auth_users needs bcrypt: pip install 'pgmon[auth]'") from exc
    return check


def _tokens(path: str) -> list[bytes]:
    """Return the digests of the tokens in a file, one a line; none without a file. Raises StartError."""
    if not path:
        return []
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is no text"
        raise StartError(f"cannot read http.auth.bearer_tokens_file: {reason}") from exc
    found = [_digest(line.strip().encode()) for line in lines if line.strip()]
    if not found:
        raise StartError("http.auth.bearer_tokens_file holds no token: one a line")
    return found


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
