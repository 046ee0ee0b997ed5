"""Replication slots and the WAL that they hold back (pg_replication_slots)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress

from pgmon.config import Config
from pgmon.feature import Before, Feature, Tier, detail, gauge, kept, label, row
from pgmon.rates import Trail, followed
from pgmon.rule import Is, Over, Rule, Under

WINDOW = 600.0  # seconds that a slope is taken over, at least


@row
class Held:
    """One row of pg_replication_slots."""

    slot: str = label("Slot.")
    slot_type: str = detail("physical or logical.")
    db: str = detail("Database of a logical slot.")
    active: bool = detail("A receiver is connected.")
    retained_bytes: int | None = detail("WAL that the slot keeps.", "bytes")
    safe_bytes: int | None = detail("WAL until it may be lost (from 13 on).", "bytes")
    status: str | None = detail("wal_status (from 13 on).")


@row
class Slot:
    """Replication slots: the WAL that each keeps, and how long until it is lost."""

    slot: str = label("Slot.")
    retained_bytes: int | None = gauge("pg_replication_slot_retained_bytes", "WAL that a slot keeps.", "bytes")
    active: int = gauge("pg_replication_slot_active", "1 when a receiver is connected to the slot.")
    safe_bytes: int | None = gauge(
        "pg_replication_slot_safe_bytes",
        "WAL that can still be written before the slot may be lost; absent without max_slot_wal_keep_size.",
        "bytes",
    )
    runway_seconds: float | None = gauge(
        "pg_replication_slot_runway_seconds",
        "Time until the slot may be lost, or the volume of pg_wal be full (wal_volume_bytes, wal_volume_path), at the "
        "pace at which that headroom shrank in the last ten minutes or more.",
        "seconds",
    )
    inactive_seconds: float = gauge(
        "pg_replication_slot_inactive_seconds", "For how long a slot is seen without a receiver.", "seconds"
    )
    slot_type: str = detail("physical or logical.")
    slot_db: str = detail("Database of a logical slot.")
    trail: Trail = kept("Headroom in the past.")


@row
class SlotStatus:
    """Whether the WAL of each slot is still there."""

    slot: str = label("Slot.")
    status: str = label("reserved, extended, unreserved or lost.")
    present: int = gauge("pg_replication_slot_status", "1 for the present wal_status of a slot (from 13 on).")


def runway(trail: Trail) -> float | None:
    """Return the seconds until the headroom is used up, None when it is not shrinking or not known for long enough.

    >>> runway(((0.0, 1000), (600.0, 400)))
    400.0
    >>> runway(((0.0, 1000), (60.0, 400))) is None
    True
    """
    if len(trail) < 2 or trail[-1][0] - trail[0][0] < WINDOW or trail[-1][1] >= trail[0][1]:
        return None
    (start, then), (end, left) = trail[0], trail[-1]
    return max(left, 0) * (end - start) / (then - left)


def slots(now: Sequence[Held], before: Before[Held, Slot] | None, config: Config) -> list[Slot]:
    """Return each slot with its runway."""
    prior, elapsed = {s.slot: s for s in before.rows} if before else {}, before.elapsed if before else 0.0
    return [_slot(s, prior.get(s.slot), elapsed, config) for s in now]


def _slot(s: Held, prior: Slot | None, elapsed: float, config: Config) -> Slot:
    room = headroom(s, config)
    trail = () if room is None else followed(prior.trail if prior else (), elapsed, room, WINDOW)
    return Slot(
        slot=s.slot,
        retained_bytes=s.retained_bytes,
        active=int(s.active),
        safe_bytes=s.safe_bytes,
        runway_seconds=runway(trail),
        inactive_seconds=prior.inactive_seconds + elapsed if prior and not prior.active and not s.active else 0.0,
        slot_type=s.slot_type,
        slot_db=s.db,
        trail=trail,
    )


def headroom(s: Held, config: Config) -> int | None:
    """Return the WAL that can still be written: the server's limit, else what is left of the volume of pg_wal."""
    if s.safe_bytes is not None:
        return s.safe_bytes
    if config.wal_volume_bytes and s.retained_bytes is not None:
        return config.wal_volume_bytes - s.retained_bytes
    return free(config.wal_volume_path) if config.wal_volume_path else None


def free(path: str) -> int | None:
    """Return the bytes that are free on a volume, None when it cannot be looked at."""
    with suppress(OSError):
        volume = os.statvfs(path)
        return volume.f_bavail * volume.f_frsize
    return None


def statuses(now: Sequence[Held], before: Before[Held, SlotStatus] | None, config: Config) -> list[SlotStatus]:
    """Say of each slot whether its WAL is still there."""
    return [SlotStatus(s.slot, s.status, 1) for s in now if s.status]


SLOTS = Feature(
    "slots",
    Tier.WORKLOAD,
    Held,
    Slot,
    slots,
    panel="replication",
    rules=(
        Rule(
            "SlotRunway",
            (Under("runway_seconds", "slot_runway_warn_s", "slot_runway_crit_s"),),
            hold=300,
            message="{slot}: no room is left for its WAL in {runway_seconds:duration}, it keeps {retained_bytes:bytes}",
        ),
        Rule(
            "SlotRunway",
            (Over("retained_bytes", "slot_inactive_bytes"), Over("inactive_seconds", "slot_inactive_s")),
            hold=300,
            message="{slot}: without a receiver for {inactive_seconds:duration}, it keeps {retained_bytes:bytes}",
        ),
    ),
)
SLOT_STATUS = Feature(
    "slot_status",
    Tier.WORKLOAD,
    Held,
    SlotStatus,
    statuses,
    of=SLOTS,
    panel="replication",
    rules=(
        Rule(
            "SlotLost",
            (Is("status", ("lost",)), Over("present", crit=0)),
            hold=0,
            message="{slot} is lost: WAL that its receiver needs is gone",
        ),
        Rule(
            "SlotUnreserved",
            (Is("status", ("unreserved",)), Over("present", 0)),
            hold=0,
            message="{slot} is unreserved: the next checkpoint may remove WAL that its receiver needs",
        ),
    ),
)
