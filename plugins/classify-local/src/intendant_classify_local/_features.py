"""What a step says, as the names of features; the model knows a weight of each for each intent."""

import re
from functools import cache

from intendant_classify_local._machinery import Machinery, machinery
from intendant_classify_local._view import StepView, words
from intendant_classify_local._words import IDEOGRAPHIC, NOUN_VERBS, NOUNS, groups, lemmas

PLAIN = frozenset(
    {
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
    }
)
"""Types that say nothing: the app and its operation speak instead."""

FILLERS = frozenset(
    "please now then your task job goal role mission objective is to you must should will need can first next i want "
    "help me the a an kindly just carefully also and instructions instruction step 1 2 3 4 5 let s us here are "
    "would like of tasked with responsible for specializing specialized in expert at that purpose main primary".split()
)

CODE_CUES: dict[str, str] = {
    "filter": r"\.filter\(|\bfilter(?:ed)?\b|for \w+ in \w+ if |drop_duplicates|dropna|\breturn null|return None",
    "dedupe": r"\bdedup|unique|new Set\(|set\(\)|duplicate|\bseen\b",
    "top": r"\.slice\(0|\[:\d+\]|head\(",
    "reduce": r"\.reduce\(|groupby|group_by|grouped|\+=|Counter\(|sum\(|\bcount\b|total",
    "push": r"\.push\(|\.append\(|extend\(",
    "throw": r"throw new|raise \w+|assert |errors\.(?:push|append)|node\.error",
    "valid": r"isValid|is_valid|\bvalid\b|\bmissing|\brequired\b|isNaN|\berrors\b",
    "fetch": r"fetch\(|axios|requests\.|urllib|httpRequest|open\(|read_csv|\bcurl\b|wget|\bSELECT\b",
    "regex": r"\.match\(|re\.(?:search|find|match)|RegExp|querySelector|BeautifulSoup|matchAll|\.exec\(|cheerio",
    "json": r"JSON\.parse|json\.loads",
    "dump": r"JSON\.stringify|json\.dumps|Buffer\.from|base64|toString\(|encode\(",
    "map": r"\.map\(|for \(|for .* in ",
    "replace": r"\.replace\(|\.split\(|\.join\(|\.trim\(|re\.sub|toLowerCase|toUpperCase|strftime",
    "sort": r"\.sort\(|sorted\(|order by",
    "date": r"new Date|datetime|DateTime|moment\(|\.now\(",
    "math": r"Math\.|numpy|round\(|parseFloat|Number\(",
    "constant": r"\A\s*(?://.*\s*)*return (?:\[|\{)",
    "test": r"pytest|unittest|npm (?:run )?test|go test|eslint|\blint|flake8|ruff|mypy|tsc\b|\btests?\b|cargo test|mvn",
    "install": r"pip install|npm (?:ci|install)|apt-get|yarn install|brew |setup\b|chmod|mkdir|poetry install|export ",
    "build": r"npm run build|make |docker build|mvn|gradle|cargo build|go build|webpack|compile",
    "publish": r"git push|docker push|npm publish|aws s3 (?:cp|sync)|kubectl apply|rsync|scp |deploy|twine upload|upload",
    "send": r"sendmail|smtplib|send_message|postMessage|sendEmail|webhook|requests\.post|-X POST|\.post\(",
    "write": r"\.to_csv|writeFile|write\(|insert into|INSERT|\.save\(|to_sql|put_object|commit\(",
    "llm": r"openai|anthropic|ChatCompletion|chat\.completions|llm\.|generate_content|prompt",
    "merge": r"merge|\.concat\(|Object\.assign|\.\.\.\w+\.|join\(|combine",
    "print": r"\becho\b|console\.log|print\(",
    "short": r"\A[\s\S]{0,120}\Z",
    "wait": r"sleep|setTimeout|delay",
    "defined": r"\bdef |function |=>",
    "score": r"score|rank|label|category|classif|sentiment",
}

