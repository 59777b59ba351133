"""What steps of automation platforms are, told from their type, their app and their operation.

Written from general knowledge of how such platforms name things (triggers, routers, mergers, operators, sensors,
nodes, blocks, tasks …), not from any one of them: each entry is words in lower case, as `words` takes names apart;
`*` stands for the rest of a word.
"""

import re
from functools import lru_cache

from intendant_classify_local._view import words
from intendant_classify_local._words import NOUN_VERBS, NOUNS, groups, lemmas

CONCEPTS: dict[str, str] = {
    "trigger": "trigger|*trigger|on event|event source|cron|schedule|scheduled|schedule trigger|every day|hourly|"
    "inject|webhook in|http in|mqtt in|chat input|text input|workflow start|start event|listen*|subscribe to|"
    "catch hook|catch raw hook|new email|new row|new record|polling|watch*|when *|start node|start|webhook catch|"
    "custom web hook|custom webhook|user guide|input node|form input|form trigger|api request trigger|entry|"
    "link in|catch|status|complete|recurrence|agent input|plugin input|consume*|input",
    "wait": "wait*|delay*|sleep*|pause*|suspend*|*sensor|timer|timer event|hold|await*|until|approval|human input|"
    "human approval|manual approval|user task|user select|throttle|rate limit|countdown",
    "note": "sticky note|sticky|note|comment|annotation|readme|documentation|markdown cell|group",
    "loop": "loop*|for each|foreach|*loop|iterat*|split in batches|split batches|repeat|repeater|while|for loop|"
    "do until|apply to each|each|map state|map|forloopflow|whileloopflow|loop over items|basic feeder|batch|parallel|"
    "sequential|branchall|branch all|scope|subflow|sub flow|dag|steps",
    "noop": "no op|noop|no operation|*noop|dummy*|empty*|pass|identity|nothing|placeholder|succeed|success|"
    "end|end event|end node|stop|stop and error|terminate|fail|exit|finish|workflow end|latest only|debug|"
    "link out|link call|do nothing|abort|cancel|return error|error",
    "subnode": "lm chat *|lm *|chat model|language model|llm model|chat open ai|chat anthropic|chat ollama|chat groq|"
    "chat google*|chat mistral*|azure chat open ai|chat bedrock|chat deepseek|model provider|checkpoint loader*|"
    "memory|*memory|memory *|buffer memory|window buffer|chat history|embedding*|embeddings *|*embeddings|"
    "output parser*|*output parser|structured output parser|document default data loader|text splitter*|"
    "*text splitter|tool workflow|tool code|tool http request|tool calculator|tool think|calculator|calculator tool|"
    "custom tool|tool|mcp client|mcp client tool|mcp tool|tool wikipedia|tool serp api|retriever vector store|"
    "record manager|cache|in memory cache|moderation model|vector store tool|reranker cohere|prompt template|"
    "chat openai|chat prompt template|agent tool|credentials|config|"
    "vae loader|clip loader|lora loader|tokenizer",
    "runjob": "execute workflow*|run workflow|call workflow|execute flow|run flow|trigger dag run*|start job*|run job*|"
    "submit job*|spark submit*|kubernetes pod*|docker*|ecs *|run task|run container|container task|emr *|"
    "dataproc *|databricks *|lambda invoke|invoke lambda|lambda|invoke function|start execution|glue *|batch submit*|"
    "sub workflow|run pipeline|start pipeline|dispatch workflow|workflow dispatch|run a job|rundeck|jenkins|"
    "run code flow|dbt *|terraform*|ansible*|helm*|execute dag|external task|"
    "call activity|child workflow|run actor|*batch job|send to story|training job*|container",
    "shell": "run|job|shell|bash|exec|execute command|bash operator|shell operator|commands|script|container|ssh*|cmd|"
    "powershell|command line|python script|run command|shell command|command",
    "startstop": "start instance*|stop instance*|start vm|stop vm|power on|power off|turn on|turn off|toggle|"
    "start cluster|stop cluster|create cluster*|delete cluster*|terminate*|resize cluster|restart*|reboot*|shutdown|"
    "set up|turn on|turn off|login action|wake|start session|create session|end session|play|next song|previous song|volume *|switch on|switch off|"
    "activate|deactivate|enable|disable|set up *|setup *|install*|environment|provision*|media player|scene|"
    "set temperature|lock|unlock|open cover|close cover|login|log in|authenticate",
    "branch": "if|if else*|ifelse|switch|switch case|choice|router|*router|branch*|condition*|conditional*|"
    "exclusive gateway|inclusive gateway|gateway|decision*|paths|path|choose|selector|route*|route on *|"
    "short circuit*|branchone|branch one|case|only continue if|question classifier|text classifier|classify question|"
    "intent recognition|intent classifier|intent router|semantic router|condition agent|compare|cond",
    "filter": "filter*|*filter|row filter|filter array|remove duplicates|dedup*|de duplication*|drop duplicates|"
    "unique|distinct|limit|top n|head|rbe|sample|where|query record|filter data|rerank*|reranker|take|only keep",
    "merge": "merge*|join*|*joiner|*merger|union*|combine*|zip|gather|coalesce|collector|concat datasets|append rows|"
    "merge content|parallel gateway|variable aggregator|combine text|document joiner|dataset concat*|vlookup",
    "aggregate": "aggregat*|*aggregator|group by|groupby|group*|summarize rows|count|sum|average|statistics|stats|"
    "pivot table|rollup|basic aggregator|array aggregator|table aggregator|numeric aggregator|digest|counter|reduce|"
    "compare datasets|histogram|batch aggregate",
    "set": "set|set *|edit fields|edit image|assign*|variable*|set variable*|initialize variable|increment variable|"
    "compose|change|constant|env|store value|get variable|set fields|add fields|rename*|select|edit|mutate|"
    "update attribute|variable update|variable assigner|append to*variable|text|input field|text editor|parameters",
    "template": "template*|*template|text template|template transform|fill text template|render*|jinja*|text aggregator|"
    "prompt builder|prompt|string template|html template|handlebars|liquid|compose text|compose a string|text parser",
    "split": "split*|*splitter|chunk*|explode|flatten|unnest|item lists|spread|tokenize|document splitter|splitout",
    "convert": "convert*|*converter|format*|*formatter|parse*|*parser|json|xml|yaml|csv|html|markdown|csv to *|json to *|"
    "* to json|* to csv|* to html|to *|transform*|event transformation|event formatting|map fields|mapper|"
    "move binary data|compression|crypto|crypt*|date time|date*|math|calculate*|compute*|expression|encode*|decode*|"
    "base64|resize*|image resize|crop*|jsonata|jq|data mapper|type cast|replace text|regex replace|text replace|"
    "string operation*|sort*|order by|serialize|evaluate json path|document cleaner|clean*|normalize*|translate*|"
    "translation*|translator|html to *|pdf to *|table|create csv table|create html table|zip files|unzip|ffmpeg|"
    "*builder|adapter|output adapter|*manipulation|string manipulation|range|list operator|create data|missing value|"
    "schema transform|column*|cast|rename columns|hash|vae decode|convert record|identity transform|mapping",
    "parsefile": "extract from file|read pdf|pdf file|pdf loader|*loader|document loader|document extractor|doc extractor|"
    "html extract|parse html|extract text|ocr*|*ocr|extract*|*extractor|information extractor|parameter extractor|"
    "content extract|named entity*|entity extraction|transcri*|whisper|speech to text|stt|audio to text|textract|"
    "document intelligence|form recognizer|parse pdf|pdf reader|text extraction|extract regex|email parser|css selector",
    "retrieve": "knowledge retrieval|knowledge base|knowledge|dataset search*|*retriever|retriev*|vector search|"
    "similarity search|semantic search|vector store question*|rag|search documents|query vector*|retrieve documents",
    "websearch": "tavily*|serp*|search api*|web search|google search|bing*|duckduckgo*|brave search|exa|perplexity*|"
    "wikipedia*|arxiv*|*search|search|news api|hacker news|rss*|*feed|feed reader|read rss|"
    "scrape*|*scraper|crawl*|firecrawl*|apify*|jina*|web browser|website agent|html page|url loader|cheerio*|"
    "playwright*|puppeteer*|web page*|get web page|open weather*|weather|fetch*|url",
    "readfile": "read file*|read binary file*|file in|csv reader|excel reader|*reader|read*|get file*|download*|"
    "list files|load file|load data|s3 list*|open file|file input|import*|checkout|file|directory|ftp get",
    "writefile": "write file*|write binary file*|write*|save file|save*|file out|csv writer|*writer|upload*|put file|"
    "document writer|save image|export*|output file|create file|save as",
    "sink": "* out|*sink|destination*|ui *|display*|show*|preview*|print*|log|*logger|log message|log *",
    "respond": "say|send text|bot response|text message|utter*|respond to webhook|*respond|webhook response|http response|webhook respond|response|respond*|answer|"
    "answer node|direct reply|reply|chat output|text output|output|agent output|return|message|end message|"
    "send message|final answer|plugin output|direct response|show message",
    "http": "http|http request*|https|api request|api call|rest|rest api|invoke http|web request|send web request|"
    "http api|curl|webhooks|graphql|webhook post|make an api call|api|http client|fetch url|simple http*|soap|request|"
    "http send data|action send data|outgoing webhook|custom request|web",
    "sql": "execute query|run query|sql|query|execute sql|run sql|sql query|sql execute query|*sql operator|postgres*|"
    "mysql*|sqlite|snowflake*|big query*|bigquery*|duckdb*|redshift*|mssql|oracle|clickhouse*|jdbc|sql operator|athena*|"
    "maria db|sql server|supabase sql",
    "llm": "ai processing|llm*|* llm|agent|ai agent|* agent|chain llm|llm chain|open ai|openai*|gpt*|chat gpt|anthropic|"
    "claude|gemini|mistral*|ollama|cohere|groq|bedrock|vertex*|hugging face*|completion|chat completion|text generation|"
    "create completion|ai text generator|ai *|conversation chain|conversational agent|react agent|crew|task agent|"
    "chat|chat node|large model|prompt node|ask ai|text completion|generate text|generator|*generator|invoke model|"
    "deepseek|qwen|replicate|dalle|dall e|stable diffusion|k sampler|image generation|text to image|text to speech|tts|"
    "eleven labs|elevenlabs|generate image|text to video|suno|assistant|copilot|ai builder",
    "llmsummary": "chain summarization|summariz*|summaris*|summary|text summarizer|ai summary|recap|digest chain",
    "llmlabel": "sentiment*|sentiment analysis|classifier|classify*|categorize*|zero shot*|text classification|label*|"
    "natural language|comprehend|language detection|detect language|tag*|scoring|score*|predict*|rekognition|vision",
    "imageaudio": "dalle|dall e|stable diffusion|k sampler|image generation|text to image|text to speech|tts|"
    "eleven labs|elevenlabs|generate image|text to video|suno|runway|midjourney|flux|ideogram|speech synthesis|heygen",
    "code": "code|function*|python*|java script|javascript|js|script|raw script|rawscript|run code|custom code|"
    "code node|groovy|script task|execute code|code execution|interpreter|python operator|task flow|node js|lambda function|"
    "run python|run javascript|custom function|github script|eval|notebook|py func|python function",
    "validate": "validat*|*validator|verif*|*verifier|check*|*check|*checker|assert*|test*|schema check|quality*|lint*|"
    "guardrail*|moderat*|*moderation|evaluat*|*evaluator|grade*|*grader|great expectations|expectation|ensure|"
    "email verifier|code ql|scan|review|json schema|schema validator|data quality|audit|unit test|pytest|business rule*",
    "enrich": "enrich*|*enrichment|clearbit|apollo*|hunter|dropcontact|people data labs|full contact|geocod*|geo ip|geoip|"
    "ip lookup|lookup|* lookup|virus total|abuse ipdb|shodan|whois|zoom info|rocket reach|lusha|snov|ip info|ipinfo|"
    "reverse geocode|people enrichment|company enrichment|threat intel*|annotate|augment|misp|urlscan|grey noise|"
    "feature store|lemlist enrich|surfe|cognism",
}

