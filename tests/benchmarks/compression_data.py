"""Invented documents of the kinds that steps of workflows read, with facts that must survive."""

import json
import random
from dataclasses import dataclass, field

CRITICAL = {"query", "gold", "fact", "error", "rare", "signature", "change", "title", "heading", "file", "summary"}
"""Classes of facts that a reader would miss first."""
NAMES = ("ada", "grace", "edsger", "barbara", "donald", "frances", "alan", "radia")
TOWNS = ("Arnstadt", "Bellinzona", "Cahors", "Delft", "Évora", "Faenza", "Ghent")
WORDS = [
    "the",
    "pump",
    "valve",
    "tank",
    "belt",
    "hall",
    "order",
    "state",
    "of",
    "a",
    "new",
    "old",
    "large",
    "small",
    "report",
    "was",
    "is",
    "has",
    "with",
    "after",
    "before",
]


@dataclass
class Document:
    """What is compressed."""

    kind: str
    text: str
    query: str = ""
    facts: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    """Class, and the spellings of which one has to be there."""


def invented(seed: int = 7) -> list[Document]:
    """Two documents of each kind."""
    made = []
    for number in range(2):
        rng = random.Random(seed + number)
        made += [make(rng) for make in (_json, _nested, _log, _table, _listing, _tests, _mail, _page, _meeting)]
        made += [make(rng) for make in (_prose, _code, _diff, _config)]
    return made


def _fact(name: str, *spellings: str) -> tuple[str, tuple[str, ...]]:
    return name, spellings


def _sentence(rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(6, 14))).capitalize() + "."


def _json(rng: random.Random) -> Document:
    rows = [
        {
            "id": 4000 + n,
            "kind": "order",
            "customer": {"name": rng.choice(NAMES), "town": rng.choice(TOWNS)},
            "total": round(rng.uniform(5, 900), 2),
            "note": _sentence(rng) if n % 9 == 0 else None,
        }
        for n in range(90)
    ]
    rows[41]["total"] = 98765.43
    text = json.dumps({"next": None, "rows": rows}, indent=2)
    return Document(
        "json", text, "Which order has the largest total?", [_fact("rare", "98765.43"), _fact("query", "4041")]
    )


def _nested(rng: random.Random) -> Document:
    def user(name: str) -> dict[str, object]:
        url = f"https://api.example.org/users/{name}"
        return {"login": name, "id": len(name) * 77, "url": url, "orgs_url": f"{url}/orgs", "site_admin": False}

    rows = [
        {
            "event": rng.choice(("labeled", "closed", "assigned")),
            "actor": user(rng.choice(NAMES)),
            "created_at": f"2026-03-{n % 28 + 1:02d}T07:{n:02d}:00Z",
            "issue": {"number": 500 + n, "labels": [{"name": "bug"}, {"name": rng.choice(TOWNS)}]},
        }
        for n in range(40)
    ]
    return Document(
        "json", json.dumps(rows), "When was issue 523 touched?", [_fact("query", "2026-03-24T07:23:00Z")]
    )


def _log(rng: random.Random) -> Document:
    lines = []
    for n in range(260):
        stamp = f"2026-03-04 07:{n // 20:02d}:{n // 3 % 60:02d}"
        job, host = rng.randint(1000, 9999), rng.randint(1, 5)
        lines.append(
            f"{stamp} INFO worker-{host} finished job {job} in {rng.randint(3, 99)} ms"
            if n % 3
            else f"{stamp} INFO scheduler took job {job} from queue {rng.choice(TOWNS)}"
        )
    lines[133] = "2026-03-04 07:06:44 ERROR worker-3 disk full on /dev/sda1, job 7781 was given up"
    facts = [_fact("error", "disk full on /dev/sda1"), _fact("query", "7781")]
    return Document("log", "\n".join(lines), "Why was a job given up?", facts)


def _table(rng: random.Random) -> Document:
    lines = ["year,town,pumps,litres"]
    lines += [
        f"{1980 + n // 5},{rng.choice(TOWNS)},{rng.randint(1, 40)},{rng.uniform(1, 9e4):.1f}" for n in range(150)
    ]
    lines[77] = "1995,Ghent,41,123456.7"
    return Document(
        "table", "\n".join(lines), "Where were 41 pumps?", [_fact("rare", "123456.7"), _fact("query", "Ghent")]
    )


def _listing(rng: random.Random) -> Document:
    lines = []
    for n in range(120):
        name = f"{rng.choice(NAMES)}-{rng.choice(WORDS)}{n}.txt"
        lines.append(
            f"-rw-r--r-- 1 root root {rng.randint(10, 10**7):>8} Mar {n % 28 + 1:>2} 07:{n % 60:02d} {name}"
        )
    lines[60] = "-rw-rw-rw- 1 mallory root        7 Mar 13 03:33 passwords.txt"
    return Document(
        "shell",
        "\n".join(lines),
        "Whose file may all write?",
        [_fact("query", "mallory"), _fact("rare", "passwords.txt")],
    )


