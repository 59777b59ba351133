"""What is wrong with a workflow is told before it runs: each mistake at its place, with what to do about it."""

import pytest
from pydantic import Field

from intendant import Workflow, WorkflowError
from intendant.plugin import (
    Classification,
    Classifier,
    Connector,
    IntentHandler,
    IntentSpec,
    Options,
    StepResult,
    operation,
)
from intendant.testing import engine


class Size(Options):
    """A size."""

    width: int = Field(default=1)
    names: list[str] = Field(default=[])


class Kept(Options):
    """What a step keeps."""

    count: int
    size: Size = Field(default=Size())
    ratio: float = Field(default=1.0)
    title: str = Field(default="")


class Keep(IntentHandler[Kept]):
    """Keeps some of its input."""

    spec = IntentSpec(name="keep", summary="Keep some", examples=("Keep the first",), connects=False)

    async def handle(self, request):
        return StepResult(output=request.input)


class Show(IntentHandler):
    """Uses a connector to read."""

    spec = IntentSpec(name="show", summary="Show", examples=("Show it",), connects=True, reads_only=True)

    async def handle(self, request):
        return StepResult(output=None)

    def check(self, step):
        if step.prompt == "raise":
            raise LookupError("no idea")
        return ["`prompt` is not about showing"] if step.prompt == "wrong" else []


class Put(IntentHandler):
    """Sends its input."""

    spec = IntentSpec(name="put", summary="Put", examples=("Put it",), connects=True, delivers=True)

    async def handle(self, request):
        return StepResult(output=None)


class Batch(IntentHandler):
    """Asks about records in batches."""

    spec = IntentSpec(name="batch", summary="Ask of each", examples=("Ask of each",))

    def batches(self, step):
        return True

    async def handle(self, request):
        return StepResult(output=None)


class Place(Options):
    """Where something is."""

    path: str
    lines: int = Field(default=1)


class Shelf(Connector):
    """Reads and writes."""

    name = "shelf"

    @operation(side_effects=False)
    async def read(self, parameters: Place) -> str:
        """Read."""
        return ""

    @operation(side_effects=True)
    async def write(self, parameters: Place, input: str) -> str:  # noqa: A002
        """Write."""
        return ""


async def mistakes(text: str) -> list[tuple[int | None, str, str]]:
    """Line, message and hint of each mistake that planning finds."""
    async with engine(Keep(), Show(), Put(), Batch(), Shelf()) as service:
        try:
            await service.plan(Workflow.parse(text, file="f.yaml"))
        except WorkflowError as error:
            return [(problem.line, problem.message, problem.hint) for problem in error.problems]
    return []


