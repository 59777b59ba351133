"""Files that a workflow reads and that are not there, as far as plans know: what a step before writes will be."""

import re
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from intendant.hooks.connectors import LocalFiles
from intendant.hooks.registry import Plugins
from intendant.model.errors import ConnectorError
from intendant.model.workflow import Json, Placed
from intendant.planning.decided import Plan

_UNKNOWN = re.compile(r"\{\{.*?\}\}", re.DOTALL)


class Use(NamedTuple):
    """A use of an operation, by a step or a tool of it, with what is known of its parameters."""

    connector: str
    operation: str
    given: Mapping[str, Json]


class _Written(NamedTuple):
    by: str
    """The step."""
    place: str
    """A path without links, in which `*` stands for what is not known before the run."""


class MissingFiles:
    """What the steps of a plan read and nobody writes before.

    Args:
        plan: The plan.
        uses: What its steps use, by step.
        plugins: The connectors.
    """

    def __init__(self, plan: Plan, uses: Mapping[str, list[Use]], plugins: Plugins) -> None:
        self._plan, self._plugins = plan, plugins
        self._by_key = plan.workflow.by_key
        self._files = {
            key: [found for use in all_ if (found := self._of(use)) is not None] for key, all_ in uses.items()
        }
        self._written = [written for key, files in self._files.items() for written in _written(key, files)]

    def _of(self, use: Use) -> LocalFiles | None:
        connector = self._plugins.connectors.get(use.connector)
        return None if connector is None else connector.files(use.operation, use.given, self._plan.folder)

    def doubts(self, key: str) -> Iterator[str]:
        """Why files that a step reads or writes cannot be read or written as things are; none where its workflow
        says what is done about that.
        """
        if _is_handled(self._by_key[key]):
            return
        for files in self._files.get(key, ()):
            for path in files.writes:
                if not _UNKNOWN.search(path):
                    yield from filter(None, [_told(files.roots.writable, path)])
            for path in files.reads:
                if not _UNKNOWN.search(path):
                    yield from self._missing(key, files, path)

    def _missing(self, key: str, files: LocalFiles, path: str) -> Iterator[str]:
        why = _told(files.roots.check, path)
        if not why:
            return
        writers = [by for by, place in self._written if by != key and _holds(place, files, path)]
        if any(self._is_before(by, key) for by in writers):
            return
        if not writers:
            yield why
        elif self._is_before(key, writers[0]):
            yield f"{path} is not there yet: the step '{writers[0]}', which writes it, runs after this one"
        else:
            yield (
                f"{path} is not there yet, and the step '{writers[0]}', which writes it, may run after this one: "
                f"say `needs: [{writers[0].rpartition('/')[2]}]`"
            )

    def _is_before(self, first: str, then: str) -> bool:
        """True if a step, or one around it, has ended when another one begins; also where both are in one loop."""
        around, goal = set(_around(self._by_key[first])), self._by_key[then]
        for outer in _around(goal):
            if outer in around:
                return self._by_key[outer].step.loop is not None or self._by_key[outer].step.is_map
            if self._leads(around, outer):
                return True
        return bool(goal.last and not self._by_key[first].last)

    def _leads(self, around: set[str], to: str) -> bool:
        """True if one of these steps is among those that another one needs, directly or not."""
        open_, seen = [to], set[str]()
        while open_:
            for need in self._plan.by_id[open_.pop()].needs:
                if need in around:
                    return True
                if need not in seen:
                    seen.add(need)
                    open_.append(need)
        return False


def _around(placed: Placed) -> Iterator[str]:
    """A step and those that it is part of, from within."""
    at: Placed | None = placed
    while at is not None:
        yield at.key
        at = at.outer


def _is_handled(placed: Placed) -> bool:
    """True if the workflow says what is done where the step, or one around it, fails."""
    at: Placed | None = placed
    while at is not None:
        if at.step.on_error is not None or at.step.on_item_error in ("skip", "keep"):
            return True
        at = at.outer
    return False


def _told(check: Callable[[str], object], path: str) -> str:
    """Why a path is refused; empty if it is not."""
    try:
        check(path)
    except ConnectorError as error:
        return f"{error.message}; {error.hint}" if error.hint else error.message
    return ""


def _written(key: str, files: list[LocalFiles]) -> Iterator[_Written]:
    for path in (path for found in files for path in found.writes):
        yield _Written(key, str(Path(_UNKNOWN.sub("*", path)).expanduser().absolute()))


def _holds(place: str, files: LocalFiles, path: str) -> bool:
    """True if what is written at *place* is, or lies in, what is read at *path*."""
    try:
        candidates = [str(found) for found in files.roots.places(path)]
    except ConnectorError:
        return False
    fixed = place.partition("*")[0]
    return any(fnmatchcase(found, place) or fixed.startswith(f"{found}/") for found in candidates)
