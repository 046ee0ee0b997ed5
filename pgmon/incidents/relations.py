"""Tables, indexes, sequences and partitions that need somebody."""

from __future__ import annotations

from pgmon.incidents.scene import Scene, incident

READINGS = "CREATE TABLE readings (id integer) WITH (autovacuum_enabled = off)"
FILL = "INSERT INTO readings SELECT n FROM generate_series(1, {}) AS n"
PARTITIONED = "CREATE TABLE samples (at timestamptz NOT NULL) PARTITION BY RANGE (at)"
# Days that end so many hours from now, and not at midnight: the incident is the same at every time of the day.
DAYS = """DO $$ DECLARE until timestamptz; BEGIN FOR day IN 1..{days} LOOP
    until := date_trunc('hour', now()) + interval '1 hour' * ({hours} + 24 * (day - {days}));
    EXECUTE format('CREATE TABLE %I PARTITION OF samples FOR VALUES FROM (%L) TO (%L)',
                   'samples_' || day, until - interval '24 hours', until);
END LOOP; END $$"""


@incident("DeadTuples", "AutovacuumStarvation", "StaleStatistics")
def dead_tuples(scene: Scene, rows: int = 250_000) -> None:
    """Half of a table's rows are deleted, and autovacuum is off for the table."""
    scene.run(READINGS, FILL.format(rows), "DELETE FROM readings WHERE id % 2 = 0")
    scene.until(f"pg_stat_get_dead_tuples('readings'::regclass) >= {rows} / 2")


@incident("StaleStatistics")
def stale_statistics(scene: Scene, rows: int = 50_000) -> None:
    """A table has twice the rows that it had at its last ANALYZE, and autovacuum is off for the table."""
    scene.run(READINGS, FILL.format(rows))
    scene.run("ANALYZE readings")  # in a session of its own: before 15 the rows could be counted after it
    scene.run(FILL.format(rows))
    scene.until(f"pg_stat_get_mod_since_analyze('readings'::regclass) >= {rows}")


@incident("UnusedIndexes")
def unused_index(scene: Scene, rows: int = 10_000) -> None:
    """An index is kept up to date, and nobody ever reads it. 5 million rows make more than 100 MiB."""
    scene.run(READINGS, FILL.format(rows), "CREATE INDEX readings_unused ON readings (id)")


@incident("SequenceExhaustion")
def sequence_near_its_end(scene: Scene, used: float = 0.95) -> None:
    """The integer ids of a table are nearly used up."""
    scene.run("CREATE TABLE orders (id integer GENERATED ALWAYS AS IDENTITY)")
    scene.run(f"SELECT setval('orders_id_seq', ({used} * 2147483647)::bigint)")


@incident("PartitionRunway")
def partition_gap(scene: Scene, hours: int = 12) -> None:
    """The newest daily partition ends within hours, and nobody made the next one."""
    scene.run(PARTITIONED, DAYS.format(days=4, hours=hours))


@incident("PartitionRunway")
def rows_in_default(scene: Scene, rows: int = 1000) -> None:
    """The newest daily partition ended an hour ago, and the rows since then are in the DEFAULT partition."""
    scene.run(PARTITIONED, DAYS.format(days=3, hours=-1), "CREATE TABLE samples_rest PARTITION OF samples DEFAULT")
    scene.run(f"INSERT INTO samples SELECT now() FROM generate_series(1, {rows})")
