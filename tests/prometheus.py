"""A real Prometheus, and its promtool, from Debian's package `prometheus`."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest


def program(name: str) -> str:
    """Return the path of a program of Prometheus; otherwise skip the test, or let it fail in CI."""
    found = shutil.which(name)
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{name} is not installed: apt-get install prometheus.")
    return found


def promtool(*arguments: str, given: str = "") -> tuple[int, str]:
    """Run promtool; return its exit code and everything that it printed."""
    ended = subprocess.run(
        [program("promtool"), *arguments], input=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return ended.returncode, ended.stdout
