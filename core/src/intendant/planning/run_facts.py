"""What a run was like, as a fold over its plan and its journal: the same live and from the record."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from intendant import events
from intendant.model.results import RunStatus, Usage
from intendant.model.workflow import Workflow
from intendant.planning.decided import Plan
from intendant.planning.intensity import Design, Observation
from intendant.record.metrics import REUSED
from intendant.spending.step_budgets import budget_key

CHARGED = ("answered", "in_doubt", "cut_off")
"""Outcomes of calls that took tokens."""


def design_of(workflow: Workflow) -> Design:
    """What a workflow is made of: its steps with those inside others, distinct connectors, inputs and returns."""
    connectors = {name for placed in workflow.placed for name in _connectors(placed.step)}
    fields = len(workflow.inputs) + len(workflow.returns or {})
    return Design(len(workflow.placed), len(connectors), fields)


def _connectors(step: Any) -> list[str]:
    used = [step.uses, *(tool.uses for tool in step.tools)]
    return [name.partition(".")[0] for name in used if name]


class ObservationFold:
    """Adds events up to an `Observation`; the result is the same whether it is fed live or from the store.

    Args:
        plan: The run's plan.
        earlier: The run's events so far, if it is resumed.
    """

    def __init__(self, plan: Plan, earlier: Iterable[events.Event] = ()) -> None:
        self._plan = plan
        workflow = plan.workflow
        self._uses = {key: step.uses.partition(".")[0] for key, step in _steps(workflow).items() if step.uses}
        self._planned = {step.step_id: _models(step) for step in plan.steps}
        self._sums: Counter[str] = Counter()
        self._seconds = 0.0
        self._milliseconds = 0.0
        self._status: RunStatus | None = None
        self._ran: set[str] = set()
        self._connectors: set[str] = set()
        self._asked: Counter[str] = Counter()
        self._doubtful: dict[str, Usage] = {}
        self._beyond: set[str] = set()
        self._rough: set[str] = set()
        self._memory: events.MemoryRecalled | None = None
        for event in earlier:
            self.add(event)

    def add(self, event: events.Event) -> None:
        """Count *event* in."""
        fold = self._FOLDS.get(type(event))
        if fold is not None:
            fold(self, event)

    def result(self) -> Observation:
        """The run so far."""
        asking = {budget_key(address) for address in self._asked}
        memory = self._memory
        return Observation(
            succeeded=self._status is RunStatus.completed,
            seconds=self._seconds,
            input_tokens=self._sums["input"],
            output_tokens=self._sums["output"],
            calls=self._sums["calls"],
            executions=len(self._asked),
            asking=len(asking),
            retries=self._sums["retries"],
            distinct=len(self._connectors),
            uses=self._sums["uses"],
            overhead_ms=self._milliseconds,
            steps=len(self._ran),
            branches=sum(1 for step in _steps(self._plan.workflow).values() if step.branches or step.when),
            items=self._sums["items"],
            parallel=_widest({step.step_id: step.needs for step in self._plan.steps}),
            remembers=memory is not None,
            memory_tokens=0 if memory is None else self._told(memory.tokens),
            memory_kinds=0 if memory is None else len(memory.kinds),
            memory_entries=0 if memory is None else memory.entries,
            saved_tokens=self._sums["saved"],
            beyond=len(self._beyond & asking),
            smooth=len(asking - self._rough),
            design=design_of(self._plan.workflow),
        )

    def _told(self, tokens: int) -> int:
        """Tokens of memory in all calls: at most what the plan keeps for it in each."""
        lines = {step.step_id: step.memory_tokens for step in self._plan.steps}
        told = sum(min(tokens, lines.get(budget_key(key), 0)) * count for key, count in self._asked.items())
        return min(told, self._sums["input"])

    def _initialized(self, event: events.Initialized) -> None:
        self._sums["input"] += event.planning_tokens

    def _recalled(self, event: events.MemoryRecalled) -> None:
        self._memory = event

    def _executed(self, event: events.StepExecuted) -> None:
        self._step_ended(event.step_id or "", event.seconds)

    def _failed(self, event: events.StepFailed) -> None:
        self._step_ended(event.step_id or "", event.seconds)
        self._rough.add(budget_key(event.step_id or ""))

    def _items_ended(self, event: events.ItemsEnded) -> None:
        for item in event.items:
            self._step_ended(item.step, item.seconds)
            self._sums["retries"] += max(0, item.attempts - 1)
            if item.attempts > 1 or item.code:
                self._rough.add(budget_key(item.step))

    def _step_ended(self, address: str, seconds: float) -> None:
        key = budget_key(address)
        self._ran.add(key)
        connector = self._uses.get(key)
        if connector is not None:
            self._used(connector, 0.0 if address in self._asked else seconds)

    def _tool(self, event: events.ToolCalled) -> None:
        if event.operation and event.outcome in ("done", "failed"):
            self._used(event.operation.partition(".")[0], event.seconds)

    def _used(self, connector: str, seconds: float) -> None:
        self._connectors.add(connector)
        self._sums["uses"] += 1
        self._milliseconds += 1000 * seconds

    def _retried(self, event: events.StepRetried) -> None:
        self._sums["retries"] += 1
        self._rough.add(budget_key(event.step_id or ""))

    def _items(self, event: events.ItemsStarted) -> None:
        self._sums["items"] += event.total - event.kept

    def _degraded(self, event: events.CallDegraded) -> None:
        self._rough.add(budget_key(event.step_id or ""))

    def _went_beyond(self, event: events.OverageDrawn | events.BudgetExceededEvent) -> None:
        self._beyond.add(budget_key(event.step_id or ""))

    def _settled(self, event: events.TokensSettled) -> None:
        if event.is_use:
            return
        address = event.step_id or ""
        self._asked[address] += 1
        if event.outcome in REUSED:
            self._sums["saved"] += event.usage.tokens if event.outcome == "cached" else 0
        elif (charged := self._doubtful.pop(event.call, None)) is not None:  # what it took is known now
            self._charge(charged, -1)
        if event.outcome == "in_doubt":
            self._doubtful[event.call] = event.usage
        if event.outcome in CHARGED:
            self._charge(event.usage, 1)
        planned = self._planned.get(budget_key(address), frozenset())
        if event.outcome not in ("answered", *REUSED) or (planned and _model(event) not in planned):
            self._rough.add(budget_key(address))

    def _charge(self, usage: Usage, sign: int) -> None:
        self._sums["input"] += sign * usage.input_tokens
        self._sums["output"] += sign * usage.output_tokens
        self._sums["calls"] += sign

    def _compressed(self, event: events.TokenCompressed) -> None:
        self._sums["saved"] += event.saved

    def _expanded(self, event: events.ContentExpanded) -> None:
        self._sums["saved"] -= event.tokens

    def _suspended(self, event: events.Suspended) -> None:
        self._seconds += event.seconds

    def _completed(self, event: events.Completed) -> None:
        self._seconds += event.seconds
        self._status = event.status

    _FOLDS: ClassVar[dict[type[events.Event], Callable[["ObservationFold", Any], None]]] = {
        events.Initialized: _initialized,
        events.MemoryRecalled: _recalled,
        events.StepExecuted: _executed,
        events.StepFailed: _failed,
        events.ItemsStarted: _items,
        events.ItemsEnded: _items_ended,
        events.ToolCalled: _tool,
        events.StepRetried: _retried,
        events.CallDegraded: _degraded,
        events.OverageDrawn: _went_beyond,
        events.BudgetExceededEvent: _went_beyond,
        events.TokensSettled: _settled,
        events.TokenCompressed: _compressed,
        events.ContentExpanded: _expanded,
        events.Suspended: _suspended,
        events.Completed: _completed,
    }


def _steps(workflow: Workflow) -> dict[str, Any]:
    return {placed.key: placed.step for placed in workflow.placed}


def _models(step: Any) -> frozenset[tuple[str, str]]:
    """The models that a step was planned with."""
    return frozenset((route.provider, route.model) for route in (step.route, step.rewriting) if route is not None)


def _model(event: events.TokensSettled) -> tuple[str, str]:
    return event.provider, event.model


def _widest(needs: Mapping[str, tuple[str, ...]]) -> int:
    """How many steps could run at the same time: the most that are equally deep in the graph of the whole."""
    outer = {key: [need for need in wanted if "/" not in need] for key, wanted in needs.items() if "/" not in key}
    left = {key: len(wanted) for key, wanted in outer.items()}
    dependants: dict[str, list[str]] = {key: [] for key in outer}
    for key, wanted in outer.items():
        for need in wanted:
            dependants[need].append(key)
    level, widest = [key for key, count in left.items() if not count], 0
    while level:
        widest, ready = max(widest, len(level)), []
        for key in (dependant for done in level for dependant in dependants[done]):
            left[key] -= 1
            if not left[key]:
                ready.append(key)
        level = ready
    return widest
