"""The live load: three applications of which each sends statements of its own."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping
from contextlib import ExitStack, suppress

import psycopg
from psycopg.conninfo import make_conninfo

Weights = Mapping[str, int]  # statement: how many of a hundred

GATEWAY: Weights = {
    "INSERT INTO readings (device_id, celsius) VALUES (%(n)s, 20 + 5 * random())": 60,
    "UPDATE devices SET seen_at = now() WHERE device_id = %(n)s": 32,
    "INSERT INTO events (device_id, message) VALUES (%(n)s, 'too warm')": 4,
    "INSERT INTO reports (device_id, body) VALUES (%(n)s, repeat(md5(random()::text), 200))": 1,
    # Nobody receives from the slot, and one that is never moved would keep all WAL.
    "SELECT pg_replication_slot_advance('mirror', pg_current_wal_flush_lsn())": 3,
}
DASHBOARD: Weights = {
    "SELECT site, firmware, seen_at FROM devices WHERE device_id = %(n)s": 60,
    "SELECT max(celsius) FROM readings WHERE device_id = %(n)s AND at > now() - interval '1 day'": 25,
    "SELECT d.site, count(*) FROM events AS e JOIN devices AS d USING (device_id) GROUP BY 1 ORDER BY 2": 9,
    "SELECT body FROM reports WHERE device_id = %(n)s ORDER BY report_id DESC LIMIT 1": 4,
    "SELECT date_trunc('hour', at), avg(celsius) FROM readings GROUP BY 1 ORDER BY 1": 1,
    "REFRESH MATERIALIZED VIEW site_temperatures": 1,
}
INVOICING: Weights = {
    "INSERT INTO usage (customer_id, messages) VALUES (%(n)s %% 200 + 1, 1)": 50,
    "INSERT INTO invoices (customer_id, cents) VALUES (%(n)s %% 200 + 1, 990)": 10,
    "UPDATE invoices SET paid_at = now() WHERE customer_id = %(n)s %% 200 + 1 AND paid_at IS NULL": 10,
    "SELECT c.name, sum(i.cents) FROM invoices AS i JOIN customers AS c USING (customer_id) GROUP BY 1 ORDER BY 2": 5,
    "SELECT name, devices FROM customers WHERE customer_id = %(n)s": 25,
}
APPLICATIONS = {"gateway": ("iot", GATEWAY), "dashboard": ("iot", DASHBOARD), "invoicing": ("billing", INVOICING)}
PAUSE_SECONDS = 0.04  # together a little less than 75 statements a second


def put_under_load(stack: ExitStack, dsn: str) -> None:
    """Send statements of the load until the stack unwinds."""
    stop = threading.Event()
    for application, (dbname, weights) in APPLICATIONS.items():
        place = make_conninfo(dsn, dbname=dbname, application_name=application)
        thread = threading.Thread(target=_live, args=(place, weights, stop), daemon=True)
        thread.start()
        stack.callback(thread.join, 1)  # one that waits for a lock ends with the server
    stack.callback(stop.set)


def _live(dsn: str, weights: Weights, stop: threading.Event) -> None:
    """Send statements until told to stop; a second after an error over a new session."""
    while not stop.is_set():
        with suppress(psycopg.Error), psycopg.connect(dsn, autocommit=True) as session:
            while not stop.wait(PAUSE_SECONDS):
                [statement] = random.choices([*weights], [*weights.values()])
                session.execute(statement.encode(), {"n": random.randint(1, 500)})
        stop.wait(1)
