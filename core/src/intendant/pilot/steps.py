"""Executes one step: resolves it, tries it, tries it again, and records what came of it."""

import asyncio
import json
from collections.abc import Callable, Mapping
from functools import partial
from hashlib import sha256
from time import monotonic
from typing import Any

from intendant.config.settings import Settings
from intendant.hooks.calls import Questions
from intendant.hooks.registry import Plugins
from intendant.model import events
from intendant.model.errors import (
    BudgetExceeded,
    CallInDoubt,
    Fenced,
    IntendantError,
    NoHandlerError,
    OutputInvalid,
    StepError,
    StepTimeout,
    StoreError,
)
from intendant.model.logs import get_logger
from intendant.model.requests import MemoryContext, StepRequest
from intendant.model.results import Failure, StepOutcome, StepResult, StepStatus, Usage
from intendant.model.retrying import retrying
from intendant.model.source import NOT_TEXT
from intendant.model.workflow import Json, Retry, Step
from intendant.pilot.client import Shared, StepModel
from intendant.pilot.deliveries import ConnectorUse, delivery_key
from intendant.pilot.references import resolve
from intendant.pilot.sandbox import Bounds, bounded
from intendant.pilot.schemas import Schema
from intendant.planning.compression import CompressionChain
from intendant.planning.planner import StepPlan
from intendant.record.journal import Journal
from intendant.spending.calls import CallScope
from intendant.spending.gateway import Gateway
from intendant.spending.ledger import RunLedger

log = get_logger("intendant.steps")
ONCE = Retry(attempts=1)
NEVER_RETRIED = (BudgetExceeded, CallInDoubt, NoHandlerError, StoreError)


