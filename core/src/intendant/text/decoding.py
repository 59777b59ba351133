"""Bytes of a file as text: byte order marks, a list of encodings, and a refusal of what is no text."""

import codecs
from collections.abc import Iterator

from intendant.model.errors import ConnectorError

MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks and their encodings. A mark of UTF-32 begins like one of UTF-16, so it comes first."""
_NAMES = """
ascii utf-8 utf-8-sig utf-16 utf-16-le utf-16-be utf-32 utf-32-le utf-32-be iso8859-1 iso8859-2
iso8859-3 iso8859-4 iso8859-5 iso8859-6 iso8859-7 iso8859-8 iso8859-9 iso8859-10 iso8859-11
iso8859-13 iso8859-14 iso8859-15 iso8859-16 cp1250 cp1251 cp1252 cp1253 cp1254 cp1255 cp1256 cp1257
cp1258 cp437 cp720 cp737 cp775 cp850 cp852 cp855 cp857 cp858 cp860 cp861 cp862 cp863 cp864 cp865
cp866 cp869 cp874 cp932 cp949 cp950 cp037 cp273 cp500 cp1026 cp1125 cp1140 koi8-r koi8-t koi8-u
kz1048 ptcp154 tis-620 mac-cyrillic mac-greek mac-iceland mac-latin2 mac-roman mac-turkish hp-roman8
gb2312 gbk gb18030 hz big5 big5hkscs shift_jis shift_jis_2004 shift_jisx0213 euc_jp euc_jis_2004
euc_jisx0213 iso2022_jp iso2022_jp_1 iso2022_jp_2 iso2022_jp_2004 iso2022_jp_3 iso2022_jp_ext euc_kr
johab iso2022_kr
"""
ENCODINGS = frozenset(_NAMES.split())
"""Codecs of Python that are encodings of text, by their own names. The others (punycode, idna, unicode_escape,
zlib …) run code that was not made for hostile input, or take quadratic time."""
EXAMPLES = "such as utf-8, utf-16, cp1252, latin-1, gb18030 or shift_jis"
_KINDS = (
    (b"%PDF-", "a PDF document"),
    (b"PK\x03\x04", "a zip archive, which documents of offices are too"),
    (b"PK\x05\x06", "a zip archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a document of an older office program"),
    (b"{\\rtf", "a document in rich text format"),
    (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF87a", "a GIF picture"),
    (b"GIF89a", "a GIF picture"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"BZh", "compressed with bzip2"),
    (b"\xfd7zXZ\0", "compressed with xz"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"SQLite format 3\0", "a SQLite database"),
    (b"PAR1", "a Parquet file"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"RIFF", "a sound or picture"),
    (b"ID3", "a sound"),
    (b"OggS", "a sound"),
)
_ALWAYS = (b"%PDF-", b"{\\rtf", b"PK\x03\x04")
"""Marks that no text begins with; the others count only beside bytes that no text has."""
LOOKED_AT = 8192
"""Bytes by which it is decided whether a file is text."""
MOST_CONTROL = 0.02
"""Share of control characters above which it is not."""
_CONTROL = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b\b"))
MIN_WIDE = 0.4
"""Share of NUL among the even or the odd bytes above which text without a mark is UTF-16."""


def codec_of(encoding: str) -> str:
    """The codec of an encoding that a user names.

    Raises:
        ConnectorError: There is none of that name, or it is not one of text.
    """
    try:
        name = codecs.lookup(encoding).name
    except (LookupError, ValueError, UnicodeError):
        name = ""
    if name not in ENCODINGS:
        raise ConnectorError(f"there is no encoding '{encoding[:60]}'", hint=EXAMPLES)
    return name


def kind_of_bytes(data: bytes) -> str | None:
    """What *data* is, such as `a PDF document`; None if it may be text."""
    head = data[:LOOKED_AT]
    if (found := _document(head)) is not None or _marked(head) or _wide(head):
        return found
    return "binary data" if _odd(head) > MOST_CONTROL * len(head) else None


def _document(head: bytes) -> str | None:
    found = next((what for mark, what in _KINDS if head.startswith(mark)), None)
    return found if found and (_odd(head) or head.startswith(_ALWAYS)) else None


def _odd(head: bytes) -> int:
    """How many bytes are control characters that no text has."""
    return len(head) - len(head.translate(None, _CONTROL))


def encoding_of(data: bytes, asked: str | None = None) -> str:
    """The codec that *data* is to be read with: what its byte order mark says, else *asked*, else UTF-8.

    UTF-16 is known without a mark too, by the NUL beside each letter of Latin scripts.

    Raises:
        ConnectorError: *asked* is no encoding of text.
    """
    chosen = None if asked is None else codec_of(asked)
    head = data[:LOOKED_AT]
    if chosen == "utf-16":  # says nothing of the order of its bytes
        return _marked(head) or _wide(head) or "utf-16-le"
    return _marked(head) or chosen or _wide(head) or "utf-8"


def _marked(head: bytes) -> str | None:
    return next((codec for mark, codec in MARKS if head.startswith(mark)), None)


def _wide(head: bytes) -> str | None:
    size = len(head) // 2
    for codec, first in (("utf-16-le", 1), ("utf-16-be", 0)):
        if size and head[first::2].count(0) > MIN_WIDE * size and head[1 - first :: 2].count(0) == 0:
            return codec
    return None


def decode_text(
    data: bytes,
    name: str,
    encoding: str | None = None,
    *,
    hint: str = "",
    instead: str = "convert it to text first",
) -> str:
    """The text of a file, without a byte order mark.

    Args:
        data: Its bytes.
        name: What to call it in messages.
        encoding: By default what a byte order mark says, else UTF-8.
        hint: What to do where it is not in that encoding.
        instead: What to do where it is not text.

    Raises:
        ConnectorError: It is a document or picture, it is not in that encoding (says in which line), or there is
            no such encoding.
    """
    codec = encoding_of(data, encoding)
    # Bytes of an encoding that was named, EBCDIC or Chinese in UTF-16, may look like control characters.
    what = kind_of_bytes(data) if encoding is None else _document(data[:LOOKED_AT])
    if what is not None:
        raise ConnectorError(f"{name} is {what}, not text", hint=instead)
    try:
        return data.decode(codec).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count("\n".encode(_plain(codec)), 0, error.start) + 1
        raise ConnectorError(
            f"{name}, line {line}: byte {error.start} is not {codec}",
            hint=hint or f"name its encoding, {EXAMPLES}",
        ) from None


def decode_lines(lines: Iterator[bytes]) -> Iterator[str | ConnectorError]:
    """Lines of UTF-8, each by itself; for one that is not, the error instead. A byte order mark is left out."""
    for number, line in enumerate(lines, 1):
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            yield ConnectorError(f"line {number}: byte {error.start} is not utf-8")
        else:
            yield text.removeprefix("\ufeff") if number == 1 else text


def _plain(codec: str) -> str:
    """The codec without a byte order mark of its own."""
    return {"utf-16": "utf-16-le", "utf-32": "utf-32-le", "utf-8-sig": "utf-8"}.get(codec, codec)
