"""Makes the log of this example, 40,000 lines, the same each time: python make_log.py [LINES]"""

import random
import sys
from pathlib import Path

LINES = 40_000
SERVICES = ("web-1", "web-2", "web-3", "orders", "mailer")
PATHS = ("/", "/orders", "/orders/{id}", "/login", "/static/app.js", "/health", "/cart", "/search?q={id}")
INCIDENTS = {
    4_812: ("orders", "ERROR payment PAY-7731 declined by the bank after 3 tries, amount 412.50 EUR"),
    12_873: ("orders", "ERROR database pool exhausted: 40 of 40 connections in use, oldest query 95s"),
    12_874: ("web-2", "ERROR GET /orders/88213 503 upstream orders unavailable"),
    12_901: ("orders", "WARN restarted by the watchdog, cause: pool exhausted"),
    21_340: ("mailer", "ERROR SMTP 421 from mx2.example.net, 212 mails deferred"),
    29_555: ("web-1", "WARN deploy 2026.47.2 begins, replacing 2026.47.1"),
    29_612: ("web-1", "ERROR deploy 2026.47.2 fails its health check: migration 0093 missing"),
    29_640: ("web-1", "WARN deploy 2026.47.2 rolled back by release-bot"),
    36_008: ("orders", "FATAL disk /var/lib/orders 100% full, writes stopped"),
    36_231: ("orders", "INFO disk /var/lib/orders cleaned by ops-anna, 61% used, writes resumed"),
}


def line(number: int, dice: random.Random, incidents: dict[int, tuple[str, str]]) -> str:
    """A line of the log."""
    second = number * 2
    at = f"2026-11-20T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z"
    if number in incidents:
        service, text = incidents[number]
        return f"{at} {service} {text}\n"
    path = dice.choice(PATHS).format(id=dice.randrange(10_000, 99_999))
    status = dice.choices((200, 304, 404), (90, 8, 2))[0]
    return f"{at} {dice.choice(SERVICES)} INFO GET {path} {status} {dice.randrange(3, 240)}ms\n"


def main() -> None:
    """Write `app.log`."""
    dice, lines = random.Random(47), int(sys.argv[1]) if len(sys.argv) > 1 else LINES
    incidents = {number * lines // LINES: what for number, what in INCIDENTS.items()}
    with Path("app.log").open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(line(number, dice, incidents) for number in range(1, lines + 1))


if __name__ == "__main__":
    main()
