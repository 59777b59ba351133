"""Reads settings from files, the environment and assignments, bounded, and lays them over one another."""

import json
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from intendant.config.own_folders import config_folder
from intendant.config.trusted_files import TrustedFiles, harmless
from intendant.model.errors import SettingsError

FILE_NAME = "intendant.toml"
PREFIX = "INTENDANT_"
SECRET_PREFIX = "INTENDANT_SECRET_"  # noqa: S105  # the beginning of names, no secret
"""Variables named so hold secrets, and no settings."""
NOT_SETTINGS = frozenset({"INTENDANT_BLOCK_PLUGINS", "INTENDANT_CONFIG", "INTENDANT_DB"})
"""Variables with our prefix that are read elsewhere."""
MAX_BYTES = 1_000_000
"""A longer settings file is an error."""
MAX_DEPTH = 20
"""Settings nested deeper are an error."""
_KEY = re.compile(r'(?:"[^"]+"|[^".]+)(?:\.(?:"[^"]+"|[^".]+))*')
_PART = re.compile(r'"([^"]+)"|([^."]+)')


@dataclass(frozen=True)
class Source:
    """Settings from one place.

    Attributes:
        name: The place, for messages.
        values: Settings, nested.
        left_out: Keys that it sets and may not set, since nobody trusted it.
    """

    name: str
    values: Mapping[str, Any]
    left_out: tuple[str, ...] = ()


def read_files(env: Mapping[str, str]) -> Iterator[Source]:
    """The user's file, or the one that `INTENDANT_CONFIG` names in its place; then the working folder's file.

    Raises:
        SettingsError: One cannot be read.
    """
    named, own = env.get("INTENDANT_CONFIG"), config_folder()
    user = Path(named) if named else None if own is None else own / FILE_NAME
    if user is not None and (named or _is_there(user)):
        yield Source(str(user), read_toml(user))
    folder = Path(FILE_NAME)
    if folder.is_file() and not (user is not None and user.exists() and user.samefile(folder)):
        content = read_bounded(folder)
        values = parse_toml(folder, content)
        if (folder, content) in TrustedFiles():
            yield Source(FILE_NAME, values)
        else:
            kept, left_out = harmless(values)
            yield Source(FILE_NAME, kept, tuple(left_out))


