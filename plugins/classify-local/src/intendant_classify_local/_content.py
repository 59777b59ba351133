"""Features of what a step carries: prompt, request, SQL, code, parameters."""

import re
from itertools import pairwise

from intendant_classify_local._commands import command_deeds, main_deed
from intendant_classify_local._inside import routes
from intendant_classify_local._language import IDEOGRAPH
from intendant_classify_local._lexicon import found_in, lexicon
from intendant_classify_local._machinery import machinery
from intendant_classify_local._view import StepView

RESULTS = frozenset(
    ("summarize", "analyze", "enrich", "transform", "extract", "validate", "aggregate", "filter", "generate")
)
"""What "Write a …" may be about: "Write a summary" summarizes."""
PROMPT_READ = 900
"""Characters of a prompt that are looked at; the task stands near the beginning."""
CODE_READ = 1200
_SHORT_CODE = 120
_SENTENCES = 30
_INSTRUCTIONS = 4
COMMANDS_READ = 600
_BARE_WORDS = 70
_LONGEST_CHOICE = 32
_TEMPLATE = re.compile(
    r"(?:^|(?<=\n))=?[^\n:.{]{0,40}:\s*\{\{[^\n]*?\}\}[ \t]*(?=\n|$)|"
    r"\{\{.*?\}\}|\{%.*?%\}|\$\{.*?\}|<number>|<uuid>|https?://\S+"
)
"""What is filled in, with its label, as in "Summary: {{ issue.summary }}", which asks for none."""
_SENTENCE = re.compile(r"[.!?\n:;=\u3002\uff01\uff1f\uff1a\uff1b\uff0c,\\]+|\s[-*•]\s")
_TOKEN = re.compile(r"[^\W_]+")
_SQL = re.compile(
    r"\s*(select|with|insert|update|delete|merge|create|drop|alter|truncate|show|call|upsert|copy|exec)\b",
    re.IGNORECASE,
)
_SQL_DEEDS = {
    **dict.fromkeys(("select", "with", "show"), "read"),
    **dict.fromkeys(("insert", "update", "delete", "merge", "upsert", "copy"), "write"),
}
_HTTP_DEEDS = {"GET": "read", "HEAD": "read", "PUT": "change", "PATCH": "change", "DELETE": "change"}
"""POST may ask as well as change; its address tells."""
_IO = frozenset(("fetch", "send", "write", "publish", "llm"))
"""Cues of code that reaches outside; code that is shown and has none only computes."""
_STATEMENTS = ("return", " = ", "=>")
_GIVES_UP = re.compile(r"\s*(?://[^\n]*\n\s*|#[^\n]*\n\s*)*(?:throw\s|raise\s|node\.error\()")
"""Code that does nothing but fail."""
_RETURNS_FILTERED = re.compile(r"return\s+(?:filtered|[\w$.()\[\]'\"]+\s*\.filter\()")


def without_templates(text: str) -> str:
    """A prompt without what is filled into it."""
    return _TEMPLATE.sub(" ", text) if "{" in text or "<" in text or "http" in text else text


def prompt_features(prompt: str, primary: str, found: list[str]) -> None:
    """Adds the features of a prompt: its first instructions, its role, its turns of phrase, its words."""
    text = without_templates(prompt[:PROMPT_READ])
    low = text.lower()
    table = lexicon()
    foreign = not low.isascii() and IDEOGRAPH.search(low) is not None
    imperatives: list[str] = []
    role = ""
    for sentence in _SENTENCE.split(low, _SENTENCES):
        said = _said(sentence, foreign)
        if not role and "you" in said[:2] and "are" in said[:3]:
            role = next((table.groups[word] for word in reversed(said[3:14]) if word in table.groups), "")
            found += [f"rt:{word}" for word in said[3:14]]
        if verb := _imperative(said, imperatives, found):
            if not imperatives:
                found += [f"pl:{table.groups[word]}" for word in _coordinated(said)]
            imperatives.append(verb)
            if len(imperatives) == _INSTRUCTIONS:
                break
    found.append("p:some")
    _instructions(imperatives, role, primary, found)
    places = [(match.start(), match[0]) for match in _TOKEN.finditer(low)]
    cues = table.prompt_cues(low, places)
    if foreign:
        cues.update(found_in(low, table.ideographic_cues))
    found += [f"q:{cue}" for cue in sorted(cues)]
    found += [f"pt:{table.lemmas.get(word, word)}" for _, word in places[:_BARE_WORDS] if not word.isdigit()]


def _coordinated(said: list[str]) -> list[str]:
    """The verbs after "and" and "then": "Read the thread and summarize it" summarizes in the end."""
    known = lexicon().groups
    return [word for before, word in pairwise(said) if before in ("and", "then", "to") and word in known]


def _said(sentence: str, foreign: bool) -> list[str]:
    table = lexicon()
    forms = table.lemmas
    said = [forms.get(word, word) for word in _TOKEN.findall(sentence[:120])]
    if foreign and (parts := table.ideograph.findall(sentence[:60])):
        return [word for word in said if word.isascii()] + [table.ideographs[part] for part in parts]
    return said


