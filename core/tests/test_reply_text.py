"""What a model wrote, made usable."""

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from intendant.hooks.reply_text import repaired, repaired_json, split_thoughts
from intendant.plugin import (
    ModelReply,
    Route,
    ThoughtSplitter,
    Usage,
    json_in,
    length_hint,
    unwrapped_value,
    why_no_json,
    wrapped_schema,
)

# --- characters ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("cut \ud83d", "cut \ufffd"),
        ("\ude00 low", "\ufffd low"),
        ("a\ud83d\ude00b", "a\U0001f600b"),
        ("\ud83d\ud83d\ude00", "\ufffd\U0001f600"),
    ],
)
def test_halves_are_joined_or_replaced(text: str, expected: str) -> None:
    assert repaired(text) == expected
    assert repaired_json({text: [text, 1, None]}) == {expected: [expected, 1, None]}


@given(st.text(st.characters(codec=None, categories=["L", "Cs", "So"])))  # type: ignore[arg-type]
def test_what_is_repaired_can_be_stored(text: str) -> None:
    repaired(text).encode()
    assert repaired(repaired(text)) == repaired(text)


# --- reasoning ---


@pytest.mark.parametrize(
    ("text", "answer", "thoughts"),
    [
        ("<think>Hm.</think>\nYes.", "Yes.", "Hm."),
        ("\n <THINKING>Hm.</THINKING>Yes.", "Yes.", "Hm."),
        ("<thought>a</thought><reasoning>b</reasoning> c", "c", "a\nb"),
        ("[THINK]Hm.[/THINK]Yes.", "Yes.", "Hm."),
        ("◁think▷Hm.◁/think▷Yes.", "Yes.", "Hm."),
        ("Hm.\n</think>\n\nYes.", "Yes.", "Hm."),
        ('Hm.</think>{"a": 1}', '{"a": 1}', "Hm."),
        ("<think>cut", "", "cut"),
        ("Yes.\n<think>Hm.</think>\nNo.", "Yes.\n\nNo.", "Hm."),
        ("<think></think>Yes.", "Yes.", ""),
        ("<think>a <thought>b</thought> c</think>Yes.", "Yes.", "a <thought>b</thought> c"),
    ],
)
def test_reasoning_is_no_part_of_the_answer(text: str, answer: str, thoughts: str) -> None:
    assert split_thoughts(text) == (answer, thoughts)


@pytest.mark.parametrize(
    "text",
    [
        "Models write `<think>` and `</think>` around it.",
        "Close it with </think> as usual.",
        "```\n<think>\nHm.\n</think>\n```",
        'It is {"tag": "<think>x</think>"} there.',
        "<b>Yes.</b>",
        "",
    ],
)
def test_tags_that_an_answer_speaks_of_stay(text: str) -> None:
    assert split_thoughts(text) == (text, "")


@pytest.mark.parametrize(
    "text",
    [
        "<think>a</think>" * 50_000,
        "x\n" + "<think>\n" * 100_000 + "[/THINK]",
        "<think>" * 100_000,
        "</think>" * 100_000,
    ],
    ids=["many", "never closed", "only opened", "only closed"],
)
def test_hostile_tags_take_no_time_that_grows_faster_than_they(text: str) -> None:
    answer, thoughts = split_thoughts(text)  # the time-out of the test would tell
    assert len(answer) + len(thoughts) <= len(text)


def fed(pieces: list[str]) -> tuple[str, str]:
    splitter = ThoughtSplitter()
    parts = [*(splitter.feed(piece) for piece in pieces), splitter.rest()]
    return "".join(part for part, _ in parts), "".join(part for _, part in parts)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
@pytest.mark.parametrize(
    ("text", "answer", "thoughts"),
    [
        ("<think>a<b</think>\n\nYes <think> no", "Yes <think> no", "a<b"),
        ("  <thinking>a</thinking>\n<think>b</think>c", "c", "ab"),
        ("<think>cut \ud83d", "", "cut \ufffd"),
        ("<b>Yes</b>", "<b>Yes</b>", ""),
        ("[1, 2]", "[1, 2]", ""),
        ("<", "<", ""),
        ("a\ud83d\ude00b \ud83d", "a\U0001f600b \ufffd", ""),
    ],
)
def test_reasoning_is_told_apart_while_it_arrives(text: str, answer: str, thoughts: str, size: int) -> None:
    assert fed([text[at : at + size] for at in range(0, len(text), size)]) == (answer, thoughts)


# --- JSON ---

OBJECT = {"type": "object", "required": ["a"]}


