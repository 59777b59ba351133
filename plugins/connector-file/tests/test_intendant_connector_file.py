"""What the file connector promises, on real files."""

import base64
import hashlib
import json
import os
import stat
import sys
import sysconfig
import tempfile
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from intendant.plugin import ConnectorCall, ConnectorError, Watch
from intendant.testing import ConnectorContract, Place, Use
from intendant_connector_file import FileConnector
from intendant_connector_file._csv import read_csv
from intendant_connector_file._write import encode, to_csv


class TestFileContract(ConnectorContract):
    plugin = FileConnector
    entry_point = "file"

    @asynccontextmanager
    async def place(self):
        with tempfile.TemporaryDirectory() as folder:
            path = {"path": str(Path(folder).resolve() / "a.txt")}
            uses = {
                "write": Use(path, "one"),
                "append": Use(path, "two"),
                "read": Use(path),
                "list": Use({"path": str(Path(folder).resolve() / "*")}),
                "parse": Use({}, "a,b\n1,2\n"),
            }
            yield Place(FileConnector({"roots": [folder]}), uses)


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


async def test_roots_add_to_the_working_folder(folder, tmp_path):
    (tmp_path / "other.txt").write_text("x")
    (folder / "here.txt").write_text("y")
    roots = {"roots": [str(tmp_path / "other.txt")]}
    assert await do("read", path="../other.txt", settings=roots) == "x"
    assert await do("read", path="here.txt", settings=roots) == "y"
    with pytest.raises(ConnectorError, match="outside"):
        await do("read", path="here.txt", settings={**roots, "working_folder": False})


async def test_the_hint_of_a_refusal_is_what_allows_it(folder, tmp_path):
    (tmp_path / "other.txt").write_text("x")
    with pytest.raises(ConnectorError) as caught:
        await do("read", path="../other.txt")
    wanted = json.loads(caught.value.hint.partition("roots='")[2].removesuffix("'"))
    assert await do("read", path="../other.txt", settings={"roots": wanted}) == "x"


async def test_links_inside_the_roots_are_followed(folder):
    (folder / "a.txt").write_text("old")
    (folder / "b.txt").symlink_to(folder / "a.txt")
    await do("write", "new", path="b.txt")
    assert (folder / "a.txt").read_text() == "new"
    assert (folder / "b.txt").is_symlink()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("operation", ["read", "write", "append"])
async def test_a_pipe_is_refused_and_not_waited_for(folder, operation):
    os.mkfifo(folder / "pipe")
    with pytest.raises(ConnectorError, match="no regular file"):
        await do(operation, "x", path="pipe")


@pytest.mark.skipif(sys.platform != "linux", reason="these folders are Linux's")
@pytest.mark.parametrize(
    "path",
    [
        "/dev/zero",
        "/proc/self/environ",
        "/proc/self/root/proc/self/environ",
        "/sys/kernel/notes",
        "link",
        "/dev/*",
    ],
)
async def test_the_state_of_the_machine_is_no_data(folder, path):
    """Not even where everything is allowed: the environment of a process holds its keys."""
    (folder / "link").symlink_to("/proc/self/environ")
    with pytest.raises(ConnectorError, match="the state of this machine"):
        await do("read", path=path, settings={"roots": ["/"]})


@pytest.mark.skipif(sys.platform != "linux", reason="this folder is Linux's")
async def test_a_folder_in_memory_may_be_named(folder, tmp_path_factory):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        Path(memory, "a.txt").write_text("x")
        assert await do("read", path=f"{memory}/a.txt", settings={"roots": [memory]}) == "x"


@pytest.mark.parametrize(
    "path",
    [
        "intendant.toml",
        "sub/Intendant.TOML",
        "agents/helper.toml",
        ".git/config",
        ".git/hooks/pre-commit",
        "sub/.GIT/info/attributes",
        "sub/.git",
        ".gitmodules",
        "bare/config",
        "bare/hooks/update",
        "link/config",
    ],
)
@pytest.mark.parametrize("operation", ["write", "append"])
async def test_no_workflow_writes_what_programs_obey(folder, path, operation):
    for name in ("bare/objects", "bare/refs", ".git", "sub"):
        (folder / name).mkdir(parents=True)
    (folder / "bare" / "HEAD").write_text("ref: refs/heads/main")
    (folder / "link").symlink_to(folder / ".git")
    with pytest.raises(ConnectorError, match="which no workflow may write"):
        await do(operation, "x", path=path)
    assert not (folder / path).is_file()


