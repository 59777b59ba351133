"""The plugins of one engine: instances, in order, registered with one plugin manager of its own."""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from functools import cached_property, lru_cache
from types import FunctionType, MemberDescriptorType, MethodType
from typing import Any, TypeVar, cast

import pluggy
from pydantic import BaseModel

from intendant.config.logs import get_logger
from intendant.config.secrets import Secrets, UsedSecrets, filled
from intendant.hooks import discovery, specs
from intendant.hooks.adapters import ADAPTERS
from intendant.hooks.bases import (
    API_VERSION,
    BudgetStrategy,
    Classifier,
    Embedder,
    Extension,
    IntentHandler,
    Plugin,
    Tier,
)
from intendant.hooks.connectors import Connector
from intendant.hooks.discovery import PluginRecord, PluginState
from intendant.hooks.dispatchers import Dispatcher
from intendant.hooks.hints import install_hint
from intendant.hooks.providers import Provider
from intendant.hooks.redaction import hide
from intendant.model.errors import DuplicatePluginError, PluginLoadError, SecretMissing, SettingsError
from intendant.model.requests import IntentSpec
from intendant.model.workflow import Step

log = get_logger("intendant.plugins")
PluginT = TypeVar("PluginT", bound=Plugin)
OWN_HOOKS = " (own hooks)"
"""Ends the name under which a plugin's own `hookimpl` methods are registered."""


