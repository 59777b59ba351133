"""What agents remember, and its index: work functions for `Store.do`.

The index has a row for each part of a word of each memory, the same on SQLite and PostgreSQL. A question looks up
the rarest of its parts first, and no part further than its newest `MOST_ROWS` rows: what it takes does not grow
with what there is.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import time
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, insert, select, text, update  # noqa: TID253

from intendant.model.errors import IntendantError
from intendant.record.rows import MemoryRow
from intendant.record.store.profiles import locked
from intendant.record.store.session import session_of
from intendant.record.store.statements import Work, columns
from intendant.record.store.tables import agent, memory, memory_term, memory_vector, run

MOST_ROWS = 500
"""Rows of one part of a word that are looked at."""
MOST_READ = 6000
"""Rows of the index that one question looks at, about."""
CANDIDATES = 60
"""Memories whose texts are read to be ranked."""
AT_ONCE = 400
"""Values in one statement."""
TermsOf = Callable[[str], Sequence[int]]
"""Gives the numbers of the parts of a text's words."""
_ROW = select(*columns(memory, MemoryRow))


class New(NamedTuple):
    """A memory to be kept."""

    kind: str
    text: str
    importance: int
    source: str = "person"
    evidence: Sequence[str] = ()
    subject: str | None = None


class Found(NamedTuple):
    """What the index finds for a question."""

    total: int
    """Memories of the agent."""
    frequencies: dict[int, int]
    """In how many of them each part of the question occurs; `MOST_ROWS` for that or more."""
    rows: list[MemoryRow]


def add(tenant: str, name: str, entries: Sequence[New], terms_of: TermsOf) -> Work[list[int]]:
    """Keep memories, each in place of the one about the same subject if there is one; returns their ids."""

    def work(connection: Connection) -> list[int]:
        owner = locked(connection, tenant, name).id
        with _overwriting(connection):
            return [_add(connection, owner, each, terms_of) for each in entries]

    return work


def _add(connection: Connection, owner: int, entry: New, terms_of: TermsOf) -> int:
    values = {
        "kind": entry.kind,
        "text": entry.text,
        "importance": entry.importance,
        "evidence": json.dumps(list(entry.evidence)),
        "source": entry.source,
    }
    known = None
    if entry.subject is not None:
        own = (memory.c.agent_id == owner, memory.c.subject == entry.subject)
        known = connection.execute(select(memory.c.id, memory.c.text, memory.c.source).where(*own)).first()
    if known is None:
        row = {"agent_id": owner, "subject": entry.subject, "created_at": time(), "uses": 0, **values}
        made = int(connection.execute(insert(memory).values(row).returning(memory.c.id)).scalar_one())
        _count(connection, owner, 1)
    elif known[2] == "person" and entry.source == "run":
        return int(known[0])  # a person's word stays
    else:
        made = int(known[0])
        _unindex(connection, owner, made, terms_of(known[1]))
        connection.execute(update(memory).where(memory.c.id == made).values(values))
    _index(connection, owner, made, terms_of(entry.text))
    return made


def _index(connection: Connection, owner: int, memory_id: int, terms: Sequence[int]) -> None:
    rows = [{"agent_id": owner, "term": term, "memory_id": memory_id} for term in dict.fromkeys(terms)]
    if rows:
        connection.execute(_INDEX, rows)


def _count(connection: Connection, owner: int, more: int) -> None:
    connection.execute(update(agent).where(agent.c.id == owner).values(memories=agent.c.memories + more))


_INDEX = text(
    "INSERT INTO memory_term (agent_id, term, memory_id) VALUES (:agent_id, :term, :memory_id) "
    "ON CONFLICT DO NOTHING"
)


