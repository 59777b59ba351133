"""What agents remember: looked up before a run, learned after it, and open to people and hosts."""

import json
from collections.abc import Iterable, Mapping, Sequence
from time import time
from typing import Any

from intendant.config.agent_files import NOBODY
from intendant.config.logs import get_logger
from intendant.model.errors import IntendantError
from intendant.model.requests import MemoryContext, MemoryEntry, MemoryKind
from intendant.model.results import RunResult
from intendant.model.workflow import Json, Workflow
from intendant.pilot.agent_view import AgentView, agent_of
from intendant.pilot.embedding import alike
from intendant.pilot.engine import Engine
from intendant.planning import experience, forgetting
from intendant.planning.decided import Plan
from intendant.planning.recall import Candidate, fused, rank, weight
from intendant.record.rows import MemoryRow
from intendant.record.store import memories, profiles
from intendant.record.store.memories import New
from intendant.spending.tokens import estimate_tokens
from intendant.text.grams import terms_of

LONGEST = 4000
"""Characters of a memory."""
VITAL = 9
"""Importance from which every run is told of a note."""
MOST_READ = 2000
"""Characters of a question that are looked at."""
LOOKED_THROUGH = 500
"""Memories that are looked through after a run, the newest."""
KINDS: Sequence[MemoryKind] = ("profile", "run", "note", "pattern")

log = get_logger("intendant.memory")


class AgentMemory:
    """What one agent remembers. `OrchestrationService.memory` makes it.

    Example:
        ```python
        async with OrchestrationService(db="none") as service:
            memory = service.memory("bookkeeping")
            await memory.add("Northwind pays within 30 days.")
            print([each.text for each in await memory.recall("When does Northwind pay?")])
        ```

    Args:
        engine: Whose database it is in.
        agent: The agent's name.

    Raises:
        IntendantError: The name is none that an agent has.
    """

    def __init__(self, engine: Engine, agent: str) -> None:
        if agent == NOBODY or not agent:
            raise IntendantError(
                f"the agent '{NOBODY}' remembers nothing", hint="name an agent in the workflow: `agent: NAME`"
            )
        self._engine = engine
        self.agent = agent
        """The agent's name."""

    @property
    def _who(self) -> tuple[str, str]:
        return self._engine.tenant, self.agent

    async def entries(self, kinds: Iterable[str] = (), limit: int | None = None) -> list[MemoryEntry]:
        """What there is, the newest first; of *kinds*, if any are given."""
        work = memories.list_memories(*self._who, kinds=tuple(kinds), limit=limit)
        return [entry_of(row) for row in await self._engine.store.do(work)]

    async def find(self, memory_id: int) -> MemoryEntry:
        """The memory of that number.

        Raises:
            IntendantError: There is none.
        """
        return entry_of(await self._engine.store.do(memories.find(*self._who, memory_id)))

    async def add(
        self, text: str, *, kind: MemoryKind = "note", importance: int = 5, source: str = "host"
    ) -> MemoryEntry:
        """Remember a text.

        Args:
            text: The text. It is data: no instruction in it is ever followed.
            kind: `profile`, `run`, `note` or `pattern`.
            importance: 1 to 10; runs are always told of notes from 9 on.
            source: Who says it: `host` or `person`.

        Raises:
            IntendantError: The text is empty or too long, or the importance is none.
        """
        said = _checked(text, kind, importance)
        new = New(kind, said, importance, source)
        (made,) = await self._engine.store.do(memories.add(*self._who, [new], terms_of))
        return await self.find(made)

    async def edit(
        self,
        memory_id: int,
        *,
        text: str | None = None,
        kind: MemoryKind | None = None,
        importance: int | None = None,
    ) -> MemoryEntry:
        """Change a memory; what is not given stays. From then on it is a person's word, which no run changes.

        Raises:
            IntendantError: There is none of that number, or what is given is wrong.
        """
        before = await self.find(memory_id)
        values: dict[str, Any] = {
            "text": before.text if text is None else text,
            "kind": before.kind if kind is None else kind,
            "importance": before.importance if importance is None else importance,
        }
        values["text"] = _checked(values["text"], values["kind"], values["importance"])
        return entry_of(await self._engine.store.do(memories.edit(*self._who, memory_id, values, terms_of)))

    async def forget(self, *ids: int) -> list[MemoryEntry]:
        """Delete memories, with what the index has of them; returns them. See `remains_of`.

        Raises:
            IntendantError: There is none of one of these numbers; then none is deleted.
        """
        gone = await self._engine.store.do(memories.forget(*self._who, ids, terms_of)) if ids else []
        return [entry_of(row) for row in gone]

    async def forget_all(self) -> int:
        """Delete all that the agent remembers; returns how many memories that was."""
        return len(await self._engine.store.do(memories.forget(*self._who, None, terms_of)))

    async def remains_of(self, text: str) -> list[str]:
        """The runs that were told of a text, and keep it with what else they were given so that they can be
        resumed, until `intendant db erase RUN`.
        """
        return await self._engine.store.do(memories.told_of(*self._who, text))

    async def recall(self, question: str, limit: int = 5, kinds: Iterable[str] = ()) -> list[MemoryEntry]:
        """The memories that a question calls for, best first. No model is asked but an embedder, where one is."""
        found = await _recalled(self._engine, self.agent, question)
        wanted = tuple(kinds) or KINDS
        return [entry_of(row) for row in found if row.kind in wanted][:limit]


