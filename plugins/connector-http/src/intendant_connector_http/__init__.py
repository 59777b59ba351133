"""Calls HTTP APIs, page by page if a response has several pages."""

import codecs
import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, JsonValue, model_validator

from intendant.plugin import (
    ConnectorCall,
    ConnectorError,
    Effect,
    Fetched,
    HttpAsk,
    HttpAuth,
    Json,
    NetworkConnector,
    NetworkSettings,
    Options,
    check_url,
    operation,
    shown,
)
from intendant_connector_http._paging import Paging, items_of, next_ask, short_of, unread_pages

__all__ = ["Delete", "Get", "HttpConnector", "HttpSettings", "Paging", "Post", "Put", "Request"]

Scalar = str | int | float | bool
READING = frozenset({"GET", "HEAD", "OPTIONS"})
IDEMPOTENT = READING | {"PUT", "DELETE"}


class HttpSettings(NetworkSettings):
    """Settings of the connector."""

    max_pages: int = Field(default=1000, ge=1)
    """Maximum number of pages that one step may read."""
    max_items: int = Field(default=1_000_000, ge=1)
    """Maximum number of records on all pages of one step."""


class _Common(Options):
    url: str = Field(min_length=1)
    """An http or https address without a user or password."""
    headers: dict[str, str] = Field(default_factory=dict)
    query: dict[str, str | int | float | bool | list[str | int | float | bool] | None] = Field(
        default_factory=dict
    )
    """Query parameters; a list repeats the name, null omits it."""
    auth: HttpAuth | None = None
    """Credentials: `bearer: "{{ secrets.NAME }}"`, or `user` and `password`, or `header` and `value`."""
    answer: Literal["auto", "json", "text", "full"] = "auto"
    """`auto` parses a response as data if its content type is JSON or JSON lines, and returns text otherwise;
    `full` returns `{status, headers, body}`."""
    accept: tuple[int, ...] = ()
    """Status codes of 400 and above that are not errors, such as `[404]`."""

    @property
    def all_headers(self) -> dict[str, str]:
        """The headers, with those of the credentials."""
        return {**self.headers, **(self.auth.headers() if self.auth else {})}


class Get(_Common):
    """What to read."""

    pages: Paging | None = None
    """Pagination: how to find the next page. The records of all pages are returned as one list."""


class Delete(_Common):
    """What to delete."""


class _WithBody(_Common):
    json_: JsonValue = Field(default=None, alias="json")
    """Data to send as JSON. Without `json`, `body` and `form`, the step's input is sent."""
    body: str | None = None
    """Text to send unchanged."""
    form: dict[str, str | int | float | bool] | None = None
    """Fields to send as a web form."""
    idempotency_header: str = Field(default="Idempotency-Key", pattern=r"^[A-Za-z0-9-]*$")
    """The header that carries the delivery's idempotency key; empty for none."""

    @model_validator(mode="after")
    def _one_content(self) -> "_WithBody":
        given = [name for name, value in (("json", self.json_), ("body", self.body), ("form", self.form)) if value]
        if len(given) > 1:
            raise ValueError(f"`{given[0]}` and `{given[1]}` exclude each other")
        return self

    def content(self, value: Json) -> tuple[bytes | None, str | None]:
        """The body to send, and its content type; *value* is the step's input."""
        if self.form is not None:
            from urllib.parse import urlencode

            return urlencode(self.form).encode(), "application/x-www-form-urlencoded"
        if self.body is not None:
            return self.body.encode(), "text/plain; charset=utf-8"
        value = value if self.json_ is None else self.json_
        if value is None:
            return None, None
        return json.dumps(value, ensure_ascii=False).encode(), "application/json"


class Post(_WithBody):
    """Where and what to post."""


class Put(_WithBody):
    """Where and what to put."""


class Request(_WithBody):
    """A request with any method."""

    method: str = Field(pattern=r"^[A-Z]{3,20}$")
    """The method in capitals, such as `PATCH`."""
    pages: Paging | None = None


LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")
"""Content types of JSON lines."""
REPLACED = "\ufffd"


