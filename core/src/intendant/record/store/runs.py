"""Runs, their steps and their journals: work functions for `Store.do`."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from time import time
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, case, desc, func, literal, null, select, update  # noqa: TID253

from intendant.model.errors import RunActive, RunExists, RunNotFound
from intendant.record.packing import packed, unpacked
from intendant.record.rows import Claimed, EventRow, Fence, RunRow, StepRow
from intendant.record.store import budgets
from intendant.record.store.chain import head_of
from intendant.record.store.digests import EVERYTHING, NONE, RUN, STEP, new_salt
from intendant.record.store.session import Insert, buffered, session_of
from intendant.record.store.statements import Statement, Work, columns, json_text
from intendant.record.store.tables import budget, event, run, step
from intendant.record.store.writer import fenced

_RUN = select(*columns(run, RunRow))
_OPENED = (*RunRow._fields, "salt")
_OPEN = Insert(run, _OPENED)


_ENDED = {"status": "new_status", "finished_at": "at", "events": "count", "last_hash": "last"}


def _finish(**more: Any) -> Statement:
    values: dict[str, Any] = {column: bindparam(name) for column, name in _ENDED.items()}
    own = (run.c.id == bindparam("of"), run.c.epoch == bindparam("own"))
    return Statement(update(run).where(*own).values(**values, lease_until=null(), **more))


_FINISH = _finish()
_DUE = bindparam("due", type_=run.c.due_at.type)
_FINISH_DUE = _finish(due_at=case((run.c.due_at < _DUE, run.c.due_at), else_=_DUE))
"""A decision in the meantime may have made the run due earlier."""
WOKEN: Mapping[str, Any] = {"due_at": None, "pause_requested": 0}
"""Columns of a resumed run: it waits for nothing, and no pause is requested."""
_STEPS = Insert(step, STEP.columns, conflict="update")


def refuse_existing(run_id: str) -> Work[None]:
    """Check that no run has this id.

    Raises (when the work is done):
        RunExists: A run has it.
    """
    query = select(run.c.status).where(run.c.id == run_id)

    def work(connection: Connection) -> None:
        status = connection.execute(query).scalar()
        if status is not None:
            raise _exists(run_id, str(status))

    return work


def open_run(row: RunRow) -> Work[Fence]:
    """Add a run, owned by this process.

    Raises (when the work is done):
        RunExists: There is a run of this id.
    """

    def work(connection: Connection) -> Fence:
        session = session_of(connection)
        values = (*row._replace(plan=packed(row.plan)), new_salt())
        try:
            _OPEN.write(session, [values])
        except session.dialect.loaded_dbapi.IntegrityError:
            raise _exists(row.id, "being worked on") from None
        said = dict(zip(_OPENED, values, strict=True))
        RUN.note(session, [said[name] for name in RUN.columns], EVERYTHING, was=NONE, run=row.id)
        return Fence(row.id, row.epoch)

    return work


def claim(
    run_id: str,
    worker: str,
    *,
    seen_epoch: int | None = None,
    tokens: int | None = None,
    micro: int | None = None,
    other: Mapping[str, Any] | None = None,
) -> Work[Claimed]:
    """Take over a run and change its limits, in one transaction. This increments the epoch of the run, so that the
    former owner can no longer write.

    Args:
        run_id: The run.
        worker: The process that takes it over.
        seen_epoch: The epoch of the run when the caller read it; None to claim it in any epoch.
        tokens: The new token limit of the run; None leaves it unchanged.
        micro: The new limit in micro-US$; None leaves it unchanged.
        other: New values of other columns of the run, such as the plan if it resumes with a corrected workflow.

    Returns (when the work is done):
        The run as it was, and everything that is needed to resume it.

    Raises (when the work is done), leaving the run unchanged:
        RunNotFound: There is no such run.
        RunActive: Another process has claimed it since the caller read it.
        BudgetExceeded: More is spent and held already than the new limits admit.
    """

    def work(connection: Connection) -> Claimed:
        row = connection.execute(_RUN.where(run.c.id == run_id).with_for_update()).first()
        if row is None:
            raise _not_found(run_id)
        found = _found(row)
        if seen_epoch not in (None, found.epoch):
            raise RunActive(
                f"run {run_id} was taken over by {found.worker} just now", hint="let that process go on with it"
            )
        was = digest_of(connection, run_id)
        values = {"epoch": found.epoch + 1, "worker": worker, "status": "running", "finished_at": None}
        changed = {name: packed(value) if name == "plan" else value for name, value in (other or {}).items()}
        connection.execute(update(run).where(run.c.id == run_id).values({**values, **changed}))
        note(connection, run_id, was)
        limits = budgets.locked_rows(connection, (f"run:{run_id}",))
        limited = [budgets.set_limits(connection, limit, tokens, micro) for limit in limits]
        return Claimed(
            Fence(run_id, found.epoch + 1),
            found,
            steps_of(run_id)(connection),
            events_of(run_id)(connection),
            limited[0] if limited else None,
        )

    return work


def finish_run(fence: Fence, status: str, due_at: float | None = None) -> Work[None]:
    """Record the end of a run, with the number and hash of its last event.

    Args:
        fence: The run.
        status: The final status, or `waiting` if the run is to be resumed.
        due_at: When it is to be resumed, in seconds since 1970, unless a decision makes it due earlier.

    Raises (when the work is done):
        Fenced: Another process owns the run now.
    """

    def work(connection: Connection) -> None:
        session = session_of(connection)
        count, last = head_of(session, fence.run_id)
        values = {"new_status": status, "at": time(), "count": count, "last": last if count else None}
        own = {"of": fence.run_id, "own": fence.epoch}
        before = RUN.rows(session, '"id" = ?', (fence.run_id,))
        due = {} if due_at is None else {"due": due_at}
        if (_FINISH_DUE if due else _FINISH)(connection, **values, **own, **due).rowcount == 0:
            raise fenced(fence)
        changed = {column: values[name] for column, name in _ENDED.items()}
        after = [changed.get(column, value) for column, value in zip(RUN.columns, before[0], strict=True)]
        RUN.note(session, after, EVERYTHING, was=RUN.digest(before[0]), run=fence.run_id)

    return work


def withdraw(fence: Fence) -> Work[None]:
    """Record that a run was cancelled before it began, if it was opened and has no other owner."""

    def work(connection: Connection) -> None:
        own = select(run.c.id).where(run.c.id == fence.run_id, run.c.epoch == fence.epoch)
        if connection.execute(own).first() is not None:
            finish_run(fence, "cancelled")(connection)

    return work


def digest_of(connection: Connection, run_id: str) -> str:
    """The digest of a run's row, to pass to `note` after a change."""
    return RUN.current(session_of(connection), run_id)


