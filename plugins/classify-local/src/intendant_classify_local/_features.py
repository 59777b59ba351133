"""What a step says, as the names of features; the model knows the weight of each for each intent.

A name starts with where the feature was seen: `k`, `l`, `a` type, app, operation; `o` its verb; `n` name; `d`
description; `p`, `q` prompt; `h`, `u` HTTP; `s` SQL; `x` code; `y`, `z` parameters. Ends in `t`: a bare word.
"""

from itertools import pairwise

from intendant_classify_local._content import (
    code_features,
    http_features,
    output_features,
    parameter_features,
    prompt_features,
    sql_features,
)
from intendant_classify_local._language import head, lemmas_of
from intendant_classify_local._lexicon import lexicon
from intendant_classify_local._machinery import PRIMARY, Machinery, machinery
from intendant_classify_local._ngrams import ngrams
from intendant_classify_local._view import StepView

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
PASSIVE = frozenset(("trigger", "wait", "note", "loop", "noop", "subnode"))
BARE = "b|"
"""Marks the features of steps that name no machinery."""
NAMELESS = frozenset(("ke:branch", "ke:wait", "ke:trigger"))
"""What is a branch or waits is so whatever its name says that it decides or waits for."""
_LONGEST_NAME = 6
"""Longer names are sentences, where the name of a kind of machinery means nothing."""


def features(view: StepView) -> list[str]:
    """The names of what *view* shows in both views: its structure, then its n-grams."""
    found = structure(view)
    more = ngrams(view)
    if not NAMELESS.isdisjoint(found):
        more = [name for name in more if not name.startswith("gn")]
    return found + more


def structure(view: StepView) -> list[str]:
    """The names of what *view* shows by tables of what words mean, each once."""
    found: list[str] = []
    primary = _machine(view, found)
    if NAMELESS.isdisjoint(found):
        _name(view, primary, found)
    if view.description:
        _description(view.description, found)
    if view.prompt:
        prompt_features(view.prompt, primary, found)
    else:
        found.append("p:none")
    if (view.method or view.url or primary == "http") and primary not in PASSIVE:
        http_features(view, found)
    if view.code:
        code_features(view.code, primary, found)
    if view.sql:
        sql_features(view.sql, found)
    parameter_features(view, primary, found)
    if view.callee:
        _callee(view.callee, primary, found)
    if view.output:
        output_features(view.output, found)
    if primary == "bare":
        _bare(view, found)
    return list(dict.fromkeys(found))


def is_plain(kind: str) -> bool:
    """Whether a type says nothing, so that the app and its operation speak instead."""
    return kind.lower().replace("_", " ") in PLAIN


def _bare(view: StepView, found: list[str]) -> None:
    """Where no machinery is named, words alone decide; they are weighed by themselves then."""
    for text, where in ((view.name, "n"), (view.prompt, "p")):
        _, said = lemmas_of(text[:120])
        found += [f"{where}2:{one}_{two}" for one, two in pairwise(said)]
        if said:
            found.append(f"{where}f:{said[0]}")
    found[:] = [BARE + name for name in found]


def _machine(view: StepView, found: list[str]) -> str:
    """Features of type, app and operation; answers what kind of machinery it is."""
    plain = is_plain(view.kind)
    kind = None if plain else machinery(view.kind)
    app = machinery(view.plugin) if view.plugin else None
    action = machinery(view.action) if view.action else None
    for where, machine in (("k", kind), ("k" if plain else "l", app), ("a", action)):
        if machine:
            found += machine.features[where]
    web = any(machine is not None and "http" in machine.exact for machine in (kind, app))
    parts = [machine for machine in ((action, app) if plain else (kind, action, app)) if machine]
    apps = [name for machine in (app, kind) if machine for name in machine.apps]
    primary = _primary(parts)
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
        found += ["a:none", "o=app"] if verb else ["a:none"]
    return primary


def _primary(parts: list[Machinery]) -> str:
    for machine in parts:
        if machine.primary:
            return machine.primary
    pool = {concept for machine in parts for concept in machine.concepts}
    return next((concept for concept in PRIMARY if concept in pool), "")


def _operation(verb: str, primary: str, apps: list[str], found: list[str]) -> None:
    if verb:
        group = lexicon().groups[verb]
        found += [f"o:{group}", f"ow:{verb}", f"mo:{primary}:{group}"]
        found += [f"co:{name}:{group}" for name in apps]
    elif primary != "bare":
        found.append("o:none")
        if primary == "app":
            found += [f"cd:{name}" for name in apps] or ["cd:none"]


def _name(view: StepView, primary: str, found: list[str]) -> None:
    raw, said = lemmas_of(view.name)
    known = lexicon().groups
    lead = head(raw, said)
    if lead not in known and view.callee:
        lead = head(*lemmas_of(view.callee))
    if lead in known:
        group = known[lead]
        verbs = [known[word] for word in said if word in known]
        found += [f"n1:{group}", f"m+n1:{primary}:{group}", f"nh:{lead}"]
        if said and said[0] == lead:
            found.append(f"n0:{group}")
        if len(verbs) > 1:
            found.append(f"n1+:{group}:{next((verb for verb in verbs if verb != group), group)}")
        found += [f"nx:{verb}" for verb in verbs]
    else:
        found += ["n1:none", f"m+n1:{primary}:none"]
    _objects(lead, raw, said, found)
    if view.name.rstrip().endswith(("?", "\uff1f")) or (said and said[0] in lexicon().questions):
        found += ["nq", f"m+nq:{primary}"]
    if raw:
        found.append(f"nf:{raw[0]}")
    found += [f"nt:{word}" for word in said if not word.isdigit()]
    if len(said) <= _LONGEST_NAME:
        found += machinery(view.name).features["nc"]
    same = {*machinery(view.plugin).words, *machinery(view.kind).words, "node", "step"}
    if all(word.strip("0123456789") in same or word.isdigit() for word in raw):
        found.append("n=machine")


def _objects(lead: str, raw: list[str], said: list[str], found: list[str]) -> None:
    """With what a name's verb does something, and whether it is taken from there or brought there."""
    table = lexicon()
    group = table.groups.get(lead, "none")
    things = [table.objects[word] for word in raw if word in table.objects]
    if things:
        found += [f"no:{group}:{things[-1]}", f"nb:{things[-1]}"]
    for way in ("to", "into", "from"):
        if way in said:
            found.append(f"nd:{group}:{'from' if way == 'from' else 'to'}")


def _callee(text: str, primary: str, found: list[str]) -> None:
    """What the function, script or job that is run is called."""
    raw, said = lemmas_of(text)
    known = lexicon().groups
    found += [f"f:{known[word]}" for word in said if word in known]
    if (lead := head(raw, said)) in known:
        found += [f"f1:{known[lead]}", f"m+f1:{primary}:{known[lead]}"]


def _description(text: str, found: list[str]) -> None:
    _, said = lemmas_of(text[:300])
    known = lexicon().groups
    if said and said[0] in known:
        found.append(f"d0:{known[said[0]]}")
    if verb := next((word for word in said if word in known), ""):
        found.append(f"d1:{known[verb]}")
    objects = lexicon().objects
    if thing := next((word for word in said[:12] if word in objects), ""):
        found.append(f"do:{objects[thing]}")
    found += [f"dt:{word}" for word in said[:30] if not word.isdigit()]
