"""One form for every step: those of Intendant's own workflows and those of other platforms' files."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from intendant.plugin import Step
from intendant_classify_local._inside import (
    asked,
    asks_model,
    callee,
    command_line,
    nested,
    output_names,
    outputs,
    turns,
)

_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORD = re.compile(r"[^\W_]+")
_NUMBERED = re.compile(r"[a-z]\d")
_COUNTED = re.compile(r"(?<=[a-z]{4})(?<!base)(?=\d{1,2}(?![a-z0-9]))")
"""Between a word and its number: "CSVWriter2", "join1"; not in "s3", "md5" and "base64x"."""
_CODE_KEYS = (
    "jsCode",
    "functionCode",
    "pythonCode",
    "code",
    "script",
    "run",
    "command",
    "source",
    "func",
    "function",
    "python_callable",
    "bash_command",
    "inline_script",
    "shell",
    "cmd",
    "func",
    "commands",
    "args",
    "javascriptFunction",
    "content_code",
    "expression",
    "mapping",
)
_SQL_KEYS = ("query", "sql", "statement", "rawQuery", "sqlQuery", "SQL select query", "content", "source")
_URL_KEYS = ("url", "uri", "endpoint", "path", "address", "URL", "ApiEndpoint", "post_url")
_METHOD_KEYS = ("method", "requestMethod", "httpMethod", "http_method", "verb", "METHOD", "HTTP Method", "Method")
_PROMPT_KEYS = (
    "prompt",
    "instruction",
    "instructions",
    "systemMessage",
    "system_prompt",
    "systemPrompt",
    "question",
)
_OPERATION_KEYS = ("operation", "action", "resource_operation", "op", "method_name")
_NESTED: Mapping[str, tuple[str, ...]] = {
    "url": ("url", "uri", "endpoint"),
    "method": ("method", "httpmethod", "http_method"),
    "sql": ("sql", "query", "statement"),
    "code": ("code", "script"),
}
"""What may stand deeper in the parameters, by the names in lower case."""
_WRAPPER = frozenset(("value", "type", "typeName", "language"))
"""The keys of a mapping that only wraps a value."""
_DESCRIPTION_KEYS = ("description", "doc", "notes", "comment", "summary", "expected_output")


def words(text: str) -> list[str]:
    """The words of *text* in lower case; camelCase and snake_case are taken apart, and numbers from longer words.

    >>> words("getAllUsers2 v2_beta")
    ['get', 'all', 'users', '2', 'v2', 'beta']
    """
    low = _BOUNDARY.sub(" ", text).lower()
    return _WORD.findall(_COUNTED.sub(" ", low) if _NUMBERED.search(low) else low)


@dataclass(frozen=True, slots=True)
class StepView:
    """A step as the classifier sees it. All texts may be empty."""

    kind: str = ""
    """The step's type, such as `conditional`, `httpRequest` or `PythonOperator`."""
    plugin: str = ""
    """What it talks to: a connector, an app, a package."""
    action: str = ""
    """The operation that it asks for there."""
    name: str = ""
    description: str = ""
    prompt: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    url: str = ""
    method: str = ""
    """HTTP method in upper case."""
    sql: str = ""
    code: str = ""
    callee: str = ""
    """The function, script or job that it runs, as `build report` for `jobs/build_report.py`."""
    output: tuple[str, ...] = ()
    """The names in the schema of its output, and the types of what it puts out: `list`, `choice`, `boolean`."""
    asks_model: bool = False
    """True if the request's body is one to a language model."""

    @classmethod
    def of_step(cls, step: Step) -> "StepView":
        """A step of an Intendant workflow."""
        plugin, action = step.connector or ("", "")
        params: Mapping[str, Any] = {**step.with_, **step.options}
        return cls._with_params(
            kind="",
            plugin=plugin,
            action=action,
            name=step.title,
            description=step.description,
            prompt=step.prompt or "",
            params=params,
            output=output_names(step.output),
        )

    @classmethod
    def of_raw(cls, raw: Mapping[str, Any]) -> "StepView":
        """A step of some platform: what it calls `type`, `plugin`, `action`, `params` or the like."""
        params = raw.get("params") or raw.get("with") or raw.get("parameters") or raw.get("inputs") or {}
        if not isinstance(params, Mapping):
            params = {"value": params}
        elif not all(type(key) is str for key in params):
            params = {str(key): value for key, value in params.items()}
        params = _unwrapped(params)
        plugin, action = _text(raw, ("plugin", "connector", "app", "tool")), _text(raw, _OPERATION_KEYS)
        uses = raw.get("uses")
        if isinstance(uses, str) and not plugin:
            plugin, _, action = uses.rpartition(".") if "/" not in uses else (uses, "", action)
        return cls._with_params(
            kind=_text(raw, ("type", "kind")),
            plugin=plugin,
            action=action,
            name=_text(raw, ("name", "title", "label", "id")),
            description=_text(raw, _DESCRIPTION_KEYS),
            prompt=_text(raw, _PROMPT_KEYS),
            params=params,
            url=_text(raw, _URL_KEYS[:3]),
            method=_text(raw, _METHOD_KEYS),
            code=_text(raw, _CODE_KEYS),
            sql=_text(raw, _SQL_KEYS[1:2]),
            output=outputs(raw),
        )

    @classmethod
    def _with_params(cls, *, params: Mapping[str, Any], **found: Any) -> "StepView":
        """Fills what the step's own fields leave open from its parameters."""
        if not found.get("code") and "args" in params:
            found["code"] = command_line(params)
        for name, keys in (
            ("url", _URL_KEYS),
            ("method", _METHOD_KEYS),
            ("code", _CODE_KEYS),
            ("sql", _SQL_KEYS),
            ("prompt", _PROMPT_KEYS),
            ("action", _OPERATION_KEYS),
        ):
            if not found.get(name):
                found[name] = _text(params, keys)
        inner = nested(params)
        for name, deeper in _NESTED.items():
            if not found.get(name):
                found[name] = next((inner[key] for key in deeper if key in inner), "")
        found["method"] = found["method"].upper()
        if not found.get("prompt"):
            found["prompt"] = turns(params)
        found["asks_model"] = asks_model(params, inner)
        if found["asks_model"] and not found.get("prompt"):
            found["prompt"] = asked(params, inner)
        found["callee"] = callee(params, found["code"])
        if not found.get("output"):
            found["output"] = outputs(params)
        return cls(params=params, **found)


def _unwrapped(params: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters, without the mapping in which some exports wrap a value beside its type.

    >>> _unwrapped({"method": {"type": "Literal", "value": "GET"}})
    {'method': 'GET'}
    """
    found: dict[str, Any] = {}
    for key, value in params.items():
        if isinstance(value, Mapping) and "value" in value and value.keys() <= _WRAPPER:
            found[key] = value["value"]
    return {**params, **found} if found else params


def _text(source: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    if not source or source.keys().isdisjoint(keys):
        return ""
    for key in keys:
        value = source.get(key)
        if value and isinstance(value, str):
            return value
        if value and isinstance(value, list) and isinstance(value[0], str):
            return " ".join(part for part in value if isinstance(part, str))
    return ""
