"""What the local classifier promises."""

import json
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from intendant import Workflow
from intendant.plugin import (
    Classification,
    ClassifyRequest,
    IntentHandler,
    IntentSpec,
    LabelledStep,
    Step,
    StepResult,
    evaluate,
)
from intendant.testing import ClassifierContract, engine
from intendant_classify_local import LocalClassifier
from intendant_classify_local._commands import command_deeds, main_deed
from intendant_classify_local._features import features
from intendant_classify_local._language import head, lemmas_of
from intendant_classify_local._machinery import machinery
from intendant_classify_local._model import model
from intendant_classify_local._view import StepView, words

LABELLED = Path(__file__).parent / "labelled_steps.jsonl"
REFUND = IntentSpec(
    name="refund",
    summary="Give money back",
    examples=(
        "Refund the customer for order 17",
        "Give the money back for the broken lamp",
        "Refund the travel costs",
        "Pay the money for the cancelled flight back",
        "Issue a refund to the card",
    ),
)
HAIKU = IntentSpec(
    name="haiku",
    summary="Write a haiku",
    examples=(
        "Write a haiku about rain",
        "Compose a haiku",
        "A haiku on autumn",
        "Haiku of the day",
        "One more haiku",
    ),
    words=("haiku", "syllables"),
)


class TestLocalContract(ClassifierContract):
    plugin = LocalClassifier
    entry_point = "local"


def decide(intents=(), threshold=0.0, feeds_from=(), feeds_into=(), **step) -> Classification | None:
    made = Step.model_validate({"id": "x", **step})
    request = ClassifyRequest(
        step=made, intents=intents, threshold=threshold, feeds_from=feeds_from, feeds_into=feeds_into
    )
    return LocalClassifier().classify(request)


def raw(intents=(), **step) -> Classification:
    return LocalClassifier().classify_raw({"id": "x", **step}, intents)


def labelled() -> list[LabelledStep]:
    return [LabelledStep.of_row(json.loads(line)) for line in LABELLED.read_text("utf-8").splitlines()]


@pytest.mark.parametrize(
    ("intent", "step"),
    [
        ("extract", {"uses": "file.read", "with": {"path": "a.csv"}}),
        ("send", {"uses": "file.write", "with": {"path": "a.md"}, "name": "Write the summary"}),
        ("extract", {"uses": "git.log", "with": {"repo": "."}}),
        ("filter", {"name": "Keep the complaints"}),
        ("enrich", {"name": "Add what we know of each customer", "with": {"from": "{{ steps.a.output }}"}}),
        ("conditional", {"name": "Does a business customer complain?"}),
        ("summarize", {"name": "Summarize the complaints", "prompt": "Who complains about what?"}),
        ("aggregate", {"name": "Count commits and lines per author"}),
        ("validate", {"name": "Check every order"}),
        ("transform", {"name": "Convert the amounts to euros"}),
        ("generate", {"prompt": "Write a friendly answer to the customer"}),
    ],
)
def test_tells_the_ten_intents_of_a_workflow_file_apart(intent, step):
    """Steps as people write them are recognised by their operation, name or prompt."""
    found = decide(**step)
    assert found.intent == intent, found
    assert found.method == "local"


@pytest.mark.parametrize(
    ("intent", "step"),
    [
        ("send", {"type": "action", "plugin": "slack", "action": "sendMessage", "name": "Summarize sales"}),
        ("extract", {"type": "action", "plugin": "gmail", "action": "search_messages", "name": "Send list"}),
        ("conditional", {"type": "conditional", "name": "Validate the answer"}),
        ("aggregate", {"type": "merge", "name": "Filter results"}),
        ("filter", {"type": "removeDuplicates", "name": "Step 3"}),
        ("send", {"type": "action", "plugin": "postgres", "action": "executeQuery", "name": "run",
                  "params": {"query": "INSERT INTO t (a) VALUES (1)"}}),
        ("extract", {"type": "action", "plugin": "postgres", "action": "executeQuery", "name": "run",
                     "params": {"query": "SELECT a FROM t"}}),
        ("extract", {"type": "httpRequest", "name": "Orders", "params": {"method": "GET", "url": "https://x.example/orders"}}),
        ("send", {"type": "httpRequest", "name": "Orders", "params": {"method": "PUT", "url": "https://x.example/orders/1"}}),
        ("extract", {"type": "httpRequest", "name": "Logs", "params": {"method": "POST", "url": "https://x.example/_search"}}),
    ],
)  # fmt: skip
def test_machinery_outweighs_a_misleading_name(intent, step):
    """What type, operation, method and SQL say counts more than the name's words."""
    assert raw(**step).intent == intent