async def test_the_settings_file_in_force_is_not_written_whatever_its_name(folder, monkeypatch):
    (folder / "mine.conf").write_text("")
    monkeypatch.setenv("INTENDANT_CONFIG", "mine.conf")
    with pytest.raises(ConnectorError, match="a settings file"):
        await do("write", "x", path="mine.conf")


async def test_no_workflow_writes_code_that_this_process_runs(folder, monkeypatch):
    everything = {"roots": ["/"]}
    import intendant_connector_file as package

    packages = sysconfig.get_paths()["purelib"]
    beside = Path(package.__file__).with_name("evil.py")
    for path in (
        f"{packages}/evil.pth",
        f"{packages}/evil/x.txt",
        f"{sys.prefix}/pyvenv.cfg",
        json.__file__,
        beside,
    ):
        with pytest.raises(ConnectorError, match="which no workflow may write"):
            await do("write", "x", path=str(path), settings=everything)
    monkeypatch.syspath_prepend(str(folder))
    with pytest.raises(ConnectorError, match="code that this process would run"):
        await do("write", "x", path="json.py")
    await do("write", "print()", path="out/script.py")
    await do("write", "x", path="notes.txt")
    assert sorted(path.name for path in folder.iterdir()) == ["notes.txt", "out"]


async def test_a_project_may_live_in_the_folder_of_its_virtual_environment(folder, monkeypatch):
    monkeypatch.setattr(sys, "prefix", str(folder))
    await do("write", "x", path="out/report.md")
    for path in ("lib/evil.txt", "lib64/x/evil.txt", "include/evil.h", "pyvenv.cfg"):
        with pytest.raises(ConnectorError, match="in a folder of installed programs"):
            await do("write", "x", path=path)


async def test_links_that_go_round_end(folder):
    """Each of these links leads to the folder itself: followed, they would be 40 levels of 20 each."""
    for number in range(20):
        (folder / f"link{number}").symlink_to(folder)
    (folder / "a.txt").write_text("x")
    assert [file["name"] for file in await do("list", path="**/*.txt")] == ["a.txt"]


async def test_patterns(folder):
    for name in ("a.txt", "b/c.txt", "b/d/e.txt", ".hidden/f.txt", "b/.g.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")

    async def found(pattern):
        return [os.path.relpath(file["path"], folder) for file in await do("list", path=pattern)]

    assert await found("**/*.txt") == ["a.txt", "b/c.txt", "b/d/e.txt"]
    assert await found("**/**/e.txt") == ["b/d/e.txt"]
    assert await found("b/*/e.txt") == ["b/d/e.txt"]
    assert await found("b/[a-c].txt") == ["b/c.txt"]
    assert await found("b/.*") == ["b/.g.txt"]
    assert await found("?/*.txt") == ["b/c.txt"]
    assert await found("none*/x") == []


async def test_a_pattern_finds_only_so_many_files(folder):
    for number in range(5):
        (folder / f"{number}.txt").write_text("x")
    with pytest.raises(ConnectorError, match="finds more than 4 files") as caught:
        await do("list", path="*.txt", settings={"max_files": 4})
    assert "max_files" in caught.value.hint


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
    with pytest.raises(ConnectorError, match="`max_bytes` is at most 6") as caught:
        await do("read", path="a.txt", max_bytes=7, settings={"max_bytes": 6})
    assert "setting max_bytes" in caught.value.hint


async def test_a_reading_has_its_time(folder):
    (folder / "a.csv").write_text("a\n" + "1\n" * 5000)
    with pytest.raises(ConnectorError, match="took longer than 1e-09 s") as caught:
        await do("read", path="a.csv", settings={"read_seconds": 1e-9})
    assert "read_seconds" in caught.value.hint


async def test_a_reading_ends_with_its_step(folder):
    """The thread is not waited for at the end of the process."""
    watch = Watch()
    watch.stop()
    with pytest.raises(ConnectorError, match="stopped"):
        read_csv("a\n" + "1\n" * 5000, "t", watch=watch)


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


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("asked", [None, "utf-16"])
async def test_encodings_that_bytes_tell(folder, encoding, asked):
    """By a byte order mark, or by the NUL beside each letter; a mark is no part of the text."""
    if asked and not encoding.startswith("utf-16"):
        asked = None
    (folder / "a.csv").write_bytes("naïve,b\n1,2\n".encode(encoding))
    given = {"encoding": asked} if asked else {}
    assert await do("read", path="a.csv", **given) == [{"naïve": "1", "b": "2"}]


