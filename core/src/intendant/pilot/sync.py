"""The service for code without an event loop: one loop in its own thread, which several threads may call."""

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from intendant.config.secrets import SecretSource
from intendant.config.settings import Settings
from intendant.events import Event
from intendant.hooks.bases import Plugin
from intendant.model.errors import IntendantError
from intendant.model.requests import MemoryContext
from intendant.model.results import Metrics, RunResult, StepOutcome
from intendant.model.workflow import Json, Limits, Workflow
from intendant.pilot.orchestrator import UNSET, WorkflowOrchestrator
from intendant.pilot.service import Listener, OrchestrationService, TextListener
from intendant.pilot.steering import Steering
from intendant.pilot.sync_memory import SyncAgentMemory
from intendant.pilot.vocabulary import Vocabulary
from intendant.planning.decided import Plan

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from intendant.record.rows import RunRow
    from intendant.record.store.runs import Listed

ResultT = TypeVar("ResultT")


class LoopThread:
    """An event loop in a thread of its own. It starts with the first call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._process = 0

    def call(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Run a coroutine in the loop and wait for its result; may be called from any thread but the loop's.

        A KeyboardInterrupt cancels the coroutine, and is raised when the coroutine has ended.

        Raises:
            IntendantError: An event loop is running in the calling thread, or the process was forked.
        """
        with suppress(RuntimeError):
            asyncio.get_running_loop()
            work.close()
            raise IntendantError(
                "an event loop is running in this thread", hint="use OrchestrationService, and await its methods"
            )
        try:
            loop = self._started()
        except IntendantError:
            work.close()
            raise
        job = _Job(work, loop)
        try:
            # The interrupt may come at any instruction, also before this returns.
            return asyncio.run_coroutine_threadsafe(job.run(), loop).result()
        except KeyboardInterrupt:
            job.stop()
            raise

    def run(self, function: Callable[[], ResultT]) -> ResultT:
        """Call a plain function in the loop's thread, so that it does not race with the coroutines there."""

        async def called() -> ResultT:
            return function()

        return self.call(called())

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is not None:
                if self._process != os.getpid():
                    raise IntendantError(
                        "the process was forked after the service was used",
                        hint="make the service in the child process",
                    )
                return self._loop
            self._process = os.getpid()
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="intendant-loop", daemon=True)
            self._thread.start()
            return self._loop

    def close(self) -> None:
        """Stop the loop and its thread; the next call starts new ones."""
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is None or thread is None:
            return
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


class _Job(Generic[ResultT]):
    """A coroutine that runs in the loop's thread, and that another thread may stop."""

    def __init__(self, work: Coroutine[Any, Any, ResultT], loop: asyncio.AbstractEventLoop) -> None:
        self._work = work
        self._loop = loop
        self._lock = threading.Lock()
        self._task: asyncio.Task[Any] | None = None
        self._stopped = False
        self._ended = threading.Event()

    async def run(self) -> ResultT:
        with self._lock:
            if self._stopped:
                self._work.close()
                raise asyncio.CancelledError
            self._task = asyncio.current_task()
        try:
            return await self._work
        finally:
            self._ended.set()

    def stop(self) -> None:
        """Cancel the coroutine and wait until it has ended; one that has not started never does."""
        with self._lock:
            self._stopped = True
            task = self._task
        if task is not None:
            self._loop.call_soon_threadsafe(task.cancel)
            self._ended.wait()


