"""The tier `balanced`: steps of a difficulty up to 5.5."""

from intendant.plugin import Tier, TierSettings

__all__ = ["BalancedSettings", "BalancedTier"]


class BalancedSettings(TierSettings):
    """Settings of the tier `balanced`."""

    max_difficulty: float = 5.5
    max_output_tokens: int = 4096


class BalancedTier(Tier):
    """Models of middling price, for most steps."""

    name = "balanced"
    rank = 20
    Settings = BalancedSettings