@pytest.mark.parametrize(
    "encoding",
    [
        "punycode",
        "idna",
        "unicode_escape",
        "raw_unicode_escape",
        "zlib",
        "hex",
        "base64",
        "rot13",
        "undefined",
        "utf-7",
    ],
)
@pytest.mark.parametrize("operation", ["read", "write", "append"])
async def test_only_encodings_of_text_are_used(folder, encoding, operation):
    """Some codecs of Python take quadratic time, and some run code that was not made for hostile input."""
    (folder / "a.txt").write_text("x")
    with pytest.raises(ConnectorError, match=f"there is no encoding '{encoding}'"):
        await do(operation, "x", path="a.txt", encoding=encoding)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"%PDF-1.7\nplain", "a PDF document"),
        (b"PK\x03\x04\x14\0", "a zip archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0", "older office"),
        (b"\x89PNG\r\n\x1a\n\0", "a PNG picture"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"{\\rtf1 text}", "rich text"),
        (bytes(range(256)) * 4, "binary data"),
    ],
)
@pytest.mark.parametrize("encoding", [None, "cp1252", "latin-1"])
async def test_what_is_no_text_is_named_and_not_read_as_such(folder, content, what, encoding):
    if encoding and what == "binary data":
        encoding = None
    (folder / "a.dat").write_bytes(content)
    given = {"encoding": encoding} if encoding else {}
    with pytest.raises(ConnectorError, match=what) as caught:
        await do("read", path="a.dat", **given)
    assert "bytes-base64" in caught.value.hint
    assert await do("read", path="a.dat", format="bytes-base64") == base64.b64encode(content).decode()


async def test_texts_that_begin_like_programs_are_texts(folder):
    for text in ("MZ is a prefix", "BZh, she said", "ID3 is a format", "a\x1b[31mred\x1b[0m\f"):
        (folder / "a.txt").write_text(text)
        assert await do("read", path="a.txt") == text


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
        ("a.json", "1" * 5000, "a number has too many digits"),
        ("a.json", "[1e400]", "too large"),
        ("a.json", "[" + "9" * 310 + ".0]", "too large"),
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
    with pytest.raises(ConnectorError, match="sup is not there") as caught:
        await do("list", path="sup")
    assert caught.value.hint == "did you mean 'sub'?"


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
        ("a,,b\n1,2,3\n", "column 2 has no name"),
        ("a,b,\n1,2,3\n", "column 3 has no name"),
        ("a,,b\n", "column 2 has no name"),
        ("a,b, a\n", "the header has 'a' twice"),
        ("caf\u00e9,cafe\u0301\n", "twice"),
        ("sep=;\na;b\n1;2\n3\n", "t, line 4: 1 values"),
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


def test_a_cell_may_be_as_long_as_the_file():
    """`max_bytes` is the only limit; the library's own is 128 kB."""
    (row,) = read_csv(f'id,body\n1,"{"x" * 1_000_000}"\n', "t")
    assert len(row["body"]) == 1_000_000


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\na;b\n1;2\n",
        "SEP=;\r\na;b\r\n1;2\r\n",
        '"sep=;"\na;b\n1;2\n',
        "sep=\t\na\tb\n1\t2",
        "sep=^\na^b\n1^2\n",
        "sep=,\na,b\n1,2",
    ],
)
def test_a_first_line_may_name_the_delimiter(text):
    assert read_csv(text, "t") == [{"a": "1", "b": "2"}]


@pytest.mark.parametrize(
    ("text", "skip", "found"),
    [
        ("Statement, May;x;y\n\n\na;b\n1;2,5\n", 3, [{"a": "1", "b": "2,5"}]),
        ("one\r\ntwo\r\na\tb\r\n1\t2", 2, [{"a": "1", "b": "2"}]),
        ("sep=;\na;b\n1;2\n", 1, [{"a": "1", "b": "2"}]),
        ("a,b\n1,2\n", 9, []),
    ],
)
def test_lines_before_the_table_are_left_out(text, skip, found):
    assert read_csv(text, "t", skip=skip) == found


