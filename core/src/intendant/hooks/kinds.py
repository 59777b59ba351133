"""The kinds of plugins: where each is found, and what it must be."""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from intendant.hooks.bases import Plugin

GROUPS: Mapping[str, str] = {
    "intent": "intendant.intents",
    "compress": "intendant.compressors",
    "tier": "intendant.tiers",
    "budget": "intendant.budgets",
    "classify": "intendant.classifiers",
    "provider": "intendant.providers",
    "connector": "intendant.connectors",
    "extension": "intendant.extensions",
    "dispatcher": "intendant.dispatchers",
    "embed": "intendant.embedders",
}
"""Each kind's entry-point group."""
_BASES = {
    "intent": "bases:IntentHandler",
    "compress": "bases:Compressor",
    "tier": "bases:Tier",
    "budget": "bases:BudgetStrategy",
    "classify": "bases:Classifier",
    "provider": "providers:Provider",
    "connector": "connectors:Connector",
    "extension": "bases:Extension",
    "dispatcher": "dispatchers:Dispatcher",
    "embed": "bases:Embedder",
}


def base_of(kind: str) -> "type[Plugin]":
    """The base class of a kind; imported here, since plugins are listed without."""
    module, _, name = _BASES[kind].partition(":")
    base: type[Plugin] = getattr(import_module(f"intendant.hooks.{module}"), name)
    return base
