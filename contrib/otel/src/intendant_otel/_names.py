"""The names of OpenTelemetry's conventions for generative AI, by version: all of them are in development, and
change. Sources: open-telemetry/semantic-conventions v1.41.0 and open-telemetry/semantic-conventions-genai v0.1.0.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Names(NamedTuple):
    """The names of one version.

    Attributes:
        provider: The attribute with the provider's name.
        duration: The histogram of seconds that model calls take.
        tokens: The instrument that counts tokens, by kind of token.
        token_type: The attribute that tells kinds of token apart, where one instrument counts all; else empty.
    """

    provider: str
    duration: str
    tokens: Mapping[str, str]
    token_type: str = ""


_ONE = "gen_ai.client.token.usage"
_USAGE = "gen_ai.client.inference.usage"
VERSIONS: Mapping[str, Names] = {
    "1.41.0": Names(
        "gen_ai.provider.name",
        "gen_ai.client.operation.duration",
        {"input": _ONE, "output": _ONE},
        "gen_ai.token.type",
    ),
    "genai-0.1.0": Names(
        "gen_ai.provider.name",
        "gen_ai.client.inference.duration",
        {
            "input": f"{_USAGE}.input_tokens",
            "output": f"{_USAGE}.output_tokens",
            "cache_read": f"{_USAGE}.cache_read.input_tokens",
            "cache_write": f"{_USAGE}.cache_write.input_tokens",
            "reasoning": f"{_USAGE}.reasoning.output_tokens",
        },
    ),
}
OPERATION = "gen_ai.operation.name"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
WORKFLOW = "gen_ai.workflow.name"
AGENT = "gen_ai.agent.name"
TOOL = "gen_ai.tool.name"
ERROR = "error.type"
