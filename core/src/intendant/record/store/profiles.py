"""Agents: their figures, what their runs were like, and their definitions: work functions for `Store.do`.

The figures are computed of the newest observations whenever one is added, under a lock on the agent's row: two
runs that end at the same time are both counted, and the figures do not depend on which of them came first.
"""

from collections.abc import Callable, Sequence
from time import time
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, select, update  # noqa: TID253

from intendant.record.rows import AgentRow, Fence
from intendant.record.store import runs
from intendant.record.store.session import session_of
from intendant.record.store.statements import Statement, Work, columns, json_text
from intendant.record.store.tables import agent, observation, run, step

Compute = Callable[[Sequence[str], int], str]
"""Takes an agent's newest observations, the newest first, and how many runs it had; gives its scores as JSON."""
_AGENT = ", ".join(AgentRow._fields)
_LOCK = (
    'INSERT INTO "agent" ("tenant", "name", "runs", "updated_at") VALUES (?, ?, 0, ?) '  # noqa: S608  # names of ours
    f'ON CONFLICT ("tenant", "name") DO UPDATE SET "runs" = "agent"."runs" RETURNING {_AGENT}'
)
_BY_NAME = select(*columns(agent, AgentRow)).where(
    agent.c.tenant == bindparam("tenant"), agent.c.name == bindparam("name")
)
_FIND = Statement(_BY_NAME)
_OBSERVE = (
    'INSERT INTO "observation" ("run_id", "agent_id", "data", "at") '
    'SELECT "id", CAST(? AS INTEGER), CAST(? AS TEXT), "created_at" FROM "run" WHERE "id" = ? '
    "ON CONFLICT DO NOTHING"
)
_OBSERVE_AGAIN = Statement(
    update(observation)
    .where(observation.c.run_id == bindparam("of"))
    .values(agent_id=bindparam("own"), data=bindparam("seen"))
)
_BY_AGE = (observation.c.at.desc(), observation.c.run_id.desc())
"""By when the runs began, not by when they ended."""
_NEWEST = Statement(
    select(observation.c.data)
    .where(observation.c.agent_id == bindparam("own"))
    .order_by(*_BY_AGE)
    .limit(bindparam("most"))
)
_SCORED = Statement(
    update(agent)
    .where(agent.c.id == bindparam("own"))
    .values(runs=bindparam("count"), scores=bindparam("made"), updated_at=bindparam("now"))
)


def locked(connection: Connection, tenant: str, name: str) -> AgentRow:
    """An agent's row, created if it is missing, and locked until the transaction ends."""
    return AgentRow._make(session_of(connection).execute(_LOCK, (tenant, name, time())).fetchone())


def finish_run(
    fence: Fence, status: str, tenant: str, name: str, observed: str, compute: Compute, window: int
) -> Work[None]:
    """Note how a run ended, what it was like, and the figures of its agent, in one transaction.

    A run that goes on after it has ended, and ends again, is counted once, as it was at its last end.

    Args:
        fence: The run.
        status: How it ended.
        tenant: Whose it is.
        name: Its agent.
        observed: What it was like, as JSON.
        compute: Makes the figures.
        window: How many observations it is given.

    Raises (when the work is done):
        Fenced: Another process owns the run now.
    """

    def work(connection: Connection) -> None:
        runs.finish_run(fence, status)(connection)
        row = locked(connection, tenant, name)
        is_new = session_of(connection).execute(_OBSERVE, (row.id, observed, fence.run_id)).rowcount
        if not is_new:
            _OBSERVE_AGAIN(connection, of=fence.run_id, own=row.id, seen=observed)
        count = row.runs + is_new
        newest = [found[0] for found in _NEWEST(connection, own=row.id, most=window).fetchall()]
        _SCORED(connection, own=row.id, count=count, made=compute(newest, count), now=time())

    return work


def find(tenant: str, name: str) -> Work[AgentRow | None]:
    """An agent; None if nothing is known of it."""

    def work(connection: Connection) -> AgentRow | None:
        row = _FIND(connection, tenant=tenant, name=name).fetchone()
        return None if row is None else AgentRow._make(row)

    return work


def list_agents(tenant: str) -> Work[list[AgentRow]]:
    """A tenant's agents by name."""
    query = select(*columns(agent, AgentRow)).where(agent.c.tenant == tenant).order_by(agent.c.name)
    return lambda connection: [AgentRow._make(row) for row in connection.execute(query)]


def observations_of(agent_id: int, limit: int) -> Work[list[tuple[str, str]]]:
    """The ids of an agent's newest runs and what they were like, as JSON, the newest first."""
    query = select(observation.c.run_id, observation.c.data).where(observation.c.agent_id == agent_id)
    query = query.order_by(*_BY_AGE).limit(limit)
    return lambda connection: [(row[0], row[1]) for row in connection.execute(query)]


def define(tenant: str, name: str, definition: str | None) -> Work[None]:
    """Keep an agent's definition, as JSON, in place of the one before; None for none."""

    def work(connection: Connection) -> None:
        row = locked(connection, tenant, name)
        values = {"definition": definition, "updated_at": time()}
        connection.execute(update(agent).where(agent.c.id == row.id).values(values))

    return work


class PastRow(NamedTuple):
    """A run of an agent, with what failed in it."""

    run_id: str
    status: str
    inputs: str
    """As JSON."""
    failures: list[tuple[str, str, str]]
    """Step, code and message of each."""


def past_runs(tenant: str, name: str, workflow: str, limit: int) -> Work[list[PastRow]]:
    """The newest runs of an agent's workflow that have ended, the newest first."""
    ended = ("completed", "failed", "refused", "overrun")
    own = (run.c.tenant == tenant, run.c.agent == name, run.c.workflow == workflow, run.c.status.in_(ended))
    query = select(run.c.id, run.c.status, run.c.inputs).where(*own).order_by(run.c.created_at.desc()).limit(limit)

    def work(connection: Connection) -> list[PastRow]:
        found = {row[0]: PastRow(*row, []) for row in connection.execute(query)}
        code, message = (json_text(connection, step.c.outcome, "failure", part) for part in ("code", "message"))
        failed = select(step.c.run_id, step.c.key, code, message).where(
            step.c.run_id.in_(found), step.c.status == "failed"
        )
        for run_id, key, *said in connection.execute(failed):
            found[run_id].failures.append((key, str(said[0] or ""), str(said[1] or "")))
        return list(found.values())

    return work
