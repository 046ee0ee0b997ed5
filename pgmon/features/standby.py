"""A standby's own view of itself (pg_stat_wal_receiver and the recovery functions)."""

from __future__ import annotations

from pgmon.feature import Role, Tier, detail, feature, gauge, row


@row
class Standby:
    """Whether this standby receives and replays, and how old what it shows is."""

    receiver_up: int = gauge(
        "pg_wal_receiver_up", "1 when a WAL receiver streams; 0 when it is cut, or where WAL comes from an archive."
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


STANDBY = feature("standby", Tier.WORKLOAD, Standby, role=Role.STANDBY, panel="replication")