def _is_there(user: Path) -> bool:
    """True if the user has a settings file. One that may not be looked at is an error: it may set limits."""
    try:
        return user.is_file()
    except PermissionError:
        raise SettingsError(
            f"this user may not look into {user.parent}, where the settings would be",
            hint="set HOME, or XDG_CONFIG_HOME, to a folder of this user's; or name a file: INTENDANT_CONFIG",
        ) from None


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file.

    Raises:
        SettingsError: It cannot be read, is too long, is nested too deep or is not TOML.
    """
    return parse_toml(path, read_bounded(path))


def read_bounded(path: Path) -> bytes:
    """The content of a file of settings.

    Raises:
        SettingsError: It cannot be read, or has more than `MAX_BYTES`.
    """
    try:
        if not (stat.S_ISREG(path.stat().st_mode) or stat.S_ISCHR(path.stat().st_mode)):
            raise SettingsError(f"{path} is no file")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:  # a null byte in the name
        raise SettingsError(f"{str(path)!r} cannot be read: {error}") from None
    if len(content) > MAX_BYTES:
        raise SettingsError(f"{path} has more than {MAX_BYTES:,} bytes: it is no file of settings")
    return content


def parse_toml(path: Path, content: bytes) -> dict[str, Any]:
    """The settings in the *content* of a file; *path* is for messages.

    Raises:
        SettingsError: It is not TOML, or is nested too deep.
    """
    try:
        values = tomllib.loads(content.decode("utf-8-sig"))
    except ValueError as error:  # also what is not UTF-8, and numbers of thousands of digits
        raise SettingsError(f"{path} is not TOML: {error}") from None
    except RecursionError:
        raise SettingsError(f"{path} is nested deeper than {MAX_DEPTH}") from None
    _check_depth(values, str(path))
    return values


def read_env(env: Mapping[str, str]) -> Source:
    """Variables such as `INTENDANT_BUDGET__STRATEGY=equal`.

    Raises:
        SettingsError: Two variables contradict each other, or a value is nested too deep.
    """
    values: dict[str, Any] = {}
    for name in sorted(env):
        if (
            not name.startswith(PREFIX)
            or name in NOT_SETTINGS
            or "__" not in name
            or name.startswith(SECRET_PREFIX)
        ):
            continue
        parts = name.removeprefix(PREFIX).lower().split("__")
        if not all(parts):
            raise SettingsError(f"the variable {name} names no setting", hint=f"such as {PREFIX}BUDGET__STRATEGY")
        merge(values, _nested(parts, parse_value(env[name], name)), strict=name)
    return Source("the environment", values)


def parse_value(text: str, name: str) -> Any:
    """JSON where it is JSON, else the text itself.

    Raises:
        SettingsError: It is nested too deep.
    """
    try:
        value = json.loads(text)
    except ValueError:
        return text
    except RecursionError:
        raise SettingsError(f"{name} is nested deeper than {MAX_DEPTH}") from None
    _check_depth(value, name)
    return value


def _check_depth(value: Any, name: str) -> None:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise SettingsError(f"{name} is nested deeper than {MAX_DEPTH}")
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]


def _nested(parts: list[str], value: Any) -> dict[str, Any]:
    for part in reversed(parts):
        value = {part: value}
    return dict(value)


def merge(
    into: dict[str, Any],
    values: Mapping[str, Any],
    source: str = "",
    provenance: dict[str, str] | None = None,
    *,
    prefix: str = "",
    strict: str = "",
) -> None:
    """Lay nested *values* over *into*, and note in *provenance* that they came from *source*.

    Args:
        into: Changed in place.
        values: Win over what is there.
        source: Name of the place that they came from.
        provenance: Source by dotted key; changed in place.
        prefix: Dotted key of the section that both are, with a dot at its end.
        strict: The name of what is laid over; if given, one key must not be a value here and a section there.

    Raises:
        SettingsError: One key is both, and *strict* was given.
    """
    for key, value in values.items():
        name = f"{prefix}{key}"
        before = into.get(key)
        if strict and key in into and isinstance(value, Mapping) != isinstance(before, dict):
            raise SettingsError(
                f"{strict} contradicts another setting: {name} is a value and a section at once",
                hint="give one of them",
            )
        if isinstance(value, Mapping):
            section = dict(before) if isinstance(before, dict) else {}
            into[key] = section
            merge(section, value, source, provenance, prefix=f"{name}.", strict=strict)
        else:
            into[key] = value
            if provenance is not None:
                provenance[name] = source


def parse_assignment(text: str) -> dict[str, Any]:
    """`budget.strategy=equal`, as typed on a command line, as nested settings.

    A part in quotes may hold dots, as in TOML: `prices.models."openai/gpt-6.1".input=2`.

    Raises:
        SettingsError: There is no key, or no `=`.
    """
    key, equals, value = text.partition("=")
    if not equals or not _KEY.fullmatch(key):
        raise SettingsError(f"'{text}' is not a setting", hint="write key=value, such as budget.strategy=equal")
    parts = [quoted or plain for quoted, plain in _PART.findall(key)]
    if len(parts) > MAX_DEPTH:
        raise SettingsError(f"{key[:60]}… is nested deeper than {MAX_DEPTH}")
    return _nested(parts, parse_value(value, key))


def merge_assignments(assignments: list[str]) -> dict[str, Any]:
    """Several assignments, the last of a key wins.

    Raises:
        SettingsError: One is wrong, or two contradict each other.
    """
    settings: dict[str, Any] = {}
    for text in assignments:
        merge(settings, parse_assignment(text), strict=f"'{text}'")
    return settings
