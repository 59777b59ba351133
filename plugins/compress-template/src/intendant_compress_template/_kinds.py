"""Texts that are read by their lay-out, and that folding would damage, told by their lines."""

import json
import re

LOOKED_AT = 300
"""Lines that are looked at."""
_CODE = re.compile(
    r"\s*(?:(?:async )?def |class |return\b|import |from \S+ import |@\w|func |fn |const |let |var |public "
    r"|private |static |package |#include|\}|\)|//|/\*|\* "
    r"|(?:if|for|while|with|elif|else|try|except|switch)\b.*[:{]$)"
    r"|.*[;{(\[,]$|\s*\"\"\""
)
_SIGNATURE = re.compile(
    r"\s*(?:(?:async )?def \w+\(.*[:,(]$|class \w+.*[:{]$|(?:pub )?fn \w+|func [\w(]"
    r"|(?:export )?(?:async )?function \w)"
)
_DIFF = re.compile(r"diff --git |@@ -\d+(?:,\d+)? \+\d")
_MARKDOWN = re.compile(r"#{1,6} \S|```|~~~|={4,}\s*$|\.\. [\w-]+::")
_CONFIG = re.compile(r"\s*(?:- )?[\w./\"'-]+:(?:\s|$)|\s*- \S+$|\s*#")
_HTML = re.compile(r"\s*+<(?:(?:!doctype|html|head|body|\?xml)\b|!--)", re.IGNORECASE)
CODE = 0.4
"""Share of lines from which text is taken for code."""
SIGNATURES = 0.06
"""Share of lines that begin functions and classes from which text is taken for code; a traceback shows fewer."""
CONFIG = 0.7
MARKDOWN = 4
"""Headings, rules and fences from which text is taken for Markdown or reStructuredText."""


def laid_out(text: str) -> bool:
    """True if *text* is JSON, HTML, code, a diff, a configuration file, or a document with headings."""
    if _HTML.match(text) or _is_json(text):
        return True
    lines = [line for line in text[: LOOKED_AT * 200].split("\n", LOOKED_AT)[:LOOKED_AT] if line.strip()]
    if any(map(_DIFF.match, lines)) or sum(map(bool, map(_MARKDOWN.match, lines))) >= MARKDOWN:
        return True
    for pattern, share in ((_CODE, CODE), (_CONFIG, CONFIG), (_SIGNATURE, SIGNATURES)):
        if sum(pattern.match(line[:200]) is not None for line in lines) > share * len(lines):
            return True
    return False


def _is_json(text: str) -> bool:
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
