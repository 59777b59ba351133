"""The service: plans and runs workflows for a host application."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from intendant.config.secrets import SecretSource
from intendant.config.settings import Settings
from intendant.events import Event
from intendant.hooks.bases import Plugin
from intendant.model.errors import Fenced, Problem, StoreError, WorkflowError
from intendant.model.requests import MemoryContext
from intendant.model.results import RunResult
from intendant.model.workflow import Json, Limits, Workflow
from intendant.pilot.agent_view import agent_of
from intendant.pilot.awaiting import send_signal
from intendant.pilot.checking import check
from intendant.pilot.engine import Engine
from intendant.pilot.frames import RunState
from intendant.pilot.heartbeats import beating
from intendant.pilot.opening import switched_off
from intendant.pilot.orchestrator import WorkflowOrchestrator
from intendant.pilot.plan_doubts import doubted
from intendant.pilot.plans import plan_checked
from intendant.pilot.rating import rate
from intendant.pilot.remembering import remembered
from intendant.pilot.segments import run_segment
from intendant.pilot.service_view import ServiceView
from intendant.pilot.waiting import decisions_of, until_decided
from intendant.planning.decided import Plan
from intendant.record.store import liveness, runs

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from intendant.pilot.webhooks import WebhookReceiver

Listener = Callable[[Event], object]
TextListener = Callable[[str, str], object]


class OrchestrationService(ServiceView):
    """Plans and runs workflows. Several may live in one process; they share nothing.

    `SyncOrchestrationService` is the same for code without an event loop.

    Example:
        ```python
        async with OrchestrationService(db="none") as service:
            result = await service.run(Workflow.load("flow.yaml"), {"folder": "mails"})
        ```

    Args:
        settings: Settings, or a nested map of those that differ from the environment and the defaults. No file is
            read unless `Settings.load()` is handed over.
        plugins: Plugins handed over; they win over installed ones of the same name.
        discover: Use installed plugins.
        db: Database URL, `none` for memory only; stronger than the setting `store.db`.
        secrets: Finds `{{ secrets.NAME }}` before the environment is asked: takes a name, gives its value or None.
        executor: Where large texts are compressed: any of `concurrent.futures`, of processes or machines too; not
            shut down by this. By default `run.processes` of its own, or a thread.

    Raises:
        PluginLoadError: A plugin that was asked for cannot be used.
        SettingsError: A setting is wrong.
    """

    def __init__(
        self,
        settings: Settings | Mapping[str, Any] | None = None,
        *,
        plugins: Sequence[Plugin] = (),
        discover: bool = True,
        db: str | None = None,
        secrets: SecretSource | None = None,
        executor: "Executor | None" = None,
    ) -> None:
        how: dict[str, Any] = {"discover": discover, "db": db, "secrets": secrets, "executor": executor}
        self._engine = Engine(settings, plugins=plugins, **how)
        self._running: dict[str, RunState] = {}

    @classmethod
    def of(cls, engine: Engine) -> Self:
        """The service of an engine that exists already."""
        service = cls.__new__(cls)
        service._engine, service._running = engine, {}  # noqa: SLF001  # its own
        return service

    def load(self, path: str | Path, inputs: Mapping[str, Json] | None = None) -> Workflow:
        """Read a workflow file and check it against what is installed; reports all mistakes together.

        Args:
            path: The file.
            inputs: Values to check as well.

        Raises:
            WorkflowError: The file or the inputs are wrong; carries every problem.
        """
        try:
            flow = Workflow.load(path)
        except WorkflowError as error:
            problems = list(error.problems)
            if error.draft is not None:
                problems += self._problems(error.draft, inputs)
            far = 10**9
            known = dict.fromkeys(sorted(problems, key=lambda p: (p.line or far, p.column or 0)))
            raise WorkflowError(list(known)) from None
        if problems := self._problems(flow, inputs):
            raise WorkflowError(problems)
        return flow

    def _problems(self, flow: Workflow, inputs: Mapping[str, Json] | None) -> list[Problem]:
        try:
            check(self._engine.prepared.of(flow), self._engine.plugins, inputs)
        except WorkflowError as error:
            return list(error.problems)
        return []

    async def plan(
        self, workflow: Workflow, inputs: Mapping[str, Json] | None = None, *, ask_model: bool = False
    ) -> Plan:
        """Decide everything about *workflow* without doing anything.

        Args:
            workflow: The workflow.
            inputs: Values to check as well; None checks the workflow alone.
            ask_model: Let classifiers ask a model, which costs tokens and is recorded; a run does so by itself.

        Raises:
            WorkflowError: The workflow or its inputs are wrong; carries every problem.
        """
        await self._engine.steering.refresh()
        check(self._engine.prepared.of(workflow), self._engine.plugins, inputs)
        view = await agent_of(self._engine, workflow.agent, workflow.folder)
        told = await remembered(self._engine, view, workflow, inputs, use=False) is not None
        plan = await plan_checked(
            self._engine, workflow, ask_model=ask_model, memory=told, inputs=inputs, agent=view
        )
        return doubted(self._engine, plan, inputs)

    def orchestrator(
        self, on_event: Listener | Iterable[Listener] = (), on_text: TextListener | None = None
    ) -> WorkflowOrchestrator:
        """A run that the host drives step by step; for the arguments see `run`."""
        return WorkflowOrchestrator(self._engine, (on_event,) if callable(on_event) else on_event, on_text)

    async def run(
        self,
        workflow: Workflow,
        inputs: Mapping[str, Json] | None = None,
        *,
        memory: MemoryContext | None = None,
        dry: bool = False,
        key: str | None = None,
        on_event: Listener | Iterable[Listener] = (),
        on_text: TextListener | None = None,
        wait: bool = False,
        user: str | None = None,
    ) -> RunResult:
        """Plan and execute *workflow*.

        Args:
            workflow: The workflow.
            inputs: Values for its inputs.
            memory: What is known before the run; steps of intents that want it receive it, within a budget line of
                its own (`budget.memory_tokens`). By default what its agent remembers.
            dry: Everything runs, and models are paid, but nothing outside is changed: steps that would change
                anything give what they would have delivered.
            key: An idempotency key, such as `orders/17`: of several runs that are asked for with the same key, by
                whatever process, one is executed.
            on_event: Called with each event; must be quick.
            on_text: Called with a step's id and the next piece of a model's answer, while the answer is written. A
                call of which a piece was shown is not retried; the step may be (`retry`).
            wait: Stay until what the run waits for is decided or the time has come; without it, the run ends as
                `waiting`, and `resume` goes on with it.
            user: Whose run it is, for rollouts by user.

        Returns:
            The result; steps that failed are in it, and the status says so.

        Raises:
            WorkflowError: The workflow or its inputs are wrong; nothing has run.
            RunExists: There is a run of this key; nothing has run.
            IntendantError: The flag `orchestration_enabled` is off.
            asyncio.CancelledError: The run was cancelled; it has ended and is recorded as cancelled.
        """
        run = self._beating(on_event, on_text)
        if not await run.initialize(workflow, inputs, memory, dry=dry, key=key, user=user):
            raise switched_off()
        return await self._to_the_end(run, wait=wait)

    async def submit(
        self,
        workflow: Workflow,
        inputs: Mapping[str, Json] | None = None,
        *,
        memory: MemoryContext | None = None,
        key: str | None = None,
        user: str | None = None,
        priority: int = 0,
        not_before: float | None = None,
    ) -> str:
        """Plan *workflow* and open its run, for a worker (`intendant worker`) to execute.

        Args:
            workflow: The workflow.
            inputs: Values for its inputs.
            memory: What is known before the run.
            key: An idempotency key; see `run`.
            user: Whose run it is, for rollouts by user.
            priority: Workers take runs of higher ones first.
            not_before: Seconds since 1970 before which no worker takes it; None for at once.

        Returns:
            The run's id.

        Raises:
            WorkflowError: The workflow or its inputs are wrong.
            RunExists: There is a run of this key.
            IntendantError: The flag `orchestration_enabled` is off.
        """
        run = WorkflowOrchestrator(self._engine, beats=True, priority=priority)
        if not await run.initialize(workflow, inputs, memory, key=key, user=user):
            raise switched_off()
        run_id, state = run.run_id, run.state
        state.pause()
        state.handed_over, state.due = True, not_before
        await self._to_the_end(run)
        return run_id

    def webhooks(self, triggers: str | Path) -> "WebhookReceiver":
        """A receiver of the webhooks of a file of triggers. It opens the runs that they ask for, for workers.

        Args:
            triggers: A TOML file, as for `intendant worker --triggers`; of its triggers those with `webhook`.

        Raises:
            IntendantError: The file, or a workflow in it, is wrong; a secret is not set; there is no webhook.
        """
        from intendant.pilot.run_triggers import load_triggers
        from intendant.pilot.webhooks import WebhookReceiver

        return WebhookReceiver(self.submit, self._engine.secrets, load_triggers(Path(triggers)))

    async def resume(
        self,
        run: str,
        *,
        take_over: bool = False,
        limits: Limits | None = None,
        workflow: Workflow | None = None,
        on_event: Listener | Iterable[Listener] = (),
        on_text: TextListener | None = None,
        wait: bool = False,
    ) -> RunResult:
        """Continue a run that was interrupted or did not succeed; for the arguments see
        `WorkflowOrchestrator.resume` and `run`.

        Example:
            ```python
            result = await service.resume("last", limits=Limits(tokens=50_000))
            ```

        Raises:
            RunNotFound: There is no such run.
            IntendantError: It is completed, or another process may own it.
            asyncio.CancelledError: The run was cancelled; it has ended and is recorded as cancelled.
        """
        resumed = self._beating(on_event, on_text)
        await resumed.resume(run, take_over=take_over, limits=limits, workflow=workflow)
        return await self._to_the_end(resumed, wait=wait)

    async def fork(
        self,
        run: str,
        start: str,
        *,
        inputs: Mapping[str, Json] | None = None,
        workflow: Workflow | None = None,
        limits: Limits | None = None,
        dry: bool = False,
        on_event: Listener | Iterable[Listener] = (),
        on_text: TextListener | None = None,
        wait: bool = False,
    ) -> RunResult:
        """Execute a new run that takes over what another one has done, but for a step and what depends on it.

        What is taken over costs nothing. Changes to the outside that depend on the step are made again.

        Args:
            run: The other run's id, or the beginning of that; `last` for the newest. It stays as it is.
            start: The step to begin with: `label`, or for one item `label[17]`, or a step in it `label[17]/draft`.
                In a loop, `improve[3]` begins with the third pass and keeps those before it. Steps of groups,
                branches and sub-workflows have addresses such as `work/draft` and `gate/large/ask`.
            inputs: Inputs that get another value; steps that refer to them are executed again.
            workflow: The workflow to go on with; steps that it changes are executed again.
            limits: What the new run may spend; None for what its workflow says.
            dry: As for `run`, like the others.
            on_event: Called with each event.
            on_text: Called with pieces of answers.
            wait: Stay until what the run waits for is decided.

        Example:
            ```python
            result = await service.fork("last", "draft", workflow=Workflow.load("shorter.yaml"))
            ```

        Raises:
            RunNotFound: There is no such run.
            RecordBroken: What is kept of it was changed by something else than Intendant.
            WorkflowError: The workflow or the inputs are wrong; nothing has run.
            IntendantError: There is no such step, or what the run has done was erased.
            asyncio.CancelledError: The run was cancelled; it has ended and is recorded as cancelled.
        """
        forked = self._beating(on_event, on_text)
        await forked.fork(run, start, inputs=inputs, workflow=workflow, limits=limits, dry=dry)
        return await self._to_the_end(forked, wait=wait)

    async def stream(
        self,
        workflow: Workflow,
        inputs: Mapping[str, Json] | None = None,
        *,
        memory: MemoryContext | None = None,
    ) -> AsyncIterator[Event]:
        """Plan and execute *workflow*, and give each event when it happens; the last one is `Completed`.

        Leaving the loop early cancels the run.

        Example:
            ```python
            async for event in service.stream(workflow):
                print(event.type, event.step_id)
            ```

        Raises:
            WorkflowError: As for `run`.
            IntendantError: As for `run`.
        """
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        task = asyncio.create_task(self.run(workflow, inputs, memory=memory, on_event=queue.put_nowait))
        task.add_done_callback(lambda _task: queue.put_nowait(None))
        try:
            while (event := await queue.get()) is not None:
                yield event
            await task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])

    async def cancel(self, run: str) -> RunResult:
        """End a run, whether a process works on it or not; one that does is refused from then on.

        Args:
            run: Its id, or the beginning of that; `last` for the newest.

        Raises:
            RunNotFound: There is no such run.
            IntendantError: It is completed.
        """
        ended = self.orchestrator()
        await ended.resume(run, take_over=True)
        return await ended.complete(cancelled=True)

    async def pause(self, run: str) -> str:
        """Ask a run to start no other step. Steps that are being executed end, within some seconds of which the
        process hears of it; then the run ends as `waiting`, and `resume` goes on with it. A worker does not.

        Args:
            run: Its id, or the beginning of that; `last` for the newest.

        Returns:
            The run's id.

        Raises:
            RunNotFound: There is no such run.
            IntendantError: It has ended.
        """
        store = self._engine.store
        row = await store.do(runs.find_run(run, self._engine.tenant))
        await store.do(liveness.pause(row.id))
        return row.id

    def hand_over(self) -> None:
        """Let the runs that this service executes start no other step. They end as `waiting` when the steps that
        are being executed have ended, and are due at once for workers of other processes.
        """
        for run in self._running.values():
            run.pause()
            run.handed_over = run.paused

    def _beating(
        self, on_event: Listener | Iterable[Listener], on_text: TextListener | None
    ) -> WorkflowOrchestrator:
        listeners = (on_event,) if callable(on_event) else on_event
        return WorkflowOrchestrator(self._engine, listeners, on_text, beats=True)

    async def rate(
        self, run: str, rating: int, *, step: str | None = None, comment: str = "", by: str | None = None
    ) -> None:
        """Say how good a run or a step was; a part of the record. Of one person the newest rating counts.

        Args:
            run: Its id, or the beginning of that; `last` for the newest.
            rating: From 1, useless, to 5, as wanted.
            step: A step that has ended; None for the whole run.
            comment: Why; it is erased with the run's payloads.
            by: Who rates; the user of the system by default.

        Raises:
            RunNotFound: There is no such run.
            IntendantError: There is no such step, or the rating is none.
        """
        await rate(self._engine, run, rating, step=step, comment=comment, by=by)

    async def signal(
        self, run: str, event: str, payload: Json = None, *, by: str = "", key: str | None = None
    ) -> str:
        """Tell a run that something happened for which a step of it waits, or will: `wait: {event: …}`. The signal
        is stored until such a step takes it, which happens once. Does not go on with the run: `resume` does.

        Args:
            run: Its id, or the beginning of that; `last` for the newest.
            event: What has happened.
            payload: What the step gives as its output: a JSON value.
            by: Who says so; kept with the signal.
            key: The signal's id; one that was sent before under the same key is not stored again.

        Returns:
            The signal's id.

        Raises:
            RunNotFound: There is no such run.
            IntendantError: No step of it waits for this event, it is completed, or the payload is no JSON value.
        """
        sent = await send_signal(self._engine, run, event, payload, by=by, key=key)
        return sent.id

    async def _to_the_end(self, run: WorkflowOrchestrator, *, wait: bool = False) -> RunResult:
        """Execute what is left of a run, and end it."""
        run_id, state = run.run_id, run.state
        self._running[run_id] = state
        try:
            async with beating(state):  # also while it ends, which may take as long as its steps
                return await _ended(run, wait=wait)
        finally:
            del self._running[run_id]

    async def aclose(self) -> None:
        """Give connections back, and commit what is left."""
        await self._engine.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.aclose()


async def _ended(run: WorkflowOrchestrator, *, wait: bool) -> RunResult:
    try:
        await _execute(run, wait=wait)
    except asyncio.CancelledError:
        await run.complete(cancelled=True)
        raise
    except Fenced:
        raise  # another process owns the run now
    except Exception:
        with suppress(StoreError):  # the database may be what failed
            await run.complete(failed=True)
        raise
    return await run.complete()


async def _execute(run: WorkflowOrchestrator, *, wait: bool) -> None:
    seen = await decisions_of(run.frame) if wait else 0
    if not run.is_rolling_back:
        await run_segment(run.frame)
    # Deciding about a call in doubt takes the run over: nothing comes of staying for that.
    while wait and not (run.state.paused or all(outcome.in_doubt for outcome in run.frame.waiting)):
        await until_decided(run.frame, seen)
        await run.reload()
        seen = await decisions_of(run.frame)
        await run_segment(run.frame)
