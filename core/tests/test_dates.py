"""Dates are read as people write them; which of two figures is the day is not guessed."""
# ruff: noqa: RUF001  # digits of other scripts

from datetime import date

import pytest
from hypothesis import given, strategies as st

from intendant.plugin import dates_in, day_of

MAY = date(2026, 5, 12)


def values(text, **told):
    return [found.value for found in dates_in(text, **told)]


@pytest.mark.parametrize(
    "text",
    [
        "2026-05-12",
        "2026/05/12",
        "2026.05.12",
        "2026-5-12",
        "12.05.2026",
        "12.5.26",
        "12. 5. 2026",
        "12 May 2026",
        "12-May-2026",
        "12/May/2026:10:00:00",
        "12th of May 2026",
        "May 12, 2026",
        "May 12th 2026",
        "MAY 12, 2026",
        "12. Mai 2026",
        "12 mai 2026",
        "12 de mayo de 2026",
        "12 maggio 2026",
        "12 de maio de 2026",
        "12 mei 2026",
        "12 maja 2026",
        "12 May '26",
        "2026年5月12日",
        "2026년 5월 12일",
        "٢٠٢٦-٠٥-١٢",
        "2026-05-12T10:00:00Z",
    ],
)
def test_notations(text):
    assert values(f"due {text}, please") == [MAY]


@pytest.mark.parametrize(
    ("text", "months"),
    [
        ("3 März 2026", 3),
        ("3 Kasım 2026", 11),
        ("3 ARALIK 2026", 12),
        ("3 Şubat 2026", 2),
        ("3 ноября 2026", 11),
        ("3 мая 2026", 5),
        ("3. heinäkuuta 2026", 7),
        ("3. desember 2026", 12),
        ("3. marts 2026", 3),
        ("3 août 2026", 8),
        ("3 décembre 2026", 12),
        ("3 février 2026", 2),
        ("3 março 2026", 3),
        ("3 Sept. 2026", 9),
        ("1er janvier 2026", 1),
    ],
)
def test_months_with_accents(text, months):
    (found,) = values(text)
    assert found.month == months


@pytest.mark.parametrize("text", ["12/5/2026", "5/12/2026", "12-5-2026", "05-12-26", "01/02/2026"])
def test_day_and_month_that_can_be_exchanged_are_not_guessed(text):
    (found,) = dates_in(text)
    assert (found.value, found.text) == (None, text)
    (first,) = values(text, day_first=True)
    (second,) = values(text, day_first=False)
    assert (first.day, first.month) == (second.month, second.day)


@pytest.mark.parametrize(
    ("text", "told", "day"),
    [
        ("13/5/2026", None, date(2026, 5, 13)),
        ("5/13/2026", None, date(2026, 5, 13)),
        ("5/13/2026", True, date(2026, 5, 13)),
        ("5/5/2026", None, date(2026, 5, 5)),
        ("12.5.2026", None, date(2026, 5, 12)),
        ("12.5.2026", False, date(2026, 12, 5)),
        ("1.2.68", None, date(2068, 2, 1)),
        ("1.2.69", None, date(1969, 2, 1)),
    ],
)
def test_what_decides(text, told, day):
    assert values(text, day_first=told) == [day]


@pytest.mark.parametrize(
    "text",
    [
        "30/2/2026",
        "13/13/2026",
        "31 June 2026",
        "May 2026",
        "2 Janitor 2026",
        "1.2.3.4",
        "1/2/3/2026",
        "20260512",
        "12 2026",
        "x12.05.2026",
    ],
)
def test_what_is_no_date(text):
    assert values(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "2026-05-12",
        " 2026-05-12T23:30:00+02:00 ",
        "20260512",
        "12.05.2026 14:30",
        "12.05.2026 um 14:30 Uhr",
        "12 May 2026, 2:30 PM",
        "Tue, 12 May 2026 09:00:00 +0200",
        "Tue, 12 May 2026 09:00:00 GMT",
        "Dienstag, 12. Mai 2026",
        "mardi 12 mai 2026",
        "Tue 12.05.2026",
        "May 12, 2026 2:30 PM",
        "12 May 2026 2 PM",
        "le 12 mai 2026 à 14h30",
        "12 de maio de 2026 às 14:30",
        "12/May/2026:14:30:00 +0000",
        "Tue May 12 14:30:00 UTC 2026",
        "Tue May 12 2026 14:30:00 GMT+0200 (Central European Summer Time)",
    ],
)
def test_a_text_that_is_one_date(text):
    assert day_of(text).value == MAY


@pytest.mark.parametrize(
    "text", ["", "soon", "95", "due 12.05.2026", "12.05.2026x", "12.05.2026 and 13.05.2026", "x" * 1000]
)
def test_a_text_that_is_more_than_a_date_or_none(text):
    assert day_of(text) is None


@given(st.dates(min_value=date(1000, 1, 1)))
def test_what_is_written_is_read(day):
    for text in (day.isoformat(), f"{day.day}.{day.month}.{day.year:04}", f"{day:%d %B} {day.year:04}"):
        assert values(text) == [day]


@given(st.text(alphabet="0123456789./- Mayärz年月日'", max_size=40))
def test_no_text_stops_it(text):
    assert all(0 < len(found.text) <= len(text) for found in dates_in(text))
    day = day_of(text)
    assert day is None or day.text


@pytest.mark.parametrize("unit", ["1", "12/", "12 jan", "jan ", "1 ", "a", "1.1.", "年", "12 de ", "1. "])
def test_it_takes_linear_time(unit):
    assert len(values(unit * 100_000)) <= 100_000


@pytest.mark.parametrize(
    "text",
    [
        "den 12 maj 2026",
        "Dienstag, den 12. Mai 2026",
        "le 12 mai 2026",
        "12 мая 2026 г.",
        "12 мая 2026 года",
        "martes, 12 de mayo de 2026",
        "12 Mayıs 2026 10:30",
    ],
)
def test_a_text_may_be_a_date_with_the_words_that_a_language_puts_around_it(text):
    assert day_of(text).value == MAY


@pytest.mark.parametrize("text", ["den 2026", "le le 12 mai 2026", "12 мая 2026 голова", "12 mai 2026 le"])
def test_other_words_make_it_no_date(text):
    assert day_of(text) is None


@pytest.mark.parametrize("text", ["Mar 3, 2026", "Mar. 3 2026", "mar 3 marzo 2026", "mar. 3 mars 2026"])
def test_a_month_that_is_also_a_weekday_in_another_language(text):
    assert day_of(text).value == date(2026, 3, 3)
