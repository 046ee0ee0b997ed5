r"""Redaction of SQL and of server messages before anybody can read them; in doubt it hides more.

Parsers refuse what servers show (texts cut off at track_activity_query_size, statements with errors),
so `redact` has a lexer of its own, which follows the server's (src/backend/parser/scan.l):

1. Literals become `?`: strings of every form, dollar quotes, numbers. So does a name longer than 63
   characters: no name is that long, so it is a value in the wrong quotes, or in none. Names, keywords
   and `$1` stay; a comment becomes a space.
2. Hidden to the end of the text is what has no end (the text was cut off), and what servers read
   differently: `\'` in a string without E (standard_conforming_strings), a number that runs into a `$`
   (`1_0$a$` starts a dollar quote on 16, a name on 14).
3. Some statements tell secrets outside of literals, or hold a program. Of the first such statement its
   keywords are shown, then `<withheld>`, then nothing more of the text: CREATE or ALTER of a ROLE, USER,
   GROUP, USER MAPPING, SERVER, FOREIGN DATA WRAPPER, SUBSCRIPTION, FUNCTION, PROCEDURE or ROUTINE; ALTER
   DATABASE or SYSTEM, wherever these words follow each other; a statement with a word that starts with
   `dblink`; DO and COPY … PROGRAM where a statement starts, also after EXPLAIN or PREPARE … AS.
4. SET shows the parameter's name and `<withheld>`, up to the next `;`: values need no quotes there.

No cache: 1 kB takes 0.2 to 0.4 ms, and the keys of a cache would keep in memory what was to be hidden.
"""

from __future__ import annotations

import re

SHOWN = 2_000  # characters of a result: twice track_activity_query_size's default, and a page of 100 texts stays small
_READ = 10_000  # characters of a text: leaves room for comments and long IN lists, and bounds the time (to 30 ms)

# Characters that reorder, hide or end what stands next to them; lone surrogates cannot be encoded.
_CONTROL = [*range(0x20), *range(0x7F, 0xA0)]
_INVISIBLE = [0x61C, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF]
_HARMLESS = dict.fromkeys(_CONTROL, " ") | dict.fromkeys([*_INVISIBLE, *range(0xD800, 0xE000)], "\ufffd")


def _set(ascii: str) -> str:
    """Return the set of these ASCII characters and of all beyond: to scan.l those are letters, even U+00A0.

    It says what it has not: to name a million characters takes 1.5 ms each time.
    """
    return f"[^{re.escape(re.sub(f'[{ascii}]', '', ''.join(map(chr, range(128)))))}]"


