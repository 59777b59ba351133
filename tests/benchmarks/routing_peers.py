"""Which of two models a prompt needs: our learned gains beside LiteLLM's complexity router, on the same rows.

    python tests/benchmarks/routing_peers.py OUTCOMES.jsonl[.gz]… [--splits 3]

Each file holds outcomes of two models (see `intendant route train`), the stronger of which costs more. Gains are learned
on 70 % of the rows and judged on the others; LiteLLM's score needs no learning. APGR is the average share of the gap
between the two models that is closed over all shares of calls to the stronger one (Ong et al., RouteLLM); .5 is what
chance comes to. It needs `litellm`, which `nox -s peers` installs.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random
from statistics import fmean, median
from time import perf_counter
from typing import Any

from litellm import Router
from litellm.router_strategy.complexity_router.complexity_router import ComplexityRouter

from intendant.planning.gains import Gains, curve
from intendant.planning.outcomes import OutcomeRow, read_outcomes
from intendant.planning.policy_training import train

LEARNED = 0.7
Score = Callable[[OutcomeRow], float]


def complexity() -> Score:
    """LiteLLM's score of a prompt, with its default settings."""
    there = [{"model_name": "m", "litellm_params": {"model": "openai/m", "api_key": "none"}}]
    tiers = dict.fromkeys(("SIMPLE", "MEDIUM", "COMPLEX", "REASONING"), "m")
    router: Any = ComplexityRouter(
        model_name="auto", litellm_router_instance=Router(there), complexity_router_config={"tiers": tiers}
    )
    return lambda row: float(router.classify(row.prompt)[1])


def expected(gains: Gains, row: OutcomeRow) -> float:
    """What the stronger model adds to a row, as learned."""
    return gains.expected(row.intent, row.prompt)


def by_chance(draw: Random, _row: OutcomeRow) -> float:
    """Any number."""
    return draw.random()


def judged(rows: Sequence[OutcomeRow], score: Score, weak: str, strong: str) -> tuple[float, float]:
    """APGR, and the median µs of a decision."""
    scores, seconds = [], []
    for row in rows:
        before = perf_counter()
        scores.append(score(row))
        seconds.append(perf_counter() - before)
    added = [row.outcomes[strong].score - row.outcomes[weak].score for row in rows]
    return curve(scores, added)[0], median(seconds) * 1e6


def compared(rows: list[OutcomeRow], splits: int) -> dict[str, list[tuple[float, float]]]:
    """By router, what it came to in each split."""
    found: dict[str, list[tuple[float, float]]] = {}
    peer = complexity()
    for seed in range(splits):
        draw = Random(seed)
        mixed = draw.sample(rows, len(rows))
        known, unseen = mixed[: int(LEARNED * len(rows))], mixed[int(LEARNED * len(rows)) :]
        gains = train(known, 0.01).gains
        if gains is None:
            raise SystemExit("these outcomes are not those of two models, the stronger of which costs more")
        routers: dict[str, Score] = {
            "Intendant, learned gains": partial(expected, gains),
            "LiteLLM, complexity router": peer,
            "chance": partial(by_chance, draw),
        }
        for name, score in routers.items():
            found.setdefault(name, []).append(judged(unseen, score, gains.weak, gains.strong))
    return found


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--splits", type=int, default=3)
    options = parser.parse_args()
    for path in options.files:
        rows = list(read_outcomes([path]))
        print(f"{path.name}: {len(rows)} rows, {1 - LEARNED:.0%} of them unseen, mean of {options.splits} splits")
        found = compared(rows, options.splits)
        usual = fmean(area for area, _ in found["LiteLLM, complexity router"])
        for name, seen in found.items():
            area, micros = fmean(one for one, _ in seen), median(one for _, one in seen)
            print(f"  {name:<28} APGR {area:.3f} ({area / usual:.2f} of LiteLLM's), {micros:.0f} µs a decision")
    return 0


if __name__ == "__main__":
    sys.exit(main())
