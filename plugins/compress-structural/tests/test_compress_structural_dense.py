import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from intendant.plugin import Compression, CompressRequest, estimate_tokens
from intendant_compress_structural import StructuralCompressor, decode
from intendant_compress_structural._derive import fill, templates
from intendant_compress_structural._writing import encodings


def dense(value: Any) -> str:
    text = encodings(json.dumps(value), dense=True)[-1]
    assert decode(text) == value
    return text


def user(name: str) -> dict[str, Any]:
    address = f"https://api.example.org/users/{name}"
    return {
        "login": name,
        "url": address,
        "events_url": f"{address}/events{{/privacy}}",
        "node": f"node-0{len(name)}",
    }


def test_texts_that_follow_from_others_are_said_by_how() -> None:
    address = "https://api.example.org/users/{login}"
    assert dense([user("ada"), user("grace"), user("bo")]).split("\n") == [
        "3 rows",
        f'from: {{url:"{address}",events_url:"{address}/events{{/privacy}}"}}',
        "login,node",
        "ada,node-03",
        "grace,node-05",
        "bo,node-02",
    ]


def test_what_texts_begin_and_end_with_is_said_once() -> None:
    rows = [{"id": n, "href": f"https://example.org/orders/of/{name}.html"} for n, name in enumerate("xyzxyz")]
    assert dense(rows).split("\n")[1:5] == [
        'from: {href:"https://example.org/orders/of/{}.html"}',
        "id,href",
        "0,x",
        "1,y",
    ]


def test_shapes_have_such_texts_too() -> None:
    value = {"first": {"by": user("ada")}, "then": {"by": user("grace")}, "last": {"by": user("ada")}}
    lines = dense(value).split("\n")
    assert lines[0].startswith('A = {login,node,url:="https://api.example.org/users/{login}"')
    assert lines[1] == "{first:{by:A(ada,node-03)},then:{by:A(grace,node-05)},last:{by:A(ada)}}"


def test_values_are_split_only_for_who_asks_for_it() -> None:
    text = json.dumps([user("ada"), user("grace"), user("bo")])
    made = {}
    for wish in (False, True):
        request = CompressRequest(
            text=text,
            tokens=estimate_tokens(text),
            target_tokens=1,
            count=estimate_tokens,
            kind="json",
            dense=wish,
        )
        answer = StructuralCompressor().compress(request)
        assert isinstance(answer, Compression)
        assert answer.lossless
        made[wish] = answer
    assert "https://api.example.org/users/grace/events" in made[False].text
    assert "https://api.example.org/users/grace" not in made[True].text
    assert made[True].tokens_after < made[False].tokens_after


def test_a_name_in_braces_that_is_no_column_stays() -> None:
    assert fill("a/{b}/{c}{}", {"c": 7}, "x") == "a/{b}/7x"
    assert "{login}" in dense(
        [{"login": name, "text": f"say {{login}} and {name}"} for name in ("ada", "bo", "cy")]
    )


def test_columns_do_not_follow_from_each_other_in_a_ring() -> None:
    columns = {"a": ["x-1-long-text", "x-2-long-text"], "b": ["x-1-long-text", "x-2-long-text"]}
    assert templates(columns) == {"a": "{b}"}


PARTS = st.sampled_from(["a", "{}", "{id}", "{/x}", "7", "https://example.org/", "", "ada", "e"])
WORDS = st.lists(PARTS, max_size=4).map("".join)


@given(
    st.lists(st.fixed_dictionaries({"id": WORDS | st.integers(0, 99), "x.y": WORDS, "url": WORDS}), max_size=5),
    st.sampled_from(["", "https://example.org/{id}", "of {id} and {url} {}", "{}{}"]),
)
def test_derived_texts_are_decoded_to_the_same_value(records: list[dict[str, Any]], form: str) -> None:
    rows = [
        {**record, "more": form.replace("{id}", str(record["id"])).replace("{url}", record["url"])}
        for record in records
    ]
    for value in (rows, {"rows": rows, "one": rows[:1], "two": {"by": rows[1:2]}}):
        for candidate in encodings(json.dumps(value), dense=True):
            assert decode(candidate) == value


@pytest.mark.parametrize("text", ["1 rows\nfrom: {a:\n1", "1 rows\nfrom: 7\na\n1", "A = {a,b:=}\n[A(1)]"])
def test_the_decoder_refuses_what_is_not_of_its_form(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode(text)