FLOWS = {
    "names of steps and inputs": """
name: t
inputs: {day: {type: string}, days: {default: 3}}
steps:
  - {id: one, intent: keep, with: {count: 1}, input: "{{ steps.tow.output }}", needs: [eno, zzz]}
  - {id: two, intent: keep, with: {count: 1}, input: "{{ inputs.dya }} {{ inputs }} {{ steps }}"}
  - {id: three, intent: keep, with: {count: 1}, input: "{{ steps.one.outptu }} {{ steps.two }} {{ thing.x }}"}
  - {id: two, intent: keep, with: {count: 1}, when: "steps.oen.output == inputs.yad"}
  - {id: five, intent: keep, with: {count: 1}, when: "steps.one.output + 1"}
  - {id: six, intent: keep, with: {count: 1}, when: "1 ="}
returns: {a: "{{ steps.sxi.output }}", b: "{{ run.id }}", c: "{{ run.status }}", d: "{{ secrets.KEY }}"}
""",
    "defaults of inputs": """
name: t
inputs:
  a: {type: integer, default: x}
  b: {type: integer, default: 3, choices: [1, 2]}
  c: {type: integer, default: 1, choices: [1, 2]}
  d: {type: string}
steps:
  - {id: one, intent: keep, with: {count: 1}}
""",
    "parameters": """
name: t
inputs: {text: {type: string}, number: {type: integer}, real: {type: number}, flag: {type: boolean}, list: {type: array}, map: {type: object}, some: {}}
steps:
  - {id: a, intent: keep, with: {}}
  - {id: b, intent: keep, with: {count: x, cuont: 3, size: {widht: 1, names: [1]}}}
  - {id: c, intent: keep, with: {count: "{{ inputs.text }}", ratio: "{{ inputs.number }}"}}
  - {id: d, intent: keep, with: {count: "{{ inputs.number }}", size: {width: "{{ inputs.list }}"}}}
  - {id: e, intent: keep, with: {count: "{{ inputs.some }}", size: "{{ inputs.map }}", ratio: "{{ inputs.real }}"}}
  - {id: f, intent: keep, with: {count: "{{ steps.a.output }}", size: "{{ inputs.text }}", title: "{{ inputs.number }} x"}}
  - {id: g, intent: keep, with: {count: "{{ inputs.number }} pieces", title: "{{ inputs.flag }}"}}
  - {id: h, intent: keep, with: {count: "{{ inputs.map.count }}", size: "{{ steps.a.output }}"}}
""",
    "connectors": """
name: t
steps:
  - {id: a, uses: shlef.read, with: {path: x}}
  - {id: b, uses: shelf.raed, with: {path: x}}
  - {id: c, intent: show, uses: shelf.read, with: {paht: x}}
  - {id: d, intent: keep, uses: shelf.read, with: {path: x}}
  - {id: e, intent: show, uses: shelf.write, with: {path: x}, input: x}
  - {id: f, intent: put, uses: shelf.write, with: {path: x}}
  - {id: g, intent: put, uses: shelf.write, with: {path: x}, input: null}
  - {id: h, intent: put, uses: shelf.read, with: {path: x}}
  - {id: i, intent: show, uses: shelf.read, with: {path: x}, prompt: wrong}
  - {id: j, intent: show, uses: shelf.read, with: {path: x}, prompt: raise}
  - {id: k, intent: show, uses: shelf.read, with: {path: x}, options: {more: 1}}
""",
    "plugins": """
name: t
steps:
  - {id: a, intent: kepe}
  - {id: b, intent: keep, with: {count: 1}, tier: scriptde, model: nobody/x}
  - {id: c, intent: keep, with: {count: 1}, model: scripted/x, output: {type: strin}}
  - {id: d, intent: keep, with: {count: 1}, batch: 3}
  - {id: e, intent: batch, batch: 3}
  - {id: f, intent: keep, with: {count: 1}, prompt: x, tools: [shelf.read]}
""",
    "secrets and the run": """
name: t
steps:
  - {id: a, uses: shelf.read, with: {path: "{{ secrets.KEY }}"}}
  - {id: b, uses: shelf.read, with: {path: "{{ secrets }}{{ secrets.A.b }}"}}
  - {id: c, intent: keep, with: {count: 1, title: "{{ secrets.KEY }}"}}
  - {id: d, uses: shelf.read, with: {path: "{{ run.id }}{{ run.workflow }}{{ run.started }}"}, input: "{{ secrets.KEY }}"}
  - {id: e, intent: keep, with: {count: 1}, input: "{{ run.failures }} {{ run }}"}
finally:
  - {id: z, intent: keep, with: {count: 1}, input: "{{ run.failures }} {{ run.status }} {{ run.x }} {{ steps.a.output }}"}
""",
    "steps within steps": """
name: t
inputs: {rows: {type: array}}
steps:
  - id: each
    for_each: "{{ inputs.rows }}"
    as: row
    when: "row == 1"
    steps:
      - {id: in, intent: keep, with: {count: 1}, input: "{{ row.x }} {{ item.x }} {{ steps.out.output }} {{ steps.far.output }}"}
      - {id: in, intent: keep, with: {count: 1}, when: "row.x > 1 && itme.x > 1"}
    returns: "{{ steps.in.output }} {{ steps.nowhere.output }}"
  - {id: out, intent: keep, with: {count: 1}, input: "{{ steps.in.output }} {{ row }}"}
  - {id: far, for_each: "{{ item.x }}", intent: keep, with: {count: 1}, input: "{{ item.x }}"}
  - id: loop
    loop: {state: {n: 1}, max: 3, steps: [{id: turn, intent: keep, with: {count: 1}, input: "{{ state.n }} {{ steps.nix.output }}"}], next: {n: "{{ steps.turn.output }} {{ state.n }}"}, while: "state.n < 3 && steps.trun.output"}
""",
    "circles": """
name: t
steps:
  - {id: free, intent: keep, with: {count: 1}}
  - {id: a, intent: keep, with: {count: 1}, input: "{{ steps.c.output }}"}
  - {id: b, intent: keep, with: {count: 1}, input: "{{ steps.a.output }}"}
  - {id: c, intent: keep, with: {count: 1}, needs: [b]}
""",
    "nothing": """
name: t
inputs: {n: {type: integer, default: null}}
steps:
  - {id: a, intent: keep, with: {count: "{{ inputs.n }}", size: {width: 2, names: [x]}}, when: "inputs.n == 1"}
  - {id: b, intent: put, uses: shelf.write, with: {path: x}, input: "{{ steps.a.output }}", needs: [a]}
returns: {of: "{{ steps.b.output }}"}
""",
}
TOLD = {
    "names of steps and inputs": [
        (3, "the default of 'days' is not of type string", ""),
        (5, "there is no step 'tow' ('{{ steps.tow.output }}')", "did you mean 'two'?"),
        (5, "there is no step 'eno'", "known: one, two, three, two, five, six"),
        (5, "there is no step 'zzz'", "known: one, two, three, two, five, six"),
        (6, "there is no input 'dya' ('{{ inputs.dya }}')", "did you mean 'day'?"),
        (6, "'{{ inputs }}' names no input", "write {{ inputs.<name> }}"),
        (6, "'{{ steps }}' names no step", "write {{ steps.<name> }}"),
        (
            7,
            "'{{ steps.one.outptu }}' names no field of the step",
            "a step has: output, status, notes, error, approval; write steps.one.output",
        ),
        (
            7,
            "'{{ steps.two }}' names no field of the step",
            "a step has: output, status, notes, error, approval; write steps.two.output",
        ),
        (7, "'thing' in '{{ thing.x }}' is not known", "references begin with steps, inputs, run, secrets"),
        (8, "the id 'two' is taken", "ids must differ"),
        (8, "there is no step 'oen' (`steps.oen.output == inputs.yad`)", "did you mean 'one'?"),
        (8, "there is no input 'yad' (`steps.oen.output == inputs.yad`)", "known: day, days"),
        (9, "`steps.one.output + 1` is neither true nor false", "compare it with something"),
        (10, "`1 =`: '=' is not understood", "`==` compares"),
        (11, "there is no step 'sxi' ('{{ steps.sxi.output }}')", "did you mean 'six'?"),
        (11, "'run.status' is not known", "run has: id, workflow, started"),
        (
            11,
            "'{{ secrets.KEY }}' would give a secret away",
            "a secret may stand in the `with` of a step that `uses` a connector, or of a tool, and nowhere else",
        ),
    ],
    "defaults of inputs": [
        (4, "the default of 'a' is not of type integer", ""),
        (5, "the default of 'b' is not one of its choices", ""),
    ],
    "parameters": [
        (5, "'count' is missing", ""),
        (6, 'count: must be a whole number, not "x"', ""),
        (6, "'cuont' is not a parameter here", "did you mean 'count'?"),
        (6, "'widht' is not a parameter here", "did you mean 'width'?"),
        (6, "names[0]: must be a text, not 1", ""),
        (7, "count: must be a whole number, not \"text\" ('{{ inputs.text }}')", ""),
        (8, "width: must be a whole number, not [] ('{{ inputs.list }}')", ""),
        (9, "count: must be a whole number, not \"text\" ('{{ inputs.some }}')", ""),
        (10, "size: must be a map: {key: value}, not \"text\" ('{{ inputs.text }}')", ""),
        (11, "count: must be a whole number, not \"text\" ('{{ inputs.number }} pieces')", ""),
        (11, "title: must be a text, not true ('{{ inputs.flag }}')", ""),
    ],
    "connectors": [
        (4, "no connector 'shlef' can be used", "did you mean 'shelf'?"),
        (5, "the connector 'shelf' has no operation 'raed'", "did you mean 'read'?"),
        (6, "'path' is missing", ""),
        (6, "'paht' is not a parameter here", "did you mean 'path'?"),
        (
            7,
            "a step of intent 'keep' uses no connector, and `uses: shelf.read` would not be done",
            "use it in a step of its own without an `intent`, and give that step's output as `input`",
        ),
        (
            8,
            "a step of intent 'show' only reads, and `shelf.write` changes something outside",
            "name an operation that reads, or use it in a send step",
        ),
        (
            9,
            "`input` is missing: what `shelf.write` is to send or write",
            'such as `input: "{{ steps.<id>.output }}"`',
        ),
        (12, "`prompt` is not about showing", ""),
        (13, "the handler of 'show' cannot check it: LookupError: no idea", ""),
        (14, "'more' is not a parameter here", "there are none"),
    ],
    "plugins": [
        (4, "no handler for intent 'kepe'", "did you mean 'keep'?"),
        (5, "there is no tier 'scriptde'", "known: only"),
        (5, "there is no provider 'nobody'", "installed: scripted"),
        (
            6,
            "this is not a usable JSON Schema: \"strin\" is not valid under any of the schemas listed in the 'anyOf' keyword",
            "",
        ),
        (
            7,
            "`batch`: this step of 'keep' asks no model about records in batches",
            "leave it out; a `prompt` over a list of records is asked so in batch",
        ),
    ],
    "secrets and the run": [
        (5, "'{{ secrets }}' names no secret", "write {{ secrets.NAME }}"),
        (5, "'{{ secrets.A.b }}' names no secret", "write {{ secrets.NAME }}"),
        (
            6,
            "'{{ secrets.KEY }}' would give a secret away",
            "a secret may stand in the `with` of a step that `uses` a connector, or of a tool, and nowhere else",
        ),
        (
            7,
            "'{{ secrets.KEY }}' would give a secret away",
            "a secret may stand in the `with` of a step that `uses` a connector, or of a tool, and nowhere else",
        ),
        (8, "'run.failures' is not known", "run has: id, workflow, started"),
        (8, "'run' is not known", "run has: id, workflow, started"),
        (10, "'run.x' is not known", "run has: id, workflow, started, status, failures"),
    ],
    "steps within steps": [
        (
            8,
            "`row == 1`: undeclared reference to 'row'",
            "names are steps.<id>.output, inputs.<name>, run; text needs quotes",
        ),
        (10, "'item' in '{{ item.x }}' is not known", "references begin with steps, inputs, run, secrets, row"),
        (11, "the id 'in' is taken", "ids must differ"),
        (
            11,
            "`row.x > 1 && itme.x > 1`: undeclared reference to 'itme.x'",
            "names are steps.<id>.output, inputs.<name>, run, row; text needs quotes",
        ),
        (12, "there is no step 'nowhere' ('{{ steps.nowhere.output }}')", "known: each, out, far, loop, in"),
        (13, "there is no step 'in' ('{{ steps.in.output }}')", "known: each, out, far, loop"),
        (13, "'row' in '{{ row }}' is not known", "references begin with steps, inputs, run, secrets"),
        (14, "'item' in '{{ item.x }}' is not known", "references begin with steps, inputs, run, secrets"),
        (16, "there is no step 'nix' ('{{ steps.nix.output }}')", "known: each, out, far, loop, turn"),
        (16, "there is no step 'trun' (`state.n < 3 && steps.trun.output`)", "did you mean 'turn'?"),
    ],
    "circles": [(5, "these steps wait for each other: a → b → c → a", "remove one of the references")],
    "nothing": [],
}


