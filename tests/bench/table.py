"""The table of tests/bench/side_by_side.py, ratios first; what is beyond its goal is bold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

BEGIN, END = "<!-- side_by_side.py: begin -->", "<!-- side_by_side.py: end -->"
SIZES = (100, 1_000, 10_000, 100_000)
MS, MB, KB = 1e-3, 1e6, 1e3

Case = Mapping[str, float]
Numbers = Callable[[Case], list[float | None]]  # of which the first has the goal
Goals = tuple[float | None, ...]  # one for each size, or one for all


def number(value: float | None) -> str:
    """Return a number with as many digits as mean something.

    >>> number(0.00312), number(1.234), number(56.78), number(123456.0), number(4), number(None)
    ('0.0031', '1.2', '57', '123,456', '4', '–')
    """
    if value is None:
        return "–"
    if value == int(value) or abs(value) >= 10:
        return f"{value:,.0f}"
    return f"{value:.2g}" if abs(value) < 1 else f"{value:.1f}"


def of(*keys: str, unit: float = 1) -> Numbers:
    """Return what gives some numbers of a case in a unit."""
    return lambda case: [case[key] / unit if key in case else None for key in keys]


def both(key: str, unit: float = 1) -> Numbers:
    """Return what gives a number of pgmon and that of postgres_exporter."""
    return of(f"pgmon_{key}", f"exporter_{key}", unit=unit)


def ratio(above: str, below: str) -> Numbers:
    """Return what gives one number over another."""
    return lambda case: [case[above] / case[below] if case.get(below) and above in case else None]


def title(case: Case) -> list[float | None]:
    """Give no numbers."""
    return []


ROWS: list[tuple[str, Goals, Numbers]] = [
    ("**ratios**", (), title),
    ("CPU of its backends, to postgres_exporter's", (1, None, 0.04, 0.01), ratio("pgmon_cpu", "exporter_cpu")),
    ("execution time, to postgres_exporter's", (), ratio("pgmon_executed", "exporter_executed")),
    (
        "warm scrape p50, to waitress with the same bytes: plain",
        (2,),
        ratio("pgmon_alone_plain_p50", "canned_alone_plain_p50"),
    ),
    ("… gzip", (2,), ratio("pgmon_alone_gzip_p50", "canned_alone_gzip_p50")),
    ("p99 of 50 clients, to the same: plain", (1.5,), ratio("pgmon_crowd_plain_p99", "canned_crowd_plain_p99")),
    ("… gzip", (1.5,), ratio("pgmon_crowd_gzip_p99", "canned_crowd_gzip_p99")),
    ("warm scrape p50, to postgres_exporter's", (), ratio("pgmon_alone_gzip_p50", "exporter_alone_gzip_p50")),
    ("samples, to postgres_exporter's", (), ratio("pgmon_samples", "exporter_samples")),
    ("**pgmon / postgres_exporter**", (), title),
    ("CPU of the backends, s in an hour", (3, None, 6, 18), both("cpu")),
    ("execution time, s in an hour", (), both("executed")),
    ("CPU of the agent, s in an hour", (), both("own_cpu")),
    ("RSS, MB", (80, None, 90, 100), both("rss", MB)),
    ("sessions, one scraper", (), both("sessions")),
    ("sessions, 50 clients", (), both("crowd_sessions")),
    ("samples", (10_000,), both("samples")),
    ("kB, plain", (), both("bytes", KB)),
    ("kB, gzip", (), both("gzip", KB)),
    ("start to a scrape that says the server is up, s", (1.5, 1.5, 1.5, 2), both("up")),
    ("scrape p50, gzip, ms", (), both("alone_gzip_p50", MS)),
    ("scrape p99, gzip, ms", (), both("alone_gzip_p99", MS)),
    ("a scrape without an answer, after s", (), both("unanswered")),
    ("50 clients p50, gzip, ms", (), both("crowd_gzip_p50", MS)),
    ("50 clients p99, gzip, ms", (), both("crowd_gzip_p99", MS)),
    ("**pgmon alone**", (), title),
    ("start to a scrape with all of hot path and workload, s", (), of("pgmon_good")),
    ("warm scrape p50, p99, plain, ms", (), of("pgmon_alone_plain_p50", "pgmon_alone_plain_p99", unit=MS)),
    ("scrape that finds work to do p50, p99, gzip, ms", (), of("pgmon_cold_p50", "pgmon_cold_p99", unit=MS)),
]


def lines(cases: Mapping[str, Case]) -> Iterator[str]:
    """Yield the lines of the table: a column for each version and size."""
    keys = [key for key in cases if "/" in key]
    heads = ["{}: {:,} tables".format(*map(int, key.split("/"))) for key in keys]
    yield "| | goal | " + " | ".join(heads) + " |"
    yield "|---|---|" + "---|" * len(keys)
    for name, goals, numbers in ROWS:
        told = [numbers(case) for case in cases.values()]
        if any(told) and all(n is None for found in told for n in found):
            continue  # of this there was nothing to tell
        cells = [_cell(numbers(cases[key]), _goal(goals, int(key.partition("/")[2]))) for key in keys]
        yield f"| {name} | {', '.join(map(number, goals))} | " + " | ".join(cells) + " |"
    if "application" in cases:
        yield from ["", *_application(cases["application"])]


def _goal(goals: Goals, size: int) -> float | None:
    if len(goals) < len(SIZES):
        return goals[0] if goals else None
    return goals[SIZES.index(size)] if size in SIZES else None


def _cell(numbers: list[float | None], goal: float | None) -> str:
    told = " / ".join(map(number, numbers))
    return f"**{told}**" if numbers and numbers[0] and goal and numbers[0] > goal else told


def _application(case: Case) -> Iterator[str]:
    """Yield the table of what the application loses."""
    yield f"| pgbench, {case['rounds']:.0f} rounds at {case['tps']:,.0f} a second | pgmon | postgres_exporter |"
    yield "|---|---|---|"
    for what, name in (("tps", "transactions a second, %"), ("p99", "99th percentile of latency, %")):
        told = [
            f"{case[f'{agent}_{what}']:+.2f} ± {case[f'{agent}_{what}_half']:.2f}" if f"{agent}_{what}" in case else "–"
            for agent in ("pgmon", "exporter")
        ]
        yield f"| {name} | " + " | ".join(told) + " |"


def write(page: Path, cases: Mapping[str, Case]) -> None:
    """Replace what stands between the markers of a page."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text("\n".join([before + BEGIN, "", *lines(cases), "", END + after]))
