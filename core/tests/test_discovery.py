"""Plugins are found through real distributions, in processes of their own: entry points are cached in one."""

import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

TIER = """
from intendant.plugin import Tier
class T(Tier):
    "A tier."
    name = "{name}"
"""


@pytest.fixture
def site(tmp_path):
    """Makes distributions in a folder that is put on the path."""

    def make(dist: str, group: str, name: str, source: str, version: str = "1.2") -> None:
        module = dist.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(source))
        info = tmp_path / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[intendant.{group}]\n{name} = {module}:T\n")

    make.path = tmp_path
    return make


def python(path: Path, code: str, **env: str) -> subprocess.CompletedProcess[str]:
    import os

    kept = {key: value for key, value in os.environ.items() if not key.startswith("INTENDANT")}
    environment = {**kept, "PYTHONPATH": str(path), "XDG_CACHE_HOME": str(path), **env}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], env=environment, capture_output=True, text=True, timeout=60
    )


def states(path: Path, *arguments: str, **env: str) -> dict[str, dict[str, str]]:
    code = f"import sys; sys.argv = ['intendant', 'plugins', '--json', *{arguments!r}]; from intendant.cli import main; main()"
    done = python(path, code, **env)
    assert done.stdout, done.stderr
    return {f"{item['kind']}:{item['name']}": item for item in json.loads(done.stdout)}


def test_every_state_is_shown_and_one_bad_plugin_ends_nothing(site) -> None:
    site("good-tier", "tiers", "good", TIER.format(name="good"))
    site("broken-tier", "tiers", "broken", "import no_such_module")
    site("exiting-tier", "tiers", "exiting", "raise SystemExit(3)")
    site("asserting-tier", "tiers", "asserting", "assert False")
    site("wrong-tier", "tiers", "wrong", "class T: pass")
    site("gone-tier", "tiers", "gone", "x = 1")
    found = states(site.path, "--check")
    seen = {
        key: (item["state"], item["reason"])
        for key, item in found.items()
        if item["distribution"].endswith("-tier")
    }
    assert seen["tier:good"] == ("loaded", "")
    assert seen["tier:broken"][0] == "failed"
    assert "no_such_module" in seen["tier:broken"][1]
    assert seen["tier:exiting"][0] == "failed"
    assert seen["tier:asserting"][0] == "failed"
    assert seen["tier:wrong"][0] == "incompatible"
    assert seen["tier:gone"][0] == "failed"
    assert found["tier:good"]["version"] == "1.2"


def test_listing_imports_nothing(site) -> None:
    site("loud-tier", "tiers", "loud", "raise RuntimeError('imported')")
    assert states(site.path)["tier:loud"]["state"] == "found"


def test_blocked_names_are_never_imported(site) -> None:
    marker = site.path / "imported"
    site("noisy-tier", "tiers", "noisy", f"open({str(marker)!r}, 'w')")
    found = states(site.path, "--check", INTENDANT_BLOCK_PLUGINS="intent:nothing, tier:noisy")
    assert found["tier:noisy"]["state"] == "blocked"
    assert not marker.exists()
    states(site.path, "--check")
    assert marker.exists()


def test_duplicates_name_both_distributions(site) -> None:
    site("one-tier", "tiers", "same", TIER.format(name="same"))
    site("two-tier", "tiers", "same", TIER.format(name="same"))
    site("between-tier", "tiers", "other", TIER.format(name="other"))
    code = """
        import os
        from intendant import OrchestrationService
        try:
            OrchestrationService(db="none")
        except Exception as error:
            print(type(error).__name__, error)
        os.environ["INTENDANT_BLOCK_PLUGINS"] = "tier:same"
        OrchestrationService(db="none")
    """
    done = python(site.path, code)
    assert "DuplicatePluginError" in done.stdout
    assert "one-tier" in done.stdout
    assert "two-tier" in done.stdout
    assert done.returncode == 0, done.stderr


def test_a_plugin_that_lies_about_its_name_is_incompatible(site) -> None:
    site("lying-tier", "tiers", "honest", TIER.format(name="liar"))
    code = """
        from intendant import OrchestrationService
        records = OrchestrationService(db="none")._engine.plugins.records
        print([record.reason for record in records if record.key == "tier:honest"])
    """
    assert "calls itself 'liar'" in python(site.path, code).stdout


