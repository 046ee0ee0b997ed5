"""What the features make of their rows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pgmon import relations
from pgmon.config import Config, Limits, Security
from pgmon.feature import Before
from pgmon.features import (
    archiver,
    autovacuum,
    bloat,
    checkpoints,
    connections,
    freshness,
    indexes,
    locks,
    partitions,
    replicas,
    sequences,
    slots,
    stale_stats,
    statements,
    subscriptions,
    tables,
    temp,
    throughput,
    transactions,
    wal,
    wraparound,
)
from pgmon.features import standby as standbys
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


def top_of(*readings: list[Counters]) -> dict[str, float]:
    """Return the calls that are shown after some readings, by queryid."""
    before = None
    for now in readings:
        before = Before(now, statements.top(now, before, CONFIG), 60.0)
    return {s.queryid: s.calls for s in before.rows}


def test_the_first_reading_has_an_other_that_has_not_grown():
    rows = [counters("1", 9, 1.0), counters("2", 1, 0.5), counters("3", 1, 0.1)]

    assert top_of(rows) == {"1": 9, "2": 1, OTHER: 0}


def busy(*calls: int) -> list[Counters]:
    """Return the statements 1, 2, … with so many calls, each of the same duration."""
    return [counters(str(n), c, c / 10) for n, c in enumerate(calls, 1)]


def test_what_a_newcomer_grew_by_until_it_came_is_the_growth_of_another():
    assert top_of(busy(100, 90, 10), busy(100, 90, 500)) == {"3": 500, "1": 100, OTHER: 490}


def test_what_comes_back_goes_on_from_where_it_left():
    shown = busy(100, 90, 500), busy(700, 600, 500, 300)
    away = busy(700, 600, 503, 2000), busy(700, 600, 507, 2000)
    back = busy(700, 600, 9000, 2000), busy(700, 600, 9001, 2000)

    assert "3" not in top_of(*shown, *away)
    assert top_of(*shown, *away, *back)["3"] == 501


def test_a_member_shows_that_the_statistics_were_reset():
    assert top_of(busy(100, 90), busy(5, 90))["1"] == 5


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

    assert [r.calls for r in rows if r.queryid == OTHER] == [0]


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
    assert top_of([counters("1", 2, 1.0), counters("1", 3, 1.5, own=True)]) == {"1": 2, OTHER: 0}


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
        statements.STATEMENTS: [Statement("app", i, 1, 1.0, 1, 0, 0, 0, None, ()) for i in ("1", "-2", OTHER)],
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


def test_who_queues_behind_a_waiter_is_told_with_the_root():
    row = locks.summary(QUEUE, None, CONFIG)[0]

    assert (row.queue_pid, row.queue_seconds, row.queue_root_pid) == (3, 9.0, 1)


def test_who_waits_for_one_that_does_not_is_no_queue():
    row = locks.summary(QUEUE[:2], None, CONFIG)[0]

    assert (row.queued, row.queue_seconds, row.queue_pid) == (0, 0.0, None)


# what alerts compare


def lived(derive, readings, config=CONFIG, elapsed=60.0):
    """Return the rows after readings, so many seconds apart."""
    rows, before = [], None
    for raw in readings:
        rows = derive(raw, before, config)
        before = Before(raw, rows, elapsed)
    return rows


def idling(pid: int, seconds: float, application: str = "app") -> transactions.Open:
    state = "idle in transaction"
    return transactions.Open(pid, "app", application, state, "", seconds, seconds, None, 5, False, 1000.0, "")


def test_an_idle_session_that_is_expected_hides_no_other():
    ignore = ({"alert": "IdleInTransaction", "application": "batch"},)
    config = Config.model_validate({"alerts": {"ignore": ignore}})
    row = transactions.idlest([idling(1, 900.0, "batch"), idling(2, 400.0)], None, config)[0]

    assert (row.longest, row.unexpected, row.pid) == (900.0, 400.0, 2)


def checkpointed(timed: int, requested: int) -> list[checkpoints.Checkpoints]:
    return [checkpoints.Checkpoints(timed, requested, 0.0, 0.0, 0, None, 300.0)]


def test_checkpoints_are_counted_over_half_an_hour_and_not_before_ten_minutes():
    early = lived(checkpoints.pace, [checkpointed(5, n) for n in range(10)])[0]
    later = lived(checkpoints.pace, [checkpointed(5, n) for n in range(11)])[0]
    calm = lived(checkpoints.pace, [*(checkpointed(5, n) for n in range(11)), *[checkpointed(5, 10)] * 40])[0]

    assert (early.requested, early.requested_share) == (None, None)
    assert (later.requested, later.requested_share, later.interval_ratio) == (10, 1.0, 60.0 / 240.0)
    assert (calm.requested, calm.recent, calm.interval_ratio) == (0, 0, None)


def archived(done: int, failed: int) -> list[archiver.Archiver]:
    return [archiver.Archiver(done, failed, None, 0, None, "0001")]


@pytest.mark.parametrize(
    ("readings", "failures"), [([(5, 9)], 0), ([(5, 9), (5, 12)], 3), ([(5, 9), (5, 12), (6, 13)], 0)]
)
def test_failures_to_archive_are_those_since_the_last_success(readings, failures: int):
    assert lived(archiver.failures, [archived(*r) for r in readings])[0].failures == failures


def test_deadlocks_are_those_of_the_last_ten_minutes():
    readings = [[replace(database(1), deadlocks=n)] for n in (3, 9, *[9] * 12)]

    assert lived(throughput.faults, readings[:2])[0].deadlocks == 6
    assert lived(throughput.faults, readings)[0].deadlocks == 0


@pytest.mark.parametrize(("failures", "corrupt"), [(None, None), (0, 0), (2, 1)])
def test_a_wrong_checksum_is_told_until_it_is_reset(failures, corrupt):
    assert throughput.faults([replace(database(1), checksum_failures=failures)], None, CONFIG)[0].corrupt == corrupt


def standby(name: str, sync: str = "async", **more: object) -> Sender:
    return replace(sender(1000), replica=name, sync_state=sync, **more)


def test_a_standby_that_was_there_for_ten_minutes_is_missed_for_a_day():
    long, short = [[standby("r1", "sync")]] * 11, [[standby("r1")]] * 5
    [gone] = lived(replicas.familiar, [*long, []])

    assert (gone.replica, gone.missing, gone.synchronous_missing, gone.gone_seconds) == ("r1", 1, 1, 60.0)
    assert lived(replicas.familiar, [*short, []]) == []
    assert lived(replicas.familiar, [*long, *[[]] * 1441]) == []
    assert [f.missing for f in lived(replicas.familiar, [*long, [], [standby("r1")]])] == [0]


def test_a_base_backup_that_ends_is_not_missed():
    assert lived(replicas.familiar, [[standby("b", state="backup")]] * 11 + [[]]) == []


def test_there_are_fewer_standbys_than_expected():
    config = Config.model_validate({"replication": {"expected": 3}})

    assert replicas.expected([standby("a"), standby("b", state="backup")], None, config)[0].fewer == 2
    assert replicas.expected([standby("a")], None, CONFIG)[0].fewer == 0


def test_a_slot_without_a_receiver_is_counted_from_when_it_is_seen():
    readings = [[replace(held(None), active=active)] for active in (True, False, False, False)]

    assert lived(slots.slots, readings)[0].inactive_seconds == 120.0


def test_the_headroom_of_a_slot_without_a_limit_is_that_of_its_volume():
    config = Config.model_validate({"wal_volume_bytes": 7000})
    readings = [[replace(held(None), retained_bytes=1000 + 100 * n)] for n in range(11)]

    assert lived(slots.slots, readings, config)[0].runway_seconds == 3000.0
    assert lived(slots.slots, readings)[0].runway_seconds is None


def test_errors_of_a_subscription_are_those_of_the_last_quarter_of_an_hour():
    readings = [[subscriptions.SubscriptionErrors("app", "s", "apply", n)] for n in (1, 4, *[4] * 16)]

    assert lived(subscriptions.lately, readings[:2])[0].errors == 3
    assert lived(subscriptions.lately, readings)[0].errors == 0


def test_a_standby_that_lives_on_an_archive_misses_no_receiver():
    config = Config.model_validate({"replication": {"archive_only": True}})
    cut = standbys.Standby(0, 1, None, 0, None, None, None)

    assert standbys.expected([cut], None, config)[0].receiver_missing == 0
    assert standbys.expected([cut], None, CONFIG)[0].receiver_missing == 1


def test_workers_are_busy_for_as_long_as_all_are():
    worker = autovacuum.Process(1, 7, True, "app", "", "scanning heap", 1.0, None, None)
    nobody = autovacuum.Process(1, *[None] * 8)

    assert lived(autovacuum.summary, [[worker]] * 3)[0].busy_seconds == 120.0
    assert lived(autovacuum.summary, [[worker], [nobody], [worker]])[0].busy_seconds == 0.0


def test_a_directory_of_wal_is_measured_against_what_it_may_well_have():
    position = wal.Position(0, 0, None, None, None, 500, 100, 50, "slot s")

    assert wal.accumulated([position], None, CONFIG)[0].directory_ratio == 2.0


def test_temporary_files_are_counted_once_whether_open_or_closed():
    def files(open_bytes: int, closed: int) -> list[temp.Files]:
        return [temp.Files(1, 1, open_bytes, open_bytes, closed, "", "", None, "")]

    written = [files(0, 0), files(600, 0), files(0, 0), files(0, 600), *[files(0, 600)] * 2]
    assert lived(temp.live, written)[0].window_rate == 2.0


# freshness


@pytest.mark.fault("F36")
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


def held(safe: int | None) -> Held:
    return Held("s", "physical", "", True, 10, safe, "reserved")


def test_a_slot_has_a_runway_once_its_slope_is_known_for_ten_minutes():
    readings = [[held(6000 - 100 * minute)] for minute in range(11)]

    assert lived(slots.slots, readings[:10])[0].runway_seconds is None
    assert lived(slots.slots, readings)[0].runway_seconds == 3000.0


def test_the_headroom_on_a_mounted_volume_is_what_is_free_there(tmp_path):
    free, nothing = (Config.model_validate({"wal_volume_path": str(tmp_path / p)}) for p in ("", "gone"))

    assert slots.headroom(held(None), free) > 0
    assert slots.headroom(held(None), nothing) is None


def test_a_slot_without_headroom_has_no_runway():
    assert slots.slots([held(None)], None, CONFIG)[0].runway_seconds is None


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

    assert bloat.turns(lambda feature: rows)["seen"] == [2, 1]


# stale statistics


def stale(mods: int, name: str = "a", ratio: float = 1.0, relkind: str = "r") -> StaleStats:
    return StaleStats(name, 10.0, mods, None, ratio, 0.0, 0, None, relkind)


@pytest.mark.parametrize(("before", "now", "recent"), [(100, 130, 30), (100, 20, 20)])
def test_recent_changes_are_those_since_the_previous_reading_or_analyze(before: int, now: int, recent: int):
    assert read_hourly(stale_stats.stalest, [[stale(before)], [stale(now)]])[0].recent_mods == recent


def test_a_table_that_the_previous_reading_did_not_have_has_no_recent_changes():
    rows = read_hourly(stale_stats.stalest, [[stale(1, "a")], [stale(1, "a"), stale(5, "b")]])

    assert {r.relation: r.recent_mods for r in rows} == {"a": 0, "b": None}


def test_partitioned_tables_stand_behind_the_top_and_take_no_place_in_it():
    now = [*(stale(n, str(n), n) for n in range(4)), replace(stale(0, "p", relkind="p"), mods=None)]

    assert [r.relation for r in stale_stats.stalest(now, None, CONFIG)] == ["3", "2", "p"]


def test_what_was_never_analyzed_is_watched_from_when_it_is_seen():
    new = replace(stale(5), age=None, never_analyzed=1)

    assert read_hourly(stale_stats.stalest, [[new], [new]])[0].unanalyzed_seconds == 3600.0
    assert read_hourly(stale_stats.stalest, [[new], [stale(5)]])[0].unanalyzed_seconds is None


# sequences


def used(oid: int, ratio: float | None, unread: str = "") -> Used:
    return Used(f"public.s{oid}", ratio, 0, unread, None, 9, None, oid, oid)


def test_sequences_that_could_not_be_read_stand_behind_those_that_could():
    rows = sequences.fullest([used(1, None, "denied"), used(2, 0.0), used(3, 0.5)], None, CONFIG)

    assert [r.oid for r in rows] == [3, 2]


def test_a_locked_sequence_keeps_its_value():
    rows = read_hourly(sequences.fullest, [[used(1, 0.9)], [used(1, None, "locked")]])

    assert [(r.used_ratio, r.unread) for r in rows] == [(0.9, "")]


def test_the_next_turn_begins_behind_the_last_sequence_read():
    rows = sequences.fullest([used(7, 0.9), used(3, 0.1), used(4, 0.0)], None, CONFIG)

    assert sequences.turns(lambda feature: rows) == {"members": [7, 3], "furthest": 4}


# tables


def table(name: str, dead: int = 0, live: int = 1000, **more: object) -> tables.Table:
    made = tables.Table(name, 1, 0, 0.0, live, dead, 0.0, None, 0.0, 0.0, 0.0, None, None, None, None, None, None)
    return replace(made, **more)


def test_an_empty_table_has_no_share_of_dead_rows_but_0():
    assert tables.tuples([table("t", live=0)], None, CONFIG)[0].pct_dead == 0.0


def test_tables_that_violate_the_rule_come_first():
    rows = tables.tuples([table("big", 10**6, 10**8), table("due", dead_due=9.0), table("bad", 200_000)], None, CONFIG)

    assert [r.relation for r in rows] == ["bad", "big"]


@pytest.mark.parametrize(
    ("vacuumed", "held", "kept_by"), [(60.0, 90.0, "r1"), (60.0, None, "r1"), (60.0, 30.0, ""), (None, 90.0, "")]
)
def test_who_keeps_dead_rows_is_known_when_vacuum_came_meanwhile(vacuumed, held, kept_by):
    assert table("t", vacuumed_seconds=vacuumed, holder="r1", holder_seconds=held).kept_by == kept_by


def held_for(*xids: int | None) -> float:
    """Return for how long an xid is held, read every ten minutes."""
    rows: list[tables.HeldBack] = []
    for n, xid in enumerate(xids):
        rows = tables.held_back([table("t", holder="r1", held_xid=xid)], Before([], rows, 600.0) if n else None, CONFIG)
    return rows[0].seconds


def test_an_xid_is_held_for_as_long_as_it_is_the_same():
    assert [held_for(7), held_for(7, 7, 7), held_for(7, 7, 8), held_for(7, None, 7), held_for(None, None)] == [
        0,
        1200,
        0,
        0,
        0,
    ]


def test_a_table_that_is_vacuumed_again_and_again_is_not_behind():
    busy = table("t", dead_due=9.0, vacuumed_seconds=30.0)
    rows = lived(tables.due, [[busy]] * 3, elapsed=600.0)
    behind = next(r for r in rows if r.reason == "dead")

    assert not tables.BEHIND.holds(behind, "warning", CONFIG.alerts.thresholds)
    assert tables.BEHIND.holds(replace(behind, overdue_seconds=600.0), "warning", CONFIG.alerts.thresholds)


def test_only_reasons_that_autovacuum_looks_at_are_listed():
    rows = tables.due([table("t", dead_due=None, analyze_due=None)], None, CONFIG)

    assert [r.reason for r in rows] == ["freeze", "multixact"]


def overdue(*now: tables.Table, reason: str = "dead") -> float:
    """Return for how long a table is overdue, read every ten minutes."""
    rows: list[tables.Due] = []
    for n, t in enumerate(now):
        rows = tables.due([t], Before([], rows, 600.0) if n else None, CONFIG)
    return next(r.overdue_seconds for r in rows if r.reason == reason)


DUE = table("t", dead_due=2.0, analyze_due=2.0)


def test_a_table_is_overdue_since_it_was_first_seen_to_be_due():
    assert overdue(DUE) == 0.0
    assert overdue(DUE, DUE, DUE) == 1200.0


def test_a_table_that_was_vacuumed_in_between_is_not_overdue_even_if_it_is_due_again():
    assert overdue(DUE, DUE, replace(DUE, vacuumed_seconds=100.0)) == 0.0
    assert overdue(DUE, DUE, replace(DUE, vacuumed_seconds=3600.0)) == 1200.0


def test_an_analyze_is_no_vacuum():
    analyzed = replace(DUE, analyzed_seconds=100.0)

    assert overdue(DUE, DUE, analyzed) == 1200.0
    assert overdue(DUE, DUE, analyzed, reason="analyze") == 0.0


def test_a_table_that_is_not_due_any_more_is_not_overdue():
    assert overdue(DUE, DUE, table("t", dead_due=0.5), DUE) == 0.0


def test_the_largest_and_those_that_grew_most_are_measured():
    small = [table(f"t{n}", oid=n, estimated_bytes=n, grown=0.0) for n in range(10)]
    grown = table("grown", oid=99, estimated_bytes=0, grown=5.0)

    rows = relations.candidates([*small, grown], None, CONFIG)

    assert [r.oid for r in rows if r.measured] == [9, 8, 7, 6, 99]
    assert [r.oid for r in rows] == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 99]


def measured(name: str, size: int | None, locked: bool = False, relkind: str = "r") -> tables.Measured:
    toast, indexes = (None, None) if size is None else (30, 50)
    return tables.Measured(relkind, name, size, toast, indexes, 7, locked)


def test_a_table_that_is_locked_stays_as_large_as_it_was_for_as_long_as_it_is():
    rows = tables.sizes([measured("t", 100)], None, CONFIG)
    for _ in range(2):
        rows = tables.sizes([measured("t", None, locked=True)], Before([], rows, 600.0), CONFIG)

    assert rows == [tables.Size("r", "t", 100, 70, 30, 50, "locked")]


def test_a_table_that_was_never_measured_is_estimated_for_as_long_as_it_is_locked():
    rows: list[tables.Size] = []
    for _ in range(2):
        rows = tables.sizes([measured("t", None, locked=True)], Before([], rows, 600.0), CONFIG)

    assert rows == [tables.Size("r", "t", 7, None, None, None, "estimated")]


def test_a_table_without_a_size_that_is_not_locked_is_gone():
    assert tables.sizes([measured("t", None)], None, CONFIG) == []


def test_a_partitioned_table_is_what_was_measured_and_what_was_estimated():
    rows = tables.partitioned([measured("t", 100, relkind="p")], None, CONFIG)

    assert rows == [tables.PartitionedSize("t", 107, "estimated")]


# indexes


def index(scans: int = 0, **more: object) -> indexes.Found:
    made = indexes.Found("i", "t", 10**9, 0, False, scans, scans, None, True, False, None, 99 * 86400.0)
    return replace(made, **more)


def unused(*now: indexes.Found, every: float = 86400.0) -> int | None:
    rows: list[indexes.Verdict] = []
    for n, found in enumerate(now):
        rows = indexes.verdicts([found], Before([], rows, every) if n else None, CONFIG)
    return rows[0].unused


def test_an_index_is_unused_after_a_week_without_a_scan():
    assert unused(*[index()] * 7) == 0
    assert unused(*[index()] * 8) == 1


def test_the_evidence_is_no_older_than_the_statistics():
    assert unused(*[index(evidence_seconds=3600.0)] * 9) == 0


def test_a_scan_starts_the_week_anew():
    assert unused(*[index(5)] * 5, *[index(6)] * 5) == 0


def test_an_index_scanned_long_ago_is_unused_at_once_where_that_is_known():
    assert unused(index(5, last_scan_seconds=8 * 86400.0)) == 1
    assert unused(index(5, last_scan_seconds=6 * 86400.0)) == 0


def test_a_standby_knows_of_no_unused_index():
    assert unused(*[index(evidence_seconds=None)] * 9) is None


def test_indexes_that_could_go_or_are_broken_come_first():
    others = [index(index=f"big{n}") for n in range(4)]
    config = Config(limits=Limits(top_indexes=2))

    rows = indexes.verdicts([*others, index(index="broken", bytes=1, invalid=True)], None, config)

    assert [r.index for r in rows] == ["broken", "big0"]


# partitions


def root(*bounds: str, live: int = 0, **more: object) -> partitions.Table:
    made = partitions.Table(1, 0, "public", "public.t", "r", "D", 86400.0, "", False, [*bounds], [], 0, 0)
    return replace(made, **{"live": [live] * len(bounds), **more})


TWO_DAYS = [f"FOR VALUES FROM ('1970-01-0{n}') TO ('1970-01-0{n + 1}')" for n in (1, 2)]


def test_the_runway_is_told_in_seconds_and_in_widths():
    [found] = partitions.partitions([root(*TWO_DAYS, now=86400.0 * 1.5)], None, CONFIG)

    assert (found.runway_seconds, found.runway_widths) == (43200.0, 0.5)


def test_without_a_width_only_a_runway_that_is_over_is_known():
    endless = "FOR VALUES FROM (MINVALUE) TO ('1970-01-03')"

    assert partitions.partitions([root(endless)], None, CONFIG)[0].runway_widths is None
    assert partitions.partitions([root(endless, now=1e9)], None, CONFIG)[0].runway_widths == 0.0


def test_growth_of_default_needs_two_readings_and_is_never_negative():
    def grown(*live: int) -> int | None:
        rows: list[partitions.Partitioned] = []
        for n, rows_in_default in enumerate(live):
            rows = partitions.partitions(
                [root("DEFAULT", live=rows_in_default)], Before([], rows, 600.0) if n else None, CONFIG
            )
        return rows[0].default_growth

    assert (grown(5), grown(5, 7), grown(7, 5)) == (None, 2, 0)


def test_what_is_half_detached_below_takes_no_rows():
    below = root(oid=2, parent=1, bound=TWO_DAYS[1], detaching=True, detach_pending=1)

    [found] = partitions.partitions([root(TWO_DAYS[0], now=3600.0), below], None, CONFIG)

    assert (found.detach_pending, found.runway_seconds) == (1, 86400.0 - 3600.0)
