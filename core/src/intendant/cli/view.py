"""What a running workflow looks like: one state, fed by events, shown as a live table or as plain lines."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, TextIO

from intendant import events
from intendant.cli.shared import hint_of_failure, money
from intendant.model.results import RunResult, StepStatus

if TYPE_CHECKING:
    from rich.table import Table

SHOWN = 30
"""Rows of the live table; a longer workflow shows its last ones."""
MARKS = {
    StepStatus.pending: "·",
    StepStatus.running: "▸",
    StepStatus.completed: "✓",
    StepStatus.failed: "✗",
    StepStatus.skipped: "-",
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

    def cells(self) -> tuple[str, ...]:
        """Step, intent, tier, tokens, saved, cost, time, note."""
        seconds = monotonic() - self.started if self.status is StepStatus.running else self.seconds
        return (
            f"{MARKS[self.status]} {self.step}",
            self.intent,
            self.tier or "-",
            str(self.tokens) if self.tokens else "-",
            str(self.saved) if self.saved else "-",
            money(self.micro_usd),
            f"{seconds:.2f} s" if seconds else "-",
            self.note,
        )


class RunView:
    """Follows a run's events."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.run_id = ""

    def __call__(self, event: events.Event) -> Row | None:
        """Take an event in; the row of its step, if it has one."""
        self.run_id = event.run_id
        if event.step_id is None:
            return None
        row = self.rows.setdefault(event.step_id, Row(event.step_id))
        match event:
            case events.IntentClassified():
                row.intent = event.intent or "?"
            case events.Routed():
                row.tier = event.tier
            case events.StepStarted():
                row.status, row.started = StepStatus.running, monotonic()
            case events.StepRetried():
                row.note = f"attempt {event.attempt} failed: {event.failure.message}"
            case events.TokensSettled(outcome="answered" | "in_doubt" | "cut_off"):
                row.tokens += event.usage.tokens
                row.micro_usd += event.usage.micro_usd
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
            case events.StepSkipped():
                row.status, row.note = StepStatus.skipped, event.reason
        return row


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


class PlainLines:
    """Writes a line whenever a step ends; for where there is no terminal."""

    def __init__(self, view: RunView, out: TextIO) -> None:
        self._view = view
        self._out = out

    def __call__(self, event: events.Event) -> None:
        """Take an event in."""
        row = self._view(event)
        if row is not None and isinstance(event, events.StepExecuted | events.StepFailed | events.StepSkipped):
            step, intent, tier, tokens, saved, cost, time, note = row.cells()
            line = f"{step:<24} {intent:<12} {tier:<9} {tokens:>7} {saved:>7} {cost:>9} {time:>9}  {note}"
            try:
                print(line.rstrip(), file=self._out, flush=True)
            except BrokenPipeError:
                self._out = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123  # nobody reads any more; the run goes on


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
    for step_id, failure in result.failures.items():
        lines.append(f"error: step '{step_id}': {failure.message}")
        if hint := hint_of_failure(failure):
            lines.append(f"    hint: {hint}")
    return lines


def listener_for(view: RunView, out: TextIO | None = None) -> Callable[[events.Event], Any]:
    """How the run is shown on *out* where it is no terminal."""
    return PlainLines(view, out or sys.stdout)
