"""Reads the addresses of a header (RFC 5322), and whatever mail programs write in their place, in linear time."""

import re
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""(?P<quoted>"(?:\\.|[^"\\])*")|(?P<literal>\[[^\][]*\])|(?P<word>=\?[^?\s]{1,60}\?[bq]\?[^?]{0,400}\?=)"""
    r"""|(?P<escaped>\\.)|(?P<mark>[,;:<>()])|(?P<text>[^",;:<>()\[\\=]+|.)""",
    re.DOTALL | re.IGNORECASE,
)
"""An encoded word is one token, because programs write commas and brackets into it."""
_ESCAPED = re.compile(r"\\(.)")
_SEPARATED = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Address:
    """One mailbox: a name, which may be empty and is not decoded, and an address."""

    name: str
    address: str


@dataclass(slots=True)
class _Entry:
    """What was read of the mailbox so far."""

    text: list[str] = field(default_factory=list)
    angle: list[str] = field(default_factory=list)
    comment: list[str] = field(default_factory=list)
    in_angle: bool = False
    had_angle: bool = False

    def add(self, text: str) -> None:
        (self.angle if self.in_angle else self.text).append(text)


def addresses(line: str) -> list[Address]:
    """The mailboxes of a header on one line, those within groups included.

    What stands in round brackets is a comment, and a mailbox's name where it has no other.
    """
    found: list[Address] = []
    entry, depth = _Entry(), 0
    for match in _TOKEN.finditer(line):
        sign = match[0]
        if depth or sign == "(":
            depth += (sign == "(") - (sign == ")")
            if depth and not (sign == "(" and depth == 1):
                entry.comment.append(sign[-1] if match.lastgroup == "escaped" else sign)
        elif match.lastgroup == "mark" and not (entry.in_angle and sign in ",;:"):
            if _ends(entry, sign):
                _keep(entry, found)
                entry = _Entry()
        else:
            entry.add(sign)
    _keep(entry, found)
    return found


def _ends(entry: _Entry, mark: str) -> bool:
    """Take a mark in; true if the mailbox ends at it."""
    if mark == "<":
        entry.in_angle = entry.had_angle = True
    elif mark == ">":
        entry.in_angle = False
    elif mark == ":":  # what stood before it is a group's name
        entry.text.clear()
    elif mark == ")":  # of no comment
        entry.add(" ")
    return mark in ",;"


def _keep(entry: _Entry, found: list[Address]) -> None:
    text, comment = _plain(entry.text), " ".join("".join(entry.comment).split())
    if entry.had_angle:
        address = _SEPARATED.sub("", "".join(entry.angle)).rpartition(":")[2]  # a route ends with a colon
        name = text
    else:
        address, name = _without_brackets(text, quoted='"' in "".join(entry.text))
    name = name.strip("'") or comment
    if address or name:
        found.append(Address("" if name == address else name, address))


def _without_brackets(text: str, *, quoted: bool) -> tuple[str, str]:
    """The address and the name of a mailbox such as `Ann ann@example.org`."""
    words = text.split()
    address = next((word for word in words if "@" in word), None)
    if quoted or address is None:
        return text, ""
    words.remove(address)
    return address, " ".join(words)


def _plain(pieces: list[str]) -> str:
    """Tokens as text, without the quotation marks around names."""
    plain = (
        _ESCAPED.sub(r"\1", piece[1:-1]) if piece[:1] == '"' and len(piece) > 1 else piece for piece in pieces
    )
    return " ".join("".join(plain).split())