class SyncOrchestrationService:
    """`OrchestrationService` for code without an event loop. Several threads may use one service.

    Listeners are called in the service's own thread.

    Example:
        ```python
        with SyncOrchestrationService(db="sqlite:///runs.db") as service:
            result = service.run(Workflow.load("flow.yaml"), {"folder": "mails"})
        ```

    Args:
        settings: See `OrchestrationService`, as for the others.
        plugins: Plugins handed over.
        discover: Use installed plugins.
        db: Database URL.
        secrets: Finds secrets by name.
        executor: Where large texts are compressed.
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
        self._service = OrchestrationService(settings, plugins=plugins, **how)
        self._thread = LoopThread()

    @property
    def settings(self) -> Settings:
        """See `OrchestrationService.settings`."""
        return self._service.settings

    @property
    def steering(self) -> "SyncSteering":
        """See `OrchestrationService.steering`."""
        return SyncSteering(self._service.steering, self._thread)

    @property
    def vocabulary(self) -> Vocabulary:
        """See `OrchestrationService.vocabulary`."""
        return self._service.vocabulary

    def flag_is_on(self, name: str, *, agent: str, user: str | None = None) -> bool:
        """See `OrchestrationService.flag_is_on`."""
        return self._service.flag_is_on(name, agent=agent, user=user)

    def operations(self, name: str, *arguments: Any, **options: Any) -> Any:
        """Call a method of `OrchestrationService.operations`, such as `operations("prometheus")`."""
        return self._thread.call(getattr(self._service.operations, name)(*arguments, **options))

    def load(self, path: str | Path, inputs: Mapping[str, Json] | None = None) -> Workflow:
        """See `OrchestrationService.load`."""
        return self._service.load(path, inputs)

    def plan(
        self, workflow: Workflow, inputs: Mapping[str, Json] | None = None, *, ask_model: bool = False
    ) -> Plan:
        """See `OrchestrationService.plan`."""
        return self._thread.call(self._service.plan(workflow, inputs, ask_model=ask_model))

    def run(
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
        """See `OrchestrationService.run`."""
        return self._thread.call(
            self._service.run(
                workflow,
                inputs,
                memory=memory,
                dry=dry,
                key=key,
                user=user,
                on_event=on_event,
                on_text=on_text,
                wait=wait,
            )
        )

    def resume(
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
        """See `OrchestrationService.resume`."""
        return self._thread.call(
            self._service.resume(
                run,
                take_over=take_over,
                limits=limits,
                workflow=workflow,
                on_event=on_event,
                on_text=on_text,
                wait=wait,
            )
        )

    def fork(
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
        """See `OrchestrationService.fork`."""
        return self._thread.call(
            self._service.fork(
                run,
                start,
                inputs=inputs,
                workflow=workflow,
                limits=limits,
                dry=dry,
                on_event=on_event,
                on_text=on_text,
                wait=wait,
            )
        )

    def runs(
        self, limit: int = 20, *, status: str | None = None, agent: str | None = None, workflow: str | None = None
    ) -> "list[Listed]":
        """See `OrchestrationService.runs`."""
        return self._thread.call(self._service.runs(limit, status=status, agent=agent, workflow=workflow))

    def get(self, run: str) -> "RunRow":
        """See `OrchestrationService.get`."""
        return self._thread.call(self._service.get(run))

    def events(self, run: str) -> list[Event]:
        """See `OrchestrationService.events`."""
        return self._thread.call(self._service.events(run))

    def submit(
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
        """See `OrchestrationService.submit`."""
        about: dict[str, Any] = {"memory": memory, "key": key, "user": user}
        submitted = self._service.submit(workflow, inputs, **about, priority=priority, not_before=not_before)
        return self._thread.call(submitted)

    def pause(self, run: str) -> str:
        """See `OrchestrationService.pause`."""
        return self._thread.call(self._service.pause(run))

    def cancel(self, run: str) -> RunResult:
        """See `OrchestrationService.cancel`."""
        return self._thread.call(self._service.cancel(run))

    def rate(
        self, run: str, rating: int, *, step: str | None = None, comment: str = "", by: str | None = None
    ) -> None:
        """See `OrchestrationService.rate`."""
        self._thread.call(self._service.rate(run, rating, step=step, comment=comment, by=by))

    def memory(self, agent: str) -> SyncAgentMemory:
        """See `OrchestrationService.memory`."""
        return SyncAgentMemory(self._service.memory(agent), self._thread)

    def signal(self, run: str, event: str, payload: Json = None, *, by: str = "", key: str | None = None) -> str:
        """See `OrchestrationService.signal`."""
        return self._thread.call(self._service.signal(run, event, payload, by=by, key=key))

    def orchestrator(
        self, on_event: Listener | Iterable[Listener] = (), on_text: TextListener | None = None
    ) -> "SyncOrchestrator":
        """See `OrchestrationService.orchestrator`."""
        return SyncOrchestrator(self._service.orchestrator(on_event, on_text), self._thread)

    def close(self) -> None:
        """Give connections back, and commit what is left."""
        self._thread.call(self._service.aclose())
        self._thread.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


class SyncSteering:
    """`Steering` for code without an event loop."""

    def __init__(self, steering: Steering, thread: LoopThread) -> None:
        self._steering = steering
        self._thread = thread

    def change(self, values: Mapping[str, Any], *, by: str, note: str = "", expected: int | None = None) -> int:
        """See `Steering.change`."""
        return self._thread.call(self._steering.change(values, by=by, note=note, expected=expected))

    def roll_back(self, version: int, *, by: str, note: str = "") -> int:
        """See `Steering.roll_back`."""
        return self._thread.call(self._steering.roll_back(version, by=by, note=note))

    def refresh(self) -> Settings:
        """See `Steering.refresh`; looks in any case."""
        return self._thread.call(self._steering.refresh(now=True))


class SyncOrchestrator:
    """`WorkflowOrchestrator` for code without an event loop; every method is the same."""

    def __init__(self, run: WorkflowOrchestrator, thread: LoopThread) -> None:
        self._run = run
        self._thread = thread

    @property
    def run_id(self) -> str:
        """See `WorkflowOrchestrator.run_id`."""
        return self._run.run_id

    @property
    def plan(self) -> Plan:
        """See `WorkflowOrchestrator.plan`."""
        return self._run.plan

    @property
    def outcomes(self) -> Mapping[str, StepOutcome]:
        """See `WorkflowOrchestrator.outcomes`."""
        return self._run.outcomes

    def is_active(self) -> bool:
        """See `WorkflowOrchestrator.is_active`."""
        return self._run.is_active()

    def metadata(self) -> Metrics:
        """See `WorkflowOrchestrator.metadata`."""
        return self._run.metadata()

    def initialize(
        self,
        workflow: Workflow,
        inputs: Mapping[str, Json] | None = None,
        memory: MemoryContext | None = None,
        *,
        dry: bool = False,
        key: str | None = None,
        user: str | None = None,
    ) -> bool:
        """See `WorkflowOrchestrator.initialize`."""
        return self._thread.call(self._run.initialize(workflow, inputs, memory, dry=dry, key=key, user=user))

    def resume(
        self,
        run: str,
        *,
        take_over: bool = False,
        limits: Limits | None = None,
        workflow: Workflow | None = None,
    ) -> None:
        """See `WorkflowOrchestrator.resume`."""
        self._thread.call(self._run.resume(run, take_over=take_over, limits=limits, workflow=workflow))

    def execute_step(
        self, step_id: str, *, input: Json = UNSET, prompt: Json = UNSET, with_: Json = UNSET
    ) -> StepOutcome | None:
        """See `WorkflowOrchestrator.execute_step`."""
        return self._thread.call(self._run.execute_step(step_id, input=input, prompt=prompt, with_=with_))

    def should_run(self, step_id: str) -> bool:
        """See `WorkflowOrchestrator.should_run`."""
        return self._thread.run(lambda: self._run.should_run(step_id))

    def skip(self, step_id: str, reason: str) -> None:
        """See `WorkflowOrchestrator.skip`."""
        self._thread.run(lambda: self._run.skip(step_id, reason))

    def fail(self, step_id: str, error: IntendantError) -> None:
        """See `WorkflowOrchestrator.fail`."""
        self._thread.run(lambda: self._run.fail(step_id, error))

    def record(self, step_id: str, output: Json, *, notes: Sequence[str] = ()) -> StepOutcome:
        """See `WorkflowOrchestrator.record`."""
        return self._thread.run(lambda: self._run.record(step_id, output, notes=notes))

    def complete(self, *, cancelled: bool = False, failed: bool = False) -> RunResult:
        """See `WorkflowOrchestrator.complete`."""
        return self._thread.call(self._run.complete(cancelled=cancelled, failed=failed))

    def reset(self) -> None:
        """See `WorkflowOrchestrator.reset`."""
        self._thread.call(self._run.reset())


def run(
    workflow: Workflow | str | Path,
    inputs: Mapping[str, Json] | None = None,
    *,
    settings: Settings | Mapping[str, Any] | None = None,
    db: str | None = None,
    memory: MemoryContext | None = None,
    on_event: Listener | Iterable[Listener] = (),
    on_text: TextListener | None = None,
) -> RunResult:
    """Run a workflow, from a script.

    Args:
        workflow: The workflow, or the path of its file.
        inputs: Values for its inputs.
        settings: Settings that differ from the usual sources.
        db: Where the run is kept: a database URL, or `none`.
        memory: What is known before the run.
        on_event: Called with each event.
        on_text: Called with a step's id and the next piece of a model's answer.

    Raises:
        WorkflowError: The workflow or its inputs are wrong; nothing has run.

    Example:
        ```python
        result = intendant.run("flow.yaml", {"folder": "mails"})
        print(result.outputs["report"])
        ```
    """
    flow = workflow if isinstance(workflow, Workflow) else Workflow.load(workflow)
    with SyncOrchestrationService(settings, db=db) as service:
        return service.run(flow, inputs, memory=memory, on_event=on_event, on_text=on_text)
