"""How the chain looks for the largest selection that fits, and what it settles for where none does."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from intendant.hooks.questions import Questions
from intendant.hooks.registry import Plugins
from intendant.planning.compression import CompressionChain, Fitted, remembering, to_text
from intendant.planning.risk import SIZES, Calibration
from intendant.plugin import Compression, CompressionPolicy, Compressor


class Cuts(Compressor):
    """Keeps the first characters: as many as `length` says of what is aimed at."""

    name = "cuts"

    def __init__(self, length: Callable[[int], int] = lambda aim: aim) -> None:
        super().__init__()
        self._length = length
        self.asked: list[Any] = []

    @property
    def aims(self) -> list[int]:
        return [request.target_tokens for request in self.asked]

    def compress(self, request):
        self.asked.append(request)
        text = request.text[: self._length(request.target_tokens)]
        return made(request, text, self.name, dropped=("the rest",))


class Pairs(Compressor):
    """Writes pairs of letters as one."""

    name = "pairs"
    lossless = True

    def compress(self, request):
        return made(request, request.text.replace("ab", "c"), self.name, lossless=True)


def made(request, text: str, strategy: str, *, lossless: bool = False, **more: Any) -> Compression:
    return Compression(
        text=text,
        tokens_before=request.tokens,
        tokens_after=len(text),
        strategy=strategy,
        lossless=lossless,
        **more,
    )


def chain_of(*compressors: Compressor, calibration: str = "") -> CompressionChain:
    return CompressionChain(Questions(Plugins(compressors, discover=False).manager), calibration=calibration)


async def fit(text: str, target: int, *compressors: Compressor, model: Any = None, **policy: Any) -> Fitted:
    chosen = CompressionPolicy(**{"floor": 0.0, **policy})
    return await chain_of(*compressors).fit(text, target, policy=chosen, count=len, model=model)


def blocks(aim: int) -> int:
    """Whole blocks of 300 characters, the nearest number of them."""
    return round(aim / 300) * 300


@pytest.mark.parametrize(
    ("text", "target", "length", "aims", "tokens"),
    [
        pytest.param("ab" * 1000, 600, lambda aim: aim, [1194], 597, id="encoding halves everything"),
        pytest.param("x" * 1000, 600, lambda aim: aim, [597], 597, id="nothing to encode"),
        pytest.param(
            "x" * 1000 + "ab" * 500, 600, lambda aim: aim, [796, 585, 586, 587, 588], 588, id="too large at first"
        ),
        pytest.param(
            "ab" * 500 + "x" * 1000, 600, lambda aim: aim, [796, 1013, 1097], 597, id="too small at first"
        ),
        pytest.param("x" * 1000, 100, lambda aim: aim + 50, [99, 64, 53, 48], 98, id="always more than asked for"),
        pytest.param(
            "x" * 1000, 100, lambda aim: aim + 60, [99, 60, 47, 41, 100], 101, id="never fits, last as asked"
        ),
        pytest.param("x" * 1000, 100, lambda _: 500, [99, 19, 3, 1], 500, id="never fits, no smaller aim is left"),
        pytest.param("x" * 1500, 500, blocks, [497, 403, 461, 437, 451], 300, id="between two sizes"),
        pytest.param("x" * 100, 10, lambda _: 10, [9], 10, id="exactly as large as wanted"),
        pytest.param("x" * 505, 500, lambda _: 489, [497, 501, 503, 504], 489, id="no larger aim is left"),
        pytest.param("x" * 1000, 500, lambda _: 490, [497], 490, id="just enough"),
        pytest.param(
            "x" * 1000,
            500,
            lambda _: 489,
            [497, 505, 513, 521, 528],
            489,
            id="just not enough, and no more is there",
        ),
    ],
)
async def test_each_aim_lies_on_the_line_between_the_ends_that_are_known(
    text, target, length, aims, tokens
) -> None:
    """Half a percent below the size that is wanted, and two percent lower after each selection that was too large.

    The largest selection that fits is kept; where none fits, the smallest.
    """
    cuts = Cuts(length)
    found = await fit(text, target, Pairs(), cuts)
    assert cuts.aims == aims
    assert found.compression.tokens_after == tokens
    assert not found.refused


async def test_a_selection_that_loses_too_much_is_made_larger_by_halves() -> None:
    """Four times the middle is tried between what loses too much and what keeps enough."""
    cuts = Cuts()
    found = await fit("x" * 700 + "KEY" + "y" * 297, 200, cuts, protect=["KEY"])
    assert cuts.aims == [199, 597, 796, 696, 746]
    assert (found.refused, found.compression.tokens_after) == (True, 746)


async def test_where_every_size_loses_too_much_all_stays() -> None:
    text = "x" * 997 + "KEY"
    found = await fit(text, 200, Cuts(), protect=["KEY"])
    assert (found.refused, found.compression.text, found.compression.strategy) == (True, text, "none")
    assert found.compression.lossless


async def test_the_floor_itself_is_enough() -> None:
    text = "".join(f"{n} of K{n}\n" for n in range(100, 200))
    quality = (await fit(text, 600, Cuts())).compression.quality
    assert 0.3 < quality < 0.9
    assert not (await fit(text, 600, Cuts(), floor=quality)).refused
    assert (await fit(text, 600, Cuts(), floor=quality + 0.001)).refused


class Other(Cuts):
    """Another one, which is asked after the first."""

    name = "other"


async def test_one_compressor_after_the_other_is_asked_until_one_keeps_enough() -> None:
    text = "x" * 197 + "KEY" + "y" * 800
    keeps, loses = Other(lambda _: 200), Cuts(lambda _: 100)
    found = await fit(text, 200, loses, keeps, protect=["KEY"])
    assert (found.refused, found.compression.strategy, found.compression.tokens_after) == (False, "other", 200)
    assert loses.asked
    assert keeps.asked[0].tried == (() if keeps.asked[0].strategy == "other" else ("cuts",))


async def test_of_what_cannot_be_made_to_fit_the_smaller_is_taken() -> None:
    for one, two in ((300, 400), (400, 300)):
        found = await fit("x" * 1000, 200, Cuts(lambda _, one=one: one), Other(lambda _, two=two: two))
        assert (found.refused, found.compression.tokens_after) == (False, 300)


class Rewrites(Cuts):
    """Asks a model, where there is one."""

    name = "a_rewrites"

    def __init__(self, text: str, spent: int = 7) -> None:
        super().__init__()
        self._text, self._spent = text, spent

    def compress(self, request):
        if request.model is None:
            return None
        self.asked.append(request)
        return made(request, self._text, self.name, spent=self._spent)


@pytest.mark.parametrize(
    ("text", "spent", "taken"),
    [
        ("the KEY", 7, True),
        ("the KEY" + "." * 193, 7, True),
        ("the KEY" + "." * 194, 7, False),
        ("nothing", 7, False),
        ("the KEY", 0, False),
    ],
)
async def test_a_model_rewrites_what_no_selection_keeps(text, spent, taken) -> None:
    """Its words count if they fit, keep enough, and are a model's: what spent no tokens was only selected."""
    rewrites = Rewrites(text, spent)
    found = await fit("ab" * 500 + "KEY", 200, Pairs(), Cuts(), rewrites, protect=["KEY"], model=object())
    assert found.refused is not taken
    assert (found.compression.text == text) is taken
    assert found.compression.spent == (7 if taken else 0)
    (asked,) = rewrites.asked
    assert (asked.text, asked.tokens, asked.target_tokens) == ("ab" * 500 + "KEY", 1003, 200)
    assert (asked.lossless_only, asked.tried, asked.strategy) == (False, ("pairs",), "auto")


