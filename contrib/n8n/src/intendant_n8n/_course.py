"""Nodes about the course of a workflow: waiting, stopping, answering."""

import re
from collections.abc import Callable
from typing import Any

from intendant_n8n._builder import Builder, Outcome
from intendant_n8n._expressions import Scope
from intendant_n8n._graph import Node
from intendant_n8n._javascript import NotUnderstood
from intendant_n8n._json_text import read_json
from intendant_n8n._records import Make, mapped, single_source
from intendant_n8n._words import braces, escaped

MINUTES = {"seconds": "s", "minutes": "m", "hours": "h", "days": "d"}


def passes(builder: Builder, node: Node) -> Outcome:
    """A node that changes nothing."""
    return mapped(node, builder.items(node), pairs=True, single=single_source(builder, node))


def wait(builder: Builder, node: Node) -> Outcome:
    """Wait for a time."""
    amount, unit = (
        node.parameters.get("amount", 1),
        node.parameters.get("unit", "hours" if node.version == 1 else "seconds"),
    )
    if node.parameters.get("resume", "timeInterval") != "timeInterval" or unit not in MINUTES:
        raise NotUnderstood("what it waits for")
    if not isinstance(amount, int | float):
        raise NotUnderstood("a computed time")
    step = {"wait": {"for": f"{amount}{MINUTES[unit]}"}, "input": braces(builder.items(node))}
    return mapped(node, builder.add(node, step), pairs=True, single=single_source(builder, node))


def stop(builder: Builder, node: Node) -> Outcome:
    """Stop and Error: fails the run where a record comes to it."""
    message = node.parameters.get("errorMessage", node.parameters.get("message", "stopped"))
    message = message if isinstance(message, str) and not message.startswith("=") else "stopped"
    options = {
        "rules": [{"name": "stop", "rule": "false", "message": escaped(message)}],
        "on_fail": "fail",
        "each": True,
    }
    step = {"intent": "validate", "input": braces(builder.items(node)), "options": options}
    return mapped(node, builder.add(node, step))


def respond(builder: Builder, node: Node) -> Outcome:
    """Respond to Webhook: what the workflow returns."""
    items, parameters = builder.items(node), node.parameters
    kind = parameters.get("respondWith", "firstIncomingItem")
    if kind in ("json", "text"):
        body = parameters.get("responseBody", "")
        builder.shared.returns = of_first(
            builder, node, items, lambda scope: read_json(body, scope) if kind == "json" else scope.template(body)
        )
    elif kind in ("allIncomingItems", "firstIncomingItem"):
        builder.shared.returns = braces(items if kind == "allIncomingItems" else f"{items}[0]")
    elif kind != "noData":
        raise NotUnderstood(f"an answer of kind {kind}")
    return mapped(node, items, pairs=True)


def of_first(builder: Builder, node: Node, items: str, make: Callable[[Scope], Any]) -> Any:
    """A value with references to the first record that comes in; what has to be computed for it is computed."""
    scope = builder.scope(node)
    value = make(scope)
    return _with_record(value, f"{builder.computed(node, scope, items)}[0]")


_OWN = re.compile(r"\{\{ item(?=[.\[ ])")


def _with_record(value: Any, reference: str) -> Any:
    if isinstance(value, dict):
        return {key: _with_record(inner, reference) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_record(inner, reference) for inner in value]
    return _OWN.sub(f"{{{{ {reference}", value) if isinstance(value, str) else value


COURSE: dict[str, Make] = {
    "noOp": passes,
    "wait": wait,
    "stopAndError": stop,
    "respondToWebhook": respond,
}
"""Nodes by the last part of their type."""
