"""Checkpoints by cause (pg_stat_bgwriter to 16, pg_stat_checkpointer and pg_stat_io from 17)."""

from __future__ import annotations

from collections.abc import Sequence

from pgmon.config import Config
from pgmon.feature import Before, Feature, Role, Tier, counter, feature, gauge, kept, row
from pgmon.rates import Trail, followed, increase
from pgmon.rule import Over, Rule, Under

SHORTEST = 600.0  # seconds after which something can be said: a server that has just started is no evidence
LONGEST = 1800.0  # seconds to look back, or three times checkpoint_timeout
HURRIED = 300.0  # mean interval in seconds that is short, or four fifths of checkpoint_timeout


@row
class Checkpoints:
    """Checkpoints (on a standby: restartpoints) by cause, and what they wrote."""

    checkpoints_timed: int = counter("pg_checkpoints_timed_total", "Checkpoints started by checkpoint_timeout.")
    checkpoints_requested: int = counter(
        "pg_checkpoints_requested_total", "Checkpoints started by max_wal_size, a command or a base backup."
    )
    write_seconds: float = counter(
        "pg_checkpoint_write_seconds_total", "Time that checkpoints spent writing files.", "seconds"
    )
    sync_seconds: float = counter(
        "pg_checkpoint_sync_seconds_total", "Time that checkpoints spent synchronising files.", "seconds"
    )
    buffers: int = counter("pg_checkpoint_buffers_total", "Buffers written by checkpoints.")
    backend_fsync: int | None = counter(
        "pg_backend_fsync_total",
        "Times that a client backend had to call fsync itself: the checkpointer's queue was full.",
    )
    timeout_seconds: float = gauge("pg_checkpoint_timeout_seconds", "The setting checkpoint_timeout.", "seconds")


@row
class Pace:
    """Checkpoints of the last half hour, or of three times checkpoint_timeout; absent until ten minutes are seen."""

    requested: int | None = gauge("pg_checkpoints_recently_requested", "Checkpoints requested lately.")
    requested_share: float | None = gauge(
        "pg_checkpoints_requested_ratio", "Their share in the checkpoints of that time.", "ratio"
    )
    recent: int | None = gauge("pg_checkpoints_recent", "Checkpoints of that time, for whatever cause.")
    interval_ratio: float | None = gauge(
        "pg_checkpoint_interval_ratio",
        "Mean interval between these, per interval that is short: 5 minutes or four fifths of checkpoint_timeout, "
        "whichever is less.",
        "ratio",
    )
    timed_trail: Trail = kept("Timed checkpoints in the past.")
    requested_trail: Trail = kept("Requested checkpoints in the past.")


def pace(now: Sequence[Checkpoints], before: Before[Checkpoints, Pace] | None, config: Config) -> list[Pace]:
    """Return how many checkpoints there were lately, and why."""
    c, last, elapsed = now[0], before.rows[0] if before else None, before.elapsed if before else 0.0
    window = max(LONGEST, 3 * c.timeout_seconds)
    timed = followed(last.timed_trail if last else (), elapsed, c.checkpoints_timed, window)
    requested = followed(last.requested_trail if last else (), elapsed, c.checkpoints_requested, window)
    seen = timed[-1][0] - timed[0][0]
    if seen < SHORTEST:
        return [Pace(None, None, None, None, timed, requested)]
    asked, everything = int(increase(requested)), int(increase(requested) + increase(timed))
    mean = seen / everything if everything else None
    short = min(HURRIED, 0.8 * c.timeout_seconds)
    return [
        Pace(
            requested=asked,
            requested_share=asked / everything if everything else 0.0,
            recent=everything,
            interval_ratio=None if mean is None else mean / short,
            timed_trail=timed,
            requested_trail=requested,
        )
    ]


CHECKPOINTS = feature("checkpoints", Tier.WORKLOAD, Checkpoints, panel="overview")
CHECKPOINT_PACE = Feature(
    "checkpoint_pace",
    Tier.WORKLOAD,
    Checkpoints,
    Pace,
    pace,
    role=Role.PRIMARY,  # a standby counts restartpoints that it skips
    of=CHECKPOINTS,
    panel="overview",
    rules=(
        Rule(
            "CheckpointThrash",
            (Over("requested", 2), Over("requested_share", "checkpoint_requested_share")),
            hold=0,
            message="{requested} of the last {recent} checkpoints were requested ({requested_share:.0%})",
        ),
        Rule(
            "CheckpointThrash",
            (Over("recent", 3), Under("interval_ratio", 1)),
            hold=0,
            message="{recent} checkpoints lately, {requested} of them requested: they follow each other too soon",
        ),
    ),
)
