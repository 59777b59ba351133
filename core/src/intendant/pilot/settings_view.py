"""What every key of the settings is in an engine: its value, where that came from, and what a form needs."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from intendant.config import catalogue
from intendant.config.catalogue import Key
from intendant.config.settings import CALL, Settings
from intendant.config.spellings import expanded, meant, superseded
from intendant.hooks.redaction import redacted
from intendant.model.errors import SettingsError

if TYPE_CHECKING:
    from intendant.pilot.engine import Engine

HANDLER, PLUGIN = "its handler", "its plugin"
"""Where values come from that no setting names."""
HIDDEN = "…"
_SECRET = ("key", "token", "secret", "password", "authorization")
_UNSET = object()


@dataclass(frozen=True)
class KeyState:
    """A key as it is in force.

    Attributes:
        key: The dotted key, with the names of what is installed.
        value: Its value; keys and passwords are hidden.
        source: The layer that it came from.
        default: Its value where no layer sets it.
        kind: Its type, in words.
        range: What it admits, in words.
        group: Its section.
        meaning: What it does.
        live: True if the database may set it.
        harmless: True if the file of a folder may set it without trust.
        aliases: Old spellings.
        schema: JSON Schema of its value.
    """

    key: str
    value: Any
    source: str
    default: Any
    kind: str
    range: str
    group: str
    meaning: str
    live: bool
    harmless: bool
    aliases: tuple[str, ...]
    schema: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return {**asdict(self), "aliases": list(self.aliases), "superseded": False}


@dataclass(frozen=True)
class LayerValue:
    """What one layer says of a key."""

    source: str
    value: Any


def states(engine: "Engine") -> list[KeyState]:
    """Every key, with those of installed intents and tiers, and of what else settings name."""
    return [state_of(engine, key, name) for key in catalogue.all_keys() for name in _names(engine, key)]


def superseded_keys(engine: "Engine") -> dict[str, str]:
    """Keys of the reference system that are no more, with what took their place."""
    all_keys = expanded(tuple(engine.plugins.intents), tuple(engine.plugins.tiers))
    return {name: found.spelling.instead for name, found in all_keys.items() if not found.name}


def old_spellings(engine: "Engine") -> dict[str, str]:
    """Keys of the reference system that are accepted, with the key of now."""
    all_keys = expanded(tuple(engine.plugins.intents), tuple(engine.plugins.tiers))
    return {name: found.name for name, found in all_keys.items() if found.name}


def one_state(engine: "Engine", name: str) -> KeyState:
    """One key, also by an old spelling.

    Raises:
        SettingsError: There is none, or it is superseded.
    """
    old = None if "." in name else meant(name)
    if old is not None and not old.name:
        raise superseded(name, old.spelling, "the question")
    name = name if old is None else old.name
    key = catalogue.find(name)
    if key is None:
        raise SettingsError(f"there is no setting {name}", hint="`intendant config list` shows all")
    return state_of(engine, key, catalogue.quoted(catalogue.parts_of(name)))


def layers_of(engine: "Engine", state: KeyState) -> list[LayerValue]:
    """What each layer says of a key, the strongest first; the last is the default."""
    settings, parts = engine.settings, catalogue.parts_of(state.key)
    found = [(source.name, _at(source.values, parts)) for source in settings.layers]
    said = [LayerValue(name, _shown(parts, value)) for name, value in reversed(found) if value is not _UNSET]
    return [*said, LayerValue(_default(engine, state.key)[1], state.default)]


def state_of(engine: "Engine", key: Key, name: str) -> KeyState:
    """A key with its names filled in, as it is in force."""
    parts = catalogue.parts_of(name)
    default, origin = _default(engine, name)
    value = _said(engine.settings, parts)
    source = origin
    if value is _UNSET:
        value = default
    else:
        source = engine.settings.source_of(name)
        source = f"{CALL} (-s)" if source == CALL else source
    plain = value.model_dump() if isinstance(value, BaseModel) else value
    return KeyState(
        key=name,
        value=_shown(parts, list(plain) if isinstance(plain, tuple) else plain),
        source=source,
        default=default,
        kind=key.kind,
        range=key.range,
        group=key.group,
        meaning=key.meaning,
        live=key.live,
        harmless=key.harmless,
        aliases=key.aliases,
        schema=key.schema,
    )


def _said(settings: Settings, parts: list[str]) -> Any:
    """A value that some layer sets; `_UNSET` where none does."""
    at: Any = settings
    for part in parts:
        if isinstance(at, BaseModel):
            if part not in at.model_fields_set:
                return _UNSET
            at = getattr(at, part)
        elif isinstance(at, Mapping) and part in at:
            at = at[part]
        else:
            return _UNSET
    return at


def _default(engine: "Engine", name: str) -> tuple[Any, str]:
    """The value where no layer sets it, and where that comes from."""
    parts, plugins = catalogue.parts_of(name), engine.plugins
    key = catalogue.find(name)
    if parts[:2] == ["budget", "baselines"] and parts[2] in plugins.intents:
        return plugins.intents[parts[2]].spec.tokens, HANDLER
    if parts[:2] == ["compression", "policies"] and parts[2] in plugins.intents:
        value = getattr(plugins.intents[parts[2]].spec.compression, parts[3])
        return list(value) if isinstance(value, tuple) else value, HANDLER
    if parts[:2] == ["routing", "tiers"] and parts[2] in plugins.tiers:
        return getattr(plugins.tiers[parts[2]].settings, parts[3], None), PLUGIN
    return (None if key is None else key.default), "the default"


def _names(engine: "Engine", key: Key) -> Iterator[str]:
    parts = catalogue.parts_of(key.name)
    hole = next((index for index, part in enumerate(parts) if part.startswith("{")), None)
    if hole is None:
        yield key.name
        return
    known: dict[str, Mapping[str, Any]] = {"{intent}": engine.plugins.intents, "{tier}": engine.plugins.tiers}
    installed = known.get(parts[hole], {})
    set_here: Any = engine.settings
    for part in parts[:hole]:
        set_here = getattr(set_here, part)
    for name in dict.fromkeys([*installed, *set_here]):
        yield catalogue.quoted([*parts[:hole], name, *parts[hole + 1 :]])
    if not installed and not set_here:
        yield key.name


def _at(values: Mapping[str, Any], parts: list[str]) -> Any:
    at: Any = values
    for part in parts:
        if not isinstance(at, Mapping) or part not in at:
            return _UNSET
        at = at[part]
    return at


def _shown(parts: list[str], value: Any) -> Any:
    """A value without what is secret in it."""
    if isinstance(value, Mapping):
        return {name: _shown([*parts, str(name)], item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(parts, item) for item in value]
    inside = parts[:2] == ["plugins", "settings"] or parts[0] == "alerts"
    if inside and value and any(word in parts[-1].lower() for word in _SECRET):
        return HIDDEN
    if isinstance(value, str):
        return redacted(value)
    return value if isinstance(value, bool | int | float) or value is None else str(value)
