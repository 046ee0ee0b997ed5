"""pgmon: a read-only PostgreSQL health agent for Prometheus."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("pgmon")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0.0.0+source"