@pytest.mark.parametrize(
    ("text", "schema", "value"),
    [
        ('{"a": 1}', OBJECT, {"a": 1}),
        ('```json\n{"a": 1}\n```', OBJECT, {"a": 1}),
        ('~~~\n{"a": 1}\n~~~ I hope it helps.', OBJECT, {"a": 1}),
        ('Draft: {"a": 1}. No: {"a": 2}', OBJECT, {"a": 2}),
        ('{"a": 1} as {"example": true} shows', OBJECT, {"a": 1}),
        ('Use [brackets] and {braces}: {"a": 1}', OBJECT, {"a": 1}),
        ('"{\\"a\\": 1}"', OBJECT, {"a": 1}),
        ("the list is [1, 2]", {"type": "array"}, [1, 2]),
        ('{"a": 1} is not [2]', {"type": "array"}, [2]),
        ('{"rows": [{"a": 1}, {"a": 2', OBJECT, None),
        ('{"rows": [{"a": 1}, {"a": NaN}]}', OBJECT, None),
        ('[{"a": 1}, {"a": Infinity}] or {"a": 3}', OBJECT, {"a": 3}),
        ("7", None, 7),
        ("nothing", OBJECT, None),
        ("", None, None),
    ],
)
def test_the_last_complete_value_is_meant(text: str, schema: Any, value: Any) -> None:
    """Values inside of one that is broken off, or is no JSON, are no answer."""
    assert json_in(text, schema) == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a": NaN}', "NaN is no JSON number"),
        ("[-Infinity]", "-Infinity is no JSON number"),
        ('{"a": [1, 2', "the JSON breaks off before its end"),
        ("Sorry.", "it is not JSON"),
        ('{"name": "Infinity"', "the JSON breaks off before its end"),
    ],
)
def test_says_why_there_is_no_value(text: str, why: str) -> None:
    assert json_in(text) is None
    assert why_no_json(text) == why


@pytest.mark.parametrize(
    "text",
    ['{"' + '\\"' * 200_000, "[" * 200_000, '{"a": ' * 50_000, "{ " * 200_000],
    ids=["escapes", "[", "a", "{"],
)
def test_hostile_brackets_take_no_time_that_grows_faster_than_they(text: str) -> None:
    assert json_in(text) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=4), JSON, min_size=1), st.text("ab c\n", max_size=9))
def test_any_object_is_found_among_remarks(value: Any, remark: str) -> None:
    assert json_in(f"{remark}{json.dumps(value)}{remark}", {"type": "object"}) == value


# --- schemas that are not of an object ---


def test_an_array_is_asked_for_inside_of_an_object() -> None:
    schema = {"type": "array", "items": {"$ref": "#/$defs/row"}, "$defs": {"row": {"type": "string"}}}
    made = wrapped_schema(schema)
    assert made == {
        "type": "object",
        "properties": {"answer": {"type": "array", "items": {"$ref": "#/$defs/row"}}},
        "required": ["answer"],
        "additionalProperties": False,
        "$defs": {"row": {"type": "string"}},
    }
    assert unwrapped_value({"answer": ["x"]}) == ["x"]
    assert unwrapped_value(["x"]) == ["x"], "a model that left the object out"
    assert unwrapped_value({"answer": 1, "more": 2}) == {"answer": 1, "more": 2}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "array", "items": {"$ref": "#"}},
        {"type": "array", "items": {"$ref": "#/items/0"}},
        {"type": "array", "items": {"$dynamicRef": "#x"}},
    ],
)
def test_what_refers_to_itself_is_not_moved(schema: Any) -> None:
    assert wrapped_schema(schema) is None


@pytest.mark.parametrize("schema", [{"type": "string", "enum": ["a"]}, {"anyOf": [{"type": "null"}]}, {}])
def test_plain_values_are_wrapped_too(schema: Any) -> None:
    made = wrapped_schema(schema)
    assert made is not None
    assert made["properties"]["answer"] == schema  # type: ignore[index]


@pytest.mark.parametrize(
    ("used", "tier", "asked", "says"),
    [
        (2048, 2048, None, 'plugins.settings."tier:fast".max_output_tokens'),
        (2048, 2048, 2048, 'plugins.settings."tier:fast".max_output_tokens'),
        (300, 2048, 300, "raise its `max_words`"),
        (700, 2048, None, "budget.tokens_per_step"),
        (700, 2048, 900, "budget.tokens_per_step"),
    ],
)
def test_a_hint_names_the_limit_that_an_answer_broke_off_at(used, tier, asked, says) -> None:
    route = Route(tier="fast", provider="p", model="m", max_output_tokens=tier, reason="")
    reply = ModelReply(text="", usage=Usage(output_tokens=used), model="m", provider="p", stop_reason="length")
    assert says in length_hint(reply, route, asked)
