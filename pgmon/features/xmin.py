"""Who keeps dead rows from being removed (backends, prepared transactions, slots and standbys that hold an xmin)."""

from __future__ import annotations

from collections.abc import Sequence

from pgmon.config import Config
from pgmon.feature import Before, Feature, Tier, detail, gauge, label, row
from pgmon.rule import Over, Rule

HOLDERS = ("backend", "prepared", "slot", "standby")


@row
class Holder:
    """The oldest xmin of each kind of holder: VACUUM removes no row that died after it."""

    holder: str = label("backend, prepared, slot or standby.")
    age: int = gauge("pg_oldest_xmin_age", "Transactions begun since the oldest xmin that a kind of holder holds.")
    who: str = detail("The holder: process, prepared transaction, slot or standby.")
    pid: int | None = detail("Process id of a backend.")
    seconds: float | None = detail("How long it has held it, where that is known.", "seconds")


def zero_filled(now: Sequence[Holder], before: Before[Holder, Holder] | None, config: Config) -> list[Holder]:
    """Return every kind; one that holds nothing keeps nothing back: age 0."""
    found = {h.holder: h for h in now}
    return [found.get(kind, Holder(kind, 0, "", None, None)) for kind in HOLDERS]


XMIN = Feature(
    "xmin",
    Tier.HOT_PATH,
    Holder,
    Holder,
    zero_filled,
    panel="autovacuum",
    rules=(
        Rule(
            "XminHeld",
            (Over("age", "xmin_warn", "xmin_crit"),),
            hold=300,
            message="{holder} {who} keeps the dead rows of the last {age} transactions from being removed",
            pids=("pid",),
        ),
    ),
)
