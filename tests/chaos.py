"""Incidents played for an agent on duty, whose limits are such that a moment and a few mebibytes pass them.

Time is pushed forward, the server's own is not: ages that the server tells are compared with a moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from pytest_httpserver import HTTPServer

import servers
from duty import FIRED, Duty, on_duty
from pgmon.alerts.alert import Alert
from pgmon.feature import Feature, Tier
from pgmon.features import FEATURES
from pgmon.incidents import cluster, relations, sessions
from pgmon.incidents.scene import Incident, Scene
from pgmon.rule import Rule
from servers import Server

DAY = 86400.0
HALF_HOUR = 1800.0
MOMENT = "{warn: 0.2}"
# What an incident of a moment, and of a few mebibytes, passes.
SENSITIVE = {
    "ALERTS_LONG_TXN_WARN_S": "0.2",
    "ALERTS_IDLE_TXN_WARN_S": "0.2",
    "ALERTS_BLOCKED_WARN_S": "0.2",
    "ALERTS_OVERRIDES": f"{{LockQueue: {MOMENT}, PreparedTransactionOld: {MOMENT}}}",
    "ALERTS_XMIN_WARN": "50",
    "ALERTS_STALE_STATS_S": "0",
    "ALERTS_WAL_SURGE_MIN_BYTES_PER_S": "60000",
    "ALERTS_TEMP_SURGE_MIN_BYTES_PER_S": "40000",
    "ALERTS_SLOT_INACTIVE_BYTES": "16777216",
    "ALERTS_UNUSED_INDEX_DAYS": "0",
    "ALERTS_UNUSED_INDEX_MIN_BYTES": "500000",
}
SIZES: Mapping[Incident, Mapping[str, float]] = {
    sessions.temp_spill: {"rows": 500_000},
    relations.unused_index: {"rows": 50_000},
    cluster.connection_burst: {"used": 0.85},
}
# Seconds that pass before what a rule compares tells of an incident, and after it until it does not any more.
NOTICED = {cluster.inactive_slot: HALF_HOUR}
REMEMBERED = {"WalSurge": 900.0, "TempSurge": 300.0, "CheckpointThrash": HALF_HOUR, "StaleStatistics": 3600.0}
# By which rule an incident's alert fires, where there are several of that name.
BY = {
    sessions.lock_queue: "queue_seconds",
    sessions.held_xmin: "age",
    relations.dead_tuples: "pct_dead",
    relations.stale_statistics: "mods_ratio",
    relations.partition_gap: "partition_ahead_widths",
    relations.rows_in_default: "partition_ahead_widths",
    cluster.connection_burst: "used_ratio",
    cluster.checkpoint_storm: "requested",
    cluster.inactive_slot: "inactive_seconds",
    cluster.wraparound: "tx_age",
}
STEP = {Tier.HOT_PATH: 15.0, Tier.WORKLOAD: 15.0, Tier.STORAGE: 60.0, Tier.HOURLY: 300.0}


@contextmanager
def experienced(major: int, receiver: HTTPServer, **environ: str) -> Iterator[Duty]:
    """Yield an agent that knows its server for more than a day, in which nothing happened."""
    with Server(major, {"max_connections": "30"}) as server:
        servers.prepare(server)
        with server.connect(dbname="app") as admin:
            admin.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON SEQUENCES TO monitor")
            admin.execute("VACUUM ANALYZE")  # autovacuum has less time than passes here
        with on_duty(server, receiver, **SENSITIVE, **environ) as made:
            for _ in range(int(27 * 3600 / HALF_HOUR)):
                made.skip(HALF_HOUR, Tier.HOT_PATH, Tier.WORKLOAD)
            assert made.watch(120) == []
            yield made


def last(duty: Duty, scene: Scene) -> None:
    """Let it last for longer than a moment."""
    scene.command("SELECT pg_sleep(0.25)")


def counted(duty: Duty, scene: Scene) -> None:
    """Let the statistics come in, which before 15 are collected twice a second."""
    scene.command("SELECT pg_sleep(1)")


def burn(duty: Duty, scene: Scene) -> None:
    """Begin a hundred transactions."""
    last(duty, scene)
    with duty.server.connect(dbname="app") as admin:
        admin.execute("DO $$ BEGIN FOR i IN 1..100 LOOP PERFORM txid_current(); COMMIT; END LOOP; END $$")


def change(duty: Duty, scene: Scene) -> None:
    """Change the table after it was seen."""
    duty.watch(3600, 600)
    scene.run(relations.FILL.format(50_000))
    scene.until("pg_stat_get_mod_since_analyze('readings'::regclass) >= 100000")


WORSE: Mapping[Incident, Callable[[Duty, Scene], None]] = {
    sessions.held_xmin: burn,
    cluster.checkpoint_storm: counted,
    relations.stale_statistics: change,
}


def fired(duty: Duty) -> dict[str, Alert]:
    """Return what fires by name."""
    return {alert.name: alert for alert in duty.agent.engine.alerts.values() if alert.fired}


def followed(duty: Duty, name: str, limit: float, step: float) -> dict[str, Alert]:
    """Tick until an alert fires, and for four minutes more; return what fired meanwhile, by name."""
    found, passed = fired(duty), 0.0
    while name not in found:
        assert passed < limit, f"{name} does not fire within {limit} s, but {sorted(found)}"
        duty.tick(step)
        passed += step
        found = fired(duty) | found
    for _ in range(4):
        duty.tick(60)
        found = fired(duty) | found
    return found


def calms(duty: Duty, limit: float, step: float) -> None:
    """Tick until nothing fires and nothing is about to."""
    passed = 0.0
    while duty.agent.engine.alerts:
        assert passed < limit, f"after {limit} s: {[a.message for a in duty.agent.engine.alerts.values()]}"
        duty.tick(step)
        passed += step


def means(rule: Rule, name: str, word: str = "") -> bool:
    """Tell whether a rule has that name, and a field, a value or a threshold of it is `word`, where one is given."""
    chosen = [text for condition in rule.chosen for text in (condition.field, *condition.values)]
    compared = [text for c in rule.compared for text in (c.field, c.warn, c.crit)]
    return rule.name == name and (not word or word in chosen or word in compared)


def rule_meant(name: str, word: str = "") -> tuple[Feature, Rule]:
    """Return the one rule that `means`, with its feature."""
    [found] = [(feature, rule) for feature in FEATURES for rule in feature.rules if means(rule, name, word)]
    return found


def meant(incident: Incident) -> tuple[str, str]:
    """Return the name and the word of the rule by which an incident's alert fires."""
    return incident.alert, BY.get(incident, "")


