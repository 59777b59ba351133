"""Mistakes of a file are told together, whatever kind they are of, in words that say what to do."""

import pytest

from intendant import SyncOrchestrationService, Workflow, WorkflowError


@pytest.fixture(scope="module")
def service():
    with SyncOrchestrationService(db="none") as service:
        yield service


def mistakes(service, folder, text: str) -> list[tuple[str, str, str]]:
    """Step, message and hint of each mistake of a workflow."""
    file = folder / "flow.yaml"
    file.write_text(text)
    try:
        service.load(file)
    except WorkflowError as error:
        return [(problem.step, problem.message, problem.hint) for problem in error.problems]
    return []


SHAPES = {
    "an unknown key": "  - {id: bad, use: file.read, with: {path: x.csv}}",
    "an id": "  - {id: bad-id, intent: transform, input: 1, with: {op: limit, count: 1}}",
    "no id": "  - {intent: transform, input: 1, with: {op: limit, count: 1}}",
    "a key that is missing": "  - {id: bad, loop: {state: {}, steps: [{id: x, wait: {for: 1}}], next: {}, while: 'true'}}",
    "a step that is no map": "  - bad",
    "a duration": "  - {id: bad, wait: {for: soon}}",
    "a file that is not there": "  - {id: bad, flow: nowhere.yaml, with: {a: 1}}",
    "steps in a group": "  - {id: bad, steps: [{id: in ner, wait: {for: 1}}, {id: b, uze: x}]}",
    "an error's way": "  - {id: bad, intent: transform, input: 1, with: {op: limit, count: 1}, on_error: skip}",
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_mistake_of_shape_does_not_hide_those_of_meaning(service, tmp_path, shape) -> None:
    """Nor does taking it out make others up: references to the step stay right."""
    text = f"""
name: ward
inputs: {{ward: {{type: txt}}, day: {{type: string}}}}
steps:
{shape}
  - {{id: after, needs: [bad], intent: filtre, input: "{{{{ inputs.wrad }}}}"}}
  - {{id: last, uses: http.gett, with: {{url: "{{{{ steps.none.output }}}}"}}}}
"""
    found = mistakes(
        service, tmp_path, text.replace("needs: [bad], ", "" if "id: bad," not in shape else "needs: [bad], ")
    )
    told = [message for _, message, _ in found]
    for wanted in ("filtre", "'wrad'", "'gett'", "'none'", 'not "txt"'):
        assert any(wanted in message for message in told), (wanted, told)
    assert not any("'bad'" in message for message in told), told
    assert len(told) >= 6


def test_a_file_without_mistakes_of_shape_has_no_others_made_up(service, tmp_path) -> None:
    text = "name: a\nsteps:\n  - {id: a, wait: {for: 1}}\n  - {id: b, flow: c.yaml}\n"
    (tmp_path / "c.yaml").write_text("name: c\nsteps: [{id: x, wait: {fro: 1}}]\n")
    assert [message for _, message, _ in mistakes(service, tmp_path, text)] == ["'fro' is not known here"]


def test_a_mistake_names_its_step_as_it_is_written(service, tmp_path) -> None:
    text = "name: a\nsteps:\n  - {id: c-d, intent: transform, input: 1, with: {op: sor}}\n"
    assert {step for step, _, _ in mistakes(service, tmp_path, text)} == {"c-d"}


@pytest.mark.parametrize(
    ("step", "message", "hint"),
    [
        ("uses: http.get, with: {url: 3}", "url: must be a text, not 3", ""),
        ("uses: feed.read, with: {url: {a: 1}}", 'url: must be a text or a list, not {"a": 1}', ""),
        ("uses: feed.read, with: {url: [a, 1]}", "url[1]: must be a text, not 1", ""),
        ("uses: http.get, with: {url: u, pages: {by: curser}}", "by: must be 'cursor'", "did you mean 'cursor'?"),
        ("uses: http.get, with: {url: u, pages: {by: page, max: 0}}", "max: must be at least 1, not 0", ""),
        (
            "intent: aggregate, input: [], with: {measures: {n: {summ: a}}}",
            "'summ' is not a",
            "did you mean 'sum'?",
        ),
        (
            "intent: validate, input: [], with: {rules: [{name: a, rul: b}]}",
            "'rul' is not a",
            "did you mean 'rule'?",
        ),
        ("intent: transform, input: [], with: {op: limit, count: many}", "count: must be a whole number", ""),
        (
            "intent: transform, input: [], with: {op: sort, by: a, directon: x}",
            "'directon' is no parameter",
            "direction",
        ),
        ("intent: filter, input: [], with: {where: 'item.x = 3'}", "is wrong", "`==` compares"),
        ("for_each: [1], as: my item, intent: filter, with: {limit: 1}", "as the name of an item", "letters"),
        (
            "for_each: [1], gather: flat, intent: filter, with: {limit: 1}",
            "gather: must be",
            "did you mean 'flatten'?",
        ),
        ("intent: filter, input: [], with: {limit: 1}, on_error: skip", "must be 'continue' or a map", ""),
        (
            "for_each: [1], as: pup, key: pop.id, intent: filter, with: {limit: 1}",
            "'pop.id'",
            "did you mean 'pup'?",
        ),
    ],
)
def test_mistakes_are_told_in_plain_words(service, tmp_path, step, message, hint) -> None:
    found = mistakes(service, tmp_path, f"name: a\nsteps:\n  - {{id: s, {step}}}\n")
    assert any(message in told and hint in told + advice for _, told, advice in found), found
    assert not any("nput should" in told or "alid" in told for _, told, _ in found)


@pytest.mark.parametrize(
    ("step", "fails"),
    [
        ("intent: enrich, prompt: label them", True),
        ("intent: filter, prompt: keep the nurses", True),
        ("intent: validate, prompt: it is polite", True),
        ("intent: transform, prompt: translate", True),
        ("intent: aggregate, prompt: group them", True),
        ("intent: conditional, prompt: is it urgent?", True),
        ("intent: extract, prompt: who is named?", True),
        ("intent: generate, prompt: write a letter", True),
        ("intent: generate, prompt: write a list, with: {allow_extractive: true}", False),
        ("intent: summarize, prompt: what failed?", False),
        ("intent: summarize, prompt: what failed?, output: {type: array}", True),
    ],
)
def test_the_plan_says_which_steps_fail_without_a_model(service, monkeypatch, step, fails) -> None:
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    flow = Workflow.parse(f"name: a\nsteps:\n  - {{id: s, input: [text], {step}}}\n")
    with SyncOrchestrationService(db="none") as own:
        (warning,) = own.plan(flow).steps[0].warnings
        result = own.run(flow)
    assert ("the step will fail" in warning) is fails
    assert (result.status == "failed") is fails
    if fails:
        assert "set ANTHROPIC_API_KEY or set OPENAI_API_KEY" in warning


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("steps: [{id: a, uses: file.read, path: x.csv}]", "stands under `with`: with: {path: …}"),
        ("steps: [{id: a, use: file.read}]", "did you mean 'uses'?"),
        ("steps: [{id: a, foreach: [1]}]", "did you mean 'for_each'?"),
        ("steps: {a: {uses: file.read}}", "- {id: read, uses: file.read}"),
        ("steps: [{id: g, steps: {a: {uses: file.read}}}]", "- {id: read, uses: file.read}"),
        ("inputs: {file: path}\nsteps: [{id: a, wait: {for: 1}}]", "file: {type: path}"),
        ("inputs: [file]\nsteps: [{id: a, wait: {for: 1}}]", "inputs: {file: {type: path}}"),
    ],
)
def test_what_is_written_in_another_form_or_place_is_told_how(service, tmp_path, text, hint) -> None:
    assert hint in mistakes(service, tmp_path, f"name: t\n{text}\n")[0][2]
