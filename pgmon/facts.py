"""What a server is: everything that chooses SQL or voids a comparison with an earlier reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Incarnation(NamedTuple):
    """What must not differ between two readings that are compared: counters start anew when it does."""

    system_identifier: str
    timeline: int
    in_recovery: bool
    start_time: float
    checkpointer_start: float | None
    server_version_num: int

    def replaces(self, before: Incarnation) -> bool:
        """Tell whether this is another server than that of before, whose counters have counted something else.

        A promoted server moves to its timeline a little after it has left recovery: it is the same one.
        """
        moved = (self.timeline, self.in_recovery) != (before.timeline, before.in_recovery)
        restarted = self.start_time != before.start_time
        return self.system_identifier != before.system_identifier or (moved and restarted)


@dataclass(frozen=True, slots=True)
class Facts:
    """The single row of sql/facts.sql, read at the start of every flight and in every database visited."""

    db: str
    role: str  # session_user
    server_version_num: int  # 160004 for 16.4
    system_identifier: str  # of the cluster, made by initdb
    timeline: int
    in_recovery: bool
    start_time: float  # of the postmaster, seconds since 1970
    checkpointer_start: float | None  # moves at a crash, when start_time does not; None without pg_monitor
    monitors: bool  # the role has (inherits) pg_monitor
    shielded: bool  # read-only, our search_path and UTC are in force in this session
    extensions: Mapping[str, Sequence[str]]  # name → version, schema; of this database
    databases: Sequence[str]  # that the role may connect to

    @property
    def incarnation(self) -> Incarnation:
        """What must not differ between two readings that are compared."""
        return Incarnation(
            self.system_identifier,
            self.timeline,
            self.in_recovery,
            self.start_time,
            self.checkpointer_start,
            self.server_version_num,
        )

    @property
    def began(self) -> float:
        """When its counters began, seconds since 1970: a crash of one process restarts all but the postmaster."""
        return max(self.start_time, self.checkpointer_start or 0.0)

    @property
    def version(self) -> tuple[int, ...]:
        """The release as numbers: (16, 4)."""
        return divmod(self.server_version_num, 10000)
