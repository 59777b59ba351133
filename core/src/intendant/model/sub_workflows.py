"""Reads the workflow files that steps of a workflow name with `flow`, and those that they name."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, NamedTuple

from intendant.model.errors import Problem, WorkflowError
from intendant.model.source import Document, Path, parse
from intendant.model.workflow_files import STDIN, text_of

if TYPE_CHECKING:
    from intendant.model.workflow import Flow, Workflow

MAX_DEPTH = 5
"""Levels of sub-workflows within each other."""
MAX_STEPS = 20_000
"""Steps of a workflow, those of its sub-workflows included each time that they are used."""
BODIES = ("on_error", "loop", "rollback")
"""Keys of a step that hold a map with `steps` of their own."""


class Callers(NamedTuple):
    """The files on the way to a workflow, and what was read before."""

    chain: tuple[FilePath, ...]
    """Outermost first, the workflow's own last; absolute."""
    loaded: "dict[FilePath, Workflow | WorkflowError]"

    @classmethod
    def of(cls, document: Document) -> "Callers":
        """Those of a workflow that is not part of another."""
        named = document.file if document.file and document.file != STDIN else "workflow"
        return cls((FilePath(named).resolve(),), {})

    def within(self, file: FilePath) -> "Callers":
        """Those of a workflow that is part of this one."""
        return Callers((*self.chain, file), self.loaded)

    @property
    def folders(self) -> tuple[FilePath, FilePath]:
        """Beneath these a sub-workflow has to be: the outermost file's, and the working folder."""
        return self.chain[0].parent, FilePath.cwd()


def embed(value: dict[str, Any], document: Document, callers: Callers) -> tuple[list[Problem], list[Path]]:
    """Put what files hold in the place of their names; what cannot be read is taken out.

    Args:
        value: The workflow, as the models read it; changed.
        document: Where its values stand.
        callers: The files on the way to it.

    Returns:
        What is wrong with the files, and the steps whose file could not be read.
    """
    problems: dict[Problem, None] = {}
    unread: list[Path] = []
    for step, path in _steps(value, ()):
        if step.get("flow") is None:
            continue
        try:
            step["flow"] = _embedded(step["flow"], (*path, "flow"), document, callers)
        except WorkflowError as error:
            problems |= dict.fromkeys(error.problems)
            del step["flow"]
            unread.append(path)
    return list(problems), unread


def _steps(value: Mapping[str, Any], path: Path) -> Iterator[tuple[dict[str, Any], Path]]:
    """All steps within a map that has any, and where they stand."""
    for place in ("steps", "finally"):
        steps = value.get(place)
        for index, step in enumerate(steps if isinstance(steps, list) else ()):
            if isinstance(step, dict):
                yield step, (*path, place, index)
                yield from _steps(step, (*path, place, index))
    for name in BODIES:
        if isinstance(value.get(name), dict):
            yield from _steps(value[name], (*path, name))
    branches = value.get("branches")
    for name, branch in branches.items() if isinstance(branches, dict) else ():
        if isinstance(branch, dict):
            yield from _steps(branch, (*path, "branches", name))


def _embedded(name: Any, path: Path, document: Document, callers: Callers) -> "Flow":
    """The workflow of a file.

    Raises:
        WorkflowError: It cannot be read, or is wrong.
    """
    from intendant.model.workflow import Flow, Workflow

    if not isinstance(name, str) or not name or "{{" in name:
        hint = "it is read before anything runs: no reference can stand in it"
        raise WorkflowError([document.problem("`flow` is the path of a workflow file", path, hint=hint)])
    shown = callers.chain[-1].parent / name
    file = shown.resolve()
    if (fault := _fault(file, name, callers)) is not None:
        raise WorkflowError([document.problem(fault[0], path, hint=fault[1])])
    if file not in callers.loaded:
        try:
            source = parse(text_of(file), file=_short(file))
            callers.loaded[file] = Workflow.from_document(source, callers.within(file))
        except WorkflowError as error:
            callers.loaded[file] = error
    found = callers.loaded[file]
    if isinstance(found, WorkflowError):
        raise found
    return Flow(file=name, workflow=found)


def _fault(file: FilePath, name: str, callers: Callers) -> tuple[str, str] | None:
    """Why a file is not read, and what to do."""
    chain = " → ".join(_short(known) for known in (*callers.chain, file))
    if not any(file.is_relative_to(folder) for folder in callers.folders):
        hint = "move it, or run from a folder that is above both"
        return f"'{name}' is outside of the workflow's folder and the working folder", hint
    if file in callers.chain:
        return f"a workflow cannot be part of itself: {chain}", "use `loop` to do something again"
    if len(callers.chain) > MAX_DEPTH:
        return f"sub-workflows are nested deeper than {MAX_DEPTH}: {chain}", "put their steps into one of them"
    if not file.is_file():
        return f"there is no file '{name}'", f"it is looked for beside the file that names it: {_short(file)}"
    return None


def _short(file: FilePath) -> str:
    """A path as people read it: from the working folder where that is shorter."""
    relative = os.path.relpath(file)
    return relative if len(relative) < len(str(file)) else str(file)
