"""What the file connector promises, on real files."""

import base64
import hashlib
import json
import os
import stat
from datetime import datetime

import pytest
from hypothesis import given, strategies as st

from intendant.plugin import ConnectorCall, ConnectorError
from intendant.testing import ConnectorContract
from intendant_connector_file import FileConnector
from intendant_connector_file._csv import read_csv
from intendant_connector_file._write import encode, to_csv


class TestFileContract(ConnectorContract):
    plugin = FileConnector
    entry_point = "file"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of the process, which is the only root."""
    root = tmp_path / "root"
    root.mkdir()
    monkeypatch.chdir(root)
    return root


async def do(operation, value=None, /, *, settings=None, **parameters):
    call = ConnectorCall(value, "key", "run", "step")
    return await FileConnector(settings or {}).do(operation, parameters, call)


# --- which files may be touched ----------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["../secret.txt", "sub/../../secret.txt", "link.txt", "linked/secret.txt"])
@pytest.mark.parametrize("operation", ["read", "list", "write", "append"])
async def test_nothing_outside_the_roots_is_touched(folder, path, operation):
    """Neither by a path that climbs out, nor by a link to a file, nor by a link to a folder."""
    secret = folder.parent / "secret.txt"
    secret.write_text("secret")
    (folder / "sub").mkdir()
    (folder / "link.txt").symlink_to(secret)
    (folder / "linked").symlink_to(folder.parent)
    with pytest.raises(ConnectorError, match="is outside the folders that may be used") as caught:
        await do(operation, "overwritten", path=path)
    assert "--set plugins.settings.connector:file.roots=" in caught.value.hint
    assert secret.read_text() == "secret"


@pytest.mark.parametrize(
    "pattern", ["../*.txt", "linked/*.txt", "*/secret.txt", "sub/*/../../../secret.txt", "l*.txt"]
)
async def test_patterns_do_not_reach_outside_either(folder, pattern):
    (folder.parent / "secret.txt").write_text("secret")
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / "linked").symlink_to(folder.parent)
    (folder / "link.txt").symlink_to(folder.parent / "secret.txt")
    for operation in ("read", "list"):
        with pytest.raises(ConnectorError):
            await do(operation, path=pattern)


async def test_patterns_do_not_even_look_outside(folder):
    """A pattern that matches nothing outside must not be told from one that does."""
    (folder / "sub").mkdir()
    with pytest.raises(ConnectorError, match=r"'\.\.' is not allowed after a wildcard"):
        await do("list", path="s*/../../nothing*")


async def test_roots_can_be_set(folder, tmp_path):
    (tmp_path / "other.txt").write_text("x")
    assert await do("read", path=str(tmp_path / "other.txt"), settings={"roots": [str(tmp_path)]}) == "x"
    with pytest.raises(ConnectorError, match="outside"):
        await do("read", path="other.txt", settings={"roots": [str(tmp_path / "elsewhere")]})


async def test_links_inside_the_roots_are_followed(folder):
    (folder / "a.txt").write_text("old")
    (folder / "b.txt").symlink_to(folder / "a.txt")
    await do("write", "new", path="b.txt")
    assert (folder / "a.txt").read_text() == "new"
    assert (folder / "b.txt").is_symlink()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
async def test_a_pipe_is_refused_and_not_waited_for(folder):
    os.mkfifo(folder / "pipe")
    with pytest.raises(ConnectorError, match="no regular file"):
        await do("read", path="pipe")


async def test_a_file_that_is_not_there(folder):
    (folder / "orders.csv").write_text("a\n1\n")
    with pytest.raises(ConnectorError, match="is not there") as caught:
        await do("read", path="order.csv")
    assert caught.value.hint == "did you mean 'orders.csv'?"
    with pytest.raises(ConnectorError, match="no file matches"):
        await do("read", path="*.tsv")


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000])
async def test_what_is_no_path(folder, path):
    for operation in ("read", "list"):
        with pytest.raises(ConnectorError):
            await do(operation, path=path)


async def test_a_large_file_is_refused(folder):
    (folder / "a.txt").write_text("12345")
    (folder / "b.txt").write_text("12345")
    assert await do("read", path="a.txt", max_bytes=5) == "12345"
    with pytest.raises(ConnectorError, match="larger than 4 bytes"):
        await do("read", path="a.txt", max_bytes=4)
    with pytest.raises(ConnectorError, match="larger than"):
        await do("read", path="*.txt", max_bytes=9)


# --- reading -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", "text\r\n", "text\r\n"),
        ("a.json", '{"a": [1, 2.5, null]}', {"a": [1, 2.5, None]}),
        ("a.jsonl", '{"a": 1}\n\n{"a": "\u2028"}\n', [{"a": 1}, {"a": "\u2028"}]),
        ("a.csv", "a,b\n1,x\n", [{"a": "1", "b": "x"}]),
        ("a.TSV", "a\tb\n1\tx\n", [{"a": "1", "b": "x"}]),
    ],
)
async def test_the_ending_says_the_format(folder, name, content, expected):
    (folder / name).write_bytes(content.encode())
    assert await do("read", path=name) == expected


async def test_bytes(folder):
    (folder / "a.bin").write_bytes(b"\0\xff")
    assert base64.b64decode(await do("read", path="a.bin", format="bytes-base64")) == b"\0\xff"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
async def test_a_byte_order_mark_is_no_part_of_the_text(folder, encoding):
    (folder / "a.csv").write_bytes("naïve,b\n1,2\n".encode(encoding))
    assert await do("read", path="a.csv") == [{"naïve": "1", "b": "2"}]


async def test_a_wrong_encoding_says_where_and_can_be_named(folder):
    (folder / "a.txt").write_bytes("one\ncaf\xe9".encode("latin-1"))
    with pytest.raises(ConnectorError, match=r"a\.txt, line 2: byte 7 is not utf-8"):
        await do("read", path="a.txt")
    assert await do("read", path="a.txt", encoding="cp1252") == "one\ncafé"
    with pytest.raises(ConnectorError, match="there is no encoding 'klingon'"):
        await do("read", path="a.txt", encoding="klingon")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.json", '{"a": 1,}', "a.json, line 1, column"),
        ("a.json", '{"a": 1}\n{"a": 2}', "Extra data; read it with `format: jsonl`"),
        ("a.json", "[NaN]", "NaN is no JSON number"),
        ("a.json", "[" * 100_000, "nested too deep"),
        ("a.json", "1" * 5000, "not JSON"),
        ("a.json", "", "line 1, column 1"),
        ("a.jsonl", '{"a": 1}\n{"a": \n', "a.jsonl, line 2"),
        ("a.jsonl", "[Infinity]", "line 1"),
        ("a.jsonl", "[" * 100_000, "nested too deep"),
    ],
)
async def test_what_is_not_json_says_where(folder, name, content, says):
    (folder / name).write_text(content)
    with pytest.raises(ConnectorError) as caught:
        await do("read", path=name)
    assert says in str(caught.value)


async def test_several_files(folder):
    for name in "ab":
        (folder / f"{name}.txt").write_text(name)
        (folder / f"{name}.csv").write_text(f"x\n{name}\n")
        (folder / f"{name}.json").write_text("1")
    assert await do("read", path="*.csv") == [{"x": "a"}, {"x": "b"}]
    assert await do("read", path="?.txt") == [
        {"path": str(folder / "a.txt"), "text": "a"},
        {"path": str(folder / "b.txt"), "text": "b"},
    ]
    assert await do("read", path="a.js*") == [{"path": str(folder / "a.json"), "data": 1}]


async def test_a_name_with_brackets_is_taken_literally(folder):
    (folder / "a[1].txt").write_text("x")
    assert await do("read", path="a[1].txt") == "x"


async def test_list(folder):
    (folder / "sub").mkdir()
    (folder / "b.txt").write_text("12")
    (folder / "a.txt").write_text("1")
    found = await do("list", path=".")
    assert [(file["name"], file["size"]) for file in found] == [("a.txt", 1), ("b.txt", 2)]
    assert datetime.fromisoformat(found[0]["modified"]).timestamp() == pytest.approx(
        (folder / "a.txt").stat().st_mtime
    )
    assert await do("list", path="*.pdf") == []


# --- tables ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(delimiter):
    text = f'a{delimiter}b{delimiter}c\n1,5{delimiter}"x;y|z,\tw"{delimiter}q\n'.replace(
        "1,5", "15" if delimiter == "," else "1,5"
    )
    (row,) = read_csv(text, "t")
    assert list(row) == ["a", "b", "c"]
    assert row["b"] == "x;y|z,\tw"


def test_one_column_needs_no_delimiter():
    assert read_csv("a\nx y\n", "t") == [{"a": "x y"}]


def test_quotes_line_breaks_and_empty_lines():
    assert read_csv('a,b\r\n"x\r\ny","say ""hi"""\r\n\r\n,\r\n', "t") == [
        {"a": "x\r\ny", "b": 'say "hi"'},
        {"a": "", "b": ""},
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\n1,2\n3\n", "t, line 3: 1 values, but the header has 2"),
        ("a,b\n1,2,3\n", "t, line 2: 3 values"),
        ("a,,b\n", "column 2 has no name"),
        ("a,b, a\n", "the header has 'a' twice"),
        ('a,b\n"1,2\n', "line 2"),
        ('a,b\n"1"x,2\n', "line 2"),
    ],
)
def test_malformed_tables_name_the_line(text, says):
    with pytest.raises(ConnectorError) as caught:
        read_csv(text, "t")
    assert says in str(caught.value)


