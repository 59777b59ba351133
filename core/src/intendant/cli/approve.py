"""`intendant approvals`, `intendant approve`, `intendant deny`, `intendant pause` and `intendant cancel`."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer  # noqa: TID253

from intendant.cli.runs import with_store
from intendant.cli.shared import (
    DbOption,
    JsonOption,
    Session,
    SetOption,
    VerboseOption,
    command,
    load_settings,
    print_json,
)
from intendant.model.errors import IntendantError, amount
from intendant.pilot.process_names import user_name

if TYPE_CHECKING:
    from intendant.record.rows import ApprovalRow
    from intendant.record.store import Store

RunArgument = Annotated[str, typer.Argument(help="The run's id, the beginning of it, or `last`.")]
StepArgument = Annotated[str, typer.Argument(help="The step, as listed by `intendant approvals`.")]
ItemOption = Annotated[
    str | None, typer.Option("--item", help="The item's key, if approval is required for each item.")
]
NoteOption = Annotated[
    str,
    typer.Option(
        "--note", "--comment", help="The reason; recorded with the decision, and readable by later steps."
    ),
]
SHOWN = 2000
"""Characters that are printed of what would be sent."""


@command(name="approvals")
def list_approvals(
    run: Annotated[str | None, typer.Argument(help="Only those of this run.")] = None,
    *,
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
    verbose: VerboseOption = False,  # noqa: ARG001  # its callback does the work
) -> None:
    """List pending approvals: what would be sent, and what it may cost."""
    chosen = load_settings(settings)
    rows = with_store(db, chosen, lambda store: _open(store, run, chosen.budget.tenant))
    if as_json:
        print_json([_as_json(row) for row in rows])
        return
    for row in rows:
        print("\n".join(_lines(row)))
    if not rows:
        print("nothing is asked")


async def _open(store: "Store", run: str | None, tenant: str) -> "list[ApprovalRow]":
    from intendant.record.store import approvals, runs

    run_id = None if run is None else (await store.do(runs.find_run(run, tenant))).id
    return await store.do(approvals.open_approvals(run_id, tenant))


def _as_json(row: "ApprovalRow") -> dict[str, Any]:
    fields = row._asdict()
    return {
        "run_id": row.run_id,
        "step": row.step_key,
        "ask": row.ask,
        "by": json.loads(row.deciders),
        "shown": json.loads(row.shown),
        **{name: fields[name] for name in ("need", "asked_at", "expires_at", "otherwise")},
    }


def _lines(row: "ApprovalRow") -> list[str]:
    shown, by = json.loads(row.shown), json.loads(row.deciders)
    cost = shown.pop("cost")
    lines = [f"{row.run_id}  {row.step_key}: {row.ask}"]
    for name, value in shown.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        text = text if len(text) <= SHOWN else f"{text[:SHOWN]} … ({len(text)} characters)"
        lines.append(f"    {name}: {text}")
    micro = cost["micro_usd_at_most"]
    money = "an unknown amount" if micro is None else amount("micro_usd", micro)
    lines.append(f"    costs at most: {cost['tokens_at_most']} tokens, {money}")
    if by or row.need > 1:
        voted = f"; {row.denials} denials deny" if row.denials else ""
        lines.append(f"    who decides: {', '.join(by) or 'anybody'}, {row.need} of them{voted}")
    if row.expires_at is not None:
        until = datetime.fromtimestamp(row.expires_at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        then = "others are asked" if row.otherwise == "ask" else row.otherwise
        lines.append(f"    until {until}, then: {then}")
    return [*lines, f"    intendant approve {row.run_id} '{row.step_key}'"]


@command()
def approve(
    run: RunArgument,
    step: StepArgument,
    *,
    item: ItemOption = None,
    note: NoteOption = "",
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
    verbose: VerboseOption = False,  # noqa: ARG001  # its callback does the work
) -> None:
    """Approve what a step would do. `intendant resume RUN` continues the run."""
    _decide(run, step, item, "approved", note, as_json=as_json, db=db, settings=settings)


@command()
def deny(
    run: RunArgument,
    step: StepArgument,
    *,
    item: ItemOption = None,
    note: NoteOption = "",
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
    verbose: VerboseOption = False,  # noqa: ARG001  # its callback does the work
) -> None:
    """Deny what a step would do. The step fails when the run continues, unless others have to deny it too."""
    _decide(run, step, item, "denied", note, as_json=as_json, db=db, settings=settings)


def _decide(
    run: str,
    step: str,
    item: str | None,
    verdict: str,
    note: str,
    *,
    as_json: bool,
    db: str | None,
    settings: list[str] | None,
) -> None:
    by, chosen = user_name(), load_settings(settings)

    async def work(store: "Store") -> tuple[str, str, int]:
        from intendant.record.store import approvals, runs

        run_id = (await store.do(runs.find_run(run, chosen.budget.tenant))).id
        rows = await store.do(approvals.open_approvals(run_id))
        key = _address(run_id, step, item, [row.step_key for row in rows])
        return run_id, key, await store.do(approvals.decide(run_id, key, by, verdict, note))

    run_id, key, wanted = with_store(db, chosen, work)
    if as_json:
        print_json({"run_id": run_id, "step": key, "by": by, "verdict": verdict, "still_wanted": wanted})
        return
    print(f"{verdict}: step '{key}' of run {run_id}, by {by}")
    if wanted:
        print(f"    open still: {wanted} more would have to approve it")
    else:
        print(f"    to go on: intendant resume {run_id}")


def _address(run_id: str, step: str, item: str | None, asked: list[str]) -> str:
    """The address of the question that is meant.

    Raises:
        IntendantError: There is none, or more than one.
    """
    from intendant.pilot.items import address_key
    from intendant.spending.step_budgets import budget_key

    def meant(key: str) -> bool:
        """Whether a question is about the step, which may be named by its id alone."""
        return step in (budget_key(key), budget_key(key).rpartition("/")[2])

    fits = [key for key in asked if key == step]
    if item is not None:
        fits = [key for key in asked if meant(key) and f"[{address_key(item)}]" in key]
    elif not fits:
        fits = [key for key in asked if meant(key)]
    if len(fits) == 1:
        return fits[0]
    if not fits:
        known = ", ".join(f"'{key}'" for key in asked[:10]) or "nothing"
        which = f", item {item!r}," if item is not None else ""
        raise IntendantError(
            f"nothing is asked about step '{step}'{which} of run {run_id}",
            hint=f"asked about: {known}",
        )
    raise IntendantError(
        f"step '{step}' of run {run_id} is asked about for {len(fits)} items",
        hint=f"say which: --item KEY, or one of {', '.join(fits[:5])}",
    )


@command()
def pause(
    run: RunArgument,
    *,
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
    verbose: VerboseOption = False,  # noqa: ARG001  # its callback does the work
) -> None:
    """Pause a run: it starts no further step. Steps in execution end first; workers ignore the run.

    `intendant resume RUN` continues it.
    """
    with Session(settings, db) as session:
        run_id = session.do(session.service.pause(run))
    if as_json:
        print_json({"run_id": run_id, "paused": True})
    else:
        print(f"paused: run {run_id}, as soon as the steps that it is at have ended")
        print(f"    to go on: intendant resume {run_id}")


@command()
def cancel(
    run: RunArgument,
    *,
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
    verbose: VerboseOption = False,  # noqa: ARG001  # its callback does the work
) -> None:
    """Cancel a run. A process that is executing it is fenced off from then on.

    Steps under `finally` are executed. A model call in flight stays charged in full.
    """
    with Session(settings, db) as session:
        result = session.do(session.service.cancel(run))
    if as_json:
        print_json({"run_id": result.run_id, "status": result.status.value})
    else:
        print(f"cancelled: run {result.run_id}")