class Plugins:
    """All plugins that one engine uses.

    Args:
        given: Plugins handed over by the host; they win over installed ones of the same name.
        discover: Look for installed ones.
        block: Keys such as `tier:fast` that are not to be used.
        only: If given, no other installed plugin is used.
        required: Keys that must load.
        order: Keys in the order in which they are asked, before all others.
        settings: Each plugin's own settings, by key.
        secrets: Where `{{ secrets.NAME }}` in settings of providers and connectors is found; None leaves it there.

    Raises:
        DuplicatePluginError: Two claim one name.
        PluginLoadError: A required plugin, or one handed over, cannot be used.
        SettingsError: A plugin's settings are wrong.
    """

    def __init__(
        self,
        given: Sequence[Plugin] = (),
        *,
        discover: bool = True,
        block: Iterable[str] = (),
        only: Iterable[str] = (),
        required: Iterable[str] = (),
        order: Sequence[str] = (),
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        secrets: Secrets | None = None,
    ) -> None:
        self._secrets = secrets
        self.manager = _Manager(specs.PROJECT)  # the one place
        self.manager.add_hookspecs(specs)
        self._settings = settings or {}
        self._plugins: dict[str, Plugin] = {}
        self.records: list[PluginRecord] = []
        for plugin in given:
            self._take(plugin)
        if discover:
            self._find(block, only)
        for key in self._in_order(order):
            self._register(key, must=self._plugins[key] in given)
        discovery.require(self.records, required)
        unknown = [key for key in self._settings if key not in {record.key for record in self.records}]
        if unknown:
            raise SettingsError(f"settings are given for {unknown[0]}, which is not installed")

    def _take(self, plugin: Plugin) -> None:
        key = f"{plugin.kind}:{plugin.name}"
        if key in self._plugins:
            raise DuplicatePluginError(f"{key} was handed over twice")
        if fault := _fault(plugin, plugin.name):
            raise PluginLoadError(f"{key} cannot be used: {fault}")
        target = f"{type(plugin).__module__}:{type(plugin).__qualname__}"
        self._plugins[key] = plugin
        self.records.append(PluginRecord(plugin.kind, plugin.name, target, PluginState.loaded, "handed over"))

    def _find(self, block: Iterable[str], only: Iterable[str]) -> None:
        listed = discovery.list_plugins(block=block, only=only)
        for key in discovery.unknown_blocks(listed, block):
            log.warning("nothing_blocked", plugin=key, reason="no plugin of that name is installed")
        found, states = discovery.load(record for record in listed if record.key not in self._plugins)
        self.records += states
        for record, cls in found:
            try:
                plugin = cls(self._settings_of(record))
                fault = _fault(plugin, record.name)
            except SettingsError:
                raise
            except SecretMissing as error:
                self._mark(record, PluginState.failed, str(error))
                continue
            except Exception as error:  # noqa: BLE001  # a plugin's own code; the rest goes on
                self._mark(record, PluginState.failed, f"{type(error).__name__}: {error}")
                continue
            if fault:
                self._mark(record, PluginState.incompatible, fault)
                continue
            self._plugins[record.key] = plugin

    def _settings_of(self, record: PluginRecord) -> Mapping[str, Any] | None:
        """A plugin's own settings. Those of providers and connectors may name secrets."""
        settings = self._settings.get(record.key)
        if settings is None or self._secrets is None or record.kind not in ("provider", "connector"):
            return settings
        used = UsedSecrets(self._secrets)
        made: Mapping[str, Any] = filled(settings, used)
        for value in used.values():
            hide(value)
        return made

    def _mark(self, record: PluginRecord, state: PluginState, reason: str) -> None:
        log.error("plugin_refused", plugin=record.key, state=state, reason=reason)
        at = next(index for index, known in enumerate(self.records) if known.key == record.key)
        self.records[at] = replace(self.records[at], state=state, reason=reason)

    def _in_order(self, order: Sequence[str]) -> list[str]:
        place = {key: index for index, key in enumerate(order)}

        def rank(key: str) -> tuple[float, float, str]:
            own = getattr(self._plugins[key], "rank", 0)
            return place.get(key, len(place)), own, key

        ranked = sorted(self._plugins, key=rank)
        self._plugins = {key: self._plugins[key] for key in ranked}
        return ranked[::-1]  # pluggy asks the last registered first

    def _register(self, key: str, *, must: bool) -> None:
        plugin = self._plugins[key]
        adapter = ADAPTERS.get(plugin.kind)
        try:
            if adapter is not None:
                self.manager.register(adapter(plugin), name=key)
            # Registered after the adapter, its own hook implementations are asked before it.
            self.manager.register(plugin, name=f"{key}{OWN_HOOKS}")
            self.manager.check_pending()
        except (pluggy.PluginValidationError, PluginLoadError) as error:
            for name in (key, f"{key}{OWN_HOOKS}"):
                if self.manager.has_plugin(name):
                    self.manager.unregister(name=name)
            if must:
                raise PluginLoadError(f"{key} cannot be used: {error}") from None
            del self._plugins[key]
            record = next(record for record in self.records if record.key == key)
            self._mark(record, PluginState.incompatible, str(error))

    def unavailable_hint(self, kind: str, name: str) -> str:
        """What to do about a plugin that cannot be used: why it cannot, a name that is close, or how to get it."""
        for record in self.records:
            if record.key == f"{kind}:{name}" and record.state is not PluginState.loaded:
                return f"{record.key} is installed, but {record.state.value}: {record.reason}"
        installed = [plugin.name for plugin in self._plugins.values() if plugin.kind == kind]
        close = get_close_matches(name, installed, n=1)
        return f"did you mean '{close[0]}'?" if close else install_hint(kind, name, installed)

    def without_model(self, intent: str | None, step: Step) -> str:
        """What becomes of a step that a model is to do, where only a provider can be used that asks none."""
        handler = self.intents.get(intent or "")
        if handler is not None and handler.needs_language(step):
            return f"it needs a language model, and none can be used: the step will fail; {self.model_hint}"
        return "no model will be asked: sentences are selected, templates filled"

    @property
    def model_hint(self) -> str:
        """What to do where no model can be asked: what the installed providers say of themselves."""
        setups = [provider.setup for provider in self.providers.values() if provider.setup]
        return " or ".join(setups) or "install a provider of models"

    def _of(self, kind: str, _type: type[PluginT]) -> dict[str, PluginT]:
        return {plugin.name: cast("PluginT", plugin) for plugin in self._plugins.values() if plugin.kind == kind}

    @cached_property
    def intents(self) -> dict[str, IntentHandler]:
        """Handlers by intent."""
        return self._of("intent", IntentHandler)  # type: ignore[type-abstract]

    @cached_property
    def specs(self) -> tuple[IntentSpec, ...]:
        """What the installed intents declare, by name."""
        return tuple(handler.spec for _, handler in sorted(self.intents.items()))

    @cached_property
    def tiers(self) -> dict[str, Tier]:
        """Tiers by name, cheapest first."""
        return self._of("tier", Tier)

    @cached_property
    def budgets(self) -> dict[str, BudgetStrategy]:
        """Budget strategies by name."""
        return self._of("budget", BudgetStrategy)  # type: ignore[type-abstract]

    @cached_property
    def classifiers(self) -> dict[str, Classifier]:
        """Classifiers by name, in the order in which they are asked."""
        return self._of("classify", Classifier)  # type: ignore[type-abstract]

    @cached_property
    def providers(self) -> dict[str, Provider]:
        """Providers by name, preferred first."""
        return self._of("provider", Provider)  # type: ignore[type-abstract]

    @cached_property
    def connectors(self) -> dict[str, Connector]:
        """Connectors by name."""
        return self._of("connector", Connector)

    @cached_property
    def extensions(self) -> dict[str, Extension]:
        """Extensions by name."""
        return self._of("extension", Extension)

    @cached_property
    def dispatchers(self) -> dict[str, Dispatcher]:
        """Dispatchers by name, without the one that is built in."""
        return self._of("dispatcher", Dispatcher)  # type: ignore[type-abstract]

    @cached_property
    def embedders(self) -> dict[str, Embedder]:
        """Embedders by name, in the order in which they are asked."""
        return self._of("embed", Embedder)  # type: ignore[type-abstract]

    def __repr__(self) -> str:
        return f"<Plugins {', '.join(self._plugins)}>"


