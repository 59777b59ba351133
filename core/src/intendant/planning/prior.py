"""An agent's intensity as a prior of what is decided about its runs: it tips the scales, and decides nothing.

What a step says itself (`tier`, `model`, …), and what the operator has set for an intent, wins. Where an agent
has no data, everything is decided as if there were no agents.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from intendant.model.requests import BudgetLine, CompressionPolicy
from intendant.model.workflow import Frozen

CAPABLE = 7.5
"""Above this score the preset is `minimal` (5.0 to 7.5 is `balanced`; reference, section 5)."""
MIDDLING = 5.0
"""Below this score the preset is `aggressive`."""
EXTRA = 0.5
"""Part by which the hardest step of the most intense agent weighs more when tokens are shared (reference, 3.1)."""


class Preset(NamedTuple):
    """What a prior tips, and how far."""

    shift: float
    """Added to a step's difficulty (0 to 10) when it is routed."""
    target: float | None
    """Share of the content that compression aims at even where the budget has room; None for what the intent
    says.
    """
    floor: float | None
    """Share of facts that has to survive at least; None for what the intent says."""


PRESETS: Mapping[str, Preset] = {
    "aggressive": Preset(-1.0, 0.7, None),
    "balanced": Preset(0.0, None, None),
    "minimal": Preset(1.0, None, 0.95),
}
"""The reference's presets: below 5.0 the fast tier and aggressive compression, to 7.5 balanced, above it a capable
tier and minimal compression. There the score alone chose the tier; here it moves the step's own difficulty by one
point of ten, and no preset lowers what has to survive a compression.
"""


class Prior(Frozen):
    """What is known of an agent when its run is planned."""

    score: float
    """Its combined intensity, 0 to 10."""
    runs: int = 0
    """How many runs it is made of; 0 where a file says it."""
    source: str = ""
    """Where the score comes from, in words."""

    @property
    def preset(self) -> str:
        """`aggressive` below 5.0, `balanced` to 7.5, else `minimal`."""
        if self.score < MIDDLING:
            return "aggressive"
        return "balanced" if self.score <= CAPABLE else "minimal"

    @property
    def reason(self) -> str:
        """What it changes, in words."""
        shift = PRESETS[self.preset].shift
        moved = f", so steps count as {abs(shift):g} point {'harder' if shift > 0 else 'easier'}" if shift else ""
        return f"intensity {self.score:.1f} ({self.source}): {self.preset}{moved}"

    def difficulty(self, own: float) -> float:
        """A step's difficulty as it is routed: its own, moved by the preset, from 0 to 10."""
        return min(10.0, max(0.0, own + PRESETS[self.preset].shift))

    def policy(self, own: CompressionPolicy) -> CompressionPolicy:
        """An intent's compression policy as it holds for the agent."""
        preset = PRESETS[self.preset]
        if own.strategy == "none":
            return own
        changed = {}
        if preset.target is not None and preset.target < own.target:
            changed["target"] = preset.target
        if preset.floor is not None and preset.floor > own.floor:
            changed["floor"] = preset.floor
        return own.model_copy(update=changed) if changed else own

    def lines(self, own: Sequence[BudgetLine], difficulties: Mapping[str, float]) -> tuple[BudgetLine, ...]:
        """The steps as the budget strategy sees them: hard ones, which go to stronger tiers, weigh more the more
        intense the agent is. All within what the run has, and within the step's own budget.

        Baseline · (1 + 0.5 · score/10 · difficulty/10). The reference multiplies all steps alike, which sharing
        cancels (its defect D-5).
        """
        factor = EXTRA * self.score / 10
        return tuple(
            line.model_copy(
                update={"baseline": round(line.baseline * (1 + factor * difficulties.get(line.step_id, 0.0) / 10))}
            )
            for line in own
        )
