"""Whether a step may change something outside, whatever it is called."""

import re

from intendant_classify_local._cues import CODE_CUES, found_in
from intendant_classify_local._machinery import machinery
from intendant_classify_local._view import StepView
from intendant_classify_local._words import groups

_CHANGING = frozenset(("write", "send", "delete", "create", "control", "load"))
_READING = frozenset(("read", "search", "extract", "validate", "filter", "aggregate", "summarize", "analyze"))
_SQL_CHANGES = re.compile(
    r"\b(insert|update|delete|merge|create|drop|alter|truncate|call|upsert|copy|grant|exec|replace)\b",
    re.IGNORECASE,
)
_SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))


def effect(view: StepView) -> str:
    """What the step may change, in words; empty if nothing speaks for it.

    Errs on the safe side: a POST that only asks counts, and so does an app that is used without saying what for.
    """
    if view.method and view.method not in _SAFE_METHODS:
        return f"it makes a {view.method} request"
    if view.sql and _SQL_CHANGES.search(view.sql):
        return "its SQL changes data"
    if view.code and {"send", "write", "publish"} & set(found_in(view.code, CODE_CUES)):
        return "its code writes or sends"
    for name in (view.action, view.kind, view.plugin):
        verb = machinery(name).verb if name else ""
        if verb and groups()[verb] in _CHANGING:
            return f"'{name}' may change something"
        if verb and groups()[verb] in _READING:
            return ""
    if {"respond", "writefile", "sink", "startstop", "runjob"} & set(machinery(view.kind).exact):
        return f"'{view.kind}' may change something"
    if view.plugin and not view.action and not view.method and machinery(view.plugin).apps:
        return f"it uses '{view.plugin}' without saying what for"
    return ""
