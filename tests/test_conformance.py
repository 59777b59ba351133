"""Whole jobs, as people have them: what comes out, what stops where, and how often something is done.

The second half is tables of small facts about values. What differs on purpose from the system that this one takes the
place of is said in docs/conformance.md.
"""

import asyncio
import json
import re
from pathlib import Path

import pytest

from intendant import OrchestrationService, Workflow
from intendant.plugin import IntentHandler, IntentSpec, ModelRequest, Options, StepError, StepRequest, StepResult
from intendant.testing import ScriptedProvider


class PaceParameters(Options):
    seconds: float = 0.0
    fail: bool = False


class Pace(IntentHandler[PaceParameters]):
    """Gives its input back after a while, or fails; knows how many were at it at once."""

    spec = IntentSpec(name="pace", summary="Wait", examples=("Wait a while",))

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = self.done = 0

    def needs_model(self, step: object) -> bool:
        return False

    async def handle(self, request: StepRequest[PaceParameters]) -> StepResult:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(request.parameters.seconds)
        finally:
            self.now -= 1
        self.done += 1
        if request.parameters.fail:
            raise StepError("it is down")
        return StepResult(output=request.input)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def run(steps: list[dict], *plugins, inputs: dict | None = None, settings: dict | None = None, **more):
    given = {name: {"type": "any"} for name in inputs or {}}
    flow = Workflow.model_validate({"name": "job", "inputs": given, "steps": steps, **more})
    async with OrchestrationService(settings or {}, plugins=plugins, db="sqlite:///runs.db") as service:
        return await service.run(flow, inputs or {})


# --- jobs ---------------------------------------------------------------------------------------------------------

RULES = [
    {"name": "customer", "rule": "has(item.customer_id)"},
    {"name": "items", "rule": "size(item.items) >= 1"},
    {"name": "total", "rule": "item.total >= 0"},
]
CUSTOMERS = [{"id": 7, "name": "Ada", "card": "4111"}]
ORDER = [
    {"id": "check", "intent": "validate", "input": ["{{ inputs.order }}"], "with": {"rules": RULES}},
    {
        "id": "known",
        "steps": [
            {
                "id": "find",
                "intent": "enrich",
                "input": "{{ steps.check.output.passed }}",
                "with": {"from": CUSTOMERS, "on": {"left": "customer_id", "right": "id"}, "missing": "fail"},
            },
        ],
        "returns": {"customer": "{{ steps.find.output[0].name }}"},
    },
    {
        "id": "create",
        "intent": "send",
        "uses": "file.write",
        "input": "{{ steps.known.output }}",
        "with": {"path": "o.json"},
    },
]


async def test_an_order_is_checked_looked_up_and_created():
    """What a group returns is all that others see of it."""
    result = await run(ORDER, inputs={"order": {"customer_id": 7, "items": [1], "total": 5}})
    assert result.outputs["known"] == {"customer": "Ada"}
    assert json.loads(Path("o.json").read_text()) == {"customer": "Ada"}


@pytest.mark.parametrize(
    "order",
    [
        {"customer_id": 7, "items": [], "total": 5},
        {"items": [1], "total": 5},
        {"customer_id": 7, "items": [1], "total": -1},
        {"customer_id": 8, "items": [1], "total": 1},
    ],
)
async def test_an_order_that_is_wrong_stops_before_anything_is_created(order):
    result = await run(ORDER, inputs={"order": order})
    assert result.status == "failed"
    assert not Path("o.json").exists()


async def test_a_failed_item_fails_none_of_the_others():
    """Items keep their order, whichever ends first; `keep` tells a failed one apart."""
    pace = Pace()
    items = [{"n": n, "seconds": 0.02 * (5 - n), "fail": n == 2} for n in range(5)]
    step = {
        "id": "all",
        "intent": "pace",
        "for_each": items,
        "as": "item",
        "concurrency": 5,
        "on_item_error": "keep",
        "input": "{{ item.n }}",
        "with": {"seconds": "{{ item.seconds }}", "fail": "{{ item.fail }}"},
    }
    result = await run([step], pace)
    assert result.status == "completed"
    output = result.outputs["all"]
    assert [output[n] for n in (0, 1, 3, 4)] == [0, 1, 3, 4]
    assert output[2]["error"]["message"] == "it is down"