def test_a_fault_below_such_lines_is_told_by_its_line_in_the_file():
    with pytest.raises(ConnectorError, match="line 5: 1 values"):
        read_csv("x\ny\na;b\n1;2\n3\n", "t", skip=2)
    with pytest.raises(ConnectorError, match="column 2 has no name") as caught:
        read_csv("Account;;\na;b;c\n1;2;3\n", "t")
    assert "`skip: 3` leaves out the lines before it" in caught.value.hint


def test_a_file_may_begin_with_sep_and_mean_it():
    assert read_csv("sep=a,b\n1,2\n", "t") == [{"sep=a": "1", "b": "2"}]


def test_columns_without_name_and_value_at_the_end_are_none():
    assert read_csv("a,b,,\n1,2,,\n3,4,,\n", "t") == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]


def test_names_can_be_repaired():
    (row,) = read_csv("a,,a,a_2,caf\u00e9,cafe\u0301\n1,2,3,4,5,6\n", "t", names="repair")
    assert list(row.values()) == ["1", "2", "3", "4", "5", "6"]
    assert list(row)[:4] == ["a", "column_2", "a_3", "a_2"]


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_line_ends_of_any_system(end):
    assert read_csv(end.join(["a,b", '1,"x\ry"', "3,4", ""]), "t") == [
        {"a": "1", "b": "x\ry"},
        {"a": "3", "b": "4"},
    ]


def test_nul_is_a_character_like_others():
    assert read_csv("a,b\nx\0y,1\n", "t") == [{"a": "x\0y", "b": "1"}]


def test_a_wide_table_takes_linear_time_and_has_its_limit():
    """Rows that are filled up count with all their columns."""
    header = ",".join(f"c{number}" for number in range(300_000))
    (row,) = read_csv(f"{header}\n1\n", "t", ragged="pad")
    assert len(row) == 300_000
    with pytest.raises(ConnectorError, match=r"34 rows of 300000 columns are more than 10000000 cells") as caught:
        read_csv(header + "\n" + "1\n" * 1000, "t", ragged="pad")
    assert "max_cells" in caught.value.hint
    repaired = read_csv(",".join(["x"] * 50_000) + "\n1\n", "t", ragged="pad", names="repair")
    assert len(repaired[0]) == 50_000


async def test_the_limit_of_cells_is_a_setting(folder):
    (folder / "a.csv").write_text("a,b\n1,2\n3,4\n")
    assert len(await do("read", path="a.csv", settings={"max_cells": 6})) == 2
    with pytest.raises(ConnectorError, match="more than 5 cells"):
        await do("read", path="a.csv", settings={"max_cells": 5})


def test_numbers_stay_text_unless_asked():
    assert read_csv("a\n1\n", "t") == [{"a": "1"}]


def test_types_go_by_the_whole_column():
    """A column with one value that is no number stays text, and so do codes with leading zeros."""
    text = "n,f,b,zip,mixed,empty,big\n1,1.5,true,01234,1,,12345678901234567890\n,-2,False,56789,x,,1\n"
    assert read_csv(text, "t", types="auto") == [
        {"n": 1, "f": 1.5, "b": True, "zip": "01234", "mixed": "1", "empty": "", "big": "12345678901234567890"},
        {"n": None, "f": -2.0, "b": False, "zip": "56789", "mixed": "x", "empty": "", "big": "1"},
    ]


@pytest.mark.parametrize(
    "values",
    [
        ("01234", "56789"),
        ("1234567890123456", "1234567890123457"),
        ("+493012345", "+4930"),
        ("1E5", "2E7"),
        ("1e5", "5"),
        ("0x10", "10"),
        ("1_000", "2_000"),
        ("-0", "1"),
        ("1,5", "2,5"),
        ("1.", "2."),
        (".5", "1"),
        ("0.1234567890123456789", "1"),
        ("12345678901234.25", "1"),
        ("\u0661", "1"),
        ("NaN", "1"),
        ("inf", "1"),
        (" 1", "2"),
    ],
)
def test_what_is_no_plain_number_stays_text(values):
    """Numbers of articles, cards and telephones among them: to read them as numbers would lose what they are."""
    text = "a\n" + "".join(f'"{value}"\n' for value in values)
    assert read_csv(text, "t", types="auto") == [{"a": value} for value in values]


