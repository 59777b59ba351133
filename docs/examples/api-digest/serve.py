"""A small API of orders with pages, and a place for webhooks: `python serve.py 8787`. For trying the example."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

ORDERS = json.loads(Path(__file__).with_name("orders.json").read_text(encoding="utf-8"))
SIZE = 5


class Door(BaseHTTPRequestHandler):
    """Answers GET /orders?cursor=N to those who know the key, and prints what is posted to /hook."""

    def do_GET(self) -> None:
        """A page of orders."""
        query = parse_qs(urlsplit(self.path).query)
        if self.headers["authorization"] != "Bearer test-key-of-the-example":
            self.answer(401, {"error": "who are you?"})
            return
        start = int(query.get("cursor", ["0"])[0])
        following = start + SIZE if start + SIZE < len(ORDERS) else None
        self.answer(200, {"data": ORDERS[start : start + SIZE], "next": following})

    def do_POST(self) -> None:
        """A webhook."""
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        print(f"webhook {self.headers['webhook-id']}: {body}", flush=True)
        self.answer(200, {"ok": True})

    def answer(self, status: int, data: object) -> None:
        """JSON."""
        text = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Says nothing of each request."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Door).serve_forever()