@pytest.mark.parametrize(
    ("intent", "kind"),
    [
        ("conditional", "RouteOnAttribute"),
        ("conditional", "BranchPythonOperator"),
        ("extract", "acme.components.retrievers.ParcelEmbeddingRetriever"),
        ("extract", "arn:aws:states:::aws-sdk:dynamodb:getItem"),
        ("extract", "is.workflow.actions.getclipboard"),
        ("aggregate", "DocumentJoiner"),
        ("send", "PutDatabaseRecord"),
        ("send", "S3ToRedshiftOperator"),
        ("send", "acme.v1.projects.topics.publish"),
        ("validate", "acme::ParcelSchemaValidator"),
        ("filter", "remove-duplicate-rows"),
        ("transform", "document_splitter"),
        ("transform", "CsvToJson"),
        (None, "subflows"),
        (None, "io.acme.flow.ForEach"),
    ],
)
def test_reads_what_a_kind_of_machinery_is_called(intent, kind):
    """Words in CamelCase, snake_case, dotted or solid, their head and their verb tell where the name is silent."""
    assert raw(type=kind, name="p9").intent == intent


@pytest.mark.parametrize(
    ("intent", "kind"),
    [
        ("send", "ParquetWriter3NodeFactory"),
        ("aggregate", "Join2"),
        ("filter", "RowFilter4"),
        ("none", "HotkeyTriggerV3"),
    ],
)
def test_numbers_and_factories_in_a_types_name_change_nothing(intent, kind):
    """Exports number the versions of their types, and name the class that makes them."""
    assert (raw(type=kind).intent or "none") == intent


def test_words_are_parted_from_their_numbers_unless_they_are_one_name():
    assert words("CSVWriter2 Delete1 base64 s3 md5") == [
        *("csv", "writer", "2", "delete", "1", "base64"),
        *("s3", "md5"),
    ]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda value: {"value": value, "type": "Expression"},
        lambda value: {"type": "Literal", "value": value},
        lambda value: {"typeName": "String", "value": value},
    ],
)
@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_a_value_that_is_wrapped_with_its_type_is_read_as_it_is(wrap, method):
    """Some exports write each parameter as a mapping of its value and its type."""
    params = {"url": "https://x.example/parcels/7", "method": method}
    wrapped = {key: wrap(value) for key, value in params.items()}
    plain = raw(type="SendRequest", name="Parcel", params=params)
    assert raw(type="SendRequest", name="Parcel", params=wrapped) == plain
    assert plain.intent == {"GET": "extract", "PATCH": "send"}[method]


@pytest.mark.parametrize("shell", ["sh -c", "/bin/bash -c", ["bash", "-euc"]])
@pytest.mark.parametrize(
    ("intent", "line"),
    [(None, "sleep 20"), ("validate", "pytest -q tests"), ("send", "git commit -a -m x && git push")],
)
def test_what_a_container_runs_stands_in_its_arguments(intent, line, shell):
    """Containers are given an interpreter as command and the line as argument."""
    params = {"image": "alpine", "command": shell, "args": [line]}
    assert raw(type="container", name="t1", params=params).intent == intent


def test_a_command_and_its_arguments_are_one_line():
    view = StepView.of_raw({"type": "container", "params": {"command": ["make"], "args": ["lint", "test"]}})
    assert view.code == "make lint test"


@pytest.mark.parametrize("key", ["content", "message", "text"])
@pytest.mark.parametrize("where", [lambda turns: {"messages": turns}, lambda turns: {"body": {"messages": turns}}])
@pytest.mark.parametrize(
    ("intent", "prompt"),
    [
        ("summarize", "Summarize the protocol of the meeting in five lines."),
        ("transform", "Translate the letter into Dutch."),
    ],
)
def test_the_turns_of_a_chat_are_a_prompt(intent, prompt, where, key):
    """Requests to a model list their prompt as messages, under one of several names."""
    turns = [{"role": "system", key: prompt}, {"role": "user", key: "{{ inputs.text }}"}]
    assert raw(type="CHAT_COMPLETE", name="m1", params=where(turns)).intent == intent