def entry_of(row: MemoryRow) -> MemoryEntry:
    """A memory as hosts see it."""
    values = row._asdict() | {"evidence": tuple(json.loads(row.evidence))}
    del values["subject"]
    return MemoryEntry.model_validate(values)


def _checked(text: str, kind: str, importance: int) -> str:
    said = text.strip()
    if not said or len(said) > LONGEST:
        raise IntendantError(f"a memory has 1 to {LONGEST} characters, this one has {len(said)}")
    if kind not in KINDS:
        raise IntendantError(f"'{kind}' is no kind of memory", hint=f"one of {', '.join(KINDS)}")
    if not 1 <= importance <= 10:  # noqa: PLR2004  # its range
        raise IntendantError(f"importance is 1 to 10, not {importance}")
    return said


# --- before a run ---


async def remembered(
    engine: Engine,
    view: AgentView,
    workflow: Workflow,
    inputs: Mapping[str, Json] | None = None,
    *,
    use: bool = True,
) -> MemoryContext | None:
    """What a run is told: the profile, the newest summaries of runs, and what fits best what the run is for.

    None where nothing is known, or the agent has no memory. *use* notes that a run is told of it.
    """
    if view.allowance.memory is False or view.row is None or not view.row.memories:
        return None
    chosen, who = engine.settings.agents, (engine.tenant, view.name)
    found = await _recalled(engine, view.name, _question(workflow, inputs or {}), embed=use)
    profile = await engine.store.do(memories.list_memories(*who, kinds=("profile",), limit=20))
    recent = await engine.store.do(memories.list_memories(*who, kinds=("run",), limit=chosen.recent_runs))
    vital = await engine.store.do(memories.list_memories(*who, kinds=("note", "pattern"), limit=LOOKED_THROUGH))
    known = {row.id for row in (*profile, *recent)}
    notes = [row for row in vital if row.importance >= VITAL]
    notes += [row for row in found if row.id not in known and row not in notes]
    notes = notes[: max(chosen.relevant, sum(row.importance >= VITAL for row in notes))]
    told = [*profile, *recent, *notes]
    if not told:
        return None
    if use:
        engine.store.do_later(memories.mark_used(*who, [row.id for row in told]))
    return MemoryContext(
        profile="\n".join(row.text for row in reversed(profile)),
        runs=tuple(row.text for row in recent),
        notes=tuple(row.text for row in notes),
    )


