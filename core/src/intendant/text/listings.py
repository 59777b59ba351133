"""Listings as commands print them, written shorter: every name, size and date can still be read.

- Lines of `ls -l` become `size name`, those of folders `name/`; mode, owner and date are said once, and again only
  where they differ.
- Names that stand alone on their lines come on one line.
- Paths of one folder come under it, as do the lines that `grep` found in one file.
"""

import re
from collections import Counter
from collections.abc import Sequence

from intendant.text.folder_listings import folders_inside

LEAST = 4
"""Lines of a listing that is worth rewriting."""
_LONG = re.compile(
    r"([-dlcbps])([rwxsStT-]{9}[.+@]?) +(\d+) (\S+) +(\S+) +(\d+(?:\.\d+)?[KMGT]?|\d+, +\d+) "
    r"+(\w{3} +\d+ +[\d:]+|\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d\S* \S+)?) (.+)"
)
_NAME = re.compile(r"[\w.+@~%-]+[/*]?")
_PATH = re.compile(r"((?:[\w.+@~%-]+|\.{1,2})?(?:/[\w.+@~%-]+)*/)([\w.+@~%-]+)")
_FILE = r"((?:\.{0,2}/)?[\w+@~%-][\w.+@~%-]*(?:/[\w.+@~%-]+)+|[\w+-]+(?:\.\w+)*\.[A-Za-z]\w{0,4})"
_FOUND = re.compile(rf"{_FILE}:(?=.)|{_FILE}-(?=\d+-)")


def shorter_listing(lines: Sequence[str], *, whole: bool = True) -> list[str]:
    """*lines* with the listings among them rewritten; the same lines where there are none.

    Args:
        lines: What a command printed.
        whole: False leaves of `ls -l` only the names.
    """
    found: list[str] = []
    at = 0
    while at < len(lines):
        for rewrite in (_long if whole else _long_names, folders_inside, _paths, _found, _names):
            size, written = rewrite(lines, at)
            if size:
                found += written
                at += size
                break
        else:
            found.append(lines[at])
            at += 1
    return found


def _run(lines: Sequence[str], at: int, pattern: re.Pattern[str]) -> list[re.Match[str]]:
    """The matches of the lines from *at* on that *pattern* fits wholly."""
    found = []
    for line in lines[at:]:
        match = pattern.fullmatch(line)
        if match is None:
            break
        found.append(match)
    return found


def _long(lines: Sequence[str], at: int) -> tuple[int, list[str]]:
    rows = _run(lines, at, _LONG)
    if len(rows) < LEAST:
        return 0, []
    usual = {
        kind: Counter((row[2], f"{row[4]} {row[5]}", row[7]) for row in rows if row[1] == kind).most_common(1)[0][
            0
        ]
        for kind in dict.fromkeys(row[1] for row in rows)
    }
    said = [f"{kind}{' '.join(usual[kind])}" for kind in usual]
    written = [f"[ls -l; unless said: {'; '.join(said)}]"]
    entries = [_entry(row, usual[row[1]]) for row in rows]
    return len(rows), [*written, " ".join(entries)]


def _long_names(lines: Sequence[str], at: int) -> tuple[int, list[str]]:
    rows = _run(lines, at, _LONG)
    if len(rows) < LEAST:
        return 0, []
    names = [f"{row[8]}/" if row[1] == "d" else row[8] for row in rows if row[8] not in (".", "..")]
    return len(rows), [" ".join(names)]


def _entry(row: re.Match[str], usual: tuple[str, str, str]) -> str:
    kind, mode, _, owner, group, size, date, name = row.groups()
    own = (mode, f"{owner} {group}", date)
    other = [value for value, known in zip(own, usual, strict=True) if value != known]
    shown = f"{name}/" if kind == "d" else f"{name} {size}" if kind == "-" else f"{kind} {name}"
    return f"{shown} ({', '.join(other)})" if other else shown


def _names(lines: Sequence[str], at: int) -> tuple[int, list[str]]:
    rows = _run(lines, at, _NAME)
    under = at > 0 and lines[at - 1].endswith(":")
    if len(rows) < (2 if under else 2 * LEAST) or len({row[0] for row in rows}) < len(rows):
        return 0, []
    return len(rows), [" ".join(row[0] for row in rows)]


def _paths(lines: Sequence[str], at: int) -> tuple[int, list[str]]:
    rows = _run(lines, at, _PATH)
    if len(rows) < LEAST:
        return 0, []
    folders: list[tuple[str, list[str]]] = []
    for row in rows:
        if not folders or folders[-1][0] != row[1]:
            folders.append((row[1], []))
        folders[-1][1].append(row[2])
    if len(folders) * 2 > len(rows):
        return 0, []
    return len(rows), [
        f"{folder}{names[0]}" if len(names) == 1 else f"{folder}: {' '.join(names)}" for folder, names in folders
    ]


def _found(lines: Sequence[str], at: int) -> tuple[int, list[str]]:
    """What `grep` found in one file, under its path; `path:12:` and `path-12-` keep their marks."""
    match = _FOUND.match(lines[at])
    if match is None:
        return 0, []
    path = match[1] or match[2]
    heads = tuple(f"{path}{mark}" for mark in ":-")
    size = 1
    while at + size < len(lines) and lines[at + size].startswith(heads):
        size += 1
    if size < 2:  # noqa: PLR2004
        return 0, []
    return size, [f"{path}:", *(line[len(path) + 1 :] for line in lines[at : at + size])]
