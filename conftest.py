"""What holds for all tests: properties are tried on a sample, and none fails because a machine is slow.

`INTENDANT_SAMPLE=400` tries each property on so many examples, and all cases of families marked `sampled`:
`nox -s trials` does. Otherwise `INTENDANT_SEED` chooses the cases.
"""

import gc
import logging
import os
import random
from collections import defaultdict
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from hypothesis import settings

USUAL = 20
SAMPLE = int(os.environ.get("INTENDANT_SAMPLE", str(USUAL)))
SEED = os.environ.get("INTENDANT_SEED", "1")

settings.register_profile("sample", deadline=None, max_examples=SAMPLE)
settings.load_profile("sample")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays: the garbage collector would look through ten thousand tests again and again, a
    third of a second each time.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of each family marked `sampled(most)`, keep so many cases; all in trials, and where a test is named."""
    if SAMPLE > USUAL:
        return
    named = tuple(argument for argument in config.args if "::" in argument)
    families: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if item.get_closest_marker("sampled") is not None and not item.nodeid.startswith(named):
            families[item.nodeid.partition("[")[0]].append(item)
    left_out: set[str] = set()
    for name, family in families.items():
        marker = family[0].get_closest_marker("sampled")
        most = min(len(family), marker.args[0] if marker is not None else len(family))
        chosen = {item.nodeid for item in random.Random(f"{SEED} {name}").sample(family, most)}  # noqa: S311  # no secret
        left_out |= {item.nodeid for item in family} - chosen
    if left_out:
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid in left_out])
        items[:] = [item for item in items if item.nodeid not in left_out]


@pytest.fixture(autouse=True)
def _log_levels() -> Iterator[None]:
    """A command that a test calls in this process sets how much is logged; the next test begins as before."""
    logger = logging.getLogger("intendant")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture(autouse=True, scope="session")
def _own_data_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Commands that name no database use one of the tests, and not that of the user who runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(autouse=True, scope="session")
def _commands_are_made_once() -> Iterator[None]:
    """Typer makes all commands anew from the signatures of their functions whenever one is called in this process:
    a third of what such a test takes. They are made again where commands were added.
    """
    try:
        import typer.testing
    except ImportError:  # a member whose tests call no command
        yield
        return
    make, known = typer.main.get_command, {}

    def command_of(app: Any) -> Any:
        size = _commands_of(app)
        if known.get(app, (0, None))[0] != size:
            known[app] = (size, make(app))
        return known[app][1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.testing, "_get_command", command_of)
        yield


def _commands_of(app: Any) -> int:
    groups = [group.typer_instance for group in app.registered_groups]
    return len(app.registered_commands) + sum(1 + _commands_of(group) for group in groups)
