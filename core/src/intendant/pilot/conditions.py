"""Conditions: CEL (https://cel.dev), evaluated on typed values, never by pasting text."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from unicodedata import is_normalized, normalize

from intendant.model.errors import ExpressionFailed
from intendant.model.workflow import Json
from intendant.pilot import cel_regex, sandbox
from intendant.pilot.condition_hints import meant, plainly

_PLACE = re.compile(r"<input>:\d+:(\d+): (.*)")
_STRINGS = r"""(?:[rR]?"(?:\\.|[^"\\])*"?|[rR]?'(?:\\.|[^'\\])*'?)"""
"""Strings, and one that is not closed to its end, so that nothing is looked through twice."""
_STEP_NAMES = re.compile(
    _STRINGS + r"""|(?<![\w.])steps\s*(?:\.\s*([A-Za-z_]\w*)(?!\w*\s*\()|\[\s*['"]([A-Za-z_]\w*)['"]\s*\])"""
)
_INPUT_NAMES = re.compile(
    _STRINGS + r"""|(?<![\w.])inputs\s*(?:\.\s*([A-Za-z_]\w*)(?!\w*\s*\()|\[\s*['"]([A-Za-z_]\w*)['"]\s*\])"""
)


_OPEN = re.compile(_STRINGS + r"""|(?<![\w.])(steps)\b(?!\s*(?:\.\s*[A-Za-z_]\w*(?!\w*\s*\()|\[\s*['"]))""")


INLINE = 20_000_000
"""Steps, as estimated by `_Cost`, up to which an expression is evaluated in this process: a part of a second."""
MAX_ITERATIONS = 10_000
"""Elements that one evaluation may go through; CEL's own limit."""
MAX_DEPTH = 1000
"""Levels of nesting of a value; CEL's conversion recurses in C."""
SHOWN = 200
"""Characters of an expression or message that an error shows."""


class Expression:
    """A CEL expression over named values.

    Strings have CEL's own functions and the usual extensions (`lowerAscii`, `split`, `trim`, `replace` …), and
    those of `cel_regex`. Whole numbers and decimals compare freely, but arithmetic between them needs `double(x)`.
    Canonically equal text is equal, whichever way it is composed (Unicode's NFC).

    What could take long is evaluated in a process of its own, within the settings `run.compute_seconds` and
    `run.compute_megabytes`.

    Args:
        source: The expression.
        variables: The names it may use.

    Raises:
        ExpressionFailed: It does not parse, uses another name, or its types cannot fit.

    Example:
        >>> Expression("item.total > 100 && item.open", ["item"]).test(item={"total": 120, "open": True})
        True
    """

    def __init__(self, source: str, variables: Sequence[str]) -> None:
        self.source = source
        self._names = tuple(variables)
        self._cost = _Cost(source)
        self._compiled = _compiled(source, self._names)

    @property
    def is_condition(self) -> bool:
        """False if the result certainly is not a boolean."""
        return str(self._compiled.return_type().name()) in ("BOOL", "DYN")

    def evaluate(self, **values: Json) -> Json:
        """The expression's value.

        Raises:
            ExpressionFailed: A key is missing, types do not fit, or it goes through too many elements.
            StepError: It takes too long or too much memory.
        """
        known, large = self._measured(values)
        if large:
            return self._read(sandbox.run(_APART, self.source, list(self._names), known))
        return self._read(_evaluated(self._compiled, known))

    async def evaluate_async(self, **values: Json) -> Json:
        """`evaluate` for code with an event loop, which goes on meanwhile."""
        known, large = self._measured(values)
        if large:
            return self._read(await sandbox.run_async(_APART, self.source, list(self._names), known))
        return self._read(_evaluated(self._compiled, known))

    def _measured(self, values: dict[str, Json]) -> tuple[dict[str, Json], bool]:
        """The values with their text composed, and whether to evaluate them could take long."""
        try:
            # The quickest way to look at all of it.
            text = json.dumps(values, ensure_ascii=False, default=dict)
            deep = text.count("[") + text.count("{") > MAX_DEPTH and _depth(values) > MAX_DEPTH
            known = values if deep or is_normalized("NFC", text) else canonical(values)
        except RecursionError:
            deep = True
        except (TypeError, ValueError) as error:
            raise ExpressionFailed(f"a value is not JSON: {_plain(str(error))}") from None
        if deep:
            raise ExpressionFailed("a value is nested too deep for a condition")
        return known, self._cost.of(len(text)) > INLINE

    def test(self, **values: Json) -> bool:
        """The expression's value, which must be true or false.

        Raises:
            ExpressionFailed: As for `evaluate`, or the value is not a boolean.
            StepError: As for `evaluate`.
        """
        return self._truth(self.evaluate(**values))

    async def test_async(self, **values: Json) -> bool:
        """`test` for code with an event loop, which goes on meanwhile."""
        return self._truth(await self.evaluate_async(**values))

    def _truth(self, value: Json) -> bool:
        if not isinstance(value, bool):
            raise ExpressionFailed(
                f"`{_short(self.source)}` is {_short(repr(value))}, neither true nor false",
                hint="compare it with something",
            )
        return value

    def _read(self, answer: Any) -> Json:
        """The value of an evaluation, or what was wrong with it."""
        kind, value = answer
        if kind == "error":
            raise ExpressionFailed(f"`{_short(self.source)}` cannot be evaluated: {_plain(value)}")
        return _untagged(value) if kind == "tagged" else value

    def __repr__(self) -> str:
        return f"Expression({self.source!r})"


