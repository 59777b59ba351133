"""What can go wrong, as a tree.

```
IntendantError
├── WorkflowError          the workflow file or its inputs are wrong; carries every Problem found
├── SettingsError          a setting is unknown, of the wrong type or out of range
├── PluginError
│   ├── PluginLoadError    a plugin that was asked for is missing or does not load
│   ├── DuplicatePluginError   two distributions claim one name
│   └── NoHandlerError     no installed plugin handles an intent
├── StepError              a step could not be done
│   ├── ReferenceFailed    a reference names something that is not there
│   ├── ExpressionFailed   a condition cannot be evaluated
│   ├── OutputInvalid      an output does not match the step's schema, or is not JSON
│   ├── StepTimeout        a step ran longer than its `timeout`
│   ├── SecretMissing      a secret is not set
│   └── ConnectorError     a connector could not read or write
│       ├── AddressRefused     an address may not be reached
│       └── PossiblySent       an earlier attempt may have been delivered
├── BudgetExceeded         a limit does not admit the call; nothing was sent
├── ProviderError          a model provider refused or broke off
│   ├── ContextOverflow    the call is longer than the model's context window
│   ├── ModelRefused       the model, or a filter before it, refused to answer
│   └── RequestAdapted     a server refused the form of a call; the provider knows another one now
├── RunActive              the process that owns a run may still be alive
├── CallInDoubt            a process died while a call was out, and the step's policy is not to repeat it
└── StoreError
    ├── RunNotFound
    ├── Fenced             another process has taken this run over
    ├── RecordBroken       what is kept of a run was changed by something else than Intendant
    └── SchemaMismatch     the database is of another version
```
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from intendant.model.workflow import Workflow


class IntendantError(Exception):
    """Root of all errors that Intendant raises on purpose.

    Args:
        message: What was wrong.
        hint: What to do about it, as one sentence; empty when there is nothing to suggest.
    """

    code: ClassVar[str] = "error"
    """Stable name of the kind of error; messages may change, codes do not."""

    retryable: bool = False
    """True if the same attempt, made again later, may succeed."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a workflow file or its inputs."""

    message: str
    hint: str = ""
    file: str = ""
    line: int | None = None
    """1-based."""
    column: int | None = None
    """1-based."""
    step: str = ""

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part not in ("", None))
        step = f"step '{self.step}': " if self.step else ""
        text = f"{place}: {step}{self.message}" if place else f"{step}{self.message}"
        return f"{text}\n    hint: {self.hint}" if self.hint else text


class WorkflowError(IntendantError):
    """The workflow, or the inputs given to it, are wrong. Nothing has run.

    Args:
        problems: All mistakes that were found.
        draft: The workflow without the parts that are wrong, so that the rest can be checked in the same go.
    """

    code: ClassVar[str] = "workflow_wrong"

    def __init__(self, problems: Sequence[Problem], *, draft: "Workflow | None" = None) -> None:
        self.problems = tuple(problems)
        self.draft = draft
        super().__init__("\n".join(str(problem) for problem in self.problems))


class SettingsError(IntendantError):
    """A setting is unknown, of the wrong type or out of range."""

    code: ClassVar[str] = "settings_wrong"


class PluginError(IntendantError):
    """Something is wrong with a plugin."""

    code: ClassVar[str] = "plugin_failed"


class PluginLoadError(PluginError):
    """A plugin that was asked for is missing or does not load."""

    code: ClassVar[str] = "plugin_unusable"


class DuplicatePluginError(PluginError):
    """Two distributions claim the same name of the same kind."""

    code: ClassVar[str] = "plugin_duplicate"


class NoHandlerError(PluginError):
    """No installed plugin handles an intent."""

    code: ClassVar[str] = "no_handler"

    def __init__(self, intent: str, hint: str = "") -> None:
        self.intent = intent
        super().__init__(f"no handler for intent '{intent}'", hint=hint or "install a plugin for it")