@pytest.mark.parametrize(
    ("values", "decimal", "read"),
    [
        (("1.234,50", "-19,98", "5"), ",", [1234.5, -19.98, 5.0]),
        (("1.000", "12", "-2"), ",", [1000, 12, -2]),
        (("1 234,5", "1\u202f234\u202f567,25"), ",", [1234.5, 1234567.25]),
        (("1'234.50", "7"), ".", [1234.5, 7.0]),
        (("1,234", "12,345,678"), ".", [1234, 12345678]),
        (("12,34,567", "1"), ".", ["12,34,567", "1"]),
        (("1.5", "2"), ",", ["1.5", "2"]),
        (("1.234.50", "1"), ",", ["1.234.50", "1"]),
        (("1.234 567,5", "1"), ",", ["1.234 567,5", "1"]),
        (("01.234", "1"), ",", ["01.234", "1"]),
        (("1.234.567.890.123.456", "1"), ",", ["1.234.567.890.123.456", "1"]),
    ],
)
def test_numbers_of_a_locale_are_read_where_it_is_said_what_stands_before_decimals(values, decimal, read):
    text = "a;b\n" + "".join(f'"{value}";x\n' for value in values)
    found = read_csv(text, "t", types="auto", decimal=decimal)
    assert [record["a"] for record in found] == read
    assert [type(record["a"]) for record in found] == [type(value) for value in read]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
@pytest.mark.parametrize(
    ("values", "clear"),
    [
        (("1.000", "12"), False),
        (("1.250", "-999.125", ""), False),
        (("1.250", "1.25"), True),
        (("0.125", "1.250"), True),
        (("1000.125",), True),
        (("12",), True),
        (("1.000", "x"), True),
    ],
)
def test_what_may_be_thousands_or_decimals_is_not_guessed(delimiter, values, clear):
    """Where the delimiter is no comma, the comma may stand before decimals: the column stays text, with a note."""
    notes: list[str] = []
    text = f"a{delimiter}b\n" + "".join(f"{value}{delimiter}1\n" for value in values)
    found = [record["a"] for record in read_csv(text, "t.csv", types="auto", notes=notes)]
    assert (notes == []) is clear
    if not clear:
        assert found == list(values)
        assert notes == [f"t.csv: a stays text, as '{values[0]}' can be read in two ways: say `decimal`"]
    with_comma = text.replace(delimiter, ",")
    assert read_csv(with_comma, "t", types="auto") == read_csv(with_comma, "t", types="auto", decimal=".")


@pytest.mark.parametrize("text", ["", "\n\n", "a,b\n", "a,b", "sep=;\n"])
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


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"a;b\r\n1;2\r\n", b"a;b\r\n1;2\r\n3;x,y\r\n"),
        (b"sep=;\r\na;b\r\n1;2", b"sep=;\r\na;b\r\n1;2\r\n3;x,y\r\n"),
        (b"a\tb\n1\t2\n", b"a\tb\n1\t2\n3\tx,y\n"),
        (b'"a","b"\n"1","2"\n', b'"a","b"\n"1","2"\n"3","x,y"\n'),
        (b"\xef\xbb\xbfa;b\n1;2\n", b"\xef\xbb\xbfa;b\n1;2\n3;x,y\n"),
        ("a;b\n1;2\n".encode("utf-16"), "a;b\n1;2\n3;x,y\n".encode("utf-16")),
        ("a;b\n1;2".encode("utf-16"), "a;b\n1;2\n3;x,y\n".encode("utf-16")),
        (b"b,a\r1,2\r", b'b,a\r1,2\r"x,y",3\r'),
        (b"a,b,\n1,2,\n", b'a,b,\n1,2,\n3,"x,y",\n'),
        (b" a , b \n1,2\n", b' a , b \n1,2\n3,"x,y"\n'),
    ],
)
async def test_append_writes_as_the_file_is_written(folder, before, after):
    """In its delimiter, line ends, quotation marks and encoding."""
    (folder / "a.csv").write_bytes(before)
    await do("append", [{"a": 3, "b": "x,y"}], path="a.csv")
    assert (folder / "a.csv").read_bytes() == after
    assert (await do("read", path="a.csv"))[-1] == {"a": "3", "b": "x,y"}


