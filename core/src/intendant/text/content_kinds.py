"""What sort of content a text is, told by its form: the first of the sorts below whose marks it bears."""

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from re import Pattern

LOOKED_AT = 16_000
"""Characters that are looked at, from the beginning."""
LINES = 400
ROWS = 60
"""Lines by which a table is told."""
PROSE_LINE = 60
"""Mean characters a line above which text counts as prose."""
NEARLY_ALL, MOST, MANY, SOME = 0.9, 0.75, 0.6, 0.4
"""Shares of lines that must bear a mark."""

_HTML = re.compile(
    r"\ufeff?\s*+(?:<\?xml[^>]*>\s*+)?(?:<!--(?:[^-]|-(?!->))*-->\s*+)*+"
    r"<(?:!doctype html|html|head|body|div|table|p|article|section|ul|main)\b",
    re.IGNORECASE,
)
_MAIL = re.compile(r"(?:From|To|Subject|Date|Received|Return-Path|Delivered-To|Message-ID):[ \t]", re.IGNORECASE)
_DIFF = re.compile(r"diff --git |@@ -\d+(?:,\d+)? \+\d|Index: \S")
_CHANGE = re.compile(r"[-+](?![-+]{2} )")
_PASSAGE = re.compile(
    r"[\[(]?(?:Document|Passage|Source|Doc|Context|Chunk|Result)s?\s*#?\d+[\])]?(?:[:.\s(]|$)|\[\d+\] \S"
)
_TURN = re.compile(r"(?:\[[\d:. ]+\] ?)?[A-Z][\w.'-]*(?: [\w.'-]+){0,3}(?: \([^)]{1,30}\))?: ?\S")
_COMMIT = re.compile(r"commit [0-9a-f]{7,40}\b|Author: .+ <|Merge: [0-9a-f]{7}|Co-authored-by: ")
_TIME = re.compile(  # among the first words
    r"(?:\S+ ){0,6}\[?\S*\d{1,2}:\d{2}:\d{2}|\[?\d{4}[-/.]\d{2}[-/.]\d{2}|\d{6} \d{6} |\d{2}[-/]\d{2} \d{2}:\d{2}"
    r"|\[?[A-Z][a-z]{2} [ \d]\d |\d{8}-\d|- \d{9,10} \d{4}\.\d{2}\.\d{2}"
)
_LEVEL = re.compile(r".{0,80}?\b(?:INFO|WARN(?:ING)?|ERROR|DEBUG|FATAL|TRACE|NOTICE)\b")
_SHELL = re.compile(
    r"[$>] \S|[dl-][rwxsStT-]{9}|\S+:\d+[:-]|(?:npm|pip|uv|cargo|go|git|docker) \S|[ihru][ic]  \S+"
    r"|(?:PASSED|FAILED|ok|not ok|Collecting|Downloading|Installing|DEBUG|TRACE) |[|`+│ ]*[├└]──"
    r"|\d+ \d{4}-\d\d-\d\d \S+/|\.{0,2}/[\w./-]+$|\S+(?:/[\w.+@-]+)+$|\S+ (?:PASSED|FAILED|SKIPPED|ERROR)\b"
    r"|={3,}.*={3,}$|Author: |Date:   "
)
_LISTED = re.compile(r"[ihru][ic]  \S|[dl-][rwxsStT-]{9}")
_CODE = re.compile(
    r"\s*(?:(?:async )?def \w|class \w+|return\b|import [\w{*\"']|from \S+ import |@\w+[(.]?|func[ (]|fn \w"
    r"|(?:export |pub )|(?:const|let|var|type|struct|interface|enum|namespace|using) \w"
    r"|(?:public|private|protected|static) |package \w|#include|#define|\}|\)|//|/\*|\* |\"\"\""
    r"|(?:if|for|while|with|elif|else|try|except|finally|switch|case|catch)\b.*[:{]$)"
    r"|.*[;{(\[,]$"
)
_FENCE = re.compile(r"```|~~~")
_CONFIG = re.compile(
    r"\s*(?:- )?[\w./\"'-]+:(?:\s|$)|\s*- \S+(?:: |$)|\s*#|\s*[\w.-]+ ?= ?\S|\[[\w. \"-]+\]$|---$"
    r"|\s*\{\{-? ?.*\}\}\s*$"
)
_SETTING = re.compile(r"\s*(?:- )?[\w./\"'-]+:(?:\s|$)|\s*[\w.-]+ ?= ?\S|\[[\w. \"-]+\]$|\s*\{\{-? ?")
_MARKED = re.compile(r"#{1,6} \S|```|~~~|\.\. [\w-]+::|[=~^*-]{4,}\s*$|\[[^\]]+\]\([^)]+\)")
_LISTS = re.compile(r"#{1,6} \S|```|~~~|\|.*\|$|\.\. [\w-]+::|[-*+] \S|\d+\. \S")
_SPACES = re.compile(r" {2,}|\t")
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_NAMELESS = re.compile(r"\d|: ")