@pytest.mark.parametrize("name", ["Approve the invoice", "Check the meter", "Summarize"])
@pytest.mark.parametrize("kind", ["userTask", "WaitForSignal", "scheduleTrigger"])
def test_what_waits_does_so_whatever_its_name_says(kind, name):
    """A name tells what is waited for, or what comes after."""
    assert raw(type=kind, name=name).intent is None


@pytest.mark.parametrize("targets", ["to", "next", "goto"])
@pytest.mark.parametrize("kind", ["Categorize", "TicketClassifier"])
def test_a_classifier_with_a_step_for_each_category_branches(kind, targets):
    """What goes on differently for each category is a branch; without, the category is added to what there is."""
    categories = [{"name": "return of goods", targets: "s4"}, {"name": "praise", targets: "s7"}]
    assert raw(type=kind, name="c1", params={"categories": categories}).intent == "conditional"


@pytest.mark.parametrize(
    ("intent", "code"),
    [
        (None, "throw new Error('no paper in the tray');"),
        (None, "// never printed\nraise RuntimeError('no paper')"),
        ("validate", "if (!msg.rows.length) { throw new Error('no rows'); }\nreturn msg;"),
    ],
)
def test_code_that_only_fails_checks_nothing(intent, code):
    """Under a condition it is a check; by itself it ends the workflow."""
    assert raw(type="script", name="Printer", params={"script": code}).intent == intent


def test_a_function_is_known_by_its_name_wherever_it_stands():
    """Some exports write the function as a mapping with its name."""
    params = {"userFunction": {"name": "merge_lists", "repository": "own"}}
    assert StepView.of_raw({"type": "utility", "params": params}).callee == "merge_lists"
    assert raw(type="utility", name="u1", params=params).intent == "aggregate"


@pytest.mark.parametrize(
    ("intent", "step"),
    [
        ("send", {"type": "text", "name": "Group 3", "params": {"content": {"richText": "See you on Monday!"}}}),
        ("send", {"type": "image", "name": "Menu", "params": {"content": {"url": "https://x.example/cat.png"}}}),
        (None, {"type": "phone number input", "name": "Contact", "params": {"variableId": "v9"}}),
        (None, {"type": "rating input", "name": "Stars"}),
        (None, {"type": "reference_playbook", "name": "Contain the host", "params": {"workflowReference": "w7"}}),
        (None, {"type": "OWViolinPlot", "name": "Violin Plot"}),
        (None, {"type": "BayesLearnerNodeFactory", "name": "Bayes Learner"}),
        ("enrich", {"type": "action", "plugin": "Umbra Intel", "action": "domain reputation", "name": "look at it"}),
        ("extract", {"type": "MessageFileInput", "name": "in"}),
        ("transform", {"type": "TableCreator", "name": "codes", "params": {"rows": ["id,name", "1,oak", "2,elm"]}}),
    ],
)  # fmt: skip
def test_knows_kinds_of_steps_across_product_categories(intent, step):
    """Chat bubbles and what chats ask, viewers and learners, other workflows, reputations, typed rows."""
    assert raw(**step).intent == intent


@pytest.mark.parametrize(
    ("said", "name"),
    [
        (("get", "clipboard"), "getclipboard"),
        (("set", "variable"), "setvariable"),
        (("settings",), "settings"),
        (("address",), "address"),
        (("listener",), "listener"),
        (("sendgrid",), "sendgrid"),
        (("readwise",), "readwise"),
    ],
)
def test_takes_solid_names_apart_where_a_verb_leads(said, name):
    """A verb at the beginning of a solid word is found, but not in words and makers' names that begin like one."""
    assert machinery(name).words == said


@pytest.mark.parametrize(
    ("primary", "name"),
    [
        ("retrieve", "EmbeddingRetriever"),
        ("subnode", "EmbeddingModel"),
        ("trigger", "http:listener"),
        ("validate", "json_schema_checker"),
    ],
)
def test_the_head_of_a_name_tells_what_it_is(primary, name):
    """An embedding retriever retrieves; it is no model of embeddings."""
    assert machinery(name).primary == primary


def test_a_transfer_is_no_conversion():
    """From place to place data are carried, from form to form they are converted."""
    assert "kx:place:place" in machinery("S3ToRedshift").features["k"]
    assert "kx:form:form" in machinery("CsvToJson").features["k"]
    assert "kx:form:place" in machinery("csv_to_postgres").features["k"]


