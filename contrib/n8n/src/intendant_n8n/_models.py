"""Nodes that ask a model."""

from collections.abc import Mapping
from typing import Any

from intendant_n8n._builder import TAKE_OUT, Builder, Outcome, beside
from intendant_n8n._expressions import Scope
from intendant_n8n._graph import Node
from intendant_n8n._javascript import NotUnderstood
from intendant_n8n._json_text import read_json
from intendant_n8n._records import Make, before_of, mapped, single_source
from intendant_n8n._tools import tool_of
from intendant_n8n._words import braces

_AUTO = "={{ $json.chatInput }}"
"""What nodes ask that take what was chatted."""


def chat(builder: Builder, node: Node) -> Outcome:
    """Basic LLM Chain, AI Agent, and the message operations of OpenAI, Anthropic, Gemini and others."""
    resource = node.parameters.get("resource", "text")
    if resource not in ("text", "chat", "message") or node.parameters.get("operation", "message") not in (
        "message",
        "complete",
        "response",
        "create",
    ):
        raise NotUnderstood(f"the operation {resource} {node.parameters.get('operation', '')}".rstrip())
    schema = _schema(builder, node)
    served = (builder.nodes[name] for name in node.helpers.get("ai_tool", []))
    tools = [tool for helper in served if (tool := tool_of(helper)) is not None]

    def make(scope: Scope) -> dict[str, Any]:
        ask: dict[str, Any] = {"id": "ask", "intent": "generate", "prompt": _prompt(node, scope)}
        if schema is not None:
            ask["output"] = schema
        if tools:
            ask["tools"] = tools
        answer = "{{ steps.ask.output }}"
        return {"steps": [ask], "returns": _shape(node, answer, structured=schema is not None)}

    single = single_source(builder, node)
    return mapped(node, builder.for_items(node, builder.items(node), make), pairs=True, single=single)


PARSERS = ("outputParserStructured", "outputParserItemList")
REPAIRS = ("outputParserAutofixing",)
"""Parsers that have an answer repaired which does not fit: steps ask again by themselves."""


def is_part(node: Node) -> bool:
    """True if a node that serves others is within the step of these: a model (the step's own takes its place), a
    schema, a tool that could be translated. Memories of chats, stores of vectors and other tools are not.
    """
    if node.kind.startswith("lm") or node.kind in (*REPAIRS, *PARSERS):
        return True
    return tool_of(node) is not None


def _shape(node: Node, answer: str, *, structured: bool) -> dict[str, Any]:
    """The record that later nodes find the answer in."""
    if node.kind == "chainLlm" and not structured:
        return {"text": answer}
    if node.kind in ("chainLlm", "agent"):
        return {"output": answer}
    return {"message": {"content": answer}, "text": answer, "content": answer}


def _prompt(node: Node, scope: Scope) -> str:
    texts = [scope.template(text) for text in _texts(node.parameters) if text not in (None, "", "=")]
    if not texts:
        raise NotUnderstood("what it asks")
    return "\n\n".join(texts)


def _texts(parameters: Mapping[str, Any]) -> list[Any]:
    options = parameters.get("options", {})
    found: list[Any] = [options.get("systemMessage")]
    messages = parameters.get("messages", parameters.get("prompt", {}))
    if isinstance(messages, dict):
        listed = messages.get("values") or messages.get("messageValues") or messages.get("messages") or []
        found += [one.get("content", one.get("message")) for one in listed if isinstance(one, dict)]
    if isinstance(parameters.get("prompt"), str):
        found.append(parameters["prompt"])
    text = parameters.get("text")
    if text is not None:
        found.append(text)
    elif ("promptType" in parameters and parameters["promptType"] == "auto") or not any(found):
        found.append(_AUTO)
    return found


def _schema(builder: Builder, node: Node) -> dict[str, Any] | None:
    """The JSON schema of a parser that serves the node."""
    for name in node.helpers.get("ai_outputParser", []):
        parameters = builder.nodes[name].parameters
        kind = builder.nodes[name].kind
        if kind in REPAIRS:
            return _schema(builder, builder.nodes[name])
        if kind == "outputParserItemList":
            return {"type": "array", "items": {"type": "string"}}
        if kind != "outputParserStructured":
            raise NotUnderstood(f"the parser {kind}")
        text = parameters.get("inputSchema", parameters.get("jsonSchema"))
        if parameters.get("schemaType") == "fromJson" or text is None:
            return schema_like(read_json(parameters.get("jsonSchemaExample", "{}"), builder.scope(node)))
        schema = read_json(text, builder.scope(node))
        if not isinstance(schema, dict):
            raise NotUnderstood("a schema that is not JSON")
        return dict(_usable(schema))
    return None


def schema_like(example: Any) -> dict[str, Any]:
    """A JSON schema that an example fits."""
    match example:
        case dict():
            fields = {key: schema_like(value) for key, value in example.items()}
            return {"type": "object", "properties": fields, "required": list(fields)}
        case list():
            return {"type": "array", "items": schema_like(example[0])} if example else {"type": "array"}
        case bool():
            return {"type": "boolean"}
        case int() | float():
            return {"type": "number"}
        case str():
            return {"type": "string"}
    return {}


