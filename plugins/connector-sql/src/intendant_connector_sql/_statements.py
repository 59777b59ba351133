"""Looks at statements before a database does. Databases refuse writes themselves; this gives the better errors,
and keeps out what they would let pass.
"""

import re
from collections.abc import Iterator

from intendant.plugin import ConnectorError

READING = ("select", "with", "values", "table", "show", "explain", "describe")
_TOKEN = re.compile(
    r"""
    (?P<line>--[^\n]*)
    | (?P<open>/\*)
    | '(?:[^']|'')*'
    | "(?:[^"]|"")*"
    | `[^`]*`
    | \[[^\]\n]*\]
    | (?P<tag>\$(?:[A-Za-z_]\w*)?\$)
    | (?P<end>;)
    | (?P<word>[A-Za-z_]\w*)
    """,
    re.VERBOSE,
)
_COMMENT = re.compile(r"/\*|\*/")


def check_read(sql: str) -> None:
    """See to it that *sql* is one statement that reads.

    Raises:
        ConnectorError: It is not.
    """
    first = check_single(sql)
    if first not in READING:
        raise ConnectorError(
            f"sql.query reads, and the statement begins with '{first[:20]}'",
            hint="begin with select or with; sql.execute changes data, where that is allowed",
            delivered=False,
        )


def check_single(sql: str) -> str:
    """The first word of *sql* in lower case, if it is one statement.

    Raises:
        ConnectorError: It is none, or several.
    """
    first, ended = "", False
    for kind, text in _tokens(sql):
        if ended:
            raise ConnectorError("this is more than one statement", hint="make a step for each", delivered=False)
        ended = kind == "end"
        if kind == "word" and not first:
            first = text.lower()
    if not first:
        raise ConnectorError("there is no statement", delivered=False)
    return first


def _tokens(sql: str) -> Iterator[tuple[str, str]]:
    """Words, ends of statements and all else that is neither space nor comment."""
    at = 0
    while at < len(sql):
        match = _TOKEN.match(sql, at)
        if match is None:
            if not sql[at].isspace():
                yield "other", sql[at]
            at += 1
            continue
        kind = match.lastgroup
        at = match.end()
        if kind == "open":
            at = _after_comment(sql, at)
        elif kind == "tag":
            end = sql.find(match[0], at)
            at = len(sql) if end < 0 else end + len(match[0])
            yield "other", match[0]
        elif kind != "line":
            yield kind or "other", match[0]


def _after_comment(sql: str, at: int) -> int:
    """Where a comment ends, those within it counted. MySQL runs what stands in `/*! … */`."""
    if sql.startswith(("!", "M!"), at):
        raise ConnectorError("comments that databases run are refused", delivered=False)
    depth = 1
    while depth and (match := _COMMENT.search(sql, at)):
        depth += 1 if match[0] == "/*" else -1
        at = match.end()
    return len(sql) if depth else at
