"""What a running workflow looks like: one state, fed by events, shown as a live table or as plain lines."""

import os
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Any, TextIO

from intendant import events
from intendant.cli.shared import hint_of_failure, money
from intendant.model.placing import is_item
from intendant.model.results import PAUSED, RunResult, RunStatus, StepStatus, Usage
from intendant.record.metrics import REUSED
from intendant.spending.step_budgets import budget_key

if TYPE_CHECKING:
    from rich.table import Table

SHORT = 1.0
"""Seconds from which on it can be said how long the rest of a list takes."""
A_SIGNAL = "a signal: "
"""With this a reason begins why a step waits for one."""
MINUTE, HOUR = 60, 3600
SHOWN = 30
"""Rows of the live table; a longer workflow shows its last ones."""
MARKS = {
    StepStatus.pending: "·",
    StepStatus.running: "▸",
    StepStatus.completed: "✓",
    StepStatus.failed: "✗",
    StepStatus.skipped: "-",
    StepStatus.waiting: "…",
    StepStatus.cancelled: "◦",
}


@dataclass(slots=True)
class Row:
    """One step as it is shown."""

    step: str
    intent: str = ""
    tier: str = ""
    status: StepStatus = StepStatus.pending
    tokens: int = 0
    saved: int = 0
    micro_usd: int = 0
    seconds: float = 0.0
    started: float = 0.0
    note: str = ""
    items: int = 0
    """Of a list."""
    ended: int = 0
    kept: int = 0
    """Items that had ended before this process began."""
    within: dict[str, StepStatus] = field(default_factory=dict)
    """How a step within items or passes ended, by its address."""
    failed: int = 0
    doubtful: dict[str, Usage] = field(default_factory=dict)
    """What calls in doubt are charged with, by call."""

    def settle(self, event: events.TokensSettled) -> None:
        """Count what a call took; what it was charged with before that was known no longer counts."""
        before = self.doubtful.pop(event.call, Usage())
        self.tokens += event.usage.tokens - before.tokens
        self.micro_usd += event.usage.micro_usd - before.micro_usd
        if event.outcome == "in_doubt":
            self.doubtful[event.call] = event.usage

    def cells(self) -> tuple[str, ...]:
        """Step, intent, tier, tokens, saved, cost, time, note."""
        running = self.status is StepStatus.running
        seconds = monotonic() - self.started if running else self.seconds
        return (
            f"{MARKS[self.status]} {self.step}",
            self.intent,
            self.tier or "-",
            str(self.tokens) if self.tokens else "-",
            str(self.saved) if self.saved else "-",
            money(self.micro_usd),
            f"{seconds:.2f} s" if seconds else "-",
            self.note + (self.left(seconds) if running else ""),
        )

    def left(self, seconds: float) -> str:
        """About how long the other items of a list take, and what they cost, if they are as those that ended.

        Args:
            seconds: How long the step has run.
        """
        done = self.ended - self.kept
        if seconds < SHORT or done <= 0 or self.ended >= self.items:
            return ""
        rest = (self.items - self.ended) / done
        cost = f" and {money(round(rest * self.micro_usd))}" if self.micro_usd else ""
        return f", about {_lasting(rest * seconds)}{cost} left"


def _lasting(seconds: float) -> str:
    if seconds < 2 * MINUTE:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / MINUTE)} min" if seconds < 2 * HOUR else f"{round(seconds / HOUR)} h"