# --- evaluating ----------------------------------------------------------------------------------------------

_APART = "intendant.pilot.conditions:evaluated_apart"


@lru_cache(maxsize=64)
def _environment(variables: tuple[str, ...]) -> Any:
    from cel_expr_python import cel
    from cel_expr_python.ext import ext_math, ext_strings

    return cel.NewEnv(
        variables=dict.fromkeys(variables, cel.Type.DYN),
        extensions=[ext_strings.ExtStrings(), ext_math.ExtMath()],
        functions=cel_regex.declared(),
    )


@lru_cache(maxsize=256)
def _compiled(source: str, variables: tuple[str, ...]) -> Any:
    try:
        return _environment(variables).compile(normalize("NFC", source))
    except (TypeError, UnicodeError):  # lone surrogates
        raise ExpressionFailed("the condition is not valid Unicode text") from None
    except RuntimeError as error:
        raise _syntax_error(source, str(error), variables) from None


def _evaluated(compiled: Any, values: Mapping[str, Json]) -> tuple[str, Any]:
    """`value` and the value, or `error` and a message."""
    from cel_expr_python import cel

    try:
        result = compiled.eval(data=values)
    except (RuntimeError, TypeError, ValueError, OverflowError, UnicodeError) as error:
        return "error", str(error)
    if result.type() == cel.Type.ERROR:
        return "error", str(result.value())
    return "value", result.plain_value()


def evaluated_apart(source: str, variables: list[str], values: dict[str, Json]) -> list[Json]:
    """What `_evaluated` gives, in JSON: what that has no form for is written as a map of one key."""
    kind, value = _evaluated(_compiled(source, tuple(variables)), values)
    return ["tagged" if kind == "value" else kind, _tagged(value)]


def _tagged(value: Any) -> Json:
    match value:
        case datetime():
            return {"time": value.isoformat()}
        case timedelta():
            return {"seconds": value.total_seconds()}
        case bytes() | bytearray():
            return {"bytes": value.hex()}
        case dict():
            return {"map": {str(key): _tagged(item) for key, item in value.items()}}
        case list():
            return [_tagged(item) for item in value]
    return value


def _untagged(value: Any) -> Any:
    if isinstance(value, list):
        return [_untagged(item) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, item),) = value.items()
    match kind:
        case "time":
            return datetime.fromisoformat(item)
        case "seconds":
            return timedelta(seconds=item)
        case "bytes":
            return bytes.fromhex(item)
    return {key: _untagged(part) for key, part in item.items()}


# --- what an evaluation may cost -----------------------------------------------------------------------------

_MACROS = re.compile(r"\b(?:all|exists|exists_one|existsOne|map|filter)\b")
_COPIES = re.compile(r"\b(?:map|filter)\b")
COPYING = 10
"""What these macros, which copy the list so far for each element, take more than others."""
_BUILDERS = re.compile(r"\b(?:replace|join|format|matches)\b")
_LITERAL = r"""(?:"([^"\\\n]*)"|'([^'\\\n]*)')"""
_HARMLESS = re.compile(
    rf"\s*\(\s*(?:{_LITERAL}(?!['\"])\s*,\s*{_LITERAL}(?!['\"])|{_LITERAL}(?!['\"]))?\s*(?:,\s*\d+\s*)?\)"
)
"""The arguments of a function, written out: what it makes of text is at most so many times as long."""


