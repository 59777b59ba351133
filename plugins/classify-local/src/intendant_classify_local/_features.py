"""What a step says, as the names of features; the model knows the weight of each for each intent.

A name starts with where the feature was seen: `k`, `l`, `a` type, app, operation; `o` its verb; `n` name; `d`
description; `p`, `q` prompt; `h`, `u` HTTP; `s` SQL; `x` code; `y`, `z` parameters. Ends in `t`: a bare word.
"""

import re
from functools import cache

from intendant_classify_local._cues import (
    CHOICES,
    CODE_CUES,
    FILLERS,
    IDEOGRAPHIC_CUES,
    KEY_GROUP,
    QUESTIONS,
    TAILS,
    URL_CUES,
    found_in,
    prompt_cues,
)
from intendant_classify_local._machinery import PRIMARY, Machinery, machinery
from intendant_classify_local._view import StepView, words
from intendant_classify_local._words import IDEOGRAPHIC, NOUN_VERBS, NOUNS, groups, lemmas

PLAIN = frozenset(
    (
        "",
        "action",
        "task",
        "tool",
        "node",
        "step",
        "operator",
        "activity",
        "piece",
        "app",
        "service",
        "service task",
        "custom",
    )
)
"""Types that say nothing: the app and its operation speak instead."""
BARE = "b|"
"""Marks the features of steps that name no machinery."""
PASSIVE = frozenset(("trigger", "wait", "note", "loop", "noop", "subnode"))
RESULTS = frozenset(
    ("summarize", "analyze", "enrich", "transform", "extract", "validate", "aggregate", "filter", "generate")
)
_TEMPLATE = re.compile(
    r"(?:^|(?<=\n))=?[^\n:.{]{0,40}:\s*\{\{[^\n]*?\}\}[ \t]*(?=\n|$)|\{\{.*?\}\}|\{%.*?%\}|\$\{.*?\}|<number>|<uuid>|https?://\S+"
)
_SENTENCE = re.compile(r"[.!?\n:;=。！？：；，,\\]+|\s[-*•]\s")
_SQL = re.compile(
    r"\s*(select|with|insert|update|delete|merge|create|drop|alter|truncate|show|call|upsert|copy|exec)\b",
    re.IGNORECASE,
)
_RETURNS_FILTERED = re.compile(r"return\s+(?:filtered|[\w$.()\[\]'\"]+\s*\.filter\()")
_SQL_DEEDS = {
    **dict.fromkeys(("select", "with", "show"), "read"),
    **dict.fromkeys(("insert", "update", "delete", "merge", "upsert", "copy"), "write"),
}
_IDEOGRAPH = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
_TOKEN = re.compile(r"[^\W_]+")


def features(view: StepView) -> list[str]:
    """The names of what *view* shows, each once."""
    found: list[str] = []
    primary = _machine(view, found)
    _name(view, primary, found)
    if view.description:
        _description(view.description, found)
    if view.prompt:
        _prompt(view.prompt, primary, found)
    else:
        found.append("p:none")
    if (view.method or view.url or primary == "http") and primary not in PASSIVE:
        _http(view, found)
    if view.code:
        _code(view.code, primary, found)
    if view.sql and (statement := _SQL.match(view.sql)):
        _sql(view.sql, statement[1].lower(), found)
    _parameters(view, primary, found)
    if primary == "bare":
        _bare(view, found)
    return list(dict.fromkeys(found))


def _bare(view: StepView, found: list[str]) -> None:
    """Where no machinery is named, words alone decide; they are weighed by themselves then."""
    for text, where in ((view.name, "n"), (view.prompt, "p")):
        _, said = lemmas_of(text[:120])
        found += [f"{where}2:{one}_{two}" for one, two in zip(said, said[1:], strict=False)]
        if said:
            found.append(f"{where}f:{said[0]}")
    found[:] = [BARE + name for name in found]


# --- type, app, operation ----------------------------------------------------------------------------------


def _machine(view: StepView, found: list[str]) -> str:
    """Features of type, app and operation; answers what kind of machinery it is."""
    plain = view.kind.lower().replace("_", " ") in PLAIN
    kind = None if plain else machinery(view.kind)
    app = machinery(view.plugin) if view.plugin else None
    action = machinery(view.action) if view.action else None
    for where, machine in (("k", kind), ("k" if plain else "l", app), ("a", action)):
        if machine:
            found += machine.features[where]
    web = any(machine is not None and "http" in machine.exact for machine in (kind, app))
    parts = [machine for machine in ((action, app) if plain else (kind, action, app)) if machine]
    primary = _primary(parts)
    apps = [name for machine in (app, kind) if machine for name in machine.apps]
    if not parts:
        primary = "bare"
    elif not primary or (plain and primary == "http" and not web):
        primary = "app" if plain or apps else "other"
    found.append(f"m:{primary}")
    found += [f"c:{name}" for name in apps]
    # With HTTP, the method says what "request" leaves open.
    verbs = (action.verb if action else "", app.sure_verb if app else "", kind.verb if kind else "")
    verb = "" if web and view.method else next(filter(None, verbs), "")
    _operation(verb, primary, apps, found)
    if parts and not action:
        found.append("a:none")
        if verb:
            found.append("o=app")
    if view.routes:
        found.append("routes")
    return primary


