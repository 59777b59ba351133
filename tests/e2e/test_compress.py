"""`intendant compress`: text in, text out; JSONL in, JSONL out."""

import json

import pytest

LOG = "".join(
    f"2026-01-02 03:04:{n % 60:02d} INFO worker-{n % 3} done job {n} in {n * 7 % 100} ms\n" for n in range(200)
)
LOG += "2026-01-02 03:09:00 ERROR worker-2 job 200 failed: disk full on /var\n"


def test_text_in_text_out(intendant, tmp_path) -> None:
    (tmp_path / "app.log").write_text(LOG)
    small = intendant("compress", "app.log", "--target", "0.3", "--query", "what failed?").out
    assert len(small) < len(LOG) / 2
    assert "disk full on /var" in small
    document = intendant("compress", "app.log", "--target", "0.3", "--query", "what failed?", "--json").json()
    assert document["text"] == small
    assert document["tokens_after"] <= 0.31 * document["tokens_before"]
    assert document["saved"] == round(1 - document["tokens_after"] / document["tokens_before"], 4)
    assert document["receipt"]["dropped"]


def test_lossless_leaves_nothing_out(intendant, tmp_path) -> None:
    rows = [{"id": n, "state": "open", "owner": {"name": f"user{n}"}} for n in range(50)]
    (tmp_path / "rows.json").write_text(json.dumps(rows, indent=2))
    document = intendant("compress", "rows.json", "--lossless", "--json").json()
    assert document["receipt"] == {**document["receipt"], "lossless": True, "dropped": []}
    assert document["quality"] == 1.0
    assert document["saved"] > 0.5
    assert all(f"user{n}" in document["text"] for n in range(50))


def test_jsonl_in_jsonl_out(intendant, tmp_path) -> None:
    lines = [
        json.dumps({"id": "a", "text": LOG, "query": "disk"}),
        "{broken",
        json.dumps({"id": "c"}),
        json.dumps({"id": "d", "text": ""}),
    ]
    (tmp_path / "docs.jsonl").write_text("\n".join(lines))
    done = intendant("compress", "docs.jsonl", "--tokens", "300")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert done.code == 2
    assert [row.get("id", row.get("line")) for row in rows] == ["a", 2, 3, "d"]
    assert rows[0]["tokens_after"] <= 300
    assert "disk full" in rows[0]["text"]
    assert (rows[3]["text"], rows[3]["tokens_before"], rows[3]["strategies"]) == ("", 0, [])


def test_a_diff_shows_what_went(intendant, tmp_path) -> None:
    (tmp_path / "app.log").write_text(LOG)
    text = intendant("compress", "app.log", "--target", "0.3", "--diff").out
    assert "-2026-01-02 03:04:01 INFO" in text
    assert "tokens →" in text


TEXT = "Grüße aus Köln, Rechnung INV-2291 über 4.200 EUR\r\n" * 5


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be"])
def test_encodings_that_bytes_tell(intendant, tmp_path, encoding) -> None:
    (tmp_path / "a.txt").write_bytes(TEXT.encode(encoding))
    document = intendant("compress", "a.txt", "--lossless", "--json").json()
    assert "Grüße aus Köln, Rechnung INV-2291" in document["text"]
    assert "\ufeff" not in document["text"]


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
def test_another_encoding_is_an_error_with_its_line_unless_it_is_named(intendant, tmp_path, name) -> None:
    text = TEXT if name == "a.txt" else json.dumps({"text": TEXT}, ensure_ascii=False)
    (tmp_path / name).write_bytes(f"\n{text}".encode("cp1252"))
    done = intendant("compress", name)
    assert done.code == 2
    assert "line 2: byte" in (done.err + done.out)
    assert "is not utf-8" in (done.err + done.out)
    done = intendant("compress", name, "--encoding", "cp1252", "--lossless")
    assert done.code == 0
    assert "Grüße aus Köln" in done.out


def test_a_bad_line_does_not_stop_the_others(intendant, tmp_path) -> None:
    lines = [
        json.dumps({"id": 1, "text": "a"}).encode(),
        b'{"text": "\xff"}',
        json.dumps({"id": 3, "text": "c"}).encode(),
    ]
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + b"\n".join(lines))
    done = intendant("compress", "a.jsonl")
    assert done.code == 2
    assert [json.loads(line).get("id") for line in done.out.splitlines()] == [1, None, 3]
    (tmp_path / "b.jsonl").write_bytes(json.dumps({"id": 1, "text": "é"}, ensure_ascii=False).encode("utf-16"))
    assert json.loads(intendant("compress", "b.jsonl").out)["text"] == "é"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"%PDF-1.7\n1 0 obj", "a PDF document"),
        (b"PK\x03\x04\x14\0\x06\0", "a zip archive"),
        (b"\x89PNG\r\n\x1a\n\0\0", "a PNG picture"),
        (bytes(range(256)), "binary data"),
    ],
)
def test_what_is_no_text_is_refused(intendant, tmp_path, content, what) -> None:
    (tmp_path / "a").write_bytes(content)
    for arguments, given in ((("a",), None), ((), content)):
        done = intendant("compress", *arguments, stdin=given)
        assert (done.code, done.out) == (2, "")
        assert f"is {what}" in done.err
        assert "convert it to text first" in done.err


