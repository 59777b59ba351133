"""The five questions: who is asked, in which order, and what is refused at registration."""

import pluggy
import pytest

from intendant import SettingsError
from intendant.hooks.questions import Questions
from intendant.hooks.registry import Plugins
from intendant.plugin import (
    Allocation,
    BudgetStrategy,
    Classification,
    Classifier,
    ClassifyRequest,
    DuplicatePluginError,
    IntentHandler,
    IntentSpec,
    ModelOffer,
    PluginLoadError,
    RouteRequest,
    Step,
    StepResult,
    Tier,
    hookimpl,
)


def tier(name: str, rank: float = 50, hardest: float = 10) -> Tier:
    made = type("Made", (Tier,), {"name": name, "rank": rank, "__doc__": "A tier."})
    return made({"max_difficulty": hardest})


def route(plugins: Plugins, difficulty: float = 5, **more):
    offers = (ModelOffer(provider="p", models={name: f"m-{name}" for name in plugins.tiers}),)
    request = RouteRequest(step_id="s", intent="x", difficulty=difficulty, offers=offers, **more)
    answer = Questions(plugins.manager).route(request)
    return answer and answer.tier


def test_tiers_are_asked_cheapest_first_whatever_the_order_of_installation() -> None:
    for given in (
        [tier("a", 30), tier("b", 10, 3), tier("c", 20, 6)],
        [tier("b", 10, 3), tier("c", 20, 6), tier("a", 30)],
    ):
        plugins = Plugins(given, discover=False)
        assert [route(plugins, score) for score in (1, 5, 9)] == ["b", "c", "a"]
        assert route(plugins, 1, excluded=("b",)) == "c"


def test_the_settings_come_before_everything_else() -> None:
    plugins = Plugins([tier("a", 30), tier("b", 10)], discover=False, order=["tier:a"])
    assert route(plugins) == "a"


def test_same_rank_goes_by_name() -> None:
    assert route(Plugins([tier("b"), tier("a"), tier("c")], discover=False)) == "a"


class Quiet(Classifier):
    """Never sure."""

    name = "quiet"

    def classify(self, request):
        return None


class Late(Classifier):
    """Answers later."""

    name = "late"

    def classify(self, request):
        async def answer():
            return Classification(intent="x", confidence=1.0, method="late")

        return answer()


async def test_a_classifier_that_declines_leaves_the_question_to_the_next() -> None:
    """Also where the next one works asynchronously: claimed at once, awaited later."""
    questions = Questions(Plugins([Quiet(), Late()], discover=False).manager)
    answer = await questions.classify(ClassifyRequest(step=Step(id="a"), intents=()))
    assert answer is not None
    assert answer.method == "late"
    alone = Questions(Plugins([Quiet()], discover=False).manager)
    assert await alone.classify(ClassifyRequest(step=Step(id="a"), intents=())) is None


class Shout(IntentHandler):
    """Shouts."""

    spec = IntentSpec(name="shout", summary="Shout", examples=("Shout",))

    async def handle(self, request):
        return StepResult(output="A")


class AsyncHook(Shout):
    """Has an async hook."""

    @hookimpl
    async def handle_intent(self, request):
        return None


class UnknownArgument(Shout):
    """Asks for an argument that the hook has not."""

    @hookimpl
    def handle_intent(self, request, mood):
        return None


class UnknownHook(Shout):
    """Answers a question that nobody asks."""

    @hookimpl
    def handle_intnet(self, request):
        return None


@pytest.mark.parametrize(
    ("plugin", "says"), [(AsyncHook, "async def"), (UnknownArgument, "mood"), (UnknownHook, "handle_intnet")]
)
def test_wrong_hooks_are_refused_at_registration(plugin, says) -> None:
    with pytest.raises(PluginLoadError, match=says):
        Plugins([plugin()], discover=False)


def test_two_of_one_name_are_refused() -> None:
    with pytest.raises(DuplicatePluginError, match="tier:a"):
        Plugins([tier("a"), tier("a")], discover=False)


def test_settings_are_checked_and_must_belong_to_somebody() -> None:
    with pytest.raises(SettingsError, match="tier:a.*max_difficulty"):
        tier("a", hardest="high")
    with pytest.raises(SettingsError, match="tier:zz"):
        Plugins([tier("a")], discover=False, settings={"tier:zz": {}})


class Greedy(BudgetStrategy):
    """Gives more than there is."""

    name = "proportional"

    def allocate(self, request):
        return Allocation(tokens={line.step_id: request.total for line in request.lines}, strategy="proportional")


async def test_a_strategy_cannot_give_more_than_there_is() -> None:
    from intendant import Workflow
    from intendant.testing import engine

    flow = Workflow.parse("name: t\nsteps: [{id: a, intent: shout}, {id: b, intent: shout}]")
    async with engine(Shout(), Greedy()) as service:
        plan = await service.plan(flow)
    assert plan.strategy == "proportional (failed)"
    assert [step.tokens for step in plan.steps] == [4000, 4000]


def test_engines_share_nothing() -> None:
    one, two = Plugins([tier("a")], discover=False), Plugins([tier("b")], discover=False)
    assert (route(one), route(two)) == ("a", "b")


@hookimpl
def _apart(request):
    """A hook implementation that is no method yet."""


class _Method:
    other = 5

    @hookimpl
    def route(self, request):
        """Found."""

    def classify(self, request):
        """No hook: it has no mark."""


class _Inherited(_Method):
    route_of = property(lambda self: _apart)


class _NoMore(_Method):
    def route(self, request):
        """No hook any more."""


class _Wrapped:
    route = staticmethod(_apart)
    compress = hookimpl(staticmethod(lambda request: None))
    classify = hookimpl(classmethod(lambda cls, request: None))
    handle_intent = classmethod(_apart)
    allocate_budget = _Method().route  # a bound method of something else


class _OfTheInstance(_Method):
    def __init__(self) -> None:
        self.classify = _apart
        self.route = 5


class _Slot:
    __slots__ = ("route",)

    def __init__(self) -> None:
        self.route = _apart


@pytest.mark.parametrize("kind", [_Method, _Inherited, _NoMore, _Wrapped, _OfTheInstance, _Slot])
def test_hooks_are_found_where_pluggy_finds_them(kind) -> None:
    """Ours looks at what pluggy would look at in vain once for each class."""
    usual, own = pluggy.PluginManager("intendant"), Plugins([], discover=False).manager
    for plugin in (kind(), kind):
        names = [name for name in dir(plugin) if not name.startswith("__")]
        found = {name: usual.parse_hookimpl_opts(plugin, name) for name in names}
        assert {name: own.parse_hookimpl_opts(plugin, name) for name in names} == found
    assert any(found.values()) or kind in (_NoMore, _Slot)