async def test_three_levels_of_work_hand_the_number_up():
    """What the innermost step made surfaces through groups."""
    inner = {"id": "ship", "steps": [{"id": "track", "intent": "pace", "input": {"number": "T-1"}}]}
    middle = {"id": "stock", "steps": [inner], "returns": {"tracking": "{{ steps.ship.output.number }}"}}
    result = await run(
        [{"id": "pay", "steps": [middle]}], Pace(), returns={"t": "{{ steps.pay.output.tracking }}"}
    )
    assert result.returned == {"t": "T-1"}


async def test_errors_stop_are_passed_over_or_replaced_as_each_step_says():
    """One that throws fails the run; one that continues leaves its error to look at; one gives something else."""
    down = {"intent": "pace", "input": 1, "with": {"fail": True}}
    after = {
        "id": "after",
        "intent": "pace",
        "needs": ["extra", "rights"],
        "input": {"why": "{{ steps.extra.error.message }}", "rights": "{{ steps.rights.output }}"},
    }
    steps = [
        {"id": "extra", **down, "on_error": "continue"},
        {"id": "rights", **down, "on_error": {"output": "none"}},
        after,
    ]
    result = await run(steps, Pace())
    assert (result.status, result.outputs["after"]) == ("completed", {"why": "it is down", "rights": "none"})
    result = await run([{"id": "pay", **down}, *steps], Pace())
    assert result.status == "failed"
    assert list(result.failures) == ["pay"]


async def test_a_call_that_takes_too_long_gives_way_to_what_is_at_hand():
    live = {
        "id": "live",
        "intent": "pace",
        "input": "live",
        "timeout": 0.05,
        "with": {"seconds": 30},
        "on_error": {"output": "{{ inputs.cached }}"},
    }
    result = await run([live], Pace(), inputs={"cached": "yesterday's"})
    assert result.outputs["live"] == "yesterday's"
    assert result.handled["live"].error == "StepTimeout"


async def test_independent_steps_run_side_by_side_and_are_merged():
    pace = Pace()
    parts = [{"id": name, "intent": "pace", "input": {name: 1}, "with": {"seconds": 0.2}} for name in "abc"]
    whole = {
        "id": "whole",
        "intent": "transform",
        "input": [f"{{{{ steps.{name}.output }}}}" for name in "abc"],
        "with": {"op": "reduce", "with": "merge"},
    }
    result = await run([*parts, whole], pace)
    assert result.outputs["whole"] == {"a": 1, "b": 1, "c": 1}
    assert pace.most == 3


@pytest.mark.parametrize(("score", "branch"), [(2, "simple"), (5, "moderate"), (9, "complex")])
async def test_of_several_branches_one_is_executed(score, branch):
    pace = Pace()
    names = ("simple", "moderate", "complex")
    levels = [{"below": 4, "then": "simple"}, {"below": 7, "then": "moderate"}, {"then": "complex"}]
    step = {
        "id": "way",
        "intent": "conditional",
        "input": "{{ inputs.score }}",
        "with": {"measure": "input", "levels": levels},
        "branches": {name: {"steps": [{"id": name, "intent": "pace", "input": name}]} for name in names},
    }
    result = await run([step], pace, inputs={"score": score})
    assert result.outputs["way"]["result"] == branch
    assert pace.done == 1


