"""How much money at most goes with how many tokens: what upper bounds of several steps are made of.

A *curve* says for each number of tokens what they cost at most. It is concave, since the dearest tokens come
first, and is kept as its pieces: tokens, and what they cost together, in falling order of their rate. Steps of a
graph together, one of several branches, and what has a budget of its own are again curves.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

Point = tuple[int, int]
"""Tokens, and micro-US$ for so many of them."""


class Curve(NamedTuple):
    """What may be spent at most."""

    pieces: tuple[Point, ...] = ()
    known: bool = True
    """False if a price in it is not known: then only a limit says what is spent at most."""

    @classmethod
    def of(cls, tokens: int, micro_usd: int | None) -> "Curve":
        """Tokens that all cost the same; None for a price that is not known."""
        return cls(((tokens, micro_usd or 0),) if tokens else (), micro_usd is not None)

    @property
    def tokens(self) -> int:
        """Tokens at most."""
        return sum(tokens for tokens, _ in self.pieces)

    @property
    def micro_usd(self) -> int | None:
        """Micro-US$ at most; None if a price is not known."""
        return sum(micro for _, micro in self.pieces) if self.known else None

    def cut(self, tokens: int | None, micro_usd: int | None) -> "Curve":
        """The same with limits; None for no limit."""
        found = self if tokens is None else Curve(_first(self.pieces, tokens), self.known)
        if micro_usd is None:
            return found
        if not found.known:  # any of its tokens may cost all of that
            most = found.tokens
            return Curve(_put(((1, micro_usd), (most - 1, 0))) if most else ())
        return Curve(_below(found.pieces, micro_usd))


def together(curves: Iterable[Curve]) -> Curve:
    """What several may spend, all of them."""
    given = list(curves)
    pieces = sorted((piece for curve in given for piece in curve.pieces), key=_rate, reverse=True)
    joined: list[Point] = []
    for tokens, micro in pieces:
        if joined and micro * joined[-1][0] == joined[-1][1] * tokens:  # the same rate
            joined[-1] = (joined[-1][0] + tokens, joined[-1][1] + micro)
        else:
            joined.append((tokens, micro))
    return Curve(tuple(joined), all(curve.known for curve in given))


def either(curves: Sequence[Curve]) -> Curve:
    """What one of several may spend, whichever it is: the concave hull of them."""
    if len(curves) <= 1:
        return curves[0] if curves else Curve()
    points = {point for curve in curves for point in _points(curve.pieces)}
    points.add((max(at for at, _ in points), max(height for _, height in points)))
    hull: list[Point] = []
    for point in sorted(points):
        while len(hull) > 1 and _is_below(hull[-1], hull[-2], point):
            hull.pop()
        if hull and hull[-1][0] == point[0]:
            hull.pop()
        hull.append(point)
    steps = pairwise(hull)
    return Curve(_put((b[0] - a[0], b[1] - a[1]) for a, b in steps), all(curve.known for curve in curves))


def _rate(piece: Point) -> Fraction:
    return Fraction(piece[1], piece[0])


def _points(pieces: Iterable[Point]) -> Iterable[Point]:
    at = height = 0
    yield at, height
    for tokens, micro in pieces:
        at, height = at + tokens, height + micro
        yield at, height


def _is_below(point: Point, before: Point, after: Point) -> bool:
    """True if a point is on or below the line from the one before to the one after."""
    run, rise = after[0] - before[0], after[1] - before[1]
    return (point[1] - before[1]) * run <= rise * (point[0] - before[0])


def _put(pieces: Iterable[Point]) -> tuple[Point, ...]:
    return tuple(piece for piece in pieces if piece[0] > 0)


def _first(pieces: Iterable[Point], most: int) -> tuple[Point, ...]:
    """The dearest of the tokens, up to so many."""
    found: list[Point] = []
    for tokens, micro in pieces:
        taken = min(tokens, most)
        found.append((taken, -(-micro * taken // tokens)))
        most -= taken
    return _put(found)


def _below(pieces: Iterable[Point], most: int) -> tuple[Point, ...]:
    """The curve where it is below so much money; from there on, tokens cost nothing more."""
    found: list[Point] = []
    for tokens, micro in pieces:
        if micro <= most:
            found.append((tokens, micro))
            most -= micro
            continue
        until = max(1, tokens * most // micro) if most else 0
        found += [(until, most), (tokens - until, 0)]
        most = 0
    return _put(found)
