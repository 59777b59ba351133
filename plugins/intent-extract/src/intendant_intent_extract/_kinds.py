"""Finds e-mail addresses, links, numbers, dates, telephone numbers and IBANs.

Every expression here is linear in the length of the text: repetitions are bounded or cannot overlap.
"""

import re
from collections.abc import Callable, Iterator
from typing import Literal

from intendant.plugin import Json, dates_in, numbers_in

Sign = Literal[".", ","]
Kind = Literal["email", "url", "number", "date", "phone", "iban"]

_EMAIL = re.compile(
    r"(?<![\w.%+-])[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])"
)
_URL = re.compile(r"""https?://[^\s<>"'`{}|\\^]{1,2048}""", re.IGNORECASE)
_PHONE = re.compile(r"(?<![\w+./-])\+?\(?\d[\d ().\-/]{5,22}\d(?!\w)", re.ASCII)
_OPENING = {")": "(", "]": "["}
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b", re.ASCII)


def find(
    kind: Kind,
    text: str,
    *,
    decimal: Sign | None = None,
    thousands: str | None = None,
    day_first: bool | None = None,
    doubts: list[str] | None = None,
) -> Iterator[Json]:
    """What of *kind* is in *text*, in its order; numbers as numbers, dates as `2026-03-31`.

    Args:
        kind: What to find.
        text: Where.
        decimal: What stands before a number's decimals, if that is known; see `intendant.numbers_in`.
        thousands: What separates a number's groups, if that is known.
        day_first: How `12/5/2026` is read, if that is known; see `intendant.dates_in`.
        doubts: Gets what can be read in two ways, for each of which null is found.
    """
    told: list[str] = [] if doubts is None else doubts
    if kind == "number":
        for number in numbers_in(text, decimal=decimal, thousands=thousands):
            if number.value is None:
                told.append(f"'{number.text}' ({number.why})")
            yield number.value
    elif kind == "date":
        for found in dates_in(text, day_first=day_first):
            if found.value is None:
                told.append(f"'{found.text}' (day and month may be exchanged: say `day_first`)")
            yield None if found.value is None else found.value.isoformat()
    else:
        yield from _SIMPLE[kind](text)


def _urls(text: str) -> Iterator[str]:
    for match in _URL.finditer(text):
        url = match[0].rstrip(".,;:!?*_")
        while url.endswith((")", "]")) and url.count(url[-1]) > url.count(_OPENING[url[-1]]):
            url = url[:-1].rstrip(".,;:!?*_")
        yield url


def _phones(text: str) -> Iterator[str]:
    for match in _PHONE.finditer(text):
        digits = sum(character.isdigit() for character in match[0])
        if 7 <= digits <= 15 and next(dates_in(match[0]), None) is None:  # noqa: PLR2004  # E.164 allows 15
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
