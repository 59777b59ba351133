"""Values as parts of web addresses: whatever they hold, they do not change where an address leads (RFC 3986)."""

import re
from urllib.parse import quote

PATH_SAFE = ":@!$&'()*,="
"""What stays as it is in a path, besides letters, digits and `-._~`: what is no delimiter there."""
SEVERAL_SAFE = f"{PATH_SAFE}/"
"""The same of several parts of a path."""
QUERY_SAFE = ":@!$'()*,/"
"""The same of a query."""
_BEGINS = re.compile(r"\s*https?://", re.IGNORECASE)
_NO_HOST = re.compile(r"[/?#\\@\s%]")
_DOTS = re.compile(r"(?:^|[/\\])(?:\.|%2e){1,2}(?=[/\\?#]|$)", re.IGNORECASE)


def is_web(address: str) -> bool:
    """True if it begins as addresses of the web do."""
    return _BEGINS.match(address) is not None


def part_after(before: str, value: str, *, parts: bool = False) -> str:
    """A value as it stands in an address of the web.

    Args:
        before: The address so far.
        value: The value. One that begins with `/` or `?`, directly behind the host, is the rest and stays.
        parts: Whether it may be several parts of the path, with `/` between them.

    Raises:
        ValueError: It can be no part there; says why.
    """
    rest = before[_begin(before) :]
    if not re.search(r"[/?#]", rest):
        if rest and value[:1] in ("/", "?"):
            return value
        if (wrong := _NO_HOST.search(value)) is not None:
            raise ValueError(f"what stands in the place of a host or its port has {wrong[0]!r}")
        return value
    path = SEVERAL_SAFE if parts else PATH_SAFE
    return quote(value, safe=QUERY_SAFE if re.search(r"[?#]", rest) else path, errors="replace")


def changes_folder(address: str) -> bool:
    """True if a part of its path is `.` or `..`, which is another place than it seems."""
    rest = address[_begin(address) :]
    return _DOTS.search(re.split(r"[?#]", rest, maxsplit=1)[0]) is not None


def _begin(address: str) -> int:
    found = _BEGINS.match(address)
    return 0 if found is None else found.end()
