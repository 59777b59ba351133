"""Random workflows of all that a graph can be made of, and the path through one on which it spends most."""

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from types import MappingProxyType
from typing import Any, NamedTuple

from intendant.planning.decided import Plan

STEP = dict[str, Any]
MODELS = ("scripted-1", "scripted-2", "scripted-3")


@dataclass
class Maker:
    """Makes workflows.

    Args:
        chance: Where its choices come from.
        depth: Levels of steps within each other, at most.
        capped: Every step in the outermost level has a budget of its own.
        money: Some budgets are in US$.
        model: The intent of steps that ask a model.
        plain: That of those that ask none, and return their input.
    """

    chance: random.Random
    depth: int = 3
    capped: bool = False
    money: bool = False
    model: str = "greedy"
    plain: str = "copy"
    count: int = 0
    left: int = 24
    """Steps that may still be made."""

    def workflow(self) -> STEP:
        """A workflow."""
        made: STEP = {"name": "random", "steps": self.body(0, self.chance.randint(1, 4))}
        if self.chance.random() < 0.3:
            made["on_failure"] = "rollback"
        if self.chance.random() < 0.25:
            made["finally"] = [self.asking()]
            if self.capped:
                made["finally"][0]["budget"] = {"tokens": self.tokens()}
        return made

    def tokens(self) -> int:
        return self.chance.randint(300, 3000)

    def body(self, depth: int, steps: int) -> list[STEP]:
        """Steps that are executed together."""
        made: list[STEP] = []
        for _ in range(max(1, min(steps, self.left))):
            step = self.step(depth)
            near = [other["id"] for other in made if self.chance.random() < 0.4]
            if near:
                step["needs"] = near
            made.append(step)
        return made

    def step(self, depth: int) -> STEP:
        """One step."""
        self.count += 1
        self.left -= 1
        step: STEP = {"id": f"s{self.count}"}
        kinds = ["work"] * 4 + ["plain", "approve", "wait"]
        if depth < self.depth and self.left > 0:
            kinds += ["group", "map", "map group", "loop", "branches", "branches", "flow"] * 2
        getattr(self, "_" + self.chance.choice(kinds).replace(" ", "_"))(step, depth)
        self.more(step, depth)
        return step

    def more(self, step: STEP, depth: int) -> None:
        """What any step may have: a budget, a way for errors, a rollback."""
        if "wait" in step or "approve" in step:
            return
        if (self.capped and depth == 0) or self.chance.random() < 0.2:
            step["budget"] = {"tokens": self.tokens()}
            if self.money and self.chance.random() < 0.5:
                step["budget"]["usd"] = self.chance.randint(100, 20_000) / 1e6
        if self.left > 0 and self.chance.random() < 0.15:
            how = self.chance.choice(["continue", {"output": None}, "steps", "steps"])
            step["on_error"] = {"steps": self.body(self.depth, 1)} if how == "steps" else how
        if self.left > 0 and self.chance.random() < 0.15:
            steps = [self.asking() for _ in range(self.chance.randint(1, 2))]
            step["rollback"] = {"steps": steps}

    def asking(self) -> STEP:
        """A step that asks a model, and nothing else."""
        self.count += 1
        self.left -= 1
        step: STEP = {"id": f"s{self.count}", "intent": self.model, "prompt": "go"}
        if self.chance.random() < 0.3:
            step["model"] = f"scripted/{self.chance.choice(MODELS)}"
        return step

    def _work(self, step: STEP, _depth: int) -> None:
        step |= {**self.asking(), "id": step["id"]}

    def _plain(self, step: STEP, _depth: int) -> None:
        step |= {"intent": self.plain, "input": self.chance.randint(0, 9)}

    def _approve(self, step: STEP, _depth: int) -> None:
        step["approve"] = {"ask": "May it?"}

    def _wait(self, step: STEP, _depth: int) -> None:
        step["wait"] = {"event": "go"}

    def _group(self, step: STEP, depth: int) -> None:
        step["steps"] = self.body(depth + 1, self.chance.randint(1, 3))

    def _map(self, step: STEP, depth: int) -> None:
        self._work(step, depth)
        self._items(step)

    def _map_group(self, step: STEP, depth: int) -> None:
        self._group(step, depth)
        self._items(step)

    def _items(self, step: STEP) -> None:
        step |= {"for_each": list(range(self.chance.randint(1, 4))), "as": f"of_{step['id']}"}
        if self.chance.random() < 0.5:
            step["on_item_error"] = self.chance.choice(["stop", "skip", "keep"])
        if self.chance.random() < 0.5:
            step["concurrency"] = self.chance.randint(1, 3)

    def _loop(self, step: STEP, depth: int) -> None:
        most = self.chance.randint(1, 4)
        body = self.body(depth + 1, self.chance.randint(1, 2))
        until = "true" if self.chance.random() < 0.5 else f"state < {self.chance.randint(0, 5)}"
        step["loop"] = {"state": 0, "steps": body, "next": "{{ state }}", "while": until, "max": most}

    def _branches(self, step: STEP, depth: int) -> None:
        self._work(step, depth)
        if self.chance.random() < 0.5:
            step |= {"intent": self.plain, "input": None}
            step.pop("prompt"), step.pop("model", None)
        step["branches"] = {
            name: {"steps": self.body(depth + 1, self.chance.randint(1, 2))}
            for name in ("left", "right")[: self.chance.randint(1, 2)]
        }

    def _flow(self, step: STEP, depth: int) -> None:
        part: STEP = {"name": "part", "steps": self.body(depth + 1, self.chance.randint(1, 3))}
        if self.chance.random() < 0.4:
            part["budget"] = {"tokens": self.tokens()}
        if self.chance.random() < 0.3:
            part["on_failure"] = "rollback"
        if self.chance.random() < 0.3:
            part["finally"] = [self.asking()]
        step["flow"] = {"file": "part.yaml", "workflow": part}