@pytest.mark.parametrize(
    ("intent", "code"),
    [
        ("transform", "msg.payload = {cmd: 'stop', id: 4};\nreturn msg;"),
        ("send", "import requests\nrequests.post(hook, json={'text': msg})\nreturn 'ok'"),
    ],
)
def test_code_that_is_shown_counts_more_than_its_name(intent, code):
    """Code that reaches nothing outside sends nothing, whatever it is called."""
    step = {"type": "function", "name": "Send command", "params": {"func": code}}
    assert ("xz:pure" in features(StepView.of_raw(step))) == (intent == "transform")
    assert raw(**step).intent == intent


@pytest.mark.parametrize(
    ("intent", "prompt"),
    [
        ("summarize", "Summarize the page in five sentences."),
        ("transform", "Translate the text into French."),
    ],
)
def test_what_a_request_asks_a_model_for_counts(intent, prompt):
    """The prompt is found in the body of a request, be that text or an object."""
    text = json.dumps({"model": "m", "messages": [{"role": "user", "content": prompt}]})
    for body in (text, {"model": "m", "input": prompt}):
        step = {"type": "httpRequest", "name": "HTTP Request", "params": {"method": "POST", "jsonBody": body}}
        assert StepView.of_raw(step).prompt == prompt
        assert raw(**step).intent == intent


@pytest.mark.parametrize(
    ("intent", "name"),
    [
        ("send", "Rapport per Mail senden"),
        ("send", "Envoyer le rapport"),
        ("send", "Enviar mensaje al equipo"),
        ("send", "Отправить отчёт"),
        ("extract", "获取订单列表"),
        ("summarize", "会議の内容を要約"),
        ("filter", "Filtrar clientes activos"),
        ("validate", "Rechnung prüfen"),
        ("transform", "翻译成英文"),
        ("aggregate", "Agrupar vendas por região e somar"),
    ],
)
def test_understands_common_verbs_of_other_languages(intent, name):
    """A name's verb is understood in German, French, Spanish, Portuguese, Russian, Chinese and Japanese."""
    assert decide(name=name).intent == intent


@pytest.mark.parametrize(
    "step",
    [
        {"type": "trigger", "plugin": "schedule", "name": "Every morning"},
        {"type": "wait", "name": "Wait for two minutes"},
        {"type": "stickyNote", "name": "Sticky Note", "params": {"content": "put the key here"}},
        {"type": "noOp", "name": "Do nothing"},
        {"type": "splitInBatches", "name": "Loop Over Items"},
        {"type": "lmChatOpenAi", "plugin": "lmChatOpenAi", "name": "Model", "params": {"model": "gpt-4o"}},
        {"type": "action", "plugin": "ec2", "action": "stopInstances", "name": "Stop server"},
        {"type": "startEvent", "name": "Rechnung eingegangen"},
    ],
)
def test_abstains_from_what_is_no_step_of_work(step):
    """Triggers, waits, notes, loops, models and switches have no intent, and that is an answer."""
    assert raw(**step).intent is None


def test_declines_below_the_threshold():
    """A step that says nothing is left to the next classifier, and guessed at only when asked to."""
    assert decide(threshold=0.95, name="Step 7") is None
    assert decide(threshold=0.0, name="Step 7") is not None
    assert decide(threshold=0.95, uses="file.read") is not None


def test_a_custom_intent_is_known_from_its_examples_alone():
    """Five example steps are enough; there are no words and no training."""
    found = decide((REFUND,), name="Refund Anna")
    assert (found.intent, found.method) == ("refund", "local")
    assert "refund" in found.signals[0].text
    assert decide((), name="Refund Anna").intent != "refund"


@pytest.mark.parametrize(
    "name", ["A haiku about the sea", "Compose haiku for the winner", "Count the syllables of a haiku"]
)
def test_a_custom_intents_words_count(name):
    """Its own words name it."""
    assert decide((REFUND, HAIKU), name=name).intent == "haiku"


@pytest.mark.parametrize(
    ("intent", "step"),
    [
        ("filter", {"name": "Only the mails that mention a complaint or a refund"}),
        ("send", {"uses": "slack.post_message", "name": "Post the haiku of the day"}),
        ("generate", {"name": "Write a poem for the customer"}),
        ("extract", {"name": "Get the money transfers of the day"}),
    ],
)
def test_a_custom_intent_leaves_the_others_alone(intent, step):
    """Common verbs, a word in passing, or a word beside an explicit operation do not claim a step."""
    assert decide((REFUND, HAIKU), **step).intent == intent


