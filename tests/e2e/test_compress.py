"""`intendant compress`: text in, text out; JSONL in, JSONL out."""

import json

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


def test_wrong_arguments_are_told(intendant, tmp_path) -> None:
    (tmp_path / "a.txt").write_text("x")
    for arguments in (
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
