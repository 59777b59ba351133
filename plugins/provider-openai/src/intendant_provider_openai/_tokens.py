"""How tokens of texts and pictures are counted and bounded, by model."""

import re
from typing import Literal

from intendant.plugin import TokenCounting
from intendant_provider_openai._ranks import tokenizer

TokenizerName = Literal["o200k_base", "cl100k_base", "byte_bpe", "sentencepiece", "unknown"]
NEAREST = "o200k_base"
"""The vocabulary of OpenAI's models since 2024, and the one by which others are estimated."""
_O200K = re.compile(r"gpt-(4o|4\.1|4\.5|5)|o\d|chatgpt-4o")
_CL100K = re.compile(r"gpt-(4-|4$|3\.5)")
"""Models whose vocabulary tiktoken's own table names."""
_NEWER = re.compile(r"gpt-\d")
NEWER_FACTOR = 1.2
"""For estimates of models that tiktoken's table does not name yet."""
_IMAGES = ((re.compile(r"gpt-4o-mini"), 48_169), (re.compile(r"gpt-(5\.[56]|[6-9])"), 3_000))
IMAGE, FOREIGN_IMAGE = 6_150, 16_384
"""A picture takes, at high detail, 2500 patches times at most 2.46 (1.2 from gpt-5.5 on), or a base and eight
tiles, which are dear with gpt-4o-mini: https://developers.openai.com/api/docs/guides/images-vision. Other makers'
models take what they like; the largest known share is that of Qwen's."""
MESSAGE, REQUEST, TOOLS, SCHEMA = 16, 256, 1_024, 96
"""What templates of other makers' models add at most, in tokens of a byte: to a message (ChatML 18 bytes in five
tokens), to a request (a default system text, a date), where tools are offered, and for a schema said in words."""


def counting(model: str, *, own: bool, stated: TokenizerName | None = None) -> TokenCounting:
    """Exact where the model's vocabulary is known and its ranks are here; else bounded.

    Args:
        model: Its name, which says nothing about the model at a server that is not OpenAI's.
        own: True if OpenAI itself is asked.
        stated: The tokenizer that the settings state for the model.
    """
    image = next((tokens for name, tokens in _IMAGES if name.match(model)), IMAGE)
    if stated is not None and stated.endswith("_base"):
        vocabulary: str | None = stated
    else:
        vocabulary = _vocabulary(model) if own else None
    if not own:
        return _foreign(stated, vocabulary, max(image, FOREIGN_IMAGE))
    if vocabulary is not None:
        exact = tokenizer(vocabulary)
        return TokenCounting(exact, factor=1.0, exact=exact is not None, image=image)
    near = tokenizer(NEAREST) if _NEWER.match(model) else None
    return TokenCounting(near, factor=NEWER_FACTOR if near else 1.5, image=image)


def _vocabulary(model: str) -> str | None:
    if _O200K.match(model):
        return "o200k_base"
    return "cl100k_base" if _CL100K.match(model) else None


def _foreign(stated: TokenizerName | None, vocabulary: str | None, image: int) -> TokenCounting:
    exact = tokenizer(vocabulary) if vocabulary else None
    return TokenCounting(
        exact,
        factor=1.5 if exact is None else 1.0,
        exact=exact is not None,
        tokenizer=stated if stated in ("sentencepiece", "unknown") else "byte_bpe",
        tools=TOOLS,
        image=image,
        message=MESSAGE,
        request=REQUEST,
        schema=SCHEMA,
        margin=1.0,  # What counts there is the server that will charge.
    )
