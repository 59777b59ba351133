"""Talk as one would write it down: without hesitations, words said twice and the marks of who transcribed it."""

import re

_MARK = re.compile(r" ?\{[a-z]+\}| ?\[(?:laughter|laughs|pause|inaudible|crosstalk|noise)\]", re.IGNORECASE)
_HESITATION = re.compile(r"(?<![\w-])(?:u[hm]+|mm+|h+mm*|er+m?)(?![\w'-]) ?[,.]? ?", re.IGNORECASE)
_AGAIN = re.compile(r"(?<![\w'-])([^\W\d][\w']*)(?: ?,? \1)+(?![\w'-])", re.IGNORECASE)
_GAP = re.compile(r"(?<! ) +(?=[,.?!])")
_NOTHING = re.compile(r"^[A-Z][\w .'-]{0,60}:[ .,?!]*\n", re.MULTILINE)


def written_down(text: str) -> str:
    """*text*, which is a transcript, without what says nothing; turns of which nothing is left go."""
    text = _HESITATION.sub("", _MARK.sub("", text))
    return _NOTHING.sub("", _GAP.sub("", _AGAIN.sub(r"\1", text)))
