"""Changes settings while services run: the database's layer, and how a running engine takes it over."""

import json
from collections.abc import Mapping
from difflib import get_close_matches
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ValidationError

from intendant.config import catalogue
from intendant.config.flags import Rollout
from intendant.config.layers import merge
from intendant.config.logs import get_logger
from intendant.config.settings import Settings
from intendant.config.spellings import meant, superseded
from intendant.model.errors import SettingsError, StoreError

if TYPE_CHECKING:
    from intendant.pilot.engine import Engine
    from intendant.record.store.setting_changes import Changed, Stored

log = get_logger("intendant.settings")
REFRESH_SECONDS = 2.0
"""A run that begins goes by settings that are at most so old. Runs that have begun keep theirs."""
RESET = object()
"""A value that takes a key out of the database's layer."""


class Steering:
    """The settings of an engine while it runs.

    Args:
        engine: The engine.
    """

    reset: ClassVar[object] = RESET
    """What `change` takes for a key that is to leave the database's layer."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._looked: float | None = None

    async def refresh(self, *, now: bool = False) -> Settings:
        """Take over what the database sets, if it was not looked at for `REFRESH_SECONDS`; returns the settings.

        What is wrong in the database (a key of a later version, say) leaves the settings as they are, with an
        error in the log: a run must not be lost because of it.

        Args:
            now: Look in any case.

        Raises:
            StoreError: The database cannot be read, and *now* was given.
        """
        from intendant.record.store import setting_changes

        engine = self._engine
        if not now and self._looked is not None and monotonic() - self._looked < REFRESH_SECONDS:
            return engine.settings
        if not engine.store_exists:
            return engine.settings
        self._looked = monotonic()
        try:
            if await engine.store.do(setting_changes.version(engine.tenant)) != engine.settings.version:
                found = await engine.store.do(setting_changes.stored(engine.tenant))
                engine.adopt(layered(engine.settings, found))
        except SettingsError as error:
            log.exception("settings_of_the_database_are_wrong", reason=error.message)
        except StoreError as error:
            if now:
                raise
            # Where the master switch is off, a host goes on without a database; else opening the run says so too.
            log.warning("settings_of_the_database_cannot_be_read", reason=error.message)
        return engine.settings

    async def change(
        self, values: Mapping[str, Any], *, by: str, note: str = "", expected: int | None = None
    ) -> int:
        """Change live keys in the database's layer, all of them or none; every service of the tenant takes them
        over within `REFRESH_SECONDS`.

        Args:
            values: Values by dotted key, old spellings too; `RESET` takes a key out of the layer.
            by: Who changes them.
            note: Why.
            expected: The version that was seen; None to change whatever it is.

        Returns:
            The version that they have now.

        Raises:
            SettingsError: A key is unknown, superseded or not live, a value is wrong, or *expected* is over.
        """
        from intendant.record.store import setting_changes

        engine = self._engine
        wanted = {checked(name, value, engine): _whole(name, value) for name, value in _spelled(values).items()}
        if not wanted:
            raise SettingsError("no setting is given", hint="write key=value, such as budget.strategy=equal")
        store = engine.store
        before = await store.do(setting_changes.stored(engine.tenant))
        after = {key: value for key, value in {**before.values, **wanted}.items() if value is not RESET}
        layered(engine.settings, before._replace(version=before.version + 1, values=after))
        texts = {key: None if value is RESET else _json(key, value) for key, value in wanted.items()}
        seen = before.version if expected is None else expected
        version = await store.do(setting_changes.change(engine.tenant, texts, by, note, seen))
        await self.refresh(now=True)
        return version

    async def roll_back(self, version: int, *, by: str, note: str = "") -> int:
        """Set the database's layer to what it was at a version; that is a change of its own.

        Raises:
            SettingsError: There was no such version, or nothing differs from it.
        """
        from intendant.record.store import setting_changes

        engine = self._engine
        now = await engine.store.do(setting_changes.stored(engine.tenant))
        if not 0 <= version <= now.version:
            newest = f"the newest is {now.version}: intendant config history"
            raise SettingsError(f"the settings have no version {version}", hint=newest)
        then = await engine.store.do(setting_changes.stored(engine.tenant, version))
        values: dict[str, Any] = {key: RESET for key in now.values if key not in then.values}
        values |= {key: value for key, value in then.values.items() if now.values.get(key, RESET) != value}
        if not values:
            raise SettingsError(f"the settings are what they were at version {version}")
        note = note or f"back to version {version}"
        return await self.change(values, by=by, note=note, expected=now.version)

    async def stored(self) -> "Stored":
        """The database's layer."""
        from intendant.record.store import setting_changes

        return await self._engine.store.do(setting_changes.stored(self._engine.tenant))

    async def history(self, limit: int = 50) -> "list[Changed]":
        """What was changed, the newest first."""
        from intendant.record.store import setting_changes

        return await self._engine.store.do(setting_changes.history(self._engine.tenant, limit))


