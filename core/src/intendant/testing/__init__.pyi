from .connector_contract import (
    ConnectorContract as ConnectorContract,
    Place as Place,
    Use as Use,
)
from .contract_base import PluginContract as PluginContract
from .contracts import (
    BudgetContract as BudgetContract,
    ClassifierContract as ClassifierContract,
    CompressorContract as CompressorContract,
    TierContract as TierContract,
    sweep as sweep,
)
from .dispatcher_contract import (
    DispatcherContract as DispatcherContract,
    Runs as Runs,
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
from .hostile import (
    BAD_ANSWERS as BAD_ANSWERS,
    HOSTILE as HOSTILE,
    NoProvider as NoProvider,
)
from .intent_contract import IntentContract as IntentContract
from .provider_contract import (
    Peer as Peer,
    ProviderContract as ProviderContract,
    Scenario as Scenario,
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
