"""What the file connector promises about files on web servers and in buckets."""

import io
import zipfile

import pytest
from hypothesis import given, strategies as st

from intendant.plugin import Addresses, AddressRefused, ConnectorCall, ConnectorError
from intendant_connector_file import FileConnector
from intendant_connector_file._remote import Entry, Target, matching
from intendant_connector_file._web_files import links

FILES = {
    "exports/2026/a.csv": b"n\n1\n",
    "exports/2026/b.csv": b"n\n2\n",
    "exports/2026/deep/c.csv": b"n\n3\n",
    "exports/2026/.hidden.csv": b"n\n9\n",
    "exports/2026/empty.txt": b"",
    "exports/notes.txt": "Grüße".encode(),
    "exports/2025 old/d.csv": b"n\n4\n",
    "private/e.csv": b"n\n5\n",
}


def packed() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("in/x.csv", "n\n7\n")
        archive.writestr("in/y.csv", "n\n8\n")
    return file.getvalue()


async def do(operation, path, roots, given=None, **settings):
    connector = FileConnector({"roots": roots, **settings})
    return await connector.do(
        operation, {"path": path, **(given or {})}, ConnectorCall(None, "key", "run", "step")
    )


# --- web servers ---


@pytest.fixture
def site(httpserver):
    """A server that lists its folders, as common ones do."""
    folders = {}
    for name, data in {**FILES, "exports/r.zip": packed()}.items():
        httpserver.expect_request(f"/{name}").respond_with_data(data)
        parts = name.split("/")
        for at in range(1, len(parts)):
            entry = parts[at] if at == len(parts) - 1 else f"{parts[at]}/"
            folders.setdefault("/".join(parts[:at]), {})[entry] = None
    for folder, entries in folders.items():
        rows = "".join(f'<tr><td><a href="{entry.replace(" ", "%20")}">{entry}</a>' for entry in entries)
        page = f'<title>Index of /{folder}</title><a href="?C=N;O=D">Name</a><a href="../">Up</a><a href="/">/</a>{rows}'
        httpserver.expect_request(f"/{folder}/").respond_with_data(page, content_type="text/html; charset=utf-8")
    return httpserver.url_for("").rstrip("/")


def at(site):
    """Settings that admit the server of the test."""
    return {"roots": [f"{site}/exports"], "allow": ["127.0.0.1", "localhost", "::1"]}


PATTERNS = [
    ("exports/2026/*.csv", [{"n": "1"}, {"n": "2"}]),
    ("exports/**/*.csv", [{"n": "4"}, {"n": "1"}, {"n": "2"}, {"n": "3"}]),
    ("exports/2026/**/c.csv", [{"n": "3"}]),
    ("exports/*/[ab].csv", [{"n": "1"}, {"n": "2"}]),
    ("exports/2026/a.csv", [{"n": "1"}]),
    ("exports/notes.txt", "Grüße"),
    ("exports/2026/empty.txt", ""),
    ("exports/r.zip/in/*.csv", [{"n": "7"}, {"n": "8"}]),
]


@pytest.mark.parametrize(("path", "expected"), PATTERNS)
async def test_files_on_a_web_server_are_read_by_pattern(site, path, expected):
    assert await do("read", f"{site}/{path}", **at(site)) == expected


async def test_files_on_a_web_server_are_listed(site):
    found = await do("list", f"{site}/exports/2026/", **at(site))
    assert [entry["name"] for entry in found] == ["a.csv", "b.csv", "empty.txt"]
    assert found[0] == {"path": f"{site}/exports/2026/a.csv", "name": "a.csv", "size": None, "modified": None}


async def test_texts_have_their_addresses(site):
    found = await do("read", f"{site}/exports/*.txt", **at(site))
    assert found == [{"path": f"{site}/exports/notes.txt", "text": "Grüße"}]


