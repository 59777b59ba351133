"""What the file connector promises about mails, the messy ones included."""
# ruff: noqa: RUF001  # signs that charsets differ in

import base64
import json
import random

import pytest

from intendant.plugin import ConnectorCall, ConnectorError, Watch, read_mail, read_mbox, strip_html
from intendant_connector_file import FileConnector

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
    assert mail["text"].splitlines()[0] == "plain text"
    assert "html text" not in mail["text"]
    assert "not the body" not in mail["text"]
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


def test_undeclared_bytes_that_are_in_neither_charset_are_replaced_and_counted():
    mail = read_mail(b"Subject: caf\x81\n\nna\x90ve")
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


@pytest.mark.parametrize(
    "unit",
    [
        "<!--",
        "<a ",
        "<a x='",
        "</",
        "<script>",
        "<!",
        "&",
        "<",
        "<td><p>",
        "<li></li>",
        "<p hidden>",
        "&#9999999999;",
    ],
)
def test_hostile_html_takes_linear_time(unit):
    """So many tokens within the suite's time limit; the standard library's parser would take hours for some."""
    assert len(strip_html(unit * 40_000)) <= len(unit) * 40_000


@pytest.mark.sampled(8)
@pytest.mark.parametrize("before", ["<div>", "<ul>", "<b>", "<td>", "<blockquote>", "<a href=http://x>", "<tr>"])
@pytest.mark.parametrize("unit", ["<li></li>", "</p>", "<td>", "x<br>", "<tr>", "</table>"])
def test_deep_html_takes_linear_time(before, unit):
    """Each tag may look at the elements that are open, of which few are kept."""
    assert strip_html("<ul>" + before * 20_000 + unit * 20_000) is not None


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
        ("<TD>a</TD><td>b", "a\tb"),
        ("<tr><td>7</td><td></td><td>12</td></tr><tr><td>8", "7\t\t12\n8"),
        ("<table><tr><td><p>12</p></td><td><p>340</p></td></tr></table>x", "12\t340\n\nx"),
        ("<tr><td>a<br>b</td><td>c</td></tr>", "a\nb\nc"),
        ("<p>x</p><table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>", "x\n\na\tb\n1\t2"),
        ("x<br><br><table><tr><td>a</td><td>b</td></tr></table>", "x\n\na\tb"),
        ("x<table><tr><td>a</td><td>b</td></tr></table>", "x\na\tb"),
        ("<h1>x</h1><ul><li>y</ul><p><p><tr><td>a<td>b", "x\n\n- y\n\na\tb"),
        ("<tr><td>out<table><tr><td>1<td>2</table></td><td>3</td></tr>", "out\n1\t2\n\n3"),
        ("<h5>a</h5><section>b</section><aside>c</aside><dl><dt>d<dd>e</dl>", "a\nb\nc\n\nd\ne"),
        ("<pre>\n a\n\n\n  b  \n</pre>c", " a\n\n\n  b\nc"),
        ("<ul><li>a<li><p>b</p><ul><li>c</ul></ul>", "- a\n- b\n  - c"),
        ("<ol start=9><li>a<li>b</ol>", "9. a\n10. b"),
        ("<blockquote>a<br>b<blockquote>c</blockquote></blockquote>d", "> a\n> b\n> > c\n\nd"),
        ("<a href='http://x.org/?a&amp;b'>x</a>!", "x (http://x.org/?a&b)!"),
        ("<a href='HTTPS://www.x.org/'>x.org</a>, <a href=mailto:a@b>a@b</a>", "x.org, a@b"),
        ("<a href='#n'>n</a> <a href='javascript:alert(1)'>j</a>", "n j"),
        ("see <a href=https://x.org><img src=b></a>", "see https://x.org"),
        ("<a title='1 > 0' href=https://x.org>t", "t (https://x.org)"),
        ("<div style='color: red; DISPLAY: none'>no <div>no</div> no</div>yes", "yes"),
        ("<p hidden>no<p>yes<span style='visibility:hidden'>no</span>", "yes"),
        ("<div style='max-height:0;overflow:hidden'>no</div><i style='opacity:0.9'>yes</i>", "yes"),
        ("<td style='font-size:0px'><div style='font-size:13px'>yes</div></td>", "yes"),
        ("1&nbsp;250,00&nbsp;EUR, a&nbsp; b, so&shy;ft, x&zwnj;&nbsp;&zwnj; y", "1\xa0250,00 EUR, a b, soft, x y"),
        ("&#x110000; &#0; &#99999999999; &bogus; &lt", "\ufffd \ufffd &#99999999999; &bogus; <"),
        ("<p>a</div></td>b</p>c", "ab\nc"),
        ("x<sup>2</sup> <select><option>a<option>b</select>", "x2\na\nb"),
    ],
)
def test_html_becomes_what_a_reader_sees(source, text):
    assert strip_html(source) == text


