"""Executes one step: resolves it, tries it, tries it again, and records what came of it."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from time import monotonic
from typing import Any

from pydantic import BaseModel, ValidationError

from intendant import events
from intendant.config.logs import get_logger
from intendant.config.settings import Settings
from intendant.hooks.bases import first_error
from intendant.hooks.questions import Questions
from intendant.hooks.registry import Plugins
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
from intendant.model.requests import MemoryContext, Options, StepRequest, UseConnector
from intendant.model.results import Failure, StepOutcome, StepResult, StepStatus, Usage
from intendant.model.workflow import Json, Retry, Step
from intendant.pilot.client import Shared, StepModel
from intendant.pilot.deliveries import ConnectorUse, delivery_key
from intendant.pilot.outputs import digest_of, output_text
from intendant.pilot.references import resolve
from intendant.pilot.schemas import Schema
from intendant.planning.compression import CompressionChain
from intendant.planning.planner import StepPlan
from intendant.record.journal import Journal, StepLog
from intendant.spending.calls import CallScope
from intendant.spending.gateway import Gateway
from intendant.spending.ledger import RunLedger
from intendant.spending.retrying import retrying

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
            attempts.log.record(
                events.BudgetExceededEvent,
                scope=error.scope,
                unit=error.unit,
                asked=error.asked,
                left=error.left,
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
        event = attempts.log.event(
            events.StepExecuted,
            intent=plan.intent,
            seconds=seconds,
            attempts=attempts.number,
            usage=attempts.usage,
            tokens_saved=attempts.tokens_saved,
            produced_by=attempts.produced_by,
            output_bytes=len(text),
            output_sha256=digest_of(text),
            notes=result.notes,
        )
        attempts.log.save(outcome, text, event)
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
        event = attempts.log.event(
            events.StepFailed,
            failure=failure,
            seconds=seconds,
            attempts=attempts.number,
            usage=attempts.usage,
            cancelled=cancelled,
        )
        attempts.log.save(outcome, None, event)
        return outcome

    # --- used by attempts ---

    def request(self, attempts: "_Attempts", model: StepModel) -> StepRequest[Any]:
        """The step with its references resolved."""
        step, given = attempts.step, attempts.given
        values = given.get("with", resolve(step.with_, attempts.scope) if step.with_ else {})
        return StepRequest(
            run_id=self._journal.run_id,
            step=step,
            intent=attempts.plan.intent,
            input=given["input"] if "input" in given else resolve(step.input, attempts.scope),
            prompt=given["prompt"] if "prompt" in given else str(resolve(step.prompt or "", attempts.scope)),
            parameters=self._parameters(attempts.plan.intent, {} if step.uses else values),
            idempotency_key=delivery_key(self._journal.run_id, step.id),
            model=model,
            use_connector=self._connector(step, values),
        )

    def _parameters(self, intent: str, values: Mapping[str, Json]) -> BaseModel:
        """The step's parameters as its handler declares them.

        Raises:
            StepError: A parameter is missing, unknown or of the wrong type.
        """
        handler = self._plugins.intents.get(intent)
        model = Options if handler is None else handler.Parameters
        try:
            return model.model_validate(dict(values))
        except ValidationError as error:
            raise StepError(f"`with` is wrong: {first_error(error)}") from None

    def _connector(self, step: Step, parameters: Mapping[str, Json]) -> UseConnector:
        if step.connector is None:
            return _no_connector
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

    async def handle(self, request: StepRequest[Any]) -> StepResult:
        """The handler's answer."""
        answer = self._questions.handle_intent(request)
        if answer is None:
            raise NoHandlerError(request.intent)
        return await answer

    def timeout_of(self, step: Step) -> float | None:
        """Seconds for one attempt; what its answers may take comes on top."""
        limit = step.timeout if step.timeout is not None else self._settings.run.step_timeout
        return None if limit is None else limit + step.slack

    def log(self, step_id: str) -> StepLog:
        """The journal of a step."""
        return self._journal.step(step_id)


async def _no_connector(value: Json = None) -> Json:  # noqa: ARG001  # part of the protocol
    raise StepError("the step uses no connector", hint="name one: `uses: connector.operation`")


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
        self.log = runner.log(step.id)
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
            self.log.record(events.StepRetried, attempt=self.number, failure=failure)
        return wanted

    async def one(self) -> tuple[StepResult, str]:
        self.number += 1
        started = monotonic()
        self.log.record(events.StepStarted, attempt=self.number)
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
        text = self._checked(result)
        seconds = monotonic() - started
        self.log.record(events.HandlerExecuted, intent=self.plan.intent, seconds=seconds, attempt=self.number)
        return result, text

    def _checked(self, result: Any) -> str:
        """The output as JSON text."""
        if not isinstance(result, StepResult):
            raise StepError(
                f"the handler of '{self.plan.intent}' returned {type(result).__name__}, not a StepResult"
            )
        text = output_text(result.output)
        if self.step.output is not None:
            errors = Schema(self.step.output).errors(result.output)
            if errors:
                raise OutputInvalid(f"the output does not match its schema: {'; '.join(errors)}")
        return text
