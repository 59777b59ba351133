"""Who may know whom, and how members are named: rules that memory does not hold."""

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CORE = ROOT / "core/src/intendant"
PLUGINS = sorted(path for path in (ROOT / "plugins").iterdir() if (path / "pyproject.toml").is_file())
CONTRIB = sorted(path for path in (ROOT / "contrib").glob("*") if (path / "pyproject.toml").is_file())
HAIKU = ROOT / "docs/examples/intendant-intent-haiku"
PUBLIC = ("intendant", "intendant.plugin", "intendant.records", "intendant.events")
HEAVY = {"anthropic", "openai", "sqlalchemy", "tiktoken", "bpe_openai", "genai_prices", "duckdb"}
COMMANDS_SHARE = {"run", "plan", "plugins", "runs", "flags", "alerts", "memory"}
"""Modules of the command line are named after their commands."""
GROUPS = {
    "intent": "intents",
    "compress": "compressors",
    "tier": "tiers",
    "budget": "budgets",
    "classify": "classifiers",
    "provider": "providers",
    "connector": "connectors",
    "extension": "extensions",
    "embed": "embedders",
}
MEMBERS = {
    "intent": "extract summarize generate validate send transform conditional aggregate filter enrich",
    "compress": "structural template semantic truncate",
    "tier": "fast balanced powerful",
    "budget": "equal proportional priority adaptive",
    "classify": "local",
    "provider": "anthropic openai extractive",
    "connector": "file git http sql mail feed web webhook document",
}


def imports(file: Path, *, top_level_only: bool = False):
    """(module, imported names) of each import in a file, those for type checkers left out."""
    for node in _nodes(file):
        if _for_types(node):
            continue
        if top_level_only and not isinstance(node.parent, ast.Module):  # type: ignore[attr-defined]
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, ()) for alias in node.names)
        else:
            yield node.module or ".", tuple(alias.name for alias in node.names)


@cache
def _nodes(file: Path) -> list[ast.Import | ast.ImportFrom]:
    """The imports of a file; each node that they stand in knows its own as `parent`."""
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            child.parent = node  # type: ignore[attr-defined]
    return [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]


def _for_types(node: ast.AST) -> bool:
    while (node := getattr(node, "parent", None)) is not None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            return True
    return False