def test_examples_of_installed_handlers_teach():
    """A step like an example of a learned intent is taken for it, whatever the words say otherwise."""
    odd = IntentSpec(name="summarize", summary="", examples=("Sum up the incident log for the managers",))
    assert decide((), name="Sum up the error log for the managers").intent == "aggregate"
    assert decide((odd,), name="Sum up the error log for the managers").intent == "summarize"


def test_says_an_explicit_intent_again():
    """A step that names its intent is not second-guessed."""
    found = raw(name="Send it", intent="haiku")
    assert (found.intent, found.confidence, found.method) == ("haiku", 1.0, "explicit")


def test_tells_why_in_words():
    """The reasons name what the step says and what it means, strongest first, at most four."""
    found = raw(type="action", plugin="slack", action="sendMessage", name="Send the digest")
    texts = [signal.text for signal in found.signals]
    assert any("the operation 'sendMessage' delivers or writes" in text for text in texts)
    assert 1 <= len(texts) <= 4
    mine = [signal.weight for signal in found.signals if signal.intent == "send"]
    assert mine == sorted(mine, reverse=True)


def test_tells_the_second_best_and_how_far_it_is_behind():
    """An ambiguous step has a small margin, a plain one a large one."""
    plain = raw(type="merge", name="Merge")
    unclear = decide(name="Prepare the customers")
    assert plain.margin > 0.9 > unclear.margin
    assert unclear.second not in (None, unclear.intent)


def test_steps_that_others_branch_on_lean_to_conditional():
    """Routes that hang off a step speak for a branch."""
    after = Step(id="y", when="steps.x.output.branch == 'a'")
    assert decide(name="Order size").intent != "conditional"
    assert decide(name="Order size", feeds_into=(after,)).intent == "conditional"
    assert decide(uses="file.read", feeds_into=(after,)).intent == "extract"


def test_neighbours_do_not_overrule_machinery():
    """Whatever others ask of its output, an operation of a connector is judged by itself."""
    asks = Step(id="y", when="steps.x.output.branch == 'a' && steps.x.output.valid")
    assert decide(uses="acme.process", feeds_into=(asks,)) == decide(uses="acme.process")


@pytest.mark.parametrize(
    ("intent", "name"),
    [
        ("generate", "write_article"),
        ("send", "write_to_sheet"),
        ("send", "load_orders_to_postgres"),
        ("extract", "load_orders_from_postgres"),
    ],
)
def test_what_a_verb_is_about_and_its_direction_count(intent, name):
    """To write a text makes it, to write to a sheet stores; what is loaded from there is read."""
    assert raw(type="PythonOperator", name=name).intent == intent
    found = features(StepView(kind="PythonOperator", name=name))
    assert any(each.startswith(("no:write:", "nd:load:")) for each in found)


def test_steps_whose_verdict_others_ask_for_lean_to_validate():
    """A field such as `valid` that a condition asks for speaks for a check, another field does not."""
    asks = Step(id="y", when="steps.x.output.valid == true")
    other = Step(id="y", when="steps.x.output.total > 3 && steps.xx.output.valid")
    alone = decide(name="The order of the day", input="x")
    assert decide(name="The order of the day", input="x", feeds_into=(asks,)).intent == "validate"
    assert decide(name="The order of the day", input="x", feeds_into=(other,)).intent == alone.intent != "validate"


def test_where_a_step_stands_decides_only_between_what_its_words_leave_open():
    """What nothing is given to gets data, what several feed brings together; a plain name says otherwise."""
    source, other, sink = Step(id="a"), Step(id="b"), Step(id="c")
    first = decide(name="The week", feeds_into=(sink,))
    joined = decide(name="The week", feeds_from=(source, other), feeds_into=(sink,))
    assert first.intent == "extract"
    assert joined.intent == "aggregate"
    for around in ({"feeds_into": (sink,)}, {"feeds_from": (source, other)}):
        assert decide(name="Keep only the open orders", **around).intent == "filter"
        assert decide(uses="file.write", **around).intent == "send"


@pytest.mark.parametrize(
    ("intent", "fields"),
    [
        ("enrich", {"category": {"type": "string", "enum": ["a", "b"]}}),
        ("validate", {"valid": {"type": "boolean"}, "errors": {"type": "array"}}),
        ("summarize", {"summary": {"type": "string"}, "key_points": {"type": "array"}}),
        ("conditional", {"branch": {"type": "string", "enum": ["a", "b"]}}),
        ("extract", {"invoice_number": {"type": "string"}, "amount": {"type": "number"}, "vendor": {}}),
    ],
)
@pytest.mark.parametrize("key", ["output", "output_schema"])
def test_what_a_step_is_to_put_out_speaks_where_its_words_are_silent(intent, fields, key):
    """The schema of the output tells a label, a verdict, a summary, a branch and facts apart."""
    schema = {"type": "object", "properties": fields}
    assert raw(name="Step 4", prompt="Work on this: {{ input }}", **{key: schema}).intent == intent
    if key == "output":
        assert decide(name="Step 4", prompt="Work on this: {{ input }}", output=schema).intent == intent


