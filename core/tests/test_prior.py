"""How an agent's intensity tips what is decided about its runs, at the bounds of its presets."""

import pytest

from intendant.planning.prior import Prior
from intendant.plugin import BudgetLine, CompressionPolicy


@pytest.mark.parametrize(
    ("score", "preset", "moved", "reason"),
    [
        (0.0, "aggressive", -1, "intensity 0.0 (told): aggressive, so steps count as 1 point easier"),
        (4.99, "aggressive", -1, "intensity 5.0 (told): aggressive, so steps count as 1 point easier"),
        (5.0, "balanced", 0, "intensity 5.0 (told): balanced"),
        (7.5, "balanced", 0, "intensity 7.5 (told): balanced"),
        (7.51, "minimal", 1, "intensity 7.5 (told): minimal, so steps count as 1 point harder"),
    ],
)
def test_the_score_moves_each_step_by_a_point_at_most(score, preset, moved, reason) -> None:
    prior = Prior(score=score, source="told")
    assert (prior.preset, prior.reason) == (preset, reason)
    assert [prior.difficulty(own) for own in (0.5, 5.0, 9.5)] == [
        max(0.0, 0.5 + moved),
        5.0 + moved,
        min(10.0, 9.5 + moved),
    ]


@pytest.mark.parametrize(
    ("score", "own", "target", "floor"),
    [
        (1.0, {"target": 1.0, "floor": 0.5}, 0.7, 0.5),
        (1.0, {"target": 0.7, "floor": 0.5}, 0.7, 0.5),
        (1.0, {"target": 0.6, "floor": 0.5}, 0.6, 0.5),
        (6.0, {"target": 1.0, "floor": 0.5}, 1.0, 0.5),
        (9.0, {"target": 0.6, "floor": 0.5}, 0.6, 0.95),
        (9.0, {"target": 0.6, "floor": 0.97}, 0.6, 0.97),
        (9.0, {"target": 0.6, "floor": 0.5, "strategy": "none"}, 0.6, 0.5),
        (1.0, {"target": 1.0, "floor": 0.5, "strategy": "none"}, 1.0, 0.5),
    ],
)
def test_compression_is_tipped_and_no_floor_lowered(score, own, target, floor) -> None:
    found = Prior(score=score).policy(CompressionPolicy(**own))
    assert (found.target, found.floor) == (target, floor)


def test_hard_steps_of_intense_agents_weigh_more() -> None:
    """By half for the hardest step of the most intense agent."""
    own = [BudgetLine(step_id=name, baseline=1000, intent="x") for name in ("hard", "easy", "unknown")]
    difficulties = {"hard": 10.0, "easy": 2.0}

    def weights(score: float) -> list[int]:
        return [line.baseline for line in Prior(score=score).lines(own, difficulties)]

    assert weights(10.0) == [1500, 1100, 1000]
    assert weights(5.0) == [1250, 1050, 1000]
    assert weights(0.0) == [1000, 1000, 1000]
