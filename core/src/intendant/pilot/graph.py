"""The graph of steps that are executed together: which come before which, and what they refer to."""

import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from intendant.model.placing import has_bodies
from intendant.model.references import Reference
from intendant.model.source import Path
from intendant.model.workflow import ON_ERROR, ROLLBACK, Step
from intendant.pilot.conditions import step_names

CONDITION_NAMES = ("steps", "inputs", "run")


@dataclass(frozen=True, slots=True)
class Graph:
    """Which of the steps that are executed together come before which."""

    needs: Mapping[str, tuple[str, ...]]
    """Each step's direct predecessors, by id."""
    dependants: Mapping[str, tuple[str, ...]]
    asked: Mapping[str, frozenset[str]]
    """Of a step's predecessors, those of which it only asks how they ended: whatever became of them will do."""

    @classmethod
    def of(cls, steps: Sequence[Step]) -> "Graph":
        """The graph of steps without problems."""
        needs: dict[str, tuple[str, ...]] = {}
        dependants: dict[str, list[str]] = {step.id: [] for step in steps}
        for step in steps:
            names = [*step.needs, *names_in(step)]
            # A step that has its own name in it means one of its own steps, or itself in `on_error`.
            needs[step.id] = tuple(
                dict.fromkeys(
                    name for name in names if name in dependants and not (name == step.id and step.is_composite)
                )
            )
            for need in needs[step.id]:
                dependants[need].append(step.id)
        asked = {step.id: frozenset(_only_asked(step)) for step in steps}
        return cls(needs, {key: tuple(value) for key, value in dependants.items()}, asked)

    def cycle(self) -> list[str]:
        """Steps that wait for each other, in order; empty if there are none."""
        left = {step: len(needs) for step, needs in self.needs.items()}
        ready = deque(step for step, count in left.items() if count == 0)
        while ready:
            step = ready.popleft()
            del left[step]
            for dependant in self.dependants[step]:
                left[dependant] -= 1
                if left[dependant] == 0:
                    ready.append(dependant)
        return self._walk(left) if left else []

    def _walk(self, stuck: Mapping[str, int]) -> list[str]:
        path: list[str] = []
        step = next(iter(stuck))
        while step not in path:
            path.append(step)
            step = next(need for need in self.needs[step] if need in stuck)
        return [*path[path.index(step) :], step][::-1]


def names_in(step: Step) -> Iterator[str]:
    """The steps that a step refers to, those within it included, but not those that are private to it."""
    for item in _outward(step):
        yield str(item.step)
    if step.when:
        yield from sorted(step_names(step.when))
    if step.loop is not None:
        yield from sorted(step_names(step.loop.while_) - inner_ids(step))
    for name, body, place in step.bodies():
        if place[0] == ROLLBACK:
            continue  # when it runs, nothing else does
        private = {inner.id for inner in body}
        if name:  # a branch, or a way for errors: it may look at the step that it belongs to
            private.add(step.id)
        for part in body:
            yield from (found for found in names_in(part) if found not in private)


def _outward(step: Step) -> Iterator[Reference]:
    """The references of a step to others: not to those within it, nor to itself once it has failed."""
    inner = inner_ids(step)
    for item in step.references:
        if not isinstance(item, Reference) or item.step is None:
            continue
        private = item.step in inner and looks_inside(item.path)
        if not private and not (item.step == step.id and item.path[:1] == (ON_ERROR,)):
            yield item


def inner_ids(step: Step) -> frozenset[str]:
    """The ids of the steps within a step."""
    if not has_bodies(step):
        return frozenset()
    return frozenset(inner.id for _, body, _ in step.bodies() for inner in body)


def looks_inside(path: Path) -> bool:
    """True if what stands in a key of a step sees the steps within it."""
    return path[:1] in (("returns",), ("branches",)) or path[:2] == ("loop", "next")


ABOUT = ("status", "error", "approval")
"""What a step has however it ended."""
_FIELDS = re.compile(r"""(?<![\w.])steps\s*(?:\.\s*(\w+)|\[\s*['"](\w+)['"]\s*\])\s*(?:\.\s*(\w+))?""")


def _only_asked(step: Step) -> set[str]:
    """The steps of which a step only asks how they ended."""
    asked = {match[1] or match[2] for match in _FIELDS.finditer(step.when or "") if match[3] in ABOUT}
    used = {match[1] or match[2] for match in _FIELDS.finditer(step.when or "") if match[3] not in ABOUT}
    used.update(step.needs)
    for item in _outward(step):
        (asked if len(item.parts) > 1 and item.parts[1] in ABOUT else used).add(item.step)
    for _, body, place in step.bodies():
        if place[0] == ROLLBACK:
            continue
        used.update(name for part in body for name in names_in(part))
    return asked - used
