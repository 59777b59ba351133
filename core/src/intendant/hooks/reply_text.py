"""What a model wrote, made usable: broken characters replaced, reasoning told apart from the answer, JSON found.

Providers call these functions on what they receive, and the gateway calls them again on every reply, so that a
provider that does not know them is covered too. All of them may be applied twice.
"""

import json
import re
from collections.abc import Iterator, Mapping

from intendant.model.results import ModelReply, Route
from intendant.model.workflow import Json

TRIES = 200
"""Places in an answer at which a JSON value is looked for."""
DEEPEST = 1000
"""Nesting that Python's own reader takes."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_OPENING = re.compile(r"[\[{]")
_STRUCTURED = re.compile(r'\{\s*(?:["}]|$)|\[\s*(?:["\[\]{\d-]|$)')
"""How JSON begins, as opposed to brackets in prose."""
_JSON_PARTS = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\Z)|[\[\]{}]', re.DOTALL)
_CONSTANTS = re.compile(r"(?<![\w\"])(NaN|-?Infinity)(?![\w\"])")


def repaired(text: str) -> str:
    """*text* with halves of surrogate pairs joined where both are there, and replaced by U+FFFD where one is
    missing. Half a pair can be neither stored nor sent.
    """
    if text.isascii() or _SURROGATE.search(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def repaired_json(value: Json) -> Json:
    """*value* with every string in it `repaired`, keys included."""
    if isinstance(value, str):
        return repaired(value)
    if isinstance(value, dict):
        return {repaired(key): repaired_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [repaired_json(item) for item in value]
    return value


# --- reasoning ---

_NAMES = "think|thinking|thought|thoughts|reasoning"
_OPEN = re.compile(rf"<({_NAMES})>|\[(THINK)\]|◁(think)▷", re.IGNORECASE)
_CLOSE = re.compile(rf"</({_NAMES})>|\[/(THINK)\]|◁/(think)▷", re.IGNORECASE)
_FENCE = re.compile(r"^(?:```|~~~)", re.MULTILINE)
_MARKS = re.compile(
    rf"^(?P<fence>```|~~~)|^[ \t]*(?P<open>{_OPEN.pattern})|{_CLOSE.pattern}", re.MULTILINE | re.IGNORECASE
)
_AT_A_LINE = re.compile(r"[ \t]*(?:\n|$|[\[{`~])")
_LEADING = re.compile(rf"\s*(?:{_OPEN.pattern})", re.IGNORECASE)
LONGEST_TAG = 12
"""Characters of the longest tag that opens or closes a block of reasoning."""


def split_thoughts(text: str) -> tuple[str, str]:
    """What of *text* is the answer, and what is reasoning. Takes time linear in the text's length.

    Models that reason in their text enclose it in tags such as `<think>…</think>`. A block counts as reasoning
    at the beginning of the text, and elsewhere where it has lines of its own outside of code fences; a tag that
    stands in a sentence is the answer's. A block that is never closed was cut off: all that follows is
    reasoning. Where a template opened the block in the prompt, only its end is in the text.
    """
    if not ("<" in text or "[" in text or "◁" in text):
        return text, ""
    if _CLOSE.search(text) is None and _OPEN.match(text.lstrip()) is None:
        return text, ""
    text, *unopened = _without_unopened(text)
    text, leading = _without_leading(text)
    text, enclosed = _without_enclosed(text)
    return text, "\n".join(part for part in (*unopened, *leading, *enclosed) if part)


def _without_unopened(text: str) -> tuple[str, ...]:
    """Everything up to the end of a block that begins nowhere is reasoning."""
    close = _CLOSE.search(text)
    if close is None or _OPEN.search(text, 0, close.start()) is not None:
        return (text,)
    if _AT_A_LINE.match(text, close.end()) is None or len(_FENCE.findall(text, 0, close.start())) % 2:
        return (text,)
    return text[close.end() :].lstrip(), text[: close.start()].strip()


def _without_leading(text: str) -> tuple[str, list[str]]:
    thoughts: list[str] = []
    at = 0
    while opening := _LEADING.match(text, at):
        closes = (mark for mark in _CLOSE.finditer(text, opening.end()) if _name(mark) == _name(opening))
        close = next(closes, None)
        thoughts.append(text[opening.end() : None if close is None else close.start()].strip())
        at = len(text) if close is None else close.end()
    return (text[at:].lstrip() if thoughts else text), thoughts


def _without_enclosed(text: str) -> tuple[str, list[str]]:
    """Without blocks that have lines of their own."""
    kept, thoughts, at = [], [], 0
    fenced = False
    opening: re.Match[str] | None = None
    for mark in _MARKS.finditer(text):
        if mark["fence"]:
            fenced = not fenced if opening is None else fenced
        elif mark["open"] and opening is None and not fenced:
            opening = _OPEN.match(text, mark.start("open"))
        elif (
            opening is not None and (close := _CLOSE.match(text, mark.start())) and _name(close) == _name(opening)
        ):
            if _AT_A_LINE.match(text, close.end()) is not None:
                kept.append(text[at : opening.start()])
                thoughts.append(text[opening.end() : close.start()].strip())
                at = close.end()
            opening = None
    return ("".join((*kept, text[at:])).strip() if kept else text), thoughts


def _name(mark: re.Match[str]) -> tuple[int | None, str]:
    return mark.lastindex, mark[mark.lastindex or 0].lower()


class ThoughtSplitter:
    """Tells reasoning from the answer while both arrive in pieces; for blocks at the beginning of an answer."""

    def __init__(self) -> None:
        self._held = ""
        self._opening: re.Match[str] | None = None
        self._answering = False

    def feed(self, piece: str) -> tuple[str, str]:
        """What of the text until now is new and certain: the answer's part, and the reasoning's.

        A piece of which it is not yet known what it belongs to is kept for the next call, or for `rest`.
        """
        if self._answering:
            return self._whole(piece), ""
        self._held += piece
        thoughts: list[str] = []
        while True:
            if self._opening is None:
                begun = self._held.lstrip()
                self._opening = _OPEN.match(begun)
                if self._opening is None:
                    return self._answer_from(begun), "".join(thoughts)
                self._held = begun[self._opening.end() :]
            close = _CLOSE.search(self._held)
            if close is None:
                cut = max(0, len(self._held) - LONGEST_TAG)
                thoughts.append(self._held[:cut])
                self._held = self._held[cut:]
                return "", "".join(thoughts)
            thoughts.append(self._held[: close.start()])
            self._held, self._opening = self._held[close.end() :], None

    def rest(self) -> tuple[str, str]:
        """What was kept when the stream ended."""
        held, self._held = repaired(self._held), ""
        return ("", held) if self._opening is not None else (held, "")

    def _answer_from(self, begun: str) -> str:
        if not begun or (begun[0] in "<[◁" and len(begun) < LONGEST_TAG and not begun[-1].isspace()):
            return ""
        self._answering, self._held = True, ""
        return self._whole(begun)

    def _whole(self, piece: str) -> str:
        """The text without the half of a surrogate pair at its end, whose other half is on its way."""
        piece, self._held = self._held + piece, ""
        if piece and "\ud800" <= piece[-1] <= "\udbff":
            piece, self._held = piece[:-1], piece[-1]
        return repaired(piece)


# --- JSON ---


def json_in(text: str, schema: Mapping[str, Json] | None = None) -> Json:
    """The JSON value that a model's answer holds; None if it holds none.

    The whole answer if that is JSON. Else the last complete object or array in it, fenced or not, that is of the
    type that *schema* names and has the properties it requires; else the last of that type. Models correct
    themselves: what they wrote last is what they mean. Values inside of one that is broken off are no answer.
    `NaN` and `Infinity` are no JSON numbers.
    """
    text = text.strip()
    try:
        whole: Json = _DECODER.decode(text)
    except (ValueError, RecursionError):
        pass  # The whole is no JSON: a value in it may be.
    else:
        return whole if not isinstance(whole, str) or _is_of_type(whole, schema) else json_in(whole, schema)
    drafts = [value for value in _values(text) if _is_of_type(value, schema)]
    fitting = [value for value in drafts if _has_required(value, schema)]
    return (fitting or drafts or [None])[-1]


def why_no_json(text: str) -> str:
    """Why `json_in` finds nothing in *text*, in a few words."""
    if constant := _CONSTANTS.search(text):
        return f"{constant[1]} is no JSON number"
    opening = _STRUCTURED.search(text)
    if opening is not None and _end_of(text, opening.start()) is None:
        return "the JSON breaks off before its end"
    return "it is not JSON"


def _refuse(constant: str) -> Json:
    raise ValueError(f"{constant} is no JSON number")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def _values(text: str) -> Iterator[Json]:
    """Each complete object or array that stands in *text* by itself."""
    at = 0
    for _ in range(TRIES):
        opening = _OPENING.search(text, at)
        if opening is None:
            return
        at = opening.end()
        try:
            value, at = _DECODER.raw_decode(text, opening.start())
        except (ValueError, RecursionError):
            if _STRUCTURED.match(text, opening.start()):
                end = _end_of(text, opening.start())
                if end is None:
                    return
                at = end
        else:
            yield value


def _end_of(text: str, start: int) -> int | None:
    """Where the brackets that open at *start* are closed."""
    depth = 0
    for part in _JSON_PARTS.finditer(text, start):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(part[0], 0)
        if depth == 0:
            return part.end()
        if depth > DEEPEST:
            return None
    return None


def _is_of_type(value: Json, schema: Mapping[str, Json] | None) -> bool:
    wanted = (schema or {}).get("type")
    named = {"object": dict, "array": list}
    return not isinstance(wanted, str) or wanted not in named or isinstance(value, named[wanted])


def _has_required(value: Json, schema: Mapping[str, Json] | None) -> bool:
    required = (schema or {}).get("required")
    if not isinstance(value, dict) or not isinstance(required, list):
        return True
    return all(name in value for name in required)


def length_hint(reply: ModelReply, route: Route | None, asked: int | None = None) -> str:
    """What to do where an answer broke off at its length limit: it says which of the limits that was.

    Args:
        reply: The answer.
        route: The model that was asked.
        asked: What the request itself clamped the answer to, in tokens.
    """
    used = reply.usage.output_tokens
    if route is not None and used >= route.max_output_tokens:
        return (
            f"the tier '{route.tier}' admits {route.max_output_tokens} output tokens: raise "
            f'plugins.settings."tier:{route.tier}".max_output_tokens, or ask for less'
        )
    if asked is not None and used >= asked:
        return f"the step asks for at most {asked} output tokens: raise its `max_words`"
    return "give the step more tokens: raise the workflow's `budget`, or the setting budget.tokens_per_step"
