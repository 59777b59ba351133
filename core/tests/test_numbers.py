"""Numbers are read as people write them; one that can be read in two ways is not guessed."""
# ruff: noqa: RUF001  # the signs that people write

import pytest
from hypothesis import given, strategies as st

from intendant.plugin import numbers_in

BLANKS = {"no-break": "\u00a0", "narrow": "\u202f", "thin": "\u2009", "figure": "\u2007"}


def values(text, **told):
    return [found.value for found in numbers_in(text, **told)]


@pytest.mark.parametrize("sign", [*BLANKS.values(), "'", "’"], ids=[*BLANKS, "apostrophe", "quote"])
@pytest.mark.parametrize(
    ("digits", "value"),
    [
        ("1_250", 1250),
        ("1_250,50", 1250.5),
        ("1_250.50", 1250.5),
        ("12_345_678", 12_345_678),
        ("1_234_567,8", 1234567.8),
    ],
)
@pytest.mark.parametrize("decimal", [None, ".", ","])
def test_groups_that_only_one_sign_can_separate(sign, digits, value, decimal):
    assert values(f"Total: {digits.replace('_', sign)} EUR", decimal=decimal) == [value]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,250.50", 1250.5),
        ("1.250,50", 1250.5),
        ("1,250,000", 1_250_000),
        ("1.250.000", 1_250_000),
        ("1.250.000,5", 1_250_000.5),
        ("12,34,567.50", 1_234_567.5),
        ("₹1,23,456", 123_456),
        ("1 050,00", 1050),
        ("0.125 EUR", 0.125),
        ("12,50 EUR", 12.5),
        ("12,5 %", 12.5),
        ("90%", 90),
        ("1'250.–", 1250),
        ("Fr. 1'250.--", 1250),
        ("1.250,- EUR", 1250),
        ("30,- €", 30),
        ("450EUR", 450),
        ("EUR450", 450),
        ("US$30", 30),
        ("R$ 1.234,56", 1234.56),
        ("٣٤٫٥", 34.5),
        ("１２３", 123),
        ("Total:30", 30),
        ("costs 12.", 12),
        ("'12'", 12),
    ],
)
def test_what_can_be_read_in_one_way_only(text, value):
    assert values(text) == [value]


@pytest.mark.parametrize(
    "text",
    [
        "(1,250.50)",
        "($1,250.50)",
        "(1.250,50 €)",
        "€ (1,250.50)",
        "(EUR 1,250.50)",
        "-1250.50",
        "−1250.50",
        "﹣1250.50",
        "－1250.50",
        "–1250.50",
        "− 1250.50",
        "1250.50-",
        "1250.50−",
        "1.250,50-",
        "1250.50- EUR",
        "1250.50 EUR-",
        "-$1,250.50",
        "$-1,250.50",
        "−EUR 1 250,50".replace(" 2", "\u00a02"),
        "EUR -1250.50",
        "- 1250.50".replace("- ", "−"),
        "Amount:-1250.50",
    ],
)
def test_what_is_below_zero(text):
    for before in ("", "Amount: " if not text.startswith("Amount") else "", "x = "):
        assert values(f"{before}{text}") == [-1250.5], before


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1 250,50 EUR", "blank"),
        ("12 340.00", "blank"),
        ("1.250 EUR", "point"),
        ("$1.250", "point"),
        ("12,5", "comma"),
        ("0,125", "comma"),
        ("(12)", "brackets"),
        (" - 1250.50", "dash"),
        ("Amount: - 30", "dash"),
        ("30.00 -", "dash"),
        ("1,250.50 CR", "credit"),
        ("1.2 million", "multiplies"),
        ("5 Mio. EUR", "multiplies"),
        ("3 Milliarden", "multiplies"),
    ],
)
def test_what_can_be_read_in_two_ways_is_not_guessed(text, why):
    (found,) = numbers_in(text)
    assert found.value is None
    assert why in found.why


@pytest.mark.parametrize(
    ("text", "told", "value"),
    [
        ("1 250,50 EUR", {"thousands": " "}, 1250.5),
        ("1 250 000", {"thousands": " "}, 1_250_000),
        ("1.250 EUR", {"decimal": "."}, 1.25),
        ("1.250 EUR", {"decimal": ","}, 1250),
        ("1.250 EUR", {"thousands": "."}, 1250),
        ("1,250", {"decimal": ","}, 1.25),
        ("1,250", {}, 1250),
        ("1.250", {}, 1.25),
        ("12,5", {"decimal": ","}, 12.5),
    ],
)
def test_what_is_told_decides(text, told, value):
    assert values(text, **told) == [value]


def test_other_numbers_of_a_text_tell_what_a_point_means():
    assert values("weight 1.250 kg") == [1.25]
    assert values("weight 1.250 kg, 237,50 EUR") == [None, 237.5]


@pytest.mark.parametrize(
    "text",
    [
        "on 2026-03-04 at 10:30",
        "12.05.2026",
        "v1.2.3",
        "192.168.0.1",
        "A4",
        "INV-2291",
        "ABC123",
        "1,250.50.75",
        "5'10",
        "5kg",
        "1.5e3",
        "10-20",
        "x_3",
        "1" * 40,
    ],
)
def test_parts_of_other_things_are_no_numbers(text):
    assert values(text) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("7 12 340.00", [7, None]),
        ("7\t12\t340.00", [7, 12, 340]),
        ("in 2026 340 EUR", [2026, 340]),
        ("3, 4, 5", [3, 4, 5]),
        ("10–20", [10, 20]),
        ("- 3 apples\n- 4 pears", [3, 4]),
        ("Total - 30.5", [30.5]),
        ("12-inch", [12]),
        ("pages 12-\n13", [12, 13]),
        ("(30", [30]),
        ("(see 3 and 4)", [3, 4]),
    ],
)
def test_several_numbers(text, found):
    assert values(text) == found


@given(
    st.decimals(min_value=-(10**12), max_value=10**12, places=2), st.sampled_from([",.", ".,", "\u00a0,", "'."])
)
def test_what_is_written_is_read(number, signs):
    """An amount with two decimals, grouped by any sign but a blank."""
    written = f"{number:,.2f}".translate({ord(","): signs[0], ord("."): signs[1]})
    told = {"decimal": signs[1]}
    assert values(f"Sum {written} EUR", **told) == [pytest.approx(float(number))]


@given(st.text(alphabet="0123456789.,-−–()$€ '’\u00a0EURx%\n", max_size=40))
def test_no_text_stops_it(text):
    for found in numbers_in(text):
        assert (found.value is None) == bool(found.why)


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    "unit", ["1", "1,", "1 ", "1 250 ", "-", "(", "1'", "$", "1.250 ", "12,5 ", "1-", "\u00a01", "EUR "]
)
def test_it_takes_linear_time(unit):
    assert len(values(unit * 50_000)) <= 100_000
