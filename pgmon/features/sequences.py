"""How much of each sequence is used up (pg_sequence_last_value against its column's type)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pgmon.config import Config
from pgmon.feature import Before, Feature, Look, Params, Role, Scope, Tier, detail, gauge, kept, label, mark, row
from pgmon.rates import sticky
from pgmon.rule import Over, Rule, Under


@row
class Used:
    """The sequences that are used up most: of each its share of what it, and the column that owns it, can hold."""

    sequence: str = label("Sequence, as schema.name.")
    used_ratio: float | None = gauge(
        "pg_sequence_used_ratio",
        "Used share of the values of a sequence that its owning column's type can hold; absent if it may not be read.",
        "ratio",
    )
    cycles: int = gauge("pg_sequence_cycles", "1 when a sequence begins anew at its end.")
    unread: str = mark("Why it could not be read: locked, as it is being altered, or denied; '' when it was.")
    last_value: int | None = detail("The last value given out; unset before the first.")
    final_value: int = detail("The last value that there can be.")
    owner: str | None = detail("The column that owns it.")
    oid: int = kept("Its pg_class.oid.")
    furthest: int = kept("The last sequence that was looked at.")


@row
class Unreadable:
    """What pgmon's role may not read."""

    sequences: int = gauge(
        "pg_sequences_unreadable",
        "Sequences, of those looked at in the latest refresh, that the role may not read: GRANT SELECT ON SEQUENCE.",
    )


def turns(look: Look) -> Params:
    """Return whom to look at again, and whom last: a refresh reads 200, so many take turns."""
    rows = look(SEQUENCES)
    return {"members": [u.oid for u in rows], "furthest": rows[0].furthest if rows else 0}


def fullest(now: Sequence[Used], before: Before[Used, Used] | None, config: Config) -> list[Used]:
    """Return the sequences used up most, those that could not be read last; who is among them stays for a while."""
    prior = {u.oid: u for u in before.rows} if before else {}
    known = [_kept(u, prior[u.oid]) if u.unread == "locked" and u.oid in prior else u for u in now]
    orders = (lambda u: -1.0 if u.used_ratio is None else u.used_ratio,)
    chosen = sticky(known, lambda u: u.oid, orders, prior.keys(), config.limits.top_relations)
    return [replace(u, furthest=now[-1].oid) for u in chosen]


def _kept(now: Used, last: Used) -> Used:
    return replace(now, used_ratio=last.used_ratio, last_value=last.last_value, unread=last.unread)


def unreadable(now: Sequence[Used], before: Before[Used, Unreadable] | None, config: Config) -> list[Unreadable]:
    """Count what the role may not read."""
    return [Unreadable(sum(u.unread.startswith("denied") for u in now))]


SEQUENCES = Feature(
    "sequences",
    Tier.HOURLY,
    Used,
    Used,
    fullest,
    scope=Scope.DATABASE,
    role=Role.PRIMARY,
    ask=turns,
    panel="storage",
    rules=(
        Rule(
            "SequenceExhaustion",
            (Over("used_ratio", "sequence_warn", "sequence_crit"), Under("cycles", 1)),
            hold=0,
            message="{sequence}: {used_ratio:.0%} used, at {last_value} of {final_value} ({owner})",
        ),
    ),
)
SEQUENCES_UNREADABLE = Feature(
    "sequences_unreadable",
    Tier.HOURLY,
    Used,
    Unreadable,
    unreadable,
    scope=Scope.DATABASE,
    role=Role.PRIMARY,
    of=SEQUENCES,
    panel="storage",
)