async def test_credentials_are_sent_with_listings_and_files(httpserver):
    header = {"Authorization": "Bearer t0ken"}
    page = '<a href="a.csv">a</a>'
    httpserver.expect_request("/x/", headers=header).respond_with_data(page, content_type="text/html")
    httpserver.expect_request("/x/a.csv", headers=header).respond_with_data("n\n1\n")
    site = httpserver.url_for("").rstrip("/")
    admitted = {"roots": [site], "allow": ["127.0.0.1", "localhost", "::1"]}
    assert await do("read", f"{site}/x/*.csv", given={"auth": {"bearer": "t0ken"}}, **admitted) == [{"n": "1"}]


async def test_a_page_that_lists_nothing_and_one_of_another_server_are_no_folders(httpserver, site):
    httpserver.expect_request("/exports/json/").respond_with_json([])
    with pytest.raises(ConnectorError, match="is no page with links to files, but application/json"):
        await do("read", f"{site}/exports/json/*.csv", **at(site))
    elsewhere = httpserver.url_for("/exports/2026/").replace("localhost", "127.0.0.1")
    other = (
        elsewhere
        if elsewhere != httpserver.url_for("/exports/2026/")
        else elsewhere.replace("127.0.0.1", "localhost")
    )
    httpserver.expect_request("/exports/away/").respond_with_data("", status=302, headers={"Location": other})
    with pytest.raises(ConnectorError, match="leads to another server"):
        await do("read", f"{site}/exports/away/*.csv", **at(site))


async def test_folders_without_end_are_given_up(httpserver):
    import re

    page = '<a href="again/">again</a>'
    httpserver.expect_request(re.compile(r"/loop/.*")).respond_with_data(page, content_type="text/html")
    site = httpserver.url_for("").rstrip("/")
    with pytest.raises(ConnectorError, match="folders without end"):
        await do("read", f"{site}/loop/**/*.csv", [site], allow=["127.0.0.1", "localhost", "::1"])


async def test_more_than_max_bytes_or_max_files_is_refused(site):
    with pytest.raises(ConnectorError, match="`max_bytes` admits") as caught:
        await do("read", f"{site}/exports/2026/?.csv".replace("?", "*"), given={"max_bytes": 5}, **at(site))
    assert "max_bytes" in caught.value.hint
    with pytest.raises(ConnectorError, match="more than 1 files"):
        await do("read", f"{site}/exports/2026/*.csv", max_files=1, **at(site))


# --- what may be read ---


@pytest.mark.parametrize(
    "path",
    [
        "https://data.example/other/a.csv",
        "https://data.example/exports-2/a.csv",
        "https://data.example/exports/../private/e.csv",
        "https://data.example/exports/%2e%2e/private/e.csv",
        "https://data.example/exports/x%2f..%2f..%2fprivate/e.csv",
        "https://data.example/exports/..%5cprivate/e.csv",
        "https://data.example/*/a.csv",
        "https://data.example:8443/exports/a.csv",
        "http://data.example/exports/a.csv",
        "https://user:word@data.example/exports/a.csv",
        "https://data.example@evil.example/exports/a.csv",
        "https://data.example.evil.example/exports/a.csv",
        "https://data.example\\@evil.example/exports/a.csv",
        "https://data.example/exports/a\r\nHost: evil.csv",
        "https://data.example/exports/*.csv?token=1",
        "https:///exports/a.csv",
        "s3://reports-2/a.csv",
        "s3://reports/2025/a.csv",
        "s3://reports/2026x/a.csv",
        "s3://reports/2026/../2025/a.csv",
        "s3://re ports/a.csv",
        "s3:///a.csv",
        "s3://169.254.169.254:80/a.csv",
        "s3://reports/2026/" + "a" * 5000,
    ],
)
@pytest.mark.parametrize("operation", ["read", "list"])
async def test_what_is_outside_the_roots_is_refused_before_anything_is_asked(path, operation):
    roots = ["https://data.example/exports", "s3://reports/2026"]
    with pytest.raises(ConnectorError) as caught:
        await do(operation, path, roots)
    assert caught.value.delivered is False or "pattern has no query" in caught.value.message
    assert "may not be reached" not in caught.value.message