def test_uneven_rows_can_be_padded_and_nothing_is_lost():
    assert read_csv("a,b\n1\n1,2,3\n", "t", ragged="pad") == [
        {"a": "1", "b": None, "column_3": None},
        {"a": "1", "b": "2", "column_3": "3"},
    ]


def test_without_a_header_rows_are_lists():
    assert read_csv("1,2\n3,4\n", "t", header=False) == [["1", "2"], ["3", "4"]]


def test_numbers_stay_text_unless_asked():
    assert read_csv("a\n1\n", "t") == [{"a": "1"}]


def test_types_go_by_the_whole_column():
    """A column with one value that is no number stays text, and so do codes with leading zeros."""
    text = "n,f,b,zip,mixed,empty,big\n1,1.5,true,01234,1,,12345678901234567890\n,-2,False,56789,x,,1\n"
    assert read_csv(text, "t", types="auto") == [
        {"n": 1, "f": 1.5, "b": True, "zip": "01234", "mixed": "1", "empty": "", "big": "12345678901234567890"},
        {"n": None, "f": -2.0, "b": False, "zip": "56789", "mixed": "x", "empty": "", "big": "1"},
    ]


@pytest.mark.parametrize("text", ["", "\n\n", "a,b\n", "a,b"])
def test_a_table_without_rows(text):
    assert read_csv(text, "t") == []