@pytest.mark.parametrize("flow", FLOWS)
async def test_each_mistake_is_told_once_in_the_order_of_the_file_with_what_to_do(flow) -> None:
    assert await mistakes(FLOWS[flow]) == TOLD[flow]


async def test_inputs_are_held_to_what_is_declared() -> None:
    text = """
name: t
inputs:
  number: {type: integer, choices: [1, 2]}
  any: {type: any, default: null}
  text: {type: string}
  last: {type: string}
steps:
  - {id: a, intent: keep, with: {count: 1}}
"""
    flow = Workflow.parse(text, file="f.yaml")
    async with engine(Keep()) as service:
        for given, told in (
            ({"number": 1, "text": "x", "last": "y"}, []),
            (
                {"number": 3, "any": float("nan"), "text": 4, "txet": 1, "zzzzz": 1},
                [
                    (4, "the input 'number' must be one of [1, 2]", ""),
                    (
                        5,
                        "the input 'any' is no JSON value: Out of range float values are not JSON compliant: nan",
                        "",
                    ),
                    (6, "the input 'text' must be of type string, not 4", ""),
                    (7, "the input 'last' is missing", "give it: -i last=…"),
                    (None, "there is no input 'txet'", "did you mean 'text'?"),
                    (None, "there is no input 'zzzzz'", "known: number, any, text, last"),
                ],
            ),
        ):
            found = []
            try:
                await service.run(flow, given)
            except WorkflowError as error:
                found = [(problem.line, problem.message, problem.hint) for problem in error.problems]
            assert [(line, message.removesuffix(": nan"), hint) for line, message, hint in found] == [
                (line, message.removesuffix(": nan"), hint) for line, message, hint in told
            ]


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ({"with": {"count": "x"}}, ['count: must be a whole number, not "x"']),
        ({"with": {"count": 1}}, []),
        (
            {"with": {"path": "x"}, "uses": "shelf.read"},
            ["a step of intent 'keep' uses no connector, and `uses: shelf.read` would not be done"],
        ),
        (
            {"with": {"path": "x"}, "uses": "shelf.read", "options": {"count": 1}},
            ["a step of intent 'keep' uses no connector, and `uses: shelf.read` would not be done"],
        ),
    ],
)
async def test_a_step_is_checked_again_when_its_intent_is_known(step, told) -> None:
    class Told(Classifier):
        """Knows."""

        name = "told"

        def classify(self, request):
            return Classification(intent="keep", confidence=1.0, method="told")

    flow = Workflow.model_validate({"name": "t", "steps": [{"id": "a", "prompt": "keep it", **step}]})
    found = []
    async with engine(Keep(), Shelf(), Told()) as service:
        try:
            await service.plan(flow)
        except WorkflowError as error:
            found = [problem.message for problem in error.problems]
    assert found == told
