"""What a sentence names: files, addresses, databases; and when it is to be done."""

import re
from collections.abc import Callable
from typing import NamedTuple

from intendant_create._words import plain

DOCUMENTS = ("pdf", "xlsx", "xlsm", "xls", "docx")
FILES = (
    *("csv", "tsv", "json", "jsonl", "ndjson", "txt", "text", "md", "log", "html", "htm", "xml", "eml"),
    *("yaml", "yml", "parquet", "ics"),
    *DOCUMENTS,
)
_FILE = rf"(?:[\w~.*-]+/)*[\w*-][\w.*-]*\.(?:{'|'.join(FILES)})\b"
_THING = re.compile(
    r"(?P<db>\b(?:sqlite|postgresql|postgres|mysql|mariadb|mssql|oracle)(?:\+\w+)?://\S+?)(?=[\s,;!?)]|\.?$|\.\s)"
    r"|(?P<url>\bhttps?://[^\s,;!?)\"'»”]+)"
    r"|(?P<mail>\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b)"
    rf"|(?P<file>(?<![\w/.@-]){_FILE})"
    rf"|(?P<folder>(?:\b(?:folder|directory|ordner|verzeichnis|dossier|carpeta|cartella|pasta|map)\s+)(?!{_FILE})"
    r"(?P<name>[\w./-]*\w))",
    re.IGNORECASE,
)


class Thing(NamedTuple):
    """Something outside that a sentence names."""

    kind: str
    """`file`, `document`, `folder`, `url`, `mail` or `db`."""
    value: str


def mark(number: int) -> str:
    """What stands for a thing in a sentence while it is taken apart."""
    return f"\ue000{number}\ue001"


def things_of(sentence: str) -> tuple[str, list[Thing]]:
    """The sentence with marks in place of the things that it names, and these."""
    found: list[Thing] = []

    def put(match: re.Match[str]) -> str:
        kind = match.lastgroup or ""
        value, rest = match[0], ""
        if match["folder"] is not None:
            kind, value = "folder", match["name"]
        elif kind == "url":
            value = match[0].rstrip(".")
            rest = match[0][len(value) :]
        elif kind == "file" and value.rpartition(".")[2].lower() in DOCUMENTS:
            kind = "document"
        found.append(Thing(kind, value))
        return mark(len(found) - 1) + rest

    return _THING.sub(put, sentence), found


# --- when ---

_DAYS = (
    ("mon", "montag", "lundi", "lunes", "lunedi", "segunda", "maandag"),
    ("tue", "dienstag", "mardi", "martes", "martedi", "terca", "dinsdag"),
    ("wed", "mittwoch", "mercredi", "miercoles", "mercoledi", "quarta", "woensdag"),
    ("thu", "donnerstag", "jeudi", "jueves", "giovedi", "quinta", "donderdag"),
    ("fri", "freitag", "vendredi", "viernes", "venerdi", "sexta", "vrijdag"),
    ("sat", "samstag", "samedi", "sabado", "sabato", "zaterdag"),
    ("sun", "sonntag", "dimanche", "domingo", "domenica", "zondag"),
)
_EVERY = (
    r"(?:every|each|on|jeden?|jede|am|chaque|tous les|cada|todos los|ogni|tutti i|toda|todo|todos os|elke|iedere)"
)
_DAY = "|".join(name for names in _DAYS for name in names)
_AT = (
    r"(?:\s*(?:at|um|a las|a la|alle|a|as|om|vers)\s*(?P<hour>\d{1,2})(?:[:h.](?P<minute>\d{2}))?"
    r"\s*(?P<half>am|pm|uhr|h)?)?"
)
_WHEN = re.compile(
    rf"\b(?:{_EVERY}\s+(?P<day>(?:{_DAY})\w*)"
    rf"|(?P<morning>{_EVERY}\s+(?:morning|morgen|matin|manana|mattina|manha|ochtend)\w*|taglich|daily|once a day|"
    rf"quotidiennement|diariamente|dagelijks|{_EVERY}\s+(?:day|tag|jours?|dias?|giorn[oi]|dag)\b)"
    rf"|(?P<evening>{_EVERY}\s+(?:evening|night|abend|soir|noche|sera|noite|avond)\w*)"
    rf"|(?P<hourly>hourly|stundlich|{_EVERY}\s+(?:hour|stunde|heure|hora|ora|uur)\w*)"
    rf"|(?P<workdays>(?:on )?(?:weekdays|workdays|werktags)|{_EVERY}\s+(?:weekday|workday|werktag)\w*)"
    rf"|(?P<weekly>(?:once a week|wochentlich|{_EVERY}\s+(?:week|woche|semaine|semana|settimana)\w*))"
    rf"|(?P<monthly>(?:monthly|monatlich|{_EVERY}\s+(?:month|monat|mois|mes|mese|maand)\w*))"
    rf"){_AT}",
)


def schedule_of(sentence: str) -> tuple[str, str]:
    """The sentence without the words that say when, and when as five fields of cron; empty if it does not say."""
    text = plain(sentence)
    match = _WHEN.search(text) if len(text) == len(sentence) else None
    if match is None:
        return sentence, ""
    rest = f"{sentence[: match.start()]} {sentence[match.end() :]}".strip(" ,;")
    return rest, _cron(match)


def _cron(match: re.Match[str]) -> str:
    hour = int(match["hour"]) if match["hour"] else 18 if match["evening"] else 7
    hour = hour + 12 if match["half"] == "pm" and hour < 12 else hour  # noqa: PLR2004  # of a half day
    minute = int(match["minute"] or 0)
    at = f"{minute} {min(hour, 23)}"
    if match["day"]:
        number = next(n for n, names in enumerate(_DAYS, 1) if match["day"].startswith(names))
        return f"{at} * * {number % 7}"
    forms: dict[str, Callable[[], str]] = {
        "hourly": lambda: f"{minute} * * * *",
        "weekly": lambda: f"{at} * * 1",
        "monthly": lambda: f"{at} 1 * *",
        "workdays": lambda: f"{at} * * 1-5",
    }
    return next((form() for name, form in forms.items() if match[name]), f"{at} * * *")
