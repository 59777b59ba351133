"""What is an export, and what of its expressions is understood. `tests/test_import_n8n.py` runs what is imported."""

import pytest

from intendant import IntendantError
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
    ],
)
def test_expressions_become_cel(text, cel) -> None:
    assert Scope(lambda *_: "", lambda *_: "").cel(parse(text)) == cel


@pytest.mark.parametrize("text", ["$json.", "a b", "f(", "'x", "/x/.test($json.a)", "(" * 100, "new Map()", "{{"])
def test_what_is_not_understood_says_so(text) -> None:
    with pytest.raises(NotUnderstood):
        Scope(lambda *_: "", lambda *_: "").cel(parse(text))