def test_links_can_be_left_out():
    assert strip_html("<a href=https://x.org>t</a>", links=False) == "t"


# --- parts ---------------------------------------------------------------------------------------------------


def part(kind, body, *headers, charset="utf-8"):
    lines = [f"Content-Type: {kind}; charset={charset}", *headers, "", body]
    return "\n".join(lines)


def several(kind, *parts, mark="B"):
    body = "".join(f"--{mark}\n{item}\n" for item in parts)
    return f'Content-Type: multipart/{kind}; boundary="{mark}"\n\n{body}--{mark}--\n'


def text_of(message):
    return read_mail(f"Subject: x\nMIME-Version: 1.0\n{message}".encode())["text"]


PLAIN, HTML = part("text/plain", "plain"), part("text/html", "<p>rich</p>")
BLANK = part("text/plain", " \n\xa0\n")
FOOTER = part("text/plain", "_____\nlist")


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (several("mixed", HTML, FOOTER), "rich\n_____\nlist"),
        (several("mixed", PLAIN, HTML, FOOTER), "plain\nrich\n_____\nlist"),
        (several("alternative", PLAIN, HTML), "plain"),
        (several("alternative", HTML, PLAIN), "plain"),
        (several("alternative", BLANK, HTML), "rich"),
        (several("alternative", PLAIN, part("text/html", "")), "plain"),
        (several("alternative", BLANK, BLANK), ""),
        (several("alternative", BLANK, several("related", HTML, part("image/png", "x"), mark="C")), "rich"),
        (several("mixed", several("alternative", PLAIN, HTML, mark="C"), FOOTER), "plain\n_____\nlist"),
        (several("mixed", several("alternative", BLANK, HTML, mark="C"), FOOTER), "rich\n_____\nlist"),
        (several("alternative", PLAIN, part("text/calendar", "BEGIN:VCALENDAR")), "plain"),
        (several("alternative", part("text/x-amp-html", "<p>amp</p>"), HTML), "rich"),
        (several("report", PLAIN, part("message/delivery-status", "Status: 5.1.1")), "plain"),
        (part("text/plain", "named", 'Content-Disposition: inline; filename="a.txt"'), "named"),
        (part("text/plain", "kept", 'Content-Disposition: attachment; filename="a.txt"'), ""),
        (part("text/html", "<p>only</p>"), "only"),
        ('Content-Type: multipart/mixed; boundary="X"\n\nno boundary at all\n', "no boundary at all"),
        (part("text/plain", "cGxhaW4=", "Content-Transfer-Encoding: base64 "), "plain"),
        (part("text/plain", "caf=C3=A9=\n!", "Content-Transfer-Encoding: Quoted-Printable"), "café!"),
    ],
)
def test_the_parts_that_are_the_text(message, text):
    """Only parts of one multipart/alternative stand for one another; all others follow each other."""
    assert text_of(message) == text


INNER = "From: Ann <ann@example.org>\nSubject: =?utf-8?q?caf=C3=A9?=\n\nthe inner text"


@pytest.mark.parametrize(
    "inner",
    [
        "Content-Type: message/rfc822\n\n" + INNER,
        'Content-Type: message/rfc822\nContent-Disposition: attachment; filename="fw.eml"\n\n' + INNER,
        "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n"
        + base64.b64encode(INNER.encode()).decode(),
    ],
)
def test_a_forwarded_mail_is_an_attachment_whose_text_follows(inner):
    mail = read_mail(f"Subject: Fwd\n{several('mixed', PLAIN, inner)}".encode())
    assert mail["text"].splitlines() == [
        "plain",
        "---------- Forwarded message ----------",
        "From: Ann <ann@example.org>",
        "Subject: café",
        "",
        "the inner text",
    ]
    assert [(found["type"], found["size"]) for found in mail["attachments"]] == [("message/rfc822", None)]
    assert mail["subject"] == "Fwd"


