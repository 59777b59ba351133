"""Steps that wait for people or for a time. What waits is a row; no process stays for it."""

import json
from asyncio import sleep
from collections.abc import Callable
from datetime import datetime
from time import time
from typing import TYPE_CHECKING, Any, NamedTuple

from intendant import events
from intendant.config.secrets import UsedSecrets
from intendant.model.errors import StepError
from intendant.model.graph_keys import Approve, seconds_of, time_of
from intendant.model.results import Failure, StepOutcome, StepStatus
from intendant.model.workflow import Json, Step
from intendant.pilot.awaiting import WAIT
from intendant.pilot.execution import output_text
from intendant.pilot.frames import APPROVAL, Frame
from intendant.pilot.resolving import resolve, resolve_parameters
from intendant.record.journal import Journal, StepLog
from intendant.record.rows import ApprovalRow, DecisionRow
from intendant.text.hashing import digest_of

if TYPE_CHECKING:
    from intendant.record.store.statements import Work

IN_PROCESS_SECONDS = 10.0
"""A wait that ends within this is slept through: to go on with a run takes longer."""
LOOK_SECONDS = 0.5
"""How often a process that stays looks for decisions."""
MOST_SHOWN = 50_000
"""Characters of what people are shown that are kept with the question."""


class Answer(NamedTuple):
    """What people said of a step."""

    outcome: StepOutcome | None = None
    """How the step ended, or that it waits; None if it may go on."""
    decision: Json = None
    """Who decided what, as an output."""


# --- time ---


async def let_time_pass(frame: Frame, step: Step) -> StepOutcome | None:
    """None once the time of the step's `wait` is over; else that it waits.

    Raises:
        StepError: The time is none.
    """
    from intendant.record.journal import row_of
    from intendant.record.store import runs

    address = f"{frame.address}{step.id}"
    begun = frame.run.kept.get(f"{address}{WAIT}")
    if begun is not None and begun.due is not None and begun.input_sha256 == frame.recorder.digest:
        due = begun.due
    else:
        due = _due(frame, step)
        if due - frame.run.journal.store.now() > IN_PROCESS_SECONDS:
            kept = StepOutcome(
                step_id=f"{address}{WAIT}",
                name=step.title,
                status=StepStatus.waiting,
                due=due,
                input_sha256=frame.recorder.digest,
            )
            journal = frame.run.journal
            work = runs.save_step(journal.fence, row_of(kept, None, time()))
            await journal.commit(work, journal.step(address).event(events.WaitStarted, until=due))
            frame.run.kept[kept.step_id] = kept
    if (left := due - frame.run.journal.store.now()) > IN_PROCESS_SECONDS:
        return frame.wait(step.id, f"until {_shown_time(due)}", due)
    if left > 0:
        await sleep(left)
    return None


def _due(frame: Frame, step: Step) -> float:
    if step.wait is None:
        return 0.0
    scope = frame.scope(step)
    try:
        if step.wait.until is not None:
            return time_of(resolve(step.wait.until, scope))
        return frame.run.journal.store.now() + seconds_of(resolve(step.wait.for_, scope))
    except ValueError as error:
        raise StepError(f"`wait`: {error}") from None


def _shown_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat(sep=" ", timespec="seconds")


# --- people ---


class Verdict(NamedTuple):
    """What people said of a question so far."""

    verdict: str | None
    """`approved`, `denied` or `skipped`; None while it is open."""
    row: ApprovalRow
    by: tuple[str, ...] = ()
    note: str = ""
    new: bool = False
    """True if they were asked just now."""

    @property
    def refusal(self) -> str:
        """Why something is not done, in words."""
        who = f"{', '.join(self.by)} denied it" if self.by else "nobody approved it in time"
        return f"{who}: {self.note}" if self.note else who


class Question(NamedTuple):
    """What people are asked."""

    address: str
    """Under which it is decided."""
    approve: Approve
    ask: str
    shown: dict[str, Json]
    step: str
    """The address of the step that asks."""


