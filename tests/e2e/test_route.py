"""`intendant route`: learn a policy from outcomes, replay it, see why."""

import json


def outcomes(path) -> None:
    rows = []
    for place in range(120):
        good = place % 10 > 0
        said = {
            "small": {"score": float(good), "cost": 0.001, "answer": "yes" if good else "no"},
            "other": {"score": float(place % 7 > 0), "cost": 0.001, "answer": "yes" if place % 7 else "maybe"},
            "large": {"score": 1.0, "cost": 0.1, "answer": "yes"},
        }
        rows.append({"id": f"r{place}", "intent": "check", "prompt": f"Is {place} even?", "outcomes": said})
    path.write_text("\n".join(map(json.dumps, rows)))


def test_a_policy_is_learned_replayed_and_explained(intendant, tmp_path) -> None:
    outcomes(tmp_path / "rows.jsonl")
    assert "saved" in intendant("route", "train", "rows.jsonl", "--out", "policy.json", "--max-loss", "0.02").out
    found = intendant(
        "route", "replay", "rows.jsonl", "--policy", "policy.json", "--decisions", "d.jsonl", "--json"
    ).json()
    decided = [json.loads(line) for line in (tmp_path / "d.jsonl").read_text().splitlines()]
    assert [row["id"] for row in decided] == [f"r{place}" for place in range(120)]
    costs = {"small": 0.001, "other": 0.001, "large": 0.1}
    spent = sum(costs[model] for row in decided for model in row["calls"])
    assert abs(spent / 120 - found["cost"]) < 1e-6
    assert abs(found["saved"] - (1 - spent / 12)) < 1e-6
    assert found["loss"] <= 0.02
    assert "1. " in intendant("route", "explain", "policy.json", "--intent", "check").out


def test_mistakes_are_told_with_their_line(intendant, tmp_path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"prompt": "p"}\n')
    done = intendant("route", "train", "rows.jsonl", "--out", "policy.json")
    assert (done.code, "line 1" in done.err) == (2, True)
    (tmp_path / "policy.json").write_text("{}")
    done = intendant("route", "replay", "rows.jsonl", "--policy", "policy.json")
    assert (done.code, "Traceback" in done.err) == (2, False)