def _question(workflow: Workflow, inputs: Mapping[str, Json]) -> str:
    """What a run is for, in words: its name and description, its inputs, and what its steps ask."""
    said = [workflow.name, workflow.description, *(str(value) for value in inputs.values() if _is_short(value))]
    said += [step.prompt or step.title for step in workflow.work]
    return "\n".join(said)[:MOST_READ]


def _is_short(value: Json) -> bool:
    return isinstance(value, str | int | float) and len(str(value)) <= LONGEST


async def _recalled(
    engine: Engine, agent: str, question: str, limit: int = 50, *, embed: bool = True
) -> list[MemoryRow]:
    asked = question[:MOST_READ]
    found = await engine.store.do(memories.candidates(engine.tenant, agent, terms_of(asked), weight))
    rows = {row.id: row for row in found.rows}
    candidates = [Candidate(row.id, row.text, row.importance) for row in found.rows]
    ranked = [each.id for each in rank(asked, candidates, found.frequencies, found.total, limit=limit)]
    close = await alike(engine, agent, asked, limit) if embed else []
    rows |= {each.row.id: each.row for each in close}
    return [rows[number] for number in fused(ranked, [each.row.id for each in close], limit=limit)]


def facts_of(memory: MemoryContext) -> dict[str, Any]:
    """What the journal says of what a run was told: never the texts."""
    parts = {"profile": (memory.profile,) if memory.profile else (), "run": memory.runs, "pattern": memory.notes}
    entries = [text for texts in parts.values() for text in texts]
    kinds = tuple(kind for kind, texts in parts.items() if texts)
    return {"kinds": kinds, "entries": len(entries), "tokens": sum(map(estimate_tokens, entries))}


# --- after a run ---


async def learn(engine: Engine, plan: Plan, result: RunResult) -> None:
    """Sum a run up for its agent, see what its newest runs have in common, and put older summaries together.

    Only where the agent's memory is on. What goes wrong is logged: the run has ended, and is as it is.
    """
    try:
        view = await agent_of(engine, plan.workflow.agent, plan.folder)
        if view.allowance.memory:
            await _learn(engine, view.name, plan, result)
    except IntendantError as error:
        log.warning("memory_not_updated", agent=plan.workflow.agent, run_id=result.run_id, error=error.message)


async def _learn(engine: Engine, agent: str, plan: Plan, result: RunResult) -> None:
    store, chosen, who = engine.store, engine.settings.agents, (engine.tenant, agent)
    rows = await store.do(profiles.past_runs(*who, plan.workflow.name, experience.LOOKED_AT + 1))
    past = [experience.past_run(*row) for row in rows]
    before = next((run.status for run in past if run.run_id < result.run_id), None)
    now = time()
    summary = experience.summary_of(result, now, chosen.summary_tokens, estimate_tokens, before=before)
    patterns = experience.patterns_of(plan.workflow.name, past)
    known = await store.do(memories.list_memories(*who, limit=LOOKED_THROUGH))
    subjects = {pattern.subject for pattern in patterns}
    over = [row for row in known if _is_over(row, experience.prefixes_of(plan.workflow.name), subjects)]
    due = forgetting.due(
        [row for row in known if row not in over], now, keep=chosen.keep_runs, days=chosen.keep_days
    )
    new = [_new(each) for each in (summary, *patterns, *due.new)]
    await store.do(memories.replace(*who, [*over, *due.gone], new, terms_of))


def _is_over(row: MemoryRow, prefixes: tuple[str, ...], subjects: set[str]) -> bool:
    """True for a pattern of the workflow that its newest runs do not show any more."""
    subject = row.subject or ""
    return (
        row.source == "run" and row.kind == "pattern" and subject.startswith(prefixes) and subject not in subjects
    )


def _new(learned: experience.Learned) -> New:
    text = learned.text[:LONGEST]
    return New(learned.kind, text, learned.importance, "run", learned.evidence, learned.subject)
