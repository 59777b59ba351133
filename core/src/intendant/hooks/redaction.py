"""Takes keys out of text that is shown, stored or logged."""

import os
import re
from collections.abc import Iterable

LEAST_SECRET = 8
"""Characters from which a secret is taken out; a shorter one would take letters out of any text."""
_NAMES = re.compile(r"(?:^|_)(?:API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)(?:_|$)", re.IGNORECASE)
_FORMS = re.compile(r"\b(?:sk|pk|rk|gsk|xai|key)-[\w*-]{6,}|(?i:\bbearer\s+)[\w.~+/*-]{6,}=*")
_USER = re.compile(r"(?<=://)[^\s/@:]*:[^\s/@]+(?=@)")
_GONE = "…"
_hidden: set[str] = set()


def hide(value: str) -> None:
    """Take *value*, a secret that no variable of the environment holds, out of all texts of this process."""
    if len(value) >= LEAST_SECRET:
        _hidden.add(value)


def redacted(text: str, secrets: Iterable[str] = ()) -> str:
    """*text* without secrets: those of the environment's variables that are named like one, those given, what
    looks like a key or a bearer token, and the passwords of URLs.

    Args:
        text: What is about to be shown.
        secrets: Names of more variables that hold one.
    """
    names = {*secrets, *filter(_NAMES.search, os.environ)}
    values = {value for name in names if len(value := os.environ.get(name, "")) >= LEAST_SECRET} | _hidden
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, _GONE)
    return _USER.sub(_GONE, _FORMS.sub(_GONE, text))