NAMES = st.lists(
    st.text("abcäß,;\"'\r\n |", min_size=1).map(str.strip).filter(bool), min_size=1, max_size=4, unique=True
)


@given(NAMES, st.data())
def test_what_is_written_is_read_again(names, data):
    """Whatever the names and values are, quotes, delimiters and line breaks included."""
    cell = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"))
    rows = data.draw(st.lists(st.fixed_dictionaries(dict.fromkeys(names, cell)), max_size=5))
    rows = [row for row in rows if any(row.values())]
    assert read_csv(to_csv(rows, names), "t", delimiter=",") == rows


# --- writing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "content"),
    [
        ("a.txt", "täxt", "täxt"),
        ("a.md", "# T\n", "# T\n"),
        ("a.json", {"ä": [1]}, '{\n  "ä": [\n    1\n  ]\n}\n'),
        ("a.jsonl", [{"a": 1}, 2], '{"a": 1}\n2\n'),
        ("a.csv", [{"a": 1, "b": None}, {"c": "x,y", "a": [1]}], 'a,b,c\n1,,\n[1],,"x,y"\n'),
        ("a.md", [{"a": "x|y\nz", "b": None}], "| a | b |\n| --- | --- |\n| x\\|y<br>z |  |\n"),
        ("a.dat", [1], "[\n  1\n]\n"),
        ("a.csv", [], ""),
    ],
)
async def test_writes_and_returns_a_receipt(folder, name, value, content):
    receipt = await do("write", value, path=f"new/folder/{name}")
    data = (folder / "new" / "folder" / name).read_bytes()
    assert data.decode() == content
    assert receipt == {
        "path": f"new/folder/{name}",
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


@pytest.mark.parametrize(("name", "value"), [("a.txt", [1]), ("a.csv", [1]), ("a.md", 5), ("a.txt", "\ud800")])
async def test_what_does_not_fit_the_format_is_refused(folder, name, value):
    (folder / name).write_text("old")
    with pytest.raises(ConnectorError):
        await do("write", value, path=name, format="text" if name == "a.txt" else "auto")
    assert (folder / name).read_text() == "old"


async def test_replacing_keeps_the_mode_and_leaves_nothing_behind(folder):
    target = folder / "a.sh"
    target.write_text("old")
    target.chmod(0o750)
    await do("write", "new", path="a.sh")
    assert target.read_text() == "new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o750
    assert [path.name for path in folder.iterdir()] == ["a.sh"]


async def test_a_reader_sees_the_old_file_or_the_new_one(folder):
    """The name moves to the new content at once: who opened the old file still reads it to its end."""
    (folder / "a.txt").write_text("old")
    with (folder / "a.txt").open() as reader:
        await do("write", "new", path="a.txt")
        assert reader.read() == "old"


async def test_a_failed_write_leaves_the_old_file(folder):
    (folder / "a.txt").mkdir()
    with pytest.raises(ConnectorError, match="is a folder"):
        await do("write", "x", path="a.txt")
    assert [path.name for path in folder.iterdir()] == ["a.txt"]


async def test_create_refuses_to_write_over_other_content(folder):
    await do("write", "one", path="a.txt", mode="create")
    await do("write", "one", path="a.txt", mode="create")  # a repeated delivery
    with pytest.raises(ConnectorError, match="is there already"):
        await do("write", "two", path="a.txt", mode="create")
    assert (folder / "a.txt").read_text() == "one"
    assert len(list(folder.iterdir())) == 1


async def test_append(folder):
    (folder / "a.txt").write_text("no line end")
    await do("append", "two\n", path="a.txt")
    assert (folder / "a.txt").read_text() == "no line end\ntwo\n"
    await do("append", {"a": 1}, path="a.jsonl")
    await do("append", [{"a": 2}], path="a.jsonl")
    assert await do("read", path="a.jsonl") == [{"a": 1}, {"a": 2}]


async def test_append_to_a_table_goes_by_its_header(folder):
    await do("append", [{"a": 1, "b": 2}], path="a.csv")
    await do("append", [{"b": 3}], path="a.csv")
    assert (folder / "a.csv").read_text() == "a,b\n1,2\n,3\n"
    with pytest.raises(ConnectorError, match="has no column 'c'"):
        await do("append", [{"c": 1}], path="a.csv")
    with pytest.raises(ConnectorError, match="cannot be appended to"):
        await do("append", {}, path="a.json")


def test_only_append_is_not_idempotent():
    operations = FileConnector().operations
    marks = {name: (operation.side_effects, operation.idempotent) for name, operation in operations.items()}
    assert marks == {
        "append": (True, False),
        "list": (False, False),
        "read": (False, False),
        "write": (True, True),
    }


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_json_is_written_as_it_is(value):
    try:
        text = encode(value, "json").decode()
    except ConnectorError:
        assert "\\ud" in json.dumps(value)
    else:
        assert json.loads(text) == value