async def verdict_about(
    journal: Journal, question: Question, also: Callable[[ApprovalRow], "Work[None]"] | None = None
) -> Verdict:
    """What people say of a question; they are asked where they were not, or where something else was shown.

    Args:
        journal: The run's journal.
        question: The question.
        also: What is done in the commit in which they are asked.
    """
    from intendant.record.store import approvals

    address, log = question.address, journal.step(question.step)
    found = await journal.store.do(approvals.find(journal.run_id, address), journal.fence)
    now = journal.store.now()
    question, digest = _asked_now(journal.run_id, question, found, now)
    if found is None or found[0].input_sha256 != digest:
        row = _row(journal.run_id, question, _cut(question.shown, output_text(question.shown)), digest, now)
        asking, more = approvals.ask(row), None if also is None else also(row)

        def work(connection: Any) -> None:
            asking(connection)
            if more is not None:
                more(connection)

        await journal.commit(work, _asked(log, row, question.approve))
        return Verdict(None, row, new=True)
    row, decisions = found
    verdict = row.verdict or verdict_of(row, decisions, now)
    by = tuple(item.decided_by for item in decisions)
    note = "; ".join(item.note for item in decisions if item.note)
    if verdict is not None and row.verdict is None:
        said = log.event(events.ApprovalDecided, verdict=verdict, by=by, note=note)
        await journal.commit(approvals.close(journal.fence, address, verdict), said)
    return Verdict(verdict, row, by, note)


def _asked_now(
    run_id: str, question: Question, found: tuple[ApprovalRow, list[DecisionRow]] | None, now: float
) -> tuple[Question, str]:
    """The question as it is put now, and the digest of it: others are asked when the time of the first is over."""
    text = output_text(question.shown)
    levels = question.approve.levels
    puts = [question._replace(approve=level) for level in levels]
    known = [digest_of(f"{run_id}\n{question.ask}\n{text}" + "\nnext" * number) for number in range(len(puts))]
    if found is None or found[0].input_sha256 not in known:
        return puts[0], known[0]
    row, decisions = found
    at = known.index(row.input_sha256)
    over = row.verdict is None and row.expires_at is not None and row.expires_at <= now
    if over and at + 1 < len(puts) and verdict_of(row, decisions, 0.0) is None:
        at += 1
    return puts[at], known[at]


async def ask_people(frame: Frame, step: Step) -> Answer:
    """What people say of a step: that it may go on, that it ended without being executed, or nothing yet."""
    from intendant.record.journal import row_of
    from intendant.record.store import runs

    approve = step.approve or Approve()
    address, journal = f"{frame.address}{step.id}", frame.run.journal
    shown = what_is_shown(frame, step)
    ask = str(resolve(approve.ask, frame.scope(step))) or f"May step '{step.title}' go on?"

    def waits(row: ApprovalRow) -> "Work[None]":
        outcome = frame.wait(step.id, reason_of(row), row.expires_at)
        return runs.save_step(journal.fence, row_of(outcome, None, row.asked_at))

    said = await verdict_about(journal, Question(address, approve, ask, shown, address), waits)
    if said.verdict is None:
        return Answer(frame.wait(step.id, reason_of(said.row), said.row.expires_at))
    return _answer(frame, step, said)


def _answer(frame: Frame, step: Step, said: Verdict) -> Answer:
    decision = {"approved": said.verdict == "approved", "by": list(said.by), "note": said.note}
    _keep(frame, step, decision)
    if said.verdict == "approved":
        return Answer(None, decision)
    if said.verdict == "skipped":
        return Answer(frame.skip(step.id, "nobody approved it in time"), decision)
    failure = Failure(error="ApprovalDenied", message=said.refusal, code="approval_denied")
    return Answer(frame.fail(step.id, failure), decision)


def _keep(frame: Frame, step: Step, decision: Json) -> None:
    """Keep what was decided, for later steps and for a process that goes on with the run."""
    from intendant.record.journal import row_of
    from intendant.record.store import runs

    key = f"{frame.address}{step.id}{APPROVAL}"
    before = frame.run.kept.get(key)
    if before is not None and before.output == decision:
        return
    status = StepStatus.completed
    kept = StepOutcome(
        step_id=key, name=step.title, status=status, output=decision, input_sha256=frame.recorder.digest
    )
    journal = frame.run.journal
    journal.commit_later(runs.save_step(journal.fence, row_of(kept, output_text(decision), time())))
    frame.run.kept[key] = kept


def verdict_of(row: ApprovalRow, decisions: list[DecisionRow], now: float) -> str | None:
    """What decisions come to: `approved`, `denied` or `skipped`; None while it is open."""
    said = [item.verdict for item in decisions]
    if said.count("denied") >= (row.denials or 1):
        return "denied"
    if said.count("approved") >= row.need:
        return "approved"
    if row.expires_at is None or now < row.expires_at:
        return None
    return {"approve": "approved", "skip": "skipped"}.get(row.otherwise, "denied")