@cache
def public_names(module: str) -> list[str]:
    """What a public module exports: its `__all__`, else the names it defines or re-exports as themselves."""
    loaded = importlib.import_module(module)
    if hasattr(loaded, "__all__"):
        return loaded.__all__
    tree = ast.parse(Path(loaded.__file__).read_text())
    names = [node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            names += [alias.name for alias in node.names if alias.asname == alias.name]
    return [name for name in names if not name.startswith("_")]


def sources(folder: Path):
    return sorted((folder / "src").rglob("*.py"))


def test_the_house_has_the_rooms_of_its_drawing() -> None:
    wanted = {f"{kind}-{name}" for kind, names in MEMBERS.items() for name in names.split()}
    assert wanted <= {path.name for path in PLUGINS}


@pytest.mark.parametrize("plugin", [*PLUGINS, *CONTRIB, HAIKU], ids=lambda path: path.name)
def test_plugins_know_only_the_public_names_of_intendant(plugin: Path) -> None:
    own = f"intendant_{plugin.name.removeprefix('intendant-').replace('-', '_')}"
    for file in sources(plugin):
        for module, names in imports(file):
            top = module.partition(".")[0]
            if top == "intendant":
                assert module in PUBLIC, f"{file.name} imports {module}"
                private = [name for name in names if name not in public_names(module)]
                assert not private, f"{file.name} imports {private} from {module}, which are not public"
            assert not (top.startswith("intendant_") and top != own), f"{file.name} imports the plugin {module}"


@pytest.mark.parametrize("folder", [ROOT / "core", *PLUGINS, *CONTRIB], ids=lambda path: path.name)
def test_heavy_libraries_are_imported_where_they_are_used(folder: Path) -> None:
    for file in sources(folder):
        if CORE / "record/store" in file.parents:
            continue  # the whole wing is imported lazily
        heavy = {module.partition(".")[0] for module, _ in imports(file, top_level_only=True)} & HEAVY
        assert not heavy, f"{file.relative_to(ROOT)} imports {heavy} at its top"


def test_core_knows_no_plugin_and_names_no_intent_strategy_or_tier() -> None:
    """Core holds nobody by name; the default settings may."""
    names = {
        name
        for kind, listed in MEMBERS.items()
        if kind not in ("budget", "tier", "connector")
        for name in listed.split()
    }
    names -= {"extractive"}  # how a reply was made, whoever made it
    for file in sorted(CORE.rglob("*.py")):
        assert not [module for module, _ in imports(file) if module.startswith("intendant_")]
        tree = ast.parse(file.read_text())
        compared = [
            node.value
            for compare in ast.walk(tree)
            if isinstance(compare, ast.Compare | ast.Dict)
            for node in ast.walk(compare)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        assert not names & set(compared), f"{file.relative_to(CORE)} decides by {names & set(compared)}"


def test_only_the_gateway_calls_providers_and_only_questions_calls_hooks() -> None:
    for file in sorted(CORE.rglob("*.py")):
        text = file.read_text()
        where = str(file.relative_to(CORE))
        if where == "testing/provider_contract.py":
            continue  # no run can import it: `testing` is above all wings
        if re.search(r"\bprovider\.(complete|stream)\(", text):
            assert where == "spending/gateway.py"
        if "submit_batch(" in text:
            assert where in ("spending/batching.py", "hooks/providers.py")
        if re.search(r"\b_hook\.\w+\(|\.hook\.\w+\(", text):
            assert where == "hooks/questions.py"
        if re.search(r"(?<!class )\bHold\(", text):
            assert where == "spending/holding.py", f"{where} makes a Hold"


@pytest.mark.parametrize("member", [ROOT / "core", *PLUGINS, HAIKU], ids=lambda path: path.name)
def test_members_are_named_after_their_folder(member: Path) -> None:
    project = tomllib.loads((member / "pyproject.toml").read_text())
    workspace = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    table, build = project["project"], project["build-system"]
    assert table["version"] == workspace["version"]
    assert table["requires-python"] == workspace["requires-python"]
    assert build["build-backend"] == "uv_build"
    assert set(project) <= {"project", "build-system"}, "tool settings belong to the root"
    if member.name == "core":
        assert table["name"] == "intendant"
        return
    folder = member.name.removeprefix("intendant-")
    kind, name = folder.split("-", 1)
    module = f"intendant_{folder.replace('-', '_')}"
    assert table["name"] == f"intendant-{folder}"
    assert "intendant>=0.1,<0.2" in table["dependencies"]
    ((group, entries),) = table["entry-points"].items()
    assert group == f"intendant.{GROUPS[kind]}"
    assert list(entries) == [name]
    assert entries[name].startswith(f"{module}:")
    assert (member / "src" / module / "py.typed").is_file()
    assert (member / "README.md").read_text().startswith(f"# intendant-{folder}\n")
    assert list((member / "tests").glob("test_*.py")), "a member has tests of its own"


@pytest.mark.parametrize("member", CONTRIB, ids=lambda path: path.name)
def test_contrib_is_named_after_its_folder_too(member: Path) -> None:
    project = tomllib.loads((member / "pyproject.toml").read_text())
    workspace = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module = f"intendant_{member.name.replace('-', '_')}"
    assert project["project"]["name"] == f"intendant-{member.name}"
    assert project["project"]["version"] == workspace["version"]
    assert "intendant>=0.1,<0.2" in project["project"]["dependencies"]
    assert set(project) <= {"project", "build-system"}, "tool settings belong to the root"
    assert (member / "src" / module / "py.typed").is_file()
    assert (member / "README.md").read_text().startswith(f"# intendant-{member.name}\n")
    assert list((member / "tests").glob("test_*.py")), "a member has tests of its own"


def test_importing_intendant_is_light() -> None:
    code = f"import sys, intendant; print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_listing_plugins_imports_no_plugin_and_no_heavy_library() -> None:
    code = (
        "import sys; sys.argv = ['intendant', 'plugins']\n"
        "from intendant.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print('HEAVY', sorted(set({HEAVY!r} | {{'rich'}}) & set(sys.modules)), [m for m in sys.modules if m.startswith('intendant_')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "tier         fast" in done.stdout or "tier" in done.stdout
    heavy = done.stdout.splitlines()[-1]
    assert heavy in ("HEAVY [] []", "HEAVY ['rich'] []"), heavy


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names_are_documented_and_resolve(module: str) -> None:
    loaded = importlib.import_module(module)
    for name in public_names(module):
        value = getattr(loaded, name)
        if isinstance(value, type) or callable(value):
            assert (value.__doc__ or "").strip(), f"{name} has no docstring"


def test_each_public_name_stands_in_one_module() -> None:
    places = [(name, module) for module in PUBLIC for name in public_names(module)]
    names = [name for name, _ in places]
    assert len(set(names)) == len(names), [place for place in places if names.count(place[0]) > 1]


def test_a_name_that_moved_still_works_and_says_where_it_is() -> None:
    import intendant
    from intendant.plugin import IntentHandler

    with pytest.warns(DeprecationWarning, match=r"intendant\.plugin\.IntentHandler"):
        assert intendant.IntentHandler is IntentHandler
    with pytest.raises(AttributeError, match="nosuch"):
        _ = intendant.nosuch


def test_the_drawing_of_the_wings_is_what_the_import_rules_hold() -> None:
    """The table of docs/architecture.md has the layers of the import rules, in their order."""
    text = (ROOT / "docs/architecture.md").read_text()
    table = text.partition("## Wings")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", table, re.MULTILINE)
    drawn = [sorted(re.findall(r"`(\w+)`", row)) for row in rows]
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    held = [sorted(re.findall(r"intendant\.(\w+)", layer)) for layer in rules["layers"]]
    assert drawn == held
    folders = {path.name for path in CORE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders <= {name for layer in drawn for name in layer}


def test_no_two_modules_of_core_share_a_name() -> None:
    names = [
        path.stem
        for path in CORE.rglob("*.py")
        if not path.stem.startswith("__") and "migrations" not in path.parts
    ]
    names = [name for name in names if name not in COMMANDS_SHARE]
    assert sorted(names) == sorted(set(names))


def test_hints_know_the_distributions_of_this_workspace() -> None:
    from intendant.hooks.hints import known_distributions

    assert known_distributions() == {f"intendant-{path.name}" for path in [*PLUGINS, *CONTRIB]}
