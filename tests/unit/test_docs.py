"""What the documents link to, tell to run and quote is there."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from dashboards import METRICS
from pgmon.cli import main
from pgmon.remedy import LOGINS
from running import ROOT

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
TEXT = {path.name: path.read_text(encoding="utf-8") for path in DOCUMENTS}


def anchors(path):
    """Return the anchors of a document's headings."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_document
def test_every_link_leads_somewhere(document):
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", document.read_text(encoding="utf-8")):
        name, _, anchor = link.partition("#")
        target = document.parent / name if name else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@each_document
def test_every_file_that_is_named_is_there(document):
    named = re.findall(r"(?<![\w./-])((?:examples|tests|docs|pgmon)/[\w./*-]*\w)", document.read_text(encoding="utf-8"))

    assert [name for name in named if not list(ROOT.glob(name)) and "prepared" not in name] == []


def commands(text):
    """Yield the arguments of every pgmon that a document tells to run."""
    for line in re.findall(r"^ {4,}(.+)$", text, re.MULTILINE):
        for words in re.findall(r"(?:^|&& |bin/)pgmon((?: [^#&|]*)?)(?=$| #| &|\|)", line.strip()):
            yield words.split()


@each_document
def test_every_command_is_one(document):
    for arguments in commands(document.read_text(encoding="utf-8")):
        command = main
        with click.Context(main) as context:
            options = [word.partition("=")[0] for word in arguments if word.startswith("-")]
            names = [word for word in arguments if word in main.commands]
            if names:
                command = main.commands[names[0]]
            known = {name for each in (*main.get_params(context), *command.get_params(context)) for name in each.opts}
        assert set(options) <= known, arguments
        assert names or not arguments or options, arguments


def test_the_metrics_that_one_moves_to_are_there():
    rows = re.findall(r"^\|(?! postgres_exporter|---)([^|]+)\|([^|]+)\|", TEXT["upgrading.md"], re.MULTILINE)
    named = {name for _, ours in rows for name in re.findall(r"\b(pg(?:mon)?_\w+)", ours)}

    assert len(rows) > 30
    assert named - set(METRICS) == set()


# As tests/pg/test_first_aid.py and tests/pg/test_cli.py get them of real servers.
MESSAGES = (
    "another host needs TLS",
    "Connection refused",
    "failed to resolve host",
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "server does not support SSL",
    "certificate verify failed",
    "does not exist",
    "is not permitted to log in",
    "the role lacks pg_monitor",
    "unsupported startup parameter: options",
    "not read-only by itself: a pooler drops what pgmon sets",
    "CREATE EXTENSION pg_stat_statements",
    "must be loaded via",
    "cannot listen on",
)


@pytest.mark.parametrize("message", MESSAGES)
def test_every_message_of_a_common_failure_is_explained(message):
    assert f"| `{message}" in TEXT["troubleshooting.md"]


def test_every_refused_login_that_has_a_remedy_is_explained():
    shown = " ".join(re.findall(r"^\| `([^`]+)`", TEXT["troubleshooting.md"], re.MULTILINE))

    assert [words for words in LOGINS if words not in shown and words != "role"] == []


def test_there_is_a_document_for_every_question():
    wanted = {"upgrading.md", "security.md", "performance.md", "troubleshooting.md"}

    assert {Path(name).name for name in re.findall(r"\((docs/[^)]+)\)", TEXT["README.md"])} >= wanted


def test_every_test_that_the_threat_model_names_is_there():
    named = set(re.findall(r"`(test_\w+)`", TEXT["security.md"]))
    written = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("tests/*/test_*.py"))

    assert len(named) > 20
    assert [name for name in sorted(named) if f"def {name}(" not in written] == []
