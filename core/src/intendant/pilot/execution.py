"""Executes one step: resolves its references, attempts it, retries it, and records how it ended."""

import asyncio
import json
from asyncio import sleep
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from time import monotonic
from typing import Any

from pydantic import BaseModel, ValidationError

from intendant import events
from intendant.config.logs import get_logger
from intendant.config.secrets import Secrets, UsedSecrets
from intendant.config.settings import Settings
from intendant.hooks.bases import first_error
from intendant.hooks.questions import Questions
from intendant.hooks.redaction import redacted
from intendant.hooks.registry import Plugins
from intendant.model.errors import (
    AsksPeople,
    BudgetExceeded,
    CallInDoubt,
    Fenced,
    IntendantError,
    NoHandlerError,
    OutputInvalid,
    PossiblySent,
    StepError,
    StepTimeout,
    StoreError,
)
from intendant.model.requests import Options, StepRequest, UseConnector
from intendant.model.results import Failure, StepOutcome, StepResult, StepStatus, Usage
from intendant.model.source import NOT_TEXT
from intendant.model.workflow import Json, Retry, Step
from intendant.pilot.agent_steps import agent_of
from intendant.pilot.client import Shared, StepModel
from intendant.pilot.deliveries import ConnectorUse, reading_only
from intendant.pilot.record_space import RunRecords, copied
from intendant.pilot.recording import Recorder, StepRecorder, executed_event, failed_event
from intendant.pilot.rerouting import choose
from intendant.pilot.resolving import resolve, resolve_parameters
from intendant.pilot.sandbox import Bounds, bounded
from intendant.pilot.schemas import Schema
from intendant.planning.compression import CompressionChain
from intendant.planning.decided import StepPlan
from intendant.planning.run_routing import Asked, RunRouter
from intendant.record.journal import Journal
from intendant.spending.calls import CallScope
from intendant.spending.gateway import Gateway
from intendant.spending.ledger import RunLedger
from intendant.spending.nesting import inside
from intendant.spending.paid_uses import PaidUses
from intendant.spending.retrying import Backoff

log = get_logger("intendant.steps")
ONCE = Retry(attempts=1)
NOTHING = Usage()
_WRITE = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
NEVER_RETRIED = (AsksPeople, BudgetExceeded, CallInDoubt, NoHandlerError, PossiblySent, StoreError)


@dataclass(frozen=True, slots=True)
class RunContext:
    """What the steps of one run share."""

    plugins: Plugins
    questions: Questions
    settings: Settings
    gateway: Gateway
    journal: Journal
    ledger: RunLedger
    chain: CompressionChain | None
    """Compresses; None where compression is switched off."""
    shared: Shared
    bounds: Bounds
    """What a condition, or a check against a schema, may take."""
    on_text: Callable[[str, str], object] | None = None
    """Called with a step's id and the next piece of a model's answer."""
    secrets: Secrets = field(default_factory=Secrets, repr=False)
    """Where secrets are found."""
    dry: bool = False
    """Steps change nothing outside."""
    folder: str = ""
    """The folder of the workflow's file."""
    router: RunRouter | None = None
    """Chooses models for what steps are given; None where routing is off."""


