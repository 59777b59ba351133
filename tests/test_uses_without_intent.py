"""A step that uses a connector needs no intent, whatever it is called; one whose intent uses none is refused."""

import pytest

from intendant import SyncOrchestrationService, Workflow, WorkflowError
from intendant.hooks.registry import Plugins

PLUGINS = Plugins()
URL = {"url": "https://a.example/x"}
GIVEN = {
    "document.read": {"path": "a.pdf"},
    "file.append": {"path": "a.txt"},
    "file.list": {"path": "a*"},
    "file.parse": {},
    "file.read": {"path": "a.txt"},
    "file.write": {"path": "a.txt"},
    "git.log": {},
    "http.request": {**URL, "method": "PATCH", "json": {"a": 1}},
    "http.post": {**URL, "form": {"a": 1}},
    "http.put": {**URL, "body": "a"},
    "mail.fetch": {"host": "a.example"},
    "mail.send": {"host": "a.example", "from": "a@a.example", "to": "b@a.example", "subject": "x", "text": "y"},
    "mcp.call": {"server": "s", "tool": "t"},
    "mcp.tools": {"server": "s"},
    "notify.send": {"to": "x"},
    "sql.execute": {"url": "sqlite:///a.db", "sql": "delete from x"},
    "sql.query": {"url": "sqlite:///a.db", "sql": "select 1"},
    "web.parse": {},
}
OPERATIONS = [f"{name}.{one}" for name, found in PLUGINS.connectors.items() for one in found.operation_names()]
NEED_INPUT = {"file.append", "file.write", "notify.send", "webhook.post"}


@pytest.fixture(scope="module")
def service():
    with SyncOrchestrationService(db="none") as made:
        yield made


def steps(uses: str, **more) -> Workflow:
    ids = ("a", "summary", "clean", "labels", "check", "join", "report", "filter_them", "branch")
    found = [{"id": name, "uses": uses, "with": GIVEN.get(uses, URL), **more} for name in ids]
    return Workflow.model_validate({"name": "t", "steps": found})


@pytest.mark.parametrize("uses", OPERATIONS)
def test_an_operation_alone_is_a_step_whatever_its_id_says(service, uses) -> None:
    """By its words a step `join` that queries a database was an aggregation, which uses no connector."""
    connector, name = uses.split(".")
    changes = PLUGINS.connectors[connector].operations[name].side_effects
    more = {"input": "x"} if uses in NEED_INPUT or uses in ("web.parse", "file.parse") else {}
    planned = service.plan(steps(uses, **more)).steps
    assert {step.intent for step in planned} <= ({"send", "extract"} if changes else {"extract"})
    doubts = [step.warnings for step in planned if any("'transform'" in text for text in step.warnings)]
    assert not doubts, "an intent that uses no connector is none to doubt for"


@pytest.mark.parametrize("uses", sorted(NEED_INPUT))
def test_what_sends_its_input_needs_one(service, uses) -> None:
    with pytest.raises(WorkflowError, match=f"`input` is missing: what `{uses}` is to send"):
        service.plan(steps(uses))


def test_options_of_a_lookup_make_it_one(service) -> None:
    options = {"on": {"left": "a", "right": "id"}, "key": "query.id"}
    found = service.plan(steps("http.get", input=[{"a": 1}], options=options))
    assert {step.intent for step in found.steps} == {"enrich"}


@pytest.mark.parametrize("intent", [name for name, one in PLUGINS.intents.items() if not one.spec.connects])
def test_an_intent_that_uses_no_connector_says_so_instead_of_leaving_it_out(service, intent) -> None:
    """`intent: summarize` with `uses: http.get` summarised nothing, and the address was never asked."""
    step = {"id": "a", "intent": intent, "uses": "http.get", "with": URL, "prompt": "What is new?"}
    with pytest.raises(WorkflowError, match="uses no connector, and `uses: http.get` would not be done") as caught:
        service.plan(Workflow.model_validate({"name": "t", "steps": [step]}))
    assert len(caught.value.problems) == 1


def test_the_intents_that_use_connectors() -> None:
    assert {name for name, one in PLUGINS.intents.items() if one.spec.connects} == {"extract", "enrich", "send"}


@pytest.mark.parametrize("uses", ["http.post", "sql.execute", "file.append", "mail.send", "http.delete"])
def test_a_lookup_changes_nothing(service, uses) -> None:
    step = {
        "id": "a",
        "intent": "enrich",
        "uses": uses,
        "with": GIVEN.get(uses, URL),
        "input": [{"a": 1}],
        "options": {"on": {"left": "a", "right": "id"}, "key": "parameters.a"},
    }
    with pytest.raises(WorkflowError, match=f"only reads, and `{uses}` changes something outside"):
        service.plan(Workflow.model_validate({"name": "t", "steps": [step]}))


def test_a_lookup_whose_parameters_change_something_is_refused_before_it_is_made(service, httpserver) -> None:
    """`http.request` reads or changes, as its method says."""
    httpserver.expect_request("/").respond_with_json({"name": "Ada"})
    url = httpserver.url_for("/")
    step = {
        "id": "a",
        "intent": "enrich",
        "uses": "http.request",
        "input": [{"a": 1}],
        "options": {"on": {"left": "a", "right": "id"}, "key": "query.id", "fields": ["name"]},
    }
    settings = {"plugins": {"settings": {"connector:http": {"allow": ["localhost", "127.0.0.1"]}}}}
    with SyncOrchestrationService(settings, db="none") as own:
        for method, sent in (("POST", 0), ("PUT", 0), ("GET", 1)):
            flow = Workflow.model_validate(
                {"name": "t", "steps": [{**step, "with": {"url": url, "method": method}}]}
            )
            result = own.run(flow)
            assert len(httpserver.log) == sent
            if method == "GET":
                assert result.outputs["a"] == [{"a": 1, "name": "Ada"}]
            else:
                assert "with these parameters changes something" in result.failures["a"].message