class RunView:
    """Follows a run's events."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.run_id = ""
        self.file_changed = ""

    def __call__(self, event: events.Event) -> Row | None:
        """Take an event in; the row of its step, if it has one."""
        self.run_id = event.run_id
        self.file_changed = event.file_changed if isinstance(event, events.Resumed) else self.file_changed
        if not event.step_id:  # of the run, or of what is done after its steps
            return None
        self._within(event, event.step_id)
        key = event.step_id.partition("[")[0]  # what happens within an item shows in the row of its step
        row = self.rows.setdefault(key, Row(key))
        if key != event.step_id and not isinstance(event, _COUNTED):
            return None
        match event:
            case events.IntentClassified():
                row.intent = event.intent or "?"
            case events.Routed() | events.RouteDecided():
                row.tier = event.tier
            case events.StepStarted():
                row.status, row.started = StepStatus.running, monotonic()
            case events.StepRetried():
                row.note = f"attempt {event.attempt} failed: {event.failure.message}"
            case events.TokensSettled() if event.outcome not in REUSED:
                row.settle(event)
            case events.TokenCompressed():
                row.saved += event.saved
            case events.ContentExpanded():
                row.saved -= event.tokens
            case events.StepExecuted():
                row.status, row.seconds = StepStatus.completed, event.seconds
                asked = event.produced_by.startswith("model")
                label = "" if asked else f"{event.produced_by}, no model"
                row.note = "; ".join(filter(None, (label, *event.notes)))
            case events.StepFailed():
                row.status, row.seconds = StepStatus.failed, event.seconds
                row.note = event.failure.message
            case _:
                _of_graph(row, event)
        return row

    def _within(self, event: events.Event, address: str) -> None:
        """Count how steps within items and passes ended, in the rows of these steps."""
        ended: dict[str, StepStatus] = {}
        match event:
            case events.ItemsEnded():
                ended = {item.step: item.status for item in event.items}
            case events.StepExecuted():
                ended = {address: StepStatus.completed}
            case events.StepFailed():
                ended = {address: StepStatus.failed}
            case events.StepSkipped():
                ended = {address: StepStatus.skipped}
        for inner, status in ended.items():
            row = self.rows.get(budget_key(inner)) if "]/" in inner else None
            if row is not None:
                row.within[inner] = status
                row.status, row.note = _together(row.within.values())


def _together(statuses: Collection[StepStatus]) -> tuple[StepStatus, str]:
    """How a step that was executed several times ended, and how often in each way."""
    counts = Counter(statuses)
    worst = (StepStatus.failed, StepStatus.waiting, StepStatus.completed, *counts)
    status = next(status for status in worst if status in counts)
    return status, ", ".join(f"{count} {status.value}" for status, count in counts.items())


_COUNTED = (events.TokensSettled, events.TokenCompressed, events.ContentExpanded, events.StepRetried)
"""Events of items that the row of their step shows."""


def _of_graph(row: Row, event: events.Event) -> None:
    """Take in what happens to items, and to steps that wait or whose failure is handled."""
    match event:
        case events.StepSkipped():
            row.status, row.note = StepStatus.skipped, event.reason
        case events.ItemsStarted():
            row.status, row.started = StepStatus.running, monotonic()
            row.items, row.ended, row.kept, row.failed = event.total, event.kept, event.kept, 0
            row.note = _progress(row)
        case events.ItemsEnded():
            own = [item for item in event.items if is_item(item.step, event.step_id or "")]
            row.ended += len(own)
            row.failed += sum(item.status is StepStatus.failed for item in own)
            row.note = _progress(row)
        case events.LoopPassed():
            row.status, row.note = StepStatus.running, f"pass {event.number} of {event.most} at most"
        case events.TurnStarted():
            row.note = f"turn {event.turn}/{event.turns}"
        case events.ToolCalled() if event.outcome != "done":
            row.note = f"turn {event.turn}: {event.tool} {event.outcome}"
        case events.ToolCalled():
            row.note = f"turn {event.turn}: {event.tool}"
        case events.StepRolledBack():
            row.note = "rolled back" if event.failure is None else f"not rolled back: {event.failure.message}"
        case events.ErrorHandled():
            row.note = f"handled ({event.how}): {event.failure.message}"
        case _ if waits := _waits(event):
            row.status, row.note = StepStatus.waiting, waits


def _waits(event: events.Event) -> str:
    """What a step waits for that begins to wait; empty for other events."""
    match event:
        case events.ApprovalRequested():
            return f"asks: {event.ask}" if event.ask else "asks people"
        case events.StepWaiting():
            return event.reason
        case events.WaitStarted():
            return f"waits until {_clock(event.until)}"
        case events.SignalWanted():
            return f"waits for a signal: {event.event}"
    return ""


def _progress(row: Row) -> str:
    failed = f", {row.failed} failed" if row.failed else ""
    return f"{row.ended}/{row.items}{failed}"


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


COLUMNS = ("step", "intent", "tier", "tokens", "saved", "cost", "time", "")


def live(view: RunView) -> "Callable[[], Table]":
    """Draws the view as a table."""
    from rich.table import Table
    from rich.text import Text

    styles = {StepStatus.failed: "red", StepStatus.skipped: "dim", StepStatus.completed: "green"}

    def draw() -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in COLUMNS:
            numeric = name in ("tokens", "saved", "cost", "time")
            table.add_column(name, justify="right" if numeric else "left", no_wrap=name != "", overflow="fold")
        rows = list(view.rows.values())
        if len(rows) > SHOWN:
            moved = [row for row in rows if row.status is not StepStatus.pending]
            rows = moved[-SHOWN:] or rows[:SHOWN]
        for row in rows:
            mark, *rest = row.cells()
            table.add_row(Text(mark, styles.get(row.status, "")), *(Text(cell) for cell in rest))
        return table

    return draw


_ENDS = (
    events.StepExecuted,
    events.StepFailed,
    events.StepSkipped,
    events.ApprovalRequested,
    events.WaitStarted,
    events.SignalWanted,
    events.StepWaiting,
)


class PlainLines:
    """Writes a line whenever a step ends; for where there is no terminal."""

    def __init__(self, view: RunView, out: TextIO) -> None:
        self._view = view
        self._out = out

    def __call__(self, event: events.Event) -> None:
        """Take an event in."""
        row = self._view(event)
        if row is not None and isinstance(event, _ENDS):
            step, intent, tier, tokens, saved, cost, time, note = row.cells()
            line = f"{step:<24} {intent:<12} {tier:<9} {tokens:>7} {saved:>7} {cost:>9} {time:>9}  {note}"
            try:
                print(line.rstrip(), file=self._out, flush=True)
            except OSError:  # nobody reads any more, or the disk is full: the run goes on
                self._out = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123


def summary(result: RunResult) -> list[str]:
    """A run in a few lines."""
    metrics = result.metrics
    counts = f"{metrics.steps_completed} completed, {metrics.steps_failed} failed, {metrics.steps_skipped} skipped"
    used = f"{metrics.tokens_used} used, {metrics.tokens_saved} saved ({metrics.savings:.0%})"
    if metrics.budget_tokens:
        used += f", {metrics.budget_utilisation:.0%} of {metrics.budget_tokens}"
    mean, compressing = metrics.mean_step_seconds * 1000, metrics.compression_seconds * 1000
    lines = [
        f"{result.status.value}: {counts} in {metrics.seconds:.2f} s  (run {result.run_id})",
        f"tokens: {used}; cost: {money(metrics.micro_usd)}",
        f"time: {mean:.1f} ms a step on average, {compressing:.1f} ms compressing",
    ]
    if result.status is RunStatus.overrun:
        lines.append("overrun: a call took more than was held for it, as its provider reports it")
    for step_id, failure in result.failures.items():
        lines.append(f"error: step '{step_id}': {failure.message}")
        if hint := hint_of_failure(failure):
            lines.append(f"    hint: {hint}")
    if result.failure is not None:
        lines.append(f"error: {result.failure.message}")
        if hint := hint_of_failure(result.failure):
            lines.append(f"    hint: {hint}")
    if kept := [key for key, outcome in result.steps.items() if outcome.is_done and outcome.reason]:
        lines.append(f"taken over: {', '.join(kept)}")
    for address, fault in result.rolled_back.items():
        undone = f"rolled back: step '{address}'"
        lines.append(undone if fault is None else f"error: step '{address}' was not rolled back: {fault.message}")
    lines += [f"handled: step '{key}': {failure.message}" for key, failure in result.handled.items()]
    lines += [f"waiting: step '{key}': {reason}" for key, reason in result.waits.items()]
    if any(result.steps[key].in_doubt for key in result.waits if key in result.steps):
        lines.append(f"    intendant doubts; then: intendant resume {result.run_id}")
    elif result.waits and all(reason.endswith(PAUSED) for reason in result.waits.values()):
        lines.append(f"    intendant resume {result.run_id}")
    elif result.waits:
        lines.append(f"    {_what_next(result)}; then: intendant resume {result.run_id}")
    return lines


def _what_next(result: RunResult) -> str:
    """The command with which what a run waits for is given."""
    wanted = [reason.removeprefix(A_SIGNAL) for reason in result.waits.values() if reason.startswith(A_SIGNAL)]
    if len(wanted) < len(result.waits):
        return f"intendant approvals {result.run_id}"
    return f"intendant signal {result.run_id} {shlex.quote(wanted[0])}"


def listener_for(view: RunView, out: TextIO | None = None) -> Callable[[events.Event], Any]:
    """How the run is shown on *out* where it is no terminal."""
    return PlainLines(view, out or sys.stdout)
