"""What the features make of their rows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pgmon.config import Config, Limits, Security
from pgmon.feature import Before
from pgmon.features import (
    bloat,
    connections,
    freshness,
    locks,
    replicas,
    sequences,
    slots,
    stale_stats,
    statements,
    throughput,
    wraparound,
)
from pgmon.features.bloat import Bloat
from pgmon.features.connections import Backends
from pgmon.features.freshness import Freshness
from pgmon.features.locks import Session
from pgmon.features.replicas import Sender
from pgmon.features.sequences import Used
from pgmon.features.slots import Held
from pgmon.features.stale_stats import StaleStats
from pgmon.features.statements import OTHER, Cost, Counters, Latency, Statement, Text

CONFIG = Config(limits=Limits(top_queries=2, top_relations=2))


# connections


BACKENDS = [
    Backends("app", "active", "Lock", 2, 100, 97),
    Backends("app", "idle", "", 3, 100, 97),
    Backends("postgres", "active", "", 1, 100, 97),
]


def test_connections_are_counted_over_all_databases():
    assert connections.total(BACKENDS, None, CONFIG)[0].connections == 6


def test_used_is_measured_against_the_usable_connections():
    assert connections.total(BACKENDS, None, CONFIG)[0].used_ratio == 6 / 97


def test_a_database_that_is_seen_has_a_zero_for_each_usual_state():
    rows = {(r.db, r.state): r.sessions for r in connections.by_state(BACKENDS, None, CONFIG)}

    assert rows["postgres", "idle in transaction"] == 0
    assert rows["app", "idle"] == 3


def test_waits_are_counted_by_class():
    rows = {r.wait_event_type: r.sessions for r in connections.waiting(BACKENDS, None, CONFIG)}

    assert (rows["Lock"], rows["IO"]) == (2, 0)


# throughput


def database(commits: int, db: str = "app") -> throughput.Throughput:
    return throughput.Throughput(db, None, commits, 0, *[0] * 12, 0.0, 0.0, *[None] * 8)


def test_transactions_per_second_are_over_the_window():
    before = Before([database(100)], [], 60.0)

    assert throughput.rates([database(700)], before, CONFIG)[0].tps == 10.0


@pytest.mark.parametrize("prior", [800, None])
def test_after_a_reset_or_at_first_there_is_no_rate(prior: int | None):
    before = Before([database(prior)], [], 60.0) if prior else None

    assert throughput.rates([database(700)], before, CONFIG)[0].tps is None


# statements


def counters(queryid: str, calls: int, seconds: float, **more: object) -> Counters:
    made = Counters("app", queryid, True, False, calls, seconds, seconds**2 / max(calls, 1), calls, 0, 0, 0, None)
    return replace(made, **more)


def test_the_first_reading_has_no_other():
    rows = statements.top([counters("1", 9, 1.0), counters("2", 1, 0.5), counters("3", 1, 0.1)], None, CONFIG)

    assert [r.queryid for r in rows] == ["1", "2"]


def test_other_accumulates_the_growth_of_all_the_rest():
    first = [counters("1", 100, 9.0), counters("2", 90, 8.0), counters("3", 10, 0.1)]
    second = [*first[:2], counters("3", 15, 0.3)]
    rows = statements.top(first, None, CONFIG)
    for _ in range(2):
        rows, first, second = (
            statements.top(second, Before(first, rows, 60.0), CONFIG),
            second,
            [*second[:2], counters("3", 20, 0.5)],
        )

    other = next(r for r in rows if r.queryid == OTHER)
    assert (other.calls, other.seconds) == (10, pytest.approx(0.4))


def test_other_leaves_out_what_ran_inside_functions():
    first = [counters("1", 100, 9.0), counters("2", 90, 8.0), counters("3", 10, 0.1, toplevel=False)]
    second = [*first[:2], counters("3", 15, 0.3, toplevel=False)]

    rows = statements.top(second, Before(first, statements.top(first, None, CONFIG), 60.0), CONFIG)

    assert [r for r in rows if r.queryid == OTHER] == []


def test_a_member_counts_its_nested_executions_too():
    rows = statements.top([counters("1", 2, 1.0), counters("1", 3, 1.5, toplevel=False)], None, CONFIG)

    assert (rows[0].calls, rows[0].seconds) == (5, 2.5)


def test_the_latency_of_a_first_reading_is_not_known():
    assert statements.latency([counters("1", 100, 1.0)], None, CONFIG) == [Latency(None, None, None)]


def test_latency_is_that_of_the_window_only():
    before = Before([counters("1", 1000, 1000.0)], [], 10.0)
    now = [counters("1", 1100, 1001.0, squares=before.raw[0].squares + 100 * 0.01**2)]

    latency = statements.latency(now, before, CONFIG)[0]

    assert (latency.mean, latency.qps) == (pytest.approx(0.01), 10.0)
    assert latency.p95 == pytest.approx(0.01, rel=0.01)


def test_an_entry_that_was_evicted_and_came_back_counts_what_it_has():
    before = Before([counters("1", 1000, 1000.0)], [], 10.0)

    assert statements.latency([counters("1", 30, 0.3)], before, CONFIG)[0].mean == pytest.approx(0.01)


def test_a_quiet_window_has_no_latency_but_a_rate_of_zero():
    before = Before([counters("1", 1000, 1.0)], [], 10.0)

    assert statements.latency(before.raw, before, CONFIG) == [Latency(None, None, 0.0)]


def test_what_pgmon_sends_is_no_statement_of_the_top():
    rows = statements.top([counters("1", 2, 1.0), counters("1", 3, 1.5, own=True)], None, CONFIG)

    assert [r.calls for r in rows] == [2]


def test_the_cost_is_our_share_of_what_all_did_in_the_window():
    first = [counters("1", 10, 100.0), counters("2", 10, 2.0, own=True)]
    second = [counters("1", 20, 109.5), counters("2", 20, 2.5, own=True)]
    before = Before(first, statements.cost(first, None, CONFIG), 60.0)

    assert statements.cost(second, before, CONFIG) == [Cost(2.5, 0.05)]


def test_the_cost_stays_true_when_entries_are_evicted():
    first = [counters("1", 10, 100.0), counters("2", 10, 2.0, own=True)]
    second = [counters("3", 10, 9.0), counters("4", 1, 1.0, own=True)]
    before = Before(first, statements.cost(first, None, CONFIG), 60.0)

    assert statements.cost(second, before, CONFIG) == [Cost(3.0, 0.1)]


def test_only_unknown_texts_are_asked_for():
    rows = {
        statements.STATEMENTS: [Statement("app", i, 1, 1.0, 1, 0, 0, 0, None) for i in ("1", "-2", OTHER)],
        statements.TEXTS: [Text("1", "SELECT")],
    }

    assert statements.unknown(rows.get) == {"queryids": [-2]}


def test_nothing_is_asked_when_all_texts_are_known():
    assert statements.unknown(lambda feature: []) is None


def test_texts_are_redacted_before_they_are_kept():
    assert statements.texts([Text("1", "SELECT 'secret'")], None, CONFIG) == [Text("1", "SELECT ?")]


def test_texts_are_as_the_server_has_them_when_told_so():
    config = CONFIG.model_copy(update={"security": Security(redact_sql_text=False)})

    assert statements.texts([Text("1", "SET  a = 'b'")], None, config) == [Text("1", "SET a = 'b'")]


def test_texts_are_bounded():
    before = Before([], [Text(str(n), "") for n in range(100)], 60.0)

    assert len(statements.texts([], before, CONFIG)) == 8


# locks


def session(pid: int, *blockers: int, waited: float | None = None, **more: object) -> Session:
    made = Session(pid, list(blockers), False, "app", "", "active", 1.0, 100.0, waited, True, None, None, "SELECT 'x'")
    return replace(made, **more)


QUEUE = [session(1, state="idle in transaction"), session(2, 1, waited=20.0), session(3, 2, waited=9.0)]


def test_nobody_waiting_is_zero_and_not_unknown():
    row = locks.summary([], None, CONFIG)[0]

    assert (row.blocked, row.longest, row.queued, row.root_pid) == (0, 0.0, 0, None)


def test_a_queue_has_its_root_and_its_length():
    row = locks.summary(QUEUE, None, CONFIG)[0]

    assert (row.blocked, row.queued, row.root_pid, row.root_state) == (2, 1, 1, "idle in transaction")
    assert (row.longest, row.blocked_pid) == (20.0, 2)


def test_the_tree_has_each_waiter_below_its_blocker():
    assert [(n.depth, n.pid, n.blocks) for n in locks.tree(QUEUE, None, CONFIG)] == [(0, 1, 2), (1, 2, 1), (2, 3, 0)]


def test_the_tree_has_no_literals():
    assert {n.query for n in locks.tree(QUEUE, None, CONFIG)} == {"SELECT ?"}


def test_a_prepared_transaction_is_a_root():
    assert locks.tree([session(2, 0, waited=1.0)], None, CONFIG)[0].state == "prepared transaction"


def test_a_deadlock_in_the_making_ends():
    cycle = [session(1, 2, waited=1.0), session(2, 1, waited=2.0)]

    assert locks.summary(cycle, None, CONFIG)[0].blocked == 2
    assert sorted(n.pid for n in locks.tree(cycle, None, CONFIG)) == [1, 2]


def test_without_waitstart_a_wait_is_no_longer_than_since_it_was_not_there():
    batch = [session(1), session(2, 1, waited=33.0, exact=False)]
    before = Before([], locks.summary([], None, CONFIG), 15.0)

    assert locks.summary(batch, before, CONFIG)[0].longest == 15.0


def test_without_waitstart_a_wait_grows_with_time():
    batch = [session(1), session(2, 1, waited=33.0, exact=False)]
    first = locks.summary(batch, Before([], locks.summary([], None, CONFIG), 15.0), CONFIG)
    later = [session(1), session(2, 1, waited=48.0, exact=False)]

    assert locks.summary(later, Before([], first, 15.0), CONFIG)[0].longest == 30.0


def test_the_tree_bounds_waits_as_the_summary_does():
    batch = [session(1), session(2, 1, waited=33.0, exact=False)]

    assert locks.tree(batch, Before([], [], 15.0), CONFIG)[1].waited == 15.0


def test_commits_that_wait_for_a_standby_are_counted_apart():
    row = locks.summary([session(5, syncrep=True)], None, CONFIG)[0]

    assert (row.syncrep, row.blocked) == (1, 0)


# freshness


def test_a_table_of_the_top_stays_for_a_while():
    def table(name: str, due: float) -> Freshness:
        return Freshness(name, None, None, 1, None, None, 0, due)

    before = Before([], [table("b", 1.0)], 60.0)
    rows = freshness.top([table("c", 3.0), table("a", 2.0), table("b", 1.0)], before, CONFIG)

    assert [r.relation for r in rows] == ["c", "b"]


# replication


def sender(replay: int | None, lag: float | None = None, state: str = "streaming", now: float = 100.0) -> Sender:
    return Sender("r1", state, "async", now, 1000, 1000, 1000, replay, lag)


def test_a_standby_that_has_replayed_everything_is_not_behind():
    row = replicas.lags([sender(1000, lag=5.0)], None, CONFIG)[0]

    assert (row.lag_seconds, row.lag_bytes) == (0.0, 0)


@pytest.mark.parametrize("odd", [sender(None, lag=5.0), sender(900, lag=5.0, state="backup")])
def test_what_replays_nothing_has_no_lag(odd: Sender):
    row = replicas.lags([odd], None, CONFIG)[0]

    assert (row.lag_seconds, row.lag_bytes) == (None, None)


def test_lag_grows_while_replay_is_paused_and_the_server_says_the_same():
    rows = replicas.lags([sender(900, lag=1.0, now=100.0)], None, CONFIG)
    for now in (160.0, 220.0):
        rows = replicas.lags([sender(900, lag=1.0, now=now)], Before([], rows, 60.0), CONFIG)

    assert rows[0].lag_seconds == 120.0


def test_the_trail_is_bounded_and_keeps_its_beginning():
    trail = ()
    for n in range(1000):
        trail = replicas.lengthened(trail, float(n), n)

    assert len(trail) <= replicas.SAMPLES
    assert (trail[0], trail[-1]) == ((0.0, 0), (999.0, 999))


def test_lost_standbys_leave_a_zero():
    assert {r.state: r.replicas for r in replicas.by_state([], None, CONFIG)}["streaming"] == 0


def held(now: float, safe: int | None) -> Held:
    return Held("s", "physical", "", True, now, 10, safe, "reserved")


def test_a_slot_has_a_runway_once_its_slope_is_known_for_ten_minutes():
    rows = slots.slots([held(0.0, 6000)], None, CONFIG)
    for minute in range(1, 11):
        rows = slots.slots([held(60.0 * minute, 6000 - 100 * minute)], Before([], rows, 60.0), CONFIG)

    assert rows[0].runway_seconds == 3000.0


def test_a_slot_without_headroom_has_no_runway():
    assert slots.slots([held(0.0, None)], None, CONFIG)[0].runway_seconds is None


# wraparound


def ages(next_xid: int, tx_age: int = 1000, db: str = "app") -> wraparound.Ages:
    return wraparound.Ages(db, tx_age, 0, tx_age / 2e8, None, 200_000_000, None, 2_146_483_647, next_xid)


def read_hourly(derive, readings):
    """Return the rows after readings an hour apart."""
    rows, before = [], None
    for raw in readings:
        rows = derive(raw, before, CONFIG)
        before = Before(raw, rows, 3600.0)
    return rows


def test_xids_are_counted_over_the_last_day_only():
    storm = [[ages(n * 1_000_000)] for n in range(10)]
    calm = [[ages(9_000_000 + n * 3600)] for n in range(1, 26)]

    assert read_hourly(wraparound.runways, storm + calm)[0].xids_per_second == pytest.approx(1.0)


def test_the_oldest_database_is_the_one_that_stops_the_server():
    rows = read_hourly(wraparound.runways, [[ages(n * 3600), ages(n * 3600, 5000, "old")] for n in range(2)])

    assert {r.limit: (r.oldest, r.seconds_left) for r in rows} == {
        "freeze_max_age": ("old", 200_000_000 - 5000),
        "stop": ("old", 2_146_483_647 - 5000),
    }


def test_a_server_that_uses_no_xid_reaches_no_limit():
    assert [r.seconds_left for r in read_hourly(wraparound.runways, [[ages(7)], [ages(7)]])] == [None, None]


@pytest.mark.parametrize(("age", "behind"), [(200_000_000, False), (240_000_000, False), (250_000_000, True)])
def test_autovacuum_is_behind_a_fifth_after_it_had_to_begin(age: int, behind: bool):
    [row] = read_hourly(wraparound.databases, [[ages(0, age)], [ages(3600, age)]])

    assert (row.overdue_seconds_left is not None) == behind


# bloat


def estimate(ratio: float | None, method: str | None, oid: int = 1, age: float | None = 0.0) -> Bloat:
    return Bloat(f"public.t{oid}", None, ratio, method, False, age if method else None, None, 1 << 30, oid)


def test_a_table_keeps_its_estimate_until_its_next_turn():
    row = read_hourly(bloat.estimates, [[estimate(0.3, "fsm_sample")], *[[estimate(None, None)]] * 2])[0]

    assert (row.ratio, row.method, row.age) == (0.3, "fsm_sample", 7200.0)


def test_a_table_whose_turn_never_was_is_not_known():
    row = read_hourly(bloat.estimates, [[estimate(None, None)]] * 2)[0]

    assert (row.ratio, row.age) == (None, None)


@pytest.mark.parametrize(("hours", "method"), [(23, "pgstattuple_approx"), (24, "dead_share")])
def test_the_dead_rows_do_not_replace_a_better_estimate_of_the_same_day(hours: int, method: str):
    readings = [[estimate(0.3, "pgstattuple_approx")], *[[estimate(0.01, "dead_share")]] * hours]

    assert read_hourly(bloat.estimates, readings)[0].method == method
    assert read_hourly(bloat.methods, readings)[0].method == method


def test_whose_estimate_is_oldest_has_the_first_turn():
    rows = [estimate(0.1, "fsm_sample", 1, 0.0), estimate(0.1, "fsm_sample", 2, 7200.0), estimate(None, None, 3)]

    assert bloat.turns(lambda feature: rows) == {"seen": [2, 1]}


# stale statistics


def stale(mods: int, name: str = "a", ratio: float = 1.0, relkind: str = "r") -> StaleStats:
    return StaleStats(name, 10.0, mods, None, ratio, 0.0, 0, relkind)


@pytest.mark.parametrize(("before", "now", "recent"), [(100, 130, 30), (100, 20, 20)])
def test_recent_changes_are_those_since_the_previous_reading_or_analyze(before: int, now: int, recent: int):
    assert read_hourly(stale_stats.stalest, [[stale(before)], [stale(now)]])[0].recent_mods == recent


def test_a_table_that_the_previous_reading_did_not_have_has_no_recent_changes():
    rows = read_hourly(stale_stats.stalest, [[stale(1, "a")], [stale(1, "a"), stale(5, "b")]])

    assert {r.relation: r.recent_mods for r in rows} == {"a": 0, "b": None}


def test_partitioned_tables_stand_behind_the_top_and_take_no_place_in_it():
    now = [*(stale(n, str(n), n) for n in range(4)), replace(stale(0, "p", relkind="p"), mods=None)]

    assert [r.relation for r in stale_stats.stalest(now, None, CONFIG)] == ["3", "2", "p"]


# sequences


def used(oid: int, ratio: float | None, status: str = "ok") -> Used:
    return Used(f"public.s{oid}", ratio, 0, status, None, 9, None, oid, oid)


def test_sequences_that_could_not_be_read_stand_behind_those_that_could():
    rows = sequences.fullest([used(1, None, "denied"), used(2, 0.0), used(3, 0.5)], None, CONFIG)

    assert [r.oid for r in rows] == [3, 2]


def test_a_locked_sequence_keeps_its_value():
    rows = read_hourly(sequences.fullest, [[used(1, 0.9)], [used(1, None, "locked")]])

    assert [(r.used_ratio, r.status) for r in rows] == [(0.9, "locked")]


def test_the_next_turn_begins_behind_the_last_sequence_read():
    rows = sequences.fullest([used(7, 0.9), used(3, 0.1), used(4, 0.0)], None, CONFIG)

    assert sequences.turns(lambda feature: rows) == {"members": [7, 3], "furthest": 4}