class StepError(IntendantError):
    """A step could not be done. Handlers raise this for anything that the user can mend."""

    code: ClassVar[str] = "step_failed"


class ReferenceFailed(StepError):
    """A reference such as `{{ steps.fetch.output.rows }}` names something that is not there."""

    code: ClassVar[str] = "reference_failed"


class ExpressionFailed(StepError):
    """A condition does not parse, or cannot be evaluated on the values it was given."""

    code: ClassVar[str] = "expression_failed"

    def __init__(self, message: str, *, hint: str = "", column: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.column = column


class OutputInvalid(StepError):
    """An output does not match the step's `output` schema, or is not JSON."""

    code: ClassVar[str] = "output_invalid"


class StepTimeout(StepError):
    """A step ran longer than its `timeout`; its work was cancelled."""

    code: ClassVar[str] = "step_timeout"

    retryable = True


class ConnectorError(StepError):
    """A connector could not read or write.

    Args:
        message: What was wrong.
        hint: What to do about it.
        retryable: True for faults that may pass, such as a lost connection.
        delivered: False only if certainly nothing outside was changed: nothing was sent, or the peer refused it.
            A delivery that failed otherwise is possibly sent, and is not repeated where that is not safe.
        absent: True if nothing is there under what was asked for, and all else is well: a lookup goes on.
    """

    code: ClassVar[str] = "connector_failed"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        retryable: bool = False,
        delivered: bool | None = None,
        absent: bool = False,
    ) -> None:
        super().__init__(message, hint=hint)
        self.retryable = retryable
        self.delivered = delivered
        self.absent = absent


class AddressRefused(ConnectorError):
    """An address may not be reached: it is not public, and no setting allows it. Nothing was sent."""

    code: ClassVar[str] = "address_refused"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint, delivered=False)


class PossiblySent(ConnectorError):
    """An earlier attempt at a delivery may have reached its target, and delivering twice is not safe."""

    code: ClassVar[str] = "possibly_sent"


class SecretMissing(StepError):
    """A secret that a step names is not set, or cannot be used."""

    code: ClassVar[str] = "secret_missing"


class BudgetExceeded(IntendantError):
    """A limit in the chain tenant → agent → run → step does not admit a call. Nothing was sent.

    Args:
        scope: The limit that refused, such as `run:r_01…`.
        unit: `tokens` or `micro_usd`.
        asked: What the call would have taken at worst.
        left: What that limit still admits.
        input_tokens: Of what was asked, the input, which alone may be too much; None if that is not known.
    """

    code: ClassVar[str] = "budget_exceeded"

    def __init__(self, scope: str, unit: str, asked: int, left: int, *, input_tokens: int | None = None) -> None:
        self.scope, self.unit, self.asked, self.left = scope, unit, asked, left
        wanted, rest = amount(unit, asked), amount(unit, max(0, left))
        parts = "" if input_tokens is None else f" ({input_tokens} for the input alone)"
        standing = scope.startswith(("agent:", "tenant:"))
        limit = "the limit" if standing else "the `budget` of the workflow, of the step or of what is around it"
        super().__init__(
            f"the budget of {scope} does not admit {wanted}{parts}: {rest} are left",
            hint=f"raise {limit}, shorten the input, or ask for a shorter answer (`max_output_tokens`)",
        )


def amount(unit: str, number: int) -> str:
    """An amount as people read it: tokens, or US$ for micro-US$."""
    return f"{number} tokens" if unit == "tokens" else f"${number / 1_000_000:.6f}"


class ProviderError(IntendantError):
    """A model provider refused a call or broke off.

    Args:
        message: What the provider said.
        hint: What to do about it.
        retryable: True for rate limits, overload and lost connections.
        billed: False only if the provider certainly charged nothing (it answered with an error, or nothing
            was sent). Anything else stays charged in full until the truth is known.
        retry_after: Seconds that the provider asks to wait before the next call; None if it does not say.
        status: The HTTP status that the provider answered with; None if there was none.
        at_fault: True if another call to the same model would most likely fail too: it is overloaded, out of
            order or out of credit. After some of those in a row it is not asked for a while, and another
            provider's model is. A request that is wrong in itself is not the model's fault.
    """

    code: ClassVar[str] = "provider_failed"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        retryable: bool = False,
        billed: bool = True,
        retry_after: float | None = None,
        at_fault: bool | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.retryable = retryable
        self.billed = billed
        self.retry_after = retry_after
        self.at_fault = retryable if at_fault is None else at_fault