def test_what_the_host_names_must_load(site) -> None:
    site("broken-tier", "tiers", "broken", "import no_such_module")
    code = """
        from intendant import OrchestrationService
        for name in ("tier:broken", "tier:absent"):
            try:
                OrchestrationService({"plugins": {"require": [name]}}, db="none")
            except Exception as error:
                print(type(error).__name__, str(error).replace(chr(10), " "))
    """
    broken, absent = python(site.path, code).stdout.splitlines()
    assert re.match("PluginLoadError .*no_such_module", broken)
    assert re.match("PluginLoadError .*the plugin tier:absent is not installed; installed: (.*, )?broken", absent)


SPEC = "spec = IntentSpec(name='{}', summary='x', examples=('x',))"
HANDLE = "async def handle(self, request): pass"
BAD = {
    "nospec": ("intents", "IntentHandler", "async def handle(self, request): pass"),
    "badspec": ("intents", "IntentHandler", "spec = 'bad'\n    async def handle(self, request): pass"),
    "abstract": ("intents", "IntentHandler", "spec = None"),
    "badparams": ("intents", "IntentHandler", f"{SPEC.format('badparams')}\n    Parameters = dict\n    {HANDLE}"),
    "asynchook": (
        "intents",
        "IntentHandler",
        f"{SPEC.format('asynchook')}\n    {HANDLE}\n    @hookimpl\n    async def handle_intent(self, request): pass",
    ),
    "unannotated": (
        "connectors",
        "Connector",
        "name = 'unannotated'\n    @operation(side_effects=False)\n    async def go(self, parameters, call): pass",
    ),
}
RAISES = {
    "available": (
        "providers",
        "Provider",
        "name = 'available'\n    def available(self): 1 / 0\n    def models(self): return {}\n    async def complete(self, hold, request): pass",
    ),
    "a_decider": ("classifiers", "Classifier", "name = 'a_decider'\n    def classify(self, request): 1 / 0"),
}
HEAD = "from intendant import IntentHandler, IntentSpec, Connector, Provider, Classifier, operation, hookimpl\n"


def source(base: str, body: str) -> str:
    return f'{HEAD}class T({base}):\n    "Bad."\n    {body}\n'


def test_badly_written_plugins_are_recorded_and_the_rest_goes_on(site) -> None:
    for name, (group, base, body) in {**BAD, **RAISES}.items():
        site(f"{name.replace('_', '-')}-dist", group, name, source(base, body))
    found = states(site.path, "--check")
    for name, (group, *_) in BAD.items():
        item = found[f"{'intent' if group == 'intents' else 'connector'}:{name}"]
        assert item["state"] in ("failed", "incompatible"), item
        assert item["reason"]
    code = """
        from intendant import SyncOrchestrationService, Workflow
        from intendant.testing import EqualShares
        flow = Workflow.parse("name: t\\nsteps: [{id: a, intent: echo, input: 1}, {id: b, name: echo it}]")
        from intendant.plugin import IntentHandler, IntentSpec, StepResult, Classifier, Classification
        class Echo(IntentHandler):
            "Echoes."
            spec = IntentSpec(name="echo", summary="x", examples=("echo it",))
            async def handle(self, request): return StepResult(output=request.input)
        class Zed(Classifier):
            "Knows."
            name = "zed"
            def classify(self, request): return Classification(intent="echo", confidence=1.0)
        with SyncOrchestrationService(plugins=[Echo(), EqualShares(), Zed()], db="none") as service:
            print(service.run(flow).outputs)
    """
    done = python(site.path, code)
    assert done.stdout == "{'a': 1, 'b': None}\n", done.stderr
    assert "ZeroDivisionError" in done.stderr, "the fault is logged"


def test_a_typing_error_in_what_is_blocked_is_told(site) -> None:
    code = "import sys; sys.argv = ['intendant', 'plugins']; from intendant.cli import main; main()"
    done = python(site.path, code, INTENDANT_BLOCK_PLUGINS="intent:sned")
    assert "intent:sned is to be blocked, and is not installed" in done.stderr
