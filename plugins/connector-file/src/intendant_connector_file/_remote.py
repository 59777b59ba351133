"""Files elsewhere, on web servers and in S3 buckets: which ones may be read, and which ones a pattern means."""

import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import translate
from typing import NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

from pydantic import Field, model_validator

from intendant.plugin import ConnectorError, HttpAuth, Options, check_url, shown
from intendant_connector_file._archive import split as split_archive

_SCHEME = re.compile(r"(https?|s3)://([^/?#]*)", re.IGNORECASE)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
PORTS = {"http": ":80", "https": ":443"}
WILD = {"s3": frozenset("*?["), "http": frozenset("*["), "https": frozenset("*[")}
"""Characters of a pattern; in an address of the web, `?` begins the query."""
DEEPEST = 64
"""Folders within each other that `**` goes into: listings of servers may go round."""
LONGEST = 4000


class Bucket(Options):
    """How to reach a bucket; without a key, it is read anonymously."""

    key: str | None = None
    """The id of the access key, such as `"{{ secrets.S3_KEY }}"`."""
    secret: str | None = Field(default=None, repr=False)
    """The secret key, as `"{{ secrets.NAME }}"`."""
    token: str | None = Field(default=None, repr=False)
    """The session token of temporary credentials, as `"{{ secrets.NAME }}"`."""
    region: str | None = Field(default=None, pattern=r"^[a-z0-9-]{1,40}$")
    """The region of the bucket."""
    endpoint: str | None = None
    """The address of another service that speaks S3, such as `https://minio.example`; by default Amazon's."""

    @model_validator(mode="after")
    def _whole(self) -> "Bucket":
        if (self.key is None) != (self.secret is None) or (self.token and self.key is None):
            raise ValueError("`key` goes with `secret`, and `token` with both")
        return self


class Elsewhere(Options):
    """Credentials for files elsewhere."""

    auth: HttpAuth | None = None
    """Files on web servers: credentials, as of `http.get`."""
    s3: Bucket | None = None
    """Files in S3 buckets: credentials, and where the bucket is."""


class Entry(NamedTuple):
    """A file or a folder elsewhere."""

    name: str
    address: str
    """That of a folder ends with `/`."""
    size: int | None = None
    """Bytes; None where the server does not say."""
    modified: str | None = None
    """ISO 8601, UTC."""


class Store(Protocol):
    """Where the files are."""

    def entries(self, folder: str, head: str) -> AsyncIterator[Entry]:
        """What is in a folder and begins with *head*; what does not may come too.

        Raises:
            ConnectorError: It cannot be listed.
        """

    async def load(self, address: str, most: int) -> bytes:
        """A file of at most *most* bytes.

        Raises:
            ConnectorError: It is not there, may not be read, or is larger.
        """

    async def close(self) -> None:
        """Close the connections."""


def is_remote(path: str) -> bool:
    """True for a path that begins with `s3://`, `http://` or `https://`."""
    return _SCHEME.match(path) is not None


def split(path: str) -> tuple[str, str]:
    """An address, and the pattern within the archive that it names; empty where it names none."""
    found = _SCHEME.match(path)
    start = found.end() if found else 0  # a host may end with `.zip` as well
    inside = split_archive(path[start:])
    return (path, "") if inside is None else (f"{path[:start]}{inside[0]}", inside[1])


def name_of(address: str) -> str:
    """The name of the file at an address."""
    path = address if address.startswith("s3://") else unquote(urlsplit(address).path)
    return path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Target:
    """What an address or a pattern means."""

    scheme: str
    host: str
    """The host and port of a web server, or the bucket."""
    fixed: tuple[str, ...]
    """The parts of its path, before the first wildcard."""
    pattern: tuple[str, ...]
    """The others; empty for one file."""
    query: str = ""

    @classmethod
    def of(cls, path: str) -> "Target":
        """The target of a path.

        Raises:
            ConnectorError: It is no address, or climbs out of its folder.
        """
        found = _SCHEME.match(path)
        if found is None or len(path) > LONGEST or any(not letter.isprintable() for letter in path):
            raise ConnectorError(
                f"{path[:100]!r} is no address of files", hint="such as s3://bucket/2026/*.csv", delivered=False
            )
        scheme, host, rest = found[1].lower(), found[2].lower(), path[found.end() :]
        query = ""
        if scheme != "s3":
            check_url(path)
            host = host.removesuffix(PORTS[scheme])
            rest, query = urlsplit(path).path, urlsplit(path).query
        elif _BUCKET.fullmatch(host) is None:
            raise ConnectorError(
                f"'{host[:80]}' is no name of a bucket", hint="write s3://bucket/folder/file.csv", delivered=False
            )
        parts = tuple(rest.lstrip("/").split("/"))
        plain = [piece for part in parts for piece in unquote(part).replace("\\", "/").split("/")]
        if "." in plain or ".." in plain:
            raise ConnectorError(f"{shown(path)}: '..' is not allowed in an address", delivered=False)
        wild = WILD[scheme]
        first = next((index for index, part in enumerate(parts) if wild & set(part)), len(parts))
        if parts[first:] and query:
            raise ConnectorError(f"{shown(path)}: a pattern has no query", hint="leave out what follows the ?")
        return cls(scheme, host, parts[:first], parts[first:], query)

    @property
    def is_folder(self) -> bool:
        """True if it ends with `/`."""
        return not self.pattern and self.fixed[-1] == ""

    @property
    def address(self) -> str:
        """The address of the file, or of the folder where the pattern begins."""
        path = "/".join((*self.fixed, "") if self.pattern and self.fixed else self.fixed)
        return f"{self.scheme}://{self.host}/{path}{f'?{self.query}' if self.query else ''}"

    def within(self, root: "Target") -> bool:
        """True if it is in the folder *root*."""
        parts = root.fixed[:-1] if root.is_folder else root.fixed
        same = (self.scheme, self.host) == (root.scheme, root.host)
        return same and self.fixed[: len(parts)] == parts

    def check(self, roots: Iterable[str]) -> None:
        """Pass if it is within a root.

        Raises:
            ConnectorError: It is in none.
        """
        if any(self.within(Target.of(root)) for root in roots):
            return
        example = f"{self.scheme}://{self.host}"
        raise ConnectorError(
            f"{shown(self.address)} is outside the places that may be used",
            hint=f"""allow it: --set plugins.settings.connector:file.roots='["{example}"]'""",
            delivered=False,
        )


