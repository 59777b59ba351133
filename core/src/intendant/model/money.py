"""Money as people read it."""

MICRO = 1_000_000
SMALL = 1_000
"""Micro-US$ below which an amount is written to the last digit: four decimals would make nothing of it."""


def money(micro_usd: int | None) -> str:
    """Micro-US$ as US dollars; `-` for nothing, `?` where it is not known."""
    if micro_usd is None:
        return "?"
    return "-" if micro_usd == 0 else f"${micro_usd / MICRO:.{decimals_of(micro_usd)}f}"


def usd(micro: float) -> str:
    """Micro-US$ as a report has them: cents of whole dollars, more decimals of small amounts, `$0` for nothing."""
    dollars = micro / MICRO
    if abs(dollars) >= 1:
        return f"${dollars:,.2f}"
    return f"${dollars:.{decimals_of(micro)}f}" if round(micro) else "$0"


def decimals_of(micro: float) -> int:
    """How many decimals show an amount in US dollars."""
    return 6 if abs(micro) < SMALL else 4
