"""Times in expressions (`$now`, `DateTime`, `new Date()`) as CEL timestamps; UTC unless a zone is named."""

import json
import re
from typing import TYPE_CHECKING, NamedTuple

from intendant_n8n._javascript import Call, Literal, Member, Name, Node, NotUnderstood, Object

if TYPE_CHECKING:
    from intendant_n8n._expressions import Scope

BEGAN = "run.started"
"""The time of a run is that of its beginning, however often it is resumed."""
TIMES = ("$now", "$today")
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}
_SAME = ("toUTC", "toLocal", "toJSDate", "toDateTime")
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]
_TOKEN = re.compile(r"'(?P<quoted>[^']*)'|(?P<token>y+|M+|L+|d+|H+|h+|m+|s+|S+|a|E+|c+)|(?P<other>[^A-Za-z']+)")
_ISO = "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'"


class Moment(NamedTuple):
    """A point in time."""

    cel: str
    """A CEL timestamp."""
    zone: str = ""
    """Where its parts are told; empty for UTC."""

    def part(self, getter: str) -> str:
        """A part of it, as a number."""
        return f"{self.cel}.{getter}({json.dumps(self.zone) if self.zone else ''})"


def moment_of(scope: "Scope", node: Node) -> Moment | None:
    """The point in time that an expression is; None for any other.

    Raises:
        NotUnderstood: It is one that cannot be translated.
    """
    match node:
        case (
            Name("$now") | Call(Member(Name("DateTime"), "now" | "local" | "utc"), ()) | Call(Name("new Date"), ())
        ):
            return Moment(f"timestamp({scope.given(BEGAN)})")
        case Name("$today"):
            return Moment(f'timestamp({scope.given(BEGAN)}.substring(0, 10) + "T00:00:00Z")')
        case Call(Name("new Date"), (given,)) | Call(Member(Name("DateTime"), "fromISO"), (given,)):
            return moment_of(scope, given) or Moment(read(scope.cel(given)))
        case Call(Member(of, "toDateTime"), ()):
            return moment_of(scope, of) or Moment(read(scope.cel(of)))
        case Call(Member(of, str() as key), arguments):
            known = moment_of(scope, of)
            return None if known is None else _changed(scope, known, key, arguments)
    return None


def read(text: str) -> str:
    """A text of ISO 8601, or milliseconds since 1970, as a CEL timestamp."""
    day = f'size({text}) == 10 ? {text} + "T00:00:00Z"'
    zoned = f'{text}.matches("(Z|[+-][0-9]{{2}}:?[0-9]{{2}})$") ? {text} : {text} + "Z"'
    return f"timestamp(type({text}) == string ? ({day} : ({zoned})) : string(timestamp(int({text}) / 1000)))"


def _changed(scope: "Scope", known: Moment, key: str, arguments: tuple[Node, ...]) -> Moment | None:
    match key, arguments:
        case _, () if key in _SAME:
            return known
        case "setZone", (Literal(str() as zone),):
            return Moment(known.cel, "" if zone.upper() in ("UTC", "LOCAL") else zone)
        case "plus" | "minus", (Object(fields),):
            sign, found = "+" if key == "plus" else "-", known.cel
            for unit, amount in fields:
                found += f" {sign} {_duration(scope, str(unit), amount)}"
            return Moment(f"({found})", known.zone)
        case "plus" | "minus", (amount, Literal(str() as unit)):
            sign = "+" if key == "plus" else "-"
            return Moment(f"({known.cel} {sign} {_duration(scope, unit, amount)})", known.zone)
        case "startOf", (Literal("day"),) if not known.zone:
            return Moment(f'timestamp(string({known.cel}).substring(0, 10) + "T00:00:00Z")')
        case "startOf" | "endOf" | "diff" | "set", _:
            raise NotUnderstood(f"`.{key}()`")
    return None


def _duration(scope: "Scope", unit: str, amount: Node) -> str:
    seconds = _SECONDS.get(unit.removesuffix("s"))
    if seconds is None:
        raise NotUnderstood(f"a time in {unit}")
    return f'duration(string(int({scope.number(amount)} * {seconds}.0)) + "s")'


