"""Counting: special tokens and half characters are text; estimates are corrected by what providers report."""

import pytest

from intendant.plugin import TokenCounting
from intendant.spending.tokens import MARGIN, SEEN, CountCorrection, counter_for

EXACT = counter_for(TokenCounting(factor=1.0, exact=True))


@pytest.mark.parametrize("text", ["a <|endoftext|> b", "<|fim_prefix|>", "\ud800 half", "", "x" * 100_000])
def test_any_text_can_be_counted(text: str) -> None:
    assert EXACT(text) >= (len(text) > 0)


def test_little_is_known_of_a_new_model() -> None:
    correction = CountCorrection()
    for _ in range(SEEN - 1):
        correction.observe("m", 1000, 700)
    assert correction.factor("m") == 1.0
    assert correction.factor("other") == 1.0


def test_the_largest_ratio_of_many_calls_takes_the_factor_s_place() -> None:
    correction = CountCorrection()
    for reported in (700, 650, 720, 710, 690, 640, 700, 705):
        correction.observe("m", 1000, reported)
    assert correction.factor("m") == pytest.approx(0.72 * MARGIN)


def test_a_count_that_was_too_low_counts_at_once() -> None:
    correction = CountCorrection()
    correction.observe("m", 1000, 1300)
    assert correction.factor("m") == pytest.approx(1.3 * MARGIN)


def test_short_calls_and_those_without_figures_teach_nothing() -> None:
    correction = CountCorrection()
    for _ in range(SEEN):
        correction.observe("m", 20, 60)
        correction.observe("m", 1000, 0)
    assert correction.factor("m") == 1.0


def test_old_calls_are_forgotten() -> None:
    correction = CountCorrection()
    correction.observe("m", 1000, 1300)
    for _ in range(64):
        correction.observe("m", 1000, 800)
    assert correction.factor("m") == pytest.approx(0.8 * MARGIN)
