"""Phrases that come again, each said once and then by a sign. Only for who asks for `dense` text.

    (each sign stands for the text after it)
    的=https://api.example.org/repos/
    一= has been closed by

    1,的intendant,open
    2,的headroom,open

Published reading tests show that models read values less well that are split in this way. Signs are Chinese
characters, of which each is one token, and none of which is in the text. Phrases have whole words, and are looked
for by their length in words, the longest first: the time is linear in the length of the text.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

HEAD = "(each sign stands for the text after it)"
SIGNS = (
    "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方后多定行学法所民得经十三之"
    "进着等部度家电力里如水化高自二理起小物现实加量都两体制机当使点从业本去把性好应开它合还因由其些然前外天政四日那社义事平形相全表间样与关各"
    "重新线内数正心反你明看原又么利比或但质气第向道命此变条只没结解问意建月公无系军很情者最立代想已通并提直题党程展五果料象员革位入常文总次品式"
)
SIZES = (40, 28, 20, 14, 10, 7, 5, 4, 3, 2, 1)
"""Words of phrases."""
MOST_TEXT = 2_000_000
"""Characters above which text is left as it is."""
LEAST_LENGTH = 6
"""Characters of a phrase."""
LETTERS = 3.5
"""Characters of a token, about."""
LEAST_GAIN = 3.0
"""Tokens that a phrase has to save, about."""
_PIECES = re.compile(r"\n| *[^\W_]+| +|[^\w\s]|_|[^\S\n]")


def condensed(text: str) -> str | None:
    """*text* with signs for the phrases that come again; None if there are none, or it has such signs already."""
    if text.startswith(HEAD) or len(text) > MOST_TEXT:
        return None
    signs = iter(sorted(set(SIGNS).difference(text), key=SIGNS.index))
    told: dict[str, str] = {}
    for size in SIZES:
        text = _replaced(text, size, signs, told)
    if not told:
        return None
    legend = [f"{sign}={phrase}" for sign, phrase in told.items()]
    return "\n".join([HEAD, *legend, "", text])


def spelled_out(text: str) -> str:
    """The text that `condensed` changed.

    Raises:
        ValueError: This is no such text.
    """
    head, *lines = text.split("\n")
    if head != HEAD or "" not in lines:
        raise ValueError("this is no text with signs")
    end = lines.index("")
    told = {}
    for line in lines[:end]:
        sign, _, phrase = line.partition("=")
        if len(sign) != 1:
            raise ValueError(f"this line should say what a sign stands for: {line[:80]}")
        told[ord(sign)] = phrase
    return "\n".join(lines[end + 1 :]).translate(told)


def _replaced(text: str, size: int, signs: Iterator[str], told: dict[str, str]) -> str:
    """*text* with signs, added to *told*, for phrases of *size* words."""
    pieces = _PIECES.findall(text)
    if "".join(pieces) != text:
        return text
    phrases = list(_phrases(text, pieces, size, told))
    counts = Counter(phrase for phrase in phrases if phrase is not None)
    worth = {phrase: _gain(phrase, count) for phrase, count in counts.items() if count > 1}
    chosen: dict[str, str] = {}
    for phrase in sorted((one for one, gain in worth.items() if gain >= LEAST_GAIN), key=worth.__getitem__)[::-1]:
        sign = next(signs, None)
        if sign is None:
            break
        chosen[phrase] = sign
    if not chosen:
        return text
    written: list[str] = []
    at = 0
    while at < len(pieces):
        sign = chosen.get(phrases[at] or "") if at < len(phrases) else None
        written.append(pieces[at] if sign is None else sign)
        at += 1 if sign is None else size
    text = "".join(written)
    # Phrases that overlap take from each other: what is left may not pay.
    poor = {ord(sign): phrase for phrase, sign in chosen.items() if _gain(phrase, text.count(sign)) < LEAST_GAIN}
    told.update({sign: phrase for phrase, sign in chosen.items() if ord(sign) not in poor})
    return text.translate(poor)


def _phrases(text: str, pieces: Sequence[str], size: int, told: dict[str, str]) -> Iterator[str | None]:
    """The phrase that begins with each piece; None where it is too short, has signs or leaves its line."""
    ends = [0]
    for piece in pieces:
        ends.append(ends[-1] + len(piece))
    # How many pieces from each on can be in a phrase.
    free = 0
    room = [0] * len(pieces)
    for at in range(len(pieces) - 1, -1, -1):
        free = 0 if pieces[at] == "\n" or not told.keys().isdisjoint(pieces[at]) else free + 1
        room[at] = free
    for at in range(len(pieces) - size + 1):
        phrase = text[ends[at] : ends[at + size]] if room[at] >= size else ""
        yield phrase if len(phrase) >= LEAST_LENGTH else None


def _gain(phrase: str, count: int) -> float:
    """Tokens saved, about."""
    size = len(phrase) / LETTERS
    return count * (size - 1) - size - 3
