"""Finds e-mail addresses, links, numbers, dates, telephone numbers and IBANs.

Every expression here is linear in the length of the text: repetitions are bounded or cannot overlap.
"""

import re
from collections.abc import Callable, Iterator
from datetime import date
from typing import Literal

from intendant.plugin import Json

Kind = Literal["email", "url", "number", "date", "phone", "iban"]

_EMAIL = re.compile(
    r"(?<![\w.%+-])[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])"
)
_URL = re.compile(r"""https?://[^\s<>"'`{}|\\^]{1,2048}""", re.IGNORECASE)
_POINT = re.compile(
    r"(?<![\w.,/:-])[+-]?(?:\d{1,3}(?:,\d{3}){1,9}|\d{1,30})(?:\.\d{1,30})?(?!\w|[-/:.,]\d)", re.ASCII
)
_COMMA = re.compile(
    r"(?<![\w.,/:-])[+-]?(?:\d{1,3}(?:\.\d{3}){1,9}|\d{1,30})(?:,\d{1,30})?(?!\w|[-/:.,]\d)", re.ASCII
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = r"(?P<{}>(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{{0,6}})\.?"
_DATE = re.compile(
    r"(?<![\w/.-])(?:(?P<y1>\d{4})-(?P<m1>\d{1,2})-(?P<d1>\d{1,2})"
    r"|(?P<p1>\d{1,2})(?P<sep>[./-])(?P<p2>\d{1,2})(?P=sep)(?P<y2>\d{4}|\d{2})"
    rf"|(?P<d3>\d{{1,2}})(?:st|nd|rd|th|\.)? {_MONTH.format('m3')},? (?P<y3>\d{{4}})"
    rf"|{_MONTH.format('m4')} (?P<d4>\d{{1,2}})(?:st|nd|rd|th)?,? (?P<y4>\d{{4}}))(?![\d/-])",
    re.ASCII | re.IGNORECASE,
)
_PHONE = re.compile(r"(?<![\w+./-])\+?\(?\d[\d ().\-/]{5,22}\d(?!\w)", re.ASCII)
_OPENING = {")": "(", "]": "["}
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b", re.ASCII)


def find(kind: Kind, text: str, *, decimal: str = ".", day_first: bool = True) -> Iterator[Json]:
    """What of *kind* is in *text*, in its order; numbers as numbers, dates as `2026-03-31`.

    Args:
        kind: What to find.
        text: Where.
        decimal: What stands before a number's decimals; the other of point and comma separates thousands.
        day_first: How `12/5/2026` is read, where neither part is larger than 12.
    """
    if kind == "number":
        yield from _numbers(text, decimal)
    elif kind == "date":
        yield from (found.isoformat() for found in _dates(text, day_first=day_first))
    else:
        yield from _SIMPLE[kind](text)


def _numbers(text: str, decimal: str) -> Iterator[Json]:
    pattern, thousands = (_POINT, ",") if decimal == "." else (_COMMA, ".")
    for match in pattern.finditer(text):
        plain = match[0].replace(thousands, "").replace(decimal, ".")
        yield float(plain) if "." in plain else int(plain)


def _dates(text: str, *, day_first: bool) -> Iterator[date]:
    for match in _DATE.finditer(text):
        found = _date(match, day_first=day_first)
        if found is not None:
            yield found


def _date(match: re.Match[str], *, day_first: bool) -> date | None:
    """The date of a match; None if the calendar has none such."""
    part = match.groupdict()
    if part["y1"]:
        year, month, day = int(part["y1"]), int(part["m1"]), int(part["d1"])
    elif part["p1"]:
        year, first, second = int(part["y2"]), int(part["p1"]), int(part["p2"])
        year += 2000 if len(part["y2"]) == 2 else 0  # noqa: PLR2004  # two digits
        swap = second > 12 or (first <= 12 and not day_first)  # noqa: PLR2004  # a year has twelve months
        day, month = (second, first) if swap else (first, second)
    else:
        name = (part["m3"] or part["m4"])[:3].lower()
        year, month, day = int(part["y3"] or part["y4"]), _MONTHS.index(name) + 1, int(part["d3"] or part["d4"])
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _urls(text: str) -> Iterator[str]:
    for match in _URL.finditer(text):
        url = match[0].rstrip(".,;:!?*_")
        while url.endswith((")", "]")) and url.count(url[-1]) > url.count(_OPENING[url[-1]]):
            url = url[:-1].rstrip(".,;:!?*_")
        yield url


def _phones(text: str) -> Iterator[str]:
    for match in _PHONE.finditer(text):
        digits = sum(character.isdigit() for character in match[0])
        if 7 <= digits <= 15 and not _DATE.search(match[0]):  # noqa: PLR2004  # E.164 allows 15
            yield match[0].strip()


def _ibans(text: str) -> Iterator[str]:
    for match in _IBAN.finditer(text):
        groups = match[0].split(" ")
        for count in range(len(groups), 0, -1):  # a word in capitals may follow
            iban = "".join(groups[:count])
            if len(iban) >= 15 and _is_iban(iban):  # noqa: PLR2004  # Norway's, the shortest
                yield iban
                break


def _is_iban(iban: str) -> bool:
    """True if the check digits are right (ISO 13616: the number modulo 97 is 1)."""
    return int("".join(str(int(character, 36)) for character in iban[4:] + iban[:4])) % 97 == 1


_SIMPLE: dict[str, Callable[[str], Iterator[str]]] = {
    "email": lambda text: (match[0] for match in _EMAIL.finditer(text)),
    "url": _urls,
    "phone": _phones,
    "iban": _ibans,
}