async def test_nothing_elsewhere_is_read_unless_a_root_says_so():
    with pytest.raises(ConnectorError, match="outside the places that may be used") as caught:
        await do("read", "https://data.example/exports/a.csv", [])
    assert caught.value.hint == (
        """allow it: --set plugins.settings.connector:file.roots='["https://data.example"]'"""
    )


@pytest.mark.parametrize("operation", ["write", "append"])
async def test_nothing_is_written_elsewhere(operation, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConnectorError, match="is only read"):
        await FileConnector({"roots": ["s3://reports"]}).do(
            operation, {"path": "s3://reports/a.txt"}, ConnectorCall("text", "key", "run", "step")
        )
    assert list(tmp_path.iterdir()) == []


async def test_records_elsewhere_are_not_streamed():
    with pytest.raises(ConnectorError, match="takes files of this machine"):
        await do("read", "s3://reports/*.csv", ["s3://reports"], given={"records": "reference"})


async def test_private_addresses_are_refused_even_within_a_root(site):
    with pytest.raises(AddressRefused, match="this machine") as caught:
        await do("read", f"{site}/exports/notes.txt", [site])
    assert "connector:file.allow" in caught.value.hint


def test_plans_doubt_what_the_settings_do_not_admit():
    connector = FileConnector({"roots": ["s3://reports", "http://127.0.0.1:9/x"]})
    doubts = list(connector.doubts("read", {"path": "https://data.example/a.csv"}))
    assert len(doubts) == 1
    assert "outside the places" in doubts[0]
    assert "this machine" in next(iter(connector.doubts("read", {"path": "http://127.0.0.1:9/x/a.csv"})))
    private = {"path": "s3://reports/a.csv", "s3": {"endpoint": "http://10.0.0.1"}}
    assert "private" in next(iter(connector.doubts("read", private)))
    assert list(connector.doubts("read", {"path": "s3://reports/*.csv"})) == []
    assert list(connector.doubts("read", {"path": "s3://{{ inputs.bucket }}/*.csv"})) == []
    assert "is only read" in next(iter(connector.doubts("write", {"path": "s3://reports/a.csv"})))
    assert connector.files("read", {"path": "s3://reports/*.csv"}, "") is None


@pytest.mark.parametrize("root", ["s3://b-1/*.csv", "s3://B_AD!", "https://user:word@host/", "https://h/../x"])
def test_a_root_that_is_no_place_is_an_error_of_the_settings(root):
    with pytest.raises(Exception, match="roots"):
        _ = FileConnector({"roots": [root]}).settings


# --- patterns ---


class Tree:
    """Files by their keys."""

    def __init__(self, keys):
        self.keys = keys

    async def entries(self, folder, head):
        names = {}
        for key in self.keys:
            address = f"s3://bucket/{key}"
            if address.startswith(folder) and len(address) > len(folder):
                first, slash, _ = address[len(folder) :].partition("/")
                names[first, slash] = f"{folder}{first}{slash}"
        for (name, _), address in names.items():
            if name.startswith(head):
                yield Entry(name, address)


@given(
    st.sets(st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=4).map("/".join), max_size=8),
    st.lists(st.sampled_from(["a", "*", "**", "a*", "?", "[ab]"]), min_size=1, max_size=4),
)
async def test_a_pattern_finds_what_the_same_pattern_finds_in_an_archive(keys, parts):
    """Whatever the files: the matching of archives, which looks at whole names, is the oracle."""
    from intendant_connector_file._archive import _Match

    if not any(set(part) & set("*?[") for part in parts):
        return
    keys = {key for key in keys if not any(other.startswith(f"{key}/") for other in keys)}
    pattern = "/".join(parts)
    found = await matching(Tree(keys), Target.of(f"s3://bucket/{pattern}"), 1000, lambda: None)
    assert [entry.address for entry in found] == sorted(
        f"s3://bucket/{key}" for key in keys if _Match(pattern)(key)
    )


