"""A model server for the jobs of `docs/examples`: it speaks chat completions, answers from a script of each job, and
counts tokens by OpenAI's vocabulary, so that what a run takes costs what it would at list prices.
"""

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MODELS = {"fast": "gpt-6-luna", "balanced": "gpt-6.1-terra", "powerful": "gpt-6.1-sol"}
MESSAGE, REQUEST = 4, 3
"""Tokens that the template of a chat adds to each message, and to a request."""


class Asked:
    """What a model was asked.

    Args:
        body: The request, as chat completions have it.
    """

    def __init__(self, body: dict) -> None:
        self.body = body
        self.system = "".join(str(turn["content"]) for turn in body["messages"] if turn["role"] == "system")
        self.text = next(str(turn["content"]) for turn in body["messages"] if turn["role"] == "user")

    @property
    def data(self) -> str:
        """What stands between the marks."""
        found = re.search(r"<(data-\w+)>\n(.*)\n</\1>", self.text, re.DOTALL)
        return found[2] if found else ""


Calls = list[tuple[str, dict]]
"""Tools that are called: their names and arguments."""
Answer = Callable[[Asked], str | Calls]


def _counter() -> Callable[[str], int] | None:
    from intendant_provider_openai._ranks import tokenizer

    return tokenizer("o200k_base")


def _message(said: str | Calls, number: int) -> dict:
    """A turn of the model, as chat completions write it."""
    if isinstance(said, str):
        return {"role": "assistant", "content": said}
    calls = [
        {
            "id": f"call_{number}_{place}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        for place, (name, arguments) in enumerate(said)
    ]
    return {"role": "assistant", "content": None, "tool_calls": calls}


@contextmanager
def scripted_model(folder: Path, answer: Answer) -> Iterator[dict[str, str]]:
    """The environment of a user whose model answers by *answer*.

    Args:
        folder: Where the settings file is written.
        answer: Returns the text of an answer.
    """
    count = _counter()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            said = answer(Asked(body))
            tokens = count or (lambda text: len(text.encode()))
            given = [turn.get("content") or json.dumps(turn.get("tool_calls")) for turn in body["messages"]]
            given += [json.dumps(body[name]) for name in ("response_format", "tools") if name in body]
            message = _message(said, len(given))
            usage = {
                "prompt_tokens": REQUEST + sum(MESSAGE + tokens(str(text)) for text in given),
                "completion_tokens": tokens(said if isinstance(said, str) else json.dumps(said)),
            }
            usage["total_tokens"] = sum(usage.values())
            self._send(
                {
                    "id": "chatcmpl-1",
                    "object": "chat.completion",
                    "created": 1,
                    "model": body["model"],
                    "choices": [
                        {
                            "index": 0,
                            "message": message,
                            "finish_reason": "stop" if message["content"] else "tool_calls",
                        }
                    ],
                    "usage": usage,
                }
            )

        def _send(self, body: dict) -> None:
            data = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    models = ", ".join(f'{tier} = "{model}"' for tier, model in MODELS.items())
    known = ", ".join(f'"{model}" = "o200k_base"' for model in MODELS.values())
    file = folder / "model.toml"
    file.write_text(
        f"""
        [plugins.settings."provider:openai"]
        base_url = "http://127.0.0.1:{server.server_port}/v1"
        models = {{{models}}}
        {f"tokenizers = {{{known}}}" if count else ""}
        """
    )
    try:
        yield {"INTENDANT_CONFIG": str(file), "OPENAI_API_KEY": "a-key-of-the-test"}
    finally:
        server.shutdown()
        server.server_close()


# --- what the models of the jobs say ---

_TROUBLE = re.compile(r"(\S+) (\S+) ((?:ERROR|FATAL|WARN) .*|INFO disk .*)")


def read_log(asked: Asked) -> str:
    """Points of a part of a log, from its lines of trouble; or the points, joined."""
    if "This is part" not in asked.text:
        points = re.findall(r"^(\[\d+\]) \(.*?\) (.*)$", asked.data, re.MULTILINE)
        return "\n".join(f"- {text} {mark}" for mark, text in points[:12])
    lines = [match for match in map(_TROUBLE.search, asked.data.splitlines()) if match]
    points = [{"text": f"{line[2]}: {line[3]}.", "quote": line[0]} for line in lines]
    return json.dumps({"points": points[:8]})


_TOPICS = {
    "delivery": ("arrived", "where is order"),
    "refund": ("money back", "refund"),
    "account": ("log in", "account"),
}


def label_tickets(seen: Counter[int], asked: Asked) -> str:
    """Labels of tickets; every tenth is forgotten at first, and one is made up at first."""
    answers = []
    for entry in json.loads(asked.data):
        number, about = entry["n"], entry["item"]["text"].lower()
        seen[number] += 1
        topic = next((name for name, words in _TOPICS.items() if any(word in about for word in words)), None)
        if number % 10 == 0 and seen[number] == 1:
            continue
        topic = "made up" if number == 3 and seen[3] == 1 else topic
        answers.append({"n": number, "topic": topic, "urgency": "low"})
    return json.dumps({"answers": answers})


_FIELDS = {
    "number": r"(?:Invoice|Rechnung Nr\.|Fatura No:)\s+(?:<b>)?([A-Z]{2}-[\d-]+)",
    "date": r"(?:Date|Datum|Tarih): (.+)",
    "net": r"Net(?:to)?(?:</td><td>|\s+)([\d.,]+)",
    "vat": r"(?:VAT|USt\. 19 %)(?:</td><td>|\s+)([\d.,]+)",
    "total": r"(?:Total|Gesamt)(?:</td><td>|\s+)([\d.,]+)",
}
_DATES = {"3 November 2026": "2026-11-03", "05.11.2026": "2026-11-05", "12.11.2026": "2026-11-12"}


def read_invoice(asked: Asked) -> str:
    """The fields of an invoice, null where it does not say."""
    found = {name: re.search(pattern, asked.data) for name, pattern in _FIELDS.items()}
    read: dict[str, object] = {name: match and match[1].strip() for name, match in found.items()}
    for name in ("net", "vat", "total"):
        if (digits := re.sub(r"\D", "", str(read[name] or ""))) != "":
            read[name] = int(digits) / 100
    title = re.sub(r"<[^>]+>", "\n", asked.data).strip().splitlines()[0]
    read |= {"supplier": title, "currency": "EUR", "date": _DATES.get(str(read["date"]))}
    return json.dumps(read)


def triage_mails(asked: Asked) -> str:
    """Labels of mails, or an answer to one."""
    if "Write a short answer" in asked.text:
        mail = json.loads(asked.data)
        return f"Dear {mail['from'].split()[0]},\n\nsomebody looks into it today.\n\nThe team"
    labels = []
    for entry in json.loads(asked.data):
        text = entry["item"]["text"]
        urgency = (
            "today" if "today" in text or "tonight" in text else "never" if "Unsubscribe" in text else "later"
        )
        labels.append({"n": entry["n"], "topic": "delivery" if "rder" in text else "other", "urgency": urgency})
    return json.dumps({"answers": labels})


def read_offer(asked: Asked) -> str:
    """Firm and price of an offer."""
    price = re.search(r"(\d+)(?:\.\d+)? EUR|EUR (\d+)", asked.data)
    found = None if price is None else int(price[1] or price[2])
    return json.dumps({"firm": asked.data.splitlines()[0], "price": found})