def _row(run_id: str, question: Question, shown: str, digest: str, now: float) -> ApprovalRow:
    approve = question.approve
    return ApprovalRow(
        run_id=run_id,
        step_key=question.address,
        ask=question.ask,
        deciders=json.dumps(list(approve.by)),
        need=approve.wanted,
        otherwise=_otherwise(approve),
        shown=shown,
        input_sha256=digest,
        asked_at=now,
        expires_at=None if approve.within is None else now + approve.within,
        denials=approve.denials,
    )


def _otherwise(approve: Approve) -> str:
    return "ask" if isinstance(approve.otherwise, Approve) else approve.otherwise


def _asked(log: StepLog, row: ApprovalRow, approve: Approve) -> events.ApprovalRequested:
    return log.event(
        events.ApprovalRequested,
        ask=row.ask,
        by=approve.by,
        need=approve.wanted,
        expires_at=row.expires_at,
        otherwise=_otherwise(approve),
    )


def reason_of(row: ApprovalRow) -> str:
    """What a step waits for that has asked people."""
    by = json.loads(row.deciders)
    who = f"approval by {', '.join(by)}" if by else "approval"
    until = "" if row.expires_at is None else f", until {_shown_time(row.expires_at)}"
    return f"{who}: {row.ask}{until}"


def what_is_shown(frame: Frame, step: Step) -> dict[str, Json]:
    """What people are shown: what the step would work on and send, and what it may cost.

    Raises:
        ReferenceFailed: A reference of the step names something that is not there.
    """
    scope = frame.scope(step) | {"secrets": UsedSecrets(None)}
    shown: dict[str, Json] = {"step": step.title}
    if step.uses is not None:
        shown["uses"] = step.uses
    if step.is_map:
        items = resolve(step.for_each, scope)
        shown |= {"items": items, "count": len(items) if isinstance(items, list) else None}
        shown |= {name: value for name, value in (("with", step.with_), ("prompt", step.prompt)) if value}
    else:
        for name, value in (("with", step.with_), ("prompt", step.prompt), ("input", step.input)):
            if value not in (None, {}):
                is_operation = name == "with" and step.uses is not None
                shown[name] = resolve_parameters(step.with_, scope) if is_operation else resolve(value, scope)
    if step.flow is not None:
        shown["flow"] = step.flow.file
    elif step.is_composite:
        shown["steps"] = [inner.title for name, body, _ in step.bodies() if not name for inner in body]
    return {**shown, "cost": _cost(frame, step)}


def _cost(frame: Frame, step: Step) -> dict[str, Json]:
    """The most that the step, and what is within it, may take."""
    key = frame.plan_of(step.id).step_id
    plans = [plan for plan in frame.run.plan.steps if plan.step_id == key or plan.step_id.startswith(f"{key}/")]
    tokens = [plan.max_tokens for plan in plans]
    micro = [plan.max_micro_usd for plan in plans if plan.needs_model]
    known = sum(amount or 0 for amount in micro)
    most = frame.run.plan.budget_micro_usd
    return {
        "tokens_at_most": min(sum(tokens), frame.run.plan.max_tokens),
        "micro_usd_at_most": most if None in micro else known if most is None else min(known, most),
    }


def _cut(shown: dict[str, Json], text: str) -> str:
    """What is kept of what people are shown."""
    if len(text) <= MOST_SHOWN:
        return text
    cut = {"step": shown["step"], "cost": shown["cost"], "preview": text[:MOST_SHOWN]}
    return output_text({**cut, "characters": len(text)})


async def decisions_of(frame: Frame) -> int:
    """How many decisions about steps of the run, and signals for them, there are."""
    from intendant.record.store import approvals, sent_signals

    journal = frame.run.journal
    decided = await journal.store.do(approvals.count(journal.run_id), journal.fence)
    return decided + await journal.store.do(sent_signals.count(journal.run_id), journal.fence)


async def until_decided(frame: Frame, seen: int) -> None:
    """Wait until there are more decisions and signals than *seen*, or the first time waited for has come."""
    due = [outcome.due for outcome in frame.waiting if outcome.due is not None]
    first = min(due) if due else None
    while await decisions_of(frame) == seen and not frame.run.paused:
        left = LOOK_SECONDS if first is None else first - frame.run.journal.store.now()
        if left <= 0:
            return
        await sleep(min(LOOK_SECONDS, left))
