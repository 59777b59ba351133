"""Nodes that ask others: APIs, mail servers, databases, feeds, files, chats."""

import re
from collections.abc import Mapping
from typing import Any

from intendant_n8n._builder import Builder, Outcome, beside_each
from intendant_n8n._expressions import Scope
from intendant_n8n._graph import Node
from intendant_n8n._javascript import NotUnderstood
from intendant_n8n._json_text import read_json
from intendant_n8n._records import Make, mapped, single_source
from intendant_n8n._words import braces, people, pieces

# --- HTTP ---


def http(builder: Builder, node: Node) -> Outcome:
    """HTTP Request: once for each record."""
    parameters = node.parameters
    method = str(parameters.get("method", parameters.get("requestMethod", "GET"))).upper()
    if method.startswith("="):
        raise NotUnderstood("a computed method")

    def make(scope: Scope) -> dict[str, Any]:
        given: dict[str, Any] = {"url": scope.template(parameters.get("url", ""))}
        given |= _listed("query", parameters, scope, "queryParameters", "queryParametersUi", "parameter")
        given |= _listed("headers", parameters, scope, "headerParameters", "headerParametersUi", "parameter")
        given |= _auth(parameters)
        if method not in ("GET", "DELETE", "HEAD"):
            given |= _body(parameters, scope)
        if method in ("GET", "DELETE", "POST", "PUT"):
            uses = f"http.{method.lower()}"
        else:
            uses, given["method"] = "http.request", method
        return {"intent": "extract" if method == "GET" else "send", "uses": uses, "with": given}

    if not parameters.get("url"):
        raise NotUnderstood("no address")
    outputs = builder.for_items(node, builder.items(node), make)
    if method == "GET":
        return mapped(node, builder.flat(node, outputs), aligned=beside_each(outputs))
    return mapped(node, outputs, pairs=True, single=single_source(builder, node))


def _listed(key: str, parameters: Mapping[str, Any], scope: Scope, *places: str) -> dict[str, Any]:
    """Pairs of names and values, of whatever version."""
    new, old, inner = places
    if parameters.get(f"specify{key.removesuffix('s').capitalize()}") == "json":
        raise NotUnderstood(f"{key} as JSON")
    pairs = parameters.get(new, {}).get("parameters", []) if isinstance(parameters.get(new), dict) else []
    pairs = pairs or parameters.get(old, {}).get(inner, [])
    found = {str(one["name"]): scope.template(one.get("value", "")) for one in pairs if one.get("name")}
    return {key: found} if found else {}