class StepExecution:
    """The execution of one step, through all its attempts.

    Args:
        context: What the steps of the run share.
        step: The step.
        plan: What was decided about it.
        scope: What references may name.
        given: Values of `input`, `prompt` or `with` that the host has resolved itself.
        address: Where it stands in the run, such as `label[17]/draft`; its id where absent.
        recorder: Writes how it ends.
    """

    def __init__(
        self,
        context: RunContext,
        step: Step,
        plan: StepPlan,
        scope: Mapping[str, Json],
        given: Mapping[str, Json] | None = None,
        *,
        address: str = "",
        recorder: Recorder | None = None,
    ) -> None:
        self._address = address or step.id
        self._recorder = recorder or StepRecorder()
        self._context = context
        self._step = step
        self._plan = plan
        self._references = scope
        self._given = given or {}
        self._log = context.journal.step(self._address)
        self._use: ConnectorUse | None = None
        self._records = RunRecords(context.journal, context.plugins.connectors)
        self._attempts = 0
        self._generation = 0
        self._failed_tiers: dict[str, str] = {}
        self._tier: str | None = None
        self._usage = NOTHING
        self._tokens_saved = 0
        self._told: tuple[str, ...] = ()
        self._produced_by = "deterministic"
        self._handler_seconds = 0.0

    async def run(self) -> StepOutcome:
        """Do the step and record how it ended; the outcome of one that failed says why.

        Raises:
            Fenced: Another process owns the run.
        """
        started = monotonic()
        try:
            with bounded(self._context.bounds):
                result, text = await self._with_retries()
        except Fenced:
            raise
        except asyncio.CancelledError as error:
            if not _is_being_cancelled():  # a plugin raised it; that must not end the whole run
                return self._failed(self._explained(error), monotonic() - started)
            failure = Failure(error="Cancelled", message="the run was cancelled", code="cancelled")
            self._failed(failure, monotonic() - started, cancelled=True)
            raise
        except KeyboardInterrupt as error:
            # A signal interrupted a computation of this step; the run is being cancelled too.
            failure = Failure(error="Cancelled", message="it was interrupted", code="cancelled")
            self._failed(failure, monotonic() - started, cancelled=True)
            raise asyncio.CancelledError from error
        except CallInDoubt as error:
            return self._waiting(error) if error.waits else self._failed(failure_of(error), monotonic() - started)
        except AsksPeople as error:
            return self._waiting(error, due=error.due)
        except (Exception, SystemExit) as error:  # noqa: BLE001  # a plugin's own code may raise anything
            return self._failed(self._explained(error), monotonic() - started)
        return self._completed(result, text, monotonic() - started)

    # --- attempts ---

    async def _with_retries(self) -> tuple[StepResult, str]:
        """The result of the first attempt that succeeds, and its output as JSON text."""
        backoff: Backoff | None = None
        while True:
            try:
                return await self._attempt()
            except Exception as error:
                if not self._should_retry(error):
                    raise
                backoff = backoff or _backoff_of(self._step.retry or ONCE)
                if (delay := backoff.next_delay()) is None:
                    raise
            await sleep(delay)

    def _should_retry(self, error: Exception) -> bool:
        retry = self._step.retry or ONCE
        if isinstance(error, NEVER_RETRIED):
            return False
        if isinstance(error, StepError) and not error.retryable:
            self._generation += 1  # the answers were no good: a replay of them would fail again
            if self._tier is not None:
                self._failed_tiers[self._tier] = f"{self._tier} failed ({error.code})"
        wanted = retry.on == "any" or (isinstance(error, IntendantError) and error.retryable)
        if wanted and self._attempts < retry.attempts:
            failure = Failure(error=type(error).__name__, message=redacted(str(error)))
            self._log.record(events.StepRetried, attempt=self._attempts, failure=failure)
        return wanted

    async def _attempt(self) -> tuple[StepResult, str]:
        self._attempts += 1
        started = monotonic()
        self._recorder.tell(self._log, events.StepStarted, attempt=self._attempts)
        calls = self._call_scope()
        context, limit = self._context, self._timeout()
        on_text = None if context.on_text is None else partial(context.on_text, self._address)
        hint = context.plugins.model_hint if self._plan.needs_model and self._plan.route is None else ""
        asked = (self._step, self._references, self._given, self._address, self._key, self._plan)
        agent = await agent_of(context, *asked, calls) if self._step.tools else None
        model = StepModel(context.gateway, calls, self._plan, context.chain, context.shared, on_text, hint, agent)
        try:
            async with asyncio.timeout(limit) as clock:
                with inside(context.ledger, self._address):
                    request = self._chosen(model, await self._request(model, calls))
                    result = await self._handled(request)
        except TimeoutError:
            if not clock.expired():
                raise
            raise StepTimeout(
                f"it ran longer than {limit:g} s and was cancelled",
                hint="raise `timeout`, or do less in one step",
            ) from None
        finally:
            model.close()
            self._tier = model.route.tier if model.route is not None else None
            self._usage += calls.usage
            self._tokens_saved += model.tokens_saved
            self._told = () if agent is None else agent.notes()
            self._produced_by = calls.produced_by
        text = await self._checked(result)
        self._handler_seconds = monotonic() - started
        return result, text

    def _call_scope(self) -> CallScope:
        step, context = self._step, self._context
        return CallScope(
            context.journal,
            context.ledger,
            self._address,
            generation=self._generation,
            in_doubt=step.in_doubt or context.settings.budget.in_doubt,
            cache_ttl=step.cache,
            max_wait=step.max_wait,
        )

    def _timeout(self) -> float | None:
        """Seconds for one attempt; what its answers may take is added."""
        step = self._step
        limit = step.timeout if step.timeout is not None else self._context.settings.run.step_timeout
        return None if limit is None else limit + step.max_wait

    def _chosen(self, model: StepModel, request: StepRequest[Any]) -> StepRequest[Any]:
        """The request; its model is chosen by it, where there is something to choose."""
        if (router := self._context.router) is not None and router.decides(self._plan, self._step):
            spec = self._context.plugins.intents[self._plan.intent].spec
            left = self._context.ledger.micro_left(self._address)
            asked = Asked(self._step, self._plan, spec, request.prompt, request.input, left)
            choose(model, router, asked, self._log, self._recorder, self._failed_tiers)
        return request

    def _handled(self, request: StepRequest[Any]) -> Awaitable[Any]:
        answer = self._context.questions.handle_intent(request)
        if answer is None:
            hint = self._context.plugins.unavailable_hint("intent", request.intent)
            raise NoHandlerError(request.intent, hint)
        return answer

    # --- what the handler is given ---

    async def _request(self, model: StepModel, calls: CallScope) -> StepRequest[Any]:
        """The step with its references resolved."""
        step, given, scope = self._step, self._given, self._references
        value = given["input"] if "input" in given else resolve(step.input, scope)
        handler = self._context.plugins.intents.get(self._plan.intent)
        value = await self._records.given(value, flows=handler is not None and handler.flows(step))
        values = {} if step.uses else await self._records.held(self._with(UsedSecrets(None)))
        return StepRequest(
            run_id=self._context.journal.run_id,
            step=step,
            intent=self._plan.intent,
            input=copied(value),
            prompt=given["prompt"] if "prompt" in given else str(resolve(step.prompt or "", scope)),
            parameters=self._parameters(step, values),
            idempotency_key=self._key,
            model=model,
            use_connector=self._connector(calls),
            records=self._records,
        )

    @property
    def _key(self) -> str:
        """What its deliveries are keyed by: an item that has changed is another one."""
        digest = self._recorder.digest
        identity = f"{self._address}@{digest[:16]}" if digest else self._address
        return delivery_key(self._context.journal.run_id, identity)

    def _with(self, secrets: UsedSecrets) -> Mapping[str, Json]:
        """The step's `with`, its references resolved; secrets are taken from *secrets*."""
        step, given = self._step, self._given
        if not step.with_ and "with" not in given:
            return {}
        scope = {**self._references, "secrets": secrets}
        if "with" in given:
            return dict(copied(given["with"]))
        return dict(copied((resolve_parameters if step.uses else resolve)(step.with_, scope)))

    def _parameters(self, step: Step, values: Mapping[str, Json]) -> BaseModel:
        """The step's parameters as its handler declares them.

        Raises:
            StepError: A parameter is missing, unknown or of the wrong type.
        """
        handler = self._context.plugins.intents.get(self._plan.intent)
        model = Options if handler is None else handler.Parameters
        options = copied(resolve(step.options, self._references)) if step.options else {}
        given = options if step.uses else {**values, **options}
        try:
            return model.model_validate(given)
        except ValidationError as error:
            where = "options" if step.uses else "with"
            raise StepError(f"`{where}` is wrong: {first_error(error, given)}") from None

    def _connector(self, calls: CallScope) -> UseConnector:
        if self._step.connector is None:
            return _no_connector
        name, operation = self._step.connector
        context = self._context
        handler = context.plugins.intents.get(self._plan.intent)
        reads = handler is not None and handler.spec.reads_only
        self._use = ConnectorUse(
            context.plugins.connectors[name],
            operation,
            self._with,
            context.journal,
            self._address,
            self._key,
            secrets=context.secrets,
            records=self._records,
            in_doubt=self._step.in_doubt,
            dry=context.dry,
            folder=context.folder,
            permit=reading_only(self._plan.intent, f"{name}.{operation}") if reads else None,
            paid=PaidUses(calls, context.settings.prices.uses),
        )
        return self._use

    async def _checked(self, result: Any) -> str:
        """The output as JSON text, if it is JSON and matches the step's schema.

        Raises:
            StepError: It does not; or the handler returned something else than a result.
        """
        if not isinstance(result, StepResult):
            raise StepError(
                f"the handler of '{self._plan.intent}' returned {type(result).__name__}, not a StepResult"
            )
        text = output_text(result.output)
        if self._step.output is not None:
            errors = await self._records.faults(Schema(self._step.output), result.output)
            if errors:
                raise OutputInvalid(f"the output does not match its schema: {'; '.join(errors)}")
        return text

    # --- how it ended ---

    def _completed(self, result: StepResult, text: str, seconds: float) -> StepOutcome:
        plan = self._plan
        used = () if self._use is None else self._use.notes
        notes = tuple(dict.fromkeys((*result.notes, *used, *self._told)))
        outcome = StepOutcome(
            step_id=self._address,
            name=plan.name,
            status=StepStatus.completed,
            intent=plan.intent,
            output=result.output,
            notes=notes,
            produced_by=self._produced_by,
            tier=self._tier if self._usage.calls else None,
            usage=self._usage,
            tokens_saved=self._tokens_saved,
            seconds=seconds,
            attempts=self._attempts,
            input_sha256=self._recorder.digest,
        )
        said = partial(executed_event, self._log, outcome, text, self._handler_seconds)
        self._recorder.save(self._log, outcome, text, said)
        return outcome

    def _failed(self, failure: Failure, seconds: float, *, cancelled: bool = False) -> StepOutcome:
        outcome = StepOutcome(
            step_id=self._address,
            name=self._step.title,
            status=StepStatus.cancelled if cancelled else StepStatus.failed,
            intent=self._plan.intent,
            failure=failure,
            produced_by=self._produced_by,
            usage=self._usage,
            tokens_saved=self._tokens_saved,
            seconds=seconds,
            attempts=self._attempts,
            input_sha256=self._recorder.digest,
        )
        self._recorder.save(self._log, outcome, None, partial(failed_event, self._log, outcome))
        return outcome

    def _waiting(self, error: IntendantError, due: float | None = None) -> StepOutcome:
        outcome = StepOutcome(
            step_id=self._address,
            name=self._step.title,
            status=StepStatus.waiting,
            intent=self._plan.intent,
            produced_by=self._produced_by,
            usage=self._usage,
            tokens_saved=self._tokens_saved,
            attempts=self._attempts,
            reason=str(error),
            in_doubt=isinstance(error, CallInDoubt),
            due=due,
            input_sha256=self._recorder.digest,
        )
        told = isinstance(error, AsksPeople) and error.told
        event = None if told else self._log.event(events.StepWaiting, reason=outcome.reason, usage=self._usage)
        self._log.save(outcome, None, event)
        return outcome

    def _explained(self, error: BaseException) -> Failure:
        """The failure that an error means to a user."""
        if isinstance(error, BudgetExceeded):
            self._log.record(
                events.BudgetExceededEvent,
                scope=error.scope,
                unit=error.unit,
                asked=error.asked,
                left=error.left,
            )
        if isinstance(error, IntendantError):
            return failure_of(error)
        log.warning("plugin_raised", step=self._step.id, intent=self._plan.intent, exc_info=error)
        text = redacted(f"the handler of '{self._plan.intent}' raised {type(error).__name__}: {error}")
        return Failure(
            error=type(error).__name__,
            message=text,
            hint="this is a fault of the plugin; report it there",
            code="plugin_raised",
        )