def _primary(parts: list[Machinery]) -> str:
    for machine in parts:
        if machine.primary_exact:
            return machine.primary_exact
    pool = {concept for machine in parts for concept in machine.concepts}
    return next((concept for concept in PRIMARY if concept in pool), "")


def _operation(verb: str, primary: str, apps: list[str], found: list[str]) -> None:
    if not verb:
        if primary != "bare":
            found.append("o:none")
        if primary == "app":
            found += [f"cd:{name}" for name in apps] or ["cd:none"]
        return
    group = groups()[verb]
    found += [f"o:{group}", f"ow:{verb}", f"mo:{primary}:{group}"]
    found += [f"co:{name}:{group}" for name in apps]


# --- name and description ----------------------------------------------------------------------------------


@cache
def _ideographs() -> re.Pattern[str]:
    return re.compile("|".join(sorted(map(re.escape, IDEOGRAPHIC), key=len, reverse=True)))


def lemmas_of(text: str) -> tuple[list[str], list[str]]:
    """The words of *text* as they are, and with verbs of any known language as English lemmas."""
    raw = words(text)
    known = lemmas()
    said = [known.get(word, word) for word in raw]
    if _IDEOGRAPH.search(text):
        parts = [IDEOGRAPHIC[part] for part in _ideographs().findall(text)]
        said = [word for word in said if word.isascii()] + parts
        raw = said
    return raw, said


def head(raw: list[str], said: list[str]) -> str:
    """The lemma of what a name says is done: "Email Classifier" and "Classify the email" both say classify."""
    known = groups()
    end = len(said)
    while end > 1 and said[end - 1] in TAILS:
        end -= 1
    leads = bool(said) and said[0] in known and raw[0] not in NOUN_VERBS and raw[0] not in NOUNS
    if 0 < end <= 5 and raw[end - 1] in NOUNS and not leads:
        return said[end - 1]
    verbs = [place for place, word in enumerate(said) if word in known]
    if not verbs:
        return ""
    first = verbs[0]
    if raw[first] in NOUN_VERBS and len(verbs) > 1 and verbs[1] == first + 1:
        other = raw[verbs[1]]
        if other not in NOUN_VERBS and other not in NOUNS:
            return said[verbs[1]]
    return said[first]


def _name(view: StepView, primary: str, found: list[str]) -> None:
    raw, said = lemmas_of(view.name)
    known = groups()
    lead = head(raw, said)
    if lead in known:
        group = known[lead]
        verbs = [known[word] for word in said if word in known]
        found += [f"n1:{group}", f"m+n1:{primary}:{group}", f"nh:{lead}"]
        if said[0] == lead:
            found.append(f"n0:{group}")
        if len(verbs) > 1:
            found.append(f"n1+:{group}:{next((verb for verb in verbs if verb != group), group)}")
        found += [f"nx:{verb}" for verb in verbs]
    else:
        found += ["n1:none", f"m+n1:{primary}:none"]
    if view.name.rstrip().endswith(("?", "？")) or (said and said[0] in QUESTIONS):
        found += ["nq", f"m+nq:{primary}"]
    if raw:
        found.append(f"nf:{raw[0]}")
    found += [f"nt:{word}" for word in said if not word.isdigit()]
    if len(said) <= 6:  # noqa: PLR2004  # longer names are sentences, where a type's name means nothing
        found += machinery(view.name).features["nc"]
    same = {*machinery(view.plugin).words, *machinery(view.kind).words, "node", "step"}
    if all(word.strip("0123456789") in same or word.isdigit() for word in raw):
        found.append("n=machine")


def _description(text: str, found: list[str]) -> None:
    _, said = lemmas_of(text[:300])
    known = groups()
    if said and said[0] in known:
        found.append(f"d0:{known[said[0]]}")
    if verb := next((word for word in said if word in known), ""):
        found.append(f"d1:{known[verb]}")
    found += [f"dt:{word}" for word in said[:30] if not word.isdigit()]


# --- prompt ------------------------------------------------------------------------------------------------