def test_attachments_without_names_and_calendars_are_listed():
    mail = read_mail(several("mixed", PLAIN, part("text/calendar", "x"), part("image/png", "xy")).encode())
    assert [(found["name"], found["type"], found["size"]) for found in mail["attachments"]] == [
        (None, "text/calendar", 1),
        (None, "image/png", 2),
    ]


# --- charsets ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("charset", "text", "codec"),
    [
        ("iso-8859-1", "“fixed” – 450 € it’s…", "cp1252"),
        ("ISO-8859-1", "naïve", "latin-1"),
        ("latin1", "‘x’ ™", "cp1252"),
        ("us-ascii", "“fixed” 450 €", "cp1252"),
        ("us-ascii", "naïve €", "utf-8"),
        ("x-unknown", "“fixed” 450 €", "cp1252"),
        ("x-unknown", "naïve €", "utf-8"),
        ("iso-8859-9", "“İstanbul”", "cp1254"),
        ("gb2312", "镕 朱 €", "gb18030"),
        ("gbk", "㐀", "gb18030"),
        ("ks_c_5601-1987", "똠방각하", "cp949"),
        ("euc-kr", "햏", "cp949"),
        ("shift_jis", "①～", "cp932"),
        ("x-sjis", "髙", "cp932"),
        ("big5", "中文", "big5"),
        ("iso-2022-jp", "日本語", "iso2022_jp"),
        ("tis-620", "ไทย €", "cp874"),
        ("windows-1251", "Привет", "cp1251"),
        ("koi8-r", "Привет", "koi8-r"),
        ("utf-8*en", "naïve", "utf-8"),
        ("'utf-8'", "naïve", "utf-8"),
        ("unicode-1-1-utf-7", "naïve", "utf-7"),
    ],
)
def test_charsets_are_read_as_mail_programs_read_them(charset, text, codec):
    """By the labels of the WHATWG Encoding Standard."""
    head = f"Content-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: base64\n\n".encode()
    mail = read_mail(head + base64.b64encode(text.encode(codec)))
    assert (mail["text"], mail["damaged"]) == (text, 0)


@pytest.mark.parametrize(
    ("declared", "data", "text", "damaged"),
    [
        ("", "Größe 5 € – “gut”".encode("cp1252"), "Größe 5 € – “gut”", 0),
        ("", "Größe 5 €".encode(), "Größe 5 €", 0),
        ("; format=flowed", "señor".encode("latin-1"), "señor", 0),
        ("; charset=utf-8", "déjà vu".encode("cp1252"), "déjà vu", 0),
        ("; charset=utf-8", "déjà".encode() + b" \xe9t\xe9 ", "déjà \ufffdt\ufffd", 2),
        ("; charset=utf-8", "Größ".encode()[:-1], "Grö\ufffd", 1),
        ("; charset=utf-8", "ab ©".encode()[:-1], "ab \ufffd", 1),
    ],
)
def test_text_without_a_charset_or_with_a_wrong_one_keeps_its_characters(declared, data, text, damaged):
    """UTF-8 where it can be, else cp1252; UTF-8 that is damaged stays UTF-8."""
    mail = read_mail(b"Content-Type: text/plain" + declared.encode() + b"\n\n" + data)
    assert (mail["text"], mail["damaged"]) == (text, damaged)


def test_headers_in_raw_bytes_keep_their_characters():
    mail = read_mail("From: Jörg <j@x.example>\nSubject: Größe\n\n.".encode("cp1252"))
    assert (mail["from"], mail["subject"], mail["damaged"]) == ("Jörg <j@x.example>", "Größe", 0)
    assert read_mail("Subject: Größe €\n\n.".encode())["subject"] == "Größe €"


def test_bytes_that_no_charset_has_are_counted():
    assert read_mail(b"Content-Type: text/plain; charset=iso-8859-1\n\na\x81\x8db")["damaged"] == 2


def test_html_may_name_its_own_charset():
    page = "<html><head><meta http-equiv=Content-Type content='text/html; charset=windows-1251'></head>Привет"
    assert read_mail(b"Content-Type: text/html\n\n" + page.encode("cp1251"))["text"] == "Привет"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
        ("=?utf-8?b?w6k=?=x", "éx"),
        ("=?UTF-8?B?4oI=?= =?UTF-8?B?rA==?=", "€"),
        ("=?iso-8859-1?q?=80_5?=", "€ 5"),
        ("=?gb2312?B?6WY=?=", "閒"),
        ("=?utf-8?x?a?=", "=?utf-8?x?a?="),
        ("Re: =?utf-8?q?=5Btag=5D_x?= =?utf-8*de?q?=C3=A4?=", "Re: [tag] xä"),
    ],
)
def test_encoded_words(raw, text):
    assert read_mail(f"Subject: {raw}\n\n".encode())["subject"] == text