class StepRunner:
    """Executes the steps of one run."""

    def __init__(
        self,
        plugins: Plugins,
        settings: Settings,
        gateway: Gateway,
        journal: Journal,
        ledger: RunLedger,
        *,
        compress: bool,
        memory: MemoryContext | None = None,
        goal: str = "",
        on_text: Callable[[str, str], object] | None = None,
    ) -> None:
        self._plugins = plugins
        self._questions = Questions(plugins.manager)
        self._settings = settings
        self._gateway = gateway
        self._journal = journal
        self._ledger = ledger
        self._chain = CompressionChain(self._questions) if compress else None
        self._shared = Shared(memory, goal)
        self._on_text = on_text
        self.bounds = Bounds(settings.run.compute_seconds, settings.run.compute_megabytes)
        """What a condition or a check against a schema may take."""

    async def run(
        self, step: Step, plan: StepPlan, scope: Mapping[str, Json], given: Mapping[str, Json] | None = None
    ) -> StepOutcome:
        """Do *step* and record it.

        Args:
            step: The step.
            plan: What was decided about it.
            scope: What references may name.
            given: Values of `input`, `prompt` or `with` that the host resolved itself.

        Returns:
            The outcome, failed ones included.

        Raises:
            Fenced: Another process owns the run.
        """
        attempts = _Attempts(self, step, plan, scope, given or {})
        started = monotonic()
        try:
            with bounded(self.bounds):
                result = await attempts.all()
        except Fenced:
            raise
        except asyncio.CancelledError:
            message = Failure(error="Cancelled", message="the run was cancelled")
            self._failed(attempts, message, monotonic() - started, cancelled=True)
            raise
        except Exception as error:  # noqa: BLE001  # a plugin's own code may raise anything
            return self._failed(attempts, self._explain(error, attempts), monotonic() - started)
        finally:
            self._ledger.finish(step.id)
        return self._completed(attempts, *result, monotonic() - started)

    def _explain(self, error: Exception, attempts: "_Attempts") -> Failure:
        if isinstance(error, BudgetExceeded):
            self._journal.record(
                events.BudgetExceededEvent(
                    run_id=self._journal.run_id,
                    step_id=attempts.step.id,
                    scope=error.scope,
                    unit=error.unit,
                    asked=error.asked,
                    left=error.left,
                )
            )
        if isinstance(error, IntendantError):
            return Failure(error=type(error).__name__, message=error.message, hint=error.hint)
        log.debug("plugin_raised", step=attempts.step.id, intent=attempts.plan.intent, exc_info=error)
        text = f"the handler of '{attempts.plan.intent}' raised {type(error).__name__}: {error}"
        return Failure(
            error=type(error).__name__, message=text, hint="this is a fault of the plugin; report it there"
        )

    def _completed(self, attempts: "_Attempts", result: StepResult, text: str, seconds: float) -> StepOutcome:
        step, plan = attempts.step, attempts.plan
        outcome = StepOutcome(
            step_id=step.id,
            name=step.title,
            status=StepStatus.completed,
            intent=plan.intent,
            output=result.output,
            notes=result.notes,
            produced_by=attempts.produced_by,
            tier=plan.route.tier if plan.route and attempts.usage.calls else None,
            usage=attempts.usage,
            tokens_saved=attempts.tokens_saved,
            seconds=seconds,
            attempts=attempts.number,
        )
        event = events.StepExecuted(
            run_id=self._journal.run_id,
            step_id=step.id,
            intent=plan.intent,
            seconds=seconds,
            attempts=attempts.number,
            usage=attempts.usage,
            tokens_saved=attempts.tokens_saved,
            produced_by=attempts.produced_by,
            output_bytes=len(text),
            output_sha256=sha256(text.encode("utf-8", "surrogatepass")).hexdigest(),
            notes=result.notes,
        )
        self._journal.save_step(outcome, text, event)
        return outcome

    def _failed(
        self, attempts: "_Attempts", failure: Failure, seconds: float, *, cancelled: bool = False
    ) -> StepOutcome:
        outcome = StepOutcome(
            step_id=attempts.step.id,
            name=attempts.step.title,
            status=StepStatus.cancelled if cancelled else StepStatus.failed,
            intent=attempts.plan.intent,
            failure=failure,
            produced_by=attempts.produced_by,
            usage=attempts.usage,
            tokens_saved=attempts.tokens_saved,
            seconds=seconds,
            attempts=attempts.number,
        )
        event = events.StepFailed(
            run_id=self._journal.run_id,
            step_id=attempts.step.id,
            failure=failure,
            seconds=seconds,
            attempts=attempts.number,
            usage=attempts.usage,
            cancelled=cancelled,
        )
        self._journal.save_step(outcome, None, event)
        return outcome

    # --- used by attempts ---

    def request(self, attempts: "_Attempts", model: StepModel) -> StepRequest:
        """The step with its references resolved."""
        step, given = attempts.step, attempts.given
        parameters = given.get("with", resolve(step.with_, attempts.scope) if step.with_ else {})
        return StepRequest(
            run_id=self._journal.run_id,
            step=step,
            intent=attempts.plan.intent,
            input=given["input"] if "input" in given else resolve(step.input, attempts.scope),
            prompt=given["prompt"] if "prompt" in given else str(resolve(step.prompt or "", attempts.scope)),
            parameters=parameters,
            idempotency_key=delivery_key(self._journal.run_id, step.id),
            model=model,
            use_connector=self._connector(step, parameters),
        )

    def _connector(self, step: Step, parameters: Mapping[str, Json]) -> ConnectorUse | None:
        if step.connector is None:
            return None
        name, operation = step.connector
        return ConnectorUse(self._plugins.connectors[name], operation, parameters, self._journal, step.id)

    def model(self, attempts: "_Attempts") -> tuple[CallScope, StepModel]:
        """A door for one attempt."""
        scope = CallScope(
            self._journal,
            self._ledger,
            attempts.step.id,
            generation=attempts.generation,
            in_doubt=attempts.step.in_doubt or self._settings.budget.in_doubt,
            keep_seconds=attempts.step.cache,
            slack=attempts.step.slack,
        )
        on_text = None if self._on_text is None else partial(self._on_text, attempts.step.id)
        return scope, StepModel(self._gateway, scope, attempts.plan, self._chain, self._shared, on_text)

    async def handle(self, request: StepRequest) -> StepResult:
        """The handler's answer."""
        answer = self._questions.handle_intent(request)
        if answer is None:
            raise NoHandlerError(request.intent)
        return await answer

    def timeout_of(self, step: Step) -> float | None:
        """Seconds for one attempt; what its answers may take comes on top."""
        limit = step.timeout if step.timeout is not None else self._settings.run.step_timeout
        return None if limit is None else limit + step.slack

    def record(self, event: events.Event) -> None:
        """Write an event."""
        self._journal.record(event)

    @property
    def run_id(self) -> str:
        """The run."""
        return self._journal.run_id


