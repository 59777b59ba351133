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
from time import perf_counter

from intendant import OrchestrationService
from intendant.plugin import ClassifyRequest, LabelledStep, Step, evaluate

ROOT = Path(__file__).parent.parent.parent
PLUGIN = ROOT / "plugins/classify-local"
OWN = PLUGIN / "tests/labelled_steps.jsonl"
ROUNDS = 5


def main() -> None:
    with OrchestrationService(db="none") as service:
        local = service._engine.plugins.classifiers["local"]
        rows = [json.loads(line) for line in OWN.read_text(encoding="utf-8").splitlines()]
        print(f"== the project's own {len(rows)} labelled steps\n")
        print(evaluate([LabelledStep.of_row(row) for row in rows], local.classify_raw).report())

        times = []
        for _ in range(ROUNDS):
            started = perf_counter()
            for row in rows:
                local.classify_raw(row["step"])
            times.append((perf_counter() - started) / len(rows) * 1e6)
        print(f"\n{min(times):.0f} µs a step warm (median {median(times):.0f}); asked: at most 150")

        steps = tuple(
            Step(id=f"s{n}", name=row["step"].get("name", ""), prompt=row["step"].get("prompt"))
            for n, row in enumerate((rows * 4)[:500])
        )
        request = ClassifyRequest(step=steps[0], intents=service._engine.plugins.specs, threshold=0.0)
        started = perf_counter()
        for step in steps:
            local.decide(request.model_copy(update={"step": step}))
        took = (perf_counter() - started) * 1000
        print(f"{took:.0f} ms for the 500 steps of a workflow; asked: at most 100")

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