# --- addresses and dates -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "shown", "bare"),
    [
        ("root@db7.example.org (Cron Daemon)", ["Cron Daemon <root@db7.example.org>"], "root@db7.example.org"),
        ("Pete (A \\) chap) <pete(his)@silly.test>", ["Pete <pete@silly.test>"], "pete@silly.test"),
        ("undisclosed-recipients:;", [], None),
        ("Team: A <a@x.org>, b@y.org; c@z.org", ["A <a@x.org>", "b@y.org", "c@z.org"], "a@x.org"),
        ("a@x.org; b@y.org", ["a@x.org", "b@y.org"], "a@x.org"),
        ("<@gw,@relay:c@d.org>", ["c@d.org"], "c@d.org"),
        ('"Doe, \\"J\\" (x)" <j@x.org>', ['Doe, "J" (x) <j@x.org>'], "j@x.org"),
        ("=?utf-8?q?Doe,_J=C3=B6rg?= <j@x.org>", ["Doe, Jörg <j@x.org>"], "j@x.org"),
        ("=?utf-8?b?WsO8cmljaA==?= (=?utf-8?q?B=C3=BCro?=) <z@x.org>", ["Zürich <z@x.org>"], "z@x.org"),
        ("'Jane' <Jane@X.org>", ["Jane <Jane@X.org>"], "jane@x.org"),
        ("j@x.org <j@x.org>", ["j@x.org"], "j@x.org"),
        ("John Smith john@x.org", ["John Smith <john@x.org>"], "john@x.org"),
        ("Name <mailto:x@y.org>", ["Name <x@y.org>"], "x@y.org"),
        ("a@[IPv6:2001:db8::1]", ["a@[IPv6:2001:db8::1]"], "a@[ipv6:2001:db8::1]"),
        ('"', ['"'], None),
    ],
)
def test_addresses_with_comments_groups_and_what_programs_write(raw, shown, bare):
    mail = read_mail(f"From: {raw}\nTo: {raw}\n\n".encode())
    assert (mail["to"], mail["from_address"]) == (shown, bare)


@pytest.mark.parametrize(
    ("raw", "date"),
    [
        ("Mon, 11 May 2026 09:00:00 +0200 (CEST)", "2026-05-11T09:00:00+02:00"),
        ("11 May 26 09:00 CEST", "2026-05-11T09:00:00+02:00"),
        ("2026-05-11T09:00:00Z", "2026-05-11T09:00:00+00:00"),
        ("2026-05-11 09:00:00+02:00", "2026-05-11T09:00:00+02:00"),
        ("Mon, 31 Feb 2026 09:00:00 +0000", None),
        ("Mon, 11 May 2026 25:00:00 +0000", None),
        ("Mon, 11 May 2026 09:00:00 +9999", None),
        ("11/05/2026", None),
        ("Mon, 11 May 99999 09:00:00 +0000", None),
    ],
)
def test_dates_of_other_programs(raw, date):
    assert read_mail(f"Date: {raw}\n\n".encode())["date"] == date


@pytest.mark.parametrize("kind", ["mixed", "alternative"])
def test_a_hostile_structure_is_left_at_the_watchs_word(kind):
    """Hundreds of open parts make each line dear; the reading looks up between pieces."""
    data = b"".join(
        b'Content-Type: multipart/%s; boundary="%d"\n\n--%d\n' % (kind.encode(), number, number)
        for number in range(250)
    )
    watch = Watch()
    watch.stop()
    with pytest.raises(ConnectorError, match="stopped"):
        read_mail(data + b"\n" * 1_000_000, watch)


def test_a_hostile_content_type_takes_linear_time():
    assert read_mail(b"Content-Type: text/plain" + b';"' * 500_000 + b"\n\nbody")["subject"] == ""


