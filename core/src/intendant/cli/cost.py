"""`intendant cost`: what runs spent, and an estimate of what orchestration saved."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer  # noqa: TID253

from intendant.cli.cost_view import NO_RUNS, show_costs
from intendant.cli.days import end_of, start_of
from intendant.cli.shared import DbOption, JsonOption, Session, SetOption, command, print_json
from intendant.model.errors import RunNotFound, StoreError
from intendant.pilot.cost_record import cost_document, read_costs

if TYPE_CHECKING:
    from intendant.pilot.engine import Engine


class By(StrEnum):
    """What calls are put together by."""

    agent = "agent"
    intent = "intent"
    model = "model"
    day = "day"
    tier = "tier"
    step = "step"


@command()
def cost(
    run: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="The run's id, the beginning of it, or `last`; by default all runs."),
    ] = None,
    *,
    by: Annotated[By | None, typer.Option("--by", help="Group by this; by model, or for one run by step.")] = None,
    since: Annotated[str | None, typer.Option(metavar="DAY", help="From this day on (UTC): 2026-11-21.")] = None,
    until: Annotated[str | None, typer.Option(metavar="DAY", help="Up to and including this day (UTC).")] = None,
    agent: Annotated[str | None, typer.Option(help="Only what this agent spent.")] = None,
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """Show costs, and an estimate of what was saved.

    Amounts spent come from the ledger, exact to the micro-US$; the savings are an estimate.
    """
    period = start_of(since, "--since"), end_of(until, "--until")
    chosen = by or (By.model if run is None else By.step)
    with Session(settings, db) as session:
        if _is_there(session.engine, run, named=db is not None):
            found = session.do(read_costs(session.engine, run, chosen.value, period=period, agent=agent))
        else:
            found = _nothing(chosen.value, period, agent)
    if as_json:
        print_json(found)
    else:
        show_costs(found)


def _is_there(engine: "Engine", run: str | None, *, named: bool) -> bool:
    """True if there is a database: looking must not make one.

    Raises:
        StoreError: There is none, and it was named: that is a mistake.
        RunNotFound: There is none, and a run of it is wanted.
    """
    url = engine.store_url
    path = url.removeprefix("sqlite:///")
    if path in (url, "", ":memory:") or Path(path).is_file():
        return True
    if named:
        raise StoreError(f"there is no database {path}", hint="`intendant run FILE --db URL` makes one")
    if run is not None:
        raise RunNotFound(f"there is no run '{run}'", hint=NO_RUNS)
    return False


def _nothing(by: str, period: tuple[float | None, float | None], agent: str | None) -> dict[str, Any]:
    from intendant.record.rows import Scope
    from intendant.spending.costs import Saved

    return cost_document(Scope(None, agent, *period), by, [], (0, 0, 0), Saved(), classified=False)
