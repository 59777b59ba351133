"""`intendant compress --floor --risk`, and a calibration on one's own documents."""

import json


def test_a_floor_has_a_risk_that_own_documents_can_calibrate(intendant, tmp_path) -> None:
    rows = [
        {
            "id": n,
            "text": f"the order is K-{n}\n" + "\n".join(f"note {i} of {n}" for i in range(40)),
            "facts": [f"K-{n}"],
        }
        for n in range(20)
    ]
    (tmp_path / "docs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    said = intendant("compress", "docs.jsonl", "--calibrate", "own.json").out
    assert "20 documents" in said
    done = intendant("compress", "docs.jsonl", "--floor", "0.9", "--risk", "0.2", "--calibration", "own.json")
    receipt = json.loads(done.out.splitlines()[0])["receipt"]
    assert (receipt["floor"], receipt["risk"], receipt["calibrated_on"]) == (0.9, 0.2, 20)
    shipped = intendant("compress", "docs.jsonl", "--floor", "0.95", "--risk", "0.1")
    assert json.loads(shipped.out.splitlines()[0])["receipt"]["calibrated_on"] == 191


def test_rows_without_facts_are_named(intendant, tmp_path) -> None:
    (tmp_path / "docs.jsonl").write_text('{"text": "a"}\n')
    done = intendant("compress", "docs.jsonl", "--calibrate", "own.json")
    assert (done.code, "line 1" in done.err, "Traceback" in done.err) == (2, True, False)