class _Cost:
    """How many steps an evaluation takes at most, estimated from the expression's text and the values' size.

    Comparisons and sums are linear in the values. Macros go through their elements, `MAX_ITERATIONS` in all.
    Functions that build text may make it as many times longer as their arguments are long, one after the other.
    Words in strings and names count too, which only errs on the safe side.
    """

    def __init__(self, source: str) -> None:
        self._length = len(source)
        self._unbounded = cel_regex.USED.search(source) is not None
        self._loops = _MACROS.search(source) is not None
        copies = COPYING if _COPIES.search(source) else 1
        self._by_values = 0
        """How often text may be multiplied by what the values hold."""
        self._factor = (1 + source.count("+")) * copies
        for match in _BUILDERS.finditer(source):
            arguments = _HARMLESS.match(source, match.end())
            if arguments is None:
                self._by_values += 1
            else:
                self._factor *= 1 + max(len(text or "") for text in arguments.groups())

    def of(self, size: int) -> int:
        """Steps at most for values of so many characters."""
        if self._unbounded:
            return INLINE + 1  # whatever the size
        if not self._loops and not self._by_values:
            return 0  # linear, whatever the size
        whole = self._length + size
        times: int = self._factor * (min(whole, MAX_ITERATIONS) if self._loops else 1)
        return times * int(whole ** (1 + self._by_values))


def _depth(value: Any) -> int:
    """How many lists and maps a value has within each other."""
    depth, level = 0, [value]
    while level:
        depth += 1
        items = [item.values() if isinstance(item, Mapping) else item for item in level]
        level = [part for item in items for part in item if isinstance(part, Mapping | list)]
    return depth


def canonical(value: Any) -> Any:
    """*value* with all of its text in Unicode's canonical composition (NFC), as the expression is."""
    if isinstance(value, str):
        return value if value.isascii() else normalize("NFC", value)
    if isinstance(value, Mapping):
        return {canonical(key): canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [canonical(item) for item in value]
    return value


# --- messages ------------------------------------------------------------------------------------------------


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} …"


def _syntax_error(source: str, text: str, names: Sequence[str]) -> ExpressionFailed:
    found = _PLACE.search(text)
    if found is None:
        return ExpressionFailed(f"`{_short(source)}` is not a condition: {_short(text.splitlines()[0])}")
    message = found[2].replace(" (in container '')", "")
    hint = meant(source, message, names)
    if not hint and "token recognition error" in message and not source.isascii():
        message, hint = "a name holds a letter that CEL does not know", "write such a name as item['Größe']"
    return ExpressionFailed(f"`{_short(source)}`: {_short(plainly(message))}", hint=hint, column=int(found[1]))


_KNOWN = (
    ("Iteration budget exceeded", f"it exceeds the iteration budget of {MAX_ITERATIONS} elements: filter before"),
    ("out of range for", "a whole number has more than 64 bits"),
    ("int_max_str_digits", "a whole number has more than 64 bits"),
)


def _plain(text: str) -> str:
    message = re.sub(r"^[A-Z_]+: ", "", text)
    for part, said in _KNOWN:
        if part in message:
            return said
    overload = re.search(r"No matching overloads found : (\S+?)\((.*)\)", message)
    if overload is None:
        return _short(message)
    operator = overload[1].strip("_").replace("_", " ")
    kinds = overload[2].replace("int64", "a whole number").replace("double", "a decimal").replace(", ", " and ")
    return f"`{operator}` does not apply to {kinds}"


def condition_faults(source: Json, variables: Sequence[str], place: str) -> list[str]:
    """What is wrong with a condition that stands in a step's parameters, seen before the run.

    Args:
        source: What was written; anything but text is another check's business.
        variables: The names it may use.
        place: Where it stands, such as `where`.
    """
    if not isinstance(source, str):
        return []
    if "{{" in source:
        text = source.strip()
        if text.startswith("{{") and text.endswith("}}") and text.count("{{") == 1:
            return []  # the whole condition comes from elsewhere, and is checked when it is known
        hint = "give it under `values` (values: {least: '{{ … }}'}) and write values.least"
        return [f"`{place}` has a reference pasted into it, which could change its meaning; {hint}"]
    try:
        expression = Expression(source, variables)
    except ExpressionFailed as error:
        return [f"`{place}` is wrong: {error.message}" + (f"; {error.hint}" if error.hint else "")]
    return [] if expression.is_condition else [f"`{place}: {source}` is neither true nor false"]


def step_names(source: str) -> set[str]:
    """The steps a condition refers to."""
    return {match[1] or match[2] for match in _STEP_NAMES.finditer(source) if match[1] or match[2]}


def computes_names(source: str) -> bool:
    """True if a condition looks at `steps` as a whole, or by a key that is not written out."""
    return any(match[1] is not None for match in _OPEN.finditer(source))


def input_names(source: str) -> set[str]:
    """The inputs a condition refers to."""
    return {match[1] or match[2] for match in _INPUT_NAMES.finditer(source) if match[1] or match[2]}
