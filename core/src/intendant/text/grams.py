"""Parts of words, by which texts in any language are found again whatever forms their words take.

A word is cut into pieces of four letters, the first with a mark before it: forms (`invoice`, `invoicing`),
compounds (`Rechnungsformat`) and slips share most of them. Accents and case do not count. Scripts without spaces
between words are cut into single characters and pairs. (Character n-grams of four are what McNamee and Mayfield,
2004, found best for retrieval in European languages, and pairs are usual for Chinese and Japanese.)
"""

import re
import unicodedata
from collections import Counter
from zlib import crc32

SIZE = 4
_WORD = re.compile(r"\w+")
_UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_RUNS = re.compile(f"[{_UNSPACED}]+|[^{_UNSPACED}]+")
_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_KANA_END = "\u309f"
_LETTERS = str.maketrans({"\u0131": "i", "ł": "l", "ø": "o", "đ": "d", "æ": "ae", "œ": "oe", "þ": "th"})
"""Letters that Unicode does not take apart."""


def folded(text: str) -> str:
    """A text without case and accents."""
    apart = unicodedata.normalize("NFKD", text.casefold()).translate(_LETTERS)
    return "".join(letter for letter in apart if not unicodedata.combining(letter))


def grams_of(text: str) -> Counter[str]:
    """The parts of a text's words, and how often each occurs."""
    found: Counter[str] = Counter()
    for word in _WORD.findall(folded(text)):
        for run in _RUNS.findall(word):
            found.update(_unspaced(run) if _IS_UNSPACED.match(run) else _spaced(run))
    return found


def _spaced(word: str) -> list[str]:
    """The pieces of a word; short words whole."""
    if len(word) < SIZE - 1:
        return [f"={word}"]
    marked = f"^{word}"
    return [marked[start : start + SIZE] for start in range(len(marked) - SIZE + 1)]


def _unspaced(run: str) -> list[str]:
    """Characters and pairs of them, without pairs of hiragana alone, which is mostly grammar."""
    single = [character for character in run if character > "\u30ff"]
    pairs = (run[start : start + 2] for start in range(len(run) - 1))
    return single + [pair for pair in pairs if not pair[0] <= _KANA_END >= pair[1]]


def term_of(gram: str) -> int:
    """A number that stands for a part of a word in an index."""
    return crc32(gram.encode("utf-8", "surrogatepass"))


def terms_of(text: str) -> list[int]:
    """The numbers of the parts of a text's words, each once, in order."""
    return list(dict.fromkeys(term_of(gram) for gram in grams_of(text)))
