"""Imported workflows give what n8n gives on the same records; what cannot be translated is named, never dropped."""

import json
import subprocess
import sys
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
        ("code", 2, {"jsCode": "return $input.all();"}, LIST),
        ("code", 2, {"jsCode": LOWER}, [{"x": "ann"}, {"x": "bob"}, {"x": "cid"}]),
        ("code", 2, {"jsCode": "return [{json: {a: 1, b: ['x']}}]"}, [{"a": 1, "b": ["x"]}]),
        ("noOp", 1, {}, LIST),
    ],
)
def test_a_node_gives_what_it_gives_in_n8n(kind, version, parameters, expected) -> None:
    assert one(kind, LIST, version, **parameters)["it", 0] == expected


def test_fields_may_be_written_as_json() -> None:
    text = '={"a": "{{ $json.n }}", "b": [{{ $json.n }}, "x {{ $json.who }}"], "c": {"d": null}}'
    assert one("set", [ANN, BOB], 3.4, mode="raw", jsonOutput=text)["it", 0] == [
        {"a": "1", "b": [1, "x Ann"], "c": {"d": None}},
        {"a": "20", "b": [20, "x bob"], "c": {"d": None}},
    ]


def test_elements_of_a_list_become_records() -> None:
    assert one("splitOut", [ANN], 1, fieldToSplitOut="tags")["it", 0] == [{"tags": "a"}, {"tags": "b"}]


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
