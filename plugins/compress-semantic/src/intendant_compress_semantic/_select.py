"""Which units fit: the most worth for the tokens, with what they stand under."""

import math
from collections.abc import Sequence
from heapq import heapify, heappop, heapreplace

from intendant.plugin import TextUnit
from intendant_compress_semantic._scores import Worth

DENSITY = 0.6
"""Power of a unit's size by which its worth is divided: 1 favours short units, 0 does not look at size."""
DENSITIES = {
    "transcript": 0.15,
    "prose": 0.3,
    "passages": 0.3,
    "mail": 0.3,
    "markdown": 0.3,
    "diff": 0.5,
    "json": 0.75,
}
"""For kinds in which it is another: in talk the short turns say little, in data one field is like the next."""
SUM = 0.8
"""Power of the sum of a unit's facts, of which many do not count for as much as each by itself."""


def ranked(sizes: Sequence[int], worths: Sequence[Worth], kind: str) -> list[int]:
    """Indexes of the units that are worth anything, the best for their size first.

    A fact that one unit carries adds nothing to a later one: lazy greedy selection (M. Minoux, "Accelerated greedy
    algorithms for maximizing submodular set functions", 1978).
    """
    power = DENSITIES.get(kind, DENSITY)
    known = 1 + max((number for worth in worths for number, _ in worth.facts), default=0)
    missing = bytearray(b"\1") * known
    weights = [math.pow(size, power) for size in sizes]

    def density(index: int) -> float:
        worth, facts = worths[index], 0.0
        for number, weight in worth.facts:
            if missing[number]:
                facts += weight
        return -(worth.own + math.pow(facts, SUM)) / weights[index]

    heap = [(density(index), index) for index, worth in enumerate(worths) if worth.own > 0]
    heapify(heap)
    order: list[int] = []
    while heap:
        value, index = heap[0]
        now = density(index)
        if now > value + 1e-9:
            heapreplace(heap, (now, index))
            continue
        heappop(heap)
        order.append(index)
        for number, _ in worths[index].facts:
            missing[number] = 0
    return order


def fitting(units: Sequence[TextUnit], sizes: Sequence[int], order: Sequence[int], room: int) -> list[int]:
    """Indexes of the first units of *order* that fit *room* tokens together with those they stand under,
    sorted.
    """
    kept: set[int] = set()
    for index in order:
        if index in kept:
            continue
        size, at = 0, index
        while at >= 0 and at not in kept:
            size += sizes[at]
            at = units[at].under
        if size > room:
            continue
        room -= size
        at = index
        while at >= 0 and at not in kept:
            kept.add(at)
            at = units[at].under
    return sorted(kept)