PROMPT_CUES: dict[str, tuple[str, ...]] = {
    "summary": ("summar", "key points", "main points", "tl;dr", "concise overview", "condense", "digest", "bullet points of", "总结", "摘要", "概括", "归纳", "resum", "zusammenfass", "résum", "要約", "кратк", "key takeaways", "minutes"),
    "report": ("report", "analyz", "analys", "insight", "findings", "trend", "分析", "报告"),
    "label": ("classif", "categor", "sentiment", "one of the following", "label", "positive, neg", "tag ", "tags", "分类", "类别", "priority", "urgency"),
    "yesno": ("yes or no", "\"yes\"", "yes/no", "true or false", "true/false", "\"true\"", "'yes'", "only true", "only yes", "answer yes"),
    "score": ("score", "rate ", "rating", "rubric", "scale of", "0-100", "1-10", "1 to 10", "0 to 100", "评分", "打分"),
    "validate": ("validate", "verify", "whether the", "fact-check", "check if", "check whether", "check that", "criteria", "compliance", "meets", "violat", "审核", "检查", "校对", "critic", "evaluate", "assess", "guidelines", "moderat", "hallucinat", "qualif"),
    "extract": ("extract", "pull out", "identify the", "parse the", "the following fields", "the following information", "provided data", "提取", "抽取", "extra", "ocr", "transcribe", "describe the image", "what's in this image", "entities", "key information"),
    "translate": ("translat", "翻译", "traduc", "traduz", "übersetz", "перевед", "翻訳", "tradui"),
    "rewrite": ("rewrite", "rephrase", "reformat", "paraphras", "convert the", "convert this", "transform", "proofread", "correct the", "改写", "润色", "into html", "into markdown", "into json", "to html", "format the", "clean up", "shorten"),
    "write": ("write a", "write an", "write the", "create a", "create an", "generate", "draft", "compose", "craft", "blog", "article", "caption", "story", "tweet", "post for", "script", "生成", "撰写", "写一", "创作", "escrib", "schreib", "rédig", "напиш"),
    "assistant": ("you are a helpful", "helpful assistant", "ai assistant", "assistant", "chatbot", "customer support", "support agent", "answer the user", "user's question", "user question", "answer question", "respond to the", "reply to", "friendly", "customer service", "{{ $json.chatinput", "助手", "客服", "回答", "asistente", "assistente", "assistent"),
    "context": ("context", "knowledge base", "retrieved", "documents", "if you don't know"),
    "tools": ("tool", "api ", "use the ", "mcp", "function call"),
    "select": ("select the", "choose the", "pick the", "most relevant", "top 3", "top 5", "top five", "filter", "only relevant", "relevant ones", "best one", "筛选", "shortlist", "rank the"),
    "route": ("route", "decide which", "next step", "which agent", "which branch", "intent"),
    "research": ("research", "search the web", "find the", "find information", "look up", "latest", "google", "搜索", "scrape", "retrieve", "gather", "query"),
    "plan": ("plan", "suggest", "recommend", "ideas", "brainstorm", "strategy", "outline", "prompt for", "建议", "步骤"),
    "image": ("image of", "an image", "photo", "illustration", "picture", "cinematic", "style,", "4k", "photorealistic"),
    "send": ("send ", "schedule", "book ", "create event", "post it", "update the", "save ", "add to"),
    "merge": ("merge", "combine", "consolidat", "aggregate", "合并", "整合", "unify"),
    "json": ("json",),
    "enrich": ("enrich", "add the following", "assign", "for each", "predict", "estimate", "determine", "match the", "keywords"),
}  # fmt: skip

URL_CUES: dict[str, str] = {
    "llm": r"openai\.com|anthropic|generativelanguage|ollama|:11434|mistral\.ai|groq|completions|/generate|huggingface|"
    r"replicate|openrouter|cohere|deepseek|dalle|/images?/gen|text-to-|elevenlabs|stability|/chat\b|fal\.|heygen|/predict|kling|suno|piapi",
    "search": r"search|query|graphql|/find|/lookup|/list|/filter|scrape|extract|crawl|/rpc|/sql|serp|brightdata|firecrawl|apify|jina|tavily|retrieve|transcri|audio/|export|dataset|report",
    "enrich": r"enrich|clearbit|apollo\.io|hunter\.io|dropcontact|ipinfo|ip-api|geocod|virustotal|abuseipdb|shodan|"
    r"whois|lookup|people/|bulk_match|geoip|ipquality|proxycurl|/company|genderize|snov|threat|reputation|urlscan|person",
    "validate": r"valid|verif|check|/lint|moderation|/test|/status|/health",
    "send": r"hooks\.|webhook|/messages?|send|/notify|slack\.com|discord|telegram|/bot|sms|mail|/publish|/post|/upload|pushover|/upsert|/points|/create|/update|/import|/delete|/pages|/rows|graph\.facebook|/media|/records|/issues|/items|/folders|/users",
    "read": r"/get|/export|/download|\.json|\.csv|\.pdf|\.xml|rss|feed|/v\d+/\w+/?$|sitemap|raw\.|\.md",
}

