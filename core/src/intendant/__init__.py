"""Runs LLM workflows under a token budget that cannot be overspent, with plugins for every intent.

Example:
    ```python
    import intendant

    result = intendant.run("flow.yaml", inputs={"folder": "mails"})
    print(result.status, result.outputs["report"], result.metrics.tokens_used)
    ```
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from intendant.config.settings import Settings
    from intendant.hooks.plugin import (
        BudgetStrategy,
        Classifier,
        Compressor,
        Connector,
        ConnectorCall,
        Hold,
        IntentHandler,
        Options,
        Plugin,
        Provider,
        Tier,
        TierSettings,
        TokenCounting,
        operation,
    )
    from intendant.hooks.specs import hookimpl
    from intendant.model import records
    from intendant.model.errors import (
        BudgetExceeded,
        ConnectorError,
        DuplicatePluginError,
        ExpressionFailed,
        Fenced,
        IntendantError,
        NoHandlerError,
        OutputInvalid,
        PluginError,
        PluginLoadError,
        Problem,
        ProviderError,
        ReferenceFailed,
        RunNotFound,
        SchemaMismatch,
        SettingsError,
        StepError,
        StepTimeout,
        StoreError,
        WorkflowError,
    )
    from intendant.model.events import Event
    from intendant.model.requests import (
        BudgetLine,
        BudgetRequest,
        ClassifyRequest,
        CompressionPolicy,
        CompressRequest,
        IntentSpec,
        Message,
        ModelClient,
        ModelOffer,
        ModelRequest,
        Operation,
        RouteRequest,
        StepRequest,
    )
    from intendant.model.results import (
        Allocation,
        Classification,
        Compression,
        Failure,
        Metrics,
        ModelReply,
        Route,
        RunResult,
        RunStatus,
        Signal,
        StepOutcome,
        StepResult,
        StepStatus,
        Usage,
    )
    from intendant.model.sharing import share
    from intendant.model.workflow import Input, Json, Limits, Retry, Step, Workflow
    from intendant.pilot.conditions import Expression, condition_faults
    from intendant.pilot.orchestrator import WorkflowOrchestrator
    from intendant.pilot.schemas import Schema
    from intendant.pilot.service import OrchestrationService, SyncOrchestrator, run
    from intendant.planning.planner import Plan, StepPlan
    from intendant.spending.tokens import estimate_tokens

_WHERE = {
    "config.settings": ("Settings",),
    "hooks.plugin": (
        "BudgetStrategy",
        "Classifier",
        "Compressor",
        "Connector",
        "ConnectorCall",
        "Hold",
        "IntentHandler",
        "Options",
        "Plugin",
        "Provider",
        "Tier",
        "TierSettings",
        "TokenCounting",
        "operation",
    ),
    "hooks.specs": ("hookimpl",),
    "model.errors": (
        "BudgetExceeded",
        "ConnectorError",
        "DuplicatePluginError",
        "ExpressionFailed",
        "Fenced",
        "IntendantError",
        "NoHandlerError",
        "OutputInvalid",
        "PluginError",
        "PluginLoadError",
        "Problem",
        "ProviderError",
        "ReferenceFailed",
        "RunNotFound",
        "SchemaMismatch",
        "SettingsError",
        "StepError",
        "StepTimeout",
        "StoreError",
        "WorkflowError",
    ),
    "model.events": ("Event",),
    "model.requests": (
        "BudgetLine",
        "BudgetRequest",
        "ClassifyRequest",
        "CompressRequest",
        "CompressionPolicy",
        "IntentSpec",
        "Message",
        "ModelClient",
        "ModelOffer",
        "ModelRequest",
        "Operation",
        "RouteRequest",
        "StepRequest",
    ),
    "model.results": (
        "Allocation",
        "Classification",
        "Compression",
        "Failure",
        "Metrics",
        "ModelReply",
        "Route",
        "RunResult",
        "RunStatus",
        "Signal",
        "StepOutcome",
        "StepResult",
        "StepStatus",
        "Usage",
    ),
    "model.sharing": ("share",),
    "model.workflow": ("Input", "Json", "Limits", "Retry", "Step", "Workflow"),
    "pilot.conditions": ("Expression", "condition_faults"),
    "pilot.orchestrator": ("WorkflowOrchestrator",),
    "pilot.schemas": ("Schema",),
    "pilot.service": ("OrchestrationService", "SyncOrchestrator", "run"),
    "planning.planner": ("Plan", "StepPlan"),
    "spending.tokens": ("estimate_tokens",),
}
_MODULES = {name: module for module, names in _WHERE.items() for name in names}
_WHOLE = {"records": "model.records"}
"""Modules that are public as a whole."""

__all__ = ["__version__", *sorted({*_MODULES, *_WHOLE})]  # noqa: PLE0604  # one table says it all
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Resolves public names when they are first used, so that `import intendant` stays light."""
    if name in _WHOLE:
        return import_module(f"intendant.{_WHOLE[name]}")
    if name not in _MODULES:
        raise AttributeError(f"module 'intendant' has no attribute '{name}'")
    value = getattr(import_module(f"intendant.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
