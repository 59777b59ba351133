"""The tier `powerful`: every step that the cheaper tiers decline."""

from intendant.plugin import Tier, TierSettings

__all__ = ["PowerfulSettings", "PowerfulTier"]


class PowerfulSettings(TierSettings):
    """Settings of the tier `powerful`."""

    max_difficulty: float = 10.0
    max_output_tokens: int = 8192


class PowerfulTier(Tier):
    """The strongest models, for steps that need them."""

    name = "powerful"
    rank = 30
    Settings = PowerfulSettings
