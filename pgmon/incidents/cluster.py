"""What concerns the whole server: its connections, its WAL, its transaction ids."""

from __future__ import annotations

from math import ceil

from pgmon.incidents.scene import Scene, incident

USABLE = """SELECT current_setting('max_connections')::int
     - current_setting('superuser_reserved_connections')::int
     - coalesce(current_setting('reserved_connections', true)::int, 0)"""
CONNECTED = "SELECT count(*)::int - 1 FROM pg_stat_activity WHERE backend_type = 'client backend'"  # who asks leaves
WAL = "SELECT pg_logical_emit_message(true, 'incident', repeat('x', 1048576)) FROM generate_series(1, {})"
AGED = """UPDATE {} SET {} = ((txid_current() + 4294967296 - ({})::bigint) % 4294967296)::text::xid
 WHERE {}"""


@incident("ConnectionSaturation")
def connection_burst(scene: Scene, used: float = 0.9) -> None:
    """Sessions that do nothing take up nearly all connections."""
    for _ in range(ceil(used * scene.command(USABLE)) - scene.command(CONNECTED)):
        scene.stays()


@incident("WalSurge", "CheckpointThrash", "WalDirectoryLarge", "ReplicationLag")
def wal_burst(scene: Scene, mebibytes: int = 64) -> None:
    """A lot of WAL is written at once."""
    scene.command(WAL.format(mebibytes))


@incident("CheckpointThrash")
def checkpoint_storm(scene: Scene, checkpoints: int = 5) -> None:
    """One checkpoint after the other is requested."""
    for _ in range(checkpoints):
        scene.command(WAL.format(1), "CHECKPOINT")


@incident("SlotRunway", "WalDirectoryLarge", "SlotUnreserved", "SlotLost")
def inactive_slot(scene: Scene, mebibytes: int = 32) -> None:
    """A replication slot keeps WAL for a receiver that does not come. More than 1024 MiB make the alert."""
    scene.command(f"SELECT pg_create_physical_replication_slot('{scene.name}', true)")
    scene.undo(f"SELECT pg_drop_replication_slot('{scene.name}')")
    scene.command(WAL.format(mebibytes))


@incident("WraparoundDanger", "AutovacuumStarvation")
def wraparound(scene: Scene, age: int = 1_600_000_000) -> None:
    """A database's oldest transaction id is so old that the server will soon give out no new one."""
    scene.undo("VACUUM pg_database")  # at the very end: else the server keeps limits that hang on this database
    scene.command(f"CREATE DATABASE {scene.name} CONNECTION LIMIT 0")
    scene.undo(f"DROP DATABASE {scene.name}")
    # Where a relation's id is in the future, autovacuum does not trust itself to set the database's age right again.
    scene.command(AGED.format("pg_class", "relfrozenxid", -1_000_000, "relname = 'pg_class'"), dbname=scene.name)
    scene.command(
        f"ALTER DATABASE {scene.name} ALLOW_CONNECTIONS false",
        AGED.format("pg_database", "datfrozenxid", age, f"datname = '{scene.name}'"),
    )
