"""Turns of phrase that speak for what code, prompts and addresses are about.

All are plain substrings, because looking for those is many times faster than for patterns.
"""

from collections.abc import Iterable

CODE: dict[str, str] = {
    "filter": ".filter(¦filtered¦drop_duplicates¦dropna¦return null¦return None¦] if ¦Only ¦skip",
    "dedupe": "dedup¦unique¦Unique¦new Set(¦set()¦uplicate¦ seen",
    "top": ".slice(0¦head(¦[:5]¦[:10]¦top_",
    "reduce": ".agg(¦countDistinct¦sumBy¦mean(¦.reduce(¦roupby¦roup_by¦groupBy¦grouped¦ += ¦+=¦Counter(¦sum(¦count¦total",
    "push": ".push(¦.append(¦extend(",
    "throw": "throw new¦raise ¦assert ¦rrors.push¦rrors.append¦node.error",
    "valid": "isValid¦is_valid¦valid¦missing¦required¦isNaN¦errors",
    "fetch": "fetch(¦axios¦requests.¦urllib¦httpRequest¦open(¦read_csv¦read_excel¦httpx¦curl ¦wget¦SELECT ¦select ¦.read.",
    "regex": ".match(¦re.search¦re.find¦re.match¦RegExp¦querySelector¦BeautifulSoup¦matchAll¦.exec(¦cheerio",
    "json": "JSON.parse¦json.loads",
    "dump": "JSON.stringify¦json.dumps¦Buffer.from¦base64¦toString(¦encode(",
    "map": ".map(¦for (¦ in items¦ for ",
    "replace": ".replace(¦.split(¦.join(¦.trim(¦re.sub¦toLowerCase¦toUpperCase¦strftime¦.strip(",
    "sort": ".sort(¦sorted(¦order by",
    "date": "new Date¦datetime¦DateTime¦moment(¦.now(",
    "math": "Math.¦numpy¦round(¦parseFloat¦Number(¦.mean(",
    "test": "rspec¦jest¦phpunit¦dotnet test¦vitest¦audit¦pytest¦unittest¦npm test¦run test¦go test¦eslint¦ lint¦flake8¦ruff¦mypy¦tsc¦cargo test¦mvn¦test",
    "install": "pip install¦npm ci¦npm install¦apt-get¦yarn install¦brew ¦chmod¦mkdir¦poetry install¦export ¦bundle install",
    "build": "run build¦make ¦docker build¦mvn¦gradle¦cargo build¦go build¦webpack¦compile",
    "publish": "git push¦docker push¦npm publish¦aws s3 ¦kubectl apply¦rsync¦scp ¦deploy¦twine upload¦upload",
    "send": "sendmail¦smtplib¦send_message¦postMessage¦sendEmail¦webhook¦requests.post¦-X POST¦.post(¦method: 'POST'¦notify(",
    "write": "to_parquet¦saveAsTable¦json.dump(¦.to_csv¦writeFile¦write(¦insert into¦INSERT¦.save(¦to_sql¦put_object¦commit(¦.write.",
    "llm": "openai¦anthropic¦ChatCompletion¦completions¦llm¦generate_content¦prompt¦chain.invoke",
    "merge": "flatMap¦pd.concat¦merge¦.concat(¦Object.assign¦...¦combine",
    "print": "echo ¦console.log¦print(",
    "wait": "sleep¦setTimeout¦delay",
    "defined": "def ¦function ¦=>",
    "score": "score¦rank¦label¦category¦classif¦sentiment¦.predict(",
    "lookup": ".lookup(¦.get(item¦fromEntries¦new Map(¦enrich",
}

