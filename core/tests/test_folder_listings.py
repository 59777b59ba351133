"""`ls -R`, written shorter: every folder and file can still be read."""

import re
from collections.abc import Iterator, Mapping
from time import process_time
from typing import Any

from hypothesis import given, strategies as st

from intendant.text.folder_listings import MOST, folders_inside
from intendant.text.listings import shorter_listing

NAMES = st.from_regex(r"[a-z_][a-z0-9_.+-]{0,30}", fullmatch=True).filter(lambda name: name.strip("."))
TREES = st.recursive(st.none(), lambda inside: st.dictionaries(NAMES, inside, max_size=5), max_leaves=60).filter(
    lambda tree: isinstance(tree, dict)
)


def printed(tree: Mapping[str, Any], path: str) -> Iterator[str]:
    """As `ls -R` prints it."""
    yield f"{path}:"
    yield from sorted(tree)
    for name in sorted(tree):
        if tree[name] is not None:
            yield ""
            yield from printed(tree[name], f"{path}/{name}")


def paths(tree: Mapping[str, Any], path: str) -> Iterator[str]:
    for name, inside in tree.items():
        yield f"{path}/{name}"
        if inside is not None:
            yield from paths(inside, f"{path}/{name}")


def read(lines: list[str]) -> Iterator[str]:
    """The paths of what was written shorter."""
    at = ""
    for line in lines:
        if match := re.fullmatch(r"(\S+):( nothing)?", line):
            at = match[1]
            continue
        stack = [at]
        for name, mark in re.findall(r"([^\s{}]*)([ {}]|$)", line):
            if name:
                yield f"{stack[-1]}/{name}"
            if mark == "{":
                stack.append(f"{stack[-1]}/{name}")
            elif mark == "}":
                stack.pop()


@given(TREES)
def test_every_path_can_be_read_again(tree: dict[str, Any]) -> None:
    lines = list(printed(tree, "./src"))
    size, written = folders_inside(lines, 0)
    if size:
        assert size == len(lines)
        assert sorted(read(written)) == sorted(paths(tree, "./src"))
        assert len("\n".join(written)) <= len("\n".join(lines))
    else:
        assert not any(isinstance(inside, dict) for inside in tree.values())


def test_small_folders_stand_in_the_line_of_the_one_they_are_in_and_large_ones_by_themselves() -> None:
    large = [f"page{n:02d}.rst" for n in range(MOST // 10)]
    tree = {"app.py": None, "forms": {"base.py": None, "old": {}}, "pages": dict.fromkeys(large)}
    assert shorter_listing(["$ ls -R", *printed(tree, "."), "", "done"]) == [
        "$ ls -R",
        ".:",
        "app.py forms{base.py old{}} pages",
        "./pages:",
        " ".join(large),
        "done",
    ]


def test_a_part_of_a_listing_stands_under_its_own_path() -> None:
    """Where the beginning was cut off, nothing says what the folder above holds."""
    lines = ["b.py", "", "./x/one:", "a.py", "sub", "", "./x/one/sub:", "c.py", "", "./x/two:", "d.py"]
    assert shorter_listing(lines) == ["b.py", "", "./x/one:", "a.py sub{c.py}", "./x/two:", "d.py"]


def test_deep_folders_and_large_ones_are_read_in_the_time_that_their_lines_take() -> None:
    deep = [line for depth in range(1500) for line in ("./" + "a/" * depth + "a:", "a", "b", "")]
    wide = [
        ".:",
        *(f"d{n}" for n in range(20_000)),
        *(line for n in range(20_000) for line in ("", f"./d{n}:", "x")),
    ]
    for lines in (deep, wide):
        begin = process_time()
        size, _ = folders_inside(lines, 0)
        assert process_time() - begin < 3
        assert size == len(lines)


def test_a_folder_that_comes_twice_begins_another_listing() -> None:
    lines = [".:", "a", "", "./a:", "b", "", ".:", "a", "", "./a:", "c"]
    assert shorter_listing(lines) == [".:", "a{b}", ".:", "a{c}"]


def test_what_is_no_listing_of_folders_stays() -> None:
    for lines in (
        ["Error:", "no such file", "", "note:", "again"],
        ["./a:", "x y z is no name", "", "./a/x:", "b"],
        ["src:", "a.py", "", "docs:", "b.md"],
        ["if x:", "pass"],
        [],
    ):
        assert folders_inside(lines, 0) == (0, [])