APPS: dict[str, str] = {
    "mail": "gmail|email|mail|smtp|outlook|sendgrid|mailgun|mailchimp|mailjet|postmark|ses|imap|sendinblue|brevo|"
    "office365|convertkit|klaviyo|mandrill|mautic|resend|customerio|activecampaign|getresponse|lemlist|instantly|aweber",
    "chat": "slack|discord|telegram|teams|whatsapp|mattermost|matrix|twilio|sms|pushover|pushbullet|line|signal|"
    "messenger|rocketchat|zulip|notify|notification|notifications|msg91|vonage|wechat|feishu|lark|dingtalk|wecom|viber|"
    "gotify|ntfy|pagerduty|opsgenie|intercom|persistent|webex|chime|plivo|onesignal|sns|alexa",
    "social": "twitter|linkedin|facebook|instagram|youtube|reddit|tiktok|pinterest|mastodon|bluesky|medium|buffer|ghost|"
    "wordpress|webflow|blogger|x|threads|hootsuite|contentful|strapi",
    "sheet": "sheets|googlesheets|excel|airtable|spreadsheet|smartsheet|baserow|nocodb|grist|coda|seatable|gsheet|rows|"
    "csv|tables|dataverse",
    "db": "postgres|postgresql|mysql|mongodb|mongo|mongodb|redis|dynamodb|firestore|firebase|supabase|sqlite|snowflake|"
    "bigquery|elasticsearch|mssql|sql|database|db|cassandra|clickhouse|redshift|cosmosdb|duckdb|jdbc|oracle|neo4j|"
    "influxdb|mariadb|questdb|timescale|cratedb|fauna|hasura|kv|databricks|hive|athena|datastore|opensearch|memcached",
    "vector": "pinecone|qdrant|weaviate|chroma|milvus|vector|pgvector|faiss|zep|astra|vectorstore|lancedb|vectara",
    "storage": "drive|dropbox|s3|gcs|onedrive|box|sharepoint|ftp|sftp|blob|storage|nextcloud|bucket|minio|filesystem|"
    "file|files|artifact|artifacts|googledrive|hdfs|azureblob|cloudinary|backblaze",
    "docs": "notion|docs|confluence|evernote|wiki|googledocs|document|documents|quip|slides|onenote|obsidian|word",
    "crm": "hubspot|salesforce|pipedrive|zoho|crm|freshsales|close|copper|dynamics|odoo|keap|attio|monday|lead|deal|contact",
    "tickets": "jira|github|gitlab|trello|asana|todoist|clickup|linear|zendesk|freshdesk|servicenow|bitbucket|redmine|"
    "thehive|basecamp|wrike|azuredevops|issue|issues|tasks|helpdesk|ticket|youtrack|shortcut|zammad",
    "calendar": "calendar|calendly|cal|event|events|meeting|zoom|eventbrite|acuity",
    "shop": "shopify|stripe|woocommerce|paypal|quickbooks|xero|square|magento|invoice|order|payment|chargebee|paddle|bexio",
    "queue": "kafka|rabbitmq|sqs|pubsub|mqtt|amqp|queue|eventbridge|kinesis|nats|activemq|jms|topic|servicebus|eventhub",
    "git": "git|repo|repository|commit|branch|pull|pr|release",
    "web": "http|https|web|url|website|page|html|api|browser|rest",
    "forms": "typeform|forms|form|survey|jotform|tally|googleforms|surveymonkey",
    "home": "light|lights|climate|cover|fan|thermostat|media|homeassistant|vacuum|alarm|device|sensor|hue|lock",
    "cloud": "aws|azure|gcp|ec2|lambda|kubernetes|k8s|docker|cluster|vm|instance|ecs|terraform|heroku|cloudflare|vercel",
    "time": "time|date|datetime|clock|timezone|timestamp",
}

