"""`intendant rate`: rates a run or a step."""

from typing import Annotated

import typer  # noqa: TID253

from intendant.cli.shared import DbOption, JsonOption, Session, SetOption, command, print_json
from intendant.model.errors import IntendantError


@command()
def rate(
    run: Annotated[str, typer.Argument(help="The run's id, the beginning of it, or `last`.")],
    words: Annotated[list[str], typer.Argument(metavar="[STEP] 1..5", help="From 1 (useless) to 5 (as wanted).")],
    *,
    comment: Annotated[str, typer.Option("--comment", "-c", help="Why.")] = "",
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """Rate a run, or one of its steps. Ratings are part of the record; the quality alert uses them."""
    from intendant.pilot.rating import rate as rating_of

    *steps, rating = words
    if len(steps) > 1 or not (rating.isascii() and rating.isdigit()):
        raise IntendantError(f"'{' '.join(words)}' is no rating", hint="write: intendant rate RUN [STEP] 4")
    with Session(settings, db) as session:
        step = steps[0] if steps else None
        made = session.do(rating_of(session.engine, run, int(rating), step=step, comment=comment))
    if as_json:
        print_json(made._asdict() | {"step_key": made.step_key or None})
    else:
        print(f"{made.run_id}{f' {made.step_key}' if made.step_key else ''}: {made.rating} of 5")