def _prompt(prompt: str, primary: str, found: list[str]) -> None:
    text = prompt[:900]
    if "{" in text or "<" in text or "http" in text:
        text = _TEMPLATE.sub(" ", text)
    low = text[:800].lower()
    known, forms = groups(), lemmas()
    foreign = not low.isascii() and _IDEOGRAPH.search(low) is not None
    imperatives: list[str] = []
    role = ""
    for sentence in _SENTENCE.split(low, 30):
        said = [forms.get(word, word) for word in _TOKEN.findall(sentence[:120])]
        if foreign and (parts := _ideographs().findall(sentence[:60])):
            said = [word for word in said if word.isascii()] + [IDEOGRAPHIC[part] for part in parts]
        if not role and "you" in said[:2] and "are" in said[:3]:
            role = next((known[word] for word in reversed(said[3:14]) if word in known), "")
            found += [f"rt:{word}" for word in said[3:14]]
        place = next((index for index, word in enumerate(said[:11]) if word not in FILLERS), 0)
        if said and said[place] in known:
            if not imperatives:
                result = next(
                    (known[word] for word in said[place + 1 : place + 9] if known.get(word) in RESULTS), "none"
                )
                found.append(f"po:{known[said[place]]}:{result}")
            imperatives.append(said[place])
            if len(imperatives) > 3:  # noqa: PLR2004  # what matters stands first
                break
    found.append("p:some")
    _instructions(imperatives, role, primary, found)
    places = [(match.start(), match[0]) for match in _TOKEN.finditer(low)]
    cues = prompt_cues(low, places)
    if foreign:
        cues.update(found_in(low, IDEOGRAPHIC_CUES))
    found += [f"q:{cue}" for cue in sorted(cues)]
    found += [f"pt:{forms.get(word, word)}" for place, word in places[:70] if not word.isdigit()]


def _instructions(imperatives: list[str], role: str, primary: str, found: list[str]) -> None:
    known = groups()
    if imperatives:
        first = known[imperatives[0]]
        found += [f"p1:{first}", f"m+p1:{primary}:{first}", f"pw:{imperatives[0]}"]
        found += [f"pi:{known[verb]}" for verb in imperatives]
    else:
        found.append("p1:none")
    if role:
        found.append(f"pr:{role}")


# --- parameters --------------------------------------------------------------------------------------------


def _http(view: StepView, found: list[str]) -> None:
    method = view.method or ("POST" if any("body" in key.lower() for key in view.params) else "GET")
    said = found_in(view.url, URL_CUES)
    found.append(f"h:{method}")
    found += [f"u:{cue}" for cue in said]
    found += [f"h+{cue}:{method}" for cue in said]


def _sql(text: str, verb: str, found: list[str]) -> None:
    deed = _SQL_DEEDS.get(verb, "manage")
    if deed == "read" and "group by" in text.lower():
        deed = "group"
    # What the statement does outweighs that the operation is called a query.
    found[:] = [name for name in found if name.partition(":")[0] not in ("o", "ow", "co", "mo", "a", "ae")]
    found += [f"s:{deed}", f"o:{'write' if deed == 'write' else 'read'}"]


def _code(code: str, primary: str, found: list[str]) -> None:
    cues = found_in(code[:1200], CODE_CUES)
    if len(code) < 120:  # noqa: PLR2004  # about three lines
        cues.append("short")
    if code.lstrip().startswith("return"):
        cues.append("constant")
    if "filter" in cues and _RETURNS_FILTERED.search(code):
        cues.append("returns-filtered")
    found += [f"x:{cue}" for cue in cues]
    if primary in ("shell", "runjob"):
        found += [f"xs:{cue}" for cue in cues]


def _parameters(view: StepView, primary: str, found: list[str]) -> None:
    keyed: list[str] = []
    for key, value in view.params.items():
        found.append(f"y:{key}")
        if group := KEY_GROUP.get(key.lower()):
            keyed.append(group)
        if type(value) is str and 0 < len(value) < 32 and value.replace("_", "").replace("-", "").isalnum():  # noqa: PLR2004
            machine = machinery(value)
            found += [f"z:{word}" for word in machine.words]
            if machine.verb and key in CHOICES:
                group = groups()[machine.verb]
                found += [f"o2:{group}", f"m+o2:{primary}:{group}"]
    found += [f"yk:{group}" for group in keyed]
    if primary in ("app", "llm", "code", "set"):
        found += [f"m+yk:{primary}:{group}" for group in keyed]
        if primary == "app" and "o:none" in found:
            found += [f"cd+yk:{group}" for group in keyed]
    if not view.params and not view.prompt:
        found.append("y=none")
