"""Moments are read as people and programs write them; an unknown time zone is not left out."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, strategies as st

from intendant.plugin import datetime_of

PLAIN = datetime(2026, 3, 5, 15, 4)  # noqa: DTZ001  # of no zone


def at(hours):
    return PLAIN.replace(tzinfo=timezone(timedelta(hours=hours)))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-05T15:04", PLAIN),
        ("Mar 5, 2026 3:04 PM", PLAIN),
        ("5 Mar 2026 3:04 p.m.", PLAIN),
        ("5.3.2026 15:04", PLAIN),
        ("5. März 2026 um 15.04 Uhr", PLAIN),
        ("le 5 mars 2026 à 15h04", PLAIN),
        ("Thu Mar  5 15:04:00 2026", PLAIN),
        ("5 Mar 2026", PLAIN.replace(hour=0, minute=0)),
        ("5 Mar 2026 12:04 AM", PLAIN.replace(hour=0)),
        ("5 Mar 2026 12:04 PM", PLAIN.replace(hour=12)),
        ("2026-03-05 24:00", PLAIN.replace(day=6, hour=0, minute=0)),
        ("5.3.2026 15:04:00,25", PLAIN.replace(microsecond=250_000)),
        ("2026-03-05 15:04 UTC", PLAIN.replace(tzinfo=UTC)),
        ("05/Mar/2026:15:04:00 +0000", at(0)),
        ("5 Mar 2026 15:04 CET", at(1)),
        ("Thu, 05 Mar 2026 15:04:00 -0500 (EST)", at(-5)),
        ("Thu Mar 05 2026 15:04:00 GMT+0100 (Central European Standard Time)", at(1)),
        ("2026-03-05T15:04:00+01:00[Europe/Berlin]", at(1)),
    ],
)
def test_notations(text, moment):
    assert datetime_of(text) == moment
    assert datetime_of(text).utcoffset() == moment.utcoffset()


@pytest.mark.parametrize(
    "text", ["", "soon", "5.3.2026 15:04 IST", "4/5/2026 15:04", "5.3.2026 25:00", "5 Mar 2026 15:04 PM", "15:04"]
)
def test_what_names_no_moment(text):
    """Nor does a text with a zone whose name stands for several, or whose day and month can be exchanged."""
    assert datetime_of(text) is None


def test_which_figure_is_the_day_can_be_told():
    assert datetime_of("3/5/2026 15:04", day_first=False) == PLAIN


@given(st.datetimes(timezones=st.none() | st.just(UTC)))
def test_what_programs_write_is_read(moment):
    assert datetime_of(moment.isoformat()) == moment


@pytest.mark.parametrize("unit", ["a", "a ", "at ", "+00:00", "(aa)", "9:"])
def test_no_text_takes_exponential_time(unit):
    assert datetime_of(f"5.3.2026 15:04 {unit * 12}!") is None
    assert datetime_of(f"5.3.2026 {unit * 15}!") is None