def _auth(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Credentials by names of secrets: what they are is not in an export."""
    kind = str(parameters.get("authentication", "none"))
    if kind in ("none", ""):
        return {}
    which = str(parameters.get("genericAuthType") or parameters.get("nodeCredentialType") or kind)
    which = "token" if which.startswith(("=", "{")) else which
    name = re.sub(r"(?<=[a-z])(?=[A-Z])|\W", "_", which).upper()
    if which in ("httpHeaderAuth", "headerAuth"):
        return {"auth": {"header": "Authorization", "value": f"{{{{ secrets.{name} }}}}"}}
    if which in ("httpBasicAuth", "basicAuth"):
        return {
            "auth": {"user": f"{{{{ secrets.{name}_USER }}}}", "password": f"{{{{ secrets.{name}_PASSWORD }}}}"}
        }
    return {"auth": {"bearer": f"{{{{ secrets.{name} }}}}"}}


def _body(parameters: Mapping[str, Any], scope: Scope) -> dict[str, Any]:
    kind = parameters.get("contentType", parameters.get("bodyContentType", "json"))
    if kind in ("binaryData", "multipart-form-data"):
        raise NotUnderstood("a body that is a file")
    pairs = (
        parameters.get("bodyParameters", {}).get("parameters", [])
        if isinstance(parameters.get("bodyParameters"), dict)
        else parameters.get("bodyParametersUi", {}).get("parameter", [])
    )
    if pairs and parameters.get("specifyBody", "keypair") == "keypair":
        fields = {str(one["name"]): scope.template(one.get("value", "")) for one in pairs if one.get("name")}
        return {"form" if kind == "form-urlencoded" else "json": fields}
    text = parameters.get("jsonBody", parameters.get("bodyParametersJson"))
    if text not in (None, ""):
        return {"json": read_json(text, scope)}
    raw = parameters.get("body")
    return {"body": scope.template(raw)} if raw not in (None, "") else {"json": {}}


# --- mail and chats ---


COPIES = {
    "cc": ("ccEmail", "ccList", "ccRecipients"),
    "bcc": ("bccEmail", "bccList", "bccRecipients"),
    "reply_to": ("replyTo",),
}
"""Options of nodes that send mails, by the parameter of `mail.send`."""


def send_mail(builder: Builder, node: Node) -> Outcome:
    """Send Email, and Gmail's and Outlook's sending, through SMTP."""
    parameters = node.parameters
    operation = parameters.get("operation", "send")
    if operation not in ("send", "sendEmail") or parameters.get("resource", "message") not in ("message", "email"):
        raise NotUnderstood(f"the operation {parameters.get('resource', '')} {operation}".rstrip())
    if parameters.get("options", {}).get("attachments") or parameters.get("attachments"):
        raise NotUnderstood("attachments")
    host = builder.shared.input("smtp_host", "The mail server that sends.", "smtp.example.org")
    sender = builder.shared.input("mail_from", "From whom mails are sent.", "workflow@example.org")

    def make(scope: Scope) -> dict[str, Any]:
        text = parameters.get("html") or parameters.get("text") or parameters.get("message") or ""
        own = parameters.get("fromEmail")
        given = {
            "host": braces(host),
            "user": "{{ secrets.SMTP_USER }}",
            "password": "{{ secrets.SMTP_PASSWORD }}",
            "from": scope.template(own) if own else braces(sender),
            "to": scope.template(
                people(parameters.get("toEmail", parameters.get("sendTo", parameters.get("toList", ""))))
            ),
            "subject": scope.template(parameters.get("subject", "")),
            "text": scope.template(text),
        }
        for key, names in COPIES.items():
            if (named := next(node.options(names), None)) is not None:
                given[key] = scope.template(people(named))
        if (
            parameters.get("html")
            or parameters.get("emailType", "html" if "message" in parameters else "") == "html"
        ):
            given["html"] = given["text"]
        if own and not str(own).startswith("=") and "@" not in str(own):
            given["from"] = braces(sender)
        return {"intent": "send", "uses": "mail.send", "with": given}

    return mapped(node, builder.for_items(node, builder.items(node), make), pairs=True)


def fetch_mail(builder: Builder, node: Node) -> Outcome:
    """Email Trigger (IMAP), and Gmail's reading of several mails, through IMAP."""
    host = builder.shared.input("imap_host", "The mail server that mails are fetched from.", "imap.example.org")
    given: dict[str, Any] = {
        "host": braces(host),
        "user": "{{ secrets.IMAP_USER }}",
        "password": "{{ secrets.IMAP_PASSWORD }}",
    }
    if isinstance(box := node.parameters.get("mailbox"), str) and box and not box.startswith("="):
        given["folder"] = box
    if "UNSEEN" in str(node.parameters.get("options", {}).get("customEmailConfig", "UNSEEN")):
        given["search"] = {"unseen": True}
    return mapped(node, builder.add(node, {"intent": "extract", "uses": "mail.fetch", "with": given}))


def slack(builder: Builder, node: Node) -> Outcome:
    """Slack: posting a message."""
    parameters = node.parameters
    if parameters.get("resource", "message") != "message" or parameters.get("operation", "post") not in (
        "post",
        "create",
    ):
        raise NotUnderstood(f"the operation {parameters.get('resource')} {parameters.get('operation')}")
    if parameters.get("messageType", "text") != "text" or parameters.get("blocksUi"):
        raise NotUnderstood("blocks")
    channel = parameters.get("channelId", parameters.get("channel", parameters.get("user", "")))
    return _post(
        builder,
        node,
        "https://slack.com/api/chat.postMessage",
        {"channel": _chosen(channel), "text": parameters.get("text", "")},
        {"auth": {"bearer": "{{ secrets.SLACK_TOKEN }}"}},
    )


def telegram(builder: Builder, node: Node) -> Outcome:
    """Telegram: sending a text."""
    parameters = node.parameters
    if (
        parameters.get("resource", "message") != "message"
        or parameters.get("operation", "sendMessage") != "sendMessage"
    ):
        raise NotUnderstood(f"the operation {parameters.get('operation')}")
    fields = {"chat_id": parameters.get("chatId", ""), "text": parameters.get("text", "")}
    return _post(builder, node, "https://api.telegram.org/bot{{ secrets.TELEGRAM_TOKEN }}/sendMessage", fields, {})


def mattermost(builder: Builder, node: Node) -> Outcome:
    """Mattermost: posting a message."""
    parameters = node.parameters
    if parameters.get("resource", "message") != "message" or parameters.get("operation", "post") != "post":
        raise NotUnderstood(f"the operation {parameters.get('operation')}")
    base = builder.shared.input(
        "mattermost_url", "The address of the Mattermost server.", "https://chat.example.org"
    )
    fields = {"channel_id": _chosen(parameters.get("channelId", "")), "message": parameters.get("message", "")}
    auth = {"auth": {"bearer": "{{ secrets.MATTERMOST_TOKEN }}"}}
    return _post(builder, node, f"{{{{ {base} }}}}/api/v4/posts", fields, auth)


def discord(builder: Builder, node: Node) -> Outcome:
    """Discord: posting a text to a webhook."""
    parameters = node.parameters
    text = parameters.get("content", parameters.get("text"))
    if text is None or parameters.get("embeds", {}).get("values"):
        raise NotUnderstood("what is not a plain text")
    return _post(builder, node, "{{ secrets.DISCORD_WEBHOOK }}", {"content": text}, {})


def _chosen(value: Any) -> Any:
    """The value of a field that is chosen from a list."""
    return value.get("value", "") if isinstance(value, dict) else value


def _post(builder: Builder, node: Node, url: str, fields: Mapping[str, Any], more: Mapping[str, Any]) -> Outcome:
    def make(scope: Scope) -> dict[str, Any]:
        body = {name: scope.template(value) for name, value in fields.items()}
        return {"intent": "send", "uses": "http.post", "with": {"url": url, **more, "json": body}}

    reference = builder.for_items(node, builder.items(node), make)
    return _through_http(mapped(node, reference, pairs=True))


# --- tables of others ---

SHEETS = "https://sheets.googleapis.com/v4/spreadsheets"
AIRTABLE = "https://api.airtable.com/v0"
AIRTABLE_SECOND = 2
"""The version of the node from which on bases are chosen from a list."""


def sheets(builder: Builder, node: Node) -> Outcome:
    """Google Sheets: reading the rows of a sheet, and appending to it."""
    parameters = node.parameters
    operation = parameters.get("operation", "read")
    document = _chosen(parameters.get("documentId", parameters.get("sheetId", "")))
    place = _chosen(parameters.get("sheetName", parameters.get("range", "")))
    named = parameters.get("sheetName", {})
    cached = named.get("cachedResultName") if isinstance(named, dict) else None
    place = cached or place or "A:Z"
    auth = {"auth": {"bearer": "{{ secrets.GOOGLE_TOKEN }}"}}
    if operation in ("read", "readRows"):

        def read(scope: Scope) -> dict[str, Any]:
            url = f"{SHEETS}/{scope.template(document)}/values/{scope.template(place)}"
            return {"intent": "extract", "uses": "http.get", "with": {"url": url, **auth}}

        answers = builder.for_items(node, builder.items(node), read)
        step = {
            "for_each": braces(answers),
            "as": "answer",
            "intent": "transform",
            "input": "{{ answer.values }}",
            "options": {"op": "rows_to_objects", "preserve_case": True},
            "gather": "flatten",
        }
        return _through_http(mapped(node, builder.add(node, step, "rows")))
    if operation != "append":
        raise NotUnderstood(f"the operation {operation}")

    def append(scope: Scope) -> dict[str, Any]:
        url = f"{SHEETS}/{scope.template(document)}/values/{scope.template(place)}:append"
        body = {"values": [_columns(parameters, scope)]}
        return {
            "intent": "send",
            "uses": "http.post",
            "with": {"url": url, "query": {"valueInputOption": "USER_ENTERED"}, **auth, "json": body},
        }

    return _through_http(mapped(node, builder.for_items(node, builder.items(node), append), pairs=True))


def _columns(parameters: Mapping[str, Any], scope: Scope) -> list[Any]:
    columns = parameters.get("columns", {})
    values = columns.get("value") if isinstance(columns, dict) else None
    if not isinstance(values, dict) or not values or columns.get("mappingMode") == "autoMapInputData":
        raise NotUnderstood("columns that are matched by their names")
    return [scope.template(value) for value in values.values()]


def airtable(builder: Builder, node: Node) -> Outcome:
    """Airtable: listing records, and creating them."""
    parameters = node.parameters
    operation = parameters.get("operation", "get" if node.version >= AIRTABLE_SECOND else "list")
    base = _chosen(parameters.get("base", parameters.get("application", "")))
    table = _chosen(parameters.get("table", ""))
    auth = {"auth": {"bearer": "{{ secrets.AIRTABLE_TOKEN }}"}}
    if operation in ("list", "search"):
        formula = parameters.get("filterByFormula", parameters.get("additionalOptions", {}).get("filterByFormula"))

        def listed(scope: Scope) -> dict[str, Any]:
            given: dict[str, Any] = {"url": f"{AIRTABLE}/{scope.template(base)}/{scope.template(table)}", **auth}
            if formula:
                given["query"] = {"filterByFormula": scope.template(formula)}
            given["pages"] = {"by": "cursor", "items": "records", "cursor": "offset", "parameter": "offset"}
            return {"intent": "extract", "uses": "http.get", "with": given}

        outputs = builder.for_items(node, builder.items(node), listed)
        return _through_http(mapped(node, builder.flat(node, outputs), aligned=beside_each(outputs)))
    if operation not in ("create", "append"):
        raise NotUnderstood(f"the operation {operation}")

    def create(scope: Scope) -> dict[str, Any]:
        columns = parameters.get("columns", {})
        values = columns.get("value") if isinstance(columns, dict) else None
        fields: Any = "{{ item }}"
        if isinstance(values, dict) and values and columns.get("mappingMode") != "autoMapInputData":
            fields = {name: scope.template(value) for name, value in values.items()}
        given = {
            "url": f"{AIRTABLE}/{scope.template(base)}/{scope.template(table)}",
            **auth,
            "json": {"fields": fields},
        }
        return {"intent": "send", "uses": "http.post", "with": given}

    return _through_http(mapped(node, builder.for_items(node, builder.items(node), create), pairs=True))


def _through_http(outcome: Outcome) -> Outcome:
    outcome.how = "http"
    return outcome


# --- databases, feeds, files ---


def database(builder: Builder, node: Node) -> Outcome:
    """A statement of SQL; its expressions become parameters."""
    parameters = node.parameters
    if parameters.get("operation") != "executeQuery" or not isinstance(parameters.get("query"), str):
        raise NotUnderstood(f"the operation {parameters.get('operation', 'insert')}")
    url = builder.shared.input("database_url", "SQLAlchemy's URL of the database.", "sqlite:///data.db")
    text = parameters["query"]

    def make(scope: Scope) -> dict[str, Any]:
        sql, values = _with_parameters(text.removeprefix("="), scope)
        given: dict[str, Any] = {"url": braces(url), "sql": sql.strip().rstrip(";")}
        if values:
            given["parameters"] = values
        reads = re.match(r"\s*(select|with|values|show)\b", sql, re.IGNORECASE) is not None
        return {
            "intent": "extract" if reads else "send",
            "uses": "sql.query" if reads else "sql.execute",
            "with": given,
        }

    outputs = builder.for_items(node, builder.items(node), make)
    return mapped(node, builder.flat(node, outputs), aligned=beside_each(outputs))


def _with_parameters(text: str, scope: Scope) -> tuple[str, dict[str, Any]]:
    parts: list[str] = []
    values: dict[str, Any] = {}
    for plain, part in pieces(text):
        if plain:
            parts.append(part)
            continue
        name = f"p{len(values) + 1}"
        values[name] = scope.template(f"={{{{{part}}}}}")
        if parts and parts[-1].endswith("'"):
            parts[-1] = parts[-1][:-1]
            name = f"{name}\x00"
        parts.append(f":{name}")
    joined = "".join(parts)
    if re.search(r"\x00(?!')", joined):
        raise NotUnderstood("an expression inside of a text of SQL")
    return joined.replace("\x00'", ""), values


def feed(builder: Builder, node: Node) -> Outcome:
    """RSS Read."""

    def make(scope: Scope) -> dict[str, Any]:
        return {
            "intent": "extract",
            "uses": "feed.read",
            "with": {"url": scope.template(node.parameters.get("url", ""))},
        }

    outputs = builder.for_items(node, builder.items(node), make)
    return mapped(node, builder.flat(node, outputs), aligned=beside_each(outputs))


def files(builder: Builder, node: Node) -> Outcome:
    """Reading files from disk, and writing them. What is read is parsed by the ending of its name."""
    parameters = node.parameters
    writes = node.kind == "writeBinaryFile" or parameters.get("operation", "read") == "write"
    path = parameters.get("fileName" if writes else "fileSelector", parameters.get("filePath", ""))

    def make(scope: Scope) -> dict[str, Any]:
        given = {"path": scope.template(path)}
        if writes:
            return {"intent": "send", "uses": "file.write", "with": given, "input": "{{ item }}"}
        return {"intent": "extract", "uses": "file.read", "with": given}

    outputs = builder.for_items(node, builder.items(node), make)
    if writes:
        return mapped(node, outputs, pairs=True)
    return mapped(node, builder.flat(node, outputs))


def parsed_file(builder: Builder, node: Node) -> Outcome:
    """Extract from File, and Spreadsheet File, behind a node that reads a file: that has parsed it already."""
    sources = [builder.nodes[name].kind for several in node.inputs for name, _ in several]
    reading = node.kind == "extractFromFile" or node.parameters.get("operation", "fromFile") == "fromFile"
    if not reading or not sources or not set(sources) <= {"readWriteFile", "readBinaryFile", "readBinaryFiles"}:
        raise NotUnderstood("a file that does not come from the disk")
    return mapped(node, builder.items(node))


# --- triggers ---


def trigger(builder: Builder, node: Node) -> Outcome:
    """What starts a workflow: its records become an input."""
    items = builder.shared.input("items", "What the workflow works on: a list of records.", [{}], "array")
    for cron in _crons(node.parameters):
        builder.shared.schedules.append(cron)
    return Outcome(node, "mapped", outputs={0: items}, single=True)


_EVERY = {
    "seconds": "* * * * *",
    "minutes": "*/{n} * * * *",
    "hours": "{minute} */{n} * * *",
    "days": "{minute} {hour} */{n} * *",
    "weeks": "{minute} {hour} * * {days}",
    "months": "{minute} {hour} {day} */{n} *",
}
_INTERVALS = {
    "minutes": "minutesInterval",
    "hours": "hoursInterval",
    "days": "daysInterval",
    "months": "monthsInterval",
}


def _crons(parameters: Mapping[str, Any]) -> list[str]:
    rule = parameters.get("rule", {})
    found = []
    for one in rule.get("interval", []) if isinstance(rule, dict) else []:
        kind = one.get("field", "days")
        if kind == "cronExpression":
            found.append(str(one.get("expression", "")).removeprefix("=").strip())
        elif kind in _EVERY:
            number = one.get(_INTERVALS.get(kind, ""), 1)
            days = ",".join(str(day) for day in one.get("triggerAtDay", [0]))
            places = {"n": number, "minute": one.get("triggerAtMinute", 0), "hour": one.get("triggerAtHour", 0)}
            text = _EVERY[kind].format(**places, days=days, day=one.get("triggerAtDayOfMonth", 1))
            found.append(text.replace("*/1 ", "* "))
    times = parameters.get("triggerTimes", {})
    for one in times.get("item", []) if isinstance(times, dict) else []:
        if one.get("mode") == "custom":
            found.append(" ".join(str(one.get("cronExpression", "")).split()[-5:]))
        elif one.get("mode", "everyDay") == "everyDay":
            found.append(f"{one.get('minute', 0)} {one.get('hour', 14)} * * *")
    return found


SERVICES: dict[str, Make] = {
    "httpRequest": http,
    "emailSend": send_mail,
    "emailReadImap": fetch_mail,
    "gmail": send_mail,
    "microsoftOutlook": send_mail,
    "slack": slack,
    "telegram": telegram,
    "googleSheets": sheets,
    "airtable": airtable,
    "mattermost": mattermost,
    "discord": discord,
    "postgres": database,
    "mySql": database,
    "microsoftSql": database,
    "rssFeedRead": feed,
    "readWriteFile": files,
    "readBinaryFile": files,
    "readBinaryFiles": files,
    "writeBinaryFile": files,
    "extractFromFile": parsed_file,
    "spreadsheetFile": parsed_file,
}
"""Nodes by the last part of their type."""
TRIGGERS = ("start", "cron", "interval", "webhook", "manualTrigger")
"""What starts a workflow, besides nodes whose types end in `Trigger`."""
