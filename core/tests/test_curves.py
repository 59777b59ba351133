"""How much money goes with how many tokens at most, beside every way to spend them."""

from itertools import product

import pytest
from hypothesis import given, strategies as st

from intendant.planning.curves import Curve, either, together


def most(curve: Curve, tokens: int) -> float:
    """What so many tokens of a curve cost at most."""
    spent = 0.0
    for size, micro in curve.pieces:
        taken = min(size, tokens)
        spent, tokens = spent + micro * taken / size, tokens - taken
    return spent


PIECE = st.tuples(st.integers(1, 9), st.integers(0, 60))
CURVES = st.lists(PIECE, max_size=3).map(lambda pieces: together(Curve((piece,)) for piece in pieces))


def rates(curve: Curve) -> list[float]:
    return [micro / size for size, micro in curve.pieces]


@given(CURVES, CURVES, CURVES)
def test_steps_together_may_spend_what_the_best_split_of_the_tokens_spends(a: Curve, b: Curve, c: Curve) -> None:
    whole = together([a, b, c])
    assert (whole.tokens, whole.micro_usd) == (
        a.tokens + b.tokens + c.tokens,
        sum(curve.micro_usd or 0 for curve in (a, b, c)),
    )
    assert rates(whole) == sorted(set(rates(whole)), reverse=True), "falling, and each rate once"
    for tokens in range(whole.tokens + 1):
        splits = product(range(min(a.tokens, tokens) + 1), range(min(b.tokens, tokens) + 1))
        best = max(
            most(a, one) + most(b, two) + most(c, tokens - one - two) for one, two in splits if one + two <= tokens
        )
        assert most(whole, tokens) == pytest.approx(best)


@given(CURVES, CURVES)
def test_a_branch_may_spend_what_the_dearer_one_spends_and_hardly_more(a: Curve, b: Curve) -> None:
    one = either([a, b])
    assert one.tokens == max(a.tokens, b.tokens)
    assert one.micro_usd == max(a.micro_usd or 0, b.micro_usd or 0)
    assert rates(one) == sorted(rates(one), reverse=True)
    assert all(
        most(one, tokens) >= max(most(a, tokens), most(b, tokens)) - 1e-9 for tokens in range(one.tokens + 1)
    )
    ends = [0]
    for size, _ in one.pieces:
        ends.append(ends[-1] + size)
    assert all(most(one, end) == pytest.approx(max(most(a, end), most(b, end))) for end in ends), "no higher there"


@given(CURVES, st.integers(0, 30), st.integers(0, 120))
def test_a_limit_is_kept_and_takes_no_more_than_it_must(curve: Curve, tokens: int, micro: int) -> None:
    fewer = curve.cut(tokens, None)
    assert fewer.tokens == min(tokens, curve.tokens)
    assert all(
        most(curve, each) - 1e-9 <= most(fewer, each) <= most(curve, each) + len(curve.pieces)
        for each in range(fewer.tokens + 1)
    )
    cheaper = curve.cut(None, micro)
    assert (cheaper.tokens, cheaper.micro_usd) == (curve.tokens, min(micro, curve.micro_usd or 0))
    assert all(
        most(cheaper, each) >= min(micro, most(curve, each)) - 1e-9 for each in range(1, cheaper.tokens + 1)
    )


def test_what_has_no_known_price_may_cost_its_limit_with_any_token() -> None:
    unknown = Curve.of(10, None)
    assert (unknown.tokens, unknown.micro_usd, unknown.known) == (10, None, False)
    assert unknown.cut(None, 50) == Curve(((1, 50), (9, 0)))
    assert unknown.cut(4, 50) == Curve(((1, 50), (3, 0)))
    assert Curve.of(1, None).cut(None, 50) == Curve(((1, 50),))
    assert Curve.of(0, None).cut(None, 50) == Curve()
    assert unknown.cut(4, None) == Curve(((4, 0),), known=False)


def test_one_unknown_price_makes_the_whole_unknown() -> None:
    known, unknown = Curve.of(5, 10), Curve.of(5, None)
    assert together([known, unknown]).micro_usd is None
    assert either([known, unknown]).micro_usd is None
    assert together([known, known]) == Curve(((10, 20),))
    assert either([]) == Curve()
    assert either([unknown]) is unknown


def test_a_cut_is_where_the_limit_is_reached() -> None:
    curve = Curve(((10, 100), (10, 50), (10, 0)))
    assert curve.cut(None, 125) == Curve(((10, 100), (5, 25), (5, 0), (10, 0)))
    assert curve.cut(None, 100) == Curve(((10, 100), (10, 0), (10, 0)))
    assert curve.cut(None, 0) == Curve(((10, 0), (10, 0), (10, 0)))
    assert curve.cut(None, 3) == Curve(((1, 3), (9, 0), (10, 0), (10, 0)))
    assert curve.cut(13, None) == Curve(((10, 100), (3, 15)))
    assert Curve(((3, 10),)).cut(2, None) == Curve(((2, 7),)), "rounded up"
    assert curve.cut(15, 110) == Curve(((10, 100), (2, 10), (3, 0)))


def test_branches_of_different_shape_make_a_hull() -> None:
    assert either([Curve(((10, 100),)), Curve(((2, 80),))]) == Curve(((2, 80), (8, 20)))
    assert either([Curve(((10, 100),)), Curve(((4, 30),))]) == Curve(((10, 100),))
    assert either([Curve(((10, 10),)), Curve(((2, 80),))]) == Curve(((2, 80), (8, 0)))
