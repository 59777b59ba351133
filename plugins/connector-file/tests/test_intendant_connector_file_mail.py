"""What the file connector promises about mails, the messy ones included."""

import json
import random

import pytest

from intendant.plugin import ConnectorCall, ConnectorError
from intendant_connector_file import FileConnector
from intendant_connector_file._html import strip_html
from intendant_connector_file._mail import read_mail, read_mbox

SIMPLE = b"""\
Message-ID: <1@example.org>
In-Reply-To: <0@example.org>
From: =?utf-8?q?Zo=C3=AB?= <Zoe@Example.org>
To: "Doe, John" <john@example.org>, mary@example.org
Cc: =?iso-8859-1?Q?J=F6rg?= <joerg@example.org>
Date: Tue, 3 Mar 2026 10:00:00 +0100
Subject: =?utf-8?b?TWVldGluZyDinJM=?= was
 =?iso-8859-1?Q?_p=F6stponed?=
Content-Type: text/plain; charset=iso-8859-1

Gr\xfc\xdfe
"""

PARTS = b"""\
From: a@example.org
Subject: parts
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="B"

--B
Content-Type: multipart/alternative; boundary="C"

--C
Content-Type: text/plain; charset=utf-8

plain text
--C
Content-Type: text/html

<p>html text</p>
--C--
--B
Content-Type: text/plain; name="notes.txt"
Content-Disposition: attachment; filename="notes.txt"

not the body
--B
Content-Type: application/pdf
Content-Transfer-Encoding: base64
Content-Disposition: attachment; filename*=utf-8''r%C3%A9sum%C3%A9.pdf

AAAA
--B
Content-Type: message/rfc822

Subject: inner

inner text
--B--
"""


def test_a_mail_with_everything():
    assert read_mail(SIMPLE) == {
        "id": "<1@example.org>",
        "from": "Zoë <Zoe@Example.org>",
        "from_address": "zoe@example.org",
        "to": ["Doe, John <john@example.org>", "mary@example.org"],
        "cc": ["Jörg <joerg@example.org>"],
        "date": "2026-03-03T10:00:00+01:00",
        "subject": "Meeting ✓ was pöstponed",
        "text": "Grüße",
        "attachments": [],
        "in_reply_to": "<0@example.org>",
        "damaged": 0,
    }


@pytest.mark.parametrize(
    ("sender", "address"),
    [(b"A@B.org", "a@b.org"), (b'"x, y" <a@b.org>', "a@b.org"), (b"nobody", None), (b"", None)],
)
def test_the_bare_address_of_the_sender(sender, address):
    assert read_mail(b"From: " + sender + b"\n\n")["from_address"] == address


def test_plain_text_is_preferred_and_attachments_are_listed():
    mail = read_mail(PARTS)
    assert mail["text"] == "plain text"
    assert mail["attachments"] == [
        {"name": "notes.txt", "type": "text/plain", "size": 12},
        {"name": "résumé.pdf", "type": "application/pdf", "size": 3},
        {"name": None, "type": "message/rfc822", "size": None},
    ]


def test_html_alone_is_stripped():
    data = b"Content-Type: text/html; charset=utf-8\n\n<style>p{}</style><p>Hi&nbsp;&amp;\n bye</p>two<br>three"
    assert read_mail(data)["text"] == "Hi & bye\ntwo\nthree"


@pytest.mark.parametrize("date", [b"", b"Date: garbage\n", b"Date: 99 Foo 2026 99:99\n", b"Date: \xff\n"])
def test_a_date_that_is_missing_or_broken_is_null(date):
    assert read_mail(date + b"Subject: x\n\nbody")["date"] is None


def test_undeclared_bytes_are_read_as_utf8_or_replaced_and_counted():
    assert read_mail("Subject: café\n\nnaïve".encode())["damaged"] == 0
    mail = read_mail("Subject: café\n\nnaïve".encode("latin-1"))
    assert (mail["subject"], mail["text"], mail["damaged"]) == ("caf\ufffd", "na\ufffdve", 2)


@pytest.mark.parametrize("charset", [b"klingon", b"idna", b"unicode_escape", b"hex", b"a\0b", b"\xff", b'"'])
def test_an_odd_charset_does_not_stop_it(charset):
    mail = read_mail(b"Content-Type: text/plain; charset=" + charset + b"\n\nna\xc3\xafve \\ud800")
    assert mail["text"].startswith("na")
    json.dumps(mail).encode()