class HttpConnector(NetworkConnector):
    """Calls HTTP APIs: reads page by page, sends data, with credentials by name."""

    name = "http"
    Settings = HttpSettings

    async def effect_of(self, name: str, parameters: Any) -> Effect:
        """The effect of a request follows from its method."""
        method = parameters.method if isinstance(parameters, Request) else name.upper()
        return Effect(side_effects=method not in READING, idempotent=method in IDEMPOTENT)

    def needs_input(self, name: str, given: Mapping[str, Json]) -> bool:
        """True if the method sends a body, and neither `json`, `body` nor `form` provides one."""
        reads = name in ("get", "delete") or given.get("method") in {*READING, "DELETE"}
        return not reads and not {"json", "body", "form"} & set(given)

    @operation(side_effects=False)
    async def get(self, parameters: Get, call: ConnectorCall) -> Json:
        """Read from an address; with `pages`, all pages.

        Raises:
            AddressRefused: The address may not be reached.
            ConnectorError: The server cannot be reached, or answers with an error.
        """
        return await self._send("GET", parameters, None, None, call=call, pages=parameters.pages)

    @operation(side_effects=True)
    async def post(self, parameters: Post, call: ConnectorCall) -> Json:
        """Send `json`, `body`, `form` or the step's input to an address with POST.

        Raises:
            AddressRefused: The address may not be reached.
            ConnectorError: The server cannot be reached, or answers with an error.
        """
        return await self._send("POST", parameters, *parameters.content(call.input), call=call)

    @operation(side_effects=True, idempotent=True)
    async def put(self, parameters: Put, call: ConnectorCall) -> Json:
        """Send `json`, `body`, `form` or the step's input to an address with PUT.

        Raises:
            AddressRefused: The address may not be reached.
            ConnectorError: The server cannot be reached, or answers with an error.
        """
        return await self._send("PUT", parameters, *parameters.content(call.input), call=call)

    @operation(side_effects=True, idempotent=True, needs_input=False)
    async def delete(self, parameters: Delete, call: ConnectorCall) -> Json:
        """Delete the resource at an address.

        Raises:
            AddressRefused: The address may not be reached.
            ConnectorError: The server cannot be reached, or answers with an error.
        """
        return await self._send("DELETE", parameters, None, None, call=call)

    @operation(side_effects=True, varies=True)
    async def request(self, parameters: Request, call: ConnectorCall) -> Json:
        """Send a request with any method.

        Raises:
            AddressRefused: The address may not be reached.
            ConnectorError: The server cannot be reached, or answers with an error.
        """
        content, kind = parameters.content(call.input)
        if parameters.method in READING and parameters.json_ is None:
            content, kind = None, None
        return await self._send(parameters.method, parameters, content, kind, call=call, pages=parameters.pages)

    async def _send(
        self,
        method: str,
        parameters: _Common,
        content: bytes | None,
        kind: str | None,
        *,
        call: ConnectorCall,
        pages: Paging | None = None,
    ) -> Json:
        headers = {"Accept": "application/json, */*;q=0.5"}
        if kind is not None:
            headers["Content-Type"] = kind
        if isinstance(parameters, _WithBody) and parameters.idempotency_header:
            headers[parameters.idempotency_header] = call.idempotency_key
        named = {name.lower() for name in parameters.all_headers}
        headers = {name: value for name, value in headers.items() if name.lower() not in named}
        check_url(parameters.url)
        ask = HttpAsk(
            url=parameters.url,
            method=method,
            headers={**headers, **parameters.all_headers},
            query=parameters.query,
            content=content,
            any_status=bool(parameters.accept),
        )
        if pages is not None:
            return await self._all_pages(ask, pages, parameters, call.notes)
        found = await self._accepted(ask, parameters)
        data = _read(found, parameters.answer, call.notes)
        if method == "GET":
            body = data["body"] if parameters.answer == "full" and isinstance(data, dict) else data
            call.notes.extend(filter(None, [unread_pages(found, body)]))
        return data

    async def _accepted(self, ask: HttpAsk, parameters: _Common) -> Fetched:
        found = await self.http(ask)
        return found if found.status in parameters.accept else self.judged(ask, found)

    async def _all_pages(self, ask: HttpAsk, pages: Paging, parameters: _Common, notes: list[str]) -> list[Json]:
        """The records of all pages."""
        records: list[Json] = []
        seen = set()
        most = min(pages.max, self.settings.max_pages)
        following = ask
        for number in range(1, most + 1):
            found = await self._accepted(following, parameters)
            data = _read(found, "json" if parameters.answer == "full" else parameters.answer, notes)
            items = items_of(data, pages, shown(found.url))
            records += items
            if len(records) > self.settings.max_items:
                raise ConnectorError(
                    f"{shown(ask.url)} gives more than {self.settings.max_items} records",
                    hint=f"ask for fewer, or see {self.setting('max_items')}",
                )
            after = next_ask(ask, found, data, pages, number, len(items), len(records))
            if after is None:
                notes.append(_end(pages, number, len(items)))
                notes += filter(None, [short_of(data, len(records))])
                return records
            following = after
            place = (following.url, json.dumps(dict(following.query), sort_keys=True, default=str))
            if place in seen and not items:  # a cursor that stays where it is, at the end
                notes.append(_end(pages, number, 0))
                return records
            if place in seen:
                raise ConnectorError(f"page {number} of {shown(ask.url)} leads to a page that was read already")
            seen.add(place)
        raise ConnectorError(
            f"{shown(ask.url)} has more than {most} pages",
            hint=f"raise `pages.max`; at most {self.setting('max_pages')}",
        )


