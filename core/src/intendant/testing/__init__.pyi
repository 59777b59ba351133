from .contracts import (
    BudgetContract as BudgetContract,
    ClassifierContract as ClassifierContract,
    CompressorContract as CompressorContract,
    ConnectorContract as ConnectorContract,
    IntentContract as IntentContract,
    PluginContract as PluginContract,
    ProviderContract as ProviderContract,
    TierContract as TierContract,
    sweep as sweep,
)
from .fakes import (
    EqualShares as EqualShares,
    OnlyTier as OnlyTier,
    ScriptedProvider as ScriptedProvider,
    engine as engine,
    refusal as refusal,
    run_steps as run_steps,
    sync_engine as sync_engine,
)
from .wire import (
    CUT as CUT,
    HANG as HANG,
    RESET as RESET,
    MeterLog as MeterLog,
    Sent as Sent,
    WireServer as WireServer,
    nobody as nobody,
)
