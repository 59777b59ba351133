"""How tokens of texts and pictures are counted, by model."""

import re

from intendant.plugin import TokenCounting

_O200K = re.compile(r"gpt-(4o|4\.1|4\.5|5)|o\d|chatgpt-4o")
_CL100K = re.compile(r"gpt-(4-|4$|3\.5)")
"""Models whose encoding tiktoken's own table names."""
_NEWER = re.compile(r"gpt-\d")
NEWER_FACTOR = 1.2
"""For models that tiktoken's table does not name yet; o200k has been OpenAI's encoding since 2024."""
_IMAGES = ((re.compile(r"gpt-4o-mini"), 48_169), (re.compile(r"gpt-(5\.[56]|[6-9])"), 3_000))
IMAGE, FOREIGN_IMAGE = 6_150, 16_384
"""A picture takes, at high detail, 2500 patches times at most 2.46 (1.2 from gpt-5.5 on), or a base and eight
tiles, which are dear with gpt-4o-mini: https://developers.openai.com/api/docs/guides/images-vision. Other makers'
models take what they like; the largest known share is that of Qwen's."""


def counting(model: str, *, own: bool) -> TokenCounting:
    """Exact where the model's encoding is known; from above for newer models and those of other makers.

    Args:
        model: Its name.
        own: True if OpenAI itself is asked.
    """
    image = next((tokens for name, tokens in _IMAGES if name.match(model)), IMAGE)
    image = image if own else max(image, FOREIGN_IMAGE)
    if _O200K.match(model):
        return TokenCounting("o200k_base", factor=1.0, exact=True, image=image)
    if _CL100K.match(model):
        return TokenCounting("cl100k_base", factor=1.0, exact=True, image=image)
    return TokenCounting(factor=NEWER_FACTOR, image=image) if _NEWER.match(model) else TokenCounting(image=image)
