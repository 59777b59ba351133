"""Whether a step may change something outside, whatever it is called."""

import re

from intendant_classify_local._commands import command_deeds
from intendant_classify_local._lexicon import found_in, lexicon
from intendant_classify_local._machinery import machinery
from intendant_classify_local._view import StepView

_CHANGING = frozenset(("write", "send", "delete", "create", "control", "load"))
_READING = frozenset(("read", "search", "extract", "validate", "filter", "aggregate", "summarize", "analyze"))
_DEEDS = frozenset(("respond", "writefile", "sink", "startstop", "runjob"))
_SQL_CHANGES = re.compile(
    r"\b(insert|update|delete|merge|create|drop|alter|truncate|call|upsert|copy|grant|exec|replace)\b",
    re.IGNORECASE,
)
_COMMANDS_READ = 2000
_SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))


def effect(view: StepView) -> str:
    """What the step may change, in words; empty if nothing speaks for it.

    Errs on the safe side: a POST that only asks counts, and so does an app that is used without saying what for.
    """
    if view.method and view.method not in _SAFE_METHODS:
        return f"it makes a {view.method} request"
    if view.sql and _SQL_CHANGES.search(view.sql):
        return "its SQL changes data"
    if view.code and {"send", "write", "publish"} & set(found_in(view.code, lexicon().code_cues)):
        return "its code writes or sends"
    if "publish" in command_deeds(view.code[:_COMMANDS_READ]):
        return "its commands publish or copy"
    return _by_name(view)


def _by_name(view: StepView) -> str:
    """What the names of operation, type and app say, in this order; the first that says something counts."""
    for name in filter(None, (view.action, view.kind, view.plugin)):
        machine = machinery(name)
        group = lexicon().groups.get(machine.verb, "")
        if group in _CHANGING or _DEEDS & set(machine.exact):
            return f"'{name}' may change something"
        if group in _READING:
            return ""
    if view.plugin and not view.action and not view.method and machinery(view.plugin).apps:
        return f"it uses '{view.plugin}' without saying what for"
    return ""