async def test_a_model_is_not_asked_where_a_selection_keeps_enough_or_there_is_none() -> None:
    rewrites = Rewrites("short")
    assert not (await fit("x" * 1000, 200, Cuts(), rewrites, model=object())).refused
    assert (await fit("x" * 1000 + "KEY", 200, Cuts(), rewrites, protect=["KEY"])).refused
    assert (await fit("x" * 1000 + "KEY", 200, Cuts(), protect=["KEY"], model=object())).refused
    assert rewrites.asked == []


class Strips(Compressor):
    """Takes markup off: form only, though what it was cannot be had back."""

    name = "strips"
    lossless = True

    def compress(self, request):
        text = request.text.replace("<b>", "")
        return made(request, text, self.name, preserving=True, dropped=("markup",))


async def test_what_was_dropped_before_a_selection_counts_too() -> None:
    cuts = Cuts()
    found = (await fit("<b>x" * 300, 100, Strips(), cuts)).compression
    assert (found.lossless, found.preserving, found.text) == (False, False, "x" * 99)
    assert found.dropped == ("markup", "the rest")
    assert cuts.asked[0].text == "x" * 300


async def test_form_that_is_taken_off_is_no_loss_and_yet_cannot_be_had_back() -> None:
    found = (await fit("<b>x" * 300, 300, Strips())).compression
    assert (found.lossless, found.preserving, found.tokens_after) == (False, True, 300)
    found = (await fit("<b>abx" * 300, 600, Strips(), Pairs())).compression
    assert (found.lossless, found.preserving, found.strategy, found.text) == (
        False,
        True,
        "pairs+strips",
        "cx" * 300,
    )


