"""The SQL files: choosing the variant that a server understands, and filling its psql variables.

`sql/<feature>.sql` serves every server from 12; `<feature>.pg17.sql` those from 17, and
`<feature>.pgss1.8.sql` those databases where that extension (see EXTENSIONS) has at least that version.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pgmon.errors import Kind, QueryError
from pgmon.facts import Facts

FOLDER = Path(__file__).parent / "sql"
CANARY_TABLE = "pg_catalog.pg_am"  # a page that everybody may read
# Extensions by their names in files and variables; of those that could serve a feature, the last one here does.
EXTENSIONS = {"pgss": "pg_stat_statements", "pgstattuple": "pgstattuple", "pg_freespacemap": "pg_freespacemap"}
# The version of pg_stat_statements that each major version ships.
PGSS = {12: "1.7", 13: "1.8", 14: "1.9", 15: "1.10", 16: "1.10", 17: "1.11", 18: "1.12"}

_BOUND = re.compile(r"([a-z_]+?)(\d+(?:\.\d+)*)")
_TOKEN = re.compile(
    r"""(?P<kept> '(?:[^']|'')*' | "(?:[^"]|"")*" | --[^\n]* | /\*.*?\*/ | :: )
      | :"(?P<name>[a-z_0-9]+)"
      | :(?P<value>[a-z_]+)\b""",
    re.DOTALL | re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Variant:
    """One file: the least version of the server (`of` is 'pg') or of an extension that it needs."""

    of: str
    least: tuple[int, ...]
    text: str

    def serves(self, facts: Facts) -> bool:
        """Tell whether the statement is understood there."""
        have = facts.version if self.of == "pg" else _installed(facts, self.of)
        return have is not None and have >= self.least

    @property
    def rank(self) -> tuple[int, tuple[int, ...]]:
        """One by extension beats one by server, a later extension an earlier one, then the greatest bound wins."""
        return ("pg", *EXTENSIONS).index(self.of), self.least


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _installed(facts: Facts, alias: str) -> tuple[int, ...] | None:
    found = facts.extensions.get(EXTENSIONS[alias])
    return _numbers(found[0]) if found else None


@functools.cache
def variants(name: str) -> tuple[Variant, ...]:
    """Return the variants of a feature's statement, the base file first.

    >>> [(v.of, v.least) for v in variants("checkpoints")]
    [('pg', (12,)), ('pg', (17,))]
    """
    found = []
    for path in FOLDER.glob(f"{name}.*sql"):
        bound = _BOUND.fullmatch(path.name.removeprefix(f"{name}.").removesuffix("sql").rstrip(".") or "pg12")
        if not bound or bound[1] not in ("pg", *EXTENSIONS):
            raise ValueError(f"{path.name}: what it needs is not understood")
        found.append(Variant(bound[1], _numbers(bound[2]), path.read_text(encoding="utf-8").strip()))
    return tuple(sorted(found, key=lambda v: v.rank))


def choose(name: str, facts: Facts) -> Variant:
    """Return the variant of a feature's statement for a server.

    Raises QueryError of kind 'not_supported' when the server is older than every variant.
    """
    serving = [v for v in variants(name) if v.serves(facts)]
    if not serving:
        least = min(v.least[0] for v in variants(name))
        raise QueryError(Kind.UNSUPPORTED, f"needs PostgreSQL {least}; this server is {facts.version[0]}")
    return serving[-1]


def usable(name: str, facts: Facts) -> str:
    """Return the statement for a server with its variables unfilled, as psql would run it.

    Raises QueryError where the server is too old, or lacks an extension.
    """
    text, found = choose(name, facts).text, names(facts)
    for token in _TOKEN.finditer(text):
        if token["name"]:
            _identifier(token["name"], found)
    return text


def assumed(major: int) -> Facts:
    """Return the facts of a fresh primary of a major version, with the extensions that it ships."""
    version = PGSS[min(major, max(PGSS))]
    return Facts(
        db="postgres",
        role="pgmon",
        server_version_num=major * 10000,
        system_identifier="",
        timeline=1,
        in_recovery=False,
        start_time=0.0,
        checkpointer_start=None,
        monitors=True,
        shielded=True,
        extensions={"pg_stat_statements": [version, "public"]},
        databases=["postgres"],
    )


def names(facts: Facts, canary_table: str = "") -> dict[str, str]:
    """Return what identifiers in statements stand for: the schema of each extension, and the table of the canary.

    >>> names(assumed(16), "app.t")
    {'canary_schema': 'app', 'canary_table': 't', 'pg_stat_statements': 'public', 'pgss': 'public'}
    """
    schema, _, table = (canary_table or CANARY_TABLE).rpartition(".")
    found = {"canary_schema": schema or "public", "canary_table": table}
    found |= {name: schema for name, (_, schema) in facts.extensions.items()}
    return found | {alias: found[name] for alias, name in EXTENSIONS.items() if name in found}


def fill(sql: str, values: Mapping[str, int | Sequence[int]], names: Mapping[str, str]) -> str:
    """Fill psql variables: `:n` an integer, `:ids` an array, `:"pgss"` the schema of an extension or another name.

    Raises QueryError of kind 'missing_extension' for an extension that is not there.

    >>> fill("SELECT n::int FROM :\\"pgss\\".s WHERE i = ANY (:ids) LIMIT :n", {"n": 5, "ids": [-2]}, {"pgss": "mon"})
    'SELECT n::int FROM "mon".s WHERE i = ANY (\\'{-2}\\') LIMIT 5'
    """

    def one(token: re.Match[str]) -> str:
        if token["kept"]:
            return token["kept"]
        return _identifier(token["name"], names) if token["name"] else _value(values[token["value"]])

    return _TOKEN.sub(one, sql)


def _identifier(alias: str, names: Mapping[str, str]) -> str:
    if alias not in names:
        name = EXTENSIONS.get(alias, alias)
        raise QueryError(Kind.MISSING, f"the extension {name} is not in this database: CREATE EXTENSION {name}")
    return '"' + names[alias].replace('"', '""') + '"'


def _value(value: int | Sequence[int]) -> str:
    if isinstance(value, int):
        return str(int(value))
    return "'{" + ",".join(str(int(item)) for item in value) + "}'"
