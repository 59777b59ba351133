"""Sharing a whole among claims with floors and caps, so that nothing is stranded: water-filling."""

from collections.abc import Mapping


def share(
    total: int,
    weights: Mapping[str, float],
    *,
    caps: Mapping[str, int] | None = None,
    floors: Mapping[str, int] | None = None,
) -> dict[str, int]:
    """Share *total* in proportion to *weights*, within floors and caps.

    What a capped claim cannot take flows to the others, so the shares sum to `min(total, sum of caps)`. Where
    the floors together exceed *total*, they are scaled down. Weights of zero or less get their floor only.

    The level is found exactly: with share_i(level) = min(max(weight_i · level, floor_i), cap_i), the sum is a
    non-decreasing piecewise linear function of the level, solved between its breakpoints. O(n log n). (Boyd and
    Vandenberghe, *Convex Optimization*, 5.5.3, give the form without caps.)

    Args:
        total: What there is, such as tokens.
        weights: The claims.
        caps: The most a claim may get; unlimited where absent.
        floors: The least a claim gets; 0 where absent.

    Returns:
        A whole number for each claim.
    """
    total = max(total, 0)
    names = list(weights)
    if not names:
        return {}
    high = {name: min(total, (caps or {}).get(name, total)) for name in names}
    low = {name: min(max((floors or {}).get(name, 0), 0), high[name]) for name in names}
    needed = sum(low.values())
    if needed > total:
        return _whole({name: low[name] * total / needed for name in names}, total, low)
    exact = _fill(total, weights, low, high)
    return _whole(exact, min(total, round(sum(exact.values()))), high)


def _fill(
    total: int, weights: Mapping[str, float], low: Mapping[str, int], high: Mapping[str, int]
) -> dict[str, float]:
    active = [name for name in weights if weights[name] > 0 and high[name] > low[name]]
    exact = {name: float(low[name]) for name in weights}
    breaks = sorted(
        [(low[name] / weights[name], 1, name) for name in active]
        + [(high[name] / weights[name], -1, name) for name in active]
    )
    filled, slope, level = float(sum(low.values())), 0.0, 0.0
    for at, sign, name in breaks:
        if slope > 0 and filled + slope * (at - level) >= total:
            break
        filled += slope * (at - level)
        level = at
        slope += sign * weights[name]
    if slope > 1e-12:  # noqa: PLR2004  # rounding noise
        level += max(0.0, total - filled) / slope
    for name in active:
        exact[name] = min(max(weights[name] * level, low[name]), high[name])
    return exact


def _whole(exact: Mapping[str, float], total: int, high: Mapping[str, int]) -> dict[str, int]:
    """Rounds so that the sum is *total*: the largest remainders are rounded up."""
    shares = {name: int(value + 1e-9) for name, value in exact.items()}
    spare = total - sum(shares.values())
    for name in sorted(exact, key=lambda name: shares[name] - exact[name]):
        if spare <= 0:
            break
        if shares[name] < high[name] and exact[name] > 0:
            shares[name] += 1
            spare -= 1
    return shares
