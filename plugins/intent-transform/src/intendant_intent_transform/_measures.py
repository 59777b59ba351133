"""Units of measure: figures converted exactly, as the units are defined."""

import re
from decimal import Decimal, InvalidOperation
from math import isfinite
from typing import Literal
from unicodedata import normalize

from intendant.plugin import Json, StepError
from intendant.records import describe_value
from intendant_intent_transform._records import Op, Record, each_record, get, require_somewhere

_TABLE = """
length: m 1, km 1000, cm 0.01, mm 0.001, um 0.000001, in 0.0254, ft 0.3048, yd 0.9144, mi 1609.344, nmi 1852
mass: kg 1, g 0.001, mg 0.000001, t 1000, lb 0.45359237, oz 0.028349523125, st 6.35029318
volume: l 1, ml 0.001, cl 0.01, dl 0.1, hl 100, m3 1000, gal 3.785411784, qt 0.946352946, pt 0.473176473,\
 floz 0.0295735295625, gal_uk 4.54609, pt_uk 0.56826125
area: m2 1, km2 1000000, ha 10000, a 100, cm2 0.0001, ft2 0.09290304, acre 4046.8564224, mi2 2589988.110336
speed: m/s 1, km/h 1000/3600, mph 0.44704, kn 1852/3600, ft/s 0.3048
time: s 1, ms 0.001, min 60, h 3600, d 86400, week 604800
energy: J 1, kJ 1000, MJ 1000000, Wh 3600, kWh 3600000, MWh 3600000000, cal 4.184, kcal 4184
power: W 1, kW 1000, MW 1000000, hp 745.69987158227022
pressure: Pa 1, hPa 100, kPa 1000, bar 100000, mbar 100, atm 101325, psi 6894.757293168361
data: B 1, kB 1000, MB 1000000, GB 1000000000, TB 1000000000000, KiB 1024, MiB 1048576, GiB 1073741824,\
 TiB 1099511627776, bit 0.125
"""
"""Each unit in the first one of its line, by definition."""
_TEMPERATURES = {"C": (Decimal(1), Decimal("273.15")), "K": (Decimal(1), Decimal(0)), "F": (Decimal(5) / 9, None)}
_KELVIN_OF_0F = Decimal("459.67") * 5 / 9
_FIGURE = re.compile(r"\s*([+-]?\d{1,30}(?:\.\d{1,30})?)\s*(\S*)\s*", re.ASCII)
DIGITS = 12
"""Significant digits of a result, beyond which it would only show how factors are rounded."""


def _units() -> dict[str, tuple[str, Decimal]]:
    found: dict[str, tuple[str, Decimal]] = {}
    for line in _TABLE.strip().splitlines():
        kind, _, units = line.partition(": ")
        for unit in units.split(","):
            name, factor = unit.split()
            above, _, below = factor.partition("/")
            found[name] = (kind, Decimal(above) / Decimal(below or 1))
    return found


UNITS = _units()
LITRES = {"L": "l", "mL": "ml", "cL": "cl", "dL": "dl", "hL": "hl"}
"""Other ways of writing units, which are as common."""


class ConvertUnit(Op):
    """Converts figures from one unit to another: lengths, masses, volumes, areas, speeds, times, energies, powers,
    pressures, amounts of data, temperatures.
    """

    op: Literal["convert_unit"]
    field: str
    from_unit: str | None = None
    """Of figures without one; a text such as `12.5 km` says it itself."""
    to: str
    into: str | None = None
    """The field for the result; by default the same."""
    decimals: int | None = None
    """Decimals that are kept; by default twelve digits in all."""

    async def apply(self, value: Json, notes: list[str]) -> Json:
        """The records with the figures; what is none, or of another kind of unit, becomes null and is counted."""
        odd: list[str] = []
        known(self.to)
        if self.from_unit is not None:
            converted(Decimal(1), self.from_unit, self.to)

        def work(record: Record) -> Json:
            found = get(record, self.field)
            made = self._made(found)
            if made is None and found not in (None, ""):
                odd.append(describe_value(found))
            return made

        def changed(records: list[Record]) -> list[Record]:
            require_somewhere(records, [self.field])
            return [{**record, self.into or self.field: work(record)} for record in records]

        result = each_record(value, changed)
        if odd:
            notes.append(f"{len(odd)} values of {self.field} became null: no such figure; the first: {odd[0]}")
        return result

    def _made(self, value: Json) -> Json:
        unit = self.from_unit
        if isinstance(value, str):
            found = _FIGURE.fullmatch(value.replace("\u2212", "-"))
            if found is None:
                return None
            number, unit = Decimal(found[1]), found[2] or unit
        elif isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value):
            number = Decimal(repr(value))
        else:
            return None
        try:
            made = None if unit is None else converted(number, unit, self.to)
        except StepError:
            return None
        return None if made is None else plain(made, self.decimals)


def plain_unit(unit: str) -> str:
    """A unit as the table has it: people write m², µm, °C and 5 L."""
    found = normalize("NFKC", unit).strip().removeprefix("\u00b0").replace("\u03bc", "u")
    return found if found in UNITS else LITRES.get(found, found)


def known(unit: str) -> tuple[str, Decimal]:
    """Kind and factor of a unit.

    Raises:
        StepError: There is none of that name.
    """
    unit = plain_unit(unit)
    if unit in _TEMPERATURES:
        return "temperature", Decimal(1)
    if unit not in UNITS:
        close = [name for name in UNITS if name.lower() == unit.lower()]
        hint = f"did you mean '{close[0]}'?" if close else f"there are: {', '.join([*UNITS, *_TEMPERATURES])}"
        raise StepError(f"there is no unit '{unit[:40]}'", hint=hint)
    return UNITS[unit]


def converted(number: Decimal, unit: str, to: str) -> Decimal:
    """A figure in another unit.

    Raises:
        StepError: A unit is not known, or they measure different things.
    """
    unit, to = plain_unit(unit), plain_unit(to)
    (kind, factor), (other, divisor) = known(unit), known(to)
    if kind != other:
        raise StepError(f"'{unit}' is a unit of {kind}, and '{to}' one of {other}")
    return _from_kelvin(_kelvin(number, unit), to) if kind == "temperature" else number * factor / divisor


def _kelvin(number: Decimal, unit: str) -> Decimal:
    factor, offset = _TEMPERATURES[unit]
    return number * factor + (_KELVIN_OF_0F if offset is None else offset)


def _from_kelvin(number: Decimal, unit: str) -> Decimal:
    factor, offset = _TEMPERATURES[unit]
    return (number - (_KELVIN_OF_0F if offset is None else offset)) / factor


def plain(number: Decimal, decimals: int | None) -> Json:
    """A figure as JSON, rounded."""
    try:
        shown = Decimal(f"{number:.{DIGITS}g}") if decimals is None else round(number, decimals)
    except (InvalidOperation, OverflowError):
        return None
    return int(shown) if shown == shown.to_integral_value() else float(shown)
