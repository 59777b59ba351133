"""Numbers in texts, as people and programs write them. One that can be read in two ways is not guessed."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

Sign = Literal[".", ","]

_PIECE = re.compile(r"[0-9]+(?:[.,'’ʼ´\u00a0\u202f\u2007\u2009][0-9]+)*")  # noqa: RUF001
"""Digits with signs between them that group or separate decimals; a plain blank may be one, but may be none."""
_HARD = "'’ʼ´\u00a0\u202f\u2007\u2009"  # noqa: RUF001
"""Signs that stand between groups of digits and nowhere else."""
_BLANKS = " \u00a0\u202f\u2009\t"
_MINUS = "-\u2212\ufe63\uff0d"
_DASH = "\u2013"
_CODES = (
    "USD|EUR|GBP|JPY|CNY|CHF|SEK|NOK|DKK|ISK|PLN|CZK|HUF|RON|BGN|TRY|RUB|UAH|INR|PKR|IDR|KRW|TWD|BRL|MXN|ARS|CLP"
    "|COP|PEN|ZAR|AUD|NZD|CAD|HKD|SGD|THB|MYR|PHP|VND|ILS|AED|SAR|QAR|KWD|EGP|MAD|NGN|KES|GHS|RSD|GEL|KZT"
)
_CURRENCY = (
    rf"(?:US|CA|AU|NZ|HK|MX|[ACRS])?\$|[€£¥₹₽₩₺₴₪฿₫₦₱₲₵₸¢]|{_CODES}|SFr\.?|Fr\.|Rs\.?|kr\.?|zł|Kč|Ft|Euro|euro"
)
_BEFORE = re.compile(rf"(?<![^\W\d_])(?:{_CURRENCY})[{_BLANKS}]?\Z")
_AFTER = re.compile(rf"[{_BLANKS}]?(?:{_CURRENCY})(?![^\W\d_])")
_PER_CENT = re.compile(rf"[{_BLANKS}]?[%‰]")
_NO_CENTS = re.compile(r"[.,](?:--?|[\u2013\u2014])(?!\w)")
_TRAILING = re.compile(rf"[{_MINUS}](?!\w|\s*[0-9(])")
_LATER_MINUS = re.compile(rf"[{_BLANKS}][{_MINUS}]\s*(?:\n|\Z)")
_BOOKED = re.compile(rf"[{_BLANKS}]?(?:CR|DR|Cr|Dr)\b\.?")
_MAGNITUDE = re.compile(
    rf"[{_BLANKS}](?:thousand|million|billion|trillion|lakh|crore|mio|mrd|tsd|bn|mn|mln|mld|tausend|millionen"
    r"|milliarden?|mille|millones|mil|miles|milhões|miliard\w*|милли\w+|тыс)s?\b",
    re.IGNORECASE,
)
_COMMA_EVIDENCE = re.compile(rf"[0-9],[0-9]{{1,2}}(?![0-9,])(?:[{_BLANKS}]?(?:{_CURRENCY}|%))|\.[0-9]{{3}},[0-9]")
_INDIAN = re.compile(r"[0-9]{1,2}(?:,[0-9]{2})+,[0-9]{3}")
_GROUP = re.compile("[0-9]{3}(?:[.,][0-9]+)?")
GROUP = 3
"""Digits of a group."""
BLANK = "a blank may separate groups or numbers: say `thousands: ' '`"
GROUPED = "a point may stand before decimals or between groups: say `decimal`"
DECIMAL = "a comma may stand before decimals or between numbers: say `decimal`"
MOST_DIGITS = 30
REACH = 16
"""Characters before a number in which its sign and currency are looked for."""


@dataclass(frozen=True, slots=True)
class FoundNumber:
    """A number in a text."""

    value: int | float | None
    """None if it can be read in two ways."""
    text: str
    """As it is written."""
    why: str = ""
    """What is not clear."""


@dataclass(frozen=True, slots=True)
class _Run:
    """Digits that belong together, and where they stand."""

    start: int
    end: int
    text: str
    blank: bool = False
    """True if plain blanks separate its groups."""


def numbers_in(text: str, *, decimal: Sign | None = None, thousands: str | None = None) -> Iterator[FoundNumber]:
    """The numbers in *text*, in their order; parts of dates, times, versions and names are none.

    Groups of three digits may be separated by points, commas, apostrophes and no-break blanks, those of Indian
    numbers also by twos. A minus may be any of Unicode's, may follow the number, and may stand before or behind a
    currency; brackets mean below zero, as in accounts. `12.5 %` is 12.5.

    Args:
        text: Where to look.
        decimal: What stands before decimals; None if that is not known: then a point, unless what is written is no
            number so.
        thousands: What separates groups, if that is known. A blank has to be: `1 250` may be two numbers.
    """
    reader = _Reader(_plain_digits(text), decimal, thousands)
    for run in _runs(reader.text):
        found = reader.read(run)
        if found is not None:
            yield found


def _runs(text: str) -> Iterator[_Run]:
    """The pieces of digits, those put together that plain blanks may group."""
    run: list[_Run] = []
    for match in _PIECE.finditer(text):
        piece = _Run(match.start(), match.end(), match[0])
        if run and not _continues(text, run, piece):
            yield _together(text, run)
            run = []
        run.append(piece)
    if run:
        yield _together(text, run)


def _together(text: str, run: list[_Run]) -> _Run:
    start, end = run[0].start, run[-1].end
    return run[0] if len(run) == 1 else _Run(start, end, text[start:end], blank=True)


def _continues(text: str, run: list[_Run], piece: _Run) -> bool:
    """True if a piece may be the next group of the number that has begun."""
    if text[run[-1].end : piece.start] != " " or not _GROUP.fullmatch(piece.text):
        return False
    first, *others = run
    return (
        first.text.isdecimal()
        and len(first.text) <= GROUP
        and all(len(part.text) == GROUP for part in others[-1:])
    )


# --- one number ----------------------------------------------------------------------------------------------


class _Reader:
    """Reads the numbers of one text."""

    def __init__(self, text: str, decimal: Sign | None, thousands: str | None) -> None:
        self.text, self._decimal, self._thousands = text, decimal, thousands

    @cached_property
    def _has_commas(self) -> bool:
        """True if some number of the text has a comma before its decimals."""
        return _COMMA_EVIDENCE.search(self.text) is not None

    def read(self, run: _Run) -> FoundNumber | None:
        """The number that a run of digits is with what stands around it; None if it is none."""
        before, after = _Before(self.text, run.start), _After(self.text, run.end)
        if before.attached or after.attached:
            return None
        value = self._value(run, whole=after.whole)
        if isinstance(value, str):
            money = before.currency or after.currency
            value = self._decided(run, value, money=money, share=after.share)
        if value is None:
            return None
        written = self.text[before.start : after.end]
        unclear = value if isinstance(value, str) else self._unclear(run, before, after)
        if unclear or isinstance(value, str):
            return FoundNumber(None, written, unclear)
        below = before.minus or after.minus or (before.bracket and after.bracket)
        return FoundNumber(-value if below else value, written)

    def _unclear(self, run: _Run, before: "_Before", after: "_After") -> str:
        money = before.currency or after.currency
        if before.bracket and after.bracket and not money and run.text.isdecimal():
            return "brackets may mean below zero"
        return before.unclear or after.unclear

    def _value(self, run: _Run, *, whole: bool) -> int | float | str | None:
        """What the digits alone say: a number, a doubt, or None if they are none.

        Args:
            run: The digits.
            whole: Whether a dash stands for the decimals, so that all signs between the digits group them.
        """
        if sum(map(str.isdecimal, run.text)) > MOST_DIGITS:
            return None
        plain = run.text.replace(" ", "\u00a0")
        if run.blank and self._thousands != " " and "\u00a00" not in plain:  # no number begins with a zero
            return BLANK
        hard = [sign for sign in plain if sign in _HARD]
        marks = [sign for sign in plain if sign in ".,"]
        if hard:
            return _grouped_hard(plain, hard)
        if whole and len(set(marks)) == 1:
            return _joined(re.split("[.,]", plain))
        if len(set(marks)) > 1:
            return _two_marks(plain, marks)
        return self._one_mark(plain, marks) if marks else int(plain)

    def _one_mark(self, plain: str, marks: list[str]) -> int | float | str | None:
        """Points or commas occur, not both."""
        mark, parts = marks[0], re.split("[.,]", plain)
        grouped = None if parts[0].startswith("0") else _joined(parts)
        if len(marks) > 1:
            return int("".join(parts)) if _INDIAN.fullmatch(plain) else grouped
        decimal = self._decimal
        if decimal is None and self._thousands in (".", ","):
            decimal = "," if self._thousands == "." else "."
        if decimal is not None:
            return _number(*parts) if mark == decimal else grouped
        if mark == ".":
            return _number(*parts) if grouped is None else GROUPED
        return DECIMAL if grouped is None else grouped

    def _decided(self, run: _Run, doubt: str, *, money: bool, share: bool) -> int | float | str:
        """What is around a number may say what its only sign means; else the doubt."""
        if doubt == GROUPED and not money and not self._has_commas:  # amounts of money have two decimals, or none
            return float(run.text)
        if doubt == DECIMAL and (money or share):  # a list of two is neither
            return float(run.text.replace(",", "."))
        return doubt


def _joined(parts: list[str]) -> int | None:
    """The number of some groups of digits; None if they are no groups of three."""
    return int("".join(parts)) if _threes(parts) else None


def _grouped_hard(plain: str, hard: list[str]) -> int | float | None:
    if len({"'" if sign in "'’ʼ´" else " " for sign in hard}) > 1:  # noqa: RUF001
        return None
    whole, mark, decimals = _last_split(plain)
    parts = re.split(f"[{_HARD}]", whole)
    if any(sign in "., " for part in parts for sign in part) or not _threes(parts):
        return None
    if any(sign in _HARD for sign in decimals):
        return None
    return _number("".join(parts), decimals if mark else "")


def _last_split(plain: str) -> tuple[str, str, str]:
    """The text before and after the last point or comma, and that."""
    at = max(plain.rfind("."), plain.rfind(","))
    return (plain, "", "") if at < 0 else (plain[:at], plain[at], plain[at + 1 :])


def _threes(parts: list[str]) -> bool:
    return 1 <= len(parts[0]) <= GROUP and all(len(part) == GROUP for part in parts[1:])


def _two_marks(plain: str, marks: list[str]) -> int | float | None:
    """Both signs occur: the last one, which occurs once, stands before the decimals."""
    whole, mark, decimals = _last_split(plain)
    if marks.count(mark) > 1:
        return None
    parts = re.split("[.,]", whole)
    if not _threes(parts) and not _INDIAN.fullmatch(whole):
        return None
    return _number("".join(parts), decimals)


def _number(whole: str, decimals: str) -> int | float:
    return float(f"{whole}.{decimals}") if decimals else int(whole)


# --- what is around it ---------------------------------------------------------------------------------------


class _Before:
    """What stands before a number: a sign, a currency, a bracket."""

    def __init__(self, text: str, start: int) -> None:
        self.start = start
        self.minus = self.bracket = self.currency = False
        self.unclear = ""
        self._text = text
        self._signed = False
        for _ in range(2):  # on either side of a currency
            self._take_sign()
            self._take_bracket()
            self._take_currency()
        self._take_sign()
        self._take_bracket()
        self.attached = self._is_attached()
        if not self._signed and not self.attached:
            self._look_further()

    def _last(self) -> str:
        return self._text[self.start - 1 : self.start]

    def _take_sign(self) -> None:
        sign = self._last()
        if self._signed or not sign or sign not in f"+{_MINUS}{_DASH}":
            return
        if sign == _DASH and self._text[self.start - 2 : self.start - 1].isalnum():
            return  # between two figures, as in 10 to 20
        self._signed = True
        self.minus = sign != "+"
        self.start -= 1

    def _take_bracket(self) -> None:
        if not self.bracket and self._last() == "(":
            self.bracket = True
            self.start -= 1

    def _take_currency(self) -> None:
        low = max(0, self.start - REACH)
        found = None if self.currency else _BEFORE.search(self._text[low : self.start])
        if found is not None:
            self.currency = True
            self.start = low + found.start()

    def _is_attached(self) -> bool:
        """True if it is part of a date, a version, a name or the like."""
        sign = self._last()
        if sign == ":":  # of a time; a name may end so too
            return self._text[self.start - 2 : self.start - 1].isdecimal()
        return bool(sign) and (sign.isalnum() or sign in "_./,-")

    def _look_further(self) -> None:
        """A minus apart from its number is one, or the dash of a list or a title."""
        low = max(0, self.start - REACH)
        near = self._text[low : self.start]
        bare = near.rstrip(_BLANKS)
        if not bare or bare == near or bare[-1] not in f"{_MINUS}{_DASH}":
            return
        before = bare[:-1].rstrip(_BLANKS)
        if bare[-1] == "\u2212":
            self.minus = True
        elif before.endswith((":", "=")) or (not before and low == 0 and len(bare) > 1):
            self.unclear = "the dash before it may be a minus"


class _After:
    """What stands behind a number: a currency, a sign, a bracket, a word that multiplies it."""

    def __init__(self, text: str, end: int) -> None:
        self.end = end
        self.minus = self.bracket = self.currency = False
        self.unclear = ""
        self._text = text
        self.whole = self._take(_NO_CENTS)
        self.share = self._take(_PER_CENT)
        self.minus = self._take(_TRAILING)
        self.currency = self._take(_AFTER)
        self.minus = self.minus or self._take(_TRAILING)
        if text[self.end : self.end + 1] == ")":
            self.bracket = True
            self.end += 1
            self.currency = self.currency or self._take(_AFTER)
        if _LATER_MINUS.match(text, self.end):
            self.unclear = "the dash behind it may be a minus"
        elif _BOOKED.match(text, self.end):
            self.unclear = "it is marked as credit or debit"
        elif _MAGNITUDE.match(text, self.end):
            self.unclear = "the word behind it multiplies it"
        self.attached = self._is_attached()

    def _take(self, pattern: re.Pattern[str]) -> bool:
        found = pattern.match(self._text, self.end)
        if found is None:
            return False
        self.end = found.end()
        return True

    def _is_attached(self) -> bool:
        following = self._text[self.end : self.end + 2]
        if self.bracket or not following:
            return False
        return following[0].isalnum() or following[0] == "_" or bool(re.match(r"[-/:.,'][0-9]", following))


def _plain_digits(text: str) -> str:
    """The digits of all scripts as 0 to 9, with the points and commas that belong to them; as long as *text*."""
    if text.isascii():
        return text
    return re.sub(r"[^\x00-\x7f]", _plain_sign, text)


def _plain_sign(match: re.Match[str]) -> str:
    sign = match[0]
    if sign.isdecimal():
        return str(int(sign))
    return {"\u066b": ".", "\u066c": ",", "\uff0e": ".", "\uff0c": ","}.get(sign, sign)
