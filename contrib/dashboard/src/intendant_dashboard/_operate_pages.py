"""Pages on which operators decide and steer: decisions, alerts, settings, flags, plugins, agents."""

import json
from typing import Any

from starlette.responses import Response

from intendant import IntendantError
from intendant_dashboard._desk import Ask, page

MOST_MEMORIES = 200
MOST_ASKED = 40
"""Questions that a page shows, the oldest."""
DOUBT = {
    "settle": "It was charged: its provider's record says with what.",
    "retry": "It stays charged in full, and is made again.",
    "drop": "It never reached its provider: nothing was charged, and it is made again.",
}


@page("/decisions")
async def decisions(ask: Ask) -> Response:
    """What people are asked, and calls in doubt."""
    run = ask.some("run")
    rows = await ask.service.operations.approvals(run)
    asked = [_asked(row) for row in rows[:MOST_ASKED]]
    more = len(rows) - len(asked)
    doubts = await ask.service.operations.doubts()
    return ask.page(
        "decisions.html",
        "Decisions",
        asked=asked,
        more=more,
        doubts=doubts[:MOST_ASKED],
        done=ask.text("done"),
        meaning=DOUBT,
    )


def _asked(row: Any) -> dict[str, Any]:
    shown = json.loads(row.shown)
    return {**row._asdict(), "shown": shown, "cost": shown.pop("cost", {}), "by": json.loads(row.deciders)}


@page("/alerts")
async def alerts(ask: Ask) -> Response:
    """How each rule stands."""
    rules = await ask.service.operations.rules()
    return ask.page("alerts.html", "Alerts", rules=rules, least=ask.service.settings.alerts.least)


@page("/settings")
async def settings(ask: Ask) -> Response:
    """Every key, its value, and where that came from."""
    word, group, which = ask.text("q").lower(), ask.text("group"), ask.one_of("which", "", "changed", "live")
    keys = await ask.service.operations.settings()
    groups = list(dict.fromkeys(key.group for key in keys))
    shown = [
        key
        for key in keys
        if (not word or word in f"{key.key} {key.meaning} {' '.join(key.aliases)}".lower())
        and (not group or key.group == group)
        and (which != "changed" or key.value != key.default)
        and (which != "live" or key.live)
    ]
    return ask.page(
        "settings.html",
        "Settings",
        keys=shown,
        all_keys=len(keys),
        groups=[("", "all"), *((each, each) for each in groups)],
        group=group,
        which=which,
        q=ask.text("q"),
        version=ask.service.settings.version,
    )


@page("/setting")
async def setting(ask: Ask) -> Response:
    """One key: what each layer says of it, and a form to change it."""
    state, layers = await ask.service.operations.setting(ask.text("key"))
    history = [one for one in await ask.service.operations.history(200) if one.key == state.key]
    return ask.page(
        "setting.html",
        state.key,
        state=state,
        layers=layers,
        stored=any(one.source.startswith("the database") for one in layers),
        history=history[:20],
        choices=choices_of(state),
        text=state.value if isinstance(state.value, str) else json.dumps(state.value, ensure_ascii=False),
        version=ask.service.settings.version,
        done=ask.text("done"),
    )


def choices_of(state: Any) -> list[tuple[str, str]]:
    """What a key can be, where that is a short list."""
    schema = dict(state.schema)
    if schema.get("type") == "boolean":
        return [("true", "true"), ("false", "false")]
    return [(str(each), str(each)) for each in schema.get("enum", ())]


@page("/settings/history")
async def history(ask: Ask) -> Response:
    """What was changed, by whom, and when."""
    rows = await ask.service.operations.history(200)
    versions: dict[int, list[Any]] = {}
    for row in rows:
        versions.setdefault(row.version, []).append(row)
    return ask.page(
        "settings_history.html", "Changes of settings", versions=versions, now=ask.service.settings.version
    )


@page("/flags")
async def flags(ask: Ask) -> Response:
    """Which decisions are on, for whom, and what guards have counted."""
    operations, agent = ask.service.operations, ask.text("agent")
    keys = [key for key in await operations.settings() if key.key.startswith("flags.")]
    tallies = await operations.rollouts()
    on = await operations.flags(agent) if agent else {}
    rows = []
    for key in keys:
        name = key.key.partition(".")[2]
        rollout, tally = tallies.get(name, (None, None))
        value = key.value
        stands = ("on" if value else "off") if isinstance(value, bool) else "rollout"
        rows.append(
            {
                "name": name,
                "key": key,
                "stands": stands,
                "percent": value.get("percent") if isinstance(value, dict) else None,
                "by": value.get("by") if isinstance(value, dict) else None,
                "rollout": rollout,
                "tally": tally,
                "on": on.get(name),
            }
        )
    return ask.page("flags.html", "Flags", rows=rows, agent=agent, done=ask.text("done"))


@page("/plugins")
async def plugins(ask: Ask) -> Response:
    """Which plugins there are, and what became of each."""
    kind, state = ask.text("kind"), ask.text("state")
    records = ask.service.operations.plugins()
    kinds, states = sorted({one.kind for one in records}), sorted({one.state.value for one in records})
    shown = [one for one in records if (not kind or one.kind == kind) and (not state or one.state.value == state)]
    return ask.page(
        "plugins.html",
        "Plugins",
        records=sorted(shown, key=lambda one: (one.kind, one.name)),
        kinds=[("", "all"), *((each, each) for each in kinds)],
        states=[("", "all"), *((each, each) for each in states)],
        kind=kind,
        state=state,
    )


@page("/agents")
async def agents(ask: Ask) -> Response:
    """The agents, with their scores."""
    rows = await ask.service.operations.agents()
    listed = [{**row._asdict(), "scores": json.loads(row.scores) if row.scores else {}} for row in rows]
    return ask.page("agents.html", "Agents", rows=listed[:500], more=max(0, len(listed) - 500))


@page("/agent")
async def agent(ask: Ask) -> Response:
    """One agent: its scores, its runs, and what it remembers."""
    name, kind = ask.text("name"), ask.one_of("kind", "", "profile", "run", "note", "pattern")
    row = next((each for each in await ask.service.operations.agents() if each.name == name), None)
    if row is None:
        raise IntendantError(f"nothing is known of an agent '{name}'")
    memories = []
    if name != "default":
        memories = await ask.service.memory(name).entries((kind,) if kind else (), MOST_MEMORIES)
    return ask.page(
        "agent.html",
        name,
        row=row,
        scores=json.loads(row.scores) if row.scores else {},
        memories=memories,
        kind=kind,
        rows=await ask.service.operations.runs(10, agent=name),
    )