async def matching(store: Store, target: Target, most: int, look: Callable[[], None]) -> list[Entry]:
    """The files that a pattern means, in the order of their addresses.

    Args:
        store: Where they are.
        target: The pattern.
        most: Files and folders at most.
        look: Called between folders; may raise to end the search.

    Raises:
        ConnectorError: A folder cannot be listed, or there are too many.
    """
    wanted = _Pattern(target)
    found: list[Entry] = []
    folders: list[tuple[str, frozenset[int], int]] = [(target.address, wanted.start, 0)]
    listed = 0
    while folders:
        folder, states, depth = folders.pop()
        look()
        listed += 1
        async for entry in store.entries(folder, wanted.head(states)):
            if not entry.address.endswith("/"):
                if wanted.ends(states, entry.name):
                    found.append(entry)
            elif after := wanted.into(states, entry.name):
                folders.append((entry.address, after, depth + 1))
            if len(found) > most or listed + len(folders) > most or depth > DEEPEST:
                raise ConnectorError(
                    f"the pattern finds more than {most} files, or folders without end",
                    hint="name fewer, or raise the setting max_files of connector:file",
                )
    return sorted(found, key=lambda entry: entry.address)


class _Pattern:
    """The parts of a pattern; a state is the part that the next name has to match."""

    def __init__(self, target: Target) -> None:
        parts = [part if target.scheme == "s3" else unquote(part) for part in target.pattern]
        if parts[-1] == "**":
            parts.append("*")
        self._parts = parts
        self._matches = [re.compile(translate(part)).match for part in parts]
        self.start = self._open({0})

    def _open(self, states: Iterable[int]) -> frozenset[int]:
        """The states, and those after `**`, which may stand for no folder."""
        found = set[int]()
        for state in states:
            at = state
            found.add(at)
            while self._parts[at] == "**":
                at += 1
                found.add(at)
        return frozenset(found)

    def head(self, states: frozenset[int]) -> str:
        """What all names begin with that a folder is searched for."""
        if len(states) > 1:
            return ""
        return re.split(r"[*?\[]", self._parts[next(iter(states))], maxsplit=1)[0]

    def ends(self, states: Iterable[int], name: str) -> bool:
        """Whether a file of this name is meant."""
        last = len(self._parts) - 1
        return last in states and self._fits(last, name)

    def into(self, states: Iterable[int], name: str) -> frozenset[int]:
        """The states within a folder of this name; none where it is not searched."""
        after = set[int]()
        for state in states:
            if self._parts[state] == "**":
                if not name.startswith("."):
                    after.add(state)
            elif state + 1 < len(self._parts) and self._fits(state, name):
                after.add(state + 1)
        return self._open(after)

    def _fits(self, state: int, name: str) -> bool:
        hidden = name.startswith(".") and not self._parts[state].startswith(".")
        return not hidden and self._matches[state](name) is not None


async def chosen(store: Store, target: Target, most: int, look: Callable[[], None]) -> list[Entry]:
    """The files that are meant: one, or those that match a pattern.

    Raises:
        ConnectorError: None matches, or it is a folder.
    """
    if target.is_folder:
        raise ConnectorError(
            f"{shown(target.address)} is a folder", hint=f"name its files: {shown(target.address)}*.csv"
        )
    if not target.pattern:
        return [Entry(unquote(target.fixed[-1]), target.address)]
    found = await matching(store, target, most, look)
    if not found:
        pattern = f"{target.address}{'/'.join(target.pattern)}"
        raise ConnectorError(f"no file matches {pattern}", hint="patterns: * in a name, ** for folders")
    return found


async def listed(store: Store, target: Target, most: int, look: Callable[[], None]) -> list[Entry]:
    """The files that are meant, those of a folder included.

    Raises:
        ConnectorError: It cannot be listed.
    """
    if not target.pattern:
        target = replace(target, fixed=target.fixed[:-1], pattern=(target.fixed[-1] or "*",))
    return await matching(store, target, most, look)


async def load_all(store: Store, entries: Sequence[Entry], most: int) -> list[tuple[str, bytes]]:
    """The files, by their addresses.

    Raises:
        ConnectorError: One cannot be read, or they have more than *most* bytes together.
    """
    known = sum(entry.size or 0 for entry in entries)
    if known > most:
        raise too_large(f"{len(entries)} files with {known} bytes")
    loaded, left = list[tuple[str, bytes]](), most
    for entry in entries:
        data = await store.load(entry.address, left)
        left -= len(data)
        if left < 0:
            raise too_large(shown(entry.address))
        loaded.append((entry.address, data))
    return loaded


def too_large(what: str) -> ConnectorError:
    """The error for files that are too large."""
    return ConnectorError(f"{what}: more bytes than `max_bytes` admits", hint="name fewer, or raise `max_bytes`")
