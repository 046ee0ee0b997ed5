"""What is installed works from anywhere: the wheel, the sdist and an editable checkout, each in a fresh environment."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pgmon import __version__
from running import ROOT

KINDS = ("wheel", "sdist", "editable")
NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "node_modules", "tests")
BUILD = "import sys; from setuptools import build_meta; getattr(build_meta, f'build_{sys.argv[1]}')(sys.argv[2])"
# An application that has no server still serves its pages and what is beside them.
SERVE = """
import pgmon
from pgmon.agent import Agent
from pgmon.config import load
from pgmon.web import create_app

agent = Agent(load(None, {"PGMON_DSN": "host=127.0.0.1 port=1"}).config)
client = create_app(agent).test_client()
print("served by", pgmon.__file__, *(client.get(path).status_code for path in ("/activity", "/static/pgmon.css")))
"""


def run(*command: str | Path, cwd: Path | str = "/") -> str:
    """Run a command that sees nothing of this environment; return what it printed."""
    ended = subprocess.run(
        command, cwd=cwd, env={"PATH": "/usr/bin:/bin"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of what is packaged, without what earlier builds left: setuptools believes an old list of files."""
    return shutil.copytree(ROOT, tmp_path_factory.mktemp("tree") / "pgmon", ignore=NOT_COPIED)


@pytest.fixture(scope="module")
def built(tree: Path) -> Callable[[str], Path]:
    """Return a function that builds the wheel or the sdist."""

    def build(kind: str) -> Path:
        folder = tree.parent / kind
        folder.mkdir(exist_ok=True)
        if not (found := list(folder.iterdir())):
            run(sys.executable, "-c", BUILD, kind, folder, cwd=tree)
            found = list(folder.iterdir())
        return found[0]

    return build


@pytest.fixture(scope="module", params=KINDS)
def installed(request: pytest.FixtureRequest, tree: Path, built: Callable[[str], Path]) -> Path:
    """Return an environment into which pgmon was installed in one of the ways.

    It has the dependencies of the running one: in a path file its folder is searched last, and its own path files, with
    which it finds the checkout, are not read.
    """
    environment = tree.parent / f"venv-{request.param}"
    venv.create(environment)
    python = environment / "bin" / "python"
    folders = sysconfig.get_paths(vars={"base": str(environment), "platbase": str(environment)})
    (Path(folders["purelib"]) / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"])
    what = ["--editable", tree] if request.param == "editable" else [built(request.param)]
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index")
    run(*pip, "--no-deps", "--no-build-isolation", "--ignore-installed", *what)
    return environment


def files(folder: str) -> set[str]:
    """Return the files below a folder of this checkout."""
    return {str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob("*") if path.is_file()}


def test_the_wheel_has_every_statement_template_and_static_file(built):
    with zipfile.ZipFile(built("wheel")) as wheel:
        packaged = set(wheel.namelist())

    wanted = files("pgmon/sql") | {f"pgmon/{name}" for name in files("templates") | files("static")}
    assert len(wanted) > 20
    assert wanted - packaged == set()


def test_the_installed_command_tells_its_version(installed):
    assert run(installed / "bin" / "pgmon", "--version") == f"pgmon, version {__version__}\n"


def test_the_installed_command_has_its_statements(installed):
    assert run(installed / "bin" / "pgmon", "sql", "--server-version", "16").count("/* pgmon:") > 10


def test_the_installed_application_has_its_pages_and_its_stylesheet(installed, tree, request):
    said = run(installed / "bin" / "python", "-c", SERVE)

    home = tree if "editable" in request.node.name else installed
    assert re.search(rf"^served by {home}/\S+ 200 200$", said, re.MULTILINE), said
