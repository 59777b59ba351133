"""What stands in each box of a diagram: of a plan what steps may take, of a run what they took and became."""

from typing import Any

import pytest

from intendant import Workflow
from intendant.pilot.diagram_nodes import nodes_of_plan, nodes_of_run
from intendant.plugin import (
    Connector,
    IntentHandler,
    IntentSpec,
    Message,
    ModelRequest,
    Options,
    StepResult,
    operation,
)
from intendant.record.diagram_svg import Node
from intendant.testing import ScriptedProvider, engine

FLOW = """
name: t
inputs: {rows: {type: array, default: [1, 2, 3]}}
steps:
  - {id: ask, name: Ask it, intent: ask, prompt: x}
  - {id: each, for_each: "{{ inputs.rows }}", as: row, steps: [
      {id: in, intent: keep, input: "{{ row }}"}, {id: next, intent: keep, input: "{{ steps.in.output }}"}]}
  - {id: many, for_each: "{{ steps.ask.output }}", intent: keep}
  - {id: read, intent: keep, uses: shelf.read, needs: [ask, each]}
  - {id: wait, wait: {for: 1}}
finally:
  - {id: last, intent: keep}
"""


class Ask(IntentHandler):
    """Asks."""

    spec = IntentSpec(name="ask", summary="Ask", examples=("Ask",))

    async def handle(self, request):
        asked = ModelRequest(messages=(Message(content="x"),), max_output_tokens=20)
        return StepResult(output=(await request.model.complete(asked)).text)


class Keep(IntentHandler):
    """Keeps."""

    spec = IntentSpec(name="keep", summary="Keep", examples=("Keep",))

    def needs_model(self, step):
        return False

    async def handle(self, request):
        return StepResult(output=request.input)


class Shelf(Connector):
    """Reads."""

    name = "shelf"

    @operation(side_effects=False)
    async def read(self, parameters: Options) -> str:
        """Read."""
        return ""


@pytest.fixture
async def plan() -> Any:
    async with engine(Ask(), Keep(), Shelf(), ScriptedProvider()) as service:
        return await service.plan(Workflow.parse(FLOW, file="f.yaml"))


def facts(nodes: list[Node]) -> dict[str, tuple[str, ...]]:
    return {node.key: node.facts for root in nodes for node in (root, *root.inner)}


def states(nodes: list[Node]) -> dict[str, str]:
    return {node.key: node.state for root in nodes for node in (root, *root.inner)}


async def test_a_plan_says_what_its_steps_do_how_often_and_what_they_take_at_most(plan) -> None:
    nodes = nodes_of_plan(plan)
    asked = plan.by_id["ask"]
    assert asked.max_tokens
    assert {key: said for key, said in facts(nodes).items() if key != "ask"} == {
        "each": ("group", "for 3 items"),
        "each/in": ("keep", "for 3 items"),
        "each/next": ("keep", "for 3 items"),
        "many": ("keep", f"for about {plan.by_id['many'].items} items"),
        "read": ("keep · shelf.read",),
        "wait": ("wait",),
        "last": ("keep", "whatever happened"),
    }
    what, most = facts(nodes)["ask"]
    assert what == "ask"
    assert most.startswith(f"at most {asked.max_tokens} tokens, ")
    assert set(states(nodes).values()) == {"planned"}
    assert {node.key: node.needs for node in nodes} | {node.key: node.needs for node in nodes[1].inner} == {
        "ask": (),
        "each": (),
        "each/in": (),
        "each/next": ("each/in",),
        "many": ("ask",),
        "read": ("ask", "each"),
        "wait": (),
        "last": (),
    }
    assert [node.title for node in nodes][:2] == ["Ask it", "each"]


def usage(calls: int, *amounts: int) -> dict[str, Any]:
    return {
        "usage": {
            "calls": calls,
            **dict(zip(("input_tokens", "output_tokens", "micro_usd"), amounts, strict=False)),
        }
    }


async def test_a_run_says_what_became_of_its_steps_and_what_they_took(plan) -> None:
    waits = [
        {"type": "step_waiting", "step_id": "wait"},
        {"type": "approval_requested", "step_id": "read"},
        {"type": "step_started", "step_id": "last"},
    ]
    found = {
        "plan": plan.model_dump_json(by_alias=True, exclude_unset=True),
        "events": waits,
        "steps": {
            "ask": {"status": "completed", **usage(2, 30, 4, 1_500_000)},
            "each": {"status": "failed", "items": {"total": 3}, **usage(0, 9, 9, 9)},
        },
        "inner": {
            "each[0]": {"status": "completed"},
            "each[0]/in": {"status": "completed", **usage(1, 10, 1, 2_000_000)},
            "each[1]/in": {"status": "failed", **usage(1, 20, 2, 1_000_000)},
            "each[2]/in": {"status": "completed", "usage": None},
            "each[0]/next": {"status": "skipped"},
        },
    }
    nodes = nodes_of_run(found)
    told = facts(nodes)
    assert told["ask"] == ("ask", "34 tokens, $1.5000")
    assert told["each"] == ("group", "3 items")
    assert told["each/in"] == ("keep", "for 3 items", "2 completed", "1 failed", "33 tokens, $3.0000")
    assert told["each/next"] == ("keep", "for 3 items")
    assert states(nodes) == {
        "ask": "completed",
        "each": "failed",
        "each/in": "failed",
        "each/next": "skipped",
        "many": "planned",
        "read": "waiting",
        "wait": "waiting",
        "last": "planned",
    }


@pytest.mark.parametrize(
    ("inner", "state"),
    [
        (["completed", "failed", "waiting"], "failed"),
        (["completed", "waiting"], "waiting"),
        (["skipped", "completed"], "completed"),
        (["skipped", "skipped"], "skipped"),
        (["cancelled", "skipped"], "cancelled"),
    ],
)
async def test_of_several_items_the_worst_state_is_shown(plan, inner, state) -> None:
    items = {f"each[{n}]/in": {"status": each} for n, each in enumerate(inner)}
    found = {
        "plan": plan.model_dump_json(by_alias=True, exclude_unset=True),
        "events": [],
        "steps": {},
        "inner": items,
    }
    assert states(nodes_of_run(found))["each/in"] == state
