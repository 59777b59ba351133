"""What pages share: the service, who asks, what was asked for, and how an answer is made of a template."""

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.resources import files
from time import time
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, urlencode

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from intendant import IntendantError, OrchestrationService
from intendant_dashboard._access import Identity, Keys, Refused

MICRO = 1_000_000
NONE = "\u2013"
"""What stands for no value."""
MINUTE = 60
TENTH = 0.1
DECIMALS = ((100 * MICRO, 2), (MICRO // 100, 4), (0, 6))
"""Decimals of an amount, from so many micro-US$ on."""
MOST_BODY = 1_000_000
"""Bytes of a form."""
MOST_FIELDS = 200
LONGEST = 2000
"""Characters of a parameter of an address."""
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class Ask(NamedTuple):
    """A request, with what its page needs."""

    request: Request
    desk: "Desk"
    identity: Identity
    form: Mapping[str, str]

    @property
    def service(self) -> OrchestrationService:
        """The service that is shown."""
        return self.desk.service

    def text(self, name: str, otherwise: str = "") -> str:
        """A parameter of the address.

        Raises:
            Refused: It is too long, or not text.
        """
        return checked(name, self.request.query_params.get(name, otherwise).strip())

    def some(self, name: str) -> str | None:
        """The same; None where it is empty."""
        return self.text(name) or None

    def one_of(self, name: str, *known: str) -> str:
        """The same; it has to be one of those that are known, the first of which holds where it is missing."""
        value = self.text(name) or known[0]
        if value not in known:
            raise Refused(400, f"{name}: '{value}' is not known", f"there is: {', '.join(filter(None, known))}")
        return value

    def number(self, name: str, otherwise: int, least: int, most: int) -> int:
        """A whole number of the address.

        Raises:
            Refused: It is none, or out of range.
        """
        value = self.text(name)
        if not value:
            return otherwise
        if not re.fullmatch(r"-?[0-9]{1,12}", value) or not least <= int(value) <= most:
            raise Refused(400, f"{name}: '{value}' is no number from {least} to {most}")
        return int(value)

    def day(self, name: str, *, end: bool = False) -> float | None:
        """A day such as 2026-11-21 (UTC): when it begins, or is over, in seconds since 1970."""
        value = self.text(name)
        if not value:
            return None
        try:
            begins = datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
        except ValueError:
            raise Refused(400, f"{name}: '{value}' is no day", "write 2026-11-21") from None
        return begins + 86_400 if end else begins

    def moment(self, name: str) -> float | None:
        """Seconds since 1970."""
        value = self.text(name)
        if not value:
            return None
        if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", value):
            raise Refused(400, f"{name}: '{value}' is no time")
        return float(value)

    def field(self, name: str, *, required: bool = True) -> str:
        """A field of a form.

        Raises:
            Refused: It is missing.
        """
        value = self.form.get(name, "")
        if required and not value.strip():
            raise Refused(400, f"{name} is missing")
        if _CONTROL.search(value):
            raise Refused(400, f"{name} has characters that are none")
        return value

    def url(self, path: str, **parameters: Any) -> str:
        """An address within the dashboard."""
        return address(self.request, path, **parameters)

    def back(self, path: str, **parameters: Any) -> Response:
        """The answer to a form: go to a page."""
        return RedirectResponse(self.url(path, **parameters), 303)

    def page(self, template: str, title: str, **context: Any) -> Response:
        """An HTML page."""
        return self.desk.page(self.request, template, title, identity=self.identity, **context)


def checked(name: str, value: str) -> str:
    """A parameter that is text of usual length.

    Raises:
        Refused: It is not.
    """
    if len(value) > LONGEST or _CONTROL.search(value):
        raise Refused(400, f"{name} is too long, or no text")
    return value


def address(request: Request, path: str, **parameters: Any) -> str:
    """An address within the dashboard, wherever it is mounted; parameters that are None or empty are left out."""
    root = quote(str(request.scope.get("root_path", "")).rstrip("/"), safe="/")
    query = urlencode({name: value for name, value in parameters.items() if value not in (None, "", False)})
    return f"{root}{path}{'?' if query else ''}{query}"


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form; of several of one name the last.

    Raises:
        Refused: It is too long, or no form.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BODY:
            raise Refused(413, "the form is too long")
    if kind != "application/x-www-form-urlencoded" and body:
        raise Refused(415, "a form is application/x-www-form-urlencoded")
    try:
        pairs = parse_qsl(
            body.decode("utf-8"), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict"
        )
    except (ValueError, UnicodeDecodeError):
        raise Refused(400, "the form cannot be read") from None
    return {name: value.replace("\r\n", "\n") for name, value in pairs}


class Desk:
    """What all requests share.

    Args:
        service: The service that is shown.
        keys: The tokens.
    """

    def __init__(self, service: OrchestrationService, keys: Keys) -> None:
        self.service = service
        self.keys = keys
        self.streams = 0
        """Pages that are kept up to date now."""
        self._kept: dict[str, tuple[float, Any]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._templates = Environment(
            loader=FunctionLoader(_source),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.filters.update(FILTERS)
        self._templates.globals.update(whole=whole, money=money, seconds=seconds)

    def page(
        self,
        request: Request,
        template: str,
        title: str,
        code: int = 200,
        *,
        identity: Identity | None,
        **context: Any,
    ) -> Response:
        """An HTML page of a template."""
        return HTMLResponse(self.text(request, template, title=title, identity=identity, **context), code)

    def text(self, request: Request, template: str, **context: Any) -> str:
        """A template filled in."""

        def url(path: str, **parameters: Any) -> str:
            return address(request, path, **parameters)

        def here(**changed: Any) -> str:
            """The address of this page with other parameters."""
            return address(request, request.scope["_path"], **{**dict(request.query_params), **changed})

        path = request.scope.get("_path", "")
        return self._templates.get_template(template).render(
            request=request, url=url, here=here, path=path, section=section_of(path), **context
        )

    async def kept(self, name: str, seconds: float, make: Callable[[], Awaitable[Any]]) -> Any:
        """What *make* gives; the same for some seconds, as many pages show it."""
        at, value = self._kept.get(name, (0.0, None))
        if time() - at > seconds:
            value = await make()
            self._kept[name] = (time(), value)
        return value

    def later(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Begin something that goes on when its request is over."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logging.getLogger("intendant.dashboard").error("run_not_executed: %s", error)

    def warm(self) -> None:
        """Read what takes longer the first time, so that no page has to wait for it."""

        async def read() -> None:
            with suppress(IntendantError):  # the pages say so
                await self.service.operations.rules()

        self.later(read())

    async def aclose(self) -> None:
        """Cancel what goes on: runs that were begun here end as cancelled, and are recorded so."""
        for task in set(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks))


SECTIONS = {"run": "/runs", "step": "/runs", "original": "/runs", "setting": "/settings", "agent": "/agents"}
"""Where pages of one thing belong that are in no list of pages."""


def section_of(path: str) -> str:
    """The entry of the navigation that a page belongs to."""
    first = path.split("/")[1] if path.count("/") else ""
    return SECTIONS.get(first, f"/{first}")


def _source(name: str) -> str:
    return files("intendant_dashboard").joinpath("templates", name).read_text(encoding="utf-8")


Page = Callable[[Ask], Awaitable[Response]]
PAGES: dict[str, Page] = {}
ACTIONS: dict[str, Page] = {}


def page(path: str) -> Callable[[Page], Page]:
    """Answer GET at a path."""

    def register(function: Page) -> Page:
        PAGES[path] = function
        return function

    return register


def action(path: str) -> Callable[[Page], Page]:
    """Answer POST at a path: an operator's only, from our own pages."""

    def register(function: Page) -> Page:
        ACTIONS[path] = function
        return function

    return register


# --- how values are written ---


def money(micro: float | None) -> str:
    """Micro-US$ as US dollars: with so many decimals that small amounts can be told apart."""
    if micro is None:
        return "?"
    if not micro:
        return "$0"
    size = abs(micro)
    decimals = next(places for least, places in DECIMALS if size >= least)
    return f"{'-' if micro < 0 else ''}${size / MICRO:,.{decimals}f}"


def whole(value: float | None) -> str:
    """A whole number with its thousands set apart."""
    return NONE if value is None else f"{value:,.0f}"


def percent(value: float | None) -> str:
    """A share."""
    return NONE if value is None else f"{value:.0%}" if value >= TENTH or not value else f"{value:.1%}"


def seconds(value: float | None) -> str:
    """A time that something took."""
    if value is None:
        return NONE
    if value < 1:
        return f"{1000 * value:.0f} ms"
    if value < MINUTE:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), MINUTE)
    hours, minutes = divmod(minutes, MINUTE)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def when(at: float | None) -> Markup:
    """A point in time (UTC), as an element that says the whole of it."""
    if at is None:
        return escape(NONE)
    moment = datetime.fromtimestamp(at, UTC)
    whole_text, short = moment.strftime("%Y-%m-%d %H:%M:%S UTC"), moment.strftime("%m-%d %H:%M:%S")
    made = Markup('<time datetime="{}" title="{}">{}</time>')
    return made.format(moment.isoformat(), whole_text, short)


def as_json(value: Any) -> str:
    """A value as JSON that people read; text as it is."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, indent=2, default=str)


def short(text: str, most: int = 80) -> str:
    """A text that is not too long."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def ticked(text: str) -> Markup:
    """A text in which names of code stand in backticks, as an element each."""
    parts = [str(escape(part)) for part in text.split("`")]
    if len(parts) % 2 == 0:  # one that nothing closes
        parts[-2:] = ["`".join(parts[-2:])]
    made = (part if number % 2 == 0 else f"<code>{part}</code>" for number, part in enumerate(parts))
    return Markup("".join(made))  # noqa: S704  # every part is escaped


def of_setting(value: Any) -> str:
    """A setting's value."""
    return "none" if value is None else as_json(value)


def words(text: str) -> str:
    """A name of code as words."""
    return text.replace("_", " ")


FILTERS: dict[str, Callable[..., Any]] = {
    "money": money,
    "whole": whole,
    "percent": percent,
    "seconds": seconds,
    "when": when,
    "as_json": as_json,
    "short": short,
    "words": words,
    "ticked": ticked,
    "of_setting": of_setting,
}
