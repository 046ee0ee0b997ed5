"""The rules in force: what the features declare, as the configuration has it, and what explains what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from pgmon.config import Alerts, Override
from pgmon.feature import Feature
from pgmon.rule import Inhibition, Over, Rule

# The first of these that is about a process explains the others that are about it, too: one incident, one page.
ROOT_CAUSES = ("BlockedSessions", "IdleInTransaction", "TempSurge", "LongTransaction", "LockQueue", "XminHeld")
OUR_OWN = ("LoopFailing", "LoopStale")

NO_OVERRIDE = Override.model_validate({})

INHIBITIONS = (
    Inhibition("DatabaseUnreachable"),
    Inhibition("CannotLogIn"),
    *(Inhibition(by, ROOT_CAUSES[n + 1 :], same_process=True) for n, by in enumerate(ROOT_CAUSES[:-1])),
    Inhibition("CommitsWaitingForStandby", ("ReplicaMissing", "ReplicationLag")),
    Inhibition("ConnectionSaturation", OUR_OWN),
    Inhibition("CoverageLost", OUR_OWN),
    Inhibition("PrivilegesGained", (*OUR_OWN, "CoverageLost")),
)


def in_force(
    features: Sequence[Feature[Any, Any]], config: Alerts
) -> Iterator[tuple[Feature[Any, Any], tuple[Rule, ...]]]:
    """Yield the features that have rules, with those that are not disabled, overrides applied."""
    met: set[str] = set()
    for feature in features:
        rules = []
        for rule in feature.rules:
            if rule.name not in config.disabled:
                rules.append(overridden(rule, config.overrides.get(rule.name, NO_OVERRIDE), rule.name not in met))
            met.add(rule.name)
        if rules:
            yield feature, tuple(rules)


def overridden(rule: Rule, override: Override, leading: bool = True) -> Rule:
    """Return a rule as an override has it; `leading`: it is the first of its name, whose first limit is replaced."""
    if leading and (override.warn is not None or override.crit is not None):
        rule = replace(rule, when=_limited(rule, override.warn, override.crit))
    if override.severity is not None:
        rule = replace(rule, when=tuple(_only(c, override.severity) if isinstance(c, Over) else c for c in rule.when))
    return replace(
        rule,
        hold=rule.hold if override.for_ is None else override.for_,
        keep_firing_for=rule.keep_firing_for if override.keep_firing_for is None else override.keep_firing_for,
        advisory=rule.advisory if override.class_ is None else override.class_ == "advisory",
    )


def _limited(rule: Rule, warn: float | None, crit: float | None) -> tuple[Any, ...]:
    first = rule.compared[0]
    limited = replace(first, warn=first.warn if warn is None else warn, crit=first.crit if crit is None else crit)
    return tuple(limited if c is first else c for c in rule.when)


def _only(condition: Over, severity: str) -> Over:
    """Return a condition that tells one severity, as soon as the lesser limit is passed."""
    limit = condition.crit if condition.warn is None else condition.warn
    warn, crit = (limit, None) if severity == "warning" else (None, limit)
    return replace(condition, warn=warn, crit=crit)


def unknown_names(features: Sequence[Feature[Any, Any]], config: Alerts) -> list[str]:
    """Return the names that the configuration has for alerts that do not exist; those of its defaults are left out."""
    known = {rule.name for feature in features for rule in feature.rules}
    ignored = {i.alert for i in config.ignore if i not in Alerts().ignore}
    return sorted({*config.overrides, *config.disabled, *ignored} - known)