PROMPT: dict[str, str] = {
    "summary": "summar¦key points¦main points¦tl;dr¦concise overview¦condense¦digest¦key takeaways¦takeaway¦minutes¦"
    "abstract of¦总结¦摘要¦概括¦归纳¦纪要¦resumen¦resuma¦resumo¦resume¦zusammenfass¦fasse¦résum¦要約¦кратк¦резюме",
    "report": "report¦analyz¦analys¦insight¦findings¦trend¦分析¦报告",
    "label": "classif¦categor¦sentiment¦one of the following¦label¦positive, neg¦tags¦分类¦类别¦priority¦urgency¦"
    "情感¦clasific¦kategori¦тональность¦language is",
    "yesno": 'yes or no¦yes"¦yes/no¦true or false¦true/false¦true"¦yes\'¦only true¦only yes¦answer yes',
    "only": "return only¦only return¦answer with the¦reply with the¦only the¦answer only¦reply only¦nothing else",
    "score": "score¦rate ¦rating¦rubric¦scale of¦0-100¦1-10¦1 to 10¦0 to 100¦评分¦打分",
    "validate": "validate¦verify¦whether¦fact-check¦check if¦check that¦criteria¦complian¦meets¦violat¦审核¦检查¦校对¦"
    "critic¦evaluat¦assess¦guidelines¦moderat¦hallucinat¦qualif¦prüf¦verific¦errors",
    "extract": "extract¦pull out¦identify¦parse the¦the following fields¦the following information¦提取¦抽取¦extrae¦"
    "extraia¦ocr¦transcri¦describe the image¦in this image¦entities¦key information¦抽出",
    "translate": "translat¦翻译¦traduc¦traduz¦übersetz¦перевед¦翻訳¦tradui¦traduis",
    "rewrite": "rewrite¦rephrase¦reformat¦paraphras¦convert¦transform¦proofread¦correct the¦改写¦润色¦into html¦"
    "into markdown¦into json¦to html¦format the¦clean up¦shorten¦fix ",
    "write": "write a¦write an¦write the¦create a¦create an¦generate¦draft¦compose¦craft¦blog¦article¦caption¦story¦"
    "tweet¦script¦生成¦撰写¦写一¦创作¦escrib¦schreib¦rédig¦напиш¦redact¦作成¦crie¦formulier",
    "assistant": "helpful¦ai assistant¦assistant¦chatbot¦customer support¦support agent¦answer the user¦user's question¦"
    "user question¦answer question¦respond to¦reply to¦friendly¦customer service¦助手¦客服¦回答¦asisten¦assistent",
    "context": "context¦knowledge base¦retrieved¦documents¦if you don't know",
    "tools": "tool¦api ¦use the ¦mcp¦function call",
    "select": "select the¦choose the¦pick the¦most relevant¦top 3¦top 5¦top five¦filter¦keep only¦relevant ones¦best one¦"
    "筛选¦shortlist¦rank the¦drop ¦remove ",
    "route": "route¦decide which¦next step¦which agent¦which branch¦intent",
    "research": "research¦search¦find the¦find information¦look up¦latest¦google¦搜索¦scrape¦retrieve¦gather¦query",
    "plan": "plan¦suggest¦recommend¦ideas¦brainstorm¦strategy¦outline¦prompt for¦建议¦步骤",
    "image": "image of¦an image¦photo¦illustration¦picture¦cinematic¦style,¦photorealistic",
    "send": "send ¦schedule¦book ¦create event¦post it¦update the¦save ¦add to",
    "merge": "flatMap¦pd.concat¦merge¦combin¦consolidat¦aggregate¦合并¦整合¦unify¦group ",
    "json": "json",
    "enrich": "enrich¦assign¦for each¦predict¦estimate¦determine¦match the¦keywords",
}

URL: dict[str, str] = {
    "llm": "openai.com¦anthropic¦generativelanguage¦ollama¦:11434¦mistral.ai¦groq¦completions¦/generate¦huggingface¦"
    "replicate¦openrouter¦cohere¦deepseek¦dalle¦/image¦text-to-¦elevenlabs¦stability¦/chat/¦fal.¦heygen¦/predict¦suno¦"
    "imgrender¦render",
    "search": "search¦query¦graphql¦/find¦/lookup¦/list¦/filter¦scrape¦extract¦crawl¦/rpc¦/sql¦serp¦brightdata¦firecrawl¦"
    "apify¦jina¦tavily¦retrieve¦transcri¦audio/¦export¦dataset¦eport",
    "enrich": "enrich¦clearbit¦apollo.io¦hunter.io¦dropcontact¦ipinfo¦ip-api¦geocod¦virustotal¦abuseipdb¦shodan¦whois¦"
    "lookup¦people/¦bulk_match¦geoip¦ipquality¦proxycurl¦/company¦genderize¦threat¦reputation¦urlscan¦person",
    "validate": "valid¦verif¦check¦/lint¦moderation¦/test¦/status¦/health",
    "send": "hooks.¦webhook¦/message¦send¦/notify¦slack.com¦discord¦telegram¦/bot¦sms¦mail¦/publish¦/post¦/upload¦pushover¦"
    "/upsert¦/points¦/create¦/update¦/import¦/delete¦/pages¦/rows¦graph.facebook¦/media¦/records¦/issues¦/items¦/folders",
    "read": "/get¦/export¦/download¦.json¦.csv¦.pdf¦.xml¦rss¦feed¦sitemap¦raw.¦.md",
}