def _is_being_cancelled() -> bool:
    return (task := asyncio.current_task()) is not None and task.cancelling() > 0


def failure_of(error: IntendantError) -> Failure:
    """An error as the failure of a step."""
    message, hint = redacted(error.message), redacted(error.hint)
    return Failure(error=type(error).__name__, message=message, hint=hint, code=error.code)


def _backoff_of(retry: Retry) -> Backoff:
    return Backoff(retry.attempts, retry.delay, retry.backoff, retry.jitter)


def delivery_key(run_id: str, step_id: str) -> str:
    """The idempotency key of what a step delivers: the same for each attempt at the step of a run."""
    return sha256(f"{run_id}\x1f{step_id}\x1fdelivery".encode()).hexdigest()


def output_text(output: Json) -> str:
    """A step's output as it is stored: JSON text.

    Raises:
        OutputInvalid: It is not JSON, or cannot be written as UTF-8.
    """
    try:
        text = _WRITE(output)
        if not text.isascii():
            text.encode()
    except UnicodeEncodeError:
        raise OutputInvalid(f"the output cannot be stored: {NOT_TEXT}") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise OutputInvalid(f"the output is not JSON: {error}") from None
    return text


async def _no_connector(value: Json = None, parameters: Any = None) -> Json:  # noqa: ARG001  # the protocol
    raise StepError("the step uses no connector", hint="name one: `uses: connector.operation`")
