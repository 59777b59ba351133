"""Moments in texts: a date with a time of day, as people and programs write them."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from intendant.text.dates import MOST, date_and_time

_OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})")
_NAMES = re.compile(r"[A-Z]+", re.IGNORECASE)
_SHORT = {
    0: "Z UTC GMT",
    1: "CET MEZ",
    2: "CEST MESZ",
    -4: "EDT",
    -5: "EST CDT",
    -6: "CST MDT",
    -7: "MST PDT",
    -8: "PST",
}
_HOURS = {name: hours for hours, names in _SHORT.items() for name in names.split()}
"""Time zones by their short names: those of RFC 5322, and those of Central Europe. Others stand for several zones
(IST is Indian, Irish and Israeli), and are unknown."""
_NOON = 12


def datetime_of(text: str, *, day_first: bool | None = None) -> datetime | None:
    """The date and time that *text* names, at midnight if it says no time; None if it names none.

    It has a time zone if the text has. A text with a zone that is unknown, or with a date that can be read in two
    ways, names none.

    Args:
        text: In ISO 8601, or a date as `day_of` knows it, and a time.
        day_first: Whether `4/5/2026` is the 4th of May.
    """
    plain = text.strip()
    if len(plain) > MOST:
        return None
    try:
        return datetime.fromisoformat(plain)
    except ValueError:
        pass  # not of the form that programs write
    found = date_and_time(plain, day_first)
    if found is None or found[0].value is None:
        return None
    day = datetime.combine(found[0].value, datetime.min.time())
    return day if found[1] is None else _at(day, found[1])


def _at(day: datetime, time: re.Match[str]) -> datetime | None:
    hour, half = int(time["hour"]), (time["half"] or "").upper()
    minute, second = int(time["minute"] or 0), int(time["second"] or 0)
    # 24:00 is the end of a day, and second 60 a leap second.
    if hour > (_NOON if half else 24) or minute > 59 or second > 60 or (hour == 24 and minute):  # noqa: PLR2004
        return None
    if half:
        hour = hour % _NOON + (_NOON if half == "P" else 0)
    zone = _zone(time["zone"])
    if time["zone"].strip() and zone is None:
        return None
    part = int((time["part"] or "0")[:6].ljust(6, "0"))
    try:
        moment = day + timedelta(hours=hour, minutes=minute, seconds=second, microseconds=part)
    except OverflowError:
        return None
    return moment.replace(tzinfo=zone)


def _zone(text: str) -> tzinfo | None:
    """The zone that an offset states, else a name that is known."""
    if found := _OFFSET.search(text):
        offset = timedelta(hours=int(found[2]), minutes=int(found[3]))
        if offset >= timedelta(days=1):
            return None
        return timezone(-offset if found[1] == "-" else offset)
    known = [_HOURS[name.upper()] for name in _NAMES.findall(text) if name.upper() in _HOURS]
    if not known or len(set(known)) > 1:
        return None
    return UTC if known[0] == 0 else timezone(timedelta(hours=known[0]))
