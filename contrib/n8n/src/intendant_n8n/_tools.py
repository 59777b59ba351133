"""Tools of agents that ask an API: what is fixed, and what the model gives."""

import re
from typing import Any

from intendant_n8n._graph import Node

_PLACE = re.compile(r"\{([A-Za-z_]\w*)\}")
_TEXT = {"type": "string"}


def tool_of(node: Node) -> dict[str, Any] | None:
    """A tool of an agent; None for one that cannot be translated."""
    parameters = node.parameters
    if node.kind not in ("toolHttpRequest", "httpRequestTool"):
        return None
    url, method = str(parameters.get("url", "")), str(parameters.get("method", "GET")).upper()
    if method not in ("GET", "POST") or not url or "{{" in url or url.startswith("="):
        return None
    name = re.sub(r"\W+", "_", node.name).strip("_").lower()[:60] or "request"
    fixed: dict[str, Any] = {}
    given: dict[str, Any] = {}
    if _PLACE.search(url):
        # The model gives the whole address, which may differ at these places alone.
        given["url"] = {"type": "string", "pattern": f"^{_pattern(url)}$"}
    else:
        fixed["url"] = url
    try:
        _listed(parameters, "Query", "query", fixed, given)
        _listed(parameters, "Headers", "headers", fixed, given)
        if method == "POST":
            _body(parameters, fixed, given)
    except _Unknown:
        return None
    tool: dict[str, Any] = {
        "uses": f"http.{method.lower()}",
        "name": name,
        "description": str(parameters.get("toolDescription", "")) or node.name,
        "with": {**fixed, **_auth(parameters)},
    }
    if given:
        tool["give"] = given
    if method == "POST":
        tool["effects"] = "any"
    return tool


class _Unknown(Exception):
    """Something of the tool cannot be translated."""


def _pattern(text: str) -> str:
    return "".join(
        part if number % 2 == 0 else "[^/?#&]+"
        for number, part in enumerate(
            re.escape(piece) if place % 2 == 0 else piece for place, piece in enumerate(_PLACE.split(text))
        )
    )


def _listed(parameters: Any, place: str, key: str, fixed: dict[str, Any], given: dict[str, Any]) -> None:
    """Pairs of names and values, of which the model gives some."""
    if not parameters.get(f"send{place}"):
        return
    if parameters.get(f"specify{place}") == "json":
        _from_json(parameters.get(f"json{place}"), key, fixed, given)
        return
    values = parameters.get(f"parameters{place}", {}).get("values", [])
    schema: dict[str, Any] = {}
    for one in values:
        provider, value = one.get("valueProvider", "modelRequired"), one.get("value", "")
        if provider == "fieldValue":
            text = re.sub(r"^=\{\{\s*([\w.-]+)\s*\}\}$", r"\1", str(value))
            if "{{" in text or text.startswith("="):
                raise _Unknown
            schema[str(one["name"])] = _TEXT if _PLACE.search(text) else {"const": text}
        elif provider.startswith("model"):
            schema[str(one["name"])] = _TEXT
        else:
            raise _Unknown
    _put(key, schema, fixed, given)


def _put(key: str, schema: dict[str, Any], fixed: dict[str, Any], given: dict[str, Any]) -> None:
    if not schema:
        return
    if all("const" in one for one in schema.values()):
        fixed[key] = {name: one["const"] for name, one in schema.items()}
        return
    given[key] = {"type": "object", "properties": schema, "required": list(schema), "additionalProperties": False}


def _from_json(text: Any, key: str, fixed: dict[str, Any], given: dict[str, Any]) -> None:
    import json

    if not isinstance(text, str) or "{{" in text:
        raise _Unknown
    try:
        value = json.loads(text.removeprefix("="))
    except ValueError:
        raise _Unknown from None
    if not isinstance(value, dict):
        raise _Unknown
    _put(key, {name: _schema(inner) for name, inner in value.items()}, fixed, given)


def _schema(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        inner = {name: _schema(one) for name, one in value.items()}
        return {"type": "object", "properties": inner, "required": list(inner), "additionalProperties": False}
    if isinstance(value, str) and _PLACE.search(value):
        return _TEXT
    return {"const": value}


def _body(parameters: Any, fixed: dict[str, Any], given: dict[str, Any]) -> None:
    if not parameters.get("sendBody"):
        fixed["json"] = {}
    elif parameters.get("specifyBody") == "json":
        _from_json(parameters.get("jsonBody"), "json", fixed, given)
    else:
        _listed({**parameters, "sendBody": True}, "Body", "json", fixed, given)


def _auth(parameters: Any) -> dict[str, Any]:
    if parameters.get("authentication", "none") == "none":
        return {}
    which = str(parameters.get("genericAuthType") or parameters.get("nodeCredentialType") or "token")
    name = re.sub(r"(?<=[a-z])(?=[A-Z])|\W", "_", which).upper()
    if which == "httpHeaderAuth":
        return {"auth": {"header": "Authorization", "value": f"{{{{ secrets.{name} }}}}"}}
    return {"auth": {"bearer": f"{{{{ secrets.{name} }}}}"}}
