"""Workflows from sentences, without a model: the right steps, in seven languages."""

import pytest
import yaml
from sentences import SENTENCES

from intendant_create import sketch
from intendant_create._command import written
from intendant_create._things import schedule_of, things_of

WANTED = 0.70
"""The least share of the steps that sentences ask for."""


def steps_of(made) -> list[tuple[str, str]]:
    return [(step["intent"], step.get("uses", "")) for step in made.steps]


def in_order(wanted, got) -> int:
    """How many of the steps that are wanted are there, in their order."""
    row = [0] * (len(got) + 1)
    for want in wanted:
        row = longer(row, want, got)
    return row[-1]


def longer(before, want, got):
    row = [0]
    for at, have in enumerate(got):
        row.append(before[at] + 1 if want == have else max(row[at], before[at + 1]))
    return row


@pytest.mark.parametrize("language", sorted({language for language, _, _ in SENTENCES}))
def test_most_of_the_steps_are_those_that_are_asked_for(language) -> None:
    found = [(wanted, steps_of(sketch(text))) for tongue, text, wanted in SENTENCES if tongue == language]
    share = sum(in_order(*pair) for pair in found) / sum(len(wanted) for wanted, _ in found)
    assert share >= WANTED


def test_what_leaves_the_house_asks_a_person_first() -> None:
    for _, text, _ in SENTENCES:
        for step in sketch(text).steps:
            if step.get("uses") in ("mail.send", "webhook.post"):
                assert step["approve"]["ask"]


def test_what_is_not_understood_is_said() -> None:
    made = sketch("Read a.csv, frobnicate the wibbly ones sideways and save it to b.csv")
    assert any("frobnicate" in part for part in made.unclear)


@pytest.mark.parametrize(
    ("text", "cron"),
    [
        ("every morning read a.csv", "0 7 * * *"),
        ("Each Monday at 9 read a.csv", "0 9 * * 1"),
        ("read a.csv every day at 6:30 pm", "30 18 * * *"),
        ("every hour read a.csv", "0 * * * *"),
        ("read a.csv on weekdays at 8", "0 8 * * 1-5"),
        ("jeden Freitag um 16 Uhr a.csv lesen", "0 16 * * 5"),
        ("chaque mois, lis a.csv", "0 7 1 * *"),
        ("cada domingo a las 10 lee a.csv", "0 10 * * 0"),
        ("read a.csv", ""),
        ("read monday.csv", ""),
    ],
)
def test_when_it_is_to_run(text, cron) -> None:
    assert schedule_of(text)[1] == cron


def test_what_a_sentence_names() -> None:
    _, things = things_of(
        "Read a/b-c.csv, ~/x.pdf and sqlite:///shop.db, see https://x.example/a.json. Mail me@x.example about folder in."
    )
    assert [thing.kind for thing in things] == ["file", "document", "db", "url", "mail", "folder"]
    assert things[3].value == "https://x.example/a.json"


def test_a_condition_at_the_end_decides_about_what_stands_before_it() -> None:
    made = sketch("Read a.json and post it to https://hooks.example.org/a if it is empty")
    decide, send = made.steps[1:]
    assert decide["intent"] == "conditional"
    assert send["when"] == f"steps.{decide['id']}.output.branch == 'true'"
    assert yaml.safe_load(written(made))["steps"][-1]["uses"] == "webhook.post"


@pytest.mark.parametrize(
    ("sentence", "read"),
    [
        ("Read the folder invoices/*.pdf and save the text to out.json", ("document.read", "invoices/*.pdf")),
        ("Lee la carpeta facturas/*.pdf y guarda el texto en out.json", ("document.read", "facturas/*.pdf")),
        (
            "Lies den Ordner berichte/2026/*.csv und speichere sie als alle.json",
            ("file.read", "berichte/2026/*.csv"),
        ),
        ("Read the folder inbox and save it to out.json", ("file.read", "inbox/*")),
    ],
)
def test_files_of_a_folder_keep_their_pattern(sentence, read):
    first = sketch(sentence).steps[0]
    assert (first["uses"], first["with"]["path"]) == read


@pytest.mark.parametrize(
    "sentence",
    [
        "Read a.json and write it to a markdown table out/b.md",
        "Read a.json and write them into the file out/b.md",
        "Lies a.json und schreibe es als Tabelle out/b.md",
    ],
)
def test_what_is_written_to_is_not_read(sentence):
    made = sketch(sentence)
    assert [(step.get("uses"), step["with"]["path"]) for step in made.steps if "path" in step.get("with", {})] == [
        ("file.read", "a.json"),
        ("file.write", "out/b.md"),
    ]


def test_the_last_of_what_is_asked_for_is_no_step_of_its_own():
    for sentence in (
        "Read bills/*.pdf, extract number, date and total and save a table to bills.csv",
        "Lee facturas/*.pdf, extrae número, fecha y total y guarda una tabla en facturas.csv",
    ):
        made = sketch(sentence)
        assert [step["intent"] for step in made.steps] == ["extract", "extract", "send"], sentence
        assert "total" in made.steps[1]["prompt"]


def test_a_condition_beside_an_approval_is_said_not_to_be_understood():
    made = sketch(
        "For each ticket in t.csv, ask a model for a label, and if it is urgent ask Maria before posting it to "
        "https://hooks.example/x"
    )
    assert [step.get("uses", step["intent"]) for step in made.steps] == ["file.read", "enrich", "webhook.post"]
    assert made.steps[-1]["approve"]
    assert any("urgent" in part for part in made.unclear)
    assert sketch("Read a.csv and mail it to bo@x.example if Ann approves").unclear == []
