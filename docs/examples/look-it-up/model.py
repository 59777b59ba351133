"""Stands where a model would be, for trying the example without a key: `python model.py 8799`.

It speaks the Chat Completions API and follows a script: it asks for a query and the handbook, then for the rates,
and answers from what the tools gave. It counts a token for four bytes.
"""

import json
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

OPEN = (
    "select customer, currency, sum(cents) as cents from invoices where paid is null group by customer, currency"
)


def turn(messages: list[dict]) -> list[tuple[str, dict]] | dict:
    """The tools that are wanted next, or the answer."""
    results = {message["tool_call_id"]: message["content"] for message in messages if message["role"] == "tool"}
    if not results:
        return [("sql_query", {"sql": OPEN}), ("file_read", {"path": "handbook.md"})]
    if len(results) == 2:  # noqa: PLR2004
        return [("file_read", {"path": "rates.csv"})]
    owed, handbook, rates = (data_in(text) for text in results.values())
    to_sek = {row["currency"]: float(row["sek"]) for row in json.loads(rates)}
    sums = {row["customer"]: row["cents"] / 100 * to_sek[row["currency"]] for row in json.loads(owed)}
    customer = max(sums, key=lambda name: sums[name])
    called = sums[customer] > 20_000 and "is called before a reminder" in handbook  # noqa: PLR2004
    return {
        "customer": customer,
        "sek": round(sums[customer], 2),
        "next": "Ines calls them before a reminder is sent" if called else "a reminder by mail, on Monday",
    }


def data_in(text: str) -> str:
    """What a tool gave, without its marks."""
    found = re.search(r"<(data-\w+)>\n(.*)\n</\1>", text, re.DOTALL)
    return found[2] if found else ""


class Door(BaseHTTPRequestHandler):
    """Answers POST /v1/chat/completions."""

    def do_POST(self) -> None:
        """A turn."""
        data = self.rfile.read(int(self.headers["content-length"]))
        asked = json.loads(data)
        wanted = turn(asked["messages"])
        message: dict = {"role": "assistant", "content": None}
        if isinstance(wanted, dict):
            message["content"] = json.dumps(wanted)
        else:
            message["tool_calls"] = [
                {
                    "id": f"call_{len(asked['messages'])}_{number}",
                    "type": "function",
                    "function": {"name": name, "arguments": json.dumps(arguments)},
                }
                for number, (name, arguments) in enumerate(wanted)
            ]
        self.answer(asked["model"], message, len(data) // 4, len(json.dumps(message)) // 4)

    def answer(self, model: str, message: dict, read: int, written: int) -> None:
        """A completion."""
        body = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": model,
            "choices": [
                {
                    "index": 0,
                    "message": message,
                    "finish_reason": "tool_calls" if message.get("tool_calls") else "stop",
                }
            ],
            "usage": {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written},
        }
        text = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *arguments: object) -> None:
        """Says nothing."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Door).serve_forever()