def test_links_of_a_page_are_those_of_its_own_folder():
    page = """<a href="a.csv">x</a> <A HREF='b%20c.csv'> <a href=d/> <a href="/x/e&amp;f.csv"><a href="?C=N">
    <a href="../up"> <a href="https://evil.example/x/g.csv"> <a href="i/j.csv"> <a href="k%2Fl"> <a href="%2e%2e/">
    <a href="javascript:alert(1)"> <a href="http://[bad"> <a href="m#n"> <a href="a.csv">"""
    found = links(page, "https://h.example/x/")
    assert [(entry.name, entry.address) for entry in found] == [
        ("a.csv", "https://h.example/x/a.csv"),
        ("b c.csv", "https://h.example/x/b%20c.csv"),
        ("d", "https://h.example/x/d/"),
        ("e&f.csv", "https://h.example/x/e&f.csv"),
    ]


@given(st.text(st.sampled_from("<a href='\"=>/x. &%"), max_size=300))
def test_a_page_of_any_form_gives_names_without_folders(page):
    assert all(
        "/" not in entry.name and entry.address.startswith("https://h/x/") for entry in links(page, "https://h/x/")
    )


# --- buckets ---


@pytest.fixture(scope="module")
def service():
    """A service that speaks S3, in this process."""
    pytest.importorskip("s3fs", reason="the extra `s3` is not installed")
    server = pytest.importorskip("moto.server", reason="moto, which speaks S3, is not installed")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    _, port = running.get_host_and_port()
    yield f"http://127.0.0.1:{port}"
    running.stop()


@pytest.fixture
def bucket(service):
    import boto3

    client = boto3.client(
        "s3", endpoint_url=service, aws_access_key_id="id", aws_secret_access_key="word", region_name="us-east-1"
    )
    client.create_bucket(Bucket="reports")
    for name, data in {**FILES, "exports/r.zip": packed(), "exports/2026/": b""}.items():
        client.put_object(Bucket="reports", Key=name, Body=data)
    client.close()
    return service


def of(service, **more):
    return {"s3": {"endpoint": service, "key": "id", "secret": "word", **more}}


S3_ALLOWED = {"roots": ["s3://reports/exports"], "allow": ["127.0.0.1"]}


@pytest.mark.parametrize(("path", "expected"), [*PATTERNS, ("exports/2026/?.csv", [{"n": "1"}, {"n": "2"}])])
async def test_files_in_a_bucket_are_read_by_pattern(bucket, path, expected):
    assert await do("read", f"s3://reports/{path}", given=of(bucket), **S3_ALLOWED) == expected


async def test_files_in_a_bucket_are_listed_with_sizes_and_times(bucket):
    found = await do("list", "s3://reports/exports/2026/", given=of(bucket), **S3_ALLOWED)
    assert [(entry["name"], entry["size"]) for entry in found] == [("a.csv", 4), ("b.csv", 4), ("empty.txt", 0)]
    assert found[0]["path"] == "s3://reports/exports/2026/a.csv"
    assert found[0]["modified"].endswith("+00:00")


async def test_what_is_missing_in_a_bucket_is_said(bucket):
    with pytest.raises(ConnectorError, match="s3://reports/exports/none.csv is not there") as caught:
        await do("read", "s3://reports/exports/none.csv", given=of(bucket), **S3_ALLOWED)
    assert caught.value.absent
    with pytest.raises(ConnectorError, match="no file matches"):
        await do("read", "s3://reports/exports/none/*.csv", given=of(bucket), **S3_ALLOWED)
    with pytest.raises(ConnectorError, match="is not there"):
        await do("read", "s3://nobucket/*.csv", ["s3://nobucket"], given=of(bucket), allow=["127.0.0.1"])
    with pytest.raises(ConnectorError, match="is a folder"):
        await do("read", "s3://reports/exports/", given=of(bucket), **S3_ALLOWED)


