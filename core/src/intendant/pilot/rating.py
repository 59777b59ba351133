"""Takes down what people say of the quality of a run or a step."""

from typing import TYPE_CHECKING

from intendant.hooks.redaction import redacted
from intendant.model.errors import IntendantError
from intendant.pilot.process_names import user_name

if TYPE_CHECKING:
    from intendant.pilot.engine import Engine
    from intendant.record.store.ratings import Rated

BEST = 5
LONGEST_COMMENT = 4000


async def rate(
    engine: "Engine", run: str, rating: int, *, step: str | None = None, comment: str = "", by: str | None = None
) -> "Rated":
    """Rate a run, or a step of it, in the record.

    Raises:
        RunNotFound: There is no such run.
        IntendantError: It has no such step, the rating is none, or the comment is too long.
    """
    from intendant.record.store import ratings, runs

    if isinstance(rating, bool) or not isinstance(rating, int) or not 1 <= rating <= BEST:
        raise IntendantError(f"'{rating}' is no rating", hint=f"from 1 (useless) to {BEST} (as wanted)")
    if len(comment) > LONGEST_COMMENT:
        raise IntendantError(f"the comment has more than {LONGEST_COMMENT:,} characters")
    row = await engine.store.do(runs.find_run(run, engine.tenant))
    if step is not None:
        known = [found.key for found in await engine.store.do(runs.steps_of(row.id))]
        if step not in known:
            shown = ", ".join(known[:20]) or "none that has ended"
            raise IntendantError(
                f"the run {row.id} has no step '{step}' that has ended", hint=f"its steps: {shown}"
            )
    made = ratings.made_now(row.id, step or "", by or user_name(), rating, redacted(comment) or None)
    await engine.store.do(ratings.rate(made))
    return made