async def test_append_writes_decimals_as_the_file_does(folder):
    (folder / "a.csv").write_text("a;b\n1,5;x\n")
    await do("append", [{"a": 2.25, "b": "3.5"}], path="a.csv")
    assert (folder / "a.csv").read_text() == "a;b\n1,5;x\n2,25;3.5\n"


async def test_append_takes_canonically_equal_names_for_the_same(folder):
    (folder / "a.csv").write_text("caf\u00e9,b\n1,2\n")
    await do("append", [{"cafe\u0301": 3}], path="a.csv")
    assert (folder / "a.csv").read_text() == "caf\u00e9,b\n1,2\n3,\n"


async def test_append_in_another_encoding_is_refused_or_named(folder):
    (folder / "a.csv").write_bytes("größe;b\n1;2\n".encode("cp1252"))
    with pytest.raises(ConnectorError, match=r"a\.csv is not utf-8") as caught:
        await do("append", [{"größe": 3}], path="a.csv")
    assert "encoding: cp1252" in caught.value.hint
    await do("append", [{"größe": 3, "b": "ä"}], path="a.csv", encoding="cp1252")
    assert (folder / "a.csv").read_bytes() == "größe;b\n1;2\n3;ä\n".encode("cp1252")


async def test_append_to_a_table_whose_names_are_not_one_each(folder):
    (folder / "a.csv").write_text("a,a\n1,2\n")
    with pytest.raises(ConnectorError, match="the header has 'a' twice"):
        await do("append", [{"a": 3}], path="a.csv")


async def test_append_to_a_table_with_a_cell_longer_than_what_is_looked_at(folder):
    (folder / "a.csv").write_text('a;b\n1;"' + "x" * 2_000_000 + '"\n')
    await do("append", [{"a": 3}], path="a.csv")
    assert (folder / "a.csv").read_text().endswith('x"\n3;\n')


async def test_a_table_that_would_be_too_wide_is_not_written(folder):
    """Each record has fields of its own: the table would be their product."""
    records = [{f"{row}-{column}": 1 for column in range(40)} for row in range(1000)]
    with pytest.raises(ConnectorError, match="1000 records with 40000 different fields"):
        await do("write", records, path="a.csv")
    await do("write", records, path="a.jsonl")


def test_only_append_is_not_idempotent():
    operations = FileConnector().operations
    marks = {name: (operation.side_effects, operation.idempotent) for name, operation in operations.items()}
    assert marks == {
        "append": (True, False),
        "list": (False, False),
        "parse": (False, False),
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


# --- text that is here already ------------------------------------------------------------------------------------


async def parse(value, **parameters):
    call = ConnectorCall(value, "k", "r", "s")
    return await FileConnector().do("parse", parameters, call), call.notes


@pytest.mark.parametrize(
    ("text", "parameters", "found"),
    [
        ("a;b\n1;ü\n", {}, [{"a": "1", "b": "ü"}]),
        ("Rates\na\tb\n1\t2,5\n", {"skip": 1, "types": "auto", "decimal": ","}, [{"a": 1, "b": 2.5}]),
        ("1,2\n3,4", {"header": False}, [["1", "2"], ["3", "4"]]),
        ('{"a": [1]}', {"format": "json"}, {"a": [1]}),
        ('{"a": 1}\n{"a": 2}\n', {"format": "jsonl"}, [{"a": 1}, {"a": 2}]),
        ("", {}, []),
        (["a\n1", "b\n2"], {}, [[{"a": "1"}], [{"b": "2"}]]),
        ([], {}, []),
    ],
)
async def test_text_is_read_as_a_file_of_it(text, parameters, found):
    assert (await parse(text, **parameters))[0] == found


async def test_a_mail_in_a_text_is_read():
    (mail,), _ = await parse("From: a@x.example\nSubject: Größe\n\nHi", format="eml")
    assert (mail["subject"], mail["text"]) == ("Größe", "Hi")
    assert "path" not in mail


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (3, "the input is no text"),
        (None, "the input is no text"),
        ([{"a": 1}], "is no text"),
        ("a,b\n1", "the text, line 2"),
    ],
)
async def test_what_cannot_be_parsed_is_an_error(value, says):
    with pytest.raises(ConnectorError, match=says):
        await parse(value)