class _Attempts:
    """The attempts at one step, and what they took together."""

    def __init__(
        self,
        runner: StepRunner,
        step: Step,
        plan: StepPlan,
        scope: Mapping[str, Json],
        given: Mapping[str, Json],
    ) -> None:
        self.runner, self.step, self.plan, self.scope, self.given = runner, step, plan, scope, given
        self.number = 0
        self.generation = 0
        self.usage = Usage()
        self.tokens_saved = 0
        self.produced_by = "deterministic"

    async def all(self) -> tuple[StepResult, str]:
        retry = self.step.retry or ONCE
        if retry.attempts == 1:
            return await self.one()
        return await retrying(
            self.one,
            again=self._again,
            attempts=retry.attempts,
            delay=retry.delay,
            backoff=retry.backoff,
            jitter=retry.jitter,
        )

    def _again(self, error: Exception) -> bool:
        retry = self.step.retry or ONCE
        if isinstance(error, NEVER_RETRIED):
            return False
        if isinstance(error, StepError) and not error.retryable:
            self.generation += 1  # the answers were no good: asking for the same ones again would not help
        wanted = retry.on == "any" or (isinstance(error, IntendantError) and error.retryable)
        if wanted and self.number < retry.attempts:
            failure = Failure(error=type(error).__name__, message=str(error))
            event = events.StepRetried(
                run_id=self.runner.run_id, step_id=self.step.id, attempt=self.number, failure=failure
            )
            self.runner.record(event)
        return wanted

    async def one(self) -> tuple[StepResult, str]:
        self.number += 1
        started = monotonic()
        self.runner.record(
            events.StepStarted(run_id=self.runner.run_id, step_id=self.step.id, attempt=self.number)
        )
        calls, model = self.runner.model(self)
        limit = self.runner.timeout_of(self.step)
        try:
            async with asyncio.timeout(limit) as clock:
                result = await self.runner.handle(self.runner.request(self, model))
        except TimeoutError:
            if not clock.expired():
                raise
            raise StepTimeout(
                f"it ran longer than {limit:g} s and was cancelled",
                hint="raise `timeout`, or do less in one step",
            ) from None
        finally:
            self.usage += calls.usage
            self.tokens_saved += model.tokens_saved
            self.produced_by = calls.produced_by
        text = await self._checked(result)
        self.runner.record(
            events.HandlerExecuted(
                run_id=self.runner.run_id,
                step_id=self.step.id,
                intent=self.plan.intent,
                seconds=monotonic() - started,
                attempt=self.number,
            )
        )
        return result, text

    async def _checked(self, result: Any) -> str:
        """The output as JSON text."""
        if not isinstance(result, StepResult):
            raise StepError(
                f"the handler of '{self.plan.intent}' returned {type(result).__name__}, not a StepResult"
            )
        try:
            text = json.dumps(result.output, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
            text.encode()
        except UnicodeEncodeError:
            raise OutputInvalid(f"the output cannot be stored: {NOT_TEXT}") from None
        except (TypeError, ValueError, RecursionError) as error:
            raise OutputInvalid(f"the output is not JSON: {error}") from None
        if self.step.output is not None:
            errors = await Schema(self.step.output).errors_async(result.output)
            if errors:
                raise OutputInvalid(f"the output does not match its schema: {'; '.join(errors)}")
        return text