def test_an_output_schema_gives_way_to_plain_words():
    """A step that says what it does is not overruled by the names of its output's fields."""
    schema = {"type": "object", "properties": {"text": {"type": "string"}}}
    assert decide(name="Keep only the open orders", output=schema).intent == "filter"


@pytest.mark.parametrize(
    ("intent", "step"),
    [
        ("validate", {"type": "PythonOperator", "params": {"python_callable": "validate_orders"}}),
        ("extract", {"type": "serviceTask", "params": {"delegateExpression": "#{crm.fetchCustomer}"}}),
        ("send", {"type": "serviceTask", "params": {"expression": "${mailer.sendInvoice(execution)}"}}),
        ("summarize", {"type": "code", "params": {"command": "python jobs/summarize_logs.py --day 3"}}),
        ("validate", {"type": "run", "params": {"run": "npm run lint"}}),
    ],
)
def test_what_a_step_runs_tells_what_it_does(intent, step):
    """A function, script or job that is called by name speaks like the step's own name."""
    found = raw(name="Step 3", **step)
    assert found.intent == intent, found


@pytest.mark.parametrize(
    ("deeds", "line"),
    [
        (["install", "test"], "npm ci && npm test"),
        (["fetch"], "git clone --depth 1 https://git.example/a.git"),
        (["publish"], "curl -X POST -d @a.json https://x.example"),
        (["fetch"], "curl -sSf https://x.example/a.csv -o a.csv"),
        (["test"], "npx prettier --check src"),
        (["build"], "npx prettier --write src"),
        (["test"], "npm run lint:ci"),
        (["build"], "npm run build"),
        (["fetch"], "aws s3 cp s3://in/a.csv ./a.csv"),
        (["publish"], "aws s3 cp ./a.csv s3://out/a.csv"),
        (["test"], "# unit\nDEBUG=1 python -m pytest -q"),
        (["test"], "./mvnw -B test"),
        (["group"], "cat a.csv b.csv > all.csv"),
        ([], "def main(x):\n    make = 3"),
        ([], "python train.py"),
    ],
)
def test_knows_what_commands_do(deeds, line):
    """Tools are known by name, past wrappers, settings and options; what is no command line has no deeds."""
    assert command_deeds(line) == deeds


def test_preparation_is_not_what_commands_are_for():
    """Installing before testing is testing; alone it is installing."""
    assert main_deed(["install", "test", "start"]) == "test"
    assert main_deed(["start", "install"]) == "install"


@pytest.mark.parametrize(
    ("intent", "params"),
    [
        ("send", {"configuration": {"query": {"query": "DELETE FROM a.b WHERE TRUE", "useLegacySql": False}}}),
        ("extract", {"configuration": {"query": {"query": "SELECT a FROM b"}}}),
        ("extract", {"http_request": {"method": "GET", "uri": "https://x.example/orders"}}),
        ("send", {"http_request": {"method": "PUT", "uri": "https://x.example/orders/3"}}),
    ],
)
def test_looks_into_nested_parameters(intent, params):
    """SQL and requests count wherever they stand in the parameters."""
    kind = "HTTP" if "http_request" in params else "BigQueryInsertJobOperator"
    assert raw(name="step 2", type=kind, params=params).intent == intent


def test_a_request_that_asks_a_model_generates():
    """The body tells a POST to a model from one that delivers."""
    body = {"model": "m", "messages": [{"role": "user", "content": "Write a poem"}]}
    asked = raw(
        name="Call", type="httpRequest", params={"method": "POST", "url": "https://x.example/v1", "body": body}
    )
    told = raw(
        name="Call", type="httpRequest", params={"method": "POST", "url": "https://x.example/v1", "body": {}}
    )
    assert (asked.intent, told.intent) == ("generate", "send")