def note(connection: Connection, run_id: str, was: str) -> None:
    """Commit to a run's row. Work that changes a covered column of a run must call this in the same transaction.

    Args:
        connection: The connection of the work.
        run_id: The run.
        was: The digest of the row before; empty if there was none.
    """
    RUN.note_current(session_of(connection), run_id, chain=EVERYTHING, was=was, run=run_id)


def find_run(prefix: str, tenant: str | None = None) -> Work[RunRow]:
    """The run whose id is *prefix* or starts with it; the newest run for `last`.

    Args:
        prefix: The id, or its start.
        tenant: The tenant; runs of others are not found. None for all tenants.

    Raises (when the work is done):
        RunNotFound: No run matches, or several do.
    """
    whose = [] if tenant is None else [run.c.tenant == tenant]
    query = _RUN.where(*whose).order_by(desc(run.c.created_at))
    if prefix == "last":
        query = query.limit(1)
    else:
        query = query.where(run.c.id.startswith(prefix, autoescape=True)).limit(2)

    def work(connection: Connection) -> RunRow:
        if prefix != "last":
            exact = connection.execute(_RUN.where(run.c.id == prefix, *whose)).first()
            if exact is not None:
                return _found(exact)
        return _only(prefix, [_found(row) for row in connection.execute(query)])

    return work


def _found(row: Sequence[Any]) -> RunRow:
    found = RunRow._make(row)
    with suppress(ValueError):  # then the plan is not JSON, which its readers report
        found = found._replace(plan=unpacked(found.plan))
    return found


def _only(prefix: str, rows: Sequence[RunRow]) -> RunRow:
    if not rows:
        raise _not_found(prefix)
    if len(rows) > 1:
        raise RunNotFound(f"more than one run begins with '{prefix}'", hint="give more of its id")
    return rows[0]


class Wanted(NamedTuple):
    """A filter of runs; None matches everything."""

    tenant: str | None = None
    status: str | None = None
    agent: str | None = None
    workflow: str | None = None
    since: float | None = None
    before: float | None = None
    """Runs that began before this time, in seconds since 1970: the end of the previous page."""


