"""Texts that are read by their lay-out, and that folding would damage, told by their lines."""

import re

LOOKED_AT = 300
"""Lines that are looked at."""
_CODE = re.compile(
    r"\s*(?:(?:async )?def |class |return\b|import |from \S+ import |(?:if|for|while|with|elif|else|try|except|switch)\b.*[:{]$"
    r"|@\w|func |fn |const |let |var |public |private |static |package |#include|\}|\)|//|/\*|\* )|.*[;{(\[,]$|\s*\"\"\""
)
_DIFF = re.compile(r"diff --git |@@ -\d|--- |\+\+\+ |Index: ")
_CONFIG = re.compile(r"\s*(?:- )?[\w./\"'-]+:(?:\s|$)|\s*- \S+$|\s*#")
CODE = 0.4
"""Share of lines from which text is taken for code."""
CONFIG = 0.7


def laid_out(text: str) -> bool:
    """True if *text* is code, a diff or a configuration file."""
    lines = [line for line in text[: LOOKED_AT * 200].split("\n", LOOKED_AT)[:LOOKED_AT] if line.strip()]
    if any(map(_DIFF.match, lines[:5])):
        return True
    for pattern, share in ((_CODE, CODE), (_CONFIG, CONFIG)):
        if sum(pattern.match(line[:200]) is not None for line in lines) > share * len(lines):
            return True
    return False