async def test_a_list_is_worked_on_so_many_at_once():
    """Five items at once, whose three steps follow each other."""
    pace = Pace()
    wait = {"seconds": 0.01}
    parts = [
        {"id": "a", "intent": "pace", "input": "{{ n }}", "with": wait},
        {"id": "b", "intent": "pace", "input": "{{ steps.a.output }}", "with": wait},
        {"id": "c", "intent": "pace", "input": "{{ steps.b.output }}", "with": wait},
    ]
    step = {"id": "mails", "for_each": list(range(20)), "as": "n", "concurrency": 5, "steps": parts}
    result = await run([step], pace)
    assert (result.outputs["mails"], pace.done, pace.most) == (list(range(20)), 60, 5)


MAILS = [
    {"id": "m1", "from": "ada@example.org", "subject": "Refund please", "text": "It is broken"},
    {"id": "m2", "from": "bo@example.org", "subject": "Hello", "text": "Lunch?"},
    {"id": "m3", "from": "cem@example.org", "subject": "Hi", "text": "The printer is NOT WORKING at all"},
    {"id": "m4", "from": "di@example.org", "subject": None, "text": "I am angry!"},
]
COMPLAINTS = [
    {"id": "known", "intent": "extract", "uses": "file.read", "with": {"path": "log.csv"}},
    {
        "id": "new",
        "intent": "filter",
        "input": "{{ inputs.mails }}",
        "with": {
            "contains_any": {"fields": ["subject", "text"], "words": "complaint, refund, angry, not working"},
            "not_in": {"records": "{{ steps.known.output }}", "by": "id", "other_by": "message"},
        },
    },
    {
        "id": "rows",
        "intent": "transform",
        "input": "{{ steps.new.output }}",
        "with": {"op": "select", "fields": {"message": "id", "sender": "from", "what": "text"}},
    },
    {
        "id": "append",
        "intent": "send",
        "uses": "file.append",
        "when": "steps.rows.output.size() > 0",
        "input": "{{ steps.rows.output }}",
        "with": {"path": "log.csv"},
    },
]


async def test_complaints_are_logged_once():
    """A second run over the same mails appends nothing."""
    Path("log.csv").write_text("message,sender,what\nm0,x@example.org,old\n")
    for logged in (3, 0):
        result = await run(COMPLAINTS, inputs={"mails": MAILS})
        assert result.status == "completed", result.failures
        assert len(result.outputs["rows"]) == logged
    assert [line.split(",")[0] for line in Path("log.csv").read_text().splitlines()] == [
        "message",
        "m0",
        "m1",
        "m3",
        "m4",
    ]


async def test_each_salesperson_gets_one_mail_with_their_leads():
    """Leads of stage 4 by person; those of nobody are left out, and counted."""
    people = ["Ada", "Bo", "Ada", None, "Cem", "Bo", ""]
    leads = [{"lead": n, "stage": 4 if n != 5 else 3, "who": who} for n, who in enumerate(people)]
    steps = [
        {"id": "open", "intent": "filter", "input": "{{ inputs.leads }}", "with": {"where": "item.stage == 4"}},
        {
            "id": "by",
            "intent": "aggregate",
            "input": "{{ steps.open.output }}",
            "with": {"group_by": "who", "measures": {"leads": {"list": "lead"}}},
        },
        {
            "id": "mail",
            "intent": "send",
            "uses": "file.write",
            "for_each": "{{ steps.by.output }}",
            "as": "group",
            "input": "{{ group.leads }}",
            "with": {"path": "{{ group.who }}.json"},
        },
    ]
    result = await run(steps, inputs={"leads": leads})
    assert sorted(path.name for path in Path().glob("*.json")) == ["Ada.json", "Bo.json", "Cem.json"]
    assert json.loads(Path("Ada.json").read_text()) == [0, 2]
    assert "2 records without who left out" in result.steps["by"].notes