class Listed(NamedTuple):
    """A run in a list, with its spending."""

    id: str
    workflow: str
    agent: str
    status: str
    created_at: float
    finished_at: float | None
    tokens: int
    micro_usd: int

    @property
    def seconds(self) -> float | None:
        """Seconds from start to end, including waits; None until the run has ended."""
        return None if self.finished_at is None else self.finished_at - self.created_at


def list_runs(limit: int = 20, wanted: Wanted | None = None) -> Work[list[Listed]]:
    """The *wanted* runs, newest first."""
    wanted = wanted or Wanted()
    spent = budget.c.id == literal("run:") + run.c.id
    query = select(
        *(run.c[name] for name in Listed._fields[:6]),
        func.coalesce(budget.c.spent_tokens, 0),
        func.coalesce(budget.c.spent_micro, 0),
    ).select_from(run.outerjoin(budget, spent))
    for name in ("tenant", "status", "agent", "workflow"):
        if (value := getattr(wanted, name)) is not None:
            query = query.where(run.c[name] == value)
    if wanted.since is not None:
        query = query.where(run.c.created_at >= wanted.since)
    if wanted.before is not None:
        query = query.where(run.c.created_at < wanted.before)
    query = query.order_by(desc(run.c.created_at)).limit(limit)
    return lambda connection: [Listed._make(row) for row in connection.execute(query)]


def steps_of(run_id: str) -> Work[list[StepRow]]:
    """The steps of a run that have ended."""
    query = select(*columns(step, StepRow)).where(step.c.run_id == run_id)
    return lambda connection: [StepRow._make(row) for row in connection.execute(query)]


def has_step(run_id: str, key: str) -> Work[bool]:
    """True if there is a row of a step under this key."""
    query = select(step.c.key).where(step.c.run_id == run_id, step.c.key == key)
    return lambda connection: connection.execute(query).first() is not None


def events_of(run_id: str) -> Work[list[EventRow]]:
    """The journal of a run, in order."""
    query = select(*columns(event, EventRow)).where(event.c.run_id == run_id).order_by(event.c.seq)
    return lambda connection: [EventRow._make(row) for row in connection.execute(query)]


def save_step(fence: Fence, row: StepRow) -> Work[None]:
    """Write how a step ended, in place of how it ended before."""
    return save_steps(fence, (row,))


def save_steps(fence: Fence, rows: Sequence[StepRow]) -> Work[None]:
    """`save_step` for several at once."""

    @buffered
    def work(connection: Connection) -> None:
        session = session_of(connection)
        for row in rows:
            salt = None if row.output is None else new_salt()
            said = (row.status, row.attempt, fence.epoch, row.output, row.outcome, row.finished_at, salt)
            values = (fence.run_id, row.key, *said)
            session.add(_STEPS, values)
            STEP.note(session, values)

    return work


def usage_history(agent: str, tenant: str, limit: int = 2000) -> Work[dict[str, tuple[int, ...]]]:
    """Tokens that completed steps of a tenant's agent took, by intent, newest first; of the last *limit* steps."""

    def work(connection: Connection) -> dict[str, tuple[int, ...]]:
        said = (("intent",), ("usage", "input_tokens"), ("usage", "output_tokens"))
        query = (
            select(*(json_text(connection, step.c.outcome, *path) for path in said))
            .join(run, run.c.id == step.c.run_id)
            .where(run.c.agent == agent, run.c.tenant == tenant, step.c.status == "completed")
            .order_by(desc(step.c.finished_at))
            .limit(limit)
        )
        history: dict[str, list[int]] = {}
        for intent, *amounts in connection.execute(query):
            tokens = sum(int(amount or 0) for amount in amounts)
            if intent and tokens:
                history.setdefault(intent, []).append(tokens)
        return {intent: tuple(taken) for intent, taken in history.items()}

    return work


def _exists(run_id: str, status: str) -> RunExists:
    hint = f"it is {status}; see it: intendant show {run_id}"
    return RunExists(f"there is a run of this key already: {run_id}", hint=hint, run_id=run_id)


def _not_found(run_id: str) -> RunNotFound:
    return RunNotFound(
        f"there is no run '{run_id}'", hint="a run is named by its id or the beginning of it; `last` is the newest"
    )
