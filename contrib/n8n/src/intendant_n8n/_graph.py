"""The nodes of an n8n workflow and how they are connected."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from intendant import IntendantError

NOTES = ("stickyNote",)
LOOPS = ("splitInBatches",)
MOST_INPUTS = 50
BATCHES_SECOND = 3
"""The version of loops from which on the first output is for what is done."""


OPTIONS = ("options", "additionalFields", "otherOptions", "additionalOptions")
"""Parameters that hold what a node may be told besides."""
COSMETIC = frozenset(
    {"appendAttribution", "includeLinkToWorkflow", "dotNotation", "batching", "ignoreConversionErrors"}
)
"""Options that change nothing of what is worked out or delivered."""


class Watched(dict[str, Any]):
    """Options of a node; it knows which of them were looked at."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        super().__init__(given)
        self.seen: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        """The option, if it is given."""
        self.seen.add(key)
        return super().get(key, default)

    def __getitem__(self, key: str) -> Any:
        self.seen.add(key)
        return super().__getitem__(key)

    @property
    def unseen(self) -> list[str]:
        """The options that say something and of which nothing became."""
        return [key for key in self if key not in self.seen | COSMETIC and super(Watched, self).get(key)]


@dataclass(slots=True)
class Node:
    """A node."""

    name: str
    kind: str
    """The last part of its type, such as `httpRequest`."""
    full: str
    """Its type, as it is written."""
    version: float
    parameters: dict[str, Any]
    disabled: bool = False
    inputs: list[list[tuple[str, int]]] = field(default_factory=list)
    """For each of its inputs the nodes, and their outputs, that are connected to it."""
    outputs: list[list[str]] = field(default_factory=list)
    """For each of its outputs the nodes that are connected to it."""
    helpers: dict[str, list[str]] = field(default_factory=dict)
    """Nodes that serve it by kind of connection: models, parsers, tools."""
    serves: bool = False
    """True if it is such a node."""

    def options(self, names: Iterable[str]) -> Iterator[str]:
        """The texts of the options that are named so in some version of it."""
        for given in (self.parameters.get(place) for place in OPTIONS):
            values = [given.get(name) for name in names] if isinstance(given, dict) else []
            yield from (value for value in values if isinstance(value, str) and value)

    @property
    def left_out(self) -> list[str]:
        """Its options of which nothing became, once it is translated."""
        watched = (self.parameters.get(name) for name in OPTIONS)
        return [key for given in watched if isinstance(given, Watched) for key in given.unseen]


def read_nodes(document: Any) -> dict[str, Node]:
    """The nodes of an exported workflow, by name.

    Raises:
        IntendantError: It is none.
    """
    if not isinstance(document, dict) or not isinstance(document.get("nodes"), list):
        raise IntendantError(
            "this is no workflow of n8n: it has no list of `nodes`", hint="export it in n8n: ⋯, Download"
        )
    nodes: dict[str, Node] = {}
    for item in document["nodes"]:
        if not isinstance(item, dict) or not isinstance(item.get("name"), str):
            raise IntendantError("a node of the workflow has no name", hint="export it in n8n again")
        full = str(item.get("type", ""))
        parameters = item.get("parameters")
        version = item.get("typeVersion")
        nodes[item["name"]] = Node(
            item["name"],
            full.rpartition(".")[2],
            full,
            float(version) if isinstance(version, int | float) else 1.0,
            _watched(parameters) if isinstance(parameters, dict) else {},
            disabled=bool(item.get("disabled")),
        )
    connections = document.get("connections")
    if isinstance(connections, dict):
        _connect(nodes, connections)
    return nodes


def _watched(parameters: dict[str, Any]) -> dict[str, Any]:
    return {
        key: Watched(value) if key in OPTIONS and isinstance(value, dict) else value
        for key, value in parameters.items()
    }


def _connect(nodes: dict[str, Node], connections: Mapping[str, Any]) -> None:
    for name, by_kind in connections.items():
        source = nodes.get(name)
        if source is None or not isinstance(by_kind, dict):
            continue
        for kind, outputs in by_kind.items():
            for number, targets in enumerate(outputs if isinstance(outputs, list) else ()):
                for target in targets or ():
                    _add(nodes, source, kind, number, target)


def _add(nodes: dict[str, Node], source: Node, kind: str, number: int, target: Any) -> None:
    node = nodes.get(target.get("node", "")) if isinstance(target, dict) else None
    if node is None:
        return
    if kind != "main":
        node.helpers.setdefault(kind, []).append(source.name)
        source.serves = True
        return
    index = target.get("index", 0)
    index = index if isinstance(index, int) and 0 <= index < MOST_INPUTS else 0
    while len(node.inputs) <= index:
        node.inputs.append([])
    while len(source.outputs) <= number:
        source.outputs.append([])
    node.inputs[index].append((source.name, number))
    source.outputs[number].append(node.name)


def reachable(nodes: Mapping[str, Node], starts: Iterable[str], without: str) -> set[str]:
    """The nodes that come after *starts*, these included; paths do not go on behind *without*."""
    found: set[str] = set()
    left = list(starts)
    while left:
        name = left.pop()
        if name in found or name == without:
            continue
        found.add(name)
        left += [target for output in nodes[name].outputs for target in output]
    return found


def body_of(nodes: Mapping[str, Node], loop: Node) -> set[str]:
    """The nodes within a loop: those behind its output for batches, where a way leads back to it."""
    batches, done = (1, 0) if loop.version >= BATCHES_SECOND else (0, 1)
    inside = reachable(nodes, _targets(loop, batches), loop.name)
    inside -= reachable(nodes, _targets(loop, done), loop.name)
    back = any(source in inside for several in loop.inputs for source, _ in several)
    return inside if back else set()


def _targets(node: Node, output: int) -> list[str]:
    return node.outputs[output] if len(node.outputs) > output else []


def in_order(nodes: Mapping[str, Node], names: Iterable[str]) -> Iterator[Node]:
    """Nodes, each after those that it gets something from. A loop comes before what is within it; other nodes that
    wait for each other come where the first way leads into them.
    """
    chosen = set(names)
    wanted = [name for name in nodes if name in chosen]
    sources = {name: _awaited(nodes, nodes[name], chosen) for name in wanted}
    done: set[str] = set()
    while wanted:
        ready = [name for name in wanted if sources[name] <= done]
        entered = [name for name in wanted if sources[name] & done]
        for name in ready or entered[:1] or wanted[:1]:
            yield nodes[name]
            done.add(name)
            wanted.remove(name)


def _awaited(nodes: Mapping[str, Node], node: Node, chosen: set[str]) -> set[str]:
    """The nodes that come before another; for a loop without those within it, which lead back."""
    sources = {source for several in node.inputs for source, _ in several} & chosen
    return sources - body_of(nodes, node) if node.kind in LOOPS else sources


class Ids:
    """Ids of steps, made of names of nodes."""

    def __init__(self) -> None:
        self.owners: dict[str, str] = {}
        """The nodes that ids were made for."""

    def new(self, name: str, node: str) -> str:
        """An id that no other step has, for a step of a node."""
        plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
        slug = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:40].strip("_") or "step"
        slug = slug if slug[0].isalpha() else f"n_{slug}"
        found, number = slug, 1
        while found in self.owners:
            number += 1
            found = f"{slug}_{number}"
        self.owners[found] = node
        return found