def inner_of(step: STEP) -> Iterator[list[STEP]]:
    """The steps that are executed where a step is."""
    if "steps" in step:
        yield step["steps"]
    if "loop" in step:
        yield step["loop"]["steps"]
    if "flow" in step:
        yield step["flow"]["workflow"]["steps"]


class Choice(NamedTuple):
    """A path: what it spends, the branches that it takes, and the steps that fail on it."""

    spends: int = 0
    branch: Mapping[str, str] = MappingProxyType({})
    fails: frozenset[str] = frozenset()

    def with_(self, other: "Choice") -> "Choice":
        return Choice(self.spends + other.spends, {**self.branch, **other.branch}, self.fails | other.fails)


def all_of(choices: Iterable[Choice]) -> Choice:
    return reduce(Choice.with_, choices, Choice())


def best_of(choices: Iterable[Choice]) -> Choice:
    return max(choices, key=lambda choice: choice.spends)


@dataclass(frozen=True)
class Dearest:
    """Finds the path through a workflow on which it spends most.

    Args:
        plan: What each step may spend by itself.
        money: Money counts; else tokens.
    """

    plan: Plan
    money: bool

    def workflow(self, flow: STEP) -> Choice:
        """The path through a workflow."""
        ends = [self.of(flow["steps"], "", fail=False, undone=False)]
        if flow.get("on_failure") == "rollback" and can_fail(flow["steps"]):
            ends.append(self.of(flow["steps"], "", fail=True, undone=True))
        return best_of(ends).with_(self.of(flow.get("finally", []), "", fail=False, undone=False))

    def of(self, steps: list[STEP], prefix: str, *, fail: bool, undone: bool) -> Choice:
        """The path through steps that are executed together, the last of which has to fail where *fail*; what is
        completed is undone where *undone*.
        """
        kept = {step["id"]: self.step(step, prefix, fail=False, undone=undone) for step in steps}
        if not fail:
            return all_of(kept.values())
        needed = {need for step in steps for need in step.get("needs", ())}
        return best_of(
            all_of(
                self.step(step, prefix, fail=True, undone=undone) if step is failing else kept[step["id"]]
                for step in steps
            )
            for failing in steps
            if failing["id"] not in needed and step_can_fail(failing)
        )

    def step(self, step: STEP, prefix: str, *, fail: bool, undone: bool) -> Choice:
        """The path through a step."""
        key, handler = f"{prefix}{step['id']}", step.get("on_error")
        ends = [] if fail else [self.work(step, key, fail=False, undone=undone)]
        if (fail or handler is not None) and inner_can_fail(step):
            failed = self.work(step, key, fail=True, undone=undone)
            if isinstance(handler, dict) and "steps" in handler:
                failed = failed.with_(self.of(handler["steps"], f"{key}/on_error/", fail=fail, undone=undone))
            ends.append(failed)
        best = best_of(ends)
        return best._replace(spends=min(best.spends, self.limit(step)))

    def limit(self, step: STEP) -> int:
        """What a step's own budgets admit."""
        given = [step.get("budget", {}), step.get("flow", {}).get("workflow", {}).get("budget", {})]
        unit, scale = ("usd", 1e6) if self.money else ("tokens", 1)
        return min((round(budget[unit] * scale) for budget in given if unit in budget), default=10**15)

    def work(self, step: STEP, key: str, *, fail: bool, undone: bool) -> Choice:
        """What a step does before anything is made of its end."""
        found = self.plan.by_id[key]
        most = (found.max_micro_usd or 0) if self.money else found.max_tokens
        parts = [Choice(most if found.needs_model else 0)]
        if "branches" in step:
            parts.append(self.branches(step, key, fail=fail, undone=undone))
        elif (flow := step.get("flow")) is not None:
            part = flow["workflow"]
            within = undone or (fail and part.get("on_failure") == "rollback")
            parts.append(self.of(part["steps"], f"{key}/", fail=fail, undone=within))
            parts.append(self.of(part.get("finally", []), f"{key}/", fail=False, undone=False))
        else:
            parts += [self.of(body, f"{key}/", fail=fail, undone=undone) for body in inner_of(step)]
            if fail and len(parts) == 1:
                parts.append(Choice(fails=frozenset({step["id"]})))
        if undone and not fail and "rollback" in step:
            parts.append(self.of(step["rollback"]["steps"], f"{key}/rollback/", fail=False, undone=False))
        return all_of(parts)

    def branches(self, step: STEP, key: str, *, fail: bool, undone: bool) -> Choice:
        """The dearest of a step's branches."""
        return best_of(
            self.of(branch["steps"], f"{key}/{name}/", fail=fail, undone=undone).with_(
                Choice(branch={step["id"]: name})
            )
            for name, branch in step["branches"].items()
            if not fail or can_fail(branch["steps"])
        )


def can_fail(steps: list[STEP]) -> bool:
    """True if steps that are executed together can fail after all of them have spent."""
    needed = {need for step in steps for need in step.get("needs", ())}
    return any(step_can_fail(step) for step in steps if step["id"] not in needed)


def step_can_fail(step: STEP) -> bool:
    """True if a step can fail, and nothing makes good for that."""
    handler = step.get("on_error")
    if handler is not None and not (isinstance(handler, dict) and can_fail(handler.get("steps", []))):
        return False
    return inner_can_fail(step)


def inner_can_fail(step: STEP) -> bool:
    """True if a step can fail, whatever is made of that."""
    if "approve" in step or "wait" in step:
        return False
    if "branches" in step:
        return any(can_fail(branch["steps"]) for branch in step["branches"].values())
    return all(can_fail(body) for body in inner_of(step))
