"""What the image is made of. That it runs is shown by tests/image/check.py, which needs root and minutes."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from pgmon import __version__
from running import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
LOCK = (ROOT / "requirements.txt").read_text(encoding="utf-8")
PINNED = {name.lower(): version for name, version in re.findall(r"^([\w.-]+)==([\w.]+)", LOCK, re.MULTILINE)}


def declared():
    """Return what pgmon needs when it serves."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = [setup["options"]["install_requires"], setup["options.extras_require"].get("auth", "")]
    return [Requirement(line) for line in "\n".join(lines).splitlines() if line]


@pytest.mark.parametrize("needed", declared(), ids=str)
def test_the_lock_has_what_pgmon_needs(needed):
    assert needed.specifier.contains(PINNED.get(needed.name, "0")), "run: tests/image/lock"


def test_every_package_of_the_lock_has_its_hashes():
    entries = re.split(r"^(?=[\w.-]+==)", LOCK, flags=re.MULTILINE)[1:]

    assert len(entries) == len(PINNED)
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []


def test_hadolint_has_nothing_to_say():
    ended = subprocess.run(
        [Path(sys.executable).parent / "hadolint", ROOT / "Dockerfile"], capture_output=True, text=True
    )

    assert (ended.returncode, ended.stdout) == (0, "")


def test_the_image_tells_the_version_that_it_has():
    assert f"ARG VERSION={__version__}\n" in DOCKERFILE


def test_the_image_runs_as_a_numeric_user_that_is_not_root():
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", DOCKERFILE, re.MULTILINE)


def test_the_image_copies_what_there_is_and_what_is_not_ignored():
    copied = {
        name for names in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE) for name in names.split()
    }
    allowed = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))

    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)