@pytest.mark.parametrize(
    "step",
    [
        {"type": "summarize", "name": "x"},
        {"plugin": "gmail", "name": "x"},
        {"type": "action", "plugin": "gmail"},
        {"type": "action", "action": "send_mail"},
        {"name": "Send"},
        {"prompt": "={{ $json.text }} Summarize the text"},
        {"type": "code", "name": "Run", "params": {"python_callable": "send_mail"}},
    ],
)
def test_reasons_name_only_what_the_step_has(step):
    """No reason is about an empty operation, or repeats what another says in other words."""
    texts = [signal.text for signal in raw(**step).signals]
    assert texts
    assert not any("''" in text or "'action'" in text or "{{" in text for text in texts)
    quoted = [text.split("'")[1] for text in texts if "'" in text]
    assert len(quoted) == len(set(quoted)), texts


ONBOARD = IntentSpec(
    name="onboard",
    summary="welcome somebody new",
    examples=(
        "Set up the account of a new colleague",
        "Get the laptop ready for the new colleague",
        "Give the newcomer access to the tools",
        "Introduce the new colleague to the team",
        "Plan the first week of the newcomer",
    ),
)


@pytest.mark.parametrize(
    "name",
    ["Set up everything for the new colleague", "Plan the newcomer's first day", "Give the new colleague a key"],
)
def test_examples_of_common_words_are_enough_together(name):
    """A custom intent whose examples share no rare word is sure where a step shares several words with one."""
    found = decide((ONBOARD,), name=name)
    assert found.intent == "onboard"
    assert found.confidence >= 0.7


@pytest.mark.parametrize(
    "name", ["Get the tools", "Plan a weekend", "Give the team the report", "Set up the table"]
)
def test_one_common_word_does_not_claim_a_step(name):
    """A word in passing is no likeness."""
    assert decide((ONBOARD,), name=name).intent != "onboard"


def test_reads_neither_data_nor_templates_as_words():
    """What is filled into a prompt, with its label, asks for nothing."""
    bare = features(StepView(kind="ai_processing", prompt="Summary: {{ issue.summary }}\nTranslate the text."))
    assert not any("summar" in name for name in bare)
    assert "p1:transform" in bare


@pytest.mark.parametrize(
    ("name", "lemma"),
    [
        ("Email Classifier", "classify"),
        ("Classify the email", "classify"),
        ("Text summarization chain", "summarize"),
        ("getAllUsers", "get"),
        ("Post the summary", "post"),
        ("Email send", "send"),
        ("知识检索", "retrieve"),
        ("Customers", ""),
        ("run_unit_tests", "test"),
        ("Execute queries", "query"),
        ("Run", "run"),
    ],
)
def test_finds_what_a_name_is_about(name, lemma):
    """The head of a noun phrase stands last, a verb first."""
    assert head(*lemmas_of(name)) == lemma


@pytest.mark.parametrize(
    ("harmless", "step"),
    [
        (True, {"type": "action", "plugin": "gmail", "action": "getMessages"}),
        (True, {"type": "httpRequest", "params": {"method": "GET", "url": "https://x.example"}}),
        (True, {"type": "filter", "name": "Delete the rest"}),
        (False, {"type": "action", "plugin": "gmail", "action": "deleteMessage", "name": "Get rid"}),
        (
            False,
            {"type": "httpRequest", "name": "Summarize", "params": {"method": "POST", "url": "https://x.example"}},
        ),
        (False, {"type": "action", "plugin": "mysql", "action": "query", "params": {"query": "DELETE FROM t"}}),
        (False, {"type": "code", "params": {"code": "requests.post(url, json=data)"}}),
        (False, {"type": "action", "plugin": "slack", "name": "Summary"}),
        (False, {"uses": "file.write", "with": {"path": "x"}}),
        (False, {"type": "run", "params": {"run": "npm run build\ndocker push acme/app"}}),
        (False, {"type": "sh", "params": {"script": "vercel --prod"}}),
        (True, {"type": "sh", "params": {"script": "pytest -q"}}),
        (False, {"type": "query", "params": {"configuration": {"query": {"query": "DELETE FROM t"}}}}),
    ],
)
def test_tells_what_may_have_side_effects(harmless, step):
    """Writes, deletions and posts are recognised whatever the step is called; doubt counts as yes."""
    assert (LocalClassifier().side_effect(step) == "") is harmless


def test_side_effects_of_a_step_of_a_workflow():
    """A workflow's own steps are judged alike."""
    assert LocalClassifier().side_effect(Step(id="a", uses="file.write"))
    assert not LocalClassifier().side_effect(Step(id="a", uses="file.read"))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=6,
)
KEYS = (
    "id",
    "name",
    "type",
    "plugin",
    "action",
    "prompt",
    "params",
    "description",
    "url",
    "method",
    "uses",
    "with",
)