async def test_tasks_that_are_due_are_told_by_days_of_the_calendar():
    tasks = [
        {"task": "late", "priority": "High", "due": "9/5/2026"},
        {"task": "soon", "priority": "Critical", "due": "13/5/2026"},
        {"task": "next", "priority": "High", "due": "11.5.2026"},
        {"task": "low", "priority": "Low", "due": "11.5.2026"},
        {"task": "far", "priority": "High", "due": "2026-06-30"},
    ]
    due = "item.priority in ['Critical', 'High'] && item.days != null && item.days >= 1 && item.days <= 3"
    steps = [
        {
            "id": "days",
            "intent": "transform",
            "input": [{**task, "today": "2026-05-10T23:59:00"} for task in tasks],
            "with": {"op": "days_between", "from": "today", "to": "due", "into": "days", "day_first": True},
        },
        {"id": "due", "intent": "filter", "input": "{{ steps.days.output }}", "with": {"where": due}},
        {
            "id": "sorted",
            "intent": "transform",
            "input": "{{ steps.due.output }}",
            "with": {"op": "sort", "by": "days"},
        },
    ]
    result = await run(steps)
    assert [(row["task"], row["days"]) for row in result.outputs["sorted"]] == [("next", 1), ("soon", 3)]


async def test_items_take_branches_of_their_own():
    """A decision within each item; what came of them is grouped after."""
    orders = [
        {"po": 1, "total": 50, "vendor": "x"},
        {"po": 2, "total": 5000, "vendor": "y"},
        {"po": 3, "total": 70, "vendor": "x"},
    ]
    way = {
        "id": "way",
        "intent": "conditional",
        "input": "{{ order }}",
        "with": {"if": "input.total > 1000", "then": "ask", "else": "buy"},
        "branches": {
            name: {
                "steps": [
                    {
                        "id": name,
                        "intent": "pace",
                        "input": {"po": "{{ order.po }}", "vendor": "{{ order.vendor }}", "did": name},
                    }
                ]
            }
            for name in ("ask", "buy")
        },
    }
    steps = [
        {
            "id": "each",
            "for_each": "{{ inputs.orders }}",
            "as": "order",
            "steps": [way],
            "returns": "{{ steps.way.output.result }}",
        },
        {
            "id": "by",
            "intent": "aggregate",
            "input": "{{ steps.each.output }}",
            "with": {"group_by": "vendor", "measures": {"did": {"list": "did"}}},
        },
    ]
    result = await run(steps, Pace(), inputs={"orders": orders})
    assert result.status == "completed", result.failures
    assert result.outputs["by"] == [{"vendor": "x", "did": ["buy", "buy"]}, {"vendor": "y", "did": ["ask"]}]


async def test_a_hundred_records_are_asked_about_in_few_calls():
    """One question about many of them, not a call for each."""

    def answer(request: ModelRequest) -> str:
        records = re.findall(r'"n": ?(\d+)', request.messages[-1].content)
        return json.dumps({"answers": [{"n": int(n), "label": "other"} for n in records]})

    provider = ScriptedProvider(answer)
    step = {
        "id": "label",
        "intent": "enrich",
        "batch": 50,
        "input": [{"text": f"ticket number {n}"} for n in range(100)],
        "prompt": "Label it",
        "with": {"allowed": {"label": ["bug", "other"]}},
    }
    settings = {"prices": {"models": {"scripted/scripted-1": {"input": 1.0, "output": 2.0}}}}
    result = await run([step], provider, settings=settings, budget={"tokens": 100_000})
    assert result.status == "completed", result.failures
    assert [row["label"] for row in result.outputs["label"]] == ["other"] * 100
    assert len(provider.calls) == 2


# --- small facts --------------------------------------------------------------------------------------------------


async def output(intent: str, value, **with_):
    result = await run(
        [{"id": "s", "intent": intent, "input": "{{ inputs.v }}", "with": with_}], inputs={"v": value}
    )
    step = result.steps["s"]
    return step.output if step.failure is None else step.failure.message