def _unindex(connection: Connection, owner: int, memory_id: int, terms: Iterable[int]) -> None:
    """Take a memory out of the index, with its place. What the rows of the index are follows from its text, so
    that they need no second index.
    """
    own = (memory_vector.c.agent_id == owner, memory_vector.c.memory_id == memory_id)
    connection.execute(delete(memory_vector).where(*own))
    wanted = list(dict.fromkeys(terms))
    for start in range(0, len(wanted), AT_ONCE):
        connection.execute(
            delete(memory_term).where(
                memory_term.c.agent_id == owner,
                memory_term.c.term.in_(wanted[start : start + AT_ONCE]),
                memory_term.c.memory_id == memory_id,
            )
        )


def _owner(connection: Connection, tenant: str, name: str) -> int | None:
    own = (agent.c.tenant == tenant, agent.c.name == name)
    found: int | None = connection.execute(select(agent.c.id).where(*own)).scalar()
    return found


def list_memories(
    tenant: str, name: str, *, kinds: Sequence[str] = (), limit: int | None = None
) -> Work[list[MemoryRow]]:
    """What an agent remembers, the newest first."""

    def work(connection: Connection) -> list[MemoryRow]:
        owner = _owner(connection, tenant, name)
        query = _ROW.where(memory.c.agent_id == owner).order_by(memory.c.id.desc()).limit(limit)
        if kinds:
            query = query.where(memory.c.kind.in_(kinds))
        return [MemoryRow._make(row) for row in connection.execute(query)]

    return work


def find(tenant: str, name: str, memory_id: int) -> Work[MemoryRow]:
    """One memory.

    Raises (when the work is done):
        IntendantError: The agent has none of that number.
    """
    return lambda connection: _one(connection, tenant, name, memory_id)[1]


def _one(connection: Connection, tenant: str, name: str, memory_id: int) -> tuple[int, MemoryRow]:
    owner = _owner(connection, tenant, name)
    row = connection.execute(_ROW.where(memory.c.agent_id == owner, memory.c.id == memory_id)).first()
    if owner is None or row is None:
        raise IntendantError(
            f"the agent '{name}' has no memory {memory_id}", hint=f"`intendant memory list {name}` lists them"
        )
    return owner, MemoryRow._make(row)


def edit(tenant: str, name: str, memory_id: int, entry: Mapping[str, Any], terms_of: TermsOf) -> Work[MemoryRow]:
    """Change the text, kind or importance of a memory; a person's word takes the place of what was drawn from
    runs.

    Raises (when the work is done):
        IntendantError: The agent has none of that number.
    """

    def work(connection: Connection) -> MemoryRow:
        owner, row = _one(connection, tenant, name, memory_id)
        values = {**entry, "source": "person"}
        with _overwriting(connection):
            _unindex(connection, owner, memory_id, terms_of(row.text))
            connection.execute(update(memory).where(memory.c.id == memory_id).values(values))
        changed = _one(connection, tenant, name, memory_id)[1]
        _index(connection, owner, memory_id, terms_of(changed.text))
        return changed

    return work


def forget(tenant: str, name: str, ids: Sequence[int] | None, terms_of: TermsOf) -> Work[list[MemoryRow]]:
    """Delete memories and what the index has of them; returns them.

    Args:
        tenant: Whose they are.
        name: Their agent.
        ids: Their numbers; None for all of the agent.
        terms_of: Gives the parts of a text's words.

    Raises (when the work is done), nothing being deleted:
        IntendantError: The agent has none of one of these numbers.
    """

    def work(connection: Connection) -> list[MemoryRow]:
        owner = _owner(connection, tenant, name)
        wanted = [_one(connection, tenant, name, each)[1] for each in dict.fromkeys(ids or ())]
        if ids is None:
            wanted = list_memories(tenant, name)(connection)
        if owner is not None and wanted:
            with _overwriting(connection):
                _delete(connection, owner, wanted, terms_of, everything=ids is None)
        return wanted

    return work


