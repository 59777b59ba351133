"""Imported workflows give what n8n gives on the same records; what cannot be translated is named, never dropped."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from intendant import SyncOrchestrationService, Workflow
from intendant.plugin import ModelReply, Usage
from intendant.testing import ScriptedProvider
from intendant_n8n import convert


def node(name, kind, version=1, **parameters):
    return {"name": name, "type": f"n8n-nodes-base.{kind}", "typeVersion": version, "parameters": parameters}


def workflow(*nodes, links=()):
    """An export: nodes in a row, or connected as *links* say: (from, output, to, input)."""
    pairs = links or [(a["name"], 0, b["name"], 0) for a, b in pairwise(nodes)]
    connections = {}
    for source, output, target, index in pairs:
        outputs = connections.setdefault(source, {"main": []})["main"]
        while len(outputs) <= output:
            outputs.append([])
        outputs[output].append({"node": target, "type": "main", "index": index})
    return {"name": "t", "nodes": list(nodes), "connections": connections}


START = node("Start", "manualTrigger")


def run(document, items, **options):
    """What each node gave, by its name and output."""
    made = convert(document)
    with SyncOrchestrationService(db="none", **options) as service:
        result = service.run(Workflow.parse(made.text()), {"items": items})
    assert result.status == "completed", (result.failures, made.text())
    outputs = {}
    for outcome in made.outcomes:
        for number, reference in outcome.outputs.items():
            step = reference.split(".")[1] if reference.startswith("steps.") else None
            outputs[outcome.node.name, number] = items if step is None else result.outputs.get(step)
    return outputs


def one(kind, items, version=1, **parameters):
    """What a node gives for records."""
    return run(workflow(START, node("it", kind, version, **parameters)), items)


def condition(left, kind, operation, right=""):
    operator = {"type": kind, "operation": operation}
    return {
        "combinator": "and",
        "options": {"caseSensitive": True},
        "conditions": [{"leftValue": left, "rightValue": right, "operator": operator}],
    }


def fields(name, value):
    return {"assignments": [{"name": name, "value": value, "type": "string"}]}


def computed(name, value):
    return {"assignments": fields(name, value)}


ANN, BOB, CID = ROWS = (
    {"n": 1, "who": "Ann", "tags": ["a", "b"]},
    {"n": 20, "who": "bob", "tags": []},
    {"who": "Cid"},
)
N, WHO, TAGS = "={{ $json.n }}", "={{ $json.who }}", "={{ $json.tags }}"
LIST = list(ROWS)
PRICES = {"prices": {"models": {"scripted/scripted-1": {"input": 1, "output": 2}}}}
LOWER = "return items.map(i => ({ json: { x: i.json.who.toLowerCase() } }));"


@pytest.mark.parametrize(
    ("kind", "version", "parameters", "expected"),
    [
        (
            "set",
            3.4,
            computed("hi", "=Hi {{ $json.who }}!"),
            [{"hi": "Hi Ann!"}, {"hi": "Hi bob!"}, {"hi": "Hi Cid!"}],
        ),
        ("set", 3.4, computed("x", "={{ $json.who.toUpperCase() }}"), [{"x": "ANN"}, {"x": "BOB"}, {"x": "CID"}]),
        ("set", 3.4, computed("m", N), [{"m": 1}, {"m": 20}, {"m": None}]),
        (
            "set",
            3.4,
            computed("t", "={{ $json.tags.map(x => x + '!').join(' ') }}"),
            [{"t": "a! b!"}, {"t": ""}, {"t": None}],
        ),
        ("set", 3.4, computed("k", "={{ Object.keys($json).length }}"), [{"k": 3}, {"k": 3}, {"k": 1}]),
        ("set", 3.4, computed("s", "={{ $json.who.substring(0, 2) }}"), [{"s": "An"}, {"s": "bo"}, {"s": "Ci"}]),
        ("set", 3.4, computed("s", "={{ $json.who.substring(1, 9) }}"), [{"s": "nn"}, {"s": "ob"}, {"s": "id"}]),
        (
            "set",
            3.4,
            computed("e", "={{ $ifEmpty($json.tags, 'none') }}"),
            [{"e": ["a", "b"]}] + [{"e": "none"}] * 2,
        ),
        ("set", 3.4, computed("d", "={{ $json.n ?? 5 }}"), [{"d": 1}, {"d": 20}, {"d": 5}]),
        ("set", 3.4, computed("r", "={{ Math.round($json.n / 3) }}"), [{"r": 0}, {"r": 7}, {"r": None}]),
        (
            "set",
            3.4,
            computed(
                "l", "={{ $json.tags.length ? $json.tags.filter(item => !item.endsWith('b')).join() : '-' }}"
            ),
            [{"l": "a"}, {"l": "-"}, {"l": "-"}],
        ),
        ("set", 3.4, computed("b", "={{ Boolean($json.n) }}"), [{"b": True}, {"b": True}, {"b": False}]),
        (
            "set",
            3.4,
            computed("j", "={{ JSON.stringify($json.tags) }}"),
            [{"j": '["a","b"]'}, {"j": "[]"}, {"j": "null"}],
        ),
        (
            "set",
            3.4,
            computed("m", "={{ $input.all().map(i => i.json.who).join(',') }}"),
            [{"m": "Ann,bob,Cid"}] * 3,
        ),
        (
            "set",
            3.4,
            computed("f", "={{ $input.all().find(i => i.json.n > 5).json.who }}"),
            [{"f": "bob"}] * 3,
        ),
        (
            "set",
            3.4,
            {"assignments": fields("a.b", WHO)},
            [{"a": {"b": "Ann"}}, {"a": {"b": "bob"}}, {"a": {"b": "Cid"}}],
        ),
        (
            "set",
            3.4,
            {"mode": "raw", "jsonOutput": "={{ { w: $json.who } }}"},
            [{"w": "Ann"}, {"w": "bob"}, {"w": "Cid"}],
        ),
        ("set", 3.4, {"mode": "raw", "jsonOutput": "={{ $json }}"}, LIST),
        (
            "set",
            3.4,
            {"mode": "raw", "jsonOutput": "={{ Object.assign({ n: 0, k: 'x' }, $json) }}"},
            [{**ANN, "k": "x"}, {**BOB, "k": "x"}, {"n": 0, "k": "x", **CID}],
        ),
        ("set", 3.4, computed("i", "={{ $item('0').$node['Start'].json.who }}"), [{"i": "Ann"}] * 3),
        ("set", 1, {"keepOnlySet": True, "values": {"number": [{"name": "k", "value": "7"}]}}, [{"k": 7}] * 3),
        ("filter", 2, {"conditions": condition(N, "number", "gt", 5)}, [BOB]),
        ("filter", 2, {"conditions": condition(N, "number", "notExists")}, [CID]),
        ("filter", 2, {"conditions": condition(WHO, "string", "startsWith", "A")}, [ANN]),
        ("filter", 2, {"conditions": condition(WHO, "string", "notEquals", "bob")}, [ANN, CID]),
        ("filter", 2, {"conditions": condition(WHO, "string", "regex", "/^b/i")}, [BOB]),
        ("filter", 2, {"conditions": condition(TAGS, "array", "contains", "b")}, [ANN]),
        ("filter", 2, {"conditions": condition(TAGS, "array", "empty")}, [BOB, CID]),
        ("limit", 1, {"maxItems": 2}, [ANN, BOB]),
        ("sort", 1, {"sortFieldsUi": {"sortField": [{"fieldName": "n", "order": "descending"}]}}, [BOB, ANN, CID]),
        ("aggregate", 1, {"aggregate": "aggregateAllItemData"}, [{"data": LIST}]),
        (
            "aggregate",
            1,
            {"fieldsToAggregate": {"fieldToAggregate": [{"fieldToAggregate": "n"}]}},
            [{"n": [1, 20]}],
        ),
        (
            "summarize",
            1,
            {"fieldsToSummarize": {"values": [{"field": "n", "aggregation": "sum"}]}},
            [{"sum_n": 21}],
        ),
        (
            "summarize",
            1,
            {
                "fieldsToSummarize": {
                    "values": [{"field": "who", "aggregation": "concatenate", "separateBy": "\\n"}]
                }
            },
            [{"concatenated_who": "Ann\nbob\nCid"}],
        ),
        (
            "aggregate",
            1,
            {"aggregate": "aggregateAllItemData", "include": "specifiedFields", "fieldsToInclude": "who"},
            [{"data": [{"who": "Ann"}, {"who": "bob"}, {"who": "Cid"}]}],
        ),
        ("code", 2, {"jsCode": "return $input.all();"}, LIST),
        (
            "code",
            2,
            {
                "jsCode": "// a comment\nconst all = $input.all();\nreturn all.filter(i => i.json.n > 5).map((i) => {\n  return {json: {w: i.json.who}}\n});"
            },
            [{"w": "bob"}],
        ),
        ("code", 2, {"jsCode": "const { length } = items; return [];"}, None),
        (
            "code",
            2,
            {"jsCode": "return {names: $input.all().map(i => i.json.who).join('-')}"},
            [{"names": "Ann-bob-Cid"}],
        ),
        (
            "code",
            2,
            {
                "jsCode": "for (const item of $input.all()) {\n  item.json.k = item.json.who + '!';\n}\nreturn $input.all();"
            },
            [{**ANN, "k": "Ann!"}, {**BOB, "k": "bob!"}, {**CID, "k": "Cid!"}],
        ),
        (
            "code",
            2,
            {
                "mode": "runOnceForEachItem",
                "jsCode": "const up = $json.who.toUpperCase()\nreturn { json: { ...$json, up } };",
            },
            [{**ANN, "up": "ANN"}, {**BOB, "up": "BOB"}, {**CID, "up": "CID"}],
        ),
        (
            "code",
            2,
            {
                "jsCode": "const tags = $input.first().json.tags;\nreturn tags.map(t => ({ json: { t, size: tags.length } }));"
            },
            [{"t": "a", "size": 2}, {"t": "b", "size": 2}],
        ),
        ("code", 2, {"jsCode": LOWER}, [{"x": "ann"}, {"x": "bob"}, {"x": "cid"}]),
        ("code", 2, {"jsCode": "return [{json: {a: 1, b: ['x']}}]"}, [{"a": 1, "b": ["x"]}]),
        ("noOp", 1, {}, LIST),
    ],
)
def test_a_node_gives_what_it_gives_in_n8n(kind, version, parameters, expected) -> None:
    if expected is None:
        assert convert(workflow(START, node("it", kind, version, **parameters))).count("placeholder") == 1
        return
    assert one(kind, LIST, version, **parameters)["it", 0] == expected


def test_fields_may_be_written_as_json() -> None:
    text = '={"a": "{{ $json.n }}", "b": [{{ $json.n }}, "x {{ $json.who }}"], "c": {"d": null}}'
    assert one("set", [ANN, BOB], 3.4, mode="raw", jsonOutput=text)["it", 0] == [
        {"a": "1", "b": [1, "x Ann"], "c": {"d": None}},
        {"a": "20", "b": [20, "x bob"], "c": {"d": None}},
    ]


def test_elements_of_a_list_become_records() -> None:
    assert one("splitOut", [ANN], 1, fieldToSplitOut="tags")["it", 0] == [{"tags": "a"}, {"tags": "b"}]


def test_elements_of_a_list_may_go_along_with_other_fields() -> None:
    found = one("splitOut", [ANN], 1, fieldToSplitOut="tags", include="selectedOtherFields", fieldsToInclude="who")
    assert found["it", 0] == [{"who": "Ann", "tags": "a"}, {"who": "Ann", "tags": "b"}]
    objects = {"who": "Ann", "lines": [{"id": 1}, {"id": 2}]}
    found = one("splitOut", [objects], 1, fieldToSplitOut="lines", include="allOtherFields")
    assert found["it", 0] == [{"who": "Ann", "lines": {"id": 1}}, {"who": "Ann", "lines": {"id": 2}}]
    found = one("splitOut", [objects], 1, fieldToSplitOut="lines", options={"destinationFieldName": "line"})
    assert found["it", 0] == [{"line": {"id": 1}}, {"line": {"id": 2}}]


def test_times_are_those_of_the_run() -> None:
    moments = {
        "iso": "={{ $now.toISO() }}",
        "day": "={{ $now.format('yyyy-MM-dd') }}",
        "us": "={{ DateTime.now().plus({ days: 1 }).toFormat('d/M/yy') }}",
        "name": "={{ new Date('2026-03-01').toISOString() }} {{ DateTime.fromISO($json.at).toFormat('EEE, MMMM d h:mm a') }}",
        "zone": "={{ $json.at.toDateTime().setZone('Europe/Berlin').toFormat('HH:mm') }}",
        "back": "={{ $json.at.toDateTime().minus(2, 'hours').weekday }}",
        "ms": "={{ new Date($json.at).getTime() }}",
    }
    listed = [{"name": name, "value": value, "type": "string"} for name, value in moments.items()]
    document = workflow(START, node("it", "set", 3.4, assignments={"assignments": listed}))
    with SyncOrchestrationService(db="none") as service:
        result = service.run(Workflow.parse(convert(document).text()), {"items": [{"at": "2026-07-31T23:05:09Z"}]})
    (found,) = result.outputs["it"]
    began = datetime.fromisoformat(found["iso"])
    assert abs((datetime.now(UTC) - began).total_seconds()) < 600
    after = began + timedelta(days=1)
    assert found["day"] == f"{began:%Y-%m-%d}"
    assert found["us"] == f"{after.day}/{after.month}/{after:%y}"
    assert found["name"] == "2026-03-01T00:00:00.000Z Fri, July 31 11:05 PM"
    assert (found["zone"], found["back"], found["ms"]) == ("01:05", 5, 1785539109000)


def test_dates_are_computed() -> None:
    items = [{"at": "2026-07-31T23:05:09.250Z"}]
    add = {"operation": "addToDate", "magnitude": "={{ $json.at }}", "duration": 2, "timeUnit": "days"}
    assert one("dateTime", items, 2, **add)["it", 0] == [{"newDate": "2026-08-02T23:05:09.250Z"}]
    said = {
        "operation": "formatDate",
        "date": "={{ $json.at }}",
        "format": "custom",
        "customFormat": "dd.LL.yyyy HH:mm",
    }
    assert one("dateTime", items, 2, **said)["it", 0] == [{"formattedDate": "31.07.2026 23:05"}]
    part = {"operation": "extractDate", "date": "={{ $json.at }}", "part": "month", "outputFieldName": "m"}
    assert one("dateTime", items, 2, options={"includeInputFields": True}, **part)["it", 0] == [
        {**items[0], "m": 7}
    ]
    before = condition("={{ $json.at }}", "dateTime", "before", "2026-08-01T00:00:00Z")
    assert one("if", items, 2, conditions=before)["it", 0] == items
    assert (
        one("if", items, 2, conditions=condition("={{ $json.at }}", "dateTime", "after", "={{ $now }}"))["it", 1]
        == items
    )


def test_html_is_made_and_read() -> None:
    page = {"data": "<html><h1> Hi <b>you</b></h1><p class='x'>One</p></html>"}
    values = {"values": [{"key": "title", "cssSelector": "h1"}, {"key": "text", "cssSelector": ".x"}]}
    found = one("html", [page], 1.2, operation="extractHtmlContent", extractionValues=values)
    assert found["it", 0] == [{"title": "Hi you", "text": "One"}]
    page = {"data": "<ul><li><a href='/a'>A <b>x</b></a></li><li><a href='/b'>B</a></li></ul>"}
    wanted = [
        {"key": "first", "cssSelector": "a", "returnValue": "attribute", "attribute": "href"},
        {"key": "all", "cssSelector": "a", "returnValue": "attribute", "attribute": "href", "returnArray": True},
        {"key": "inner", "cssSelector": "li a", "returnValue": "html"},
        {"key": "texts", "cssSelector": "li", "returnArray": True},
        {"key": "none", "cssSelector": "table", "returnArray": True},
        {"key": "gone", "cssSelector": "table", "returnValue": "html"},
    ]
    found = one("html", [page], 1.2, operation="extractHtmlContent", extractionValues={"values": wanted})
    expected = {
        "first": "/a",
        "all": ["/a", "/b"],
        "inner": "A <b>x</b>",
        "texts": ["A x", "B"],
        "none": [],
        "gone": "",
    }
    assert found["it", 0] == [expected]
    assert one("html", [ANN], 1, html="<p>{{ $json.who }}</p>")["it", 0] == [{"html": "<p>Ann</p>"}]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        (
            {"mode": "combine", "combineBy": "combineAll"},
            [{"a": 1, "b": 3}, {"a": 1, "b": 4}, {"a": 2, "b": 3}, {"a": 2, "b": 4}],
        ),
        (
            {
                "mode": "combine",
                "fieldsToMatchString": "a",
                "joinMode": "keepNonMatches",
                "outputDataFrom": "input1",
            },
            [{"a": 1}],
        ),
        (
            {"mode": "combine", "fieldsToMatchString": "a", "joinMode": "enrichInput2"},
            [{"a": 2, "c": 1}, {"a": 5, "c": 2}],
        ),
    ],
)
def test_two_inputs_become_one(parameters, expected) -> None:
    right = "[{b: 3}, {b: 4}]" if "combineBy" in parameters else "[{a: 2, c: 1}, {a: 5, c: 2}]"
    one_side = node("One", "code", 2, jsCode="return [{a: 1}, {a: 2}]")
    other = node("Other", "code", 2, jsCode=f"return {right}")
    both = node("Both", "merge", 3, **parameters)
    links = [("Start", 0, "One", 0), ("Start", 0, "Other", 0), ("One", 0, "Both", 0), ("Other", 0, "Both", 1)]
    assert run(workflow(START, one_side, other, both, links=links), [{}])["Both", 0] == expected


def test_an_answer_may_be_computed() -> None:
    body = '={"who": {{ JSON.stringify($json.who) }}, "up": "{{ $json.who.toUpperCase() }}!", "n": {{ $json.n }}}'
    answer = node("Answer", "respondToWebhook", 1.1, respondWith="json", responseBody=body)
    made = convert(workflow(START, answer))
    assert made.count("placeholder") == 0
    with SyncOrchestrationService(db="none") as service:
        assert service.run(Workflow.parse(made.text()), {"items": [ANN]}).returned == {
            "who": "Ann",
            "up": "ANN!",
            "n": 1,
        }
    text = node(
        "Answer", "respondToWebhook", 1.1, respondWith="text", responseBody="={{ JSON.stringify($json.tags) }}"
    )
    with SyncOrchestrationService(db="none") as service:
        made = convert(workflow(START, text))
        assert service.run(Workflow.parse(made.text()), {"items": [ANN]}).returned == {"response": '["a","b"]'}


def test_a_form_waits_for_what_is_filled_in_and_shows_the_last_page() -> None:
    page = node("Ask more", "form", 1, formFields={"values": [{"fieldLabel": "mail"}]})
    last = node(
        "Done", "form", 1, operation="completion", completionTitle="Thanks", completionMessage="={{ $json.mail }}"
    )
    made = convert(workflow(node("Form", "formTrigger", 2), page, last))
    assert made.count("placeholder") == 0
    (event,) = [step["wait"]["event"] for step in made.workflow["steps"] if "wait" in step]
    with SyncOrchestrationService() as service:
        waits = service.run(Workflow.parse(made.text()), {"items": [{}]})
        assert waits.status == "waiting"
        service.signal(waits.run_id, event, {"mail": "a@x"})
        result = service.resume(waits.run_id)
    assert result.returned == {"title": "Thanks", "message": "a@x"}


def test_tools_of_agents_ask_with_what_the_model_gives() -> None:
    agent = {
        **node("Agent", "agent", 1.7, promptType="define", text="=Hi"),
        "type": "@n8n/n8n-nodes-langchain.agent",
    }
    slots = node(
        "Slots",
        "toolHttpRequest",
        1,
        url="https://cal.example/slots/{day}",
        toolDescription="Free slots",
        sendQuery=True,
        parametersQuery={
            "values": [{"name": "zone", "value": "UTC", "valueProvider": "fieldValue"}, {"name": "room"}]
        },
    )
    book = node("Book", "toolHttpRequest", 1, method="POST", url="https://cal.example/book", sendBody=True)
    book["parameters"] |= {"specifyBody": "json", "jsonBody": '{"start": "{start}", "kind": "call"}'}
    document = workflow(START, agent, links=[("Start", 0, "Agent", 0)])
    for tool in (slots, book):
        document["nodes"].append(tool)
        document["connections"][tool["name"]] = {"ai_tool": [[{"node": "Agent", "type": "ai_tool", "index": 0}]]}
    made = convert(document)
    assert made.count("placeholder") == 0
    (step,) = [one for one in made.workflow["steps"] if "for_each" in one]
    first, second = step["steps"][0]["tools"]
    assert first["give"]["url"]["pattern"] == "^https://cal\\.example/slots/[^/?#&]+$"
    assert first["give"]["query"]["properties"] == {"zone": {"const": "UTC"}, "room": {"type": "string"}}
    assert second["give"]["json"]["properties"] == {"start": {"type": "string"}, "kind": {"const": "call"}}
    assert (second["uses"], second["effects"]) == ("http.post", "any")
    with SyncOrchestrationService(db="none", plugins=[ScriptedProvider("x")], settings=PRICES) as service:
        assert service.plan(Workflow.parse(made.text())).steps


def test_texts_of_json_are_read() -> None:
    items = [{"text": '{"a": [1, {"b": "x"}]}'}]
    for text in ("={{ JSON.parse($json.text).a[1].b }}", "={{ $json.text.parseJson().a[1].b }}"):
        assert one("set", items, 3.4, **computed("b", text))["it", 0] == [{"b": "x"}]
    kept = one("set", items, 3.4, includeOtherFields=True, **computed("b", "={{ JSON.parse($json.text).a[0] }}"))
    assert kept["it", 0] == [{**items[0], "b": 1}], "what was prepared is taken out again"
    check = {"conditions": condition("={{ JSON.parse($json.text).a[0] }}", "number", "equals", 1)}
    assert one("filter", items, 2, **check)["it", 0] == items


def test_records_belong_together_across_nodes_that_choose_and_split() -> None:
    """`$('Name').item` behind a filter, an If, a limit and a split, as n8n links records."""
    first = node("First", "set", 3.4, includeOtherFields=True, **computed("mark", "={{ $json.who }}!"))
    named = computed("c", "={{ $('First').item.json.mark }}")
    keep = node("Keep", "filter", 2, conditions=condition(WHO, "string", "notEquals", "Ann"))
    last = node("Last", "set", 3.4, **named)
    assert run(workflow(START, first, keep, last), LIST)["Last", 0] == [{"c": "bob!"}, {"c": "Cid!"}]
    check = node("Check", "if", 2, conditions=condition(N, "number", "lt", 5))
    links = [("Start", 0, "First", 0), ("First", 0, "Check", 0), ("Check", 1, "Last", 0)]
    assert run(workflow(START, first, check, last, links=links), LIST)["Last", 0] == [{"c": "bob!"}, {"c": "Cid!"}]
    split = node("Split", "splitOut", 1, fieldToSplitOut="tags")
    both = [ANN, {**BOB, "tags": ["z"]}]
    found = run(workflow(START, first, split, last), both)
    assert found["Last", 0] == [{"c": "Ann!"}, {"c": "Ann!"}, {"c": "bob!"}]
    top = node("Top", "limit", 1, maxItems=1)
    assert run(workflow(START, first, keep, top, last), LIST)["Last", 0] == [{"c": "bob!"}]
    direct = node("Last", "set", 3.4, **computed("c", "={{ $('Check').item.json.who }}"))
    found = run(workflow(START, first, check, direct, links=links), LIST)
    assert found["Last", 0] == [{"c": "bob"}, {"c": "Cid"}], "of the output that leads here, not the first one"


def test_a_loop_comes_before_what_is_within_it_however_the_nodes_are_written() -> None:
    loop = node("Loop", "splitInBatches", 3)
    mark = node("Mark", "set", 3.4, **computed("m", "={{ $('Loop').item.json.who }}?"))
    links = [("Start", 0, "Loop", 0), ("Loop", 1, "Mark", 0), ("Mark", 0, "Loop", 0)]
    found = run(workflow(mark, START, loop, links=links), LIST)
    assert found["Loop", 0] == [{"m": "Ann?"}, {"m": "bob?"}, {"m": "Cid?"}]


def test_a_loop_comes_before_a_node_in_it_that_also_gets_something_from_outside() -> None:
    loop, names = node("Loop", "splitInBatches", 3), node("Names", "code", 2, jsCode="return [{z: 1}]")
    both = node("Both", "merge", 3, mode="combine", combineBy="combineAll")
    links = [("Start", 0, "Names", 0), ("Start", 0, "Loop", 0), ("Loop", 1, "Both", 0), ("Names", 0, "Both", 1)]
    links.append(("Both", 0, "Loop", 0))
    found = run(workflow(both, START, names, loop, links=links), [ANN, BOB])
    assert found["Loop", 0] == [{**ANN, "z": 1}, {**BOB, "z": 1}]


def test_loops_are_within_loops() -> None:
    outer, inner = node("Outer", "splitInBatches", 3), node("Inner", "splitInBatches", 3)
    split = node("Tags", "splitOut", 1, fieldToSplitOut="tags")
    mark = node(
        "Mark", "set", 3.4, **computed("m", "={{ $('Inner').item.json.tags }}{{ $('Outer').item.json.who }}")
    )
    links = [("Start", 0, "Outer", 0), ("Outer", 1, "Tags", 0), ("Tags", 0, "Inner", 0), ("Inner", 1, "Mark", 0)]
    links += [("Mark", 0, "Inner", 0), ("Inner", 0, "Outer", 0)]
    found = run(workflow(START, outer, split, inner, mark, links=links), [ANN, {**BOB, "tags": ["z"]}])
    assert found["Outer", 0] == [{"m": "aAnn"}, {"m": "bAnn"}, {"m": "zbob"}]


def test_what_an_agent_works_without_is_counted_apart() -> None:
    """A model and a schema are within the step; a memory of chats and a tool that was not translated are not."""
    agent = {
        **node("Agent", "agent", 1.7, promptType="define", text="=Hi"),
        "type": "@n8n/n8n-nodes-langchain.agent",
    }
    kinds = {"Model": "lmChatOpenAi", "Memory": "memoryBufferWindow", "Tool": "toolWorkflow"}
    document = workflow(START, agent, links=[("Start", 0, "Agent", 0)])
    ways = {"Model": "ai_languageModel", "Memory": "ai_memory", "Tool": "ai_tool"}
    for name, kind in kinds.items():
        document["nodes"].append(node(name, kind))
        target = {"node": "Agent", "type": ways[name], "index": 0}
        document["connections"][name] = {ways[name]: [[target]]}
    became = {one.node.name: one.how for one in convert(document).outcomes}
    assert became == {
        "Start": "mapped",
        "Agent": "mapped",
        "Model": "mapped",
        "Memory": "placeholder",
        "Tool": "placeholder",
    }


def test_an_if_has_two_ways_and_each_record_goes_one() -> None:
    found = one("if", LIST, 2, conditions=condition(N, "number", "lt", 5))
    assert (found["it", 0], found["it", 1]) == ([ANN], [BOB, CID])
    old = {"number": [{"value1": '={{$json["n"]}}', "operation": "larger", "value2": 5}]}
    found = one("if", LIST, 1, conditions=old)
    assert (found["it", 0], found["it", 1]) == ([BOB], [ANN, CID])


def test_a_switch_sends_each_record_to_the_first_rule_that_matches() -> None:
    first, second = condition(WHO, "string", "contains", "b"), condition(N, "number", "gt", 0)
    rules = {"values": [{"conditions": first}, {"conditions": second}]}
    found = one("switch", LIST, 3, rules=rules, options={"fallbackOutput": "extra"})
    assert [found["it", number] for number in range(3)] == [[BOB], [ANN], [CID]]


def test_branches_are_merged_and_joined() -> None:
    check = node("Big", "if", 2, conditions=condition(N, "number", "gt", 5))
    both = node("Both", "merge", 3, mode="append")
    links = [("Start", 0, "Big", 0), ("Big", 0, "Both", 0), ("Big", 1, "Both", 1)]
    assert run(workflow(START, check, both, links=links), LIST)["Both", 0] == [BOB, ANN, CID]
    names = node("Names", "code", 2, jsCode="return [{json: {who: 'Ann', mail: 'a@x'}}, {json: {who: 'Eve'}}]")
    join = node("Join", "merge", 3, mode="combine", combineBy="combineByFields", fieldsToMatchString="who")
    links = [("Start", 0, "Names", 0), ("Start", 0, "Join", 0), ("Names", 0, "Join", 1)]
    assert run(workflow(START, names, join, links=links), LIST)["Join", 0] == [{**ANN, "mail": "a@x"}]


def test_a_loop_works_on_one_record_at_a_time_and_gives_all() -> None:
    loop, after = node("Loop", "splitInBatches", 3), node("After", "limit", 1, maxItems=2)
    mark = node("Mark", "set", 3.4, **computed("m", "={{ $json.who }}?"))
    links = [("Start", 0, "Loop", 0), ("Loop", 1, "Mark", 0), ("Mark", 0, "Loop", 0), ("Loop", 0, "After", 0)]
    found = run(workflow(START, loop, mark, after, links=links), LIST)
    assert found["Loop", 0] == [{"m": "Ann?"}, {"m": "bob?"}, {"m": "Cid?"}]
    assert found["After", 0] == [{"m": "Ann?"}, {"m": "bob?"}]


def test_expressions_may_name_other_nodes() -> None:
    first = node("First", "set", 3.4, **computed("a", WHO))
    second = node("Second", "set", 3.4, **computed("b", "=x"))
    third = node("Third", "set", 3.4, **computed("c", "={{ $('First').item.json.a }}-{{ $json.b }}"))
    found = run(workflow(START, first, second, third), LIST)
    assert found["Third", 0] == [{"c": "Ann-x"}, {"c": "bob-x"}, {"c": "Cid-x"}]
    top = node("Top", "set", 3.4, **computed("c", "={{ $('First').first().json.a }}"))
    assert run(workflow(START, first, top), LIST)["Top", 0] == [{"c": "Ann"}] * 3


def test_requests_are_sent_for_each_record(httpserver) -> None:
    httpserver.expect_request("/p", query_string="q=Ann").respond_with_json([{"id": 1}, {"id": 2}])
    httpserver.expect_request("/p", query_string="q=bob").respond_with_json({"id": 3})
    httpserver.expect_request("/s", method="POST", json={"who": "Ann", "n": 2}).respond_with_json({"ok": True})
    url = httpserver.url_for("/")
    allow = {"plugins": {"settings": {"connector:http": {"allow": ["localhost", "127.0.0.1"]}}}}
    query = {"parameters": [{"name": "q", "value": WHO}]}
    get = node("Get", "httpRequest", 4.2, url=f"{url}p", sendQuery=True, queryParameters=query)
    assert run(workflow(START, get), [ANN, BOB], settings=allow)["Get", 0] == [{"id": 1}, {"id": 2}, {"id": 3}]
    named = node("Named", "set", 3.4, **computed("of", "={{ $json.id }} {{ $('First').item.json.who }}"))
    first = node("First", "set", 3.4, includeOtherFields=True, **computed("x", "=1"))
    found = run(workflow(START, first, get, named), [ANN, BOB], settings=allow)
    assert found["Named", 0] == [{"of": "1 Ann"}, {"of": "2 Ann"}, {"of": "3 bob"}]
    body = '={ "who": "{{ $json.who }}", "n": {{ $json.n + 1 }} }'
    post = node("Post", "httpRequest", 4.2, method="POST", url=f"{url}s", specifyBody="json", jsonBody=body)
    run(workflow(START, post), [ANN], settings=allow)
    assert httpserver.log[-1][1].status_code == 200


def test_what_asks_a_model_asks_with_the_prompt_of_each_record() -> None:
    seen = []

    def answer(request):
        seen.append("".join(message.content for message in request.messages))
        return ModelReply(
            text="done", usage=Usage(input_tokens=9, output_tokens=1), model="m", provider="scripted"
        )

    chain = node("Ask", "chainLlm", 1.5, promptType="define", text="=Greet {{ $json.who }} kindly")
    chain["type"] = "@n8n/n8n-nodes-langchain.chainLlm"
    found = run(workflow(START, chain), [ANN, BOB], plugins=[ScriptedProvider(answer)], settings=PRICES)
    assert found["Ask", 0] == [{"text": "done"}] * 2
    assert sorted("Ann" in text for text in seen) == [False, True]


def test_what_cannot_be_translated_asks_a_person_and_is_listed_with_the_reason() -> None:
    drive = node("Sheet", "googleDrive", 3)
    script = node("Script", "code", 2, jsCode="const x = require('fs'); return x;")
    links = [("Start", 0, "Sheet", 0), ("Sheet", 0, "Script", 0)]
    made = convert(workflow(START, drive, script, node("Note", "stickyNote"), links=links))
    assert [(one.node.name, one.how) for one in made.outcomes] == [
        ("Start", "mapped"),
        ("Sheet", "placeholder"),
        ("Script", "placeholder"),
        ("Note", "left out"),
    ]
    assert "Sheet (n8n-nodes-base.googleDrive): nodes of this type" in made.text()
    with SyncOrchestrationService(db="none") as service:
        result = service.run(Workflow.parse(made.text()))
    assert (result.status, list(result.waits)) == ("waiting", ["sheet"])


def test_braces_that_are_no_expression_stay_what_they_are() -> None:
    stop = node("Stop {{ $json.a }}", "stopAndError", 1, errorMessage="failed: {{ $json.message }}")
    odd = node("Odd {{ x }}", "nothingOfOurs", 1, text="{{ $json.a }}")
    made = convert(workflow(START, odd, stop))
    with SyncOrchestrationService(db="none") as service:
        assert service.plan(Workflow.parse(made.text())).steps


def test_the_command_writes_the_file_and_lists_what_is_left(tmp_path) -> None:
    rule = {"interval": [{"field": "cronExpression", "expression": "0 6 * * 1"}]}
    document = workflow(node("Weekly", "scheduleTrigger", 1.2, rule=rule), node("Drive", "googleDrive", 3))
    (tmp_path / "n8n.json").write_text(json.dumps(document))

    def command(file: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "intendant", "import", "n8n", file, "-o", "flow.yaml"]
        return subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    done = command("n8n.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 nodes: 1 mapped, 0 through http, 1 to be replaced by hand" in done.stdout
    assert 'cron = "0 6 * * 1"' in done.stdout
    assert Workflow.load(tmp_path / "flow.yaml").steps[0].approve is not None
    done = command("flow.yaml")
    assert (done.returncode, "is not JSON" in done.stderr) == (2, True)