@pytest.mark.parametrize(
    ("words", "value", "there"),
    [
        (["refund"], "A REFUND, please", True),
        (["not working"], "it is not working", True),
        ("refund, angry", "so angry", True),
        (["a"], ["a", "b"], True),
        (["a"], ["ab"], False),
        (["a"], None, False),
        ([], "a", False),
        (["a"], 5, False),
    ],
)
async def test_contains_any(words, value, there):
    """A part of a text, an element of a list, whatever the case; null contains nothing, and no words match nothing."""
    found = await output("filter", [{"x": value}], contains_any={"fields": ["x"], "words": words})
    assert (found == [{"x": value}]) is there


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("'100' > '90'", False),
        ("double('100') > double('90')", True),
        ("double('9') > double('10')", False),
        ("double('95') >= 100.0", False),
        ("double('-5') < double('-10')", False),
        ("'foo' > 'bar'", True),
        ("'2026-05-12' > '2026-04-01'", True),
        ("input == 95.0", True),
    ],
)
async def test_texts_are_compared_as_texts_and_numbers_as_numbers(condition, expected):
    """Nothing is converted unless it is said."""
    made = await output("conditional", 95, **{"if": condition})
    assert made["matched"] is expected


@pytest.mark.parametrize("condition", ["'100' > 90", "double('95abc') > 1.0"])
async def test_a_text_is_never_taken_for_a_number(condition):
    step = {
        "id": "s",
        "intent": "conditional",
        "input": {"t": "100"},
        "with": {"if": condition.replace("'100'", "input.t")},
    }
    result = await run([step])
    assert result.status == "failed"


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("{{ steps.a.output.b[0].c }}", 1),
        ("{{ steps.a.output.none }}", None),
        ("{{ steps.a.output.none.deeper }}", None),
        ("{{ steps.a.output.b[*].c }}", [1, 2]),
        ("{{ steps.a.output['odd key'] }}", 3),
        ("n: {{ steps.a.output.b }}", 'n: [{"c": 1}, {"c": 2}]'),
    ],
)
async def test_references_lead_exactly_where_they_say(reference, expected):
    """A whole reference keeps its type, one within a text is written as text, null stays null."""
    data = {"b": [{"c": 1}, {"c": 2}], "none": None, "odd key": 3}
    result = await run(
        [{"id": "a", "intent": "pace", "input": data}, {"id": "r", "intent": "pace", "input": reference}], Pace()
    )
    assert result.outputs["r"] == expected


@pytest.mark.parametrize(
    "reference", ["{{ steps.a.output.B }}", "{{ steps.a.output.b.c }}", "{{ steps.a.output.missing }}"]
)
async def test_a_reference_to_nothing_is_an_error_that_says_what_there_is(reference):
    steps = [{"id": "a", "intent": "pace", "input": {"b": [1]}}, {"id": "r", "intent": "pace", "input": reference}]
    result = await run(steps, Pace())
    failure = result.failures["r"]
    assert "names something that is not there" in failure.message
    assert failure.hint


@pytest.mark.parametrize(
    ("gather", "expected"),
    [(None, [[1], [2, 2]]), ("list", [[1], [2, 2]]), ("flatten", [1, 2, 2])],
)
async def test_what_items_give_is_gathered(gather, expected):
    step = {"id": "s", "intent": "pace", "for_each": [[1], [2, 2]], "as": "x", "input": "{{ x }}"}
    result = await run([step | ({} if gather is None else {"gather": gather})], Pace())
    assert result.outputs["s"] == expected