def _usable(schema: Any) -> Any:
    """A schema without what JSON Schema does not know: `null` in place of the name of the type."""
    if isinstance(schema, dict):
        kind = schema.get("type")
        fixed = {"type": ["null" if one is None else one for one in kind]} if isinstance(kind, list) else {}
        return {key: _usable(value) for key, value in (schema | fixed).items()}
    return [_usable(one) for one in schema] if isinstance(schema, list) else schema


def summarization(builder: Builder, node: Node) -> Outcome:
    """Summarization Chain: one summary of all that comes in."""
    ask = {"intent": "summarize", "input": braces(builder.items(node)), "prompt": "Summarize what is said."}
    text = builder.add(node, ask)
    step = {
        "intent": "transform",
        "input": [{"response": {"text": braces(text)}, "output": {"text": braces(text)}}],
        "options": {"op": "limit", "count": 1},
    }
    return mapped(node, builder.add(node, step, "record"), single=True)


def extractor(builder: Builder, node: Node) -> Outcome:
    """Information Extractor: fields of a text."""
    parameters = node.parameters
    if parameters.get("schemaType", "fromAttributes") == "fromAttributes":
        kinds = {"string": "string", "number": "number", "boolean": "boolean", "date": "string"}
        attributes = parameters.get("attributes", {}).get("attributes", [])
        fields = {
            str(one["name"]): {"type": kinds.get(one.get("type", "string"), "string")}
            | ({"description": one["description"]} if one.get("description") else {})
            for one in attributes
            if one.get("name")
        }
        schema: Any = {"type": "object", "properties": fields}
    elif parameters.get("schemaType") == "fromJson":
        schema = schema_like(read_json(parameters.get("jsonSchemaExample", "{}"), builder.scope(node)))
    else:
        schema = _usable(read_json(parameters.get("inputSchema", "{}"), builder.scope(node)))

    def make(scope: Scope) -> dict[str, Any]:
        ask = {
            "id": "ask",
            "intent": "extract",
            "input": scope.template(parameters.get("text", "")),
            "prompt": "Extract what is said of each field.",
            "output": schema,
        }
        return {"steps": [ask], "returns": {"output": "{{ steps.ask.output }}"}}

    return mapped(node, builder.for_items(node, builder.items(node), make), pairs=True)


def classifier(builder: Builder, node: Node) -> Outcome:
    """Text Classifier and Sentiment Analysis: an output for each category."""
    parameters = node.parameters
    if node.kind == "sentimentAnalysis":
        names = str(parameters.get("options", {}).get("categories", "Positive, Neutral, Negative")).split(",")
        categories = [(name.strip(), "") for name in names]
    else:
        listed = parameters.get("categories", {}).get("categories", [])
        categories = [(str(one.get("category", "")), str(one.get("description", ""))) for one in listed]
    if parameters.get("options", {}).get("fallback") == "other":
        categories.append(("Other", "none of the others"))
    if not categories or any(name.startswith("=") for name, _ in categories):
        raise NotUnderstood("the categories")
    about = "; ".join(f"{name}: {text}" if text else name for name, text in categories)

    def make(scope: Scope) -> dict[str, Any]:
        text = scope.template(parameters.get("inputText", parameters.get("text", "")))
        ask = {
            "id": "ask",
            "intent": "enrich",
            "input": [{"text": text}],
            "prompt": f"Which category does the text belong to? {about}",
            "options": {"fields": ["category"], "allowed": {"category": [name for name, _ in categories]}},
        }
        returns = {"category": "{{ steps.ask.output[0].category }}", "record": "{{ item }}"}
        return {"steps": [ask], "returns": returns}

    told = builder.for_items(node, builder.items(node), make)
    outputs = {}
    for number, (name, _) in enumerate(categories):
        options = {"where": "item.category == values.category", "values": {"category": name}}
        chosen = builder.add(node, {"intent": "filter", "input": braces(told), "options": options}, name)
        step = {"intent": "transform", "input": braces(chosen), "options": {"op": "project", "path": "record"}}
        outputs[number] = builder.add(node, step, f"{name} records")

    def aligned(other: Builder, reader: Node, number: int, companion: str) -> str:
        laid = other.add(reader, beside(told, companion), "beside")
        options = {"where": "item.category == values.category", "values": {"category": categories[number][0]}}
        kept = other.add(reader, {"intent": "filter", "input": braces(laid), "options": options}, "beside chosen")
        return other.add(reader, {"intent": "transform", "input": braces(kept), "options": TAKE_OUT}, "belongs")

    return Outcome(node, "mapped", outputs=outputs, before=before_of(node), aligned=aligned)


MODELS: dict[str, Make] = {
    "chainLlm": chat,
    "agent": chat,
    "openAi": chat,
    "anthropic": chat,
    "googleGemini": chat,
    "ollama": chat,
    "mistralAi": chat,
    "chainSummarization": summarization,
    "informationExtractor": extractor,
    "textClassifier": classifier,
    "sentimentAnalysis": classifier,
}
"""Nodes by the last part of their type."""
