"""Partitioned tables: until when rows have a partition, and what fell through (pg_partitioned_table, pg_inherits)."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from pgmon.bounds import parse, until
from pgmon.config import Config
from pgmon.feature import Before, Feature, Scope, Tier, detail, gauge, kept, label, row
from pgmon.layout import Layout, Part
from pgmon.rates import sticky
from pgmon.rule import Over, Rule, Under

DAY = 86400.0
TABLES, LATEST = 10, 120  # whose ranges are shown, and how many of each
STRATEGIES = {"r": "range", "l": "list", "h": "hash"}


@row
class Table:
    """One partitioned table of any level, with the partitions right below it that are none."""

    oid: int = detail("Its oid.")
    parent: int = detail("The oid of the table that it is a partition of, 0 for a root.")
    schema: str = detail("Its schema.")
    relation: str = detail("Its name, as schema.name.")
    strategy: str = detail("r for range, l for list, h for hash.")
    category: str | None = detail("The pg_type.typcategory of its first key column, absent for an expression.")
    now: float = detail("Server time, seconds since 1970.")
    bound: str = detail("Its own bound, empty for a root.")
    detaching: bool = detail("An interrupted DETACH CONCURRENTLY left it half attached.")
    bounds: list[str] = detail("Bounds of its partitions.")
    live: list[int] = detail("Estimated rows of each of them.")
    dead: int = detail("Estimated dead rows of all of them.")
    detach_pending: int | None = detail("Partitions that are half attached (from 14 on).")


@row
class Partitioned:
    """Partitioned tables with all their levels: until when new rows have a partition, and what fell through."""

    relation: str = label("Partitioned table, as schema.name.")
    partitions: int = gauge("pg_partitions", "Partitions that hold rows, of all levels.")
    runway_seconds: float | None = gauge(
        "pg_partition_runway_seconds",
        "Time until new rows have no partition but DEFAULT, 0 when they have none now. "
        "Absent where there is no such time or it is not known: list, hash, numbers, MAXVALUE.",
        "seconds",
    )
    runway_widths: float | None = gauge(
        "pg_partition_runway_widths", "The runway in usual widths of a partition, the median of the last twelve."
    )
    empty_ahead: int | None = gauge(
        "pg_partition_empty_ahead", "Empty partitions above the uppermost one with rows, where ranges are of numbers."
    )
    gaps: int | None = gauge(
        "pg_partition_gaps", "Gaps between two ranges of times or numbers, in the past and in the future."
    )
    gaps_ahead: int | None = gauge(
        "pg_partition_gaps_ahead", "Gaps between two ranges of times that end in the future."
    )
    default_rows: int | None = gauge(
        "pg_partition_default_rows", "Estimated rows in DEFAULT partitions; absent where there is none."
    )
    default_growth: int | None = gauge(
        "pg_partition_default_growth",
        "Rows by which DEFAULT partitions of ranges grew since the previous reading: there was no other for them.",
    )
    detach_pending: int | None = gauge(
        "pg_partition_detach_pending", "Partitions that an interrupted DETACH CONCURRENTLY left behind (from 14 on)."
    )
    oldest_age_seconds: float | None = gauge(
        "pg_partition_oldest_age_seconds",
        "Age of the end of the oldest partition: all its rows are older. 0 when that is yet to come.",
        "seconds",
    )
    overdue_seconds: float | None = gauge(
        "pg_partition_retention_overdue_seconds",
        "How much older the oldest partition is than partitions.retention allows, 0 when it is not.",
        "seconds",
    )
    strategy: str = detail("By range, list or hash, from the root downwards.")
    width_seconds: float | None = detail("Usual width of a partition.", "seconds")
    live: int = detail("Estimated rows.")
    dead: int = detail("Estimated dead rows.")
    fallen: int | None = kept("Rows in DEFAULT partitions of ranges.")


@row
class PartitionRange:
    """The ranges of times or numbers that partitions cover, of the tables that run out first, the latest of each."""

    relation: str = detail("Partitioned table, as schema.name.")
    kind: str = detail("times, as seconds since 1970, or numbers.")
    start: float | None = detail("Where it begins; absent for MINVALUE.")
    end: float | None = detail("Where it ends; absent for MAXVALUE.")
    live: int = detail("Estimated rows.")
    now: float = detail("Server time, seconds since 1970.")


def partitions(now: Sequence[Table], before: Before[Table, Partitioned] | None, config: Config) -> list[Partitioned]:
    """Return the roots, those first that run out first; who is among them stays for a while."""
    below = _by_parent(now)
    prior = {p.relation: p for p in before.rows} if before else {}
    rows = [_judged(t, below, prior.get(t.relation), config) for t in below[0] if not _is_ignored(t, config)]
    orders = (lambda p: -math.inf if p.runway_widths is None else -p.runway_widths, lambda p: p.live)
    return sticky(rows, lambda p: p.relation, orders, prior, config.limits.top_relations, _is_troubled)


def _by_parent(now: Sequence[Table]) -> Mapping[int, list[Table]]:
    below: dict[int, list[Table]] = defaultdict(list)
    for table in now:
        below[table.parent].append(table)
    return below


def _is_ignored(root: Table, config: Config) -> bool:
    choice = config.partitions
    return any(fnmatchcase(root.schema, pattern) for pattern in choice.exclude_schemas) or any(
        fnmatchcase(root.relation, pattern) for pattern in choice.ignore
    )


def _is_troubled(p: Partitioned) -> bool:
    return bool(p.gaps_ahead or p.default_growth or p.detach_pending or p.overdue_seconds or p.empty_ahead == 0)


def _family(table: Table, below: Mapping[int, Sequence[Table]]) -> list[Table]:
    """Return a partitioned table and all below it, from the root downwards."""
    return [table, *(deeper for t in below.get(table.oid, ()) for deeper in _family(t, below))]


def _layout(table: Table, below: Mapping[int, Sequence[Table]]) -> Layout:
    """Return how the partitions of a table lie; what is half detached takes no rows."""
    parts = [Part(parse(bound), live) for bound, live in zip(table.bounds, table.live, strict=True)]
    for t in below.get(table.oid, ()):
        if not t.detaching:
            parts.append(Part(parse(t.bound), sum(sum(d.live) for d in _family(t, below)), _layout(t, below)))
    return Layout(table.strategy, table.category, parts)


def _judged(
    root: Table, below: Mapping[int, Sequence[Table]], prior: Partitioned | None, config: Config
) -> Partitioned:
    family, layout = _family(root, below), _layout(root, below)
    end = until(layout.coverage(), root.now)
    runway = None if math.isinf(end) else end - root.now
    width = layout.width(end)
    oldest = min(layout.ends(), default=math.inf)
    age = None if math.isinf(oldest) else max(root.now - oldest, 0.0)
    gaps, future, fallen = layout.gaps("times", "numbers"), layout.gaps("times"), layout.default_rows("r")
    pending = [t.detach_pending for t in family if t.detach_pending is not None]
    return Partitioned(
        relation=root.relation,
        partitions=sum(len(t.bounds) + (t.detach_pending or 0) - t.detaching for t in family),
        runway_seconds=runway,
        runway_widths=_widths(runway, width),
        empty_ahead=layout.empty_ahead(),
        gaps=None if gaps is None else len(gaps),
        gaps_ahead=None if future is None else sum(end > root.now for _, end in future),
        default_rows=layout.default_rows("rlh"),
        default_growth=_growth(fallen, prior),
        detach_pending=sum(pending) if pending else None,
        oldest_age_seconds=age,
        overdue_seconds=_overdue(age, config.partitions.retention.get(root.relation)),
        strategy=" / ".join(dict.fromkeys(STRATEGIES[t.strategy] for t in family)),
        width_seconds=width,
        live=sum(sum(t.live) for t in family),
        dead=sum(t.dead for t in family),
        fallen=fallen,
    )


def _widths(runway: float | None, width: float | None) -> float | None:
    """Return the runway in widths. Without any width it is known only when it is over."""
    if runway is None or not (width or runway == 0):
        return None
    return runway / width if width else 0.0


def _growth(fallen: int | None, prior: Partitioned | None) -> int | None:
    if fallen is None or prior is None or prior.fallen is None:
        return None
    return max(fallen - prior.fallen, 0)


def _overdue(age: float | None, allowed: float | None) -> float | None:
    return None if age is None or allowed is None else max(age - allowed, 0.0)


def ranges(now: Sequence[Table], before: Before[Table, PartitionRange] | None, config: Config) -> list[PartitionRange]:
    """Return the latest ranges of the tables that run out first."""
    below = _by_parent(now)
    roots = {t.relation: t for t in below[0]}
    layouts = [(roots[p.relation], _layout(roots[p.relation], below)) for p in partitions(now, None, config)[:TABLES]]
    return [
        PartitionRange(root.relation, layout.kind, _finite(span.start), _finite(span.end), span.part.rows, root.now)
        for root, layout in layouts
        if layout.kind
        for span in layout.spans[-LATEST:]
    ]


def _finite(place: float) -> float | None:
    return None if math.isinf(place) else place


ENDS = "{relation}: new rows have a partition for {runway_seconds:duration} more"
RULES = (
    Rule("PartitionRunway", (Under("runway_widths", "partition_ahead_widths"),), 600.0, ENDS),
    Rule("PartitionRunway", (Under("runway_widths", crit=0.25), Under("runway_seconds", crit=DAY)), 600.0, ENDS),
    Rule("PartitionRunway", (Under("empty_ahead", 1),), 600.0, "{relation}: no empty partition is left"),
    Rule("PartitionRunway", (Over("gaps_ahead", 0),), 600.0, "{relation}: {gaps_ahead} gaps lie ahead"),
    Rule(
        "PartitionRunway",
        (Over("default_growth", 0),),
        600.0,
        "{relation}: {default_growth} more rows fell into DEFAULT, now {default_rows}",
    ),
    Rule(
        "PartitionRunway", (Over("detach_pending", 0),), 600.0, "{relation}: {detach_pending} partitions half detached"
    ),
    Rule(
        "RetentionOverdue",
        (Over("overdue_seconds", 0),),
        3600.0,
        "{relation}: the oldest partition is {overdue_seconds:duration} older than it may be",
        advisory=True,
    ),
)

PARTITIONS = Feature(
    "partitions", Tier.STORAGE, Table, Partitioned, partitions, scope=Scope.DATABASE, panel="partitions", rules=RULES
)
PARTITION_RANGES = Feature(
    "partition_ranges",
    Tier.STORAGE,
    Table,
    PartitionRange,
    ranges,
    scope=Scope.DATABASE,
    of=PARTITIONS,
    panel="partitions",
)