def test_an_mbox_is_split_at_its_envelopes_only():
    mails = read_mbox(
        b"From a@b Tue Mar  3 10:00:00 2026\nSubject: one\n\nFrom here on\n>From the start\n\n"
        b"From c@d Tue Mar  3 10:00:00 2026\r\nSubject: two\r\n\r\nbody\r\n"
    )
    assert [mail["subject"] for mail in mails] == ["one", "two"]
    assert mails[0]["text"] == "From here on\nFrom the start"


def test_an_empty_mbox_has_no_mails():
    assert read_mbox(b"\n") == []
    assert len(read_mbox(b"From a")) == 1


def test_what_is_no_mbox_is_refused():
    """Rather than read as no mails."""
    with pytest.raises(ConnectorError, match="this is no mbox"):
        read_mbox(SIMPLE)


async def test_a_folder_of_mails_and_a_pattern(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mails").mkdir()
    (tmp_path / "mails" / "b.eml").write_bytes(b"Subject: b\n\n")
    (tmp_path / "mails" / "a.eml").write_bytes(b"Subject: a\n\n")
    (tmp_path / "mails" / "notes.txt").write_bytes(b"x")
    (tmp_path / "box.mbox").write_bytes(b"From x\nSubject: m\n\n")
    call = ConnectorCall(None, "k", "r", "s")
    for path, subjects in (("mails", "ab"), ("mails/*.eml", "ab"), ("mails/a.eml", "a"), ("box.mbox", "m")):
        found = await FileConnector().do("read", {"path": path}, call)
        assert "".join(mail["subject"] for mail in found) == subjects


def test_no_damage_stops_it():
    """Two thousand mails, each broken in random places."""
    chance = random.Random(1)
    pieces = [b"=?utf-8?q?", b"?=", b"\n", b"\xff", b"Content-Type: ", b"charset=x", b"message/rfc822", b"<!["]
    for _ in range(2000):
        data = bytearray(chance.choice((SIMPLE, PARTS)))
        for _ in range(chance.randint(1, 12)):
            at = chance.randrange(len(data))
            match chance.randrange(3):
                case 0:
                    data[at] = chance.randrange(256)
                case 1:
                    del data[at : at + chance.randint(1, 20)]
                case _:
                    data[at:at] = chance.choice(pieces)
        mail = read_mail(bytes(data))
        assert json.dumps(mail).encode(), "it can be written as JSON"
        assert isinstance(mail["damaged"], int)


def test_parts_within_parts_do_not_stop_it():
    data = b"Subject: deep\n"
    for number in range(3000):
        data += b'Content-Type: multipart/mixed; boundary="%d"\n\n--%d\n' % (number, number)
    mail = read_mail(data + b"\nend")
    assert mail["subject"] == "deep"
    assert mail["damaged"] >= 1 or mail["text"]


@pytest.mark.parametrize("unit", ["<!--", "<a ", "<a x='", "</", "<script>", "<!", "&", "<"])
def test_hostile_html_takes_linear_time(unit):
    """Half a million tokens, within the suite's time limit; the standard library's parser would take hours."""
    assert len(strip_html(unit * 500_000)) <= len(unit) * 500_000


@pytest.mark.parametrize("header", [b"Subject: ", b"To: ", b"Date: ", b"Content-Type: ", b"Content-Disposition: "])
@pytest.mark.parametrize("unit", [b"=?utf-8?q?x", b"=?utf-8?q?a?=", b"(", b"<", b"a,", b'"', b"\n "])
def test_hostile_headers_are_read(header, unit):
    assert read_mail(header + unit * 20_000 + b"\n\nbody")["attachments"] is not None


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("a < b and c > d", "a < b and c > d"),
        ("<!-- hidden -->shown<!-- open", "shown<!-- open"),
        ("<head><title>t</title><body>x</body>", "x"),
        ("<script>if (a<b) {}</script>x", "x"),
        ("<b>bo</b>ld &lt;tag&gt; &#8364;", "bold <tag> €"),
        ("<![if !mso]>x<![endif]>", "x"),
        ("one<p></p><p></p><p>two", "one\n\ntwo"),
        ("<TD>a</TD><td>b", "ab"),
    ],
)
def test_html_becomes_what_a_reader_sees(source, text):
    assert strip_html(source) == text
