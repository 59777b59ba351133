"""Exact decimal arithmetic: 0.1 + 0.2 is 0.3, as written, however many are added."""

import re
from collections.abc import Iterable
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from math import isfinite

from intendant.plugin import Json, StepError

_PLAIN = re.compile(r"\s*[+-]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d{1,3})?\s*", re.ASCII)
EXACT = Context(prec=1400, Emin=-5000, Emax=5000, traps=[Inexact, InvalidOperation, Overflow])
"""Doubles reach from 1e-324 to 1.8e308; their sum and product with each other fit without rounding."""


def is_number(value: Json) -> bool:
    """True for numbers that are finite. A boolean is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def read_number(value: Json) -> Decimal | None:
    """The number that *value* is, or that it writes plainly (`-12.50`, `1e3`); None if it is neither.

    A number means what its shortest decimal form says: 0.1 is one tenth, not the double next to it. Thousands
    separators and units are not read, because `1,250` is ambiguous.
    """
    if isinstance(value, str):
        return Decimal(value.strip()) if _PLAIN.fullmatch(value) else None
    if not is_number(value):
        return None
    return Decimal(value) if isinstance(value, int) else Decimal(repr(value))


def total(numbers: Iterable[Decimal]) -> Decimal:
    """The exact sum.

    Raises:
        StepError: It has more than 1400 digits.
    """
    found = Decimal(0)
    try:
        for number in numbers:
            found = EXACT.add(found, number)
    except (Inexact, InvalidOperation, Overflow):
        raise StepError("the numbers are too large, or too far apart, to be added exactly") from None
    return found


def as_json(number: Decimal) -> int | float:
    """A whole number as an integer, any other as the double nearest to it.

    Raises:
        StepError: It is beyond what a double can hold.
    """
    if number == number.to_integral_value() and abs(number) < Decimal(10) ** 400:
        return int(number)
    nearest = float(number)
    if not isfinite(nearest):
        raise StepError("a result is too large to be written as a number")
    return nearest


def ratio(number: Decimal, count: int) -> int | float:
    """*number* divided by *count*, correctly rounded to a double."""
    from fractions import Fraction

    exact = Fraction(number) / count
    if exact.denominator == 1:
        return exact.numerator
    try:
        return exact.numerator / exact.denominator
    except OverflowError:
        raise StepError("a mean is too large to be written as a number") from None