def _end(pages: Paging, number: int, count: int) -> str:
    """A note on why pagination ended, because a single page may be a mistake."""
    text = f"{number} page{'s' if number > 1 else ''}"
    if number > 1:
        return text
    if pages.by == "cursor" and pages.more is None:
        return f"{text}: its answer has nothing at `pages.cursor` ({pages.cursor})"
    if pages.by == "link":
        return f"{text}: its answer has no link to a next one"
    if pages.size is not None and count < pages.size and pages.by != "cursor":
        return f"{text}: it has {count} records, fewer than `pages.size`"
    return text


def _read(found: Fetched, answer: str, notes: list[str]) -> Json:
    """The response as data or text."""
    if answer == "full":
        body = _read(found, "auto", notes)
        return {"status": found.status, "headers": dict(found.headers), "body": body}
    is_json = found.content_type == "application/json" or found.content_type.endswith("+json")
    if answer == "json" or (answer == "auto" and is_json):
        if not found.body.strip():
            return None
        try:
            return _json(found.body, found.charset)
        except (ValueError, RecursionError) as error:
            hint = "`answer: text` gives it as it is"
            raise ConnectorError(f"the answer of {shown(found.url)} is no JSON: {error}", hint=hint) from None
    if answer == "auto" and found.content_type in LINES:
        return _lines(found)
    try:
        return found.body.decode(found.charset or "utf-8", "strict")
    except (LookupError, UnicodeDecodeError):
        if found.content_type.startswith("text/"):
            text = found.body.decode("utf-8", "replace")
            notes.append(
                f"{text.count(REPLACED)} characters of {shown(found.url)} could not be decoded and are replaced"
            )
            return text
        raise ConnectorError(
            f"the answer of {shown(found.url)} is {found.content_type or 'no text'}, not text or JSON",
            hint="see document.read and web.page",
        ) from None


def _json(body: bytes, charset: str | None) -> Json:
    """The value of JSON, in one of JSON's encodings, else in the charset of the content type.

    Raises:
        ValueError: It is no JSON.
    """
    text: str | bytes = body
    try:
        body.decode(json.detect_encoding(body), "strict")
    except UnicodeDecodeError:
        text = body.decode(charset or "utf-8", "strict") if _is_codec(charset) else body
    value: Json = json.loads(text, parse_constant=_refuse)
    return value


def _is_codec(charset: str | None) -> bool:
    try:
        return charset is not None and bool(codecs.lookup(charset))
    except LookupError:
        return False


def _refuse(constant: str) -> None:
    raise ValueError(f"it has {constant}, which JSON has not")


def _lines(found: Fetched) -> list[Json]:
    """The values of JSON lines."""
    values: list[Json] = []
    for number, line in enumerate(found.body.splitlines(), 1):
        try:
            values += [_json(line, found.charset)] if line.strip() else []
        except (ValueError, RecursionError) as error:
            where = f"line {number} of the answer of {shown(found.url)}"
            raise ConnectorError(f"{where} is no JSON: {error}", hint="`answer: text` gives it as it is") from None
    return values