class ContextOverflow(ProviderError):
    """A call is longer than the model's context window.

    Args:
        message: What the provider said.
        window: Tokens that the model reads and writes at most; None if the provider does not say.
        hint: What to do about it.
        billed: False where the provider answered with an error, which is the rule.
    """

    code: ClassVar[str] = "context_overflow"

    def __init__(self, message: str, *, window: int | None = None, hint: str = "", billed: bool = False) -> None:
        super().__init__(message, hint=hint, billed=billed, at_fault=False)
        self.window = window


class ModelRefused(ProviderError):
    """The model, or a content filter before or after it, refused to answer. The call was charged.

    Args:
        message: What it said instead of an answer.
        hint: What to do about it.
    """

    code: ClassVar[str] = "model_refused"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint, billed=True, at_fault=False)


class RequestAdapted(ProviderError):
    """A server refused the form of a call, without charging it, and the provider has learned another form. The
    gateway sends the call again at once, with a hold of its own.

    Args:
        message: What was refused, and what is sent instead.
    """

    code: ClassVar[str] = "request_adapted"

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=True, billed=False, at_fault=False)


class CallInDoubt(IntendantError):
    """A process died while a model call was out: it may have been charged, and the policy is not to repeat it.

    Args:
        call: Its idempotency key.
        micro_usd: What it is charged with until the truth is known.
        waits: True if a person is to decide; False if the step fails.
    """

    code: ClassVar[str] = "call_in_doubt"

    def __init__(self, call: str, micro_usd: int, *, waits: bool) -> None:
        self.call, self.micro_usd, self.waits = call, micro_usd, waits
        super().__init__(
            f"a call that may have been paid for, up to {amount('micro_usd', micro_usd)}, was in flight when its "
            "process died",
            hint="look at the provider's own record; then decide: `intendant doubts` lists such calls"
            if waits
            else "look at the provider's own record; then run the step with `in_doubt: retry`, or start anew",
        )


class AsksPeople(IntendantError):
    """A model wants to change something outside, and people are to decide about that first: its step waits.

    Args:
        reason: What the step waits for.
        due: Seconds since 1970 (UTC) when the time to decide is over; None for no end.
        told: True if an event says so already.
    """

    code: ClassVar[str] = "asks_people"

    def __init__(self, reason: str, due: float | None, *, told: bool = False) -> None:
        self.due, self.told = due, told
        super().__init__(reason)


class StoreError(IntendantError):
    """The database could not be used."""

    code: ClassVar[str] = "store_failed"


class RunNotFound(StoreError):
    """There is no run of that id."""

    code: ClassVar[str] = "run_not_found"


class RunExists(IntendantError):
    """A run was asked for with an idempotency key that another run has: `run_id`."""

    code: ClassVar[str] = "run_exists"

    def __init__(self, message: str, *, hint: str = "", run_id: str = "") -> None:
        super().__init__(message, hint=hint)
        self.run_id = run_id


class RunActive(IntendantError):
    """A run cannot be resumed, because the process that owns it may still be alive."""

    code: ClassVar[str] = "run_active"


class Fenced(StoreError):
    """Another process has taken this run over; what this one does is refused."""

    code: ClassVar[str] = "run_taken_over"


class RecordBroken(StoreError):
    """What is kept of a run is not what was written: it is not used."""

    code: ClassVar[str] = "record_broken"


class SchemaMismatch(StoreError):
    """The database was made by another version of Intendant."""

    code: ClassVar[str] = "schema_mismatch"
