"""What is left of a wrong workflow, so that the rest of it is checked in the same go."""

import re
from collections.abc import Iterable
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from intendant.model.source import Document, Path
from intendant.model.workflow_problems import path_of

if TYPE_CHECKING:
    from intendant.model.workflow import Workflow

ROUNDS = 20
"""How often what is wrong is taken out: what is left may be wrong in its turn."""
_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def draft_of(
    model: "type[Workflow]",
    given: Any,
    document: Document,
    unread: Iterable[Path] = (),
    error: ValidationError | None = None,
) -> "Workflow | None":
    """The workflow without what is wrong in it; None if nothing is left.

    First the wrong values go. Where that does not do, the step around them is exchanged for one that does nothing
    under its id, so that references to it stay right; or the input for one of any type.

    Args:
        model: `Workflow`.
        given: The value of the document, as the model reads it.
        document: Where its values stand.
        unread: Steps whose sub-workflow could not be read.
        error: What the model refused.
    """
    value, first = deepcopy(given), True
    for path in unread:
        _exchange(value, (*path, "flow"))
    for _ in range(ROUNDS):
        for item in () if error is None else error.errors():
            path = path_of(item["loc"], value)
            if not (first and _take_out(value, path)):
                _exchange(value, path)
        try:
            draft = model.model_validate(value)
        except ValidationError as left:
            first, error = error is None, left
            continue
        draft._document = document  # noqa: SLF001
        return draft
    return None


def _idle(step: Any, index: int | str) -> dict[str, Any]:
    """A step in the place of one that is wrong, which does nothing and in which nothing can be wrong."""
    named = step.get("id") if isinstance(step, dict) else None
    known = isinstance(named, str) and _ID.match(named) is not None
    return {"id": named if known else f"step_{index}_", "wait": {"for": 0}}


def _take_out(value: Any, path: Path) -> bool:
    """Remove what stands at *path*; false if nothing does that can be removed."""
    *parents, last = path or ("",)
    for part in parents:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return False
    if not isinstance(value, dict) or last not in value:
        return False
    if last == "id" and isinstance(value["id"], str) and value["id"]:
        value["id"] = "_" + re.sub(r"\W", "_", value["id"], flags=re.ASCII)
    else:
        del value[last]
    return True


def _exchange(value: Any, path: Path) -> None:
    """Put something harmless in the place of the innermost step, or the input, around *path*."""
    around: tuple[Any, int | str] | None = None
    inside = value
    for before, part in zip(("", *path), path, strict=False):
        if not isinstance(inside, dict | list):
            break
        if before in ("steps", "finally") and isinstance(part, int) and isinstance(inside, list):
            around = (inside, part)
        elif before == "inputs" and isinstance(inside, dict) and around is None and part in inside:
            inside[part] = {"type": "any"}
            return
        try:
            inside = inside[part]
        except (KeyError, IndexError, TypeError):
            break
    if around is not None:
        steps, index = around
        if isinstance(index, int) and index < len(steps):
            steps[index] = _idle(steps[index], index)
    elif isinstance(value, dict) and path:
        if path[0] == "name":
            value["name"] = "unnamed"
        else:
            value.pop(str(path[0]), None)
