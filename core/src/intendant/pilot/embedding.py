"""Memories that say it in other words: found by the places that an embedder gives, where one is installed."""

import sys
from array import array
from collections.abc import Sequence
from typing import NamedTuple, Self

from intendant.config.logs import get_logger
from intendant.hooks.bases import Embedder
from intendant.hooks.redaction import redacted
from intendant.model.errors import BudgetExceeded, ConnectorError, IntendantError, PluginError
from intendant.model.money import MICRO
from intendant.pilot.engine import Engine
from intendant.pilot.small_runs import close_small_run, open_small_run
from intendant.planning.recall import IMPORTANCE, USUAL, cosine, unit
from intendant.record.rows import MemoryRow
from intendant.record.store import memories
from intendant.spending.calls import CallScope
from intendant.spending.ledger import RunLedger
from intendant.spending.paid_uses import PaidUses

log = get_logger("intendant.memory")
AT_ONCE = 100
"""Texts of one call."""
LOOKED_THROUGH = 2000
"""Memories of an agent that are compared, the newest."""
STEP = "embed"


class Alike(NamedTuple):
    """A memory whose place is close to that of a question."""

    row: MemoryRow
    similarity: float


def embedder_of(engine: Engine) -> Embedder | None:
    """The embedder that is asked; None where none is installed, or none is wanted."""
    wanted, known = engine.settings.agents.embedder, engine.plugins.embedders
    if wanted == "off":
        return None
    if wanted == "auto":
        return next(iter(known.values()), None)
    if wanted not in known:
        log.warning("embedder_missing", embedder=wanted, known=list(known))
    return known.get(wanted)


async def alike(engine: Engine, agent: str, question: str, limit: int) -> list[Alike]:
    """The memories whose places are close to that of a question, the closest and most important first. Nothing
    where there is no embedder, or where it fails: that is logged, and recall goes by its own ranking.
    """
    embedder = embedder_of(engine)
    if embedder is None or not question.strip():
        return []
    try:
        return await _alike(engine, embedder, agent, question, limit)
    except IntendantError as error:
        log.warning("memories_not_embedded", embedder=embedder.name, agent=agent, error=error.message)
        return []


async def _alike(engine: Engine, embedder: Embedder, agent: str, question: str, limit: int) -> list[Alike]:
    who, space = (engine.tenant, agent), f"{embedder.name}:{embedder.space}"[:200]
    found = await engine.store.do(memories.placed(*who, space, LOOKED_THROUGH))
    if not found:
        return []
    new = [each.row for each in found if each.place is None]
    async with _Purse(engine, embedder, agent) as purse:
        (asked,) = await purse.embed([question])
        made = await _placed(purse, new)
    await engine.store.do(memories.place(*who, space, {row.id: (row.text, place) for row, place in made}))
    places = {each.row.id: each.place for each in found if each.place is not None}
    places |= {row.id: place for row, place in made}
    if asked is None:
        return []
    least, ranked = engine.settings.agents.similarity, []
    for each in found:
        if (place := places.get(each.row.id)) is not None:
            similarity = cosine(asked, _read(place))
            if similarity >= least:
                ranked.append(Alike(each.row, similarity))
    return sorted(ranked, key=lambda one: (-_worth(one), -one.row.id))[:limit]


def _worth(one: Alike) -> float:
    """The similarity, with the importance weighed as in the own ranking."""
    return one.similarity * (1 + (one.row.importance - USUAL) / IMPORTANCE)


def _read(place: bytes) -> "array[float]":
    made = array("f")
    made.frombytes(place)
    if sys.byteorder == "big":
        made.byteswap()
    return made


def _written(place: "array[float]") -> bytes:
    """As it is kept: little-endian, whatever machine this is."""
    kept = array("f", place)
    if sys.byteorder == "big":
        kept.byteswap()
    return kept.tobytes()


async def _placed(purse: "_Purse", rows: Sequence[MemoryRow]) -> list[tuple[MemoryRow, bytes]]:
    """The places of memories, the newest first, as far as the money goes."""
    made: list[tuple[MemoryRow, bytes]] = []
    for start in range(0, len(rows), AT_ONCE):
        some = rows[start : start + AT_ONCE]
        try:
            places = await purse.embed([row.text for row in some])
        except BudgetExceeded as error:
            log.warning("memories_not_embedded", agent=purse.agent, left=len(rows) - start, error=error.message)
            break
        made += [(row, _written(place)) for row, place in zip(some, places, strict=True) if place is not None]
    return made


class _Purse:
    """Pays for the calls of one recall: a small run of its own, opened when something costs.

    Args:
        engine: Whose it is.
        embedder: What is asked.
        agent: Who pays.
    """

    def __init__(self, engine: Engine, embedder: Embedder, agent: str) -> None:
        self.agent = agent
        self._engine = engine
        self._embedder = embedder
        self._scope: CallScope | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._scope is not None:
            await close_small_run(self._scope.journal)

    async def embed(self, texts: Sequence[str]) -> "list[array[float] | None]":
        """The places of texts, each of length 1; None for a text that has none.

        Raises:
            BudgetExceeded: A limit does not admit it; nothing was asked.
            ConnectorError: The embedder failed.
            PluginError: Its answer is none.
        """
        embedder, prices = self._embedder, self._engine.settings.prices.uses
        said = prices.get(f"{embedder.name}.{STEP}")
        most = embedder.cost_of(texts) if said is None else round(said * MICRO)
        if most <= 0:
            return await self._asked(texts)
        if self._scope is None:
            self._scope = await self._opened()
        uses = PaidUses(self._scope, prices)
        return await uses.pay(embedder.name, STEP, most, lambda: self._asked(texts))

    async def _opened(self) -> CallScope:
        engine = self._engine
        micro = round(engine.settings.agents.embedding_usd * MICRO)
        journal = await open_small_run(engine, f"memories of {self.agent}", self.agent, "embedding", micro=micro)
        ledger = RunLedger(
            journal, tokens=None, micro_usd=micro, allocations={}, agent=self.agent, standing=engine.standing
        )
        await ledger.open()
        return CallScope(journal, ledger, STEP)

    async def _asked(self, texts: Sequence[str]) -> "list[array[float] | None]":
        embedder = self._embedder
        try:
            answer = await embedder.embed(texts)
        except IntendantError:
            raise
        except Exception as error:
            log.warning("plugin_raised", plugin=embedder.key, exc_info=error)
            message = f"the embedder '{embedder.name}' raised {type(error).__name__}: {redacted(str(error))}"
            raise ConnectorError(message, hint="this is a fault of the plugin; report it there") from error
        try:
            places = [unit([float(value) for value in one]) for one in answer]
        except (TypeError, ValueError, OverflowError):
            places = []
        lengths = {len(place) for place in places if place is not None}
        if len(places) != len(texts) or len(lengths) > 1:
            raise PluginError(
                f"the embedder '{embedder.name}' did not answer with a place for each of {len(texts)} texts",
                hint="this is a fault of the plugin; report it there",
            )
        return places
