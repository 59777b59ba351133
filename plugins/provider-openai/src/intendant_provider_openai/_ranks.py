"""The tokenizers that OpenAI has published, on this machine and without a network.

`bpe-openai` is the faster engine where it is installed (`pip install 'intendant[tokens]'`). Else tiktoken
counts, with ranks that it has kept in its own cache folder, or with those inside the distribution `bpe-openai`,
whose compiled part does not run everywhere. Both count the same; a test holds them to it. Without ranks there is
no tokenizer: tiktoken would fetch them, and nothing is ever fetched here.
"""

import gzip
import hashlib
import os
import tempfile
import warnings
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType
from typing import Any

from intendant.plugin import sendable


class Tokenizer:
    """Counts tokens of a text by a published vocabulary.

    Args:
        name: The vocabulary's name.
        count: Counts tokens of text that can be encoded; names of special tokens are text.
        engine: The library that counts.
    """

    def __init__(self, name: str, count: Callable[[str], int], engine: str) -> None:
        self.name = name
        self.engine = engine
        self._count = count

    def __call__(self, text: str) -> int:
        """Tokens of *text*."""
        try:
            return self._count(text)
        except UnicodeEncodeError:
            return self._count(sendable(text))  # Half a character is sent as a replacement character.


@lru_cache(maxsize=4)
def tokenizer(name: str) -> Tokenizer | None:
    """The tokenizer of a vocabulary; None if its ranks are not on this machine. Loading takes up to a second."""
    return _by_bpe_openai(name) or by_tiktoken(name)


def _by_bpe_openai(name: str) -> Tokenizer | None:
    with warnings.catch_warnings():
        # Version 0.1.4 reads its ranks, on import, through a function of importlib.resources that is deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            from bpe_openai._bindings import tokenizer_for_encoding
        except ImportError:
            return None
        # The package's own wrapper takes three times as long and refuses texts that hold `<|endoftext|>`.
        return Tokenizer(name, tokenizer_for_encoding(name).count, "bpe-openai")


def by_tiktoken(name: str) -> Tokenizer | None:
    """The tokenizer of a vocabulary, counted by tiktoken; None if its ranks are not on this machine."""
    import tiktoken

    try:
        encoding = tiktoken.Encoding(**_described(name))
    except LookupError:
        return None
    return Tokenizer(name, lambda text: len(encoding.encode_ordinary(text)), "tiktoken")


def _described(name: str) -> dict[str, Any]:
    """What tiktoken's own table says of a vocabulary, with ranks from this machine instead of the network.

    Raises:
        LookupError: There are none.
    """
    from tiktoken_ext import openai_public

    found = openai_public.ENCODING_CONSTRUCTORS[name]
    # The same code, with a reader that knows no network: it is called with the address and the digest of the
    # ranks.
    made: dict[str, Any] = FunctionType(found.__code__, {**vars(openai_public), "load_tiktoken_bpe": _read})()
    return made


def _read(url: str, expected_hash: str) -> Mapping[bytes, int]:
    for data in _copies(url):
        if hashlib.sha256(data).hexdigest() == expected_hash:
            lines = (line.split() for line in data.splitlines() if line)
            return {b64decode(token): int(rank) for token, rank in lines}
    raise LookupError(url)


def _copies(url: str) -> Iterator[bytes]:
    """What may be the file at *url*: in tiktoken's cache folder, and inside the distribution `bpe-openai`."""
    folder = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR"))
    cache = Path(tempfile.gettempdir(), "data-gym-cache") if folder is None else Path(folder)
    kept = cache / hashlib.sha1(url.encode(), usedforsecurity=False).hexdigest()
    if folder != "" and kept.is_file():
        yield kept.read_bytes()
    spec = find_spec("bpe_openai")
    for place in (spec.submodule_search_locations or ()) if spec is not None else ():
        packed = Path(place, "data", f"{url.rpartition('/')[2]}.gz")
        if packed.is_file():
            yield gzip.decompress(packed.read_bytes())
