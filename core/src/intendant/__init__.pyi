"""What host applications import: each public name of `intendant`, written once."""

from .config.settings import Settings as Settings
from .model.errors import (
    BudgetExceeded as BudgetExceeded,
    CallInDoubt as CallInDoubt,
    Fenced as Fenced,
    IntendantError as IntendantError,
    Problem as Problem,
    RunActive as RunActive,
    RunExists as RunExists,
    RunNotFound as RunNotFound,
    SchemaMismatch as SchemaMismatch,
    SettingsError as SettingsError,
    StoreError as StoreError,
    WorkflowError as WorkflowError,
)
from .model.requests import (
    MemoryContext as MemoryContext,
    MemoryEntry as MemoryEntry,
)
from .model.results import (
    Failure as Failure,
    Metrics as Metrics,
    RunResult as RunResult,
    RunStatus as RunStatus,
    StepOutcome as StepOutcome,
    StepStatus as StepStatus,
)
from .model.workflow import (
    Limits as Limits,
    Workflow as Workflow,
)
from .pilot.orchestrator import WorkflowOrchestrator as WorkflowOrchestrator
from .pilot.remembering import AgentMemory as AgentMemory
from .pilot.service import OrchestrationService as OrchestrationService
from .pilot.sync import (
    SyncOrchestrationService as SyncOrchestrationService,
    SyncOrchestrator as SyncOrchestrator,
    run as run,
)
from .pilot.sync_memory import SyncAgentMemory as SyncAgentMemory
from .pilot.vocabulary import (
    KnownIntent as KnownIntent,
    Vocabulary as Vocabulary,
)
from .pilot.webhooks import (
    WebhookReceiver as WebhookReceiver,
    WebhookReply as WebhookReply,
)
from .planning.conversation import (
    ContextCompressor as ContextCompressor,
    ShownText as ShownText,
)
from .planning.decided import (
    Plan as Plan,
    StepPlan as StepPlan,
)
from .planning.standalone import (
    compress as compress,
    compress_async as compress_async,
)

__version__: str
