"""The application: finds the page, checks who asks, and makes an answer of every error."""

import mimetypes
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from intendant import IntendantError, OrchestrationService, RunNotFound
from intendant_dashboard import _actions, _money_pages, _operate_pages, _pages, _run_pages  # noqa: F401  # they register pages
from intendant_dashboard._access import SAFE, Guard, Identity, Keys, Refused, check_csrf, check_origin, path_of
from intendant_dashboard._desk import ACTIONS, LONGEST, PAGES, Ask, Desk, address, checked, form_of

OPEN = ("/sign-in", "/static/")
LOG_NAME = "intendant.dashboard"
UNKNOWN = 401
"""The status of answers to those that are not signed in."""


def make_app(
    service: OrchestrationService,
    token: str | Mapping[str, str],
    read_token: str | Mapping[str, str] | None,
    hosts: Sequence[str],
) -> ASGIApp:
    """See `intendant_dashboard.dashboard`."""
    keys = Keys(token, read_token)
    desk = Desk(service, keys)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        desk.warm()
        yield
        await desk.aclose()

    guarded = Guard(_Answers(desk), keys, hosts, OPEN)
    return Starlette(routes=[Mount("/", app=guarded)], lifespan=lifespan)


class _Answers:
    """The answer to each request."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        scope["_path"] = path_of(scope) or "/"
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            return
        except Refused as refused:
            response = self._error(request, refused)
        except RunNotFound as error:
            response = self._error(request, Refused(404, error.message, error.hint))
        except IntendantError as error:
            response = self._error(request, Refused(400, error.message, error.hint))
        except Exception:
            import logging

            logging.getLogger(LOG_NAME).exception("page_failed: %s", scope["_path"])
            response = self._error(request, Refused(500, "this page failed", "the server's log says why"))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        state, path = request.scope["state"], request.scope["_path"]
        if (refused := state.get("refused")) is not None:
            raise refused
        if path.startswith("/static/"):
            return _static(path, request.method)
        identity: Identity | None = state["identity"]
        if path == "/sign-in":
            return await self._sign_in(request, identity)
        if identity is None:
            raise Refused(401, "you are not signed in")
        if request.method in SAFE:
            found = PAGES.get(path)
            if found is None:
                raise Refused(405 if path in ACTIONS else 404, "there is no such page")
            return await found(Ask(request, self._desk, identity, {}))
        return await self._act(request, identity, path)

    async def _act(self, request: Request, identity: Identity, path: str) -> Response:
        if request.method != "POST" or (path not in ACTIONS and path != "/sign-out"):
            raise Refused(405 if path in PAGES else 404, "there is nothing to change here")
        check_origin(request)
        form = await form_of(request)
        check_csrf(request, form, identity)
        if path == "/sign-out":
            response = RedirectResponse(address(request, "/sign-in"), 303)
            response.delete_cookie(self._desk.keys.cookie, path=_root(request))
            return response
        if identity.role != "operator":
            raise Refused(403, "a reader changes nothing", "sign in with an operator's token")
        return await ACTIONS[path](Ask(request, self._desk, identity, form))

    async def _sign_in(self, request: Request, identity: Identity | None) -> Response:
        aim = _inside(checked("next", request.query_params.get("next", "")))
        if request.method in SAFE:
            return self._desk.page(request, "sign_in.html", "Sign in", identity=identity, aim=aim, wrong=False)
        if request.method != "POST":
            raise Refused(405, "there is nothing to change here")
        check_origin(request)
        form = await form_of(request)
        found = self._desk.keys.admit(request, form.get("token", "").strip())
        aim = _inside(form.get("next", ""))
        if found is None:
            return self._desk.page(request, "sign_in.html", "Sign in", 401, identity=None, aim=aim, wrong=True)
        response = RedirectResponse(address(request, "/") if not aim else _root(request).rstrip("/") + aim, 303)
        response.set_cookie(
            self._desk.keys.cookie,
            self._desk.keys.session(found[0]),
            path=_root(request),
            # Behind a proxy that ends TLS, only the page's origin says so.
            secure="https" in (request.url.scheme, request.headers.get("origin", "").partition(":")[0]),
            httponly=True,
            samesite="strict",
        )
        return response

    def _error(self, request: Request, refused: Refused) -> Response:
        state, path = request.scope["state"], request.scope["_path"]
        wants_page = "text/html" in request.headers.get("accept", "")
        bearer = "authorization" in request.headers
        if refused.status == UNKNOWN and wants_page and not bearer and request.method in SAFE:
            query = request.scope.get("query_string", b"").decode("latin-1")
            aim = "" if path == "/" and not query else path + (f"?{query}" if query else "")
            return RedirectResponse(address(request, "/sign-in", next=aim[:1500]), 303)
        headers = {**refused.headers, **({"www-authenticate": "Bearer"} if refused.status == UNKNOWN else {})}
        if not wants_page:
            text = refused.message + (f"\n{refused.hint}" if refused.hint else "")
            return PlainTextResponse(f"{text}\n", refused.status, headers)
        response = self._desk.page(
            request, "error.html", "Not done", refused.status, identity=state.get("identity"), error=refused
        )
        response.headers.update(headers)
        return response


def _root(request: Request) -> str:
    return address(request, "/")


def _inside(aim: str) -> str:
    """An address within the dashboard; empty for any other."""
    bad = not aim.startswith("/") or aim.startswith(("//", "/\\")) or any(mark in aim for mark in "\\\r\n\t#")
    return "" if bad or len(aim) > LONGEST else aim


_FILES: dict[str, bytes] = {}


def _static(path: str, method: str) -> Response:
    """A file of the distribution; only names that are in it, so that no path leads out of it."""
    if method not in SAFE:
        raise Refused(405, "there is nothing to change here")
    if not _FILES:
        folder = files("intendant_dashboard").joinpath("static")
        for each in folder.iterdir():
            if each.is_file():
                _FILES[each.name] = each.read_bytes()
        for each in folder.joinpath("vendor").iterdir():
            _FILES[f"vendor/{each.name}"] = each.read_bytes()
    name = path.removeprefix("/static/")
    data = _FILES.get(name)
    if data is None:
        raise Refused(404, "there is no such file")
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    # Addresses carry no version: browsers ask again after an hour.
    return Response(data, media_type=kind, headers={"cache-control": "max-age=3600"})