def _delete(
    connection: Connection,
    owner: int,
    rows: Sequence[MemoryRow],
    terms_of: TermsOf,
    *,
    everything: bool = False,
) -> None:
    _count(connection, owner, -len(rows))
    if everything:
        connection.execute(delete(memory_term).where(memory_term.c.agent_id == owner))
        connection.execute(delete(memory_vector).where(memory_vector.c.agent_id == owner))
        connection.execute(delete(memory).where(memory.c.agent_id == owner))
        return
    for row in rows:
        _unindex(connection, owner, row.id, terms_of(row.text))
    for start in range(0, len(rows), AT_ONCE):
        ids = [row.id for row in rows[start : start + AT_ONCE]]
        connection.execute(delete(memory).where(memory.c.agent_id == owner, memory.c.id.in_(ids)))


@contextmanager
def _overwriting(connection: Connection) -> Iterator[None]:
    """Have SQLite overwrite the bytes that are freed with zeros, when rows are changed or moved too."""
    session = session_of(connection)
    if not session.sqlite:
        yield
        return
    session.driver.execute("PRAGMA secure_delete = ON")
    try:
        yield
    finally:
        session.driver.execute("PRAGMA secure_delete = OFF")


def replace(
    tenant: str,
    name: str,
    gone: Sequence[MemoryRow],
    new: Sequence[New],
    terms_of: TermsOf,
) -> Work[None]:
    """Delete memories and keep others, in one transaction."""

    def work(connection: Connection) -> None:
        owner = locked(connection, tenant, name).id
        with _overwriting(connection):
            if gone:
                _delete(connection, owner, gone, terms_of)
            for each in new:
                _add(connection, owner, each, terms_of)

    return work


def forget_run(connection: Connection, run_id: str, terms_of: TermsOf) -> int:
    """Delete what was drawn from a run, part of other work; returns how many memories that were."""
    drawn = (memory.c.source == "run", memory.c.evidence.contains(f'"{run_id}"', autoescape=True))
    # What was put together says how many runs ended how, and nothing of what was in them.
    query = select(memory.c.agent_id, *columns(memory, MemoryRow)).where(*drawn, memory.c.kind != "note")
    found = [(row[0], MemoryRow._make(row[1:])) for row in connection.execute(query)]
    with _overwriting(connection):
        for owner, row in found:
            _delete(connection, owner, [row], terms_of)
    return len(found)


def mark_used(tenant: str, name: str, ids: Sequence[int]) -> Work[None]:
    """Note that a run is told of memories."""

    def work(connection: Connection) -> None:
        owner = _owner(connection, tenant, name)
        with _overwriting(connection):
            for memory_id in ids:
                own = (memory.c.id == memory_id, memory.c.agent_id == owner)
                connection.execute(update(memory).where(*own).values(used_at=time(), uses=memory.c.uses + 1))

    return work


def told_of(tenant: str, name: str, said: str) -> Work[list[str]]:
    """The runs of an agent that were told of a text, and still keep it to be resumed."""
    escaped = json.dumps(said, ensure_ascii=False)[1:-1]
    own = (run.c.tenant == tenant, run.c.agent == name, run.c.memory.contains(escaped, autoescape=True))
    query = select(run.c.id).where(*own).order_by(run.c.created_at)
    return lambda connection: list(connection.execute(query).scalars())


# --- recall ---


def candidates(tenant: str, name: str, terms: Sequence[int], weigh: Callable[[int, int], float]) -> Work[Found]:
    """The memories that share most of the weight of *terms*.

    Args:
        tenant: Whose they are.
        name: Their agent.
        terms: The parts of a question's words.
        weigh: How much a part tells that is in so many of so many memories.
    """
    known = select(agent.c.id, agent.c.memories).where(agent.c.tenant == tenant, agent.c.name == name)

    def work(connection: Connection) -> Found:
        row = connection.execute(known).first()
        if row is None or not terms:
            return Found(0, {}, [])
        owner, total = row
        found = _frequencies(connection, owner, terms)
        weights = {term: weigh(count, total) for term, count in found.items()}
        ids = _heaviest(connection, owner, found, weights)
        # By number alone: beside the agent, SQLite would look through all that it has.
        rows = connection.execute(_ROW.where(memory.c.id.in_(ids)))
        return Found(total, found, [MemoryRow._make(row) for row in rows])

    return work


