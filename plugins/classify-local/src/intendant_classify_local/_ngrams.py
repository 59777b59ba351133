"""The second view of a step: words and pairs of words of its names, as they are.

Trained by itself, and averaged with the features of `_features.py`. Both views are linear, so the mean of their
log-probabilities is one sum of weights. It errs elsewhere than the features do: it knows no concepts, but it
learned words that are in no table. Names of its features begin with `g`, then where they were seen.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

from intendant_classify_local._content import without_templates
from intendant_classify_local._view import StepView, words

_NAME_READ = 400
"""Characters of a text that are looked at."""
_MOST = 8
"""Words of a type, app or operation."""
_NAME, _DESCRIPTION, _PROMPT = 10, 12, 25
"""Words of the texts."""
_KEYS = 12
"""Parameters."""
_CHOICE, _CHOICE_WORDS = 32, 3
"""Characters of a value that may be a choice, and the words of it that count."""


def ngrams(view: StepView) -> list[str]:
    """The names of the n-grams of *view*, each once."""
    found: list[str] = []
    found += _machine(view.kind, view.plugin, view.action)
    if name := _words("gn", view.name, _NAME, found):
        found += [f"gnf:{name[0]}", f"gnl:{name[-1]}"]
    found += [f"gd:{word}" for word in _plain(view.description, _DESCRIPTION)]
    if view.prompt:
        _words("gp", without_templates(view.prompt[:_NAME_READ]), _PROMPT, found)
    _words("gf", view.callee, _MOST, found)
    found += [f"go:{name}" for name in view.output]
    _parameters(view, found)
    said = (view.kind, view.plugin, view.action, view.prompt, view.code, view.params)
    found.append("gs:" + "".join("1" if part else "0" for part in said))
    return list(dict.fromkeys(found))


@lru_cache(8192)
def _machine(kind: str, app: str, action: str) -> tuple[str, ...]:
    """What type, app and operation say; kept, because few of them make up most steps."""
    found: list[str] = []
    _words("gk", kind, _MOST, found)
    _words("gl", app, _MOST, found)
    said = _words("ga", action, _MOST, found)
    if said:
        found.append(f"gaf:{said[0]}")
    said = [*_plain(kind, _MOST), *_plain(app, _MOST), *said]
    _add("gm", said, found)
    if said:
        found.append(f"gml:{said[-1]}")
    return tuple(found)


def _plain(text: str, most: int) -> list[str]:
    return [word for word in words(text[:_NAME_READ]) if not word.isdigit()][:most] if text else []


def _words(where: str, text: str, most: int, found: list[str]) -> list[str]:
    said = _plain(text, most)
    _add(where, said, found)
    return said


def _add(where: str, said: Sequence[str], found: list[str]) -> None:
    found += [f"{where}:{word}" for word in said]
    found += [f"{where}:{one} {two}" for one, two in pairwise(said)]


def _parameters(view: StepView, found: list[str]) -> None:
    for key, value in list(view.params.items())[:_KEYS]:
        found.append(f"gy:{key[:30]}")
        if type(value) is str and 0 < len(value) < _CHOICE:
            found += [f"gv:{word}" for word in words(value)[:_CHOICE_WORDS]]
