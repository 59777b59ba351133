"""Conditions of If, Filter and Switch nodes as CEL, of every version of these nodes."""

from collections.abc import Iterator, Mapping
from typing import Any

from intendant_n8n._expressions import Scope
from intendant_n8n._javascript import NotUnderstood, parse
from intendant_n8n._moments import moment_of, read
from intendant_n8n._words import literal

_TEXT = {
    "equals": "{l} == {r}",
    "contains": "{l}.contains({r})",
    "startsWith": "{l}.startsWith({r})",
    "endsWith": "{l}.endsWith({r})",
    "regex": "{l}.matches({r})",
}
_NUMBER = {
    "equals": "{l} == {r}",
    "gt": "{l} > {r}",
    "lt": "{l} < {r}",
    "gte": "{l} >= {r}",
    "lte": "{l} <= {r}",
}
_TIMES = {
    "equals": "{l} == {r}",
    "after": "{l} > {r}",
    "before": "{l} < {r}",
    "afterOrEquals": "{l} >= {r}",
    "beforeOrEquals": "{l} <= {r}",
}
_LENGTH = {f"length{name.capitalize()}": text for name, text in _NUMBER.items()} | {
    "lengthEquals": "{l} == {r}",
    "lengthGt": "{l} > {r}",
    "lengthLt": "{l} < {r}",
    "lengthGte": "{l} >= {r}",
    "lengthLte": "{l} <= {r}",
}
_OLD = {
    "equal": "equals",
    "notEqual": "notEquals",
    "smaller": "lt",
    "smallerEqual": "lte",
    "larger": "gt",
    "largerEqual": "gte",
    "isEmpty": "empty",
    "isNotEmpty": "notEmpty",
}
_OPPOSITES = {"notEquals", "notContains", "notStartsWith", "notEndsWith", "notRegex", "notExists", "notEmpty"}
"""True where what they are the opposite of is not, a value that is not there included."""


def condition_of(conditions: Mapping[str, Any], scope: Scope, combine: str = "all") -> str:
    """What `conditions` of a node say, as CEL on `item`.

    Args:
        conditions: Of version 2 (a list of conditions with operators), or of version 1 (lists by type).
        scope: What expressions may refer to.
        combine: Of version 1: `all` or `any`.

    Raises:
        NotUnderstood: A condition, or an expression in it, cannot be translated.
    """
    if "conditions" in conditions or "combinator" in conditions:
        strict = conditions.get("options", {}).get("caseSensitive", True)
        found = [_modern(one, scope, ignore_case=not strict) for one in conditions.get("conditions", [])]
        joiner = " || " if conditions.get("combinator") == "or" else " && "
    else:
        found = list(_by_type(conditions, scope))
        joiner = " || " if combine == "any" else " && "
    if not found:
        raise NotUnderstood("no condition")
    return found[0] if len(found) == 1 else f"({joiner.join(found)})"


def _by_type(conditions: Mapping[str, Any], scope: Scope) -> Iterator[str]:
    for kind, several in conditions.items():
        for one in several:
            operation = one.get("operation", "equal" if kind != "number" else "smaller")
            made = _test(kind, _OLD.get(operation, operation), one.get("value1"), one.get("value2"), scope)
            yield made


def _modern(one: Mapping[str, Any], scope: Scope, *, ignore_case: bool) -> str:
    operator = one.get("operator", {})
    kind, operation = operator.get("type", "string"), operator.get("operation", "equals")
    return _test(kind, operation, one.get("leftValue"), one.get("rightValue"), scope, ignore_case=ignore_case)


def _test(  # noqa: PLR0911  # one kind of condition each
    kind: str, operation: str, left: Any, right: Any, scope: Scope, *, ignore_case: bool = False
) -> str:
    """One condition.

    Raises:
        NotUnderstood: It cannot be translated.
    """
    if operation in _OPPOSITES:
        plain = operation[3].lower() + operation[4:]
        return f"!{_test(kind, plain, left, right, scope, ignore_case=ignore_case)}"
    if operation in ("exists", "empty"):
        return _presence(operation, left, scope)
    if kind == "boolean":
        wanted = {"true": "true", "false": "false"}.get(operation) or scope.expression(right)
        return _guarded(left, scope, f"{scope.expression(left)} == {wanted}")
    if kind == "number":
        template = _NUMBER.get(operation)
        if template is not None:
            return _guarded(left, scope, template.format(l=_number(left, scope), r=_number(right, scope)))
    elif kind == "string":
        template = _TEXT.get(operation)
        if template is not None:
            return _texts(template, operation, left, right, scope, ignore_case=ignore_case)
    elif kind == "dateTime" and operation in _TIMES:
        sides = {"l": _moment(left, scope), "r": _moment(right, scope)}
        return _guarded(left, scope, _TIMES[operation].format(**sides))
    elif kind in ("array", "object"):
        if operation == "contains":
            return _guarded(left, scope, f"{scope.expression(right)} in {scope.expression(left)}")
        template = _LENGTH.get(operation)
        if template is not None:
            size = f"size({scope.expression(left)})"
            return _guarded(left, scope, template.format(l=size, r=scope.expression(right)))
    raise NotUnderstood(f"the condition {kind} {operation}")


def _texts(template: str, operation: str, left: Any, right: Any, scope: Scope, *, ignore_case: bool) -> str:
    if operation == "regex":
        pattern = str(right)
        if pattern.startswith("=") or not isinstance(right, str):
            raise NotUnderstood("a computed regular expression")
        if pattern.startswith("/") and pattern.count("/") > 1:
            body, _, flags = pattern[1:].rpartition("/")
            pattern = f"(?i){body}" if "i" in flags else body
        return _guarded(left, scope, template.format(l=_text(left, scope), r=literal(pattern)))
    sides = {"l": _text(left, scope), "r": _text(right, scope)}
    if ignore_case:
        sides = {name: f"{side}.lowerAscii()" for name, side in sides.items()}
    return _guarded(left, scope, template.format(**sides))


def _presence(operation: str, left: Any, scope: Scope) -> str:
    value = scope.expression(left)
    if operation == "exists":
        return _guarded(left, scope, f"{value} != null")
    there = f'{value} != null && {value} != "" && {value} != [] && {value} != {{}}'
    return f"!{_guarded(left, scope, there)}"


def _guarded(left: Any, scope: Scope, test: str) -> str:
    node = tree_of(left)
    return f"({test})" if node is None else scope.guarded(test, node)


def tree_of(value: Any) -> Any:
    """The tree of a parameter that is one expression."""
    if not isinstance(value, str) or not value.startswith("="):
        return None
    text = value[1:].strip()
    if text.startswith("{{") and text.endswith("}}") and text.count("{{") == 1:
        return parse(text[2:-2])
    return None


def _moment(value: Any, scope: Scope) -> str:
    node = tree_of(value)
    known = None if node is None else moment_of(scope, node)
    return read(scope.expression(value)) if known is None else known.cel


def _text(value: Any, scope: Scope) -> str:
    node = tree_of(value)
    if node is not None:
        return scope.as_text(node)
    return scope.expression(value if isinstance(value, str) else str(value))


def _number(value: Any, scope: Scope) -> str:
    if isinstance(value, str) and not value.startswith("="):
        try:
            return repr(float(value))
        except ValueError:
            raise NotUnderstood(f"the number '{value}'") from None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(float(value))
    if value is None:
        raise NotUnderstood("a comparison with nothing")
    return f"double({scope.expression(value)})"
