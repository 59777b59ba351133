"""Money as people read it."""


def money(micro_usd: int | None) -> str:
    """Micro-US$ as US dollars; `-` for nothing, `?` where it is not known."""
    if micro_usd is None:
        return "?"
    return "-" if micro_usd == 0 else f"${micro_usd / 1_000_000:.4f}"
