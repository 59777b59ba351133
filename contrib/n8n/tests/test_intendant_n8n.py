"""What is an export, and what of its expressions is understood. `tests/test_import_n8n.py` runs what is imported."""

import pytest

from intendant import IntendantError
from intendant.plugin import Expression
from intendant_n8n import convert
from intendant_n8n._convert import MAKERS
from intendant_n8n._expressions import Scope
from intendant_n8n._javascript import NotUnderstood, parse


def export(kind, **parameters):
    """A trigger, and a node behind it."""
    nodes = [
        {"name": "Start", "type": "n8n-nodes-base.manualTrigger", "typeVersion": 1, "parameters": {}},
        {"name": "it", "type": f"n8n-nodes-base.{kind}", "typeVersion": 2, "parameters": parameters},
    ]
    return {"nodes": nodes, "connections": {"Start": {"main": [[{"node": "it", "type": "main", "index": 0}]]}}}


@pytest.mark.parametrize("document", [[], {}, {"nodes": 3}, {"nodes": [{}]}, {"nodes": [3]}, None, "text"])
def test_what_is_no_export_is_refused(document) -> None:
    with pytest.raises(IntendantError):
        convert(document)


@pytest.mark.parametrize("kind", sorted(MAKERS))
def test_parameters_of_any_form_never_break_the_import(kind) -> None:
    names = ("conditions", "assignments", "rules", "fieldToSplitOut", "url", "text", "options", "jsCode", "query")
    for value in (None, 3, "x", [], [1], {"a": 1}, {"values": 3}, {"parameters": None}):
        assert len(convert(export(kind, **dict.fromkeys(names, value))).outcomes) == 2


@pytest.mark.parametrize(
    ("text", "cel"),
    [
        ("$json.a + 1", "(double(item.a) + 1.0)"),
        ("'x' + $json.a", '("x" + (has(item.a) && item.a != null ? string(item.a) : ""))'),
        ("$json['a b'].length", 'size(item["a b"])'),
        (r"$json.a.replace(/<[^>]*>/g, '')", r'regex.replace(item.a, "<[^>]*>", "")'),
        ("$json.a.replace(/(b)c/i, '$1-$&')", r'regex.replace(item.a, "(?i)(b)c", "\\1-\\0", 1)'),
        ("$json.a.match(/a(\\d)/)[1]", r'regex.groups(item.a, "a(\\d)")[1]'),
        ("$json.a / 2 / 4", "(double((double(item.a) / 2.0)) / 4.0)"),
    ],
)
def test_expressions_become_cel(text, cel) -> None:
    assert Scope(lambda *_: "", lambda *_: "").cel(parse(text)) == cel


@pytest.mark.parametrize("text", ["$json.", "a b", "f(", "'x", "/(/.test($json.a)", "(" * 100, "new Map()", "{{"])
def test_what_is_not_understood_says_so(text) -> None:
    with pytest.raises(NotUnderstood):
        Scope(lambda *_: "", lambda *_: "").cel(parse(text))


@pytest.mark.parametrize(
    ("code", "text", "value"),
    [
        (r"$json.a.replace(/\s+/g, ' ').trim()", "  two   words ", "two words"),
        (r"$json.a.match(/id=(?<id>\d+)$/)[1]", "x?id=42", "42"),
        (r"$json.a.split(/[,;]\s*/)", "a, b;c", ["a", "b", "c"]),
        (r"$json.a.match(/\d/g)", "1 2", ["1", "2"]),
        (r"$json.a.match(/\d/g)", "none", None),
        (r"/^a\/b/.test($json.a)", "a/b/c", True),
        (r"$json.a.replace(/[\u{1F600}-\u{1F64F}[]/gu, '')", "hi \U0001f603 [x", "hi  x"),
        (r"$json.a.replace(/\./g, '$$1\\')", "a.b", "a$1\\b"),
    ],
)
def test_regular_expressions_do_what_those_of_javascript_do(code, text, value) -> None:
    cel = Scope(lambda *_: "", lambda *_: "").cel(parse(code))
    assert Expression(cel, ["item"]).evaluate(item={"a": text}) == value


@pytest.mark.parametrize(
    "code", [r"$json.a.replace(/\p{L}/gu, '')", "$json.a.replace(/a/, $json.b)", "/a/y.test('a')"]
)
def test_other_regular_expressions_are_not_understood(code) -> None:
    with pytest.raises(NotUnderstood):
        Scope(lambda *_: "", lambda *_: "").cel(parse(code))


@pytest.mark.parametrize(
    ("kind", "parameters", "without"),
    [
        (
            "httpRequest",
            {"url": "https://x.example", "options": {"pagination": {"pagination": {}}}},
            ["pagination"],
        ),
        (
            "httpRequest",
            {"url": "https://x.example", "options": {"timeout": 5, "batching": {"batch": {}}}},
            ["timeout"],
        ),
        ("httpRequest", {"url": "https://x.example", "options": {"proxy": ""}}, []),
        (
            "emailSend",
            {
                "fromEmail": "a@x.example",
                "toEmail": "b@x.example",
                "text": "hi",
                "options": {"ccEmail": "c@x.example"},
            },
            [],
        ),
        ("splitOut", {"fieldToSplitOut": "rows", "options": {"destinationFieldName": "row"}}, []),
    ],
)
def test_options_of_which_nothing_became_are_listed(kind, parameters, without) -> None:
    """An option is either in the step, or said to be left out."""
    made = convert(export(kind, **parameters))
    found = made.outcomes[1]
    assert found.how in ("mapped", "http")
    assert found.node.left_out == without
    text = made.text()
    for name in without:
        assert f"without its options: {name}" in found.without
        assert f"it (n8n-nodes-base.{kind}): without its options: {name}" in text
    if not without:
        assert "without its options" not in text


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("emailSend", {"toEmail": "b@x.example", "options": {"ccEmail": "c@x.example", "replyTo": "r@x.example"}}),
        ("gmail", {"sendTo": "b@x.example", "options": {"ccList": "c@x.example", "replyTo": "r@x.example"}}),
        (
            "microsoftOutlook",
            {
                "toRecipients": "b@x.example",
                "additionalFields": {"ccRecipients": "c@x.example", "replyTo": "r@x.example"},
            },
        ),
    ],
)
def test_copies_of_mails_stay(kind, parameters) -> None:
    """Who was written to besides is not forgotten."""
    made = convert(
        export(kind, resource="message", operation="send", text="hi", message="hi", subject="s", **parameters)
    )
    found = made.outcomes[1]
    sent = [step["with"] for step in made.workflow["steps"] if step.get("uses") == "mail.send"]
    if found.how == "mapped":
        assert [(one["cc"], one["reply_to"]) for one in sent] == [("c@x.example", "r@x.example")]
    else:
        assert found.how == "placeholder"


def test_several_who_are_written_to_are_a_list() -> None:
    parameters = {
        "toEmail": "a@x.example, Bo <b@x.example>",
        "text": "hi",
        "options": {"ccEmail": "c@x.example,d@x.example"},
    }
    made = convert(export("emailSend", fromEmail="s@x.example", **parameters))
    (sent,) = [step["with"] for step in made.workflow["steps"] if step.get("uses") == "mail.send"]
    assert (sent["to"], sent["cc"]) == (["a@x.example", "Bo <b@x.example>"], ["c@x.example", "d@x.example"])
