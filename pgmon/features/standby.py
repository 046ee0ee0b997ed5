"""A standby's own view of itself (pg_stat_wal_receiver and the recovery functions)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pgmon.config import Config
from pgmon.feature import Before, Feature, Role, Tier, detail, gauge, row
from pgmon.rule import Over, Rule


@row
class Standby:
    """Whether this standby receives and replays, and how old what it shows is."""

    receiver_up: int = gauge(
        "pg_wal_receiver_up", "1 when a WAL receiver streams; 0 when it is cut, or where WAL comes from an archive."
    )
    receiver_missing: int = gauge(
        "pg_wal_receiver_missing", "1 when no WAL receiver streams; 0 also where replication.archive_only expects none."
    )
    lag_seconds: float | None = gauge(
        "pg_standby_replay_lag_seconds",
        "How old the newest replayed transaction is: 0 when everything received is replayed; absent while the receiver "
        "is cut, when nobody here can know.",
        "seconds",
    )
    paused: int | None = gauge("pg_replay_paused", "1 when replay was paused by hand.")
    unreplayed_bytes: int | None = detail("WAL received and not yet replayed.", "bytes")
    silent_seconds: float | None = detail("Since the last message of the sender.", "seconds")
    sender_host: str | None = detail("Host that it streams from.")


def expected(now: Sequence[Standby], before: Before[Standby, Standby] | None, config: Config) -> list[Standby]:
    """Miss no receiver where WAL comes from an archive."""
    return [replace(s, receiver_missing=0) if config.replication.archive_only else s for s in now]


STANDBY = Feature(
    "standby",
    Tier.WORKLOAD,
    Standby,
    Standby,
    expected,
    role=Role.STANDBY,
    panel="replication",
    rules=(
        Rule(
            "StandbyReceiverDown",
            (Over("receiver_missing", 0),),
            hold=120,
            message="This standby receives no WAL; what it shows grows old",
        ),
        Rule(
            "ReplayPaused",
            (Over("paused", 0),),
            hold=600,
            message="Replay is paused by hand, {unreplayed_bytes:bytes} wait",
        ),
    ),
)