@lru_cache(maxsize=8)
def kind_of(text: str) -> str:
    """What *text* is: `json`, `html`, `diff`, `mail`, `passages` (found by a search), `transcript` (who said
    what),
    `table`, `log`, `shell` (what commands print), `code`, `config`, `markdown`, `prose`, or `text` if unknown.

    Only its first 16,000 characters are looked at, except that JSON has to be whole.
    """
    head = text[:LOOKED_AT].lstrip("\ufeff \t\r\n")
    if head[:1] in ("{", "[") and _is_json(text):
        return "json"
    if _HTML.match(head):
        return "html"
    lines = [line for line in head.splitlines()[:LINES] if line.strip()]
    if not lines:
        return "text"
    return next((kind for kind, bears in _MARKS if bears(lines)), _plain(lines))


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _plain(lines: Sequence[str]) -> str:
    return "prose" if sum(map(len, lines)) > PROSE_LINE * len(lines) else "text"


def _number(pattern: Pattern[str], lines: Sequence[str]) -> int:
    return sum(pattern.match(line[:300]) is not None for line in lines)


def _share(pattern: Pattern[str], lines: Sequence[str]) -> float:
    return _number(pattern, lines) / len(lines)


def _diff(lines: Sequence[str]) -> bool:
    return any(map(_DIFF.match, lines)) and _number(_CHANGE, lines) > len(lines) // 10


def _mail(lines: Sequence[str]) -> bool:
    return _MAIL.match(lines[0]) is not None and any(map(_MAIL.match, lines[1:4]))


def _passages(lines: Sequence[str]) -> bool:
    return _number(_PASSAGE, lines) >= max(2, len(lines) // 20)


def _transcript(lines: Sequence[str]) -> bool:
    """Most lines name a speaker, and speakers come again."""
    speakers = Counter(line.split(":", 1)[0] for line in lines if _TURN.match(line[:120]))
    said = sum(times for times in speakers.values() if times > 1)
    return said > MANY * len(lines) and len(speakers) <= said // 2 and _share(_TIME, lines) < SOME


def _git_log(lines: Sequence[str]) -> bool:
    return _COMMIT.match(lines[0]) is not None or _number(_COMMIT, lines) > max(1, len(lines) // 50)


def _table(lines: Sequence[str]) -> bool:
    """Rows between bars, with as many marks in each, or in columns below their names."""
    if sum(line.lstrip().startswith("|") for line in lines) > MOST * len(lines):
        return True
    rows = lines[:ROWS]
    if len(rows) <= 2 or _TIME.match(rows[0]):  # noqa: PLR2004  # a head and a row may be anything
        return False
    return any(_even(rows, mark) for mark in ",\t;|") or _aligned(rows)


def _even(rows: Sequence[str], mark: str) -> bool:
    number, times = Counter(_QUOTED.sub("", row).count(mark) for row in rows).most_common(1)[0]
    if number == 0 or times <= NEARLY_ALL * len(rows):
        return False
    return mark != "," or sum(", " in row for row in rows) < len(rows) // 2 + 1


def _aligned(rows: Sequence[str]) -> bool:
    if _share(_LISTED, rows) > MOST or _NAMELESS.search(rows[0]):
        return False
    number, times = Counter(len(_SPACES.split(row.strip())) for row in rows).most_common(1)[0]
    return number > 1 and times > NEARLY_ALL * len(rows)


def _log(lines: Sequence[str]) -> bool:
    return _share(_TIME, lines) > MANY or _share(_LEVEL, lines) > MOST


def _shell(lines: Sequence[str]) -> bool:
    return _share(_SHELL, lines) > SOME


def _bare(lines: Sequence[str]) -> list[str]:
    """The lines that are no comments, which are prose, or a licence."""
    return [line for line in lines if not line.lstrip().startswith("#")]


def _config(lines: Sequence[str]) -> bool:
    bare = _bare(lines)
    return bool(bare) and _share(_CONFIG, lines) > MOST and _share(_SETTING, bare) > SOME


def _code(lines: Sequence[str]) -> bool:
    bare = _bare(lines)
    return len(bare) > len(lines) // 5 and _share(_CODE, bare) > SOME and not any(map(_FENCE.match, lines))


def _markdown(lines: Sequence[str]) -> bool:
    marked = sum(_MARKED.search(line[:300]) is not None for line in lines)
    return marked > max(3, len(lines) // 25) or _share(_LISTS, lines) > SOME


_MARKS: tuple[tuple[str, Callable[[Sequence[str]], bool]], ...] = (
    ("diff", _diff),
    ("mail", _mail),
    ("passages", _passages),
    ("transcript", _transcript),
    ("shell", _git_log),
    ("table", _table),
    ("log", _log),
    ("shell", _shell),
    ("config", _config),
    ("code", _code),
    ("markdown", _markdown),
)
"""In this order: what bears the marks of two is the first."""
