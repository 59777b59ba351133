"""The kinds of plugins: where each is found, and what it must be."""

from collections.abc import Mapping

from intendant.hooks.bases import BudgetStrategy, Classifier, Compressor, Extension, IntentHandler, Plugin, Tier
from intendant.hooks.connectors import Connector
from intendant.hooks.providers import Provider

KINDS: Mapping[str, tuple[str, type[Plugin]]] = {
    "intent": ("intendant.intents", IntentHandler),
    "compress": ("intendant.compressors", Compressor),
    "tier": ("intendant.tiers", Tier),
    "budget": ("intendant.budgets", BudgetStrategy),
    "classify": ("intendant.classifiers", Classifier),
    "provider": ("intendant.providers", Provider),
    "connector": ("intendant.connectors", Connector),
    "extension": ("intendant.extensions", Extension),
}
"""Each kind's entry-point group and base class."""
