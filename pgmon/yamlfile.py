"""YAML with the line of every key. Refused: duplicate keys, aliases, tags, a second document.

The text may hold passwords, and PyYAML's messages quote it: here every message is a sentence of our own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from pgmon.errors import ConfigError

KeyPath = tuple[str | int, ...]

MAX_BYTES = 1_000_000
MAX_DEPTH = 20  # the deepest key of the configuration is at five; PyYAML recurses for each level

_TAG = "tag:yaml.org,2002:"
_SCALARS: dict[str, Callable[[str], object]] = {
    _TAG + "null": lambda _: None,
    _TAG + "bool": lambda text: text.lower() in ("yes", "true", "on"),
    _TAG + "int": lambda text: int(text, 0),
    _TAG + "float": float,
}
_TAGS = {*_SCALARS, *(_TAG + name for name in ("str", "timestamp", "merge", "value", "seq", "map"))}
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
# Words of PyYAML's message (never shown themselves) and what to do about it.
_ADVICE = {
    "alias": "aliases are not supported, and a text that begins with * needs quotes",
    "'\\t' that cannot start": "indent with spaces, not with tabs",
    "cannot start any token": "a text that begins with @, % or ` needs quotes",
    "mapping values are not allowed": "check the indentation; a text with ': ' in it needs quotes",
    "nested": f"more than {MAX_DEPTH} levels",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with the text, where; `message` holds nothing of the text."""

    line: int
    path: KeyPath
    message: str


@dataclass(slots=True)
class Document:
    """The value of a text (sequences as tuples), the line of every key and item, and all faults."""

    value: object = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


def read(path: str | Path) -> str:
    """Return the text of a file; raise ConfigError without its name, which may be a misplaced secret."""
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ConfigError(["is larger than 1 MB"])
        return content.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError([f"cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise ConfigError(["cannot be read: it is not UTF-8 text"]) from None
    except ValueError:  # a NUL in the name
        raise ConfigError(["cannot be read: there is no such name"]) from None


def parse(text: str) -> Document:
    """Return the document of `text`; its value is None when the text is no YAML, or empty.

    >>> parse("limits: {databases: 5}").value
    {'limits': {'databases': 5}}
    >>> parse("a: 1\\na: 2").faults
    [Fault(line=2, path=('a',), message='duplicate key, first given on line 1')]
    """
    document = Document()
    try:
        node = yaml.compose(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # the last two: escapes beyond Unicode
        document.faults.append(_syntax(error, text))
    else:
        document.value = _value(node, (), document) if node else None
    return document


def has_control(text: str) -> bool:
    """Tell whether `text` has control characters other than tab and newline, or broken Unicode."""
    return bool(_CONTROL.search(text))


class _Loader(yaml.SafeLoader):
    """The safe loader without aliases (a few lines of them unfold to gigabytes) and without endless nesting."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or self.depth == MAX_DEPTH:
            problem = "alias" if isinstance(event, yaml.AliasEvent) else "nested"
            raise yaml.composer.ComposerError(None, None, problem, event.start_mark)
        self.depth += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _syntax(error: Exception, text: str) -> Fault:
    """Return the fault for PyYAML's error: its line and advice, none of its words."""
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark else text.count("\n", 0, getattr(error, "position", 0)) + 1
    said = f"{getattr(error, 'context', '')} {getattr(error, 'problem', error)}"
    advice = (advice for words, advice in _ADVICE.items() if words in said)
    return Fault(line, (), f"is not valid YAML: {next(advice, 'check quotes, brackets and indentation')}")


def _value(node: yaml.Node, path: KeyPath, document: Document) -> object:
    """Return a node's value, and note in `document` its keys' lines and faults."""
    document.lines.setdefault(path, node.start_mark.line + 1)
    if node.tag not in _TAGS:
        document.faults.append(Fault(node.start_mark.line + 1, path, "tags (!name) are not supported"))
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, document)
    if isinstance(node, yaml.SequenceNode):
        return tuple(_value(item, (*path, index), document) for index, item in enumerate(node.value))
    if has_control(node.value):
        document.faults.append(Fault(node.start_mark.line + 1, path, "has a control character"))
        return None
    return _scalar(node.tag, node.value)


def _mapping(node: yaml.MappingNode, path: KeyPath, document: Document) -> dict[str, object]:
    mapping: dict[str, object] = {}
    for key, value in node.value:
        name, line = key.value, key.start_mark.line + 1
        if not isinstance(name, str) or has_control(name):
            document.faults.append(Fault(line, path, "a key must be a plain word"))
        elif name in mapping:
            first = document.lines[*path, name]
            document.faults.append(Fault(line, (*path, name), f"duplicate key, first given on line {first}"))
        else:
            document.lines[*path, name] = line
            mapping[name] = _value(value, (*path, name), document)
    return mapping


def _scalar(tag: str, text: str) -> object:
    """Return null, a boolean or a number; all else stays text, as do YAML 1.1's octals and base-60 numbers.

    >>> _scalar(_TAG + "int", "0123"), _scalar(_TAG + "int", "5:30"), _scalar(_TAG + "int", "1_000")
    ('0123', '5:30', 1000)
    """
    try:
        return _SCALARS.get(tag, str)(text)
    except ValueError:
        return text
