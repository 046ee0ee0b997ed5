"""What can go wrong, as a tree.

PgmonError
├── ConfigError    the configuration has faults (all of them, one per line): exit 2
├── GuardError     the role can write, or could not be judged: exit 3
├── StartError     the agent cannot run here (a port is taken, …): exit 1
└── QueryError     PostgreSQL did not give an answer; `kind` says why
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum


class Kind(StrEnum):
    """Why a question to PostgreSQL has no answer."""

    TIMEOUT = "timeout"  # the deadline or statement_timeout passed
    LOCKED = "locked"  # lock_timeout passed
    DENIED = "denied"  # the role may not see it
    MISSING = "missing_extension"  # an extension is not there, or not loaded
    UNSUPPORTED = "not_supported"  # this server has no such thing
    SATURATED = "saturated"  # no connection is left for us
    REJECTED = "rejected"  # password, pg_hba, role, TLS
    GONE = "gone"  # the database does not exist (any more)
    STARTING = "starting"  # starting up, shutting down, in recovery
    UNREACHABLE = "unreachable"  # nobody answers
    REFUSED = "refused"  # the guard does not let us ask
    SKIPPED = "skipped"  # the tier's budget was spent before its turn
    WAITING = "waiting"  # another tier has yet to choose what is asked about
    FAILED = "failed"  # PostgreSQL reported another error
    BUG = "bug"  # pgmon made a mistake


# Nobody else in the flight needs to try after one of these.
NO_CONNECTION = frozenset({Kind.SATURATED, Kind.REJECTED, Kind.STARTING, Kind.UNREACHABLE})


class PgmonError(Exception):
    """The root of pgmon's own errors."""

    exit_code = 1


class ConfigError(PgmonError):
    """The configuration is not usable; `faults` has one sentence per fault, without any secret."""

    exit_code = 2

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


class GuardError(PgmonError):
    """The role may write (or its rights could not be read), so pgmon refuses to run."""

    exit_code = 3


class StartError(PgmonError):
    """pgmon cannot run here; the message names what is in the way."""


class QueryError(PgmonError):
    """PostgreSQL gave no answer. The message may be shown to everybody: it holds no secret."""

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
