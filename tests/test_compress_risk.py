"""A floor with a risk, with the compressors that are installed."""

import intendant
from intendant.planning.risk import shipped


def test_what_is_made_smaller_reaches_the_quality_that_the_risk_asks_for() -> None:
    text = "\n".join(
        f"2026-11-{n % 28 + 1:02} user {n} paid {n * 7}.{n % 100:02} for order A-{n}" for n in range(300)
    )
    done = intendant.compress(text, floor=0.95, risk=0.1)
    assert done.quality >= shipped().least_quality(0.95, 0.1) or done.lossless
    assert done.saved > 0
