"""`intendant classify`: steps of any platform, a line each."""

import json
import subprocess
import sys

import pytest

STEPS = [
    {"id": "a", "name": "Send Channel Message", "type": "action", "plugin": "slack", "action": "sendMessage"},
    {"row": "R2", "step": {"name": "Get rows", "type": "action", "plugin": "googleSheets", "action": "read"}},
    {"row": "R3", "step": {"name": "Every morning at nine", "type": "trigger", "plugin": "scheduleTrigger"}},
    {"id": "d", "name": "Summarize the feedback", "prompt": "Summarize the customer feedback into key points"},
]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "steps.jsonl"
    path.write_text("".join(json.dumps(step) + "\n" for step in STEPS))
    return str(path)


def rows(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_one_answer_a_line(intendant, file, tmp_path) -> None:
    found = rows(intendant("classify", file).out)
    assert [row.get("row", row.get("id")) for row in found] == ["a", "R2", "R3", "d"]
    assert [row["intent"] for row in found] == ["send", "extract", None, "summarize"]
    for row in found:
        assert set(row) - {"row", "id"} == {"intent", "confidence", "second", "method", "signals"}
        assert 0 <= row["confidence"] <= 1
    assert found[0]["signals"][0]["text"]
    assert intendant("classify", file, "--out", "answers.jsonl").out == ""
    assert rows((tmp_path / "answers.jsonl").read_text()) == found


def test_explanations_are_for_people(intendant, file) -> None:
    text = intendant("classify", file, "--explain").out
    assert "a: send (" in text
    assert "R3: no step of work" in text


def test_lines_that_cannot_be_read_are_answered_and_counted(intendant, tmp_path) -> None:
    (tmp_path / "x.jsonl").write_text(f"{{broken\n{json.dumps(STEPS[0])}\n[1]\n\n3\n" + "[" * 5000 + "\n")
    done = intendant("classify", "x.jsonl")
    found = rows(done.out)
    assert done.code == 2
    assert [row.get("line") for row in found] == [1, None, 3, 5, 6]
    assert found[1]["intent"] == "send"
    assert "4 lines" in done.err
    missing = intendant("classify", "no-such-file.jsonl")
    assert missing.code == 2
    assert "no-such-file" in missing.err


def test_a_correction_is_kept_and_used(intendant, file, tmp_path) -> None:
    db = ("--db", f"sqlite:///{tmp_path}/x.db")
    assert "remembered" in intendant("classify", file, "--correct", "R2", "filter", *db).out
    intendant("classify", file, "--correct", "d", "none", *db)
    found = rows(intendant("classify", file, *db).out)
    assert [(row["intent"], row["method"]) for row in found][1] == ("filter", "correction")
    assert found[3]["intent"] is None
    assert found[0]["method"] == "local"
    for wrong in (("nobody", "filter"), ("R2", "no_such_intent")):
        assert intendant("classify", file, "--correct", *wrong, *db).code == 2


def test_a_correction_of_a_workflows_step_is_used_when_it_is_planned(intendant, tmp_path) -> None:
    step = {"id": "a", "name": "Tidy up", "input": [{"a": 1}], "with": {"group_by": "a"}}
    (tmp_path / "s.jsonl").write_text(json.dumps({"row": "1", "step": step}))
    (tmp_path / "f.yaml").write_text(json.dumps({"name": "t", "steps": [step]}))
    (tmp_path / "x.db").touch()
    settings = ("--set", f"store.db=sqlite:///{tmp_path}/y.db")
    intendant("classify", "s.jsonl", "--correct", "1", "aggregate", *settings)
    planned = intendant("plan", "f.yaml", "--json", *settings).json()["steps"][0]
    assert (planned["intent"], planned["classification"]["method"]) == ("aggregate", "correction")


def test_evaluation_counts_right(intendant, tmp_path) -> None:
    labelled = [
        {"row": "1", "gold": "send", "platform": "x", "difficulty": "easy", "step": STEPS[0]},
        {
            "row": "2",
            "gold": "transform",
            "alt": "extract",
            "platform": "x",
            "difficulty": "hard",
            "step": STEPS[1]["step"],
        },
        {"row": "3", "gold": "none", "platform": "y", "step": STEPS[2]["step"]},
        {"row": "4", "gold": "aggregate", "platform": "y", "difficulty": "easy", "step": STEPS[3]},
    ]
    (tmp_path / "gold.jsonl").write_text("".join(json.dumps(row) + "\n" for row in labelled))
    text = intendant("classify", "gold.jsonl", "--evaluate").out
    lines = {
        line.split()[0] if line[:3] == "all" else " ".join(line.split()[:2]): line.split()[-3:]
        for line in text.splitlines()
        if line.strip()
    }
    assert lines["all"] == ["3", "33.3%", "66.7%"]
    assert lines["platform x"] == ["2", "50.0%", "100.0%"]
    assert "no step of work, recognised: 100.0%; steps of work lost by it: 0.0%" in text
    (tmp_path / "bad.jsonl").write_text(json.dumps(STEPS[0]))
    assert intendant("classify", "bad.jsonl", "--evaluate").code == 2


def test_ten_thousand_steps_take_constant_memory(tmp_path, file) -> None:
    """Measured in the process itself: 20,000 steps may take hardly more than 2,000."""
    code = (
        "import sys, resource; sys.argv = ['intendant', 'classify', sys.argv[1], '--out', sys.argv[2]]\n"
        "from intendant.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = []
    for count in (500, 5000):
        path = tmp_path / f"{count}.jsonl"
        path.write_text("".join(json.dumps({**STEPS[n % 2], "n": n}) + "\n" for n in range(count * 2)))
        done = subprocess.run(
            [sys.executable, "-c", code, str(path), str(tmp_path / "out")],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        peaks.append(int(done.stdout))
        assert len((tmp_path / "out").read_text().splitlines()) == count * 2
    assert peaks[1] < peaks[0] * 1.1