PRIMARY = (
    "subnode", "trigger", "note", "wait", "loop", "startstop", "filter", "merge", "aggregate", "respond", "branch", "split",
    "template", "parsefile", "retrieve", "imageaudio", "llmsummary", "llmlabel", "validate", "enrich", "readfile",
    "writefile", "websearch", "convert", "http", "sql", "shell", "code", "set", "llm", "runjob", "sink", "noop",
)  # fmt: skip
"""The concepts, those first that count where a name says several."""
_BRANDS = re.compile(
    r"\b(open ai|open weather|open router|open library|open sea|send grid|send in blue|click up|mail chimp|mail gun|mail jet|"
    r"mail er lite|push over|push bullet|push cut|zoom info|you tube|get response|active campaign|active collab|"
    r"whats app|rocket chat|git hub|git lab|data for seo|call rail|survey monkey|help scout|fresh desk|face book|"
    r"linked in|tik tok|air table|word press|web flow|hub spot|big query|dynamo db|mongo db|click house|post gres|"
    r"postgre sql|my sql|ms sql|maria db|influx db|quest db|crate db|no co db|rabbit mq|google|build kite|"
    r"build bear|copper|record manager|start event|end event|map box|google maps?|read wise|read me|type form|"
    r"cal com|customer io|convert kit|convert api|rss feed|one drive|drop box|share point|elastic search|"
    r"service now|pager duty|virus total|url scan|abuse ip db|grey noise|security trails|deep seek|deep l|chat gpt|chat ollama|"
    r"hugging face|eleven labs|stable diffusion|dall e|text bot|fire crawl|phantom buster|bright data|scraping bee|"
    r"note ?book ?lm|monday com|quick books|quick base|woo commerce|item lists|pay pal|power bi|"
    r"home assistant|media player|sales force|sales mate|cloud flare|docu sign|eventbrite|fill out|plan ?so|"
    r"switch bot|branch io|sort ly|route4me|record linkage|wait list|watch list|check ?list|check out com)\b"
)
_VERBS = {"writer": "write", "sender": "send", "out": "", "source": ""}
"""Words that machinery uses otherwise than people do: a CSV Writer composes nothing."""
_GENERIC = frozenset(
    [
        "node",
        "operator",
        "task",
        "block",
        "step",
        "action",
        "component",
        "plugin",
        "piece",
        "base",
        "n8n",
        "nodes",
        "module",
        "tool",
        "sync",
        "v1",
        "v2",
    ]
)


