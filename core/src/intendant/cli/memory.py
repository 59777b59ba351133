"""`intendant memory`: what agents remember."""

import json
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer  # noqa: TID253

from intendant.cli.shared import DbOption, JsonOption, Session, SetOption, app, command, print_json
from intendant.model.errors import IntendantError

if TYPE_CHECKING:
    from intendant.model.requests import MemoryEntry, MemoryKind
    from intendant.pilot.remembering import AgentMemory

ResultT = TypeVar("ResultT")
SHOWN = 100
"""Characters of a memory in a list."""

memory_app = typer.Typer(help="What agents remember.", no_args_is_help=True)
app.add_typer(memory_app, name="memory")


class Kind(StrEnum):
    """The kinds of memories."""

    profile = "profile"
    run = "run"
    note = "note"
    pattern = "pattern"


AgentArgument = Annotated[str, typer.Argument(help="The agent's name.")]
IdArgument = Annotated[int, typer.Argument(metavar="ID", help="The memory's number, as `list` shows it.")]
KindOption = Annotated[Kind | None, typer.Option("--kind", help="profile, run, note or pattern.")]
ImportanceOption = Annotated[int | None, typer.Option("--importance", min=1, max=10, help="1 to 10.")]


def _with(
    agent: str,
    db: str | None,
    settings: list[str] | None,
    work: "Callable[[AgentMemory], Coroutine[Any, Any, ResultT]]",
) -> ResultT:
    with Session(settings, db) as session:
        return session.do(work(session.service.memory(agent)))


@command(name="list", group=memory_app)
def list_memories(
    agent: AgentArgument,
    *,
    about: Annotated[
        str | None, typer.Option("--about", metavar="TEXT", help="Those that a run about this would receive.")
    ] = None,
    kind: KindOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", help="Maximum number to show.", min=1)] = 50,
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """List an agent's memories, newest first; with --about, most relevant first."""
    kinds = () if kind is None else (kind.value,)

    async def listed(memory: "AgentMemory") -> "list[MemoryEntry]":
        if about is not None:
            return await memory.recall(about, limit, kinds)
        return await memory.entries(kinds, limit)

    found = _with(agent, db, settings, listed)
    if as_json:
        print_json([entry.model_dump(mode="json") for entry in found])
        return
    for entry in found:
        text = " ".join(entry.text.split())
        shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
        print(f"{entry.id:>6}  {entry.kind:<7} {entry.importance:>2}/10  {_day(entry.created_at)}  {shown}")
    if not found:
        none = "remembers nothing about that" if about is not None else "remembers nothing"
        print(f"{agent} {none}; `intendant memory add {agent} TEXT` says something")


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


@command(name="show", group=memory_app)
def show_memory(
    agent: AgentArgument,
    memory_id: IdArgument,
    *,
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """Show one memory and its sources."""
    _tell(_with(agent, db, settings, lambda memory: memory.find(memory_id)), as_json=as_json)


def _tell(entry: "MemoryEntry", *, as_json: bool) -> None:
    if as_json:
        print_json(entry.model_dump(mode="json"))
        return
    said = {"run": "drawn from runs", "host": "said by a program", "person": "said by a person"}[entry.source]
    print(f"{entry.id}: {entry.kind}, importance {entry.importance} of 10, {said}, {_day(entry.created_at)}")
    print(entry.text)
    if entry.evidence:
        print(f"evidence: {', '.join(entry.evidence)}")
    if entry.used_at is not None:
        print(f"told to {entry.uses} runs, last on {_day(entry.used_at)}")


@command(name="add", group=memory_app)
def add_memory(
    agent: AgentArgument,
    text: Annotated[str, typer.Argument(help="The text to remember.")],
    *,
    kind: Annotated[Kind, typer.Option("--kind", help="profile, run, note or pattern.")] = Kind.note,
    importance: Annotated[
        int, typer.Option("--importance", min=1, max=10, help="1 to 10; from 9 on, every run receives it.")
    ] = 5,
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """Add a memory to an agent. Models receive it as data, never as an instruction."""

    async def added(memory: "AgentMemory") -> "MemoryEntry":
        return await memory.add(text, kind=kind.value, importance=importance, source="person")

    _tell(_with(agent, db, settings, added), as_json=as_json)


@command(name="edit", group=memory_app)
def edit_memory(
    agent: AgentArgument,
    memory_id: IdArgument,
    text: Annotated[str | None, typer.Argument(help="The new text.")] = None,
    *,
    kind: KindOption = None,
    importance: ImportanceOption = None,
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """Change a memory; omitted options stay unchanged. Runs no longer change it."""
    if text is None and kind is None and importance is None:
        raise IntendantError("nothing is given to change", hint="give a text, --kind or --importance")
    changed: MemoryKind | None = None if kind is None else kind.value

    async def edited(memory: "AgentMemory") -> "MemoryEntry":
        return await memory.edit(memory_id, text=text, kind=changed, importance=importance)

    _tell(_with(agent, db, settings, edited), as_json=as_json)


@command(name="forget", group=memory_app)
def forget_memories(
    agent: AgentArgument,
    ids: Annotated[
        list[int] | None, typer.Argument(metavar="ID...", help="Numbers of memories, as `list` shows them.")
    ] = None,
    *,
    all_: Annotated[bool, typer.Option("--all", help="All memories of the agent.")] = False,
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """Delete memories and their index entries, and report what remains of them elsewhere."""
    if bool(ids) == all_:
        raise IntendantError("say which", hint=f"intendant memory forget {agent} ID..., or --all")

    async def forgotten(memory: "AgentMemory") -> tuple[int, list[str]]:
        gone = await memory.entries() if all_ else [await memory.find(each) for each in ids or ()]
        remaining = [run for entry in gone for run in await memory.remains_of(entry.text)]
        count = await memory.forget_all() if all_ else len(await memory.forget(*(ids or ())))
        return count, list(dict.fromkeys(remaining))

    count, runs = _with(agent, db, settings, forgotten)
    if as_json:
        print_json({"forgotten": count, "told_runs": runs})
        return
    print(f"forgotten: {count}")
    if runs:
        print(f"{len(runs)} runs were told of it, and keep what they were told so that they can be resumed:")
        print("\n".join(f"    intendant db erase {run}" for run in runs))


@command(name="export", group=memory_app)
def export_memories(agent: AgentArgument, *, db: DbOption = None, settings: SetOption = None) -> None:
    """Export all memories of an agent as JSON lines, oldest first."""
    for entry in reversed(_with(agent, db, settings, lambda memory: memory.entries())):
        print(json.dumps(entry.model_dump(mode="json"), ensure_ascii=False))
