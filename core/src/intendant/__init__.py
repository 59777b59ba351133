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
    from intendant.hooks.outside import (
        Connector,
        ConnectorCall,
        Hold,
        Provider,
        StreamMeter,
        TokenCounting,
        operation,
    )
    from intendant.hooks.plugin import (
        BudgetStrategy,
        Classifier,
        Compressor,
        IntentHandler,
        Options,
        Plugin,
        Tier,
        TierSettings,
    )
    from intendant.hooks.specs import hookimpl
    from intendant.model.errors import (
        BudgetExceeded,
        CallInDoubt,
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
    from intendant.model.facts import facts_in
    from intendant.model.kinds import kind_of
    from intendant.model.records import (
        as_list,
        as_records,
        describe_value,
        field_of,
        identity_of,
        in_order,
        is_nothing,
        order_of,
        record_name,
    )
    from intendant.model.requests import (
        BudgetLine,
        BudgetRequest,
        CacheMark,
        ClassifyRequest,
        CompressionPolicy,
        CompressRequest,
        Image,
        IntentSpec,
        MemoryContext,
        Message,
        ModelClient,
        ModelOffer,
        ModelRequest,
        Operation,
        PromptReuse,
        RouteRequest,
        StepRequest,
        Tool,
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
        ToolCall,
        Usage,
    )
    from intendant.model.sharing import share
    from intendant.model.units import TextUnit, TextUnits, text_units
    from intendant.model.workflow import Input, Json, Limits, Retry, Step, Workflow
    from intendant.pilot.conditions import Expression, condition_faults
    from intendant.pilot.orchestrator import WorkflowOrchestrator
    from intendant.pilot.schemas import Schema
    from intendant.pilot.service import OrchestrationService, SyncOrchestrator, run
    from intendant.planning.compressing import compress, compress_async
    from intendant.planning.evaluation import Answer, Evaluation, LabelledStep, evaluate
    from intendant.planning.planner import Plan, StepPlan
    from intendant.spending.caching import CachePrices, rewriting_pays, turns_to_pay
    from intendant.spending.tokens import estimate_tokens

_WHERE = {
    "config.settings": ("Settings",),
    "hooks.outside": (
        "Connector",
        "ConnectorCall",
        "Hold",
        "Provider",
        "StreamMeter",
        "TokenCounting",
        "operation",
    ),
    "hooks.plugin": (
        "BudgetStrategy",
        "Classifier",
        "Compressor",
        "IntentHandler",
        "Options",
        "Plugin",
        "Tier",
        "TierSettings",
    ),
    "hooks.specs": ("hookimpl",),
    "model.errors": (
        "BudgetExceeded",
        "CallInDoubt",
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
    "model.records": (
        "as_list",
        "as_records",
        "describe_value",
        "field_of",
        "identity_of",
        "in_order",
        "is_nothing",
        "order_of",
        "record_name",
    ),
    "model.requests": (
        "BudgetLine",
        "BudgetRequest",
        "CacheMark",
        "ClassifyRequest",
        "CompressRequest",
        "CompressionPolicy",
        "Image",
        "IntentSpec",
        "MemoryContext",
        "Message",
        "ModelClient",
        "ModelOffer",
        "ModelRequest",
        "Operation",
        "PromptReuse",
        "RouteRequest",
        "StepRequest",
        "Tool",
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
        "ToolCall",
        "Usage",
    ),
    "model.sharing": ("share",),
    "model.facts": ("facts_in",),
    "model.kinds": ("kind_of",),
    "model.units": ("TextUnit", "TextUnits", "text_units"),
    "model.workflow": ("Input", "Json", "Limits", "Retry", "Step", "Workflow"),
    "pilot.conditions": ("Expression", "condition_faults"),
    "pilot.orchestrator": ("WorkflowOrchestrator",),
    "pilot.schemas": ("Schema",),
    "pilot.service": ("OrchestrationService", "SyncOrchestrator", "run"),
    "spending.caching": ("CachePrices", "rewriting_pays", "turns_to_pay"),
    "planning.compressing": ("compress", "compress_async"),
    "planning.evaluation": ("Answer", "Evaluation", "LabelledStep", "evaluate"),
    "planning.planner": ("Plan", "StepPlan"),
    "spending.tokens": ("estimate_tokens",),
}
_MODULES = {name: module for module, names in _WHERE.items() for name in names}

# Written out, because type checkers read it; a test holds it to the table.
__all__ = [
    "Allocation",
    "Answer",
    "BudgetExceeded",
    "BudgetLine",
    "BudgetRequest",
    "BudgetStrategy",
    "CacheMark",
    "CachePrices",
    "CallInDoubt",
    "Classification",
    "Classifier",
    "ClassifyRequest",
    "CompressRequest",
    "Compression",
    "CompressionPolicy",
    "Compressor",
    "Connector",
    "ConnectorCall",
    "ConnectorError",
    "DuplicatePluginError",
    "Evaluation",
    "Event",
    "Expression",
    "ExpressionFailed",
    "Failure",
    "Fenced",
    "Hold",
    "Image",
    "Input",
    "IntendantError",
    "IntentHandler",
    "IntentSpec",
    "Json",
    "LabelledStep",
    "Limits",
    "MemoryContext",
    "Message",
    "Metrics",
    "ModelClient",
    "ModelOffer",
    "ModelReply",
    "ModelRequest",
    "NoHandlerError",
    "Operation",
    "Options",
    "OrchestrationService",
    "OutputInvalid",
    "Plan",
    "Plugin",
    "PluginError",
    "PluginLoadError",
    "Problem",
    "PromptReuse",
    "Provider",
    "ProviderError",
    "ReferenceFailed",
    "Retry",
    "Route",
    "RouteRequest",
    "RunNotFound",
    "RunResult",
    "RunStatus",
    "Schema",
    "SchemaMismatch",
    "Settings",
    "SettingsError",
    "Signal",
    "Step",
    "StepError",
    "StepOutcome",
    "StepPlan",
    "StepRequest",
    "StepResult",
    "StepStatus",
    "StepTimeout",
    "StoreError",
    "StreamMeter",
    "SyncOrchestrator",
    "TextUnit",
    "TextUnits",
    "Tier",
    "TierSettings",
    "TokenCounting",
    "Tool",
    "ToolCall",
    "Usage",
    "Workflow",
    "WorkflowError",
    "WorkflowOrchestrator",
    "__version__",
    "as_list",
    "as_records",
    "compress",
    "compress_async",
    "condition_faults",
    "describe_value",
    "estimate_tokens",
    "evaluate",
    "facts_in",
    "field_of",
    "hookimpl",
    "identity_of",
    "in_order",
    "is_nothing",
    "kind_of",
    "operation",
    "order_of",
    "record_name",
    "rewriting_pays",
    "run",
    "share",
    "text_units",
    "turns_to_pay",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Resolves public names when they are first used, so that `import intendant` stays light."""
    if name not in _MODULES:
        raise AttributeError(f"module 'intendant' has no attribute '{name}'")
    value = getattr(import_module(f"intendant.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
