"""What stands inside a step's parameters: deeper values, what it calls, what it is to put out."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

OUTPUT_KEYS = (
    "output",
    "output_schema",
    "outputSchema",
    "outputs",
    "schema",
    "jsonSchema",
    "response_format",
    "structured_output",
    "structuredOutput",
    "output_pydantic",
    "llmStructuredOutput",
    "attributes",
    "parameters",
)
_CALLEES = (
    "python_callable",
    "functionname",
    "function_name",
    "callable",
    "handler",
    "delegateexpression",
    "calledelement",
    "taskname",
    "task_name",
    "promptname",
    "jobname",
    "job_name",
    "entrypoint",
    "procedure",
    "function",
    "expression",
    "module",
)
_TURNS = ("messages", "prompts")
_TURN_TEXTS = ("content", "message", "text", "prompt")
_INTERPRETER = re.compile(
    r"\s*(?:[\w./]*/)?(?:(?:ba|z|da|a|k)?sh|pwsh|python3?|node|ruby|perl|env)(?:\s+-[\w-]+)*\s*"
)
"""What only says who reads the code that its arguments carry, as `sh -c`."""
_BODY_READ = 600
_MODEL_MARKS = ('"messages"', '"max_tokens"', '"prompt"')
_MESSAGE = re.compile(r'"(?:content|prompt|text|input)"\s*:\s*"((?:[^"\\]|\\.){12,600})')
_LONGEST_CALLEE = 90
_DEPTH = 3
_VALUES = 40
_MOST_NAMES = 12
_MOST_TURNS = 6
_TARGETS = frozenset(("to", "target", "targets", "next", "nextStep", "next_step", "nextNode", "goto", "then"))
"""What the step is called, in a case, with which the workflow goes on."""
_EXTENSION = re.compile(r"\.(?:py|js|ts|sh|sql|rb|R|r|jar)$")
_PARTS = re.compile(r"[./:\s]+")
_SCRIPT = re.compile(
    r"(?:python3?|node|bash|sh|ruby|Rscript|tsx?|npm run|yarn|pnpm|make|rake|invoke|gradlew?)\s+"
    r"(?:-m\s+|run\s+)?([\w./:][\w./:-]*)"
)
"""A script or task that a command line runs."""


def nested(params: Mapping[str, Any]) -> dict[str, str]:
    """The texts below the first level, by their names in lower case; the first of a name counts."""
    found: dict[str, str] = {}
    level = [value for value in params.values() if isinstance(value, Mapping)]
    for _ in range(_DEPTH):
        below: list[Mapping[Any, Any]] = []
        for mapping in level[:_VALUES]:
            for key, value in mapping.items():
                if isinstance(value, Mapping):
                    below.append(value)
                elif isinstance(value, str) and len(found) < _VALUES:
                    found.setdefault(str(key).lower(), value)
        level = below
    return found


def turns(params: Mapping[str, Any]) -> str:
    """The texts of a chat's turns, as most requests to a language model list them; empty if there are none.

    >>> turns({"messages": [{"role": "system", "content": "Translate the letter."}]})
    'Translate the letter.'
    """
    for source in (params, *(value for value in params.values() if isinstance(value, Mapping))):
        for key in _TURNS:
            if isinstance(listed := source.get(key), list):
                return "\n".join(text for turn in listed[:_MOST_TURNS] if (text := _turn(turn)))
    return ""


def _turn(turn: Any) -> str:
    if not isinstance(turn, Mapping):
        return ""
    return next((text for key in _TURN_TEXTS if isinstance(text := turn.get(key), str)), "")


def routes(params: Mapping[str, Any]) -> bool:
    """Whether a parameter lists cases, each with the step to go on with, as a classifier that branches does.

    >>> routes({"classes": [{"name": "new", "next": "s2"}, {"name": "known", "next": "s3"}]})
    True
    """
    for value in params.values():
        cases = list(value.values()) if isinstance(value, Mapping) else value
        if isinstance(cases, list) and sum(_has_target(case) for case in cases[:_VALUES]) > 1:
            return True
    return False


def _has_target(case: Any) -> bool:
    return isinstance(case, Mapping) and not _TARGETS.isdisjoint(case)


def command_line(params: Mapping[str, Any]) -> str:
    """A command and its arguments, which containers are given apart; empty if they are not.

    >>> command_line({"command": ["sh", "-c"], "args": ["sleep 5"]})
    'sleep 5'
    >>> command_line({"command": "make", "args": ["test"]})
    'make test'
    """
    command, arguments = (_joined(params.get(key)) for key in ("command", "args"))
    if not command or not arguments:
        return ""
    return arguments if _INTERPRETER.fullmatch(command) else f"{command} {arguments}"


def _joined(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else ""


def asks_model(params: Mapping[str, Any], inner: Mapping[str, str]) -> bool:
    """Whether a request carries what a language model is asked: a model and messages, or a limit of tokens."""
    if "model" in inner:
        return True
    bodies = [value[:_BODY_READ] for key, value in params.items() if isinstance(value, str) and "ody" in key]
    return any(mark in body for body in bodies for mark in _MODEL_MARKS)


def asked(params: Mapping[str, Any], inner: Mapping[str, str]) -> str:
    """What a request asks a language model for; empty if it does not stand in its body."""
    for key, value in params.items():
        if isinstance(value, str) and "ody" in key and (said := _MESSAGE.search(value[: 3 * _BODY_READ])):
            return said[1].replace("\\n", "\n")
    return next((inner[key] for key in ("content", "prompt", "input") if key in inner), "")


def callee(params: Mapping[str, Any], code: str) -> str:
    """The words of the function, script or job that a step runs; empty if it names none."""
    for key, value in params.items():
        if isinstance(value, str) and 0 < len(value) < _LONGEST_CALLEE and key.lower() in _CALLEES:
            name = value.partition("(")[0].strip("${}#= ;")
            last = _PARTS.split(_EXTENSION.sub("", name))[-1]
            if last.isascii() and len(last) > 1:
                return last
        elif isinstance(value, Mapping) and "function" in key.lower() and isinstance(value.get("name"), str):
            return str(value["name"])[:_LONGEST_CALLEE]
    if code and (script := _SCRIPT.search(code[:300])):
        return _PARTS.split(_EXTENSION.sub("", script[1]))[-1]
    return ""


def output_names(schema: Any) -> tuple[str, ...]:
    """The names in a schema of the output, in lower case, and `list`, `choice`, `boolean` for its types."""
    return tuple(dict.fromkeys(_names(schema, 0)))[:_MOST_NAMES]


def outputs(source: Mapping[str, Any]) -> tuple[str, ...]:
    """The same for the first of `OUTPUT_KEYS` under which there is a schema."""
    for key in OUTPUT_KEYS:
        if (value := source.get(key)) is not None and (names := output_names(value)):
            return names
    return ()


def _names(schema: Any, depth: int) -> Iterator[str]:
    if depth > _DEPTH:
        return
    if isinstance(schema, list):
        for entry in schema:
            name = entry.get("key") or entry.get("name") if isinstance(entry, Mapping) else None
            if isinstance(name, str):
                yield name.lower()
        return
    if not isinstance(schema, Mapping):
        return
    if schema.get("type") == "array":
        yield "list"
    if "enum" in schema:
        yield "choice"
    if schema.get("type") == "boolean":
        yield "boolean"
    properties = schema.get("properties")
    if isinstance(properties, Mapping):
        for name, inner in properties.items():
            yield str(name).lower()
            yield from _names(inner, depth + 1)
    for key in ("items", "schema", "json_schema"):
        yield from _names(schema.get(key), depth + 1)