@pytest.mark.parametrize("pattern", ["post/*.eml", "post", "post/b.eml", "all.mbox"])
async def test_each_mail_says_which_file_it_is_of(pattern, tmp_path, monkeypatch):
    """Its id does not: mails may have none, and copies of a mail share one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "post").mkdir()
    for name in ("a", "b"):
        (tmp_path / f"post/{name}.eml").write_bytes(SIMPLE)
    (tmp_path / "all.mbox").write_bytes(b"From a Tue Mar 3 10:00:00 2026\n" + SIMPLE + b"\n")
    found = await FileConnector().do("read", {"path": pattern}, ConnectorCall(None, "key", "run", "step"))
    paths = [mail["path"] for mail in found]
    assert len(set(paths)) == len(found)
    assert all((tmp_path / path).is_file() for path in paths)


# --- attachments --------------------------------------------------------------------------------------------------


async def test_attachments_are_saved_as_they_were(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.eml").write_bytes(PARTS)
    call = ConnectorCall(None, "key", "run", "step")
    (mail,) = await FileConnector().do("read", {"path": "a.eml", "attachments": "content"}, call)
    notes, pdf, inner = mail["attachments"][:3]
    assert base64.b64decode(notes["content"]) == b"not the body"
    assert pdf["name"] == "r\u00e9sum\u00e9.pdf"
    assert pdf["file"].endswith("-r\u00e9sum\u00e9.pdf")
    assert inner["file"].endswith("-attachment.eml")
    within = read_mail(base64.b64decode(inner["content"]))
    assert within["subject"] in mail["text"]
    assert within["text"] in mail["text"]
    to = {"path": f"saved/{pdf['file']}", "format": "bytes-base64"}
    receipt = await FileConnector().do("write", to, ConnectorCall(pdf["content"], "key", "run", "step"))
    assert (tmp_path / "saved" / pdf["file"]).read_bytes() == base64.b64decode("AAAA")
    assert receipt["bytes"] == 3
    (without,) = await FileConnector().do("read", {"path": "a.eml"}, call)
    assert set(without["attachments"][1]) == {"name", "type", "size"}


def test_mails_within_mails_have_their_content_once():
    """That of the outer one has the inner one's, and so on: each again would grow with the depth."""
    mail = b"From: a@x.example\r\nSubject: 0\r\n\r\nthe innermost, \xe9\r\n"
    for number in range(1, 30):
        head = b"From: a@x.example\r\nSubject: %d\r\nContent-Type: message/rfc822\r\n\r\n" % number
        mail = head + mail
    found = read_mail(mail, content=True)["attachments"]
    assert len(found) == 29
    assert [number for number, about in enumerate(found) if "content" in about] == [0]
    inner = read_mail(base64.b64decode(found[0]["content"]), content=True)
    assert inner["subject"] == "28"
    assert len(inner["attachments"]) == 28


def test_attachments_without_a_name_get_one_that_says_what_they_are():
    parts = several("mixed", PLAIN, part("text/calendar", "x"), part("image/png", "xy"), part("odd/kind", "z"))
    found = read_mail(parts.encode(), content=True)["attachments"]
    assert [about["file"].partition("-")[2] for about in found] == [
        "attachment.ics",
        "attachment.png",
        "attachment",
    ]


@pytest.mark.parametrize("value", ["not base64!", 5, None, [1], "AAA"])
async def test_what_is_no_base64_is_not_written(tmp_path, monkeypatch, value):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConnectorError, match="takes a text in Base64"):
        await FileConnector().do(
            "write", {"path": "x.bin", "format": "bytes-base64"}, ConnectorCall(value, "key", "run", "step")
        )
    assert not (tmp_path / "x.bin").exists()


@pytest.mark.parametrize(
    ("name", "saved"),
    [
        ("a.pdf", "a.pdf"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\flow.yaml", "flow.yaml"),
        ("/abs/x.txt", "x.txt"),
        ("..", "attachment"),
        ("", "attachment"),
        (".bashrc", "bashrc"),
        ("a\nb\0c?.txt", "a_b_c_.txt"),
        ("x" * 500 + ".pdf", "x" * 80 + ".pdf"),
        ("a." + "y" * 500, "a." + "y" * 20),
        ("Rechnung f\u00fcr Pat.pdf", "Rechnung f\u00fcr Pat.pdf"),
    ],
)
def test_a_name_to_save_an_attachment_under_leads_nowhere_else(name, saved):
    """A hostile mail may name its attachment `../flow.yaml`."""
    from intendant.text.mail_parts import safe_name

    digest, _, rest = safe_name(name, b"x").partition("-")
    assert (len(digest), rest) == (8, saved)
    assert safe_name(name, b"y") != safe_name(name, b"x")
