"""Who may do what: tokens, sessions, and what keeps other sites out."""

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from time import time
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from intendant import SettingsError
from intendant_dashboard._attempts import Attempts

Role = Literal["operator", "reader"]
SESSION_SECONDS = 12 * 3600
COOKIE = "intendant_session"
SAFE = ("GET", "HEAD")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # `no-referrer` would make browsers send `Origin: null` with our own forms.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class Identity(NamedTuple):
    """Who asks."""

    name: str
    role: Role
    csrf: str
    """What forms have to carry; empty for a bearer token, which no other site can make a browser send."""


class Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.status, self.message, self.hint = status, message, hint
        self.headers: dict[str, str] = {}


class _Key(NamedTuple):
    name: str
    role: Role
    token: bytes


class Keys:
    """The tokens.

    Args:
        operators: One token, or tokens by name.
        readers: The same for those that may only read.

    Raises:
        SettingsError: A token is empty, or given twice.
    """

    def __init__(self, operators: str | Mapping[str, str], readers: str | Mapping[str, str] | None) -> None:
        self._keys = [*_keys(operators, "operator"), *_keys(readers or {}, "reader")]
        if not any(key.role == "operator" for key in self._keys):
            raise SettingsError("the dashboard has no token", hint="give one that nobody can guess")
        known = [key.token for key in self._keys]
        if not all(known) or len(set(known)) < len(known):
            raise SettingsError(
                "a token of the dashboard is empty, or given twice", hint="give each person another"
            )
        names = [key.name for key in self._keys]
        if len(set(names)) < len(names):
            raise SettingsError("two tokens of the dashboard have the same name", hint="name each person once")
        self.attempts = Attempts()
        # Cookies know no ports: another dashboard of this machine has another name.
        digest = hashlib.sha256(b"\0".join(known)).hexdigest()
        self.cookie = f"{COOKIE}_{digest[:8]}"

    def by_token(self, token: str) -> tuple[str, Role] | None:
        """Whose token it is; the time that takes says nothing about it."""
        given = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        found = None
        for key in self._keys:
            if hmac.compare_digest(hashlib.sha256(key.token).digest(), given):
                found = (key.name, key.role)
        return found

    def admit(self, request: Request, token: str) -> tuple[str, Role] | None:
        """Whose token it is, for a request that shows one; None for a wrong one, which is counted.

        Raises:
            Refused: Its address was wrong too often: no token of it is looked at for a while.
        """
        address = request.client.host if request.client is not None else ""
        if wait := self.attempts.wait(address):
            refused = Refused(429, "too many wrong tokens came from this address", f"wait {wait} seconds")
            refused.headers["retry-after"] = str(wait)
            raise refused
        found = self.by_token(token)
        if found is None:
            self.attempts.failed(address, token)
        return found

    def session(self, name: str) -> str:
        """A cookie for a person; it is void when the person's token changes."""
        key = next(key for key in self._keys if key.name == name)
        said = {"n": name, "e": int(time()) + SESSION_SECONDS, "s": secrets.token_urlsafe(12)}
        payload = base64.urlsafe_b64encode(json.dumps(said).encode()).decode()
        return f"{payload}.{_sign(key.token, 'session', payload)}"

    def by_session(self, cookie: str) -> Identity | None:
        """Whose cookie it is; None where it is forged, or over."""
        payload, _, signature = cookie.partition(".")
        try:
            said = json.loads(base64.urlsafe_b64decode(payload.encode("ascii")))
            name, until = str(said["n"]), float(said["e"])
        except (ValueError, KeyError, TypeError, RecursionError, binascii.Error):
            return None
        key = next((key for key in self._keys if key.name == name), None)
        if key is None or not signature.isascii():
            return None
        if not hmac.compare_digest(_sign(key.token, "session", payload), signature) or until < time():
            return None
        return Identity(key.name, key.role, _sign(key.token, "csrf", payload))


def _keys(given: str | Mapping[str, str], role: Role) -> list[_Key]:
    named = {role: given} if isinstance(given, str) else given
    return [_Key(name, role, token.encode("utf-8", "surrogatepass")) for name, token in named.items()]


def _sign(token: bytes, use: str, text: str) -> str:
    return hmac.new(token, f"{use}\0{text}".encode(), hashlib.sha256).hexdigest()


class Guard:
    """Lets a request pass that may: the host is ours, and who asks is known. Adds the headers of every answer.

    Args:
        app: What is guarded.
        keys: The tokens.
        hosts: Host names that it is reached by.
        open_paths: Beginnings of paths that need no sign-in.
    """

    def __init__(self, app: ASGIApp, keys: Keys, hosts: Sequence[str], open_paths: Sequence[str]) -> None:
        self._app = app
        self._keys = keys
        self._hosts = {host.lower() for host in hosts}
        self._open = tuple(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or mark as refused; the application makes the page."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        state = scope.setdefault("state", {})
        try:
            self._check_host(request)
            state["identity"] = self._identify(request)
        except Refused as refused:
            state["identity"], state["refused"] = None, refused

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await self._app(scope, receive, with_headers)

    def _check_host(self, request: Request) -> None:
        given = request.headers.getlist("host")
        name = given[0].lower() if len(given) == 1 else ""
        bare = (
            name if name.endswith("]") else name.rsplit(":", 1)[0] if name.rpartition(":")[2].isdigit() else name
        )
        if bare not in self._hosts:
            raise Refused(421, "the dashboard is not reached by this host name", "allow it: --allowed-host NAME")

    def _identify(self, request: Request) -> Identity | None:
        bearer = request.headers.get("authorization")
        if bearer is not None:
            scheme, _, token = bearer.partition(" ")
            found = self._keys.admit(request, token.strip()) if scheme.lower() == "bearer" else None
            if found is None:
                raise Refused(401, "the token is not known", "send Authorization: Bearer TOKEN")
            return Identity(*found, csrf="")
        cookie = request.cookies.get(self._keys.cookie)
        identity = None if cookie is None else self._keys.by_session(cookie)
        if identity is None and not self._is_open(path_of(request.scope)):
            raise Refused(401, "you are not signed in", "sign in with your token")
        return identity

    def _is_open(self, path: str) -> bool:
        return any(path == each or (each.endswith("/") and path.startswith(each)) for each in self._open)


def path_of(scope: Scope) -> str:
    """The path within the dashboard, wherever it is mounted."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path[len(root) :] if root and path.startswith(root) else path


def check_origin(request: Request) -> None:
    """Pass if a request that changes something comes from our own pages, or from no browser.

    Raises:
        Refused: It comes from another site.
    """
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    if origin is not None:
        host = urlsplit(origin).netloc if origin != "null" else ""
        if not host or host.lower() != request.headers.get("host", "").lower():
            raise Refused(403, "the request comes from another site")
    elif site not in (None, "same-origin", "none"):
        raise Refused(403, "the request comes from another site")


def check_csrf(request: Request, form: Mapping[str, str], identity: Identity) -> None:
    """Pass if a form was made for this session.

    Raises:
        Refused: It was not.
    """
    if not identity.csrf:
        return
    if request.headers.get("origin") is None and request.headers.get("sec-fetch-site") != "same-origin":
        raise Refused(403, "the request does not say where it comes from")
    given = form.get("csrf", "")
    if not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), identity.csrf.encode()):
        raise Refused(403, "the form is of another session", "load the page again")
