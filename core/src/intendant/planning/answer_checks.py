"""What can be told of an answer without knowing the right one: its form, and whether it is empty, broken off or
wrong in itself.

In which forms right answers of an intent come, and whether the form says enough to go by, is learned from outcomes
(see `policy_training`).
"""

import ast
import json
import re
from functools import lru_cache
from itertools import islice
from math import isclose

from intendant.planning.outcomes import unlisted

MOST_CODE = 20_000
"""Characters of code that are parsed, at most; longer code counts as right in itself."""
SHORT = 40
"""Characters of a short text, at most."""
FAULTY = frozenset({"empty", "cut", "broken code", "broken json", "wrong sums"})
"""Forms of answers that are no good, whatever was asked."""
_FENCE = re.compile(r"```[ \t]*(\w*)[^\n]*\n(.*?)(?:```|\Z)", re.DOTALL)
_PYTHON = frozenset({"", "py", "python", "python3"})
_DEFINES = re.compile(r"^[ \t]*(?:async[ \t]+def|def|class)[ \t]+\w+[^\n]*:[ \t]*(?:#[^\n]*)?$", re.MULTILINE)
_OTHER = re.compile(r"^[ \t]*(?:#include|function\b|const\b|let\b|var\b|public\b|package\b|fn\b)", re.MULTILINE)
_SUM = re.compile(
    r"(?<![\w.,/*+-])(\d[\d,]*(?:\.\d+)?)\s*([-+*/])\s*(\d[\d,]*(?:\.\d+)?)\s*=\s*\$?(-?\d[\d,]*(?:\.\d+)?)"
)
_MOST_SUMS = 40
_CHAIN = re.compile(r"[\d)%]\s{0,3}[-+*/]\s{0,3}\Z")
_CHAIN_LENGTH = 8
"""Characters before a sum by which it is told that it is the end of a longer one."""
_NUMBER = re.compile(r"[-+$]*\d[\d,]*(?:\.\d+)?%?\.?")


@lru_cache(100_000)
def form_of(answer: str) -> str:
    """The form of an answer, in words: `python`, `code`, `json`, `number`, `letter`, `short`, `long`, or one of
    `FAULTY`.

    Code is what stands between fences, or all of a text that defines a function; only Python is parsed. A fence
    that is not closed is an answer that broke off.
    """
    text = unlisted(answer).strip()
    if not text:
        return "empty"
    if text.count("```") % 2:
        return "cut"
    return _form_of_code(text) or _form_of_json(text) or _form_of_words(text)


def _form_of_words(text: str) -> str:
    bare = text.strip("\"'`*()[]. \n")
    if _NUMBER.fullmatch(bare):
        return "number"
    if len(bare) == 1:
        return "letter"
    if not _sums_right(text):
        return "wrong sums"
    return "short" if len(text) <= SHORT else "long"


def _form_of_code(text: str) -> str:
    blocks = _FENCE.findall(text)
    python = "\n".join(code for language, code in blocks if language.lower() in _PYTHON)
    if blocks and not python:
        return "code"
    code = python if blocks else text
    if _DEFINES.search(code):
        return "python" if _parses(code) else "broken code" if blocks else "code"
    return "code" if blocks or _OTHER.search(code) else ""


def _parses(code: str) -> bool:
    if len(code) > MOST_CODE:
        return True
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for node in tree.body)


def _form_of_json(text: str) -> str:
    if text[0] not in "{[" or text[-1] not in "}]":
        return ""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return "json" if _is_literal(text) else "broken json"
    return "json"


def _is_literal(text: str) -> bool:
    """True for a Python literal, as some models write lists."""
    try:
        ast.literal_eval(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError, TypeError):
        return False
    return True


def _sums_right(text: str) -> bool:
    """True if the sums that a text writes out are right, as far as they are plain."""
    found = (
        each
        for each in _SUM.finditer(text)
        if not _CHAIN.search(text, max(0, each.start() - _CHAIN_LENGTH), each.start())
    )
    return all(_is_right(*each.groups()) for each in islice(found, _MOST_SUMS))


def _is_right(left: str, sign: str, right: str, said: str) -> bool:
    one, two, result = (float(part.replace(",", "")) for part in (left, right, said))
    if sign == "/":
        return two != 0 and isclose(one / two, result, rel_tol=0.01, abs_tol=0.01)
    found = one + two if sign == "+" else one - two if sign == "-" else one * two
    return isclose(found, result, rel_tol=0.005, abs_tol=0.01)