KEYS: dict[str, str] = {
    "message": "text message msg subject body content chatid channel channelid to toemail sendto recipient recipients "
    "receiver phone html roomid caption attachments replyto payload topic title webhookurl tonumber emailto",
    "write": "columns values fields updatefields record records data row rows sheetrow documents document "
    "additionalfields properties item key value contactid displayname labels assignee summary mappingmode jsonbody",
    "read": "query q filters filter returnall limit cityname search maxresults pagesize topk ids collectionname keyword "
    "keywords term jql fieldstoreturn sort since until datefrom location",
    "model": "model temperature modelname maxtokens max_tokens topp systemmessage prompt messages apikey",
    "branch": "cases rules routes branches paths choices conditions expression classes categories outputs intents "
    "scenarios if then else",
    "time": "seconds minutes hours amount duration unit interval cron crontab timeout rule",
    "loop": "items batchsize array iterator_selector iterator collection foreach startnodetype",
    "group": "groupby group_by fieldstosummarize fieldstoaggregate aggregate joinby mergebyfields combineby separator "
    "measures",
    "file": "filename filepath path file bucket bucketname folder folderid objectkey binarypropertyname",
    "template": "template format pattern replacement assignments variables outputformat do",
    "schema": "schema inputschema jsonschema schematype attributes outputschema on_fail",
    "dedupe": "dedupevalue fieldstocompare unique maxitems comparefields where contains_any",
}
KEY_GROUP = {key: group for group, keys in KEYS.items() for key in keys.split()}

FILLERS = frozenset(
    [
        "please",
        "now",
        "then",
        "your",
        "task",
        "job",
        "goal",
        "role",
        "mission",
        "objective",
        "is",
        "to",
        "you",
        "must",
        "should",
        "will",
        "need",
        "can",
        "first",
        "next",
        "i",
        "want",
        "help",
        "me",
        "the",
        "a",
        "an",
        "kindly",
        "just",
        "carefully",
        "also",
        "and",
        "instructions",
        "instruction",
        "step",
        "1",
        "2",
        "3",
        "4",
        "5",
        "let",
        "s",
        "us",
        "here",
        "are",
        "would",
        "like",
        "of",
        "tasked",
        "with",
        "responsible",
        "for",
        "specializing",
        "specialized",
        "in",
        "expert",
        "at",
        "that",
        "purpose",
        "main",
        "primary",
    ]
)
"""Words that may stand before an instruction's verb."""

TAILS = frozenset(
    [
        "chain",
        "agent",
        "node",
        "llm",
        "tool",
        "ai",
        "step",
        "bot",
        "model",
        "gpt",
        "task",
        "job",
        "1",
        "2",
        "3",
        "4",
        "5",
        "a",
        "b",
        "openai",
        "the",
        "for",
        "with",
        "flow",
        "workflow",
        "block",
        "using",
        "basic",
    ]
)
"""Words at a name's end that are not its head."""

QUESTIONS = frozenset(
    [
        "is",
        "are",
        "has",
        "have",
        "does",
        "do",
        "did",
        "should",
        "can",
        "was",
        "were",
        "if",
        "whether",
        "any",
        "which",
        "what",
    ]
)
CHOICES = frozenset(
    [
        "mode",
        "operation",
        "action",
        "resource",
        "type",
        "op",
        "operationMode",
        "function",
        "aggregation",
        "FunctionName",
        "tool",
        "command",
        "job",
        "workflow",
        "script_name",
        "task",
    ]
)
"""Parameters whose value may be a verb."""


def found_in(text: str, cues: dict[str, tuple[str, ...]]) -> list[str]:
    """The cues of which *text* shows at least one phrase."""
    return [cue for cue, phrases in cues.items() if any(phrase in text for phrase in phrases)]


def _split(cues: dict[str, str]) -> dict[str, tuple[str, ...]]:
    return {cue: tuple(phrases.split("¦")) for cue, phrases in cues.items()}


CODE_CUES, URL_CUES = _split(CODE), _split(URL)
PROMPT_STARTS: dict[str, list[tuple[str, str]]] = {}
"""Phrases and their cues by the phrase's first three letters."""
IDEOGRAPHIC_CUES: dict[str, tuple[str, ...]] = {}
for _cue, _phrases in _split(PROMPT).items():
    for _phrase in _phrases:
        if _phrase[0] > "\u2fff":
            IDEOGRAPHIC_CUES[_cue] = (*IDEOGRAPHIC_CUES.get(_cue, ()), _phrase)
        else:
            PROMPT_STARTS.setdefault(_phrase[:3], []).append((_phrase, _cue))


def prompt_cues(text: str, places: Iterable[tuple[int, str]]) -> set[str]:
    """The cues of a prompt in lower case.

    Args:
        text: The prompt.
        places: Where its words begin, and the words.
    """
    return {
        cue
        for place, word in places
        if (candidates := PROMPT_STARTS.get(word[:3]))
        for phrase, cue in candidates
        if text.startswith(phrase, place)
    }