_TEMPLATE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\$\{.*?\}|<number>|<uuid>|https?://\S+")
_SENTENCE = re.compile(r"[.!?\n:;=。！？：；\\]+|\s[-*•]\s")
_SQL = re.compile(
    r"\s*(select|with|insert|update|delete|merge|create|drop|alter|truncate|show|call|upsert|match|copy|vacuum|explain|exec)\b",
    re.I,
)
TAILS = frozenset(
    "chain agent node llm tool ai step bot model gpt task job 1 2 3 4 5 a b openai the for with flow workflow block using basic".split()
)
"""Words at a name's end that are not its head."""

KEYS: dict[str, str] = {
    "message": "text message msg subject body content chatid channel channelid to toemail sendto recipient recipients receiver "
    "phone html roomid caption attachments replyto payload topic title webhookurl tonumber emailto",
    "write": "columns values fields updatefields record records data row rows sheetrow documents document additionalfields "
    "properties item key value contactid displayname labels assignee summary mappingmode jsonbody",
    "read": "query q filters filter returnall limit cityname search where maxresults pagesize topk ids collectionname "
    "keyword keywords term jql fieldstoreturn sort since until datefrom location",
    "model": "model temperature modelname maxtokens max_tokens topp systemmessage prompt messages apikey",
    "branch": "cases rules routes branches paths choices conditions expression classes categories outputs intents scenarios",
    "time": "seconds minutes hours amount duration unit interval cron crontab timeout rule",
    "loop": "items batchsize array iterator_selector iterator collection foreach startnodetype",
    "group": "groupby group_by fieldstosummarize fieldstoaggregate aggregate joinby mergebyfields combineby separator on how",
    "file": "filename filepath path file bucket bucketname folder folderid objectkey binarypropertyname",
    "template": "template format pattern replacement assignments variables outputformat",
    "schema": "schema inputschema jsonschema schematype attributes outputschema",
    "dedupe": "dedupevalue fieldstocompare unique maxitems comparefields",
}
_KEY_GROUPS = {key: group for group, keys in KEYS.items() for key in keys.split()}
_QUESTION = frozenset("is are has have does do did should can was were if whether any which what".split())
_IDEOGRAPH = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")


@cache
def _patterns() -> tuple[
    tuple[tuple[str, re.Pattern[str]], ...], tuple[tuple[str, re.Pattern[str]], ...], re.Pattern[str]
]:
    code = tuple((cue, re.compile(pattern)) for cue, pattern in CODE_CUES.items())
    url = tuple((cue, re.compile(pattern)) for cue, pattern in URL_CUES.items())
    ideographs = re.compile("|".join(sorted(map(re.escape, IDEOGRAPHIC), key=len, reverse=True)))
    return code, url, ideographs


def lemmas_of(text: str) -> list[str]:
    """The words of *text*, verbs of any known language as English lemmas."""
    known = lemmas()
    found = [known.get(word, word) for word in words(text)]
    if _IDEOGRAPH.search(text):
        found = [word for word in found if word.isascii()]
        found += [IDEOGRAPHIC[part] for part in _patterns()[2].findall(text)]
    return found


def features(view: StepView) -> list[str]:
    """The names of what *view* shows. Each name starts with where it was seen."""
    found: list[str] = []
    primary = _machine(view, found)
    _name(view, primary, found)
    if view.description:
        _text(view.description, "d", found)
    if view.prompt:
        _prompt(view.prompt, primary, found)
    _structure(view, primary, found)
    return list(dict.fromkeys(found))


PRIMARY = (
    "subnode", "trigger", "note", "wait", "loop", "startstop", "filter", "merge", "aggregate", "respond", "branch", "split",
    "template", "parsefile", "retrieve", "imageaudio", "llmsummary", "llmlabel", "validate", "enrich", "readfile",
    "writefile", "websearch", "convert", "http", "sql", "shell", "code", "set", "llm", "runjob", "sink", "noop",
)  # fmt: skip


def _primary(pool: tuple[str, ...]) -> str:
    return next((concept for concept in PRIMARY if concept in pool), "")


