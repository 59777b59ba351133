"""Units: joined they are the text again; each plays its part, and stands under what explains it."""

import pytest
from hypothesis import given, strategies as st

from intendant.plugin import TextUnits, facts_in, text_units

MAIL = (
    "From: Ada <ada@x.org>\nDate: Mon, 1 Jan\nX-Beenthere: list\nSubject: pumps\n\nThe pump broke.\n> Did it?\n-- \nAda\n"
    "\nFrom: Bo <bo@x.org>\nSubject: Re: pumps\n\nMine too.\n"
)
DIFF = "commit 1\n\ndiff --git a/x b/x\nindex 1..2\n--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n-old\n+new\n same\n"
CODE = "import os\n\nclass Shop:\n    def total(self):\n        return 1\n\ndef main():\n    pass\n"
MARKDOWN = "# Top\n\nOne. Two.\n\n## Sub\n\n```sh\nls -l\n# no heading\n```\n\nRuled\n=====\n\nThree.\n"
TALK = "Ada: We need pumps. Two will do.\nBo: No.\nAda: Why?\n"


def explained(content: TextUnits, text: str) -> str:
    """The text of the unit that the unit with *text* stands under."""
    unit = next(unit for unit in content.units if unit.text == text)
    return content.units[unit.under].text if unit.under >= 0 else ""


def roles(text: str, kind: str) -> dict[str, str]:
    return {unit.text.strip(): unit.role for unit in text_units(text, kind).units if unit.text.strip()}


def test_mails() -> None:
    found = roles(MAIL, "mail")
    assert found["From: Ada <ada@x.org>"] == found["Subject: pumps"] == "heading"
    assert found["X-Beenthere: list"] == found["--"] == found["Ada"] == "boiler"
    assert (found["The pump broke."], found["> Did it?"], found["Mine too."]) == ("body", "quoted", "body")
    content = text_units(MAIL, "mail")
    assert explained(content, "The pump broke.\n") == "From: Ada <ada@x.org>\n"
    assert explained(content, "Mine too.\n") == "From: Bo <bo@x.org>\n"


def test_diffs() -> None:
    found = roles(DIFF, "diff")
    assert (found["-old"], found["+new"], found["same"]) == ("change", "change", "context")
    content = text_units(DIFF, "diff")
    new = next(index for index, unit in enumerate(content.units) if unit.text == "+new\n")
    assert content.written(content.closed([new])) == "diff --git a/x b/x\n@@ -1,2 +1,2 @@\n+new\n"


def test_code() -> None:
    found = roles(CODE, "code")
    assert found["class Shop:"] == found["def total(self):"] == found["def main():"] == "heading"
    content = text_units(CODE, "code")
    assert explained(content, "        return 1\n") == "    def total(self):\n"
    assert explained(content, "    def total(self):\n") == "class Shop:\n"
    assert explained(content, "def main():\n") == ""


@pytest.mark.parametrize(
    "signature",
    [
        "pub async fn send(&self) -> u8 {", "export const f = (a) => {", "func (s *Shop) Total() int {",
        "    public static void main(String[] args) {", "int main(void) {", "export default class Shop {",
    ],
)  # fmt: skip
def test_signatures_of_other_languages(signature: str) -> None:
    assert roles(f"{signature}\n  x\n", "code")[signature.strip()] == "heading"


def test_a_loop_is_no_signature() -> None:
    assert roles("for (int i = 0; i < 9; i++) {\n  x\n", "code")["for (int i = 0; i < 9; i++) {"] == "body"


def test_markdown() -> None:
    found = roles(MARKDOWN, "markdown")
    assert found["# Top"] == found["## Sub"] == found["Ruled"] == "heading"
    assert found["# no heading"] == "body", "in a fence"
    content = text_units(MARKDOWN, "markdown")
    assert explained(content, "## Sub\n") == "# Top\n"
    assert explained(content, "Two.\n") == "# Top\n"
    assert explained(content, "Three.\n") == "Ruled\n"


def test_what_stood_in_a_fence_stands_in_one() -> None:
    content = text_units(MARKDOWN, "markdown")
    inside = next(index for index, unit in enumerate(content.units) if unit.text == "ls -l\n")
    last = len(content) - 1
    assert content.written([inside]) == "```sh\nls -l\n```\n"
    assert content.written([0, inside, last], gap="…\n") == "# Top\n…\n```sh\nls -l\n```\n…\nThree.\n"


def test_talk() -> None:
    content = text_units(TALK, "transcript")
    assert [unit.text for unit in content.units if unit.role == "heading"] == ["Ada: ", "Bo: ", "Ada: "]
    assert explained(content, "Two will do.\n") == "Ada: "
    two = next(index for index, unit in enumerate(content.units) if unit.text.startswith("Two"))
    assert content.written(content.closed([two])) == "Ada: Two will do.\n"


def test_passages_are_told_by_their_titles() -> None:
    content = text_units(
        "[Document 1] (Title: Whales) They swim. They sing.\n\n[Document 2] Sharks bite.\n", "passages"
    )
    assert explained(content, "They sing.\n\n".replace("\n\n", "\n")) == "[Document 1] (Title: Whales) "


def test_errors_and_sums_of_what_commands_print() -> None:
    found = roles("a PASSED\nb FAILED\n=== 1 failed, 12 passed in 3 s ===\n", "shell")
    assert (found["a PASSED"], found["b FAILED"]) == ("body", "error")
    assert roles("ok\n== 12 passed ==\n", "shell")["== 12 passed =="] == "summary"


PIECES = st.lists(
    st.sampled_from([*MAIL.splitlines(), *DIFF.splitlines(), *CODE.splitlines(), *MARKDOWN.splitlines(), "x " * 900,
                     *TALK.splitlines(), "12 rows", "all: {}", "a,b", "", "(folded lines:", "\r", "数据。处理。"]),
    max_size=30,
)  # fmt: skip
KINDS = ("table", "code", "diff", "markdown", "html", "mail", "prose", "passages", "transcript", "log", "text")


@given(PIECES, st.sampled_from(["\n", "\r\n", " "]), st.sampled_from(KINDS))
def test_joined_they_are_the_text_again(pieces: list[str], joint: str, kind: str) -> None:
    text = joint.join(pieces)
    content = text_units(text, kind)
    assert content.written(range(len(content))).startswith(text)
    assert "".join(unit.text for unit in content.units) == text
    for index, unit in enumerate(content.units):
        assert -1 <= unit.under < len(content)
        assert unit.under != index
        assert unit.fence <= index
    assert content.closed(range(len(content))) == list(range(len(content)))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("the sky is blue", set()),
        ("On Monday Ada paid 250.00 EUR", {"Monday", "Ada", "250.00", "EUR"}),
        ("see https://x.org/a?b and a@b.org", {"https://x.org/a?b", "a@b.org"}),
        ("set `dry run` or max_size=3", {"dry", "run", "max_size", "3"}),
        ("well-known don't", set()),
        ("/var/log/x.log camelCase v2", {"/var/log/x.log", "camelCase", "v2"}),
    ],
)
def test_facts(text: str, found: set[str]) -> None:
    assert set(facts_in(text)) == found