def value_of_moment(scope: "Scope", node: Node) -> str | None:
    """What an expression says of a point in time, as CEL text or number; None for any other.

    Raises:
        NotUnderstood: It is one that cannot be translated.
    """
    match node:
        case Call(Member(Name("Date"), "now"), ()):
            return f"int(timestamp({scope.given(BEGAN)})) * 1000"
        case Call(Member(of, str() as key), arguments) if key in _SAID:
            known = moment_of(scope, of)
            return None if known is None else _said(known, key, arguments)
        case Member(of, str() as key) if key in _PARTS:
            known = moment_of(scope, of)
            return None if known is None else _PARTS[key].format(known.part(_GETTERS[key]))
    found = moment_of(scope, node)
    return None if found is None else formatted(found, _ISO)


_SAID = (
    *("toISO", "toISOString", "toString", "toJSON", "toISODate", "toFormat", "format"),
    *("toMillis", "getTime", "valueOf", "toSeconds", "toUnixInteger"),
)
_GETTERS = {
    "year": "getFullYear",
    "month": "getMonth",
    "day": "getDate",
    "hour": "getHours",
    "minute": "getMinutes",
    "second": "getSeconds",
    "weekday": "getDayOfWeek",
}
_PARTS = dict.fromkeys(_GETTERS, "{0}") | {"month": "({0} + 1)", "day": "{0}", "weekday": "(({0} + 6) % 7 + 1)"}


def _said(known: Moment, key: str, arguments: tuple[Node, ...]) -> str:
    match key, arguments:
        case "toISO" | "toISOString" | "toString" | "toJSON", _ if not known.zone:
            return formatted(known, _ISO)
        case "toISODate", ():
            return formatted(known, "yyyy-MM-dd")
        case "toFormat" | "format", (Literal(str() as pattern),):
            return formatted(known, pattern)
        case "toMillis" | "getTime" | "valueOf", ():
            return f"(int({known.cel}) * 1000 + {known.part('getMilliseconds')})"
        case "toSeconds" | "toUnixInteger", ():
            return f"int({known.cel})"
    raise NotUnderstood(f"`.{key}()`")


def formatted(moment: Moment, pattern: str) -> str:
    """A point in time as text, by a pattern of Luxon.

    Raises:
        NotUnderstood: The pattern has what is not known.
    """
    parts, at = [], 0
    while at < len(pattern):
        found = _TOKEN.match(pattern, at)
        if found is None:
            raise NotUnderstood(f"the time as '{pattern}'")
        at = found.end()
        token = found["token"]
        parts.append(
            json.dumps(found["quoted"] or found["other"] or "") if token is None else _token(moment, token)
        )
    return f"({' + '.join(parts)})" if parts else '""'


def _token(moment: Moment, sign: str) -> str:
    sign = sign.replace("L", "M")
    letter, wide = sign[0], len(sign)
    if letter == "y" and wide in (1, 2, 4):
        year = f"string({moment.part('getFullYear')})"
        return f"{year}.substring(2)" if wide == 2 else year  # noqa: PLR2004
    if letter in "Ec" and wide in (3, 4):
        names = [name if wide == 4 else name[:3] for name in _DAYS]  # noqa: PLR2004
        return f"{json.dumps(names)}[{moment.part('getDayOfWeek')}]"
    if letter == "M" and wide in (3, 4):
        names = [name if wide == 4 else name[:3] for name in _MONTHS]  # noqa: PLR2004
        return f"{json.dumps(names)}[{moment.part('getMonth')}]"
    hour = moment.part("getHours")
    numbers = {
        "M": f"({moment.part('getMonth')} + 1)",
        "d": moment.part("getDate"),
        "H": hour,
        "h": f"(({hour} + 11) % 12 + 1)",
        "m": moment.part("getMinutes"),
        "s": moment.part("getSeconds"),
    }
    if letter in numbers and wide in (1, 2):
        number = numbers[letter]
        return f"string({number})" if wide == 1 else f'(({number} < 10 ? "0" : "") + string({number}))'
    if sign == "SSS":
        thousandths = moment.part("getMilliseconds")
        return f"string(1000 + {thousandths}).substring(1)"
    if sign == "a":
        return f'({hour} < 12 ? "AM" : "PM")'
    raise NotUnderstood(f"the time as '{sign}'")