def _machine(view: StepView, found: list[str]) -> str:
    """Features of type, app and operation; answers what kind of machinery it is."""
    plain = view.kind.lower().replace("_", " ") in PLAIN
    kind = None if plain else machinery(view.kind)
    plugin = machinery(view.plugin) if view.plugin else None
    action = machinery(view.action) if view.action else None
    for where, machine in (("k", kind), ("k" if plain else "l", plugin), ("a", action)):
        if machine:
            found += machine.features[where]
    web = kind is not None and "http" in kind.exact or plugin is not None and "http" in plugin.exact
    verb = ""
    if not (web and view.method):
        verb = next((machine.verb for machine in (action, plugin, kind) if machine and machine.verb), "")
    group = groups().get(verb, "")
    primary = ""
    for machine in (kind, action, plugin) if not plain else (action, plugin):
        if machine and not primary:
            primary = _primary(machine.exact)
    if not primary:
        primary = _primary(
            tuple(concept for machine in (kind, plugin, action) if machine for concept in machine.concepts)
        )
    apps = tuple(app for machine in (plugin, kind) if machine for app in machine.apps)
    found += [f"c:{app}" for app in apps]
    if verb:
        found += [f"o:{group}", f"ow:{verb}"]
        found += [f"co:{app}:{group}" for app in apps]
        if not action:
            found.append("o=app")
    else:
        found.append("o:none")
    if not primary or (plain and primary == "http" and not web):
        primary = "app" if plain or apps else "other"
    found.append(f"m:{primary}")
    if group:
        found.append(f"mo:{primary}:{group}")
    return primary


def head(said: list[str], raw: list[str]) -> str:
    """The lemma of what a name says is done: "Email Classifier" and "Classify the email" both say classify."""
    known = groups()
    end = len(said)
    while end > 1 and said[end - 1] in TAILS:
        end -= 1
    if end and (raw[end - 1] in NOUNS if end <= len(raw) else False) and end <= 5 and said[0] not in ("to", "for"):
        first = said[0] in known and raw[0] not in NOUN_VERBS and raw[0] not in NOUNS
        if not first:
            return said[end - 1]
    verbs = [(place, word) for place, word in enumerate(said) if word in known]
    if not verbs:
        return ""
    place, word = verbs[0]
    if place < len(raw) and raw[place] in NOUN_VERBS and len(verbs) > 1 and place + 1 < len(raw):
        other, verb = verbs[1]
        if other < len(raw) and raw[other] not in NOUN_VERBS and raw[other] not in NOUNS and other == place + 1:
            return verb
    return word


def _name(view: StepView, primary: str, found: list[str]) -> None:
    raw = words(view.name)
    forms = lemmas()
    said = [forms.get(word, word) for word in raw]
    if _IDEOGRAPH.search(view.name):
        said = [word for word in said if word.isascii()]
        raw = list(said)
        parts = [IDEOGRAPHIC[part] for part in _patterns()[2].findall(view.name)]
        said += parts
        raw += parts
    known = groups()
    verbs = [word for word in said if word in known]
    lead = head(said, raw)
    if lead in known:
        group = known[lead]
        found += [f"n1:{group}", f"m+n1:{primary}:{group}", f"nh:{lead}"]
        if said[0] == lead:
            found.append(f"n0:{group}")
        if len(verbs) > 1:
            rest = next((known[verb] for verb in verbs if verb != lead), group)
            found.append(f"n1+:{group}:{rest}")
        found += [f"nx:{known[verb]}" for verb in verbs]
    else:
        found += ["n1:none", f"m+n1:{primary}:none"]
    if view.name.rstrip().endswith(("?", "？")) or (said and said[0] in _QUESTION):
        found += ["nq", f"m+nq:{primary}"]
    if raw:
        found.append(f"nf:{raw[0]}")
    found += [f"nt:{word}" for word in said if not word.isdigit()]
    if len(said) <= 6:
        found += machinery(view.name).features["nc"]
    same = {*machinery(view.plugin).words, *machinery(view.kind).words, "node", "step"}
    if all(word.strip("0123456789") in same or word.isdigit() for word in raw):
        found.append("n=machine")


