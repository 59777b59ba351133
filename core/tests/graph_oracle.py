"""What a run of a random workflow has to come to, worked out in memory: a simple oracle for the pilot."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from .random_graphs import STEP  # type: ignore[import-not-found]

Status = Literal["completed", "failed", "skipped", "waiting"]


class End(NamedTuple):
    """How a step ended."""

    status: Status
    output: Any = None
    handled: bool = False

    @property
    def done(self) -> bool:
        return self.status == "completed" or self.handled


@dataclass
class Oracle:
    """The state of a run.

    Args:
        flow: The workflow.
        fails: The ids of steps that fail.
    """

    flow: STEP
    fails: set[str]
    decided: dict[str, str] = field(default_factory=dict)
    """What people decided, by the addresses of steps."""
    sent: set[str] = field(default_factory=set)
    """The events of which signals were sent, as many as are wanted."""
    kept: dict[str, End] = field(default_factory=dict)
    """How steps ended that are done, by their addresses."""
    undone: set[str] = field(default_factory=set)
    """The addresses of sub-workflows that were rolled back; the empty one is that of the run."""

    def run(self) -> tuple[Status, dict[str, End]]:
        """What the run comes to when it is gone on with now."""
        found = self.frame(self.flow["steps"], "")
        if any(end.status == "waiting" for end in found.values()):
            return "waiting", found
        failed = _failed(found)
        if failed and self.flow.get("on_failure") == "rollback":
            self.undone.add("")
        last = self.frame(self.flow.get("finally", []), "", last=True)
        return ("failed" if failed or _failed(last) else "completed"), found

    def rolled_back(self) -> set[str]:
        """The addresses of steps that are undone where the run is."""
        return {address for address, step in _addressed(self.flow, self.kept) if "rollback" in step}

    def frame(self, steps: list[STEP], prefix: str, *, last: bool = False) -> dict[str, End]:
        """How steps end that are executed together; those that cannot begin are left out."""
        found: dict[str, End] = {}
        for step in steps:  # they need only steps before them
            needs = [found.get(need) for need in step.get("needs", ())]
            if any(end is None or end.status == "waiting" for end in needs):
                continue
            address = f"{prefix}{step['id']}"
            if not all(end is not None and end.done for end in needs):
                found[step["id"]] = End("skipped")
                continue
            if not last and address in self.kept:
                found[step["id"]] = self.kept[address]
                continue
            end = found[step["id"]] = self.handled(step, address)
            if end.done and not last:
                self.kept[address] = end
        return found

    def handled(self, step: STEP, address: str) -> End:
        """How a step ends, what is made of its failure included."""
        end = self.items(step, address) if "for_each" in step else self.once(step, address, address)
        handler = step.get("on_error")
        if end.status != "failed" or handler is None:
            return end
        if handler == "continue" or "output" in handler:
            return End("failed", None, handled=True)
        inner = self.body(handler["steps"], f"{address}/on_error/")
        return End("failed", inner.output, handled=True) if inner.status == "completed" else inner

    def items(self, step: STEP, address: str) -> End:
        ends, keeps = [], step.get("on_item_error") in ("skip", "keep")
        for index in range(len(step["for_each"])):
            own = f"{address}[{index}]"
            end = self.kept.get(own) or self.once(step, own, own)
            if end.done:
                self.kept[own] = end
            ends.append(end)
            if end.status == "failed" and not keeps:
                return end  # the others are not begun
        failed = [end for end in ends if end.status == "failed"]
        if failed and len(failed) == len(ends):
            return End("failed")
        if any(end.status == "waiting" for end in ends):
            return End("waiting")
        if step.get("on_item_error") == "skip":
            ends = [end for end in ends if end.status != "failed"]
        return End("completed", ["error" if end.status == "failed" else end.output for end in ends])

    def once(self, step: STEP, address: str, own: str) -> End:
        """How a step, or an item of it, ends."""
        if "wait" in step or "approve" in step:
            return self.gate(step, address)
        if "steps" in step or "loop" in step or "flow" in step:
            return self.composite(step, own)
        return self.work(step, own)

    def gate(self, step: STEP, address: str) -> End:
        if "wait" in step:
            return End("completed", "signal") if step["wait"]["event"] in self.sent else End("waiting")
        verdict = self.decided.get(address)
        if verdict == "approved":
            return End("completed", "approval")
        return End("waiting" if verdict is None else "failed")

    def composite(self, step: STEP, own: str) -> End:
        if "steps" in step:
            return self.body(step["steps"], f"{own}/")
        return self.loop(step["loop"], own) if "loop" in step else self.part(step["flow"]["workflow"], own)

    def work(self, step: STEP, own: str) -> End:
        if step["id"] in self.fails:
            return End("failed")
        if "branches" not in step:
            return End("completed", step["id"])
        taken = branch_of(step)
        inner = self.body(step["branches"][taken]["steps"], f"{own}/{taken}/")
        return End("completed", [taken, inner.output]) if inner.status == "completed" else inner

    def body(self, steps: list[STEP], prefix: str) -> End:
        found = self.frame(steps, prefix)
        if any(end.status == "waiting" for end in found.values()):
            return End("waiting")
        if _failed(found):
            return End("failed")
        last = found.get(steps[-1]["id"])
        return End("completed", None if last is None or not last.done else last.output)

    def loop(self, loop: STEP, own: str) -> End:
        goes_on = loop["while"] == "true" or int(loop["while"].removeprefix("state < ")) > 0
        for number in range(1, (loop["max"] if goes_on else 1) + 1):
            end = self.kept.get(f"{own}[{number}]") or self.body(loop["steps"], f"{own}[{number}]/")
            if end.status != "completed":
                return end
            self.kept[f"{own}[{number}]"] = end
        return End("completed", 0)

    def part(self, flow: STEP, own: str) -> End:
        end = End("failed") if own in self.undone else self.body(flow["steps"], f"{own}/")
        if end.status == "waiting":
            return end
        if end.status == "failed" and flow.get("on_failure") == "rollback":
            self.undone.add(own)
        last = self.frame(flow.get("finally", []), f"{own}/", last=True)
        return End("failed") if _failed(last) else end


def branch_of(step: STEP) -> str:
    """The branch that a step takes: always the last one."""
    return list(step["branches"])[-1]


def _failed(found: dict[str, End]) -> bool:
    return any(end.status == "failed" and not end.handled for end in found.values())


def _addressed(flow: STEP, kept: dict[str, End]) -> Iterator[tuple[str, STEP]]:
    """The completed steps of a run, by address; of a list each item."""
    steps = {step["id"]: step for step in all_steps(flow)}
    for address, end in kept.items():
        last, _, marks = address.rpartition("/")[2].partition("[")
        step = steps.get(last)
        if step is None or end.status != "completed":
            continue
        if marks.count("]") == ("for_each" in step):
            yield address, step


def all_steps(value: Any) -> Iterator[STEP]:
    """All steps of a workflow."""
    if isinstance(value, dict):
        if "id" in value:
            yield value
        for inner in value.values():
            yield from all_steps(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from all_steps(inner)