def _compiled(table: dict[str, str]) -> list[tuple[str, re.Pattern[str]]]:
    found = []
    for concept, entries in table.items():
        parts = "|".join(
            re.escape(entry).replace(r"\*", r"\w*").replace(r"\ ", " ") for entry in entries.split("|")
        )
        found.append((concept, re.compile(rf"(?<!\w)(?:{parts})(?!\w)")))
    return found


@lru_cache(1)
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    return _compiled(CONCEPTS)


@lru_cache(1)
def _apps() -> dict[str, str]:
    return {word: category for category, entries in APPS.items() for word in entries.split("|")}


class Machinery:
    """What the names of a step's type, app and operation say."""

    __slots__ = ("apps", "concepts", "exact", "features", "primary_exact", "sure_verb", "verb", "words")

    def __init__(self, name: str) -> None:
        self.words = tuple(word for word in words(name) if word not in _GENERIC and not word.isdigit())
        joined = _BRANDS.sub(lambda found: found[0].replace(" ", ""), " ".join(self.words))
        self.words = tuple(joined.split())
        solid = "".join(self.words)
        self.concepts: tuple[str, ...] = ()
        self.exact: tuple[str, ...] = ()
        for concept, pattern in _patterns():
            if pattern.fullmatch(joined) or pattern.fullmatch(solid):
                self.exact += (concept,)
                self.concepts += (concept,)
            elif pattern.search(joined):
                self.concepts += (concept,)
        self.primary_exact = next((concept for concept in PRIMARY if concept in self.exact), "")
        table = _apps()
        self.apps = tuple(dict.fromkeys(table[word] for word in (*self.words, solid) if word in table))
        known = lemmas()
        verbs = (_VERBS.get(word) or known.get(word, "") for word in self.words)
        self.verb = next((verb for verb in verbs if verb in groups()), "")
        # "Books" and "Sheets" in an app's name are things, not deeds.
        sure = (
            word for word in self.words if word not in NOUN_VERBS and (known.get(word) == word or word in NOUNS)
        )
        self.sure_verb = next((known[word] for word in sure if known[word] in groups()), "")
        self.features = {where: self._features(where) for where in ("k", "l", "a")}
        self.features["nc"] = [f"nc:{concept}" for concept in self.concepts]

    def _features(self, where: str) -> list[str]:
        return [
            *(f"{where}:{concept}" for concept in self.concepts),
            *(f"{where}e:{concept}" for concept in self.exact),
            *(f"{where}t:{word}" for word in self.words),
        ]


@lru_cache(8192)
def machinery(name: str) -> Machinery:
    """What *name* says; kept, because few names make up most steps."""
    return Machinery(name)
