"""What the file connector promises about files within archives, and about those whose records flow."""

import os
import zipfile

import pytest

from intendant.plugin import ConnectorCall, ConnectorError, RecordSource
from intendant_connector_file import FileConnector


@pytest.fixture
def folder(tmp_path, monkeypatch):
    root = tmp_path / "root"
    root.mkdir()
    monkeypatch.chdir(root)
    return root


async def read(path, **parameters):
    call = ConnectorCall(None, "key", "run", "step")
    return await FileConnector().do("read", {"path": path, **parameters}, call)


def pack(path, files, **options):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, text in files.items():
            archive.writestr(name, text)


FILES = {
    "2026/a.csv": "n\n1\n",
    "2026/b.csv": "n\n2\n",
    "2026/deep/c.csv": "n\n3\n",
    "readme.txt": "Grüße",
    "d.json": "[4]",
}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("2026/*.csv", [{"n": "1"}, {"n": "2"}]),
        ("**/*.csv", [{"n": "1"}, {"n": "2"}, {"n": "3"}]),
        ("2026/**/c.csv", [{"n": "3"}]),
        ("**/**/a.csv", [{"n": "1"}]),
        ("readme.txt", "Grüße"),
        ("d.json", [4]),
    ],
)
async def test_files_are_read_within_an_archive(folder, pattern, expected):
    """A `*` stays within a folder; a single name gives that file, a pattern the records of all."""
    pack("r.zip", FILES)
    assert await read(f"r.zip/{pattern}") == expected


@pytest.mark.parametrize("name", ["../evil.csv", "/etc/passwd", "a/../../b.csv"])
async def test_names_that_climb_out_are_just_names(folder, name):
    """Nothing is unpacked to a disk, so that no name leads anywhere."""
    pack("r.zip", {name: "n\n1\n"})
    assert await read("r.zip/**", format="csv") == [{"n": "1"}]
    assert [path.name for path in folder.parent.rglob("*")] == ["root", "r.zip"]


async def test_archives_that_unpack_to_too_much_are_refused(folder):
    """By what they say, before anything is unpacked, and by what comes out."""
    pack("bomb.zip", {"a.txt": "0" * 5_000_000})
    with pytest.raises(ConnectorError, match="times as large as it is packed"):
        await read("bomb.zip/a.txt")
    pack("large.zip", {f"{n}.txt": "text " * 300 for n in range(3)})
    with pytest.raises(ConnectorError, match="more than 3000 bytes unpacked"):
        await read("large.zip/*.txt", max_bytes=3000)


async def test_what_is_no_archive_or_has_no_such_file_is_said(folder):
    (folder / "x.zip").write_text("no archive")
    with pytest.raises(ConnectorError, match=r"x\.zip cannot be read as a ZIP archive"):
        await read("x.zip/a.csv")
    pack("r.zip", FILES)
    with pytest.raises(ConnectorError, match=r"no file in r\.zip matches \*\.pdf"):
        await read("r.zip/*.pdf")
    with pytest.raises(ConnectorError, match="outside the folders"):
        await read("../r.zip/a.csv")


# --- records that flow --------------------------------------------------------------------------------------------


async def flowing(path, **parameters):
    source = await read(path, records="reference", **parameters)
    assert isinstance(source, RecordSource)
    return [record for batch in FileConnector().open_records(source.about) for record in batch]


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("a,b\n1,x\n2,\n", {}),
        ("sep=;\na;b\n1;x\n", {}),
        ("a\tb\r\n1\tx\r\n\r\n2\ty\r\n", {}),
        ('a,b\n"1\n2","x ""y"""\n', {}),
        ("a,b\n1,2.5\n,true\n3,4\n", {"types": "auto"}),
        ("a;b\n1.250;x\n3;y\n", {"types": "auto"}),
        ("a;b\n1.250,5;2.000\n3;4\n", {"types": "auto", "decimal": ","}),
        ("a,b\n1\n2,3\n", {"ragged": "pad"}),
        ("1,x\n2,y\n", {"header": False}),
        ("a,a,\n1,2,3\n", {"names": "repair"}),
        ("a,b,,\n1,2,,\n", {}),
        ("a,b", {}),
        ("Statement;;\r\nAccount;DE89\r\n\r\na;b\r\n1;2\r\n", {"skip": 3}),
        ("Report of May\ra,b\r1,2\r3,4", {"skip": 1, "types": "auto"}),
        ("a,b\n1,2\n", {"skip": 5}),
    ],
)
async def test_a_table_that_flows_is_the_table_that_is_held(folder, text, parameters):
    (folder / "t.csv").write_bytes(text.encode())
    assert await flowing("t.csv", **parameters) == await read("t.csv", records="list", **parameters)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
async def test_encodings_flow_too(folder, encoding):
    (folder / "t.csv").write_bytes("naïve,größe\nä,ö\n".encode(encoding))
    given = {"encoding": encoding} if encoding == "cp1252" else {}
    assert await flowing("t.csv", **given) == [{"naïve": "ä", "größe": "ö"}]


async def test_lines_of_json_and_several_files_flow(folder):
    (folder / "a.jsonl").write_text('{"n": 1}\n\n{"n": 2}')
    (folder / "b.jsonl").write_text('{"n": 3}\n')
    assert await flowing("*.jsonl") == [{"n": 1}, {"n": 2}, {"n": 3}]
    (folder / "b.jsonl").write_text('{"n": 3}\n{"n"')
    with pytest.raises(ConnectorError, match=r"b\.jsonl, line 2: this is not JSON"):
        await flowing("*.jsonl")


async def test_a_row_of_another_length_is_named(folder):
    (folder / "t.csv").write_text("a,b\n1,2\n3\n")
    with pytest.raises(ConnectorError, match="1 values, but the header has 2"):
        await flowing("t.csv")


async def test_large_files_flow_by_themselves(folder, monkeypatch):
    """Files beyond the default bound flow; where the step gives a bound itself, they are refused."""
    with (folder / "t.csv").open("w") as file:
        file.write("a\n")
        file.writelines("x" * 99 + "\n" for _ in range(510_000))
    assert isinstance(await read("t.csv"), RecordSource)
    with pytest.raises(ConnectorError):
        await read("t.csv", max_bytes=1000)


@pytest.mark.parametrize("way", ["in place", "in its stead"])
async def test_a_file_of_other_content_is_seen_though_size_and_time_are_the_same(folder, way):
    """Its time may be set, by `cp -p` or an archive that is unpacked, and is the same for quick changes."""
    path = folder / "t.csv"
    path.write_text("a,b\n1,2\n")
    source = await read("t.csv", records="reference")
    before = path.stat()
    if way == "in place":
        path.write_text("a,b\n1,3\n")
    else:
        (folder / "new.csv").write_text("a,b\n1,3\n")
        (folder / "new.csv").replace(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(ConnectorError, match="has changed since"):
        FileConnector().check_records(source.about)
    with pytest.raises(ConnectorError, match="has changed since"):
        list(FileConnector().open_records(source.about))


async def test_a_file_of_the_same_content_has_not_changed(folder):
    path = folder / "t.csv"
    path.write_text("a,b\n1,2\n")
    source = await read("t.csv", records="reference")
    (folder / "copy.csv").write_text("a,b\n1,2\n")
    (folder / "copy.csv").replace(path)
    path.chmod(0o600)
    FileConnector().check_records(source.about)
    files = [
        {"path": file["path"], "size": file["size"], "modified": 0, "sha256": file["sha256"]}
        for file in source.about["files"]
    ]
    FileConnector().check_records({**source.about, "files": files})