def _text(text: str, where: str, found: list[str]) -> None:
    said = lemmas_of(text[:300])
    known = groups()
    verbs = [word for word in said if word in known]
    if said and said[0] in known:
        found.append(f"{where}0:{known[said[0]]}")
    if verbs:
        found.append(f"{where}1:{known[verbs[0]]}")
    found += [f"{where}t:{word}" for word in said[:30] if not word.isdigit()]


_MAKERS = frozenset(("generate", "create", "send", "write", "read", "transform", "extract"))
_RESULTS = frozenset(
    ("summarize", "analyze", "enrich", "transform", "extract", "validate", "aggregate", "filter", "generate")
)


def _prompt(prompt: str, primary: str, found: list[str]) -> None:
    text = _TEMPLATE.sub(" ", prompt[:1200])
    low = text[:900].lower()
    known = groups()
    imperatives: list[str] = []
    role = ""
    for sentence in _SENTENCE.split(text)[:40]:
        said = lemmas_of(sentence[:160])
        if not role and "you" in said[:2] and "are" in said[:3]:
            role = next((known[word] for word in reversed(said[3:14]) if word in known), "")
            found += [f"rt:{word}" for word in said[3:14]]
        place = next((index for index, word in enumerate(said[:11]) if word not in FILLERS), 0)
        if said and said[place] in known:
            imperatives.append(said[place])
            if len(imperatives) == 1:
                group = known[said[place]]
                result = next(
                    (known[word] for word in said[place + 1 : place + 9] if known.get(word) in _RESULTS), "none"
                )
                found.append(f"po:{group}:{result}")
            if len(imperatives) >= 4:
                break
    found.append("p:some")
    if imperatives:
        found += [f"p1:{known[imperatives[0]]}", f"m+p1:{primary}:{known[imperatives[0]]}", f"pw:{imperatives[0]}"]
        found += [f"pi:{known[verb]}" for verb in imperatives]
    else:
        found.append("p1:none")
    if role:
        found.append(f"pr:{role}")
    found += [f"q:{cue}" for cue, phrases in PROMPT_CUES.items() if any(phrase in low for phrase in phrases)]
    found += [f"pt:{word}" for word in lemmas_of(low[:400]) if not word.isdigit()]


def _structure(view: StepView, primary: str, found: list[str]) -> None:
    code_cues, url_cues, _ = _patterns()
    if view.routes:
        found.append("routes")
    if (view.method or view.url or primary == "http") and primary not in _PASSIVE:
        method = view.method or ("POST" if any("body" in key.lower() for key in view.params) else "GET")
        found.append(f"h:{method}")
        said = [f"u:{cue}" for cue, pattern in url_cues if pattern.search(view.url)]
        found += said
        found += [f"h+{cue}:{method}" for cue in said]
    if view.code:
        code = view.code[:1500]
        cues = [cue for cue, pattern in code_cues if pattern.search(code)]
        found += [f"x:{cue}" for cue in cues]
        if primary in ("shell", "runjob"):
            found += [f"xs:{cue}" for cue in cues]
    if view.sql and (verb := _SQL.match(view.sql)):
        found.append(f"s:{verb[1].lower()}")
    keyed: set[str] = set()
    for key, value in view.params.items():
        found.append(f"y:{key}")
        if group := _KEY_GROUPS.get(key.lower()):
            keyed.add(group)
        if isinstance(value, str) and len(value) < 32 and value.replace("_", "").replace("-", "").isalnum() and not value.isdigit():
            found += [f"z:{word}" for word in words(value)]
            if key in _CHOICES and (verb := machinery(value).verb):
                found += [f"o2:{groups()[verb]}", f"m+o2:{primary}:{groups()[verb]}"]
    found += [f"yk:{group}" for group in keyed]
    if primary in ("app", "llm", "code", "set"):
        found += [f"m+yk:{primary}:{group}" for group in keyed]
    if not view.params and not view.prompt:
        found.append("y=none")
    if not view.prompt:
        found.append("p:none")
    if not view.action:
        found.append("a:none")
    if primary == "app" and "o:none" in found:
        apps = [name[2:] for name in found if name.startswith("c:")]
        found += [f"cd:{app}" for app in apps] or ["cd:none"]
        found += [f"cd+yk:{group}" for group in keyed]


_PASSIVE = frozenset(("trigger", "wait", "note", "loop", "noop", "subnode"))
_CHOICES = frozenset(
    ("mode", "operation", "action", "resource", "type", "op", "operationMode", "function", "aggregation")
)