@given(st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=8), json_values, max_size=8))
def test_no_step_is_too_odd(step):
    """Whatever stands in a step, there is an answer with a sane confidence, and the same one again."""
    step.pop("intent", None)
    before = json.dumps(step)
    found = LocalClassifier().classify_raw(step)
    assert 0 <= found.confidence <= 1
    assert 0 <= found.margin <= 1
    assert found == LocalClassifier().classify_raw(step)
    assert json.dumps(step) == before
    assert isinstance(LocalClassifier().side_effect(step), str)


def test_accuracy_on_the_projects_own_steps():
    """Steps in the shapes of 23 platforms that are not learned from."""
    result = evaluate(labelled(), LocalClassifier().classify_raw)
    assert result.overall.lenient >= 0.88
    assert result.coverage() >= 0.75
    assert result.by("difficulty")["easy"].strict >= 0.92
    assert result.abstained >= 0.7
    assert result.lost <= 0.03


def test_confidence_is_calibrated_on_the_projects_own_steps():
    """No answer claims more than it holds. These steps are easier than real ones, on which confidence is fitted."""
    result = evaluate(labelled(), LocalClassifier().classify_raw)
    assert all(part.right >= part.confidence - 0.07 for part in result.reliability() if part.steps >= 10)
    assert result.calibration_error <= 0.15
    surest = result.reliability()[-1]
    assert surest.confidence > 0.9
    assert surest.right >= surest.confidence - 0.05


def test_confidence_never_falls_with_probability():
    """The calibration curve rises."""
    learned = model()
    curve = [learned.confidence(step / 200) for step in range(201)]
    assert curve == sorted(curve)
    assert 0 < curve[0] < curve[-1] <= 1


def test_work_per_step_is_bounded():
    """A step of any length is looked up in a bounded number of features."""
    long = {"type": "ai_processing", "name": "x" * 400, "prompt": "Summarize all of this. " * 5000}
    long["params"] = {"code": "return items.filter(x => x)\n" * 5000}
    assert len(features(StepView.of_raw(long))) < 200
    counts = sorted(len(features(StepView.of_raw(each.step))) for each in labelled())
    assert counts[len(counts) // 2] < 60


def test_weights_are_fit_to_ship():
    """Each feature has a weight for each label, and the file stays small."""
    learned = model()
    assert {len(row) for row in learned.weights.values()} == {len(learned.intents)}
    assert len(learned.bias) == len(learned.intents) == 11
    size = (files("intendant_classify_local") / "weights.json").stat().st_size
    assert size < 1_460_000


def handler_of(intent: str) -> type[IntentHandler]:
    class Echo(IntentHandler):
        spec = IntentSpec(name=intent, summary=f"to {intent}", examples=(f"Do {intent}",))

        async def handle(self, request):
            return StepResult(output=request.input)

    return Echo


async def test_a_plan_shows_what_was_decided():
    """The engine asks it about steps that do not name their intent."""
    flow = Workflow.parse("""
        name: t
        steps:
          - {id: orders, name: Get the latest orders from the shop}
          - {id: paid, name: Keep only the paid ones, input: "{{ steps.orders.output }}"}
    """)
    plugins = [LocalClassifier(), handler_of("extract")(), handler_of("filter")()]
    async with engine(*plugins) as service:
        plan = await service.plan(flow)
    decided = {step.step_id: step.classification for step in plan.steps}
    assert {key: found.intent for key, found in decided.items()} == {"orders": "extract", "paid": "filter"}
    assert {found.method for found in decided.values()} == {"local"}


def test_an_operation_that_only_reads_rules_out_intents_that_change_something() -> None:
    """The step says "send"; its connector's operation changes nothing outside."""
    from intendant.plugin import ClassifyRequest, IntentSpec, Operation, Step

    specs = (IntentSpec(name="send", summary="Deliver", examples=("Send it",), side_effects=True),)
    step = Step(id="a", name="Send the report to the team", uses="post.send")
    reading = Operation(name="send", summary="x", side_effects=False)
    sure = ClassifyRequest(step=step, intents=specs, threshold=0.0)
    told = sure.model_copy(update={"operation": reading})
    assert LocalClassifier().classify(sure).intent == "send"
    assert LocalClassifier().classify(told).intent != "send"
    assert "only reads" in LocalClassifier().classify(told).signals[0].text
