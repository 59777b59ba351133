"""Conditions: CEL (https://cel.dev), evaluated on typed values, never by pasting text."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from intendant.model.errors import ExpressionFailed
from intendant.model.workflow import Json

_PLACE = re.compile(r"<input>:\d+:(\d+): (.*)")
_STRINGS = r"""(?:[rR]?"(?:\\.|[^"\\])*"|[rR]?'(?:\\.|[^'\\])*')"""
_STEP_NAMES = re.compile(
    _STRINGS + r"""|(?<![\w.])steps\s*(?:\.\s*([A-Za-z_]\w*)(?!\w*\s*\()|\[\s*['"]([A-Za-z_]\w*)['"]\s*\])"""
)
_INPUT_NAMES = re.compile(
    _STRINGS + r"""|(?<![\w.])inputs\s*(?:\.\s*([A-Za-z_]\w*)(?!\w*\s*\()|\[\s*['"]([A-Za-z_]\w*)['"]\s*\])"""
)


_OPEN = re.compile(_STRINGS + r"""|(?<![\w.])(steps)\b(?!\s*(?:\.\s*[A-Za-z_]\w*(?!\w*\s*\()|\[\s*['"]))""")


class Expression:
    """A CEL expression over named values.

    Strings have CEL's own functions and the usual extensions (`lowerAscii`, `split`, `trim`, `replace` …). Whole
    numbers and decimals compare freely, but arithmetic between them needs `double(x)`.

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
        try:
            self._compiled = _environment(tuple(variables)).compile(source)
        except (TypeError, UnicodeError):  # lone surrogates
            raise ExpressionFailed("the condition is not valid Unicode text") from None
        except RuntimeError as error:
            raise _syntax_error(source, str(error)) from None

    @property
    def is_condition(self) -> bool:
        """False if the result certainly is not a boolean."""
        return str(self._compiled.return_type().name()) in ("BOOL", "DYN")

    def evaluate(self, **values: Json) -> Json:
        """The expression's value.

        Raises:
            ExpressionFailed: A key is missing, types do not fit, or it would take too long.
        """
        from cel_expr_python import cel

        try:
            result = self._compiled.eval(data=values)
        except (RuntimeError, TypeError, ValueError, OverflowError, UnicodeError) as error:
            raise ExpressionFailed(f"`{self.source}` cannot be evaluated: {_plain(str(error))}") from None
        if result.type() == cel.Type.ERROR:
            raise ExpressionFailed(f"`{self.source}` cannot be evaluated: {_plain(str(result.value()))}")
        return result.plain_value()

    def test(self, **values: Json) -> bool:
        """The expression's value, which must be true or false.

        Raises:
            ExpressionFailed: As for `evaluate`, or the value is not a boolean.
        """
        value = self.evaluate(**values)
        if not isinstance(value, bool):
            raise ExpressionFailed(
                f"`{self.source}` is {value!r}, neither true nor false", hint="compare it with something"
            )
        return value

    def __repr__(self) -> str:
        return f"Expression({self.source!r})"


@lru_cache(maxsize=64)
def _environment(variables: tuple[str, ...]) -> Any:
    from cel_expr_python import cel
    from cel_expr_python.ext import ext_math, ext_strings

    return cel.NewEnv(
        variables=dict.fromkeys(variables, cel.Type.DYN),
        extensions=[ext_strings.ExtStrings(), ext_math.ExtMath()],
    )


def _syntax_error(source: str, text: str) -> ExpressionFailed:
    found = _PLACE.search(text)
    if found is None:
        return ExpressionFailed(f"`{source}` is not a condition: {text.splitlines()[0]}")
    message = found[2].replace(" (in container '')", "")
    hint = ""
    if "undeclared reference" in message:
        hint = "names are `steps.<id>.output`, `inputs.<name>`, or `item` in a filter; text needs quotes"
    return ExpressionFailed(f"`{source}`: {message}", hint=hint, column=int(found[1]))


def _plain(text: str) -> str:
    message = re.sub(r"^[A-Z_]+: ", "", text)
    overload = re.search(r"No matching overloads found : (\S+?)\((.*)\)", message)
    if overload is None:
        return message
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
        hint = (
            error.hint and f"the names here are {', '.join(f'`{name}`' for name in variables)}; text needs quotes"
        )
        return [f"`{place}` is wrong: {error.message}" + (f"; {hint}" if hint else "")]
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
