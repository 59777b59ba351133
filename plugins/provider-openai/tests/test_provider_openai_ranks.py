"""Vocabularies on this machine: two engines that count the same, and never a network."""

import base64
import hashlib
import importlib.util
import random
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from intendant_provider_openai import OpenaiProvider, _ranks

NAMES = ("o200k_base", "cl100k_base")
INSTALLED = importlib.util.find_spec("bpe_openai") is not None
packed = pytest.mark.skipif(not INSTALLED, reason="needs the distribution bpe-openai: intendant[tokens]")
chance = random.Random(3)
TEXTS = [
    "",
    "Hello world",
    "The pump <|endoftext|> in <|fim_prefix|> spring.",
    " ".join(str(chance.randrange(10**15)) for _ in range(50)),
    base64.b64encode(chance.randbytes(600)).decode(),
    "-" * 500 + "=" * 33 + "\r\n\r\n \t x",
    "\u092e\u094c\u0938\u092e \u0e27\u0e31\u0e19 \u03ba\u03b1\u03b9 \u0627\u0644\u062c\u0648 \u6587\u5b57 \ud55c\uad6d",
    "\U0001f469\u200d\U0001f680 \ufdfa \u0958",
    "isn't IT'S we'LL don't",
    "half \ud83d a character",
    "a" * 20_000,
]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks the network fails."""

    def refuse(*_: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without ranks: an empty cache folder, and no distribution that brings them."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(_ranks, "find_spec", lambda _: None)
    monkeypatch.setitem(sys.modules, "bpe_openai._bindings", None)
    _ranks.tokenizer.cache_clear()
    yield tmp_path  # type: ignore[misc]
    _ranks.tokenizer.cache_clear()


@packed
@pytest.mark.parametrize("name", NAMES)
def test_both_engines_count_the_same(name: str) -> None:
    fast, other = _ranks.tokenizer(name), _ranks.by_tiktoken(name)
    assert fast is not None
    assert other is not None
    assert (fast.engine, other.engine, fast.name, other.name) == ("bpe-openai", "tiktoken", name, name)
    for text in TEXTS:
        assert fast(text) == other(text), text[:40]


@packed
@given(st.text(max_size=200))
def test_both_engines_count_any_text_the_same(text: str) -> None:
    fast, other = _ranks.tokenizer("o200k_base"), kept("o200k_base")
    assert fast is not None
    assert fast(text) == other(text)


_KEPT: dict[str, Any] = {}


def kept(name: str) -> Any:
    if name not in _KEPT:
        _KEPT[name] = _ranks.by_tiktoken(name)
    return _KEPT[name]


@packed
def test_tiktoken_counts_where_the_compiled_part_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the ranks that the distribution brings all the same."""
    monkeypatch.setitem(sys.modules, "bpe_openai._bindings", None)
    _ranks.tokenizer.cache_clear()
    try:
        found = _ranks.tokenizer("cl100k_base")
    finally:
        _ranks.tokenizer.cache_clear()
    assert found is not None
    assert (found.engine, found("Hello world")) == ("tiktoken", 2)


@packed
def test_tiktoken_counts_with_what_it_has_kept(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gzip

    place = importlib.util.find_spec("bpe_openai")
    assert place is not None
    assert place.submodule_search_locations is not None
    source = Path(place.submodule_search_locations[0], "data/o200k_base.tiktoken.gz")
    url = "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken"
    (nowhere / hashlib.sha1(url.encode()).hexdigest()).write_bytes(gzip.decompress(source.read_bytes()))
    found = _ranks.tokenizer("o200k_base")
    assert found is not None
    assert (found.engine, found("Hello world")) == ("tiktoken", 2)


@pytest.mark.parametrize("name", NAMES)
def test_without_ranks_there_is_no_tokenizer_and_the_bound_says_so(
    nowhere: Path, name: str, monkeypatch: Any
) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert _ranks.tokenizer(name) is None
    how = OpenaiProvider().token_counting("gpt-4o")
    assert (how.exact, how.count, how.tokenizer) == (False, None, "byte_bpe")
    assert OpenaiProvider().tokenizer() is None


def test_damaged_ranks_are_not_used(nowhere: Path) -> None:
    url = "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken"
    place = nowhere / hashlib.sha1(url.encode()).hexdigest()
    place.write_bytes(b"aGk= 0\n")
    assert _ranks.tokenizer("o200k_base") is None
    assert place.is_file(), "it is not ours to delete"


def test_a_cache_folder_that_is_switched_off_is_not_looked_into(nowhere: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")
    assert _ranks.tokenizer("o200k_base") is None