def _imperative(said: list[str], before: list[str], found: list[str]) -> str:
    """The verb that a sentence begins with, after "please", "your task is to" and the like; empty if with none."""
    table = lexicon()
    known = table.groups
    place = next((index for index, word in enumerate(said[:11]) if word not in table.fillers), 0)
    if not said or said[place] not in known:
        return ""
    if not before:
        object_ = said[place + 1 : place + 9]
        result = next((known[word] for word in object_ if known.get(word) in RESULTS), "none")
        found.append(f"po:{known[said[place]]}:{result}")
    return said[place]


def _instructions(imperatives: list[str], role: str, primary: str, found: list[str]) -> None:
    known = lexicon().groups
    if imperatives:
        first = known[imperatives[0]]
        found += [f"p1:{first}", f"m+p1:{primary}:{first}", f"pw:{imperatives[0]}"]
        found += [f"pi:{known[verb]}" for verb in imperatives]
    else:
        found.append("p1:none")
    if role:
        found.append(f"pr:{role}")


def http_features(view: StepView, found: list[str]) -> None:
    """Adds the features of an HTTP request: its method, and what its address is about."""
    method = view.method or ("POST" if any("body" in key.lower() for key in view.params) else "GET")
    deed = _HTTP_DEEDS.get(method, method)
    said = found_in(view.url, lexicon().url_cues)
    if view.asks_model and "llm" not in said:
        said.append("llm")
    found += [f"h:{deed}", f"h:{method}"]
    found += [f"u:{cue}" for cue in said]
    found += [f"h+{cue}:{deed}" for cue in said]


def sql_features(text: str, found: list[str]) -> None:
    """Adds what an SQL statement does; that outweighs that its operation is called a query."""
    statement = _SQL.match(text)
    if statement is None:
        return
    deed = _SQL_DEEDS.get(statement[1].lower(), "manage")
    if deed == "read" and "group by" in text.lower():
        deed = "group"
    found[:] = [name for name in found if name.partition(":")[0] not in ("o", "ow", "co", "mo", "a", "ae")]
    found += [f"s:{deed}", f"o:{'write' if deed == 'write' else 'read'}"]


def code_features(code: str, primary: str, found: list[str]) -> None:
    """Adds the turns of phrase of code."""
    cues = found_in(code[:CODE_READ], lexicon().code_cues)
    if len(code) < _SHORT_CODE:
        cues.append("short")
    if code.lstrip().startswith("return"):
        cues.append("constant")
    if "throw" in cues and _GIVES_UP.match(code):
        cues = ["gives-up", *(cue for cue in cues if cue != "throw")]
        found.append("ke:noop")
    if "filter" in cues and _RETURNS_FILTERED.search(code):
        cues.append("returns-filtered")
    found += [f"x:{cue}" for cue in cues]
    deeds = command_deeds(code[:COMMANDS_READ])
    if not deeds and _IO.isdisjoint(cues) and any(mark in code for mark in _STATEMENTS):
        found += ["xz:pure", f"m+xz:{primary}"]
    if primary in ("shell", "runjob") or deeds:
        found += [f"xs:{cue}" for cue in cues]
    if deeds:
        found += [f"xd:{deed}" for deed in deeds]
        found.append(f"xl:{main_deed(deeds)}")


def output_features(names: tuple[str, ...], found: list[str]) -> None:
    """Adds what the schema of the output is about: labels, a verdict, a text, a total."""
    groups = lexicon().output_groups
    said = [group for name in names for group in groups.get(name, ())] or ["fields"]
    found += [f"os:{group}" for group in said]
    found += [f"ot:{name}" for name in names if name in ("list", "choice", "boolean")]


def parameter_features(view: StepView, primary: str, found: list[str]) -> None:
    """Adds the names of parameters, and the values of those that are choices."""
    table = lexicon()
    keyed: list[str] = []
    for key, value in view.params.items():
        found.append(f"y:{key}")
        if group := table.key_groups.get(key.lower()):
            keyed.append(group)
        if type(value) is str and 0 < len(value) < _LONGEST_CHOICE and _is_word(value):
            machine = machinery(value)
            found += [f"z:{word}" for word in machine.words]
            if machine.verb and key in table.choices:
                group = table.groups[machine.verb]
                found += [f"o2:{group}", f"m+o2:{primary}:{group}"]
    found += [f"yk:{group}" for group in keyed]
    if primary in ("app", "llm", "code", "set"):
        found += [f"m+yk:{primary}:{group}" for group in keyed]
    if primary == "app" and "o:none" in found:
        found += [f"cd+yk:{group}" for group in keyed]
    if routes(view.params):
        found += ["yr:routes", f"m+yr:{primary}"]
    if not view.params and not view.prompt:
        found.append("y=none")
    found.append(f"m+y:{primary}:{'some' if view.params else 'none'}")


def _is_word(text: str) -> bool:
    return text.replace("_", "").replace("-", "").isalnum()
