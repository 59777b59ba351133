"""How right and how fast the local classifier is, on steps that its weights were not learned from.

    python tests/benchmarks/classification.py [DEV.jsonl]

Always: the project's own labelled steps, invented in the style of platforms that are in no training data. With a
labelled file: the weights are learned again without each of its platforms, and without each of its workflows, and what
was left out is judged (needs numpy and scipy).
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

from intendant.hooks.registry import Plugins
from intendant.plugin import ClassifyRequest, LabelledStep, Step, estimate_tokens, evaluate
from intendant_classify_local import LocalClassifier
from intendant_classify_model import SYSTEM, TOKENS_PER_ANSWER

ROOT = Path(__file__).parent.parent.parent
PLUGIN = ROOT / "plugins/classify-local"
OWN = PLUGIN / "tests/labelled_steps.jsonl"
ROUNDS = 5
INTENT_TOKENS = 30
"""Of a line that describes an intent."""
PRICES = (1.0, 5.0)
"""US$ for a million tokens in and out, as of a small model."""


def cascade(rows: list[dict[str, Any]], local: Any) -> None:
    """Local where it is sure, one batched call for the rest: right answers and cost, with a stand-in for the model."""
    system = estimate_tokens(SYSTEM) + 10 * INTENT_TOKENS
    print(
        f"\n== with a model of stated accuracy for what is less sure (a stand-in; {PRICES} US$ a million tokens)\n"
    )
    found = [(local.classify_raw(row["step"]), row) for row in rows]
    for threshold in (0.0, 0.7, 0.9, 0.97):
        asked = [row for answer, row in found if answer.confidence < threshold]
        tokens = sum(min(150, estimate_tokens(json.dumps(row["step"]))) + 15 for row in asked)
        calls = -(-len(asked) // 20)
        cost = ((tokens + calls * system) * PRICES[0] + len(asked) * TOKENS_PER_ANSWER * PRICES[1]) / 1e6
        local_right = sum(_right(answer.intent, row) for answer, row in found if answer.confidence >= threshold)
        for accuracy in (0.9, 0.95, 0.985):
            right = (local_right + accuracy * len(asked)) / len(rows)
            print(
                f"asked below {threshold:.2f}: {len(asked) / len(rows):4.0%} of steps; model right in {accuracy:.1%}: "
                f"{right:.1%} right together, {1000 * cost / len(rows):.3f} US$ for 1,000 steps"
            )


def _right(intent: str | None, row: dict[str, Any]) -> bool:
    return (intent or "none") in {row["gold"], row.get("alt")}


def main() -> None:
    local = LocalClassifier()
    rows = [json.loads(line) for line in OWN.read_text(encoding="utf-8").splitlines()]
    print(f"== the project's own {len(rows)} labelled steps\n")
    print(evaluate([LabelledStep.of_row(row) for row in rows], local.classify_raw).report())

    times = []
    for _ in range(ROUNDS):
        started = process_time()
        for row in rows:
            local.classify_raw(row["step"])
        times.append((process_time() - started) / len(rows) * 1e6)
    print(f"\n{min(times):.0f} µs a step warm (median {median(times):.0f}); asked: at most 150")

    steps = tuple(
        Step(id=f"s{n}", name=row["step"].get("name", ""), prompt=row["step"].get("prompt"))
        for n, row in enumerate((rows * 4)[:500])
    )
    request = ClassifyRequest(step=steps[0], intents=Plugins().specs, threshold=0.0)
    started = process_time()
    for step in steps:
        local.classify(request.model_copy(update={"step": step}))
    took = (process_time() - started) * 1000
    print(f"{took:.0f} ms for the 500 steps of a workflow; asked: at most 100")
    cascade(rows, local)
    if len(sys.argv) > 1:
        print(f"\n== left out of {sys.argv[1]}")
        with tempfile.TemporaryDirectory() as folder:
            command = [
                sys.executable,
                str(PLUGIN / "training/learn.py"),
                sys.argv[1],
                "--out",
                f"{folder}/weights.json",
            ]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
