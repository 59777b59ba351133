"""What plugin authors test with: contracts for every kind of plugin, and stand-ins. Needs pytest."""

from intendant.testing.contracts import (
    BudgetContract,
    ClassifierContract,
    CompressorContract,
    ConnectorContract,
    IntentContract,
    PluginContract,
    ProviderContract,
    TierContract,
    sweep,
)
from intendant.testing.fakes import EqualShares, OnlyTier, ScriptedProvider, engine, refusal, run_steps
from intendant.testing.wire import WireServer, nobody

__all__ = [
    "BudgetContract",
    "ClassifierContract",
    "CompressorContract",
    "ConnectorContract",
    "EqualShares",
    "IntentContract",
    "OnlyTier",
    "PluginContract",
    "ProviderContract",
    "ScriptedProvider",
    "TierContract",
    "WireServer",
    "engine",
    "nobody",
    "refusal",
    "run_steps",
    "sweep",
]
