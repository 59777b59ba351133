"""Counts by the server itself, where it counts for nothing: OpenAI, llama.cpp and vLLM.

Which server this is is asked once, with a GET of its list of models, which no server charges. Only then is
anything posted to addresses that other servers do not know.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from intendant.plugin import ProviderError
from intendant_provider_openai import _chat, _responses
from intendant_provider_openai._ask import Ask

if TYPE_CHECKING:
    from openai import AsyncOpenAI

Counter = Literal["openai", "llamacpp", "vllm", "none"]
_OWNERS: Mapping[str, Counter] = {"llamacpp": "llamacpp", "vllm": "vllm"}
_WINDOWS = ("max_model_len", "n_ctx", "context_length", "context_window")


async def find(client: "AsyncOpenAI", model: str) -> tuple[Counter, int | None]:
    """Which way of counting a server knows, and the model's context window if it says so.

    Raises:
        openai.OpenAIError: It does not answer.
    """
    found: Any = await client.get("/models", cast_to=object)
    entries = found.get("data") if isinstance(found, Mapping) else None
    listed = [entry for entry in entries or () if isinstance(entry, Mapping)] if isinstance(entries, list) else []
    mine = next((entry for entry in listed if entry.get("id") == model), listed[0] if len(listed) == 1 else {})
    owner = str(mine.get("owned_by", "")).lower()
    return _OWNERS.get(owner, "none"), _window(mine)


def _window(entry: Mapping[str, Any]) -> int | None:
    inner = entry.get("meta")
    places = (entry, inner) if isinstance(inner, Mapping) else (entry,)
    found = (place.get(name) for name in _WINDOWS for place in places)
    return next((value for value in found if isinstance(value, int) and not isinstance(value, bool)), None)


async def count(client: "AsyncOpenAI", kind: Counter, ask: Ask) -> int:
    """Input tokens of a request.

    Raises:
        openai.OpenAIError: It does not answer.
        ProviderError: It answers with something else than a count.
    """
    if kind == "openai":
        counted: Any = (await client.responses.input_tokens.count(**_responses.prompt(ask))).input_tokens
    elif kind == "llamacpp":
        answer: Any = await client.post("/chat/completions/input_tokens", body=_body(ask), cast_to=object)
        counted = answer.get("input_tokens") if isinstance(answer, Mapping) else None
    else:
        address = urlsplit(str(client.base_url))
        url = f"{address.scheme}://{address.netloc}/tokenize"
        answer = await client.post(url, body=_body(ask), cast_to=object)
        counted = answer.get("count") if isinstance(answer, Mapping) else None
    if not isinstance(counted, int) or isinstance(counted, bool) or counted <= 0:
        raise ProviderError("openai counted no tokens", billed=False)
    return counted


def _body(ask: Ask) -> dict[str, Any]:
    body: dict[str, Any] = {"model": ask.model, "messages": _chat.turns(ask)}
    if ask.request.tools:
        body["tools"] = [
            {"type": "function", "function": tool.model_dump(mode="json")} for tool in ask.request.tools
        ]
    return body