def _fault(plugin: Plugin, name: str) -> str:
    """What keeps a plugin from being used; empty if nothing does. Its own properties may raise anything."""
    if plugin.api_version != API_VERSION:
        return f"it was written for version {plugin.api_version} of the plugin interface, this is {API_VERSION}"
    if isinstance(plugin, IntentHandler) and not isinstance(getattr(plugin, "spec", None), IntentSpec):
        return "its `spec` is no IntentSpec"
    if plugin.name != name:
        return f"it calls itself '{plugin.name}'"
    if isinstance(plugin, IntentHandler) and not _is_model(plugin.Parameters):
        return "its `Parameters` are no pydantic model"
    if isinstance(plugin, Connector):
        wrong = [item for item in plugin.operation_names() if not _is_model(plugin.parameters_of(item))]
        return f"the parameters of its operation '{wrong[0]}' are no pydantic model" if wrong else ""
    return ""


def _is_model(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BaseModel)


@lru_cache(maxsize=1024)
def _plain_names(kind: type, marker: str) -> frozenset[str]:
    """The names under which a class has what can be no hook: methods without a mark, and other values."""
    values = {name: value for each in reversed(kind.__mro__) for name, value in vars(each).items()}
    return frozenset(name for name, value in values.items() if not _may_be_hook(value, marker))


def _may_be_hook(value: object, marker: str) -> bool:
    if isinstance(value, MethodType | MemberDescriptorType):
        return True  # what these hold is not the class's to say
    if not isinstance(value, FunctionType | staticmethod | classmethod):
        return False
    return hasattr(value, marker) or hasattr(getattr(value, "__func__", value), marker)


class _Manager(pluggy.PluginManager):
    def parse_hookimpl_opts(self, plugin: object, name: str) -> pluggy.HookimplOpts | None:
        """What pluggy says of an attribute; hooks that are coroutine functions are refused."""
        # pluggy looks at every attribute of each plugin without its class, most of what starting an engine takes.
        own = getattr(plugin, "__dict__", {})
        if name not in own and name in _plain_names(cast("type", type(plugin)), f"{self.project_name}_impl"):
            return None
        found = super().parse_hookimpl_opts(plugin, name)
        if found is not None and inspect.iscoroutinefunction(getattr(plugin, name)):
            raise PluginLoadError(
                f"its hook `{name}` is an `async def`, whose coroutine would count as an answer",
                hint="write a plain `def` that returns None or an awaitable",
            )
        return found
