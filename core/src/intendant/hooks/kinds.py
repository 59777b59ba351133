"""The kinds of plugins: where each is found, and what it must be."""

from collections.abc import Mapping

from intendant.hooks.outside import Connector, Provider
from intendant.hooks.plugin import BudgetStrategy, Classifier, Compressor, IntentHandler, Plugin, Tier

KINDS: Mapping[str, tuple[str, type[Plugin]]] = {
    "intent": ("intendant.intents", IntentHandler),
    "compress": ("intendant.compressors", Compressor),
    "tier": ("intendant.tiers", Tier),
    "budget": ("intendant.budgets", BudgetStrategy),
    "classify": ("intendant.classifiers", Classifier),
    "provider": ("intendant.providers", Provider),
    "connector": ("intendant.connectors", Connector),
}
"""Each kind's entry-point group and base class."""