def rule_of(incident: Incident) -> tuple[Feature, Rule]:
    """Return the rule by which an incident's alert fires, with its feature."""
    return rule_meant(*meant(incident))


def settle(duty: Duty, incident: Incident) -> None:
    """Let what was before be past, and a digest be due if the alert is told in one."""
    if rule_of(incident)[1].advisory:
        duty.skip(DAY)
    for _ in range(6):
        duty.skip(300, Tier.HOT_PATH, Tier.WORKLOAD)
    calms(duty, 7200, 300)
    FIRED.clear()


def played(duty: Duty, incident: Incident, scene: Scene) -> dict[str, Alert]:
    """Let an incident be noticed, in time; return what fired by name."""
    feature, _ = rule_of(incident)
    hold = max(r.hold for f in FEATURES for r in f.rules if r.name == incident.alert)
    step, every = pace(duty, incident), duty.agent.cadences[feature.tier].ttl
    WORSE.get(incident, last)(duty, scene)
    return followed(duty, incident.alert, NOTICED.get(incident, 0.0) + hold + every + step, step)


def pace(duty: Duty, incident: Incident) -> float:
    """Return the seconds between two ticks."""
    return 60.0 if incident in NOTICED else STEP[rule_of(incident)[0].tier]


def recovers(duty: Duty, incident: Incident) -> None:
    """Tick until nothing is left of an incident, which must come soon."""
    remembered, every = REMEMBERED.get(incident.alert, 0.0), duty.agent.cadences[rule_of(incident)[0].tier].ttl
    calms(duty, remembered + every + 600, 300 if remembered else max(pace(duty, incident), 60))
