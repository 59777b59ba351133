"""Finds plugins through entry points. The only importer of stevedore.

Policy: names are listed before anything is imported; a blocked name is never imported; two distributions that
claim one name are an error that names both; what fails to load is recorded and logged, and the rest goes on,
unless the host asked for that plugin by name.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from intendant.config.logs import get_logger
from intendant.hooks.hints import install_hint
from intendant.hooks.kinds import GROUPS, base_of
from intendant.model.errors import DuplicatePluginError, PluginLoadError

if TYPE_CHECKING:
    from intendant.hooks.bases import Plugin

log = get_logger("intendant.plugins")
BLOCK_VARIABLE = "INTENDANT_BLOCK_PLUGINS"


class PluginState(StrEnum):
    """What became of a plugin."""

    found = "found"
    """Installed; not imported yet."""
    loaded = "loaded"
    blocked = "blocked"
    """The operator or the settings block it; it is never imported."""
    failed = "failed"
    """Importing it raised an error."""
    incompatible = "incompatible"
    """It is not what its entry point says, or was made for another version of the hooks."""
    duplicate = "duplicate"
    """Another distribution claims the same name."""


@dataclass(frozen=True, slots=True)
class PluginRecord:
    """One plugin and what became of it."""

    kind: str
    name: str
    target: str
    """`module:attribute` of its entry point."""
    state: PluginState
    reason: str = ""
    distribution: str = ""
    version: str = ""

    @property
    def key(self) -> str:
        """Such as `tier:fast`."""
        return f"{self.kind}:{self.name}"


def blocked_by_environment() -> frozenset[str]:
    """What the operator blocks: `INTENDANT_BLOCK_PLUGINS=tier:fast,intent:send`."""
    names = os.environ.get(BLOCK_VARIABLE, "").split(",")
    return frozenset(name.strip() for name in names if name.strip())


def list_plugins(
    *, block: Iterable[str] = (), only: Iterable[str] = (), kinds: Iterable[str] = tuple(GROUPS)
) -> list[PluginRecord]:
    """All installed plugins by kind and name, without importing any.

    Args:
        block: Keys such as `tier:fast` that are not to be used, besides those the environment blocks.
        only: If given, all other keys are blocked.
        kinds: The kinds to look for.
    """
    refused = frozenset(block) | blocked_by_environment()
    allowed = frozenset(only)
    owners = _Owners()
    records: list[PluginRecord] = []
    for kind in kinds:
        found: dict[str, list[str]] = {}
        for entry in _entry_points(kind):
            targets = found.setdefault(entry.name, [])
            if entry.value not in targets:
                targets.append(entry.value)
        for name, targets in sorted(found.items()):
            key = f"{kind}:{name}"
            state, reason = PluginState.found, ""
            if len(targets) > 1:
                state, reason = PluginState.duplicate, owners.both(kind, name, targets)
            if key in refused or (allowed and key not in allowed):
                state, reason = PluginState.blocked, "blocked by the settings or the environment"
            records.append(PluginRecord(kind, name, targets[0], state, reason))
    return records


def unknown_blocks(records: Iterable[PluginRecord], block: Iterable[str] = ()) -> list[str]:
    """What is to be blocked, by the settings or the environment, and is not installed: a typing error, perhaps."""
    known = {record.key for record in records}
    return sorted((frozenset(block) | blocked_by_environment()) - known)


def describe(records: Sequence[PluginRecord]) -> list[PluginRecord]:
    """The records with distribution and version filled in."""
    owners = _Owners()
    return [
        replace(record, distribution=owner[0], version=owner[1])
        for record in records
        for owner in [owners.of(record.kind, record.name, record.target)]
    ]


def load(
    records: Iterable[PluginRecord], *, required: Iterable[str] = ()
) -> tuple[list[tuple[PluginRecord, "type[Plugin]"]], list[PluginRecord]]:
    """Import what was found.

    Args:
        records: From `list_plugins`.
        required: Keys that must load.

    Returns:
        The loaded classes, and the records of everything, loaded or not.

    Raises:
        DuplicatePluginError: Two distributions claim one name.
        PluginLoadError: A required plugin is missing or failed.
    """
    classes: list[tuple[PluginRecord, type[Plugin]]] = []
    states: list[PluginRecord] = []
    for record in records:
        if record.state is PluginState.duplicate:
            raise DuplicatePluginError(record.reason, hint="uninstall one of them, or block that name")
        if record.state is PluginState.found:
            record, loaded = _import(record)  # noqa: PLW2901  # the record as it is after loading
            if loaded is not None:
                classes.append((record, loaded))
        states.append(record)
    require(states, required)
    return classes, states


def require(states: Iterable[PluginRecord], required: Iterable[str]) -> None:
    """Raise `PluginLoadError` unless every one of *required* is loaded."""
    by_key = {record.key: record for record in states}
    for key in required:
        state = by_key.get(key)
        if state is None:
            kind, _, name = key.partition(":")
            installed = [record.name for record in by_key.values() if record.kind == kind]
            raise PluginLoadError(f"the plugin {key} is not installed", hint=install_hint(kind, name, installed))
        if state.state is not PluginState.loaded:
            raise PluginLoadError(f"the plugin {key} is {state.state}: {state.reason}")


def _import(record: PluginRecord) -> "tuple[PluginRecord, type[Plugin] | None]":
    """Import one plugin; whatever goes wrong becomes its record."""
    from stevedore import NamedExtensionManager

    group, base = GROUPS[record.kind], base_of(record.kind)
    errors: list[BaseException] = []
    try:
        manager = NamedExtensionManager(
            group,
            [record.name],
            on_load_failure_callback=lambda _manager, _entry, error: errors.append(error),
            on_missing_entrypoints_callback=None,
        )
        found: list[Any] = [extension.plugin for extension in manager]
    except (SystemExit, AssertionError) as error:  # stevedore lets these through; one plugin must not end us
        errors, found = [error], []
    if errors or not found:
        fault = errors[0] if errors else ImportError("its entry point does not load")
        reason = f"{type(fault).__name__}: {fault}"
        log.error("plugin_failed", plugin=record.key, target=record.target, reason=reason)
        return replace(record, state=PluginState.failed, reason=reason), None
    target = found[0]
    if not (isinstance(target, type) and issubclass(target, base)):
        return _incompatible(record, f"{record.target} is not a subclass of {base.__name__}")
    return replace(record, state=PluginState.loaded), target


def _incompatible(record: PluginRecord, reason: str) -> tuple[PluginRecord, None]:
    log.error("plugin_incompatible", plugin=record.key, target=record.target, reason=reason)
    return replace(record, state=PluginState.incompatible, reason=reason), None


def _entry_points(kind: str) -> list[Any]:
    from stevedore import NamedExtensionManager

    manager = NamedExtensionManager(GROUPS[kind], [], on_missing_entrypoints_callback=None)
    return list(manager.list_entry_points())


class _Owners:
    """Which distribution an entry point is of; stevedore's cache does not say, so one pass over metadata does."""

    def __init__(self) -> None:
        self._table: dict[tuple[str, str, str], tuple[str, str]] | None = None

    def of(self, kind: str, name: str, target: str) -> tuple[str, str]:
        if self._table is None:
            from importlib.metadata import distributions

            groups = set(GROUPS.values())
            self._table = {
                (entry.group, entry.name, entry.value): (dist.metadata["Name"], dist.version)
                for dist in distributions()
                for entry in dist.entry_points
                if entry.group in groups
            }
        return self._table.get((GROUPS[kind], name, target), ("", ""))

    def both(self, kind: str, name: str, targets: Sequence[str]) -> str:
        names = " and ".join(f"{self.of(kind, name, target)[0] or '?'} ({target})" for target in targets)
        return f"{kind}:{name} is claimed by {names}"