_LETTER, _WORD, _NAME, _NUMBER = map(_set, (r"A-Za-z_", r"A-Za-z_0-9", r"A-Za-z_0-9$", r"A-Za-z_0-9."))
_TAG = rf"\$(?: {_LETTER}{_WORD}*+ )?\$"
_STRING = r"(?: [benxBENX] | [uU]& )?'"
# Possessive are sets (`[…]*+`) but never groups, which Python 3.11.0 to 3.11.4 misreads (CPython issue 106052).
# In their place a look-ahead behind each token leaves one way to read it: nothing can be read a second way.
_TOKEN = re.compile(
    rf"""
      (?P<kept> (?: (?!{_STRING}) {_LETTER}{_NAME}{{0,62}}+ (?!{_NAME})
                  | "(?: [^"] | "" ){{0,63}}" (?!")
                  | (?!{_WORD})[^'"$./-] | \.(?![0-9]) | /(?!\*) | -(?!-) | \$[0-9]{{1,5}}+ (?!{_WORD})
                  | (?!{_TAG}) \$ (?![0-9]) )+ )
    | (?P<comment> /\* | --[^\n\r]*+ )
    | (?P<literal> [eE]'(?: [^'\\]++ | \\. | '' )*' (?!')
                 | {_STRING} (?: [^'\\]++ | \\[^'] | '' )*' (?!')
                 | (?P<tag>{_TAG}) .*? (?P=tag)
                 | \.?[0-9]{_NUMBER}*+ (?: (?<=[eE])[+-][0-9]{_NUMBER}*+ )? (?!\$)
                 | \$[0-9]++ (?: {_LETTER}{_NAME}*+ )?
                 | "(?: [^"]++ | "" )*" (?!") | {_LETTER}{_NAME}{{63,}}+ )
    | (?P<open> {_STRING} | " | {_TAG} | \.?[0-9] )
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_COMMENT_MARK = re.compile(r"/\*|\*/")

# These read what _lexed returns: white space is single, quotes are balanced.
_STATEMENT = re.compile(r'[; ]*+(?:"[^"]*"|[^";]++)*')  # with the separators before it
_OPTIONS = r"[ ]?(?:\([^)]*\)|(?:(?:ANALY[SZ]E|VERBOSE)\b[ ]?)*)"
_START = rf"^\W*+(?:EXPLAIN\b{_OPTIONS}|PREPARE\b(?:(?!\bAS\b).)*\bAS\b)?\W*+"
_SECRET = re.compile(
    rf"""
      \b( (?: CREATE (?:\W+OR\W+REPLACE)? | ALTER ) \W+
          (?: ROLE | USER(?:\W+MAPPING)? | GROUP | SERVER | FOREIGN\W+DATA\W+WRAPPER | SUBSCRIPTION
            | FUNCTION | PROCEDURE | ROUTINE )
        | ALTER\W+(?:DATABASE|SYSTEM) )\b
    | {_START}( DO | COPY(?=\b.*\b(?:FROM|TO)\W+PROGRAM\b) )\b
    | ^\W*+(?=.*\bdblink)(\w+)
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_SET = re.compile(rf'({_START}SET\b\s*(?:(?:SESSION|LOCAL)\b\s*)?(?:"[^"]*"|[\w.$])*).*', re.DOTALL | re.IGNORECASE)

# What PostgreSQL's messages call the names they quote. Behind a colon, `value` or `near` stand values.
_MARKS = '"«»“”„‘‹›「」'
_QUOTED = re.compile(
    rf"""
      (?P<name> \b(?: at | socket | name | user | role | database | schema | relation | table | view | index | column
                    | constraint | sequence | function | extension | type | parameter | slot | tablespace | file )
                [ ]"[\w.:/-]{{1,63}}" )
    | (?: [{_MARKS}] | (?<!\w)['’] ) (?: [^{_MARKS}'’]* [{_MARKS}'’] (?= [^{_MARKS}'’]*\Z ) | .* )
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_DETAIL = re.compile(r"[\r\n]|\b(?:DETAIL|HINT|CONTEXT|QUERY|STATEMENT|LINE [0-9]+):")


def redact(sql: str) -> str:
    """Return `sql` in one line of at most SHOWN characters, without literals, comments and secrets.

    >>> redact("SELECT *  FROM t -- all\\n WHERE id = 42 AND name = 'O''Hara' AND x = $1")
    'SELECT * FROM t WHERE id = ? AND name = ? AND x = $1'
    >>> redact("UPDATE t SET note = 'cut off in the mid")
    'UPDATE t SET note = ?'
    >>> redact("BEGIN; SET LOCAL app.key = hunter2; ALTER ROLE bob PASSWORD 'hunter2'; COMMIT")
    'BEGIN; SET LOCAL app.key <withheld>; ALTER ROLE <withheld>'
    """
    shown = _withheld(_lexed(sql[:_READ]))
    return plain(shown if len(sql) <= _READ else shown + "…", SHOWN)


def words(message: str, most: int = 200) -> str:
    """Return the first line of a server's `message`; of what it quotes only what it calls a name.

    Values are quoted, too, and may hold quotes and lines: what follows a value is shown only when the
    message quotes nothing else. DETAIL, HINT, CONTEXT and LINE repeat data and statements.

    >>> words('permission denied for function "pg_ls_waldir"')
    'permission denied for function "pg_ls_waldir"'
    >>> words('invalid input syntax for type integer: "hunter2"\\nLINE 1: SELECT ...')
    'invalid input syntax for type integer: "?"'
    """
    whole = message if len(message) <= _READ else message[:_READ] + '"'
    shown = _QUOTED.sub(lambda found: found["name"] or '"?"', whole)
    return plain(_DETAIL.split(shown.strip(), maxsplit=1)[0], most)


def plain(text: str, most: int = 200) -> str:
    """Return `text` in one line of at most `most` characters that shows everything in its order.

    For names, which clients choose: control characters and white space become one space, characters
    that reorder or hide their neighbours and lone surrogates U+FFFD.

    >>> plain("a\\tname\\nof two lines")
    'a name of two lines'
    >>> plain("abcdef", 4)
    'abc…'
    """
    line = " ".join(text[:_READ].translate(_HARMLESS).split())
    whole = len(line) <= most and len(text) <= _READ
    return line if whole else line[: most - 1] + "…"


def _lexed(sql: str) -> str:
    """Return `sql` with `?` for its literals and a space for comments; quotes in it are balanced."""
    shown, at = [], 0
    while token := _TOKEN.match(sql, at):
        at = _comment_end(sql, token.end()) if token[0] == "/*" else token.end()
        shown.append({"kept": token[0], "comment": " "}.get(token.lastgroup or "", "?"))
        if token.lastgroup == "open":
            break
    return " ".join("".join(shown).split())


def _comment_end(sql: str, at: int) -> int:
    """Return where the comment ends whose inside starts at `at`; comments nest."""
    depth = 1
    for mark in _COMMENT_MARK.finditer(sql, at):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return mark.end()
    return len(sql)


def _withheld(lexed: str) -> str:
    """Return `lexed` up to the first statement to withhold, and without the values of SET."""
    shown: list[str] = []
    for statement in _STATEMENT.findall(lexed):
        if found := _SECRET.search(statement):
            return "".join([*shown, "; " * bool(shown), found[found.lastindex or 0], " <withheld>"])
        shown.append(_SET.sub(r"\1 <withheld>", statement))
    return "".join(shown)