async def test_a_bucket_has_bounds_of_size_and_number(bucket):
    with pytest.raises(ConnectorError, match="`max_bytes` admits"):
        await do("read", "s3://reports/exports/2026/*.csv", given={**of(bucket), "max_bytes": 5}, **S3_ALLOWED)
    with pytest.raises(ConnectorError, match="`max_bytes` admits"):
        await do("read", "s3://reports/exports/2026/a.csv", given={**of(bucket), "max_bytes": 3}, **S3_ALLOWED)
    with pytest.raises(ConnectorError, match="more than 2 files"):
        await do("list", "s3://reports/exports/2026/*", given=of(bucket), max_files=2, **S3_ALLOWED)


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:1", "http://localhost:1", "http://2130706433:1", "http://169.254.169.254"]
)
async def test_a_service_at_a_private_address_is_refused(service, endpoint):
    with pytest.raises(ConnectorError, match="may not be reached|is not a canonical"):
        await do("read", "s3://reports/exports/a.csv", ["s3://reports"], given=of(endpoint))


async def test_a_name_that_leads_to_a_private_address_is_refused_where_the_connection_is_made(bucket):
    """What the name of the endpoint stands for shows only below the connection pool."""
    from intendant_connector_file._remote import Bucket
    from intendant_connector_file._s3_files import S3Files

    async def lies(host, port):
        return ["127.0.0.1"]

    reach = Bucket(endpoint=bucket.replace("127.0.0.1", "storage.example"), key="id", secret="word")
    files = S3Files(reach, Addresses(resolver=lies), 5)
    try:
        with pytest.raises(AddressRefused, match=r"storage.example.*this machine"):
            await files.load("s3://reports/exports/notes.txt", 100)
    finally:
        await files.close()
    reach = reach.model_copy(update={"endpoint": bucket.replace("127.0.0.1", "localhost")})
    named = S3Files(reach, Addresses(["localhost"], resolver=lies), 5)
    try:
        assert await named.load("s3://reports/exports/notes.txt", 100) == "Grüße".encode()
    finally:
        await named.close()


async def test_a_numeric_address_that_no_name_is_looked_up_for_is_refused_at_the_socket(bucket):
    """aiohttp asks no resolver for it; what looks at the endpoint before is left out here."""
    from intendant_connector_file._remote import Bucket
    from intendant_connector_file._s3_files import S3Files

    class Later(Addresses):
        def refused(self, url):
            return None

    files = S3Files(Bucket(endpoint=bucket, key="id", secret="word"), Later(), 5)
    try:
        with pytest.raises(AddressRefused, match=r"127.0.0.1.*this machine"):
            await files.load("s3://reports/exports/notes.txt", 100)
    finally:
        await files.close()


@pytest.mark.parametrize("endpoint", ["minio.example", "file:///etc", "http://", "http://[", "x" * 1000])
async def test_an_endpoint_that_is_no_address_is_an_error(service, endpoint):
    with pytest.raises(ConnectorError, match="cannot be read"):
        await do("read", "s3://reports/exports/a.csv", ["s3://reports"], given=of(endpoint))


async def test_the_environment_gives_no_credentials_endpoint_or_proxy(bucket, monkeypatch):
    for name, value in {
        "AWS_PROFILE": "none-of-these",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "ambient",
        "AWS_SECRET_ACCESS_KEY": "ambient",
        "HTTP_PROXY": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)
    assert await do("read", "s3://reports/exports/notes.txt", given=of(bucket), **S3_ALLOWED) == "Grüße"


async def test_without_the_extra_the_error_names_it(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.setitem(sys.modules, "aiobotocore.session", None)
    with pytest.raises(ConnectorError, match="not installed") as caught:
        await do("read", "s3://reports/a.csv", ["s3://reports"])
    assert caught.value.hint == "pip install 'intendant-connector-file[s3]'"


@pytest.mark.parametrize("given", [{"key": "id"}, {"secret": "word"}, {"token": "t"}, {"region": "../x"}])
async def test_credentials_that_are_not_whole_are_refused(given):
    with pytest.raises(Exception, match="s3"):
        await do("read", "s3://reports/a.csv", ["s3://reports"], given={"s3": given})
