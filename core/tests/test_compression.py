"""The chain: lossless first, no further than needed, never longer, never below the floor, by its own figures."""

import pytest

from intendant.hooks.questions import Questions
from intendant.hooks.registry import Plugins
from intendant.planning.compression import CompressionChain
from intendant.planning.fidelity import expected_retention, recall
from intendant.plugin import (
    Compression,
    CompressionPolicy,
    Compressor,
    IntentHandler,
    IntentSpec,
    Message,
    ModelRequest,
    StepResult,
    kind_of,
)
from intendant.testing import ScriptedProvider, run_steps


class Cutter(Compressor):
    """Keeps the first part."""

    def __init__(self, name: str = "cutter", part: float = 0.5, *, lossless: bool = False, lies: bool = False):
        self.name = name
        super().__init__()
        self.part, self._lossless, self.lies = part, lossless, lies
        self.asked = 0

    @property
    def lossless(self):
        return self._lossless

    def compress(self, request):
        self.asked += 1
        text = request.text[: int(len(request.text) * self.part)] if self.part <= 1 else request.text * 2
        after = 1 if self.lies else request.count(text)
        return Compression(
            text=text, tokens_before=request.tokens, tokens_after=after, strategy=self.name,
            lossless=self._lossless, dropped=(f"by {self.name}",),
        )  # fmt: skip


async def fit(text: str, target: int, *compressors: Compressor, **policy):
    chain = CompressionChain(Questions(Plugins(compressors, discover=False).manager))
    return await chain.fit(text, target, policy=CompressionPolicy(**{"floor": 0.0, **policy}), count=len)


async def test_what_fits_is_left_alone() -> None:
    cutter = Cutter()
    found = await fit("x" * 100, 100, cutter)
    assert (found.compression.strategy, found.compression.saved, cutter.asked) == ("none", 0, 0)


async def test_lossless_ones_come_first_and_it_stops_when_it_fits() -> None:
    exact, lossy = Cutter("z_exact", 0.6, lossless=True), Cutter("a_lossy", 0.5)
    found = (await fit("x" * 100, 60, exact, lossy)).compression
    assert (found.strategy, found.tokens_after, found.lossless, found.quality) == ("z_exact", 60, True, 1.0)
    assert lossy.asked == 0
    found = (await fit("x" * 100, 40, exact, lossy)).compression
    assert (found.strategy, found.tokens_after, found.lossless) == ("a_lossy+z_exact", 30, False)
    assert found.dropped == ("by a_lossy", "by z_exact")


class Picker(Compressor):
    """Keeps as many of the first lines as fit."""

    name = "picker"

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[int] = []

    def compress(self, request):
        self.targets.append(request.target_tokens)
        text = ""
        for line in request.text.splitlines(keepends=True):
            if request.count(text + line) > request.target_tokens:
                break
            text += line
        return Compression(
            text=text, tokens_before=request.tokens, tokens_after=request.count(text), strategy=self.name,
            lossless=False, dropped=("lines",),
        )  # fmt: skip


class Runs(Compressor):
    """Writes spaces in a row as one mark."""

    name = "runs"
    lossless = True

    def compress(self, request):
        text = request.text.replace(" " * 30, "_")
        return Compression(
            text=text, tokens_before=request.tokens, tokens_after=len(text), strategy=self.name, lossless=True
        )


async def test_what_encoding_saves_buys_back_content() -> None:
    """Selected from the content as it was, encoded, and aimed again until the encoded selection fills the target."""
    text = "".join(f"{n:02d}{' ' * 30}{'ab' * (n % 7)}\n" for n in range(60))
    picker = Picker()
    found = (await fit(text, 200, Runs(), picker)).compression
    lines = text.splitlines()
    kept = found.text.replace("_", " " * 30).splitlines()
    assert kept == lines[: len(kept)], "the first lines, none of them cut"
    assert 180 <= found.tokens_after <= 200
    assert len(kept) * 30 > 200, "more lines than would have fitted as they were"
    assert (found.strategy, found.lossless) == ("picker+runs", False)
    assert len(picker.targets) <= 5


async def test_where_encoding_saves_nothing_it_is_not_tried_again() -> None:
    text = "".join(f"line {n}\n" for n in range(60))
    runs = Runs()
    asked = []
    runs.compress = lambda request: asked.append(request.tokens)
    found = (await fit(text, 100, runs, Picker())).compression
    assert 90 <= found.tokens_after <= 100
    assert asked == [len(text)]


async def test_below_the_floor_the_budget_is_raised() -> None:
    text = "".join(f"{n} is a fact of some length here\n" for n in range(40))
    least = (await fit(text, 300, Picker())).compression
    raised = await fit(text, 300, Picker(), floor=0.8)
    assert raised.refused
    assert least.quality < 0.8 <= raised.compression.quality
    assert 300 < raised.compression.tokens_after < len(text)


