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
from intendant.testing.wire import CUT, HANG, RESET, MeterLog, Sent, WireServer, nobody

__all__ = [
    "CUT",
    "HANG",
    "RESET",
    "BudgetContract",
    "ClassifierContract",
    "CompressorContract",
    "ConnectorContract",
    "EqualShares",
    "IntentContract",
    "MeterLog",
    "OnlyTier",
    "PluginContract",
    "ProviderContract",
    "ScriptedProvider",
    "Sent",
    "TierContract",
    "WireServer",
    "engine",
    "nobody",
    "refusal",
    "run_steps",
    "sweep",
]
