"""The tier `fast`: steps of a difficulty up to 3."""

from intendant.plugin import Tier, TierSettings

__all__ = ["FastSettings", "FastTier"]


class FastSettings(TierSettings):
    """Settings of the tier `fast`."""

    max_difficulty: float = 3.0
    max_output_tokens: int = 2048


class FastTier(Tier):
    """The cheapest models, for steps that need little thought."""

    name = "fast"
    rank = 10
    Settings = FastSettings