class Rough(Picker):
    """Keeps so many letters less of the end, and writes down that it was asked."""

    def __init__(self, name: str, less: int, asked: list[str]) -> None:
        super().__init__()
        self.name, self.less, self.asked = name, less, asked

    def compress(self, request):
        self.asked.append(self.name)
        found = super().compress(request)
        text = found.text[: len(found.text) - self.less]
        return found.model_copy(update={"text": text, "tokens_after": request.count(text), "strategy": self.name})


@pytest.mark.parametrize("less", [(0, 5), (5, 0)])
async def test_below_the_floor_the_compressor_that_is_asked_first_has_its_say(less) -> None:
    """One that knows nothing of the question won by a token, and what had been asked for went."""
    text = "".join(f"{n} is a fact of some length here\n" for n in range(40))
    asked: list[str] = []
    raised = await fit(text, 300, Rough("one", less[0], asked), Rough("other", less[1], asked), floor=0.8)
    assert raised.refused
    assert {*asked} == {"one", "other"}
    assert raised.compression.strategy == asked[0]


async def test_it_is_never_longer_and_believes_nobody() -> None:
    found = (await fit("x" * 100, 10, Cutter(part=2))).compression
    assert (found.strategy, found.text) == ("none", "x" * 100)
    found = (await fit("x" * 100, 60, Cutter(lies=True))).compression
    assert (found.tokens_before, found.tokens_after) == (100, 50)


async def test_below_the_floor_nothing_is_done_and_that_is_said() -> None:
    text = "Order 17 of Ada costs 1,250.00. Order 18 of Bo costs 99.00. Order 19 is NOT paid."
    found = await fit(text, 20, Cutter(part=0.3), floor=0.9)
    assert found.refused
    assert found.compression.text == text
    found = await fit(text, 20, Cutter(part=0.3), floor=0.1)
    assert not found.refused
    assert 0.1 < found.compression.quality < 0.9


async def test_a_policy_names_its_strategy_or_none() -> None:
    one, two = Cutter("one"), Cutter("two")
    assert (await fit("x" * 100, 50, one, two, strategy="two")).compression.strategy == "two"
    assert (await fit("x" * 100, 50, one, two, strategy="none")).compression.strategy == "none"
    assert one.asked == 0


@pytest.mark.parametrize(
    ("original", "result", "low", "high"),
    [
        ("total 12.50", "total 12.50", 1, 1),
        ("total 12.50", "total 12.5", 0, 0),
        ("a b c", "", 1, 1),
        ("It is not paid.", "It is paid.", 0, 0),
        ("See https://x.org/1 and https://x.org/2", "https://x.org/1", 0.4, 0.8),
        ('{"id": 7, "name": "Ada"}', "id,name\n7,Ada", 1, 1),
        ("ValueError in user_id 5", "user_id 5", 0.2, 0.5),
    ],
)
def test_fidelity_is_what_survives(original: str, result: str, low: float, high: float) -> None:
    assert low <= recall(original, result) <= high


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"a": 1}', "json"),
        ("{not json}", "text"),
        ("<!DOCTYPE html><p>x", "html"),
        ("2026-01-02 03:04:05 INFO x\n2026-01-02 03:04:06 WARN y\n", "log"),
        ("# Title\n\n- a\n- b\n", "markdown"),
        ("From: a@b.c\nSubject: x\n\nhello", "mail"),
        ("A long sentence that goes on and on without any end in sight, as prose does. " * 5, "prose"),
        ("", "text"),
        ("\ufeff<html><p>x", "html"),
        ("diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n-a\n+b\n c\n", "diff"),
        ("[1] Whales are mammals.\n\n[2] Sharks are fish.\n", "passages"),
        ("Document 1: Whales are mammals.\nDocument 2: Sharks are fish.\n", "passages"),
        ("Ada: Shall we?\nBo: Not yet.\nAda: When?\nBo: Later.\n", "transcript"),
        ("id,name\n1,Ada\n2,Bo\n3,Cy\n", "table"),
        ("| id | name |\n|---|---|\n| 1 | Ada |\n", "table"),
        ("name   age\nAda    36\nBo     41\nCy     29\n", "table"),
        ("commit 2fc6b881\nAuthor: Ada <a@b.c>\n\n    Fix it\n", "shell"),
        ("./a/b.py:12: x = 1\n./a/c.py:3: y = 2\n", "shell"),
        ("import os\n\n\ndef f(x):\n    return x\n", "code"),
        ("# licence\nname: web\nreplicas: 3\nports:\n  - 80\n", "config"),
        ("[server]\nport = 80\nhost = a\n", "config"),
        ("Jun 14 15:16:01 combo sshd[1]: a; b\nJun 14 15:16:02 combo sshd[1]: c; d\n", "log"),
    ],
)
def test_kinds_are_told_apart(text: str, kind: str) -> None:
    assert kind_of(text) == kind