async def test_what_items_give_is_merged_beside_them_or_over_each_other():
    """A record with its item; maps over each other; the last step of several stands for the item."""
    beside = {
        "id": "s",
        "for_each": [{"n": 1}, {"n": 2}],
        "as": "x",
        "returns": {"item": "{{ x }}", "made": "{{ steps.b.output }}"},
        "steps": [
            {"id": "a", "intent": "pace", "input": "{{ x.n }}"},
            {"id": "b", "intent": "pace", "input": "{{ steps.a.output }}"},
        ],
    }
    merged = {
        "id": "m",
        "intent": "pace",
        "for_each": [{"a": 1}, {"b": 2}, {"a": 3}],
        "as": "x",
        "gather": "merge",
        "input": "{{ x }}",
    }
    result = await run([beside, merged], Pace())
    assert result.outputs["s"] == [{"item": {"n": 1}, "made": 1}, {"item": {"n": 2}, "made": 2}]
    assert result.outputs["m"] == {"a": 3, "b": 2}


@pytest.mark.parametrize(
    ("op", "value", "more", "expected"),
    [
        (
            "flatten",
            [{"o": 1, "x": 0, "items": [{"x": 5}, {"y": 6}]}, {"o": 2, "items": []}],
            {"field": "items"},
            [{"o": 1, "x": 5}, {"o": 1, "x": 0, "y": 6}],
        ),
        ("rows_to_objects", [[" Name ", "AGE"], ["Ada", 36]], {}, [{"name": "Ada", "age": 36}]),
        ("rows_to_objects", [[" Name "], ["Ada"]], {"preserve_case": True}, [{"Name": "Ada"}]),
        ("rows_to_objects", [["a", "b"]], {}, []),
        ("set_difference", [1, 2, 3], {"other": [2]}, [1, 3]),
        (
            "set_difference",
            [{"id": 1}, {"id": 2}],
            {"other": [{"key": 2}], "by": "id", "other_by": "key"},
            [{"id": 1}],
        ),
        ("set_difference", [1, 2], {"other": None}, [1, 2]),
        ("parse_date", [{"d": "13/5/2026"}], {"field": "d"}, [{"d": "2026-05-13"}]),
        ("parse_date", [{"d": "5/13/2026"}], {"field": "d"}, [{"d": "2026-05-13"}]),
        ("parse_date", [{"d": "12-5-2026"}], {"field": "d", "day_first": True}, [{"d": "2026-05-12"}]),
        ("parse_date", [{"d": "12/5/26"}], {"field": "d", "day_first": False}, [{"d": "2026-12-05"}]),
        ("parse_date", [{"d": "30/2/2026"}], {"field": "d"}, [{"d": None}]),
        ("project", [["a", "b"], ["c"]], {"path": "1"}, ["b", None]),
        ("partition", [1, 2, 3], {"where": "item > 1"}, {"matching": [2, 3], "others": [1]}),
        ("reduce", [{"n": 1}, {"n": 2}], {"with": "sum", "field": "n"}, 3),
        ("reduce", ["a", "b"], {"with": "concat", "separator": "-"}, "a-b"),
    ],
)
async def test_lists_are_reshaped(op, value, more, expected):
    assert await output("transform", value, op=op, **more) == expected


@pytest.mark.parametrize("op", ["rows_to_objects", "set_difference"])
async def test_what_is_no_list_is_refused(op):
    more = {"other": []} if op == "set_difference" else {}
    assert "list" in await output("transform", {"a": 1}, op=op, **more)


async def test_groups_leave_out_what_has_no_key_and_count_it():
    """Null, absent and empty keys; "0", "false" and 0 are keys. They make a group of their own where asked."""
    rows = [{"k": key} for key in (None, "", "0", "false", 0, False)] + [{}]
    made = await output("aggregate", rows, group_by="k")
    assert [row["k"] for row in made] == ["0", "false", 0, False]
    made = await output("aggregate", rows, group_by="k", include_null=True)
    assert {"k": None, "count": 3} in made


async def test_measures_of_nothing_are_null_and_counts_are_zero():
    measures = {"n": {"count": True}, "sum": {"sum": "x"}, "mean": {"mean": "x"}, "most": {"max": "x"}}
    assert await output("aggregate", [], measures=measures) == {"n": 0, "sum": 0, "mean": None, "most": None}
