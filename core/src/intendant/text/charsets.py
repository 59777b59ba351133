"""Decodes text of mails as mail programs do: by the labels of the WHATWG Encoding Standard
(https://encoding.spec.whatwg.org/#names-and-labels), under which `iso-8859-1` means cp1252, for one.
"""

import codecs
import re

REPLACED = "\ufffd"
_SURROGATES = re.compile("[\ud800-\udfff]")
_WIDER = {
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "euc_kr": "cp949",
    "shift_jis": "cp932",
    "big5": "big5hkscs",
    "iso2022_jp": "iso2022_jp_ext",
}
"""Codecs of Python, and those that read all that mail programs write under their names."""
_LABELS = {
    "x-gbk": "gb18030",
    "gb_2312-80": "gb18030",
    "chinese": "gb18030",
    "ks_c_5601-1987": "cp949",
    "ks_c_5601-1989": "cp949",
    "ks_c_5601": "cp949",
    "ksc_5601": "cp949",
    "windows-949": "cp949",
    "windows-31j": "cp932",
    "x-sjis": "cp932",
    "x-euc-jp": "euc_jp",
    "cp50220": "iso2022_jp_ext",
    "x-x-big5": "big5hkscs",
    "cn-big5": "big5hkscs",
    "x-cp1250": "cp1250",
    "x-cp1251": "cp1251",
    "x-cp1252": "cp1252",
    "windows-874": "cp874",
    "iso-8859-8-i": "iso8859-8",
    "iso-8859-8-e": "iso8859-8",
    "dos-874": "cp874",
    "x-mac-roman": "mac-roman",
    "x-mac-cyrillic": "mac-cyrillic",
    "unicode-1-1-utf-8": "utf-8",
    "unicode-1-1-utf-7": "utf-7",
    "x-unicode-2-0-utf-7": "utf-7",
    "utf8mb4": "utf-8",
    "unicode": "utf-16",
}
"""Names that Python does not know."""
_ODD_CODECS = frozenset(("idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined"))
"""Codecs of Python that are no charsets; some take quadratic time."""


def decode(data: bytes, charset: str | None) -> tuple[str, int]:
    """The text of *data*, and how many characters of it could not be decoded.

    Args:
        data: The bytes.
        charset: What the mail says they are; without it they are UTF-8 if they can be, else cp1252.
    """
    tried = codecs_for(charset)
    if tried == ("utf-8",) and not _holds_utf8(data):
        tried = ("utf-8", "cp1252")
    for codec in tried:
        try:
            return _SURROGATES.sub(REPLACED, data.decode(codec)), 0
        except UnicodeError:
            continue
    likeliest = tried[-1] if tried[0] == "utf-8" else tried[0]
    text = _SURROGATES.sub(REPLACED, data.decode(likeliest, "replace"))
    return text, text.count(REPLACED)


def codecs_for(charset: str | None) -> tuple[str, ...]:
    """The codecs for a charset that a mail names, in the order in which they are tried.

    Much that is called ASCII is UTF-8, and so is much of what has no name, or an unknown one; cp1252 is next.
    """
    label = (charset or "").partition("*")[0].strip().strip("'\"").lower()  # RFC 2231 lets a language follow
    codec = _LABELS.get(label) or _known(label)
    if codec in (None, "ascii", "utf-8"):
        return ("utf-8",) if codec == "utf-8" else ("utf-8", "cp1252")
    return (codec, "utf-8")


def _holds_utf8(data: bytes) -> bool:
    """False if what is called UTF-8 has bytes beyond ASCII, and none of them are a character of UTF-8.

    A character that was cut off at the end tells nothing.
    """
    try:
        data.decode()
    except UnicodeDecodeError as error:
        cut = error.reason == "unexpected end of data"
        return cut or any(sign > REPLACED or "\x7f" < sign < REPLACED for sign in data.decode("utf-8", "replace"))
    return True


def _known(label: str) -> str | None:
    """The codec of a name that Python knows, if it is a charset."""
    try:
        name = codecs.lookup(label).name
        b"a".decode(name, "replace")
    except (LookupError, ValueError, UnicodeError):
        return None
    return None if name in _ODD_CODECS else "ascii" if name == "ascii" else _WIDER.get(name, name)