def test_who_reads_mails_loses_more_by_the_same_recall_than_who_reads_code() -> None:
    original = "def total(order_id):\n    return prices[order_id]\n\ndef paid(order_id):\n    return 17\n"
    result = "def total(order_id):\n    return prices[order_id]\n"
    code, mail = (expected_retention(original, result, kind=kind) for kind in ("code", "mail"))
    assert 0 < mail < recall(original, result) < code < 1


def test_what_is_asked_for_counts() -> None:
    original = "The sky is blue on Monday.\nThe gate code is hidden in the shed.\nRain came on Tuesday.\n"
    shed, sky = original.split("\n")[1], original.split("\n")[0]
    asked = "Where is the gate code?"
    assert recall(original, shed, query=asked) > recall(original, sky, query=asked) + 0.2
    assert recall(original, shed) < recall(original, sky), "without the question the day is the fact"


async def test_what_is_protected_stays_or_nothing_is_done() -> None:
    text = "".join(f"order {n} of {n % 7} pieces\n" for n in range(60))
    free = (await fit(text, 200, Picker())).compression
    assert "order 40 " not in free.text
    kept = await fit(text, 200, Picker(), protect=["order 40"])
    assert kept.refused
    assert "order 40 " in kept.compression.text
    assert 200 < kept.compression.tokens_after < len(text)


def test_expressions_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="is no regular expression"):
        CompressionPolicy(protect=("(",))


class Digest(IntentHandler):
    """Sends its input, fitted."""

    spec = IntentSpec(
        name="digest", summary="Digest", examples=("Digest",), compression=CompressionPolicy(floor=0.0)
    )

    async def handle(self, request):
        fitted = await request.model.fit(request.input)
        await request.model.complete(ModelRequest(messages=(Message(content=fitted.text),), max_output_tokens=20))
        return StepResult(output=fitted.tokens_after)


class Extractive(ScriptedProvider):
    """Asks no model."""

    charges = False


async def test_savings_count_where_a_model_would_have_been_charged() -> None:
    step = {"id": "a", "intent": "digest", "input": "a fact of eight words is told here " * 200}
    for provider, counts in ((ScriptedProvider(), True), (Extractive(), False)):
        result = await run_steps([step], Digest(), Cutter(part=0.3), provider, budget={"tokens_per_workflow": 700})
        assert result.status == "completed", result.failures
        assert (result.metrics.tokens_saved > 500) is counts
        assert result.steps["a"].tokens_saved == result.metrics.tokens_saved
        assert (result.metrics.compression_seconds > 0) is counts, "what costs nothing needs no compression"
        assert (result.metrics.savings > 0.5) is counts


async def test_switched_off_nothing_is_compressed() -> None:
    step = {"id": "a", "intent": "digest", "input": "word " * 2000}
    settings = {"budget": {"tokens_per_workflow": 700}, "flags": {"compression_enabled": False}}
    result = await run_steps([step], Digest(), Cutter(part=0.1), **settings)
    assert result.failures["a"].error == "BudgetExceeded"


async def test_what_drops_form_only_is_not_held_to_the_floor() -> None:
    class Unwrap(Cutter):
        """Drops markup."""

        def compress(self, request):
            text = request.text.replace("<b>", "").replace("</b>", "")
            return Compression(
                text=text, tokens_before=request.tokens, tokens_after=len(text), strategy=self.name,
                lossless=False, preserving=True, dropped=("markup",),
            )  # fmt: skip

    text = "<b>Order 17</b> of <b>Ada</b> " * 3
    found = await fit(text, 60, Unwrap("unwrap", lossless=True), floor=1.0)
    assert (found.compression.preserving, found.compression.lossless, found.refused) == (True, False, False)
    assert "<b>" not in found.compression.text
    both = await fit(text, 20, Unwrap("unwrap", lossless=True), Cutter("z", 0.3), floor=0.0)
    assert not both.compression.preserving


async def test_compressors_are_told_what_stands_in_the_prompt_already() -> None:
    seen = []

    class Looks(Cutter):
        """Notes what it is told."""

        def compress(self, request):
            seen.append(request.context)
            return super().compress(request)

    chain = CompressionChain(Questions(Plugins([Looks()], discover=False).manager))
    before = [("mails", "one\ntwo")]
    await chain.fit("x" * 100, 50, policy=CompressionPolicy(floor=0.0), count=len, context=before)
    assert seen == [(("mails", "one\ntwo"),)]
