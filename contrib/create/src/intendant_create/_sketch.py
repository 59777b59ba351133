"""A workflow from a sentence, without a model: clauses become steps, what they name becomes connectors."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from intendant_create._clauses import Clause, clauses_of
from intendant_create._columns import Columns, columns_of, options_of
from intendant_create._things import Thing, schedule_of, things_of
from intendant_create._words import (
    ACTIONS,
    BEST,
    CHARTS,
    COMMITS,
    COMPARING,
    EACH,
    FORMS,
    INTENTS,
    LOG_WORDS,
    MAILS,
    MODELS,
    STATES,
    TABLES,
    plain,
)

Json = Any
_SINKS = frozenset(
    {"to", "as", "into", "nach", "als", "in", "dans", "en", "come", "como", "sous", "naar", "an", "a", "su"}
)
"""Before a thing that is written, not read."""
_FAR_SINKS = frozenset({"to", "into", "as", "als", "nach", "sous", "naar"})
"""The same, where the form of the thing stands between."""
MOST_APPROVING = 3
"""Words before "approves" in a condition that is about nothing else."""
TOKENS = 8000
"""For each step that may ask a model, where nothing is known of its agent."""


@dataclass
class Sketch:
    """A workflow, and what was understood of the sentence.

    Attributes:
        workflow: The workflow as plain data.
        cron: When it is to run, as five fields of cron; empty if the sentence does not say.
        unclear: Parts of the sentence that became nothing.
        notes: What a person should fill in or know.
    """

    workflow: dict[str, Json]
    cron: str = ""
    unclear: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def steps(self) -> list[dict[str, Json]]:
        """Its steps."""
        found: list[dict[str, Json]] = self.workflow["steps"]
        return found


def sketch(sentence: str, folder: str = ".") -> Sketch:
    """A workflow that does what *sentence* says, as far as that is understood.

    Args:
        sentence: In English, German, French, Spanish, Italian, Portuguese or Dutch.
        folder: Where the files are that it names: the columns of tables are read from them.
    """
    # Braces would be references, and what is no text cannot be written to a file.
    sentence = sentence.encode(errors="ignore").decode().replace("{{", "{ {")
    sentence = "".join(letter if letter.isprintable() else " " for letter in sentence)
    rest, cron = schedule_of(sentence)
    marked, things = things_of(rest)
    maker = _Maker(folder)
    for clause in clauses_of(marked, things):
        maker.add(clause)
        maker.leave(clause.loose)
    return maker.made(sentence, cron)


class _Maker:
    """Makes steps of clauses, one after the other."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._steps: list[dict[str, Json]] = []
        self._inputs: dict[str, Json] = {}
        self._last: str | None = None
        self._reads: list[str] = []
        self._opened: set[Thing] = set()
        self._columns = Columns()
        self._branch: tuple[str, str] | None = None
        self._unclear: list[str] = []
        self._notes: list[str] = []
        self._mailed = False

    def leave(self, parts: list[str]) -> None:
        """Note parts of the sentence of which nothing became."""
        self._unclear += parts

    # --- clauses ---

    def add(self, clause: Clause) -> None:
        """Make the steps of a clause."""
        if clause.role == "if" and clause.action != "ask" and not self._asks_approval(clause):
            self._decide(clause)
            return
        if clause.role == "else" and self._branch is not None:
            self._branch = (self._branch[0], "false")
        if clause.action == "ask" and any(word in MODELS for word in clause.words):
            self._work(
                clause, "classify" if any(word in ACTIONS["classify"] for word in clause.words) else "generate"
            )
            return
        if clause.action == "ask" or self._asks_approval(clause):
            if clause.role == "if" and clause.at > MOST_APPROVING:
                self._unclear.append(clause.text)  # whether it is so is not looked at
            self._read_all(clause)
            return
        action = self._meant(clause)
        if action in ("send", "save"):
            self._deliver(clause, action)
            return
        if action == "read":
            self._read(clause)
        elif action in INTENTS:
            self._work(clause, action)
        elif clause.things:
            self._read_all(clause)
        elif action != "show":
            self._unclear.append(clause.text)
        if self._last is not None and any(thing.kind == "mail" for _, thing in clause.things):
            self._deliver(clause, "send")

    def _asks_approval(self, clause: Clause) -> bool:
        return clause.role == "if" and any(word in ACTIONS["ask"] for word in clause.words)

    def _meant(self, clause: Clause) -> str:
        """What the verb means, with what stands beside it."""
        action = clause.action
        kinds = {thing.kind for _, thing in clause.things}
        if action == "write":
            named = self._sinks(clause) or any(at == clause.at + 1 for at, _ in clause.things)  # "write x.md"
            return "save" if named and self._last is not None else "generate"
        if action == "send" and "mail" not in kinds and self._sinks(clause) and kinds & {"file"}:
            return "save"
        if action == "validate" and self._last is None and kinds == {"url"}:
            return "read"
        if action == "generate" and any(word in CHARTS for word in clause.words):
            return "translate"
        if action == "show" and self._sinks(clause):
            return "save"
        return action

    def _sinks(self, clause: Clause) -> list[Thing]:
        """The things that are written, by the word before them."""
        return [thing for at, thing in clause.things if at and self._is_sink(clause.words[:at])]

    def _is_sink(self, before: list[str]) -> bool:
        """True if a thing behind these words is written: "to report.md", or "to a table report.md"."""
        if before[-1] in _SINKS:
            return True
        at = next((at for at in range(len(before) - 1, -1, -1) if before[at] not in FORMS), 0)
        return before[at] in _FAR_SINKS

    # --- reading ---

    def _read(self, clause: Clause) -> None:
        if not self._read_all(clause):
            if any(word in MAILS for word in clause.words):
                self._mails(clause)
            elif any(word in COMMITS for word in clause.words):
                self._step("read", "extract", uses="git.log", with_={"repo": "."}, fresh=True)
            elif self._last is None:
                self._given(clause)
        if any(word in COMPARING for word in clause.words) or self._columns.named(plain(clause.text)):
            self._filter(clause.text, clause)

    def _read_all(self, clause: Clause, leave: tuple[Thing, ...] = ()) -> bool:
        """Read what a clause names; True if there is something."""
        found = [thing for _, thing in clause.things if thing not in leave and thing.kind != "mail"]
        for thing in found:
            self._open(thing, clause)
        return bool(found)

    def _open(self, thing: Thing, clause: Clause) -> None:
        if thing in self._opened:
            return  # it is read already
        self._opened.add(thing)
        if thing.kind == "url":
            uses, with_ = _address(thing.value, clause)
        elif thing.kind == "document":
            uses, with_ = "document.read", {"path": thing.value}
        elif thing.kind == "db":
            sql = f"select * from {self._table(clause)}"  # noqa: S608  # an identifier, or three dots
            uses, with_ = "sql.query", {"url": thing.value, "sql": sql}
        elif thing.kind == "folder":
            uses, with_ = "file.read", {"path": f"{thing.value}/*"}
        else:
            uses, with_ = "file.read", {"path": thing.value}
            if thing.value.rpartition(".")[2].lower() in ("csv", "tsv"):
                with_["types"] = "auto"
                self._columns.update(columns_of(self._folder, thing.value))
        self._step(_stem(thing.value), "extract", uses=uses, with_=with_, fresh=True)
        self._reads.append(self._last or "")

    def _table(self, clause: Clause) -> str:
        at = next((at for at, word in enumerate(clause.words) if word in TABLES), None)
        name = clause.words[at + 1] if at is not None and at + 1 < len(clause.words) else ""
        if not name.isidentifier():
            self._notes.append("fill in the query: the sentence does not name a table")
        return name if name.isidentifier() else "…"

    def _mails(self, clause: Clause) -> None:
        self._inputs |= {"imap": {"type": "string"}, "user": {"type": "string"}}
        login = {"user": "{{ inputs.user }}", "password": "{{ secrets.MAIL_PASSWORD }}"}
        unread = any(word.startswith(("unread", "ungelesen", "non", "sin")) for word in clause.words)
        with_ = {"host": "{{ inputs.imap }}", **login, **({"search": {"unseen": True}} if unread else {})}
        self._step("mails", "extract", uses="mail.fetch", with_=with_, fresh=True)

    def _given(self, clause: Clause) -> None:
        """What the sentence speaks of and does not name is handed over when it runs."""
        self._inputs["data"] = {"type": "any", "description": f"What this is about: {clause.text}"}
        self._notes.append("the sentence does not name what is worked on: hand it over as the input `data`")

    # --- work ---

    def _work(self, clause: Clause, action: str) -> None:
        sinks = tuple(self._sinks(clause)) if self._last is not None else ()
        before = len(self._reads)
        if not self._read_all(clause, sinks) and self._last is None:
            self._read_unnamed(clause)
        tables = self._reads[before:]
        if action not in ("filter", "validate") and self._takes_some(clause):
            self._filter(_some(clause), clause)
        with_, rest = options_of(action, clause.text, clause.words, self._columns)
        if action == "classify" and len(tables) > 1:
            with_ = {"from": f"{{{{ steps.{tables[-1]}.output }}}}", "on": self._key(clause)}
            self._last, rest = tables[0], False
        elif action == "filter" and len(tables) > 1:
            self._last = tables[0]
            rest = True
        prompt = clause.text if rest else None
        self._step(action, INTENTS[action], with_=with_, prompt=prompt)
        if action == "generate" and any(word in EACH for word in clause.words) and "input" in self._steps[-1]:
            self._steps[-1]["for_each"] = self._steps[-1].pop("input")
        self._columns = (
            Columns() if action in ("aggregate", "translate", "summarize", "generate") else self._columns
        )
        for thing in sinks:
            self._save(thing)

    def _read_unnamed(self, clause: Clause) -> None:
        if any(word in COMMITS for word in clause.words):
            self._step("commits", "extract", uses="git.log", with_={"repo": "."}, fresh=True)
        elif any(word in MAILS for word in clause.words):
            self._mails(clause)
        else:
            self._given(clause)

    def _takes_some(self, clause: Clause) -> bool:
        """True if only some of what there is is meant: a filter comes first."""
        words = clause.words
        if self._columns.named(plain(clause.text)):
            return True
        if clause.action in ("summarize", "generate", "send", "classify"):
            return any(word in STATES for word in words)
        return clause.action == "pull" and any(word in LOG_WORDS for word in words)

    def _filter(self, text: str, clause: Clause) -> None:
        with_, rest = options_of("filter", text, clause.words, self._columns)
        self._step("filter", "filter", with_=with_, prompt=text if rest else None)

    def _key(self, clause: Clause) -> str:
        """The field by which two lists belong together."""
        after = [
            word for at, word in enumerate(clause.words) if at and clause.words[at - 1] in ("on", "uber", "sur")
        ]
        known = self._columns.find(after) or self._columns.shared()
        if known is None:
            self._notes.append("say by which field the two lists belong together: `on` of the step `enrich`")
        return known or "id"

    def _decide(self, clause: Clause) -> None:
        counts = any(word in ACTIONS["aggregate"] for word in clause.words)
        if (self._read_all(clause) or self._last is None) and counts:
            with_, rest = options_of("aggregate", clause.text, clause.words, self._columns)
            self._step("total", "aggregate", with_=with_, prompt=clause.text if rest else None)
        asked, source = " ".join(clause.text.split()), self._last
        options = {"branches": ["true", "false"]}
        step = self._step("decide", "conditional", with_=options, prompt=f"Is this so: {asked}? true or false.")
        moved = self._held_back(clause)
        self._branch, self._last = (step, "true"), source
        for held in moved:
            held["when"] = f"steps.{step}.output.branch == 'true'"
            self._steps.append(held)

    def _held_back(self, clause: Clause) -> list[dict[str, Json]]:
        """Deliveries that a condition behind them is about: they come behind it."""
        held: list[dict[str, Json]] = []
        decide = self._steps.pop()
        while self._steps and self._steps[-1]["intent"] == "send" and clause.role == "if":
            held.insert(0, self._steps.pop())
        source = held[0]["input"] if held else decide.get("input")
        if source is not None:
            decide["input"] = source
        self._steps.append(decide)
        return held

    # --- delivering ---

    def _deliver(self, clause: Clause, action: str) -> None:
        sinks = self._targets(clause, action)
        self._read_all(clause, tuple(sinks))
        if self._last is None:
            self._read_unnamed(clause)
        if action == "send" and self._takes_some(clause):
            self._filter(_some(clause), clause)
        elif action == "send" and any(word in BEST for word in clause.words):
            self._filter(clause.text, clause)
        if self._is_digest(clause):
            self._step("digest", "summarize", prompt=clause.text)
        targets: list[Thing | None] = [*sinks] or [None]
        for thing in targets:
            if thing is None and action == "save":
                self._notes.append(f"say where to: '{clause.text}' names no file")
                self._save(Thing("file", "output.json"))
            elif thing is not None and thing.kind in ("file", "document", "folder"):
                self._save(thing)
            elif thing is not None and thing.kind == "url":
                self._send("webhook.post", {"url": thing.value})
            else:
                self._mail(thing, clause)

    def _targets(self, clause: Clause, action: str) -> list[Thing]:
        """Where it goes: addresses of mail, else the last of what is named, or what stands behind "to"."""
        named = [thing for _, thing in clause.things]
        mails = [thing for thing in named if thing.kind == "mail"]
        if mails:
            return mails
        sinks = self._sinks(clause)
        if not sinks and action == "send":
            sinks = [thing for thing in named if thing.kind == "url"][-1:]
        return sinks[-1:] or (named[-1:] if action == "save" and self._last is not None else [])

    def _is_digest(self, clause: Clause) -> bool:
        rest = clause.words[clause.at + 1 :]
        asked = any(word in ACTIONS["summarize"] for word in rest)
        return asked and not any(step["intent"] == "summarize" for step in self._steps)

    def _mail(self, thing: Thing | None, clause: Clause) -> None:
        self._inputs |= {"smtp": {"type": "string"}, "sender": {"type": "string"}}
        if thing is None:
            self._inputs["recipient"] = {"type": "string"}
            self._notes.append(f"'{clause.text}' names no address: hand it over as the input `recipient`")
        if not self._mailed:
            self._notes.append("mail goes through the server in the input `smtp`, from the address in `sender`")
        self._mailed = True
        with_ = {
            "host": "{{ inputs.smtp }}",
            "from": "{{ inputs.sender }}",
            "to": "{{ inputs.recipient }}" if thing is None else thing.value,
            "subject": "{{ run.workflow }}",
        }
        self._send("mail.send", with_)

    def _send(self, uses: str, with_: dict[str, Json]) -> None:
        """What leaves the house asks a person first."""
        step = self._step("send", "send", uses=uses, with_=with_)
        to = with_.get("to") or with_.get("url")
        self._steps[-1]["approve"] = {"ask": f"May this go to {to}?"}
        self._last = self._source(step)

    def _save(self, thing: Thing) -> None:
        step = self._step("save", "send", uses="file.write", with_={"path": thing.value})
        self._last = self._source(step)

    def _source(self, step: str) -> str | None:
        """What a delivery was given is what the next one is given too."""
        made = next(each for each in self._steps if each["id"] == step)
        match = re.fullmatch(r"\{\{ steps\.(\w+)\.output \}\}", str(made.get("input", "")))
        return match[1] if match else self._last

    # --- steps ---

    def _step(
        self,
        name: str,
        intent: str,
        *,
        uses: str = "",
        with_: Mapping[str, Json] | None = None,
        prompt: str | None = None,
        fresh: bool = False,
    ) -> str:
        """Add a step; returns its id."""
        taken = {step["id"] for step in self._steps}
        base = re.sub(r"\W+", "_", name).strip("_") or intent
        base = base if base[0].isalpha() else f"{intent}_{base}"
        step_id = next(each for each in _numbered(base) if each not in taken)
        made: dict[str, Json] = {"id": step_id, "intent": intent}
        if uses:
            made["uses"] = uses
        if not fresh:
            made["input"] = f"{{{{ steps.{self._last}.output }}}}" if self._last else "{{ inputs.data }}"
            if self._last is None and "data" not in self._inputs:
                self._inputs["data"] = {"type": "any"}
        if prompt:
            made["prompt"] = " ".join(prompt.split())
        if with_:
            made["with"] = dict(with_)
        if self._branch is not None and intent == "send":
            made["when"] = f"steps.{self._branch[0]}.output.branch == '{self._branch[1]}'"
        self._steps.append(made)
        self._last = step_id
        return step_id

    def made(self, sentence: str, cron: str) -> Sketch:
        """The workflow."""
        asking = sum("prompt" in step for step in self._steps)
        name = "-".join(re.findall(r"[^\W_]+", sentence.lower())[:5]) or "workflow"
        workflow: dict[str, Json] = {"name": name, "description": " ".join(sentence.split())}
        if self._inputs:
            workflow["inputs"] = self._inputs
        workflow["budget"] = {"tokens": TOKENS * asking}
        workflow["steps"] = self._steps
        return Sketch(workflow, cron, self._unclear, self._notes)


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}_{number}"
        number += 1


def _stem(value: str) -> str:
    return re.split(r"[/\\]", value.rstrip("/*"))[-1].partition(".")[0].lower() or "read"


def _some(clause: Clause) -> str:
    """The condition on records that adjectives of a clause make."""
    states = [word for word in clause.words if word in STATES]
    return f"Is it {' and '.join(dict.fromkeys(states))}? ({clause.text})" if states else clause.text


def _address(url: str, clause: Clause) -> tuple[str, dict[str, Json]]:
    """What reads an address: a feed, an interface for programs, or a page."""
    low = url.lower()
    if re.search(r"\b(?:rss|atom|feed)\b|feed\.|\.rss\b", low) or "feed" in clause.words:
        return "feed.read", {"url": url}
    if re.search(r"://api\.|/api/|\.json\b|/v\d+(?:/|$)|graphql", low) or "api" in clause.words:
        return "http.get", {"url": url}
    return "web.page", {"url": url}
