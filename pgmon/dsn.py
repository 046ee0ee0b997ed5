"""What can be told of a connection string before anybody connects."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from pgmon.errors import ConfigError


def home_database(dsn: str) -> str:
    """Return the database that a connection string names, as libpq would choose it; '' when only libpq knows."""
    params = conninfo_to_dict(dsn)
    return str(params.get("dbname") or os.environ.get("PGDATABASE") or params.get("user") or "")


def named_hosts(dsn: str) -> str:
    """Return the hosts that a connection string names; '' for a socket of this machine."""
    hosts = (host for host in _hosts(conninfo_to_dict(dsn)) if not host.startswith(("/", "@")))
    return ",".join(hosts)


def check_dsn(dsn: str, require_tls: bool) -> None:
    """Raise ConfigError when `dsn` is no connection string, or would cross a network without TLS."""
    try:
        params = conninfo_to_dict(dsn)
    except psycopg.Error:
        raise ConfigError(["dsn: not a connection string (postgresql://user@host:5432/dbname, or key=value)"]) from None
    mode = params.get("sslmode") or os.environ.get("PGSSLMODE", "")
    if require_tls and mode not in ("require", "verify-ca", "verify-full") and not _stays_here(params):
        raise ConfigError(
            ["dsn: another host needs TLS: add sslmode=verify-full (or require), or set security.require_tls to false"]
        )


def _hosts(params: Mapping[str, Any]) -> list[str]:
    address = params.get("hostaddr") or os.environ.get("PGHOSTADDR")  # either is called, whatever the host's name
    return str(address or params.get("host") or os.environ.get("PGHOST", "")).split(",")


def _stays_here(params: Mapping[str, Any]) -> bool:
    """Tell whether no other host is called; which one a service names only libpq knows."""
    return not (params.get("service") or os.environ.get("PGSERVICE")) and all(map(_local, _hosts(params)))


def _local(host: str) -> bool:
    if host in ("", "localhost") or host.startswith(("/", "@")):
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False
