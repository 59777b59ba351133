"""What is asked of one run, agent or tenant is answered from its own rows, and changes no others.

A database with neighbours on both sides, in the order of their names, is asked the same as one without them. Each
neighbour differs in one thing, the tenant or the agent, so that no condition stands in for another one.
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import insert, select

from intendant.record.rows import Fence, Scope, SignalRow, StepRow
from intendant.record.store import (
    Store,
    approvals,
    bookings,
    browsing,
    budgets,
    database,
    decisions,
    erasure,
    liveness,
    memories,
    originals,
    outbox,
    profiles,
    pruning,
    ratings,
    responses,
    run_figures,
    runs,
    schedules,
    sent_signals,
    setting_changes,
    tables,
    take_over,
)
from intendant.record.store.spend_report import apart, sums


class Who(NamedTuple):
    tenant: str
    agent: str
    number: int


MINE = Who("m", "m", 5)
OTHER_TENANTS = (Who("a", "m", 1), Who("z", "m", 9))
OTHER_AGENTS = (Who("m", "a", 3), Who("m", "z", 7))
WAITS, WORKS, DONE = "r_5w", "r_5x", "r_5y"
ADDED = {"waiting": "w", "running": "x", "completed": "y"}


def rows_of(who: Who) -> Iterator[tuple[str, dict[str, Any]]]:
    """A row of each table, for three runs: one waits, one is executed, one has ended."""
    n = who.number
    yield "agent", {"id": n, "tenant": who.tenant, "name": who.agent, "runs": n, "memories": 1, "updated_at": n}
    for status, letter in ADDED.items():
        own, at = f"r_{n}{letter}", 1000.0 + n
        ended = {"finished_at": at} if status == "completed" else {}
        lease = {"lease_until": at, "worker": f"host:{n}"} if status == "running" else {}
        due = {"due_at": at} if status == "waiting" else {}
        run = {"id": own, "workflow": "flow", "plan": "{}", "plan_version": 1, "inputs": "{}", "status": status}
        yield (
            "run",
            {
                **run,
                "agent": who.agent,
                "tenant": who.tenant,
                "epoch": 2,
                "created_at": at,
                **ended,
                **lease,
                **due,
            },
        )
        yield from of_run(who, own, status, at, n * 10 + ord(letter) % 10)
    yield (
        "memory",
        {
            "id": n,
            "agent_id": n,
            "kind": "note",
            "text": f"note {n}",
            "importance": 5,
            "evidence": "[]",
            "source": "person",
            "subject": "s",
            "created_at": float(n),
        },
    )
    yield "memory_term", {"agent_id": n, "term": 4711, "memory_id": n}
    yield "memory_vector", {"agent_id": n, "memory_id": n, "space": "space", "place": bytes([n])}
    yield "response", {"key": f"key{n}", "reply": f"reply {n}", "at": 1000.0, "expires_at": 2000.0}
    if who.agent == "m":
        yield "schedule", {"tenant": who.tenant, "name": "s", "seen_until": float(n)}
        setting = {
            "tenant": who.tenant,
            "version": n,
            "key": f"k{n}",
            "value": f"{n}",
            "changed_by": "p",
            "at": 1.0,
        }
        yield "setting_change", {"id": n, **setting}


def of_run(who: Who, own: str, status: str, at: float, number: int) -> Iterator[tuple[str, dict[str, Any]]]:
    for place, step in enumerate(("a", "b", "c")):
        made = {
            "run_id": own,
            "key": step,
            "status": "waiting" if place < 2 else "completed",
            "attempt": 1,
            "epoch": 2,
        }
        outcome = {"status": "completed", "intent": "x", "usage": {"input_tokens": number, "output_tokens": 1}}
        yield "step", {**made, "output": f'"{own}"', "outcome": json.dumps(outcome)}
        event = {"run_id": own, "seq": place + 1, "type": "x", "step_id": step, "severity": "info", "at": at}
        yield "event", {**event, "data": f'{{"of": "{own}"}}', "hash": f"{own}{place}"}
        yield "budget", {"id": f"step:{own}/{step}", "parent": f"run:{own}", "spent_tokens": number + place}
        shown = {"ask": own, "deciders": "[]", "need": 1, "otherwise": "deny", "shown": "{}", "input_sha256": "d"}
        yield "approval", {"run_id": own, "step_key": step, **shown, "asked_at": at}
        decided = {"decided_by": "p", "input_sha256": "d", "verdict": "approved", "note": own, "at": at}
        yield "decision", {"run_id": own, "step_key": step, **decided}
        signal = {
            "run_id": own,
            "id": f"{step}{number}",
            "event": f"e{step}",
            "payload": f'"{own}"',
            "sent_by": "p",
        }
        yield "signal", {**signal, "at": at, **({"taken_by": step, "taken_sha256": "d"} if place else {})}
        rated = {"run_id": own, "step_key": step, "rated_by": "p", "at": at, "rating": number % 5 + 1}
        yield "rating", {**rated, "comment": own}
        yield (
            "outbox",
            {
                "key": f"{own}/{step}",
                "run_id": own,
                "step_key": step,
                "epoch": 2,
                "operation": "o",
                "begun_at": at,
                "state": "begun" if place else "done",
                "receipt": f'"{own}"',
            },
        )
        state = ("settled" if status == "completed" else "held", "in_doubt", "settled")[place]
        yield (
            "hold",
            {
                "key": f"h{own}{step}",
                "run_id": own,
                "step_key": step,
                "epoch": 1,
                "scope": f"step:{own}/{step}",
                "provider": "p",
                "model": "m",
                "tokens": number,
                "micro": number,
                "price_version": "v",
                "state": state,
                "created_at": at,
                "expires_at": at,
                "agent": who.agent,
                "tenant": who.tenant,
                "sending": place,
            },
        )
        yield (
            "ledger",
            {
                "id": number * 3 + place,
                "hold_key": f"h{own}{step}",
                "run_id": own,
                "step_key": step,
                "kind": "settle",
                "input_tokens": number,
                "output_tokens": 1,
                "micro": number + place,
                "price_version": "v",
                "at": at,
                "beyond": None,
            },
        )
    yield "budget", {"id": f"run:{own}", "spent_tokens": number, "spent_micro": number}
    yield "original", {"run_id": own, "handle": "h", "text": own, "at": at, "salt": "s"}
    if status == "completed":
        figures = {"run_id": own, "workflow": "flow", "agent": who.agent, "at": at, "status": "completed"}
        yield (
            "run_figure",
            {"run_id": own, "tenant": who.tenant, "agent": who.agent, "at": at, "figures": json.dumps(figures)},
        )
        yield "observation", {"run_id": own, "agent_id": who.number, "data": own, "at": at}


def made(path: Path, *all_of: Who) -> str:
    url = f"sqlite:///{path}"
    engine = database.connect(url)
    database.prepare(engine)
    with engine.begin() as connection:
        for who in all_of:
            for name, values in rows_of(who):
                connection.execute(insert(tables.metadata.tables[name]).values(values))
    engine.dispose()
    return url


@pytest.fixture(scope="module")
def urls(tmp_path_factory) -> dict[str, str]:
    """A database without neighbours, one with the other agents of the tenant, and one with all."""
    folder = tmp_path_factory.mktemp("neighbours")
    return {
        "agent": made(folder / "agent.db", MINE),
        "tenant": made(folder / "tenant.db", *OTHER_AGENTS, MINE),
        "all": made(folder / "all.db", OTHER_TENANTS[0], *OTHER_AGENTS, MINE, OTHER_TENANTS[1]),
    }


def weigh(known: int, number: int) -> float:
    return 1.0


OF_THE_AGENT: dict[str, Callable[[], Any]] = {
    "an approval": lambda: approvals.find(WAITS, "b"),
    "open approvals": lambda: approvals.open_approvals(WAITS),
    "how many decisions": lambda: approvals.count(WAITS),
    "totals": lambda: bookings.totals_of_run(DONE),
    "events": lambda: browsing.events_between(WAITS),
    "events after": lambda: browsing.events_between(WAITS, 1),
    "events of a step": lambda: browsing.events_between(WAITS, step="b"),
    "budgets to show": lambda: browsing.budgets_of(WAITS),
    "figures of the agent's tenants": lambda: browsing.newest_figures("m", 9, "m"),
    "a budget": lambda: budgets.find(f"step:{WAITS}/b"),
    "budgets": lambda: budgets.budgets_of_run(WAITS),
    "is erased": lambda: erasure.is_erased(WAITS),
    "a memory": lambda: memories.find("m", "m", 5),
    "memories": lambda: memories.list_memories("m", "m"),
    "memories with a term": lambda: memories.candidates("m", "m", [4711], weigh),
    "memories in a space": lambda: memories.placed("m", "m", "space", 9),
    "an original": lambda: originals.find(WAITS, "h"),
    "a delivery": lambda: outbox.find(f"{WAITS}/b"),
    "the agent": lambda: profiles.find("m", "m"),
    "observations": lambda: profiles.observations_of(5, 9),
    "past runs": lambda: profiles.past_runs("m", "m", "flow", 9),
    "ratings": lambda: ratings.ratings(WAITS),
    "an answer": lambda: responses.find("key5", 1500.0, 900.0),
    "figures of a run": lambda: run_figures.figures_within(Scope(run_id=DONE)),
    "figures of the agent": lambda: run_figures.figures_within(Scope(agent="m", tenant="m")),
    "a run": lambda: runs.find_run(WAITS),
    "a run by its beginning": lambda: runs.find_run("r_5w", "m"),
    "steps": lambda: runs.steps_of(WAITS),
    "has a step": lambda: runs.has_step(WAITS, "b"),
    "all events": lambda: runs.events_of(WAITS),
    "what steps took": lambda: runs.usage_history("m", "m"),
    "a signal": lambda: sent_signals.find(WAITS, "a", "d", "ea"),
    "a signal that was taken": lambda: sent_signals.find(WAITS, "b", "d", "eb"),
    "how many signals": lambda: sent_signals.count(WAITS),
    "what another process left": lambda: take_over.left_by(WAITS, 2),
    "charges of a run": lambda: lambda connection: sums(connection, Scope(run_id=DONE), "step"),
    "charges of the agent": lambda: lambda connection: sums(connection, Scope(agent="m", tenant="m"), "model"),
}
OF_THE_TENANT: dict[str, Callable[[], Any]] = {
    "open approvals": lambda: approvals.open_approvals(tenant="m"),
    "figures": lambda: browsing.newest_figures("m", 9),
    "how many runs": lambda: browsing.status_counts("m"),
    "doubts": lambda: decisions.open_doubts("m"),
    "doubts that nobody waits for": lambda: decisions.open_doubts("m", waiting=False),
    "due runs": lambda: liveness.due_runs("m", 5000.0, 9),
    "due runs by then": lambda: liveness.due_runs("m", 1005.0, 9),
    "when the next one is due": lambda: liveness.next_due("m"),
    "runs at work": lambda: liveness.at_work("m"),
    "the queue": lambda: liveness.queue_of("m", 1005.0),
    "runs that nobody may execute": lambda: liveness.maybe_abandoned("m", "elsewhere", 5000.0),
    "runs of a process": lambda: liveness.maybe_abandoned("m", "host", 0.0),
    "agents": lambda: profiles.list_agents("m"),
    "runs to prune": lambda: pruning.candidates("m", 5000.0),
    "runs to prune by then": lambda: pruning.candidates("m", 1005.0),
    "ratings": lambda: ratings.ratings(tenant="m"),
    "figures of all its runs": lambda: run_figures.figures_within(Scope(tenant="m")),
    "the newest run": lambda: runs.find_run("last", "m"),
    "runs": lambda: runs.list_runs(99, runs.Wanted(tenant="m")),
    "schedules": lambda: schedules.seen_until("m"),
    "the version of settings": lambda: setting_changes.version("m"),
    "settings": lambda: setting_changes.stored("m"),
    "changes of settings": lambda: setting_changes.history("m"),
    "charges": lambda: lambda connection: sums(connection, Scope(tenant="m"), "agent"),
}


@pytest.mark.parametrize("asked", OF_THE_AGENT)
def test_a_run_or_an_agent_is_told_of_by_its_own_rows(urls, asked) -> None:
    alone = apart(urls["agent"], OF_THE_AGENT[asked]())
    assert alone not in (None, [], 0, {}) or asked == "is erased"
    assert apart(urls["all"], OF_THE_AGENT[asked]()) == alone


@pytest.mark.parametrize("asked", OF_THE_TENANT)
def test_a_tenant_is_told_of_by_its_own_rows(urls, asked) -> None:
    alone = apart(urls["tenant"], OF_THE_TENANT[asked]())
    assert alone not in (None, [], 0, {})
    assert apart(urls["all"], OF_THE_TENANT[asked]()) == alone


MY_FENCE = Fence(WORKS, 2)
STEP = StepRow("b", "failed", 2, None, "{}", 1.0)


def _no_terms(_text: str) -> tuple[int, ...]:
    return ()


CHANGES: dict[str, Callable[[], Any]] = {
    "close an approval": lambda: approvals.close(MY_FENCE, "b", "approved"),
    "decide": lambda: approvals.decide(WAITS, "b", "q", "approved"),
    "erase": lambda: erasure.erase(DONE, "p"),
    "beat": lambda: liveness.beat(MY_FENCE, 9999.0),
    "pause": lambda: liveness.pause(WAITS),
    "finish": lambda: runs.finish_run(MY_FENCE, "completed"),
    "claim": lambda: runs.claim(WAITS, "host:1"),
    "save a step": lambda: runs.save_step(MY_FENCE, STEP),
    "forget a memory": lambda: memories.forget("m", "m", [5], lambda _text: (4711,)),
    "forget all memories": lambda: memories.forget("m", "m", None, lambda _text: (4711,)),
    "use a memory": lambda: memories.mark_used("m", "m", [5]),
    "note a memory again": lambda: memories.add(
        "m", "m", [memories.New("note", "new", 5, subject="s")], _no_terms
    ),
    "finish a run of the agent": lambda: profiles.finish_run(
        MY_FENCE, "completed", "m", "m", "like this", lambda seen, count: f"{len(seen)} of {count}", 9
    ),
    "rate": lambda: ratings.rate(ratings.made_now(WAITS, "b", "q", 3, None)),
    "send a signal": lambda: sent_signals.send(SignalRow(WAITS, "b", "e", "1", "q", 1.0)),
    "keep an original": lambda: originals.keep(WAITS, "h2", "text"),
    "keep an answer": lambda: responses.keep("key5", "new", 1500.0, 900.0),
    "note a schedule": lambda: schedules.note_seen("m", "s", 99.0),
    "finish a delivery": lambda: outbox.finish(f"{WAITS}/b", "done"),
    "withdraw a delivery": lambda: outbox.withdraw(f"{WAITS}/b"),
    "take a signal": lambda: sent_signals.take(MY_FENCE, "a50", "a", "d"),
    "define the agent": lambda: profiles.define("m", "m", "{}"),
    "prune": lambda: pruning.prune([DONE], "p"),
    "release what another process left": lambda: take_over.release_all([f"h{WAITS}a"]),
    "decide about a doubt": lambda: decisions.decide(f"h{WAITS}b", "retry", None, None),
}


def everything(url: str) -> dict[str, list[str]]:
    """All rows of all tables but the journal of everything, as text."""
    engine = database.connect(url)
    with engine.begin() as connection:
        found = {
            name: sorted(str(tuple(row)) for row in connection.execute(select(table)))
            for name, table in tables.metadata.tables.items()
        }
    engine.dispose()
    return found


def is_mine(name: str, row: str) -> bool:
    if name in ("agent", "memory", "memory_term", "memory_vector"):
        return row.startswith("(5,")
    if name == "response":
        return row.startswith("('key5'")
    return "r_5" in row or (name == "schedule" and row.startswith("('m'"))


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_one_run_or_agent_changes_no_other(urls, change, tmp_path) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(Path(urls["all"].removeprefix("sqlite:///")).read_bytes())
    url = f"sqlite:///{path}"
    before = everything(url)
    store = Store(url)
    asyncio.run(store.do(CHANGES[change]()))
    store.close()
    after = everything(url)
    assert after != before
    for name, rows in before.items():
        others = [row for row in rows if not is_mine(name, row)]
        assert set(others) <= set(after[name]), name
        new = [row for row in after[name] if row not in rows and not is_mine(name, row)]
        assert name in ("event", "pruned", "head") or new == [], name
