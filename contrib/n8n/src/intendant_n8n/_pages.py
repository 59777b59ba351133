"""Nodes that make texts, times and forms: HTML, Date & Time, and what people fill in."""

from collections.abc import Mapping
from typing import Any

from intendant_n8n._builder import Builder, Outcome
from intendant_n8n._conditions import tree_of
from intendant_n8n._course import of_first
from intendant_n8n._expressions import Scope
from intendant_n8n._graph import Node
from intendant_n8n._javascript import Call, Literal, Member, Name, Node as Tree, NotUnderstood
from intendant_n8n._moments import Moment, formatted, moment_of, read, value_of_moment
from intendant_n8n._records import Make, mapped, single_source, with_fields
from intendant_n8n._words import braces


def html(builder: Builder, node: Node) -> Outcome:
    """HTML: a text of a template, and the texts of what selectors find."""
    parameters = node.parameters
    operation = parameters.get("operation", "generateHtmlTemplate")
    if operation == "generateHtmlTemplate":
        scope = builder.scope(node)
        fields = {"html": scope.expression(f"={str(parameters.get('html', '')).removeprefix('=')}")}
        made = with_fields(builder, node, scope, fields, keep=False)
        return mapped(node, made, pairs=True, single=single_source(builder, node))
    values = parameters.get("extractionValues", {}).get("values", [])
    if operation != "extractHtmlContent" or parameters.get("sourceData", "json") != "json" or not values:
        raise NotUnderstood(f"the operation {operation}")
    kinds = [_told(one) for one in values]
    field = str(parameters.get("dataPropertyName", "data")).removeprefix("=")

    def make(scope: Scope) -> dict[str, Any]:
        source = scope.template(f"={{{{ $json.{field} }}}}")
        steps = [
            {
                "id": f"value_{number}",
                "intent": "extract",
                "uses": "web.parse",
                "input": source,
                "with": {"select": str(one["cssSelector"]), "each": kind, "main": False, "tables": False},
            }
            for number, (one, kind) in enumerate(zip(values, kinds, strict=True))
        ]
        found = {str(one["key"]): _place(number, one) for number, one in enumerate(values)}
        return {"steps": steps, "returns": found}

    outputs = builder.for_items(node, builder.items(node), make)
    return mapped(node, outputs, pairs=True, single=single_source(builder, node))


def _told(one: Mapping[str, Any]) -> str:
    """What is told of the elements that a selector finds.

    Raises:
        NotUnderstood: A value of a form, or an attribute without a name.
    """
    kind = str(one.get("returnValue", "text"))
    if kind == "attribute":
        kind = str(one.get("attribute") or "value")
    if kind == "value" or kind.startswith("="):
        raise NotUnderstood("the value of a field, or a computed attribute")
    return kind


def _place(number: int, one: Mapping[str, Any]) -> str:
    """The reference to what was found: all of it, the first, or the text of all."""
    output = f"steps.value_{number}.output"
    if one.get("returnArray"):
        return braces(f"{output}.each")
    if one.get("returnValue", "text") == "text":
        return braces(f"{output}.text")
    return f"{{{{ default({output}.each[0], '') }}}}"


def date_time(builder: Builder, node: Node) -> Outcome:
    """Date & Time, from its second version on."""
    if node.version < 2:  # noqa: PLR2004
        raise NotUnderstood("its first version")
    parameters, scope = node.parameters, builder.scope(node)
    name, value = _time(parameters, scope)
    name = str(parameters.get("outputFieldName") or name)
    keep = bool(parameters.get("options", {}).get("includeInputFields"))
    made = with_fields(builder, node, scope, {name: value}, keep=keep)
    return mapped(node, made, pairs=True, single=single_source(builder, node))


_NOW = Name("$now")


def _time(parameters: Mapping[str, Any], scope: Scope) -> tuple[str, str]:
    """The usual name of the field, and what it holds, as CEL."""
    operation = parameters.get("operation", "getCurrentDate")
    if operation == "getCurrentDate":
        whole = parameters.get("includeTime", True)
        return "currentDate", _said(scope, _NOW if whole else Name("$today"))
    if operation in ("addToDate", "subtractFromDate"):
        method = "plus" if operation == "addToDate" else "minus"
        given = Call(Name("new Date"), (_tree(parameters.get("magnitude")),))
        amount, unit = _tree(parameters.get("duration", 0)), Literal(str(parameters.get("timeUnit", "days")))
        return "newDate", _said(scope, Call(Member(given, method), (amount, unit)))
    if operation == "formatDate":
        pattern = str(parameters.get("format", "MM/dd/yyyy"))
        pattern = str(parameters.get("customFormat", "")) if pattern == "custom" else pattern
        return "formattedDate", formatted(_moment(scope, parameters.get("date")), pattern)
    if operation == "extractDate":
        found = Call(Name("new Date"), (_tree(parameters.get("date")),))
        return "datePart", _said(scope, Member(found, str(parameters.get("part", "month"))))
    raise NotUnderstood(f"the operation {operation}")


def _tree(value: Any) -> Tree:
    tree: Tree | None = tree_of(value)
    if tree is not None:
        return tree
    if isinstance(value, str | int | float) and not str(value).startswith("="):
        return Literal(value)
    raise NotUnderstood("a date of several expressions")


def _moment(scope: Scope, value: Any) -> Moment:
    tree = _tree(value)
    return moment_of(scope, tree) or Moment(read(scope.cel(tree)))


def _said(scope: Scope, tree: Tree) -> str:
    made = value_of_moment(scope, tree)
    if made is None:
        raise NotUnderstood("the time")
    return made


def form(builder: Builder, node: Node) -> Outcome:
    """A page of a form waits for what is filled in; the last page is what the workflow returns."""
    parameters, items = node.parameters, builder.items(node)
    if parameters.get("operation", "page") == "completion":
        if parameters.get("respondWith", "text") not in ("text", "showText"):
            raise NotUnderstood("a page elsewhere")
        shown = {
            "title": parameters.get("completionTitle", ""),
            "message": parameters.get("completionMessage", parameters.get("responseText", "")),
        }
        builder.shared.returns = of_first(builder, node, items, lambda scope: scope.template(shown))
        return mapped(node, items, pairs=True, single=True)
    return _waits(builder, node, items)


def _waits(builder: Builder, node: Node, items: str) -> Outcome:
    if not single_source(builder, node):
        raise NotUnderstood("a form for each of several records")
    event = builder.shared.ids.new(f"{node.name} event", node.name)
    step: dict[str, Any] = {"wait": {"event": event}}
    if items.startswith("steps."):
        step["needs"] = [items.split(".")[1]]
    given = builder.add(node, step)
    record = {
        "intent": "transform",
        "input": [braces(given)],
        "options": {"op": "limit", "count": 1},
    }
    outcome = mapped(node, builder.add(node, record, "filled in"), single=True)
    outcome.note = f"`intendant signal RUN {event} JSON` says what was filled in"
    return outcome


PAGES: dict[str, Make] = {"html": html, "dateTime": date_time, "form": form}
"""Nodes by the last part of their type."""
