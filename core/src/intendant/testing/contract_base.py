"""What plugins of every kind promise, as tests."""

import inspect
import subprocess
import sys
from functools import lru_cache
from typing import Any, ClassVar

import pytest

from intendant.hooks.bases import Plugin
from intendant.model.errors import SettingsError

HEAVY = ("anthropic", "openai", "sqlalchemy", "tiktoken", "bpe_openai", "genai_prices", "duckdb")
"""Libraries that a plugin imports where it uses them."""


class PluginContract:
    """What plugins of every kind promise."""

    plugin: ClassVar[type[Plugin]]
    """The plugin's class."""
    entry_point: ClassVar[str | None] = None
    """Its entry point's name, if it is installed."""

    swept: ClassVar[bool] = False
    """True for the classes that `sweep` makes, which cannot say what only a plugin's own test can."""

    def make(self) -> Any:
        """The plugin with its default settings."""
        return self.plugin()

    def unsaid(self, what: str) -> None:
        """Fail because the contract lacks *what* only its author can say; skip where it was swept.

        Raises:
            AssertionError: It is no swept contract.
        """
        if self.swept:
            pytest.skip(f"{self.plugin.__name__}: {what} (a swept contract cannot)")
        raise AssertionError(f"{what}, or nothing of this promise is tested")

    def test_needs_no_arguments_and_says_its_name(self) -> None:
        """It can be made without arguments, and calls itself what its entry point says."""
        made = self.make()
        assert made.name, "a plugin has a name"
        if self.entry_point is not None:
            assert made.name == self.entry_point, f"it calls itself '{made.name}', not '{self.entry_point}'"

    def test_is_described(self) -> None:
        """Its class has a docstring of its own."""
        assert (self.plugin.__dict__.get("__doc__") or "").strip(), f"{self.plugin.__name__} has no docstring"

    def test_refuses_unknown_settings(self) -> None:
        """A setting it does not know is an error, not ignored."""
        with pytest.raises(SettingsError):
            self.plugin({"no_such_setting_": 1})

    def test_importing_it_is_light(self, request: pytest.FixtureRequest) -> None:
        """Importing it imports no SDK, database or tokenizer."""
        module = _package(self.plugin)
        if module in light_together(_tested(request.session)):
            return
        heavy = heavy_imports(module)
        assert not heavy, (
            f"importing {self.plugin.__module__} imports {', '.join(heavy)}; import them where they are used"
        )

    def test_hooks_are_plain_functions(self) -> None:
        """No hook is an `async def`, whose coroutine would count as an answer."""
        for name in ("classify", "allocate_budget", "compress", "route", "handle_intent"):
            hook = getattr(self.plugin, name, None)
            assert not inspect.iscoroutinefunction(hook), f"`{name}` is an async def"

    def test_contract_is_not_overridden(self) -> None:
        """A test of the contract that a plugin cannot pass is marked `xfail(reason=…)`, not replaced."""
        contract = next(base for base in type(self).__mro__ if base.__module__.startswith(__package__))
        for name in dir(contract):
            if name.startswith("test_"):
                own, original = getattr(type(self), name), getattr(contract, name)
                marks = [mark.name for mark in getattr(own, "pytestmark", [])]
                assert own is original or "xfail" in marks, f"{name} is overridden without xfail(reason=…)"


async def settled(answer: Any) -> Any:
    """An answer, awaited where a plugin gives it later."""
    return await answer if inspect.isawaitable(answer) else answer


def _package(plugin: type[Plugin]) -> str:
    return plugin.__module__.partition(".")[0]


@lru_cache(maxsize=1)
def _tested(session: pytest.Session) -> tuple[str, ...]:
    """The packages of all plugins that this session tests."""
    classes = {getattr(item, "cls", None) for item in session.items}
    contracts = (cls for cls in classes if cls is not None and issubclass(cls, PluginContract))
    return tuple(sorted({_package(cls.plugin) for cls in contracts}))


@lru_cache(maxsize=16)
def light_together(modules: tuple[str, ...]) -> frozenset[str]:
    """Those of *modules* that one fresh interpreter could import, one after another, before any heavy library was
    there. Of the others nothing is known. An interpreter for each would take most of the time of a session.
    """
    code = (
        "import sys, importlib\n"
        f"for name in {modules!r}:\n"
        "    try: importlib.import_module(name)\n"
        "    except Exception: failed = True\n"
        "    else: failed = False\n"
        f"    if any(heavy in sys.modules for heavy in {HEAVY!r}): break\n"
        "    if not failed: print(name)\n"
    )
    done = subprocess.run(  # noqa: S603  # our own interpreter and code
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    return frozenset(done.stdout.splitlines()) & frozenset(modules)


@lru_cache(maxsize=256)
def heavy_imports(module: str) -> tuple[str, ...]:
    """The heavy libraries that importing *module* imports, tried in a fresh interpreter."""
    code = f"import sys, {module}; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run(  # noqa: S603  # our own interpreter and code
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return tuple(done.stdout.split())