def _tests(rng: random.Random) -> Document:
    lines = []
    for n in range(130):
        name = f"tests/test_{NAMES[n // 20]}.py::test_{'_'.join(rng.choices(WORDS, k=4))}_{n} "
        state = "FAILED" if n == 71 else "PASSED"
        lines.append(f"{(name + state).ljust(90)}[{n * 100 // 130:3d}%]")
    lines += ["E   AssertionError: 41 litres, not 42", "=== 1 failed, 129 passed in 3.47s ==="]
    facts = [_fact("error", "41 litres, not 42"), _fact("summary", "1 failed, 129 passed in 3.47s")]
    return Document("shell", "\n".join(lines), "What failed?", facts)


def _mail(rng: random.Random) -> Document:
    body = [_sentence(rng) for _ in range(12)]
    body[5] = "The pump in hall 4 was replaced on 4 March by Radia."
    first = [
        "From: ada@example.org",
        "Date: Wed, 4 Mar 2026 07:00:00 +0100",
        "Subject: pump",
        "",
        *body,
        "",
        "-- ",
        "Ada",
    ]
    thread = list(first)
    for name in ("bo@example.org", "cy@example.org"):
        thread += [
            "",
            f"From: {name}",
            "Subject: Re: pump",
            "",
            *[f"> {line}" for line in body],
            "",
            _sentence(rng),
        ]
    return Document(
        "email", "\n".join(thread), "Who replaced the pump?", [_fact("gold", "replaced on 4 March by Radia")]
    )


def _page(rng: random.Random) -> Document:
    menu = "".join(f'<li class="nav-item"><a href="/{town}" class="nav-link">{town}</a></li>' for town in TOWNS)
    text = "".join(f'<p class="body text-{n}">{_sentence(rng)} {_sentence(rng)}</p>' for n in range(14))
    gold = "<p>The bridge was opened in 1887, after nine years of work.</p>"
    page = (
        "<!DOCTYPE html><html><head><title>Bridges of Delft</title><style>.nav-item{color:#123456;margin:0}</style>"
        f"<script>var tracked = {list(range(200))};</script></head><body><ul>{menu}</ul><h1>Bridges</h1>{text}{gold}"
        f"<ul>{menu}</ul></body></html>"
    )
    facts = [_fact("title", "Bridges of Delft"), _fact("gold", "opened in 1887, after nine years of work")]
    return Document("html", page, "When was the bridge opened?", facts)


def _meeting(rng: random.Random) -> Document:
    roles = ("Project Manager", "Industrial Designer", "Marketing")
    lines = [f"{rng.choice(roles)}: {_sentence(rng)} {_sentence(rng)}" for _ in range(60)]
    lines[31] = "Marketing: We decided that the case will be yellow rubber."
    return Document(
        "meeting", "\n".join(lines), "What will the case be made of?", [_fact("gold", "yellow rubber")]
    )


def _prose(rng: random.Random) -> Document:
    paragraphs = [" ".join(_sentence(rng) for _ in range(7)) for _ in range(9)]
    paragraphs[4] += " Nobody but the lighthouse keeper, Marta Quist, had a key."
    return Document("prose", "\n\n".join(paragraphs), "Who had a key?", [_fact("gold", "Marta Quist")])


def _code(rng: random.Random) -> Document:
    parts = []
    for n in range(18):
        body = "\n".join(
            f"    {rng.choice(NAMES)} = {rng.choice(WORDS)}_{k}({rng.randint(1, 99)})" for k in range(6)
        )
        parts.append(f"def {rng.choice(NAMES)}_{n}(value: int) -> int:\n{body}\n    return value\n")
    name = parts[11].partition("(")[0]
    return Document("code", "\n\n".join(parts), f"What does {name[4:]} return?", [_fact("signature", name)])


def _diff(rng: random.Random) -> Document:
    lines = []
    for n in range(6):
        path = f"src/{NAMES[n]}.py"
        lines += [f"diff --git a/{path} b/{path}", f"--- a/{path}", f"+++ b/{path}", f"@@ -{n},9 +{n},9 @@"]
        lines += [f" {_sentence(rng)}" for _ in range(6)] + [f"-limit = {n}", f"+limit = {n * 7 + 1}"]
    return Document("diff", "\n".join(lines), "What is the limit in frances.py?", [_fact("change", "+limit = 36")])


def _config(rng: random.Random) -> Document:
    lines = []
    for n, town in enumerate(TOWNS):
        lines += [
            f"- name: {town.lower()}",
            "  image: example.org/pump:1.4",
            "  env:",
            f"    LIMIT: {rng.randint(1, 99)}",
        ]
        lines += ["  ports:", f"    - {8000 + n}", f"  # {_sentence(rng)}"]
    return Document("config", "\n".join(lines), "Which port has delft?", [_fact("query", "8003")])