def test_a_short_text_loses_nothing_unless_a_size_is_asked_for(intendant, tmp_path) -> None:
    text = "The invoice INV-2291 over 4.200 EUR was sent to Ann Lee on Monday, and she paid it."
    (tmp_path / "a.txt").write_text(text)
    done = intendant("compress", "a.txt")
    assert (done.out, done.err) == (text, "")
    done = intendant("compress", "a.txt", "--target", "0.3")
    assert "INV-2291" not in done.out or "4.200" not in done.out
    assert done.err.startswith("lossy: ")
    assert all(fact in done.out or fact in done.err for fact in ("INV-2291", "4.200", "Ann", "Lee", "Monday"))


def test_what_is_lost_is_said_on_standard_error_and_in_the_receipt(intendant, tmp_path) -> None:
    (tmp_path / "app.log").write_text(LOG)
    done = intendant("compress", "app.log")
    assert done.err.startswith("lossy: ")
    assert "facts lost: " in done.err
    assert "--lossless" in done.err
    receipt = intendant("compress", "app.log", "--json").json()["receipt"]
    assert receipt["lossless"] is False
    assert receipt["lost"]
    assert all(fact in LOG for fact in receipt["lost"])
    (tmp_path / "docs.jsonl").write_text(json.dumps({"text": LOG}))
    done = intendant("compress", "docs.jsonl")
    assert "lossy: 1 texts" in done.err
    assert json.loads(done.out)["receipt"]["lost"]
    assert intendant("compress", "app.log", "--lossless").err == ""


def test_an_unknown_strategy_names_those_there_are(intendant, tmp_path) -> None:
    (tmp_path / "a.txt").write_text("x")
    done = intendant("compress", "a.txt", "--strategy", "foo")
    assert (done.code, done.out) == (2, "")
    assert "there is no strategy 'foo'" in done.err
    assert "auto, semantic, structural, template, truncate, none" in done.err
    assert intendant("compress", "a.txt", "--strategy", "none").out == "x"


def test_a_file_without_an_end_is_refused(intendant) -> None:
    done = intendant("compress", "/dev/zero")
    assert done.code == 2
    assert "is larger than" in done.err


def test_wrong_arguments_are_told(intendant, tmp_path) -> None:
    (tmp_path / "a.txt").write_text("x")
    for arguments in (
        ("a.txt", "--encoding", "punycode"),
        ("a.txt", "--encoding", "klingon"),
        (".",),
        ("a.txt", "--target", "0.5", "--tokens", "3"),
        ("a.txt", "--protect", "("),
        ("a.txt", "--target", "7"),
        ("none.txt",),
        ("none.jsonl",),
    ):
        done = intendant("compress", *arguments)
        assert done.code == 2, arguments
        assert done.err.startswith("error:")


def test_what_is_protected_stays(intendant, tmp_path) -> None:
    (tmp_path / "app.log").write_text(LOG)
    arguments = ("compress", "app.log", "--target", "0.2", "--query", "disk", "--strategy", "semantic")
    assert "job 77 " not in intendant(*arguments).out
    small = intendant(*arguments, "--protect", r"done job 77\b").out
    assert "job 77 " in small
    assert len(small) < len(LOG) / 2


def test_a_conversation_is_shortened_row_by_row(intendant, tmp_path) -> None:
    listing = "".join(f"    value_{n} = read_value('{n}', source)\n" for n in range(12))
    rows = [
        {"id": "a", "conversation": "one", "turn": 0, "text": listing, "query": "cat values.py"},
        {"id": "b", "conversation": "two", "turn": 0, "text": listing, "query": "cat values.py"},
        {"id": "c", "conversation": "one", "turn": 1, "text": listing, "query": "cat values.py"},
    ]
    (tmp_path / "cases.jsonl").write_text("\n".join(map(json.dumps, rows)))
    done = intendant("compress", "cases.jsonl", "--conversation", "--json")
    first, other, again = (json.loads(line) for line in done.out.splitlines())
    assert (first["text"], other["text"]) == (listing, listing)
    assert "lines more, as shown by: cat values.py" in again["text"]
    assert [row["id"] for row in (first, other, again)] == ["a", "b", "c"]
    (tmp_path / "text.txt").write_text("x")
    refused = intendant("compress", "text.txt", "--conversation")
    assert refused.code == 2
    assert "a .jsonl file" in refused.err
