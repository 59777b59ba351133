"""Dates in texts, as people and programs write them. Which of two figures is the day is said, never guessed."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from unicodedata import normalize

_NAMES = {
    1: "january jan januar janner janvier janv enero ene gennaio gen janeiro januari stycznia styczen leden",
    2: "february feb februar fevrier fevr febrero febbraio fevereiro fev februari lutego luty unor",
    3: "march mar marz maerz mrz mars marzo marco maart mrt marca marzec brezen",
    4: "april apr avril avr abril abr aprile kwietnia kwiecien duben",
    5: "may mai mayo maggio mag maio maj mei maja kveten",
    6: "june jun juni juin junio giugno giu junho czerwca czerwiec cerven",
    7: "july jul juli juillet juil julio luglio lug julho lipca lipiec cervenec",
    8: "august aug aout agosto ago agustus augustus augusti sierpnia sierpien srpen",
    9: "september sep sept septembre septiembre settembre set setembro wrzesnia wrzesien zari",
    10: "october oct oktober okt octobre octubre ottobre ott outubro out pazdziernika rijen",
    11: "november nov novembre noviembre novembro listopada listopad",
    12: "december dec dezember dez decembre diciembre dic dicembre dezembro grudnia grudzien prosinec",
}
_MORE_NAMES = {
    1: "tammikuuta tammikuu ocak oca января январь янв",
    2: "helmikuuta helmikuu şubat şub февраля февраль фев",
    3: "maaliskuuta maaliskuu marts mart марта март мар",
    4: "huhtikuuta huhtikuu nisan nis апреля апрель апр",
    5: "toukokuuta toukokuu mayıs mayis мая май",  # noqa: RUF001
    6: "kesäkuuta kesäkuu haziran haz июня июнь июн",
    7: "heinäkuuta heinäkuu temmuz tem июля июль июл",
    8: "elokuuta elokuu ağustos ağu августа август авг",
    9: "syyskuuta syyskuu eylül eyl сентября сентябрь сент сен",
    10: "lokakuuta lokakuu ekim eki октября октябрь окт",
    11: "marraskuuta marraskuu kasım kasim kas ноября ноябрь нояб ноя",  # noqa: RUF001
    12: "joulukuuta joulukuu desember aralık aralik ara декабря декабрь дек",  # noqa: RUF001
}
_WORD = r"[^\W\d_]{{3,12}}\.?"
_DATE = re.compile(
    r"(?<![\w/.-])(?:"
    r"(?P<y1>\d{4})(?P<s1>[-/.])(?P<m1>\d{1,2})(?P=s1)(?P<d1>\d{1,2})"
    r"|(?P<p2>\d{1,2})(?P<s2>[./-])(?P<b2> ?)(?P<q2>\d{1,2})(?P=s2)(?P=b2)(?P<y2>\d{4}|\d{2})"
    rf"|(?P<d3>\d{{1,2}})(?:st|nd|rd|th|er|º|ª|\.)?[ /-]?(?:of |de |di )?(?P<m3>{_WORD.format()}),?"
    r"[ /-](?:de |del |of )?(?P<y3>\d{4}|'?\d{2})"
    rf"|(?P<m4>{_WORD.format()}) (?P<d4>\d{{1,2}})(?:st|nd|rd|th)?,? (?P<y4>\d{{4}})"
    r"|(?P<y5>\d{4}) ?[年년] ?(?P<m5>\d{1,2}) ?[月월] ?(?P<d5>\d{1,2}) ?[日일]"
    r")(?![\d/-])",
    re.IGNORECASE,
)
_ZONE_NAME = r"[A-Z]{1,5}|\([^()]{2,60}\)|\[[\w/+-]{2,40}\]"
TIME = re.compile(
    r"[T,: ]* ?(?:(?:at|um|à|às|as|a las|las|alle|alla|ore|om|kl\.?|klo|o|г\.?,?|года|в) ){0,3}"  # noqa: RUF001
    r"(?P<hour>\d{1,2})"
    r"(?:(?:[:.]|h ?)(?P<minute>\d{2})(?:[:.](?P<second>\d{2})(?:[.,](?P<part>\d+))?)?|(?= ?(?:[AP]\.?M|h|Uhr)\b))"
    r"(?: ?(?P<half>[AP])\.?M\.?)?(?: ?(?:Uhr|h))?"
    rf"(?P<zone>(?: ?(?:[+-]\d{{2}}:?\d{{2}}|{_ZONE_NAME})){{0,3}})",
    re.IGNORECASE,
)
"""What may follow a date: a time of day, and its time zone."""
_YEAR_LAST = re.compile(
    r"(?P<month>[^\W\d_]{3,12}) {1,2}(?P<day>\d{1,2}) (?P<time>\d\d:\d\d:\d\d)"
    r"(?P<zone> [A-Z]{2,5}| [+-]\d{4})? (?P<year>\d{4})"
)
"""As `date` and `ctime` write it: `Tue Mar  3 10:00:00 UTC 2026`."""
_DAYS = """
monday tuesday wednesday thursday friday saturday sunday mon tue tues wed thu thur thurs fri sat sun
montag dienstag mittwoch donnerstag freitag samstag sonnabend sonntag mo di mi do fr sa so
lundi mardi mercredi jeudi vendredi samedi dimanche lun mar mer jeu ven sam dim
lunes martes miercoles jueves viernes sabado domingo mie jue vie sab dom
lunedi martedi mercoledi giovedi venerdi gio maandag dinsdag woensdag donderdag vrijdag zaterdag zondag
segunda terca quarta quinta sexta segunda-feira terca-feira quarta-feira quinta-feira sexta-feira
"""
_WEEKDAYS = frozenset(_DAYS.split())
_ARTICLES = frozenset(("den", "le", "el", "il", "am", "vom", "the", "on"))
_YEAR_WORD = re.compile(r" ?(?:г\.?|года|año|aasta)\Z")  # noqa: RUF001
"""What some languages write behind a year."""
_WEEKDAY = re.compile(r"([^\W\d_][\w-]{1,14})\.?,? ")
PIVOT = 69
"""Years of two digits from here on are of the last century, as POSIX has it."""
MOST = 100
"""Characters of a text that is one date."""


@dataclass(frozen=True, slots=True)
class FoundDate:
    """A date in a text."""

    value: date | None
    """None if it can be read in two ways, such as `4/5/2026`."""
    text: str
    """As it is written."""


def dates_in(text: str, *, day_first: bool | None = None) -> Iterator[FoundDate]:
    """The dates in *text*, in their order; what no calendar has is none.

    Args:
        text: Where to look.
        day_first: Whether `4/5/2026` is the 4th of May; None if that is not known. A figure above 12 decides by
            itself, and so do full stops: `4.5.2026` is the 4th of May unless this says otherwise.
    """
    for match in _DATE.finditer(_plain_digits(text)):
        try:
            found = _date(match, day_first)
        except ValueError:
            continue
        if found is not None:
            yield FoundDate(found if isinstance(found, date) else None, match[0])


def day_of(text: str, *, day_first: bool | None = None) -> FoundDate | None:
    """The date that *text* is, with or without a weekday and a time; None if it is none.

    Args:
        text: The date, in ISO 8601 or as `dates_in` knows them.
        day_first: As for `dates_in`.
    """
    plain = text.strip()
    if len(plain) > MOST:
        return None
    try:
        return FoundDate(datetime.fromisoformat(plain).date(), plain)
    except (ValueError, OverflowError):
        pass  # not of the form that programs write
    found = date_and_time(plain, day_first)
    return None if found is None else found[0]


def date_and_time(text: str, day_first: bool | None) -> tuple[FoundDate, re.Match[str] | None] | None:
    """The date that *text* is, and the match of `TIME` if a time follows; None if it is something else."""
    start = 0
    for words in (_WEEKDAYS, _ARTICLES):
        before = _WEEKDAY.match(text, start)
        start = before.end() if before and _bare(before[1]) in words else start
    # As it is first: `Mar` is a month too, and not only a Tuesday.
    return _whole(text, day_first) or (_whole(text[start:], day_first) if start else None)


def _whole(text: str, day_first: bool | None) -> tuple[FoundDate, re.Match[str] | None] | None:
    """The date that *text* begins with, if nothing but a time follows it."""
    text = _YEAR_LAST.sub(r"\g<month> \g<day>, \g<year> \g<time>\g<zone>", _plain_digits(text), count=1)
    found = next(dates_in(text, day_first=day_first), None)
    if found is None or not text.startswith(found.text):
        return None
    rest = _YEAR_WORD.sub("", text[len(found.text) :])
    time = TIME.fullmatch(rest)
    return (found, time) if time or not rest else None


def _date(match: re.Match[str], day_first: bool | None) -> date | str | None:
    """The date of a match, its text if that can be read in two ways, None if a word in it is no month.

    Raises:
        ValueError: The calendar has no such date.
    """
    part = match.groupdict()
    for kind in ("1", "5"):
        if part[f"y{kind}"]:
            return date(*(int(part[f"{name}{kind}"]) for name in "ymd"))
    if part["p2"]:
        return _figures(match, day_first)
    kind = "3" if part["m3"] else "4"
    month = _MONTHS.get(_bare(part[f"m{kind}"]))
    return None if month is None else date(_year(part[f"y{kind}"]), month, int(part[f"d{kind}"]))


def _figures(match: re.Match[str], day_first: bool | None) -> date | str:
    first, second, year = int(match["p2"]), int(match["q2"]), _year(match["y2"])
    if day_first is None and match["s2"] == ".":
        day_first = True
    if second > 12 or first > 12 or first == second:  # noqa: PLR2004  # a year has twelve months
        day_first = second <= 12  # noqa: PLR2004
    if day_first is None:
        return match[0]
    day, month = (first, second) if day_first else (second, first)
    return date(year, month, day)


def _year(digits: str) -> int:
    year = int(digits.lstrip("'"))
    if len(digits.lstrip("'")) > 2:  # noqa: PLR2004
        return year
    return year + (1900 if year >= PIVOT else 2000)


def _bare(name: str) -> str:
    """A name in small letters without accents."""
    decomposed = normalize("NFD", name.casefold().rstrip("."))
    return "".join(letter for letter in decomposed if letter.isalpha() or letter == "-")


_MONTHS = {
    _bare(name): number
    for all_ in (_NAMES, _MORE_NAMES)
    for number, names in all_.items()
    for name in names.split()
}
"""Names and short forms in some languages, without accents."""


def _plain_digits(text: str) -> str:
    """The digits of all scripts as 0 to 9; the text stays as long."""
    if text.isascii():
        return text
    return re.sub(r"[^\x00-\x7f]", lambda match: str(int(match[0])) if match[0].isdecimal() else match[0], text)
