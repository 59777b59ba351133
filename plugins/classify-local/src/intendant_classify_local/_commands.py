"""What the commands of a command line do: run tests, fetch, build, install, publish."""

import re
from collections.abc import Sequence

from intendant_classify_local._language import lemmas_of
from intendant_classify_local._lexicon import lexicon

_MOST_COMMANDS = 8
_COMMAND = re.compile(r"\n|&&|;|\|\|?")
_SETTING = re.compile(r"[A-Z_][A-Z0-9_]*=")
_SENDING = frozenset(("post", "put", "-d", "--data", "--data-binary", "--upload-file"))
"""Options, in lower case, that make a client send instead of fetch."""
_COPYING = frozenset(("aws", "gsutil"))
"""Clients that fetch from an address and publish to one."""


def command_deeds(text: str) -> list[str]:
    """What the commands of a command line do, in order; empty if it does not begin with one that is known."""
    found: list[str] = []
    for line in _COMMAND.split(text, _MOST_COMMANDS)[:_MOST_COMMANDS]:
        if deed := _command_deed(line.split()):
            found.append(deed)
        elif not found and line.strip() and not line.lstrip().startswith("#"):
            return []
    return found


def _command_deed(words: list[str]) -> str:
    known = lexicon().commands
    while words and (known.get(words[0]) in ("wrapper", "flags") or _SETTING.match(words[0])):
        words = words[1:]
    if not words:
        return ""
    first = words[0].rpartition("/")[2]
    second = next((word for word in words[1:] if not word.startswith("-")), "")
    pair = f"{first} {second}"
    if pair.endswith(" run") and words[2:]:
        pair = _task_of(f"{first} run", words[2])
    deed = known.get(pair) or known.get(first, "")
    options = {word.lower() for word in words[1:]}
    if deed == "build" and any(known.get(word) == "flags" for word in options):
        return "test"
    if deed == "fetch" and options & _SENDING:
        return "publish"
    if first in _COPYING:
        source = next((word for word in words[2:] if "/" in word), "")
        return "fetch" if "://" in source else deed
    return deed


def _task_of(runner: str, task: str) -> str:
    """The key in the table of commands for `npm run lint:ci` and the like."""
    groups = lexicon().groups
    said = lemmas_of(task)[1]
    if any(groups.get(word) == "validate" for word in said) or "type" in said:
        return f"{runner}-test"
    return f"{runner}-build" if "build" in said else ""


def main_deed(deeds: Sequence[str]) -> str:
    """What commands do in the end: the last that is more than preparation."""
    return next((deed for deed in reversed(deeds) if deed not in ("start", "install")), deeds[-1])