async def test_what_preserves_everything_fits_below_any_floor() -> None:
    found = await fit("<b>Order 17</b>\n" * 30, 450, Marks(), floor=1.0, protect=["<b>"])
    assert (found.refused, found.compression.preserving) == (False, True)
    assert found.compression.tokens_after <= 450


class Marks(Strips):
    """Takes off all markup, whatever is aimed at; selects, for the chain."""

    name = "marks"
    lossless = False

    def compress(self, request):
        text = request.text.replace("<b>", "").replace("</b>", "")
        return made(request, text, self.name, preserving=True, dropped=("markup",))


async def test_compressors_are_told_the_kind_of_what_they_are_given() -> None:
    page = "<html><body>" + "<b>word</b> " * 100
    marks, cuts = Strips(), Cuts()
    await fit(page, 300, marks, cuts)
    assert {each.kind for each in cuts.asked} == {"html"}, "also of the text of a page"
    cuts = Cuts()
    await fit(json.dumps([{"n": n} for n in range(100)]), 300, Pairs(), cuts)
    assert {each.kind for each in cuts.asked} == {"json"}


async def test_a_selection_of_a_named_strategy_is_asked_of_it_alone() -> None:
    one, two = Cuts(), Other()
    found = (await fit("ab" * 500, 300, Pairs(), one, two, strategy="other")).compression
    assert (found.strategy, one.asked, two.asked[0].strategy) == ("other", [], "other")
    assert (await fit("ab" * 500, 500, Pairs(), one, strategy="pairs")).compression.strategy == "pairs"
    assert (await fit("ab" * 500, 300, Pairs(), one, strategy="pairs")).compression.tokens_after == 500


@pytest.mark.parametrize("target", [500, 501])
async def test_what_fits_after_one_encoding_is_not_encoded_further(target) -> None:
    found = (await fit("ab" * 500, target, Pairs(), Strips())).compression
    assert (found.strategy, found.lossless) == ("pairs", True)
    strips = Strips()
    strips.compress = lambda _: pytest.fail("it fits already")
    await fit("ab" * 500, target, type("First", (Pairs,), {"name": "a"})(), strips)


async def test_an_encoding_that_saves_nothing_is_not_named() -> None:
    found = (await fit("x" * 1000, 500, Pairs(), Cuts())).compression
    assert (found.strategy, found.lossless) == ("cuts", False)
    assert (await fit("x" * 1000, 500, Pairs())).compression.strategy == "none"


