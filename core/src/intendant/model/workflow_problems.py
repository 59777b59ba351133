"""From a document to what the models read, and from what they refuse to problems with line and column."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from functools import cache
from itertools import pairwise
from typing import Any

from pydantic import BaseModel, ValidationError

from intendant.model import workflow as models
from intendant.model.errors import Problem
from intendant.model.fault_words import grouped, hint_of, told_of
from intendant.model.graph_keys import Approve, Limits, Retry, ToolUse, Wait
from intendant.model.inputs import Input
from intendant.model.source import Document, Path
from intendant.model.sub_workflows import BODIES

_HINTS = {
    "id": "an id has letters, digits and underscores only, such as `fetch_mails`",
    "uses": "write connector.operation, such as `file.read`",
}
IGNORED = "x-"
"""Keys that begin so are for people and for anchors."""
_NEVER_DEFAULT = frozenset(
    {
        "id",
        "name",
        "description",
        "steps",
        "for_each",
        "branches",
        "needs",
        "wait",
        "when",
        "loop",
        "flow",
        "rollback",
    }
)
_OF_MAPS = frozenset({"as", "key", "concurrency", "gather", "on_item_error"})
_OF_GROUPS = frozenset({"on_error", "join", "priority", "budget", "approve"})
_MODELS: dict[str, type[BaseModel]] = {
    "retry": Retry,
    "budget": Limits,
    "approve": Approve,
    "wait": Wait,
    "tools": ToolUse,
}
_CALLED = {"as": "the name of an item"}
SURE = 0.75
"""How near a key of a step has to be to a known one (`difflib`) to be taken for that, and not for a parameter."""
_TOO_SHORT = {"steps": "`steps` has no step", "name": "the name is empty"}


def prepared(document: Document) -> dict[str, Any]:
    """The document's value without keys that are ignored, and with `defaults` in every step that they concern.

    A default that no step may have is left for the models to refuse.
    """
    value = _without_ignored(document.value)
    defaults = value.get("defaults")
    if not isinstance(defaults, dict):
        return value
    known = {name: item for name, item in defaults.items() if name not in _NEVER_DEFAULT}
    for place in ("steps", "finally"):
        if isinstance(value.get(place), list):
            value[place] = [_with_defaults(step, known) for step in value[place]]
    return value


def _without_ignored(value: dict[str, Any]) -> dict[str, Any]:
    kept = {name: item for name, item in value.items() if not name.startswith(IGNORED)}
    for place in ("steps", "finally"):
        if isinstance(kept.get(place), list):
            kept[place] = [_without_ignored(step) if isinstance(step, dict) else step for step in kept[place]]
    for name, body in _bodies(kept):
        kept[name] = _without_ignored(body)
    branches = kept.get("branches")
    if isinstance(branches, dict):
        kept["branches"] = {
            name: _without_ignored(branch) if isinstance(branch, dict) else branch
            for name, branch in branches.items()
            if not name.startswith(IGNORED)
        }
    return kept


def _bodies(step: dict[str, Any]) -> Iterable[tuple[str, dict[str, Any]]]:
    for name in BODIES:
        body = step.get(name)
        if isinstance(body, dict) and isinstance(body.get("steps"), list):
            yield name, dict(body)


def _with_defaults(step: Any, defaults: dict[str, Any]) -> Any:
    if not isinstance(step, dict):
        return step
    kept = {name: item for name, item in defaults.items() if name not in step and _concerns(name, step)}
    filled = {**kept, **step}
    if isinstance(step.get("steps"), list):
        filled["steps"] = [_with_defaults(item, defaults) for item in step["steps"]]
    for name, body in _bodies(step):
        filled[name] = body | {"steps": [_with_defaults(item, defaults) for item in body["steps"]]}
    if isinstance(step.get("branches"), dict):
        filled["branches"] = {
            name: branch | {"steps": [_with_defaults(item, defaults) for item in branch["steps"]]}
            if isinstance(branch, dict) and isinstance(branch.get("steps"), list)
            else branch
            for name, branch in step["branches"].items()
        }
    return filled


def _concerns(name: str, step: dict[str, Any]) -> bool:
    """True if a default of this name means something for this step."""
    if name in _OF_MAPS:
        return "for_each" in step
    if name == "max_turns":
        return "tools" in step
    works = not step.keys() & {"steps", "loop", "flow"} and (
        "wait" not in step or bool(step.keys() & {"intent", "uses", "prompt"})
    )
    return works or name in _OF_GROUPS


# --- problems ----------------------------------------------------------------------------------------------


def problems_of(error: ValidationError, document: Document) -> list[Problem]:
    """What the models refuse, in the order of the file."""
    items = [item for item in error.errors() if not _is_told_elsewhere(item, document)]
    problems: dict[Problem, None] = {}
    for path, faults in grouped(items, [path_of(item["loc"], document.value) for item in items]).items():
        message, hint = _told(faults, path)
        problems[document.problem(message, path, hint=hint, step=step_at(path, document))] = None
    far = 10**9
    return sorted(problems, key=lambda problem: (problem.line or far, problem.column or 0))


def _is_told_elsewhere(item: Any, document: Document) -> bool:
    """True for faults that follow from others."""
    path = path_of(item["loc"], document.value)
    if item["type"] == "too_short" and document.value.get("steps") and path == ("steps",):
        return True  # there are steps, but each of them is wrong
    # Of one form of several, where another one is meant.
    return item["type"] == "literal_error" and "OnError" not in str(item["loc"]) and _is_map(document, path)


def _told(faults: Sequence[Any], path: Path) -> tuple[str, str]:
    """What is wrong with the value at *path*, and what to do about it."""
    item, hint = faults[0], next(filter(None, map(hint_of, faults)), "")
    match item["type"]:
        case "extra_forbidden":
            is_step = len(path) > 1 and isinstance(path[-2], int)
            close = get_close_matches(str(path[-1]), _fields_at(path), n=1, cutoff=SURE if is_step else 0.6)
            if is_step and not close:
                hint = f"what its operation or intent takes stands under `with`: with: {{{path[-1]}: …}}"
                return f"'{path[-1]}' is not known here", hint
            known = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(_fields_at(path))}"
            return f"'{path[-1]}' is not known here", known
        case "too_short" if path and str(path[-1]) in _TOO_SHORT:
            return _TOO_SHORT[str(path[-1])], hint
        case "string_pattern_mismatch":
            field = str(item["loc"][-1])
            return f"'{item['input']}' is not allowed as {_CALLED.get(field, field)}", _HINTS.get(
                field, _HINTS["id"]
            )
    return told_of(faults, path), hint or _form_at(path)


def _form_at(path: Path) -> str:
    """How what stands at *path* is written, where people write it otherwise; empty for all else."""
    match path:
        case (*_, "steps"):
            return "write each step as an element: - {id: read, uses: file.read}"
        case ("inputs",):
            return "write a name for each: inputs: {file: {type: path}}"
        case ("inputs", str(name)):
            return f"write its type, or its default: {name}: {{type: path}}"
    return ""


def real_path(location: Path, given: Any, *, missing: bool) -> Path:
    """A location of pydantic without the names of members of unions in it, which are not in *given*.

    Args:
        location: The location.
        given: What was looked at.
        missing: Whether the last part is what is missing.
    """
    value, path = given, list[str | int]()
    for index, part in enumerate(location):
        known = isinstance(value, dict) and part in value
        if isinstance(value, list) and isinstance(part, int):
            known = part < len(value)
        if known:
            value = value[part]
        if known or not path or (missing and index == len(location) - 1):
            path.append(part)
    return tuple(path)


def _is_map(document: Document, path: Path) -> bool:
    value = document.value
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return False
    return isinstance(value, dict)


def path_of(location: Path, value: Any) -> Path:
    """Where in the document a fault is: a location of pydantic without the names of models and unions in it."""
    path: list[str | int] = []
    for index, part in enumerate(location):
        if part == "[key]":
            continue
        last = index == len(location) - 1
        if isinstance(value, dict) and part not in value and not last and part not in ("with", "as", "for"):
            continue  # the name of a member of a union
        if not isinstance(value, dict | list) and isinstance(part, str) and path:
            continue
        path.append(part)
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            value = {} if isinstance(value, dict) and last else value
    if path and path[-1] in ("OnError", "literal['continue']"):
        path.pop()
    return tuple(path)


def step_at(path: Path, document: Document) -> str:
    """The id of the innermost step on the way to *path*."""
    value, found = document.value, ""
    for before, part in zip(("", *path), path, strict=False):
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            break
        if isinstance(part, int) and before in ("steps", "finally") and isinstance(value, dict):
            found = str(value.get("id", ""))
    return found


def _fields_at(path: Path) -> list[str]:
    """The fields that are known where the unknown one at *path* stands."""
    model: type[BaseModel] = models.Workflow
    for before, part in pairwise(path):
        if before in ("steps", "finally") and isinstance(part, int):
            model = models.Step
        elif before in _MODELS:
            model = _MODELS[str(before)]
        elif before == "inputs":
            model = Input
        elif before == "branches":
            model = models.Branch
        elif before == models.ON_ERROR:
            model = models.OnError
        elif before == "loop":
            model = models.Loop
        elif before == models.ROLLBACK:
            model = models.Rollback
    return _names(model)


@cache
def _names(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]