def _frequencies(connection: Connection, owner: int, terms: Sequence[int]) -> dict[int, int]:
    """In how many memories each term is, counted up to `MOST_ROWS`; those in none are left out."""
    session = session_of(connection)
    found: dict[int, int] = {}
    for start in range(0, len(terms), AT_ONCE):
        some = list(terms[start : start + AT_ONCE])
        query = (
            f"WITH asked(term) AS (VALUES {', '.join(['(?)'] * len(some))}) "  # noqa: S608
            f"SELECT term, (SELECT count(*) FROM (SELECT 1 FROM memory_term WHERE agent_id = ? "
            f"AND memory_term.term = asked.term LIMIT {MOST_ROWS}) AS found) FROM asked"
        )
        rows = session.execute(query, (*some, owner)).fetchall()
        found |= {term: count for term, count in rows if count}
    return found


def _heaviest(
    connection: Connection, owner: int, found: Mapping[int, int], weights: Mapping[int, float]
) -> list[int]:
    """The memories with the greatest sum of weights, read from the rarest terms on."""
    session = session_of(connection)
    rows = (
        f"SELECT memory_id FROM memory_term WHERE agent_id = ? AND term = ? "  # noqa: S608
        f"ORDER BY memory_id DESC LIMIT {MOST_ROWS}"
    )
    scores: dict[int, float] = {}
    read = 0
    for term in sorted(found, key=lambda each: (found[each], each)):
        if read >= MOST_READ:
            break
        for (memory_id,) in session.execute(rows, (owner, term)).fetchall():
            scores[memory_id] = scores.get(memory_id, 0.0) + weights[term]
        read += found[term]
    return sorted(scores, key=lambda each: (-scores[each], -each))[:CANDIDATES]


# --- places that embedders give ---


class Placed(NamedTuple):
    """A memory, and where an embedder places it."""

    row: MemoryRow
    place: bytes | None
    """None where it was not embedded yet, or for another space."""


def placed(tenant: str, name: str, space: str, limit: int) -> Work[list[Placed]]:
    """The newest memories of an agent with their places in a space."""
    own = (memory_vector.c.memory_id == memory.c.id) & (memory_vector.c.agent_id == memory.c.agent_id)
    joined = memory.outerjoin(memory_vector, own & (memory_vector.c.space == space))
    query = select(*columns(memory, MemoryRow), memory_vector.c.place).select_from(joined)

    def work(connection: Connection) -> list[Placed]:
        owner = _owner(connection, tenant, name)
        wanted = query.where(memory.c.agent_id == owner).order_by(memory.c.id.desc()).limit(limit)
        return [Placed(MemoryRow._make(row[:-1]), row[-1]) for row in connection.execute(wanted)]

    return work


def place(tenant: str, name: str, space: str, places: Mapping[int, tuple[str, bytes]]) -> Work[None]:
    """Keep the places of memories, by their numbers; of those alone that still have the text that was placed."""

    def work(connection: Connection) -> None:
        owner = _owner(connection, tenant, name)
        with _overwriting(connection):
            for start in range(0, len(places), AT_ONCE):
                ids = list(places)[start : start + AT_ONCE]
                known = select(memory.c.id, memory.c.text).where(memory.c.agent_id == owner, memory.c.id.in_(ids))
                kept = [each.id for each in connection.execute(known) if each.text == places[each.id][0]]
                own = (memory_vector.c.agent_id == owner, memory_vector.c.memory_id.in_(kept))
                connection.execute(delete(memory_vector).where(*own))
                about = {"agent_id": owner, "space": space}
                rows = [{**about, "memory_id": each, "place": places[each][1]} for each in kept]
                if rows:
                    connection.execute(insert(memory_vector), rows)

    return work
