"""What the steps around a step say of it: where it stands in the workflow, and what others ask of its output."""

import re
from collections.abc import Mapping

from intendant.plugin import ClassifyRequest

_ROUTES = 4.0
"""What is added to the score of a branch where other steps ask which one was taken."""
_ALONE: Mapping[str, float] = {
    "extract": 1.0,
    "transform": -0.3,
    "summarize": -0.4,
    "filter": -0.6,
    "enrich": -0.6,
    "conditional": -0.6,
    "aggregate": -0.6,
}
"""A step that nothing is given to gets data; it has nothing to reshape, though it may make something."""
_SEVERAL: Mapping[str, float] = {"aggregate": 0.7}
"""A step that several feed brings their outputs together."""
_LAST: Mapping[str, float] = {"send": 0.3}
"""A step that feeds none delivers, as long as something is given to it."""
_VERDICT = 3.5
"""What is added to the score of a check where others ask whether it passed."""
_VERDICTS = frozenset(
    ("valid", "is_valid", "ok", "passed", "approved", "compliant", "safe", "errors", "issues", "problems")
)
_FIELD = re.compile(r"\w+")


def leanings(request: ClassifyRequest) -> dict[str, float]:
    """What the neighbours add to the scores of a step that names no machinery; small, so that its words decide.

    Nothing is known of the place of a step without any neighbour: it may be asked about by itself.
    """
    found: dict[str, float] = {}
    output = f"steps.{request.step.id}.output."
    for other in request.feeds_into:
        for asked in (other.when or "").split(output)[1:]:
            field = _FIELD.match(asked)
            if field and field[0] == "branch":
                found["conditional"] = _ROUTES
            elif field and field[0] in _VERDICTS:
                found["validate"] = _VERDICT
    given = bool(request.feeds_from) or request.step.input is not None
    if not given and request.feeds_into:
        _add(found, _ALONE)
    if len(request.feeds_from) > 1:
        _add(found, _SEVERAL)
    if request.feeds_from and not request.feeds_into:
        _add(found, _LAST)
    return found


def _add(found: dict[str, float], more: Mapping[str, float]) -> None:
    for name, value in more.items():
        found[name] = found.get(name, 0.0) + value