async def test_only_what_is_exact_is_asked_where_nothing_may_be_lost() -> None:
    cuts, policy = Cuts(), CompressionPolicy(floor=0.0)
    chain = chain_of(Pairs(), cuts)
    found = await chain.fit("ab" * 500, 300, policy=policy, count=len, lossless_only=True)
    assert (found.refused, found.compression.lossless, found.compression.tokens_after) == (False, True, 500)
    assert cuts.asked == []


# A floor with a risk


@pytest.fixture
def calibration(tmp_path) -> str:
    """By which a measured quality of 0.6 is asked for."""
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(Calibration((((0.4, 0.0), (0.6, 1.0)),) * 30).document()))
    return str(path)


FACTS = "".join(f"{n} of K{n} and\n" for n in range(1000, 1200))


async def sized(share: float) -> Compression:
    return (await fit(FACTS, int(len(FACTS) * share), Cuts())).compression


@pytest.mark.parametrize(("share", "chosen"), [(0.1, None), (0.3, None), (0.65, 0.6), (0.7, 0.7), (0.95, 0.9)])
async def test_a_floor_with_a_risk_takes_the_smallest_calibrated_size_of_enough_quality(
    calibration, share, chosen
) -> None:
    """From the target down to the next size on: smaller ones were not asked for."""
    enough = next([size for size in SIZES if (await sized(size)).quality >= 0.6].__iter__())
    assert SIZES[0] < enough < 0.6
    policy = CompressionPolicy(floor=0.9, risk=0.1)
    target = int(len(FACTS) * share) + 1
    found = await chain_of(Cuts(), calibration=calibration).fit(FACTS, target, policy=policy, count=len)
    expected = await sized(chosen or enough)
    assert found.compression.text == expected.text
    assert found.refused is (chosen is None), "it is larger than was asked for"


async def test_a_floor_with_a_risk_leaves_all_where_no_size_has_enough_quality(calibration) -> None:
    policy = CompressionPolicy(floor=0.9, risk=0.1)

    async def held(text: str, target: int, *compressors: Compressor, exact: bool = False) -> Fitted:
        chain = chain_of(*compressors, calibration=calibration)
        return await chain.fit(text, target, policy=policy, count=len, lossless_only=exact)

    empty = await held(FACTS, len(FACTS) // 2, Cuts(lambda _: 0))
    assert (empty.refused, empty.compression.text) == (True, FACTS)
    cuts = Cuts()
    exact = await held("ab" * 500, 300, Pairs(), cuts, exact=True)
    assert (exact.refused, exact.compression.tokens_after, cuts.asked) == (True, 500, [])
    fits = await held("ab" * 500, 500, Pairs(), cuts, exact=True)
    assert (fits.refused, fits.compression.tokens_after) == (False, 500)


# Content as text, and its tokens


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("é\n", "é\n"),
        (["a", "é"], "a\né"),
        (["a\nb", "c"], "a\nb\n\n---\n\nc"),
        ([], "[]"),
        (["a", 1], '["a",1]'),
        (None, ""),
        (0, "0"),
        ({"é": [1, None]}, '{"é":[1,null]}'),
    ],
)
def test_content_is_written_as_a_model_would_read_it(content, text) -> None:
    assert to_text(content) == text


def test_the_tokens_of_long_texts_are_counted_once() -> None:
    asked: list[int] = []

    def count(text: str) -> int:
        asked.append(len(text))
        return len(text)

    counted = remembering(count)
    for length in (999, 1000, 1001, 999, 1000, 1001):
        assert counted("x" * length) == length
    assert asked == [999, 1000, 1001, 999, 1000]
    for length in range(2000, 2009):
        counted("x" * length)
    counted("x" * 1001)
    assert asked[-1] == 1001, "of eight texts, so that large ones are not kept for ever"


async def test_a_text_that_fits_stays_as_it_is_and_exact() -> None:
    found = (await fit("x" * 100, 100, Cuts())).compression
    assert (found.strategy, found.lossless, found.quality, found.tokens_before, found.tokens_after) == (
        "none", True, 1.0, 100, 100,
    )  # fmt: skip