def layered(settings: Settings, stored: "Stored") -> Settings:
    """The settings with the database's layer; what it may not set is left out.

    Raises:
        SettingsError: A value is wrong.
    """
    values: dict[str, Any] = {}
    for key, value in stored.values.items():
        if catalogue.is_live(key):
            nested = value
            for part in reversed(catalogue.parts_of(key)):
                nested = {part: nested}
            merge(values, nested)
    return settings.with_database(values, stored.version)


def _spelled(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same with the keys of now in place of old spellings."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        old = None if "." in name else meant(name)
        if old is not None and not old.name:
            raise superseded(name, old.spelling, "the change")
        convert = None if old is None else old.spelling.convert
        found[name if old is None else old.name] = value if convert is None or value is RESET else convert(value)
    return found


def checked(name: str, value: Any, engine: "Engine") -> str:
    """A key, as it is written in the database.

    Raises:
        SettingsError: It is unknown, or not live, or names something that is not installed.
    """
    parts = catalogue.parts_of(name)
    key = catalogue.find(name)
    if key is None:
        known = [each.name for each in catalogue.all_keys()]
        same = [each for each in known if each.startswith(f"{name.partition('.')[0]}.")][:8]
        close = get_close_matches(name, known, n=3) or same
        hint = f"do you mean {', '.join(close)}?" if close else "`intendant config list` shows all"
        raise SettingsError(f"there is no setting {name}", hint=hint)
    if not key.live:
        raise SettingsError(
            f"{name} cannot be set in the database",
            hint="set it in intendant.toml or the environment: flags, budgets, thresholds and policies are live",
        )
    for hole, part in zip(catalogue.parts_of(key.name), parts, strict=False):
        _installed(name, hole.strip("{}") if hole.startswith("{") else "", part, engine)
    kind = {"budget.strategy": "budget", "routing.default_tier": "tier"}.get(name, "")
    if value is not RESET:
        _installed(name, kind, value, engine)
    return catalogue.quoted(parts)


def _whole(name: str, value: Any) -> Any:
    """A rollout with all its fields, so that none of a weaker layer's shows through."""
    if not isinstance(value, Mapping) or not name.startswith("flags."):
        return value
    try:
        return Rollout.model_validate(value).model_dump(mode="json")
    except ValidationError as error:
        said = error.errors()[0]
        place = ".".join(map(str, said["loc"]))
        raise SettingsError(f"{name}.{place} is wrong: {said['msg']}") from None


def _installed(key: str, kind: str, name: Any, engine: "Engine") -> None:
    plugins = engine.plugins
    installed: dict[str, Mapping[str, Any]] = {
        "intent": plugins.intents,
        "tier": plugins.tiers,
        "budget": plugins.budgets,
    }
    known = installed.get(kind)
    if known is not None and name not in known:
        raise SettingsError(
            f"{key}: no {kind} '{name}' is installed", hint=f"installed: {', '.join(sorted(known)) or 'none'}"
        )


def _json(key: str, value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"the value of {key} is not JSON: {error}") from None
