"""What stands around every page: navigation, freshness of the loops, and the verdict over all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from markupsafe import Markup

from pgmon.agent import TIERS
from pgmon.feature import Tier
from pgmon.web import marks
from pgmon.web.checks import Check
from pgmon.web.units import age, duration
from pgmon.web.view import LATE, View
from pgmon.web.words import PAGES, TWINS

COLOURS = {"crit": "%23d0342b", "warn": "%23c27c00"}  # of the favicon, as the style sheet has them
CALM = "%23336791"


@dataclass(frozen=True, slots=True)
class Item:
    """A page in the navigation, and how much is wrong there."""

    name: str
    title: str
    href: str
    count: int
    state: str


@dataclass(frozen=True, slots=True)
class Chip:
    """A loop: how old what it read is."""

    tier: Tier
    state: str  # fresh, stale, error, loading
    icon: str
    age: str
    bar: Markup
    title: str

    @property
    def name(self) -> str:
        """Its name, short."""
        return "hot" if self.tier is Tier.HOT_PATH else str(self.tier)


@dataclass(frozen=True, slots=True)
class Frame:
    """Everything around the content."""

    page: str
    title: str
    nav: Sequence[Item]
    chips: Sequence[Chip]
    about: str
    up: str
    since: str
    state: str  # ok, warn, crit
    icon: str
    pill: str
    mark: str  # before the title
    favicon: str
    twin: str
    now: datetime
    loading: bool


def frame(view: View, page: str, title: str, checks: Sequence[Check], twin: str | None = None) -> Frame:
    """Return the frame of a page; `twin` is its name in the API, where that is not the page's."""
    counts = {s: sum(j.state == s for c in checks for j in c.failing) for s in ("crit", "warn")}
    state, icon, pill = _verdict(view, checks, counts)
    failing = sum(counts.values()) or (state == "crit")
    about, up, since = _about(view)
    return Frame(
        page=page,
        title=title,
        nav=[_item(view, name, words, checks) for name, words in PAGES.items()],
        chips=[chip(view, tier) for tier in TIERS],
        about=about,
        up=up,
        since=since,
        state=state,
        icon=icon,
        pill=pill,
        mark=f"({failing}) " if failing else "",
        favicon=COLOURS.get(state, CALM),
        twin=f"{view.root}api/v1/{twin or TWINS.get(page, page)}" if page in PAGES else "",
        now=datetime.fromtimestamp(view.wall, UTC),
        loading=any(view.snapshots[tier] is None for tier in (Tier.HOT_PATH, Tier.WORKLOAD)),
    )


def _verdict(view: View, checks: Sequence[Check], counts: Mapping[str, int]) -> tuple[str, str, str]:
    """Return state, icon and words of the pill."""
    if view.snapshots[Tier.HOT_PATH] is None:
        return "", "loading", "First reading"
    if not view.is_up:
        return "crit", "crit", "Nothing can be read" if view.is_barred else "Database unreachable"
    if any(counts.values()):
        words = {"crit": "{} critical", "warn": "{} warning" + "s" * (counts["warn"] != 1)}
        state = "crit" if counts["crit"] else "warn"
        return state, state, " · ".join(words[s].format(n) for s, n in counts.items() if n)
    unknown = sum(c.state == "unknown" for c in checks)
    if unknown:
        return "ok", "unknown", f"{unknown} check{'s' * (unknown != 1)} unknown"
    return "ok", "ok", f"All {len(checks)} checks pass"


def _item(view: View, name: str, title: str, checks: Sequence[Check]) -> Item:
    here = [j.state for c in checks for j in c.failing if name in (c.page, "alerts")]
    state = "crit" if "crit" in here else "warn" if here else ""
    return Item(name, title, view.page(name), len(here), state)


def chip(view: View, tier: Tier) -> Chip:
    """Return what to say of a loop."""
    cadence, snapshot = view.agent.cadences[tier], view.snapshots[tier]
    every = f"every {duration(cadence.ttl)}"
    if snapshot is None:
        return Chip(tier, "loading", "loading", "not read yet", marks.bar(None), every)
    seconds = view.now - snapshot.taken
    words = f"{every}; last {duration(snapshot.seconds)} of {duration(cadence.budget)}"
    failed = snapshot.failure is not None
    late = seconds > LATE * cadence.ttl + cadence.budget
    state, icon, said, colour = ("fresh", "ok", "", "")
    if failed:
        taken = [r.taken for r in snapshot.readings.values() if r.taken is not None]
        seconds = view.now - max(taken, default=view.now)
        state, icon, said, colour = "error", "error", "failed", "crit"
        words = f"{words}; {snapshot.failure}"
    elif late:
        state, icon, said, colour = "stale", "stale", "stale", "warn"
    shown = age(seconds) if not failed or seconds > 0 else ""
    share = 100.0 if failed or late else 100 * seconds / cadence.ttl
    return Chip(tier, state, icon, ", ".join(filter(None, (shown, said))), marks.bar(share, (), colour), words)


def _about(view: View) -> tuple[str, str, str]:
    """Return what the server is, since when it is up, and that moment."""
    facts = view.facts
    if facts is None:
        return "the server was not seen yet", "", ""
    major, minor = facts.version
    role = "standby" if facts.in_recovery else "primary"
    since = datetime.fromtimestamp(facts.start_time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"PostgreSQL {major}.{minor} · {role}", duration(max(view.wall - facts.start_time, 0)), since
