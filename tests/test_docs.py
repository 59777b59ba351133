"""The documentation says what the code does: fields, hooks, settings, and every Python block runs."""

import re
import shutil
from pathlib import Path

import pytest

from intendant import Settings, Workflow
from intendant.hooks import specs
from intendant.hooks.kinds import GROUPS, base_of
from intendant.hooks.reference import prose_of, reference_of
from intendant.hooks.registry import Plugins
from intendant.pilot.checking import check
from intendant.pilot.prepared import Prepared
from intendant.plugin import Step

ROOT = Path(__file__).parent.parent
MEMBERS = sorted([*ROOT.glob("plugins/*/README.md"), *ROOT.glob("contrib/*/README.md")])
PLUGINS = Plugins()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


PYTHON = [(page, number, code) for page in PAGES for number, code in enumerate(blocks(page, "python"))]


@pytest.mark.parametrize(
    ("page", "number", "code"), PYTHON, ids=lambda value: getattr(value, "name", str(value)[:3])
)
def test_python_blocks_run(page, number, code, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "flow.yaml").write_text(blocks(ROOT / "README.md", "yaml")[0])
    (tmp_path / "orders.csv").write_text("order,state,total\n1,open,12.50\n2,paid,3.00\n3,open,7.25\n")
    if "intendant_intent_haiku" in code:
        monkeypatch.syspath_prepend(str(ROOT / "docs/examples/intendant-intent-haiku/src"))
    exec(compile(code, f"{page.name} block {number}", "exec"), {"__name__": "__docs__"})
    if "sqlite:///runs.db" in code:
        assert (tmp_path / "out/open.md").is_file()
        assert (tmp_path / "runs.db").is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_workflows_in_the_docs_are_workflows(page) -> None:
    for text in blocks(page, "yaml"):
        if text.startswith("name:"):
            assert Workflow.parse(text, file=page.name).steps


def test_every_field_of_the_workflow_file_is_explained() -> None:
    text = (ROOT / "docs/workflow-file.md").read_text()
    for model in (Workflow, Step):
        for name, field in model.model_fields.items():
            assert f"`{field.alias or name}`" in text, f"`{field.alias or name}` is not in docs/workflow-file.md"


def test_every_hook_and_kind_is_explained() -> None:
    text = (ROOT / "docs/hooks.md").read_text()
    hooks = [name for name, value in vars(specs).items() if getattr(value, "intendant_spec", None)]
    assert len(hooks) == 5
    for name in hooks:
        assert f"## `{name}(request" in text
        assert "Example:" in (getattr(specs, name).__doc__ or "")
    for kind, group in GROUPS.items():
        assert f"| {kind} | `{group}` | `{base_of(kind).__name__}` |" in text


def test_every_setting_is_explained() -> None:
    text = (ROOT / "docs/settings.md").read_text()
    for section, field in Settings.model_fields.items():
        for name in field.default.__class__.model_fields:
            row = next(
                (
                    line
                    for line in text.splitlines()
                    if line.startswith((f"| `{section}.{name}`", f"| `{section}.{name}.{{"))
                ),
                None,
            )
            assert row, f"the setting {section}.{name} is not in docs/settings.md"


def test_the_reference_of_settings_is_what_the_code_says(monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    from settings_reference import PAGE, page

    assert PAGE.read_text() == page(), "run `python docs/settings_reference.py`"


def test_the_reference_of_connectors_is_what_the_code_says(monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    from connector_reference import PAGE, page

    assert PAGE.read_text() == page(), "run `python docs/connector_reference.py`"


def test_the_page_of_intents_is_what_the_readmes_say(monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    from intent_reference import INTENTS, PAGE, page

    assert PAGE.read_text() == page(), "run `python docs/intent_reference.py`"
    assert {path.name.removeprefix("intent-") for path in (ROOT / "plugins").glob("intent-*")} == set(INTENTS)


@pytest.mark.parametrize("name", sorted(PLUGINS.intents))
def test_the_readme_of_a_handler_names_each_option_that_a_step_may_say(name) -> None:
    text = (ROOT / f"plugins/intent-{name}/README.md").read_text()
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    named = set(re.findall(r"\w+", " ".join(re.findall(r"`[^`]+`", text))))
    options = PLUGINS.intents[name].Parameters.model_json_schema().get("properties", {})
    assert set(options) - {"do"} <= named


def test_the_reference_of_a_plugin_keeps_what_its_readme_says_besides_tables_and_headings() -> None:
    readme = "# intendant-x\n\nSays x.\n\n```yaml\na: 1\n```\n\n# Rules\n\n| a | b |\n|---|---|\n\nGives y:\n\n```yaml\nb: 2\n\n| kept: 3\n```\n"
    told = reference_of(PLUGINS.connectors["file"], readme)
    assert told.example == "a: 1\n"
    assert "# Rules" in told.manual
    assert "| a | b |" in told.manual
    assert prose_of(told.manual) == "Gives y:\n\n```yaml\nb: 2\n\n| kept: 3\n```"


@pytest.mark.parametrize("readme", MEMBERS, ids=lambda path: path.parent.name)
def test_workflows_in_readmes_of_plugins_can_be_run(readme) -> None:
    for text in blocks(readme, "yaml"):
        if text.startswith("name:"):
            check(Prepared(Workflow.parse(text, file=readme.name)), PLUGINS)


def test_the_table_of_jobs_was_measured_with_the_examples_as_they_are(monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tests/benchmarks"))
    from jobs import JOBS, lines_of

    rows = re.findall(
        r"^\| (\d+) \| .* \| \[([\w-]+)\]\(.*?\) \| (\d+) \|", (ROOT / "docs/jobs.md").read_text(), re.MULTILINE
    )
    there = [
        (str(n), job) for n, job in enumerate(JOBS, 1) if (ROOT / "docs/examples" / job / "README.md").is_file()
    ]
    assert [(number, job, int(lines)) for number, job, lines in rows] == [
        (number, job, lines_of(job)) for number, job in there
    ], "run `python tests/benchmarks/jobs.py`"


def test_relative_links_lead_somewhere() -> None:
    for page in [*PAGES, *ROOT.glob("*.md"), *ROOT.glob("docs/examples/**/README.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_readme_has_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text()
    assert "\npython -m pip install nox uv && python -m nox -s demo\n" in text
    assert "\npython -m pip install nox uv && python -m nox -s tests\n" in text
    assert shutil.which("git"), "the demo reads this repository's history"


def test_every_command_is_explained() -> None:
    from intendant.cli.app import app_for

    text = (ROOT / "docs/command-line.md").read_text()
    for command in app_for().registered_commands:
        name = command.name or command.callback.__name__
        assert f"| `intendant {name}" in text
    assert {"run", "plan", "plugins", "runs", "show", "schema"} <= set(re.findall(r"\| `intendant (\w+)", text))
