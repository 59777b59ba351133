"""The application: reads a body as far as it may be long, and passes on what the receiver answers."""

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from intendant import WebhookReceiver, WebhookReply

GONE, NOT_NOW = 499, 503
RETRY_SECONDS = "30"
"""After which a sender may try again, where it heeds that."""


def make_app(receiver: WebhookReceiver) -> Starlette:
    """The application of a receiver."""

    async def hook(request: Request) -> Response:
        name = request.path_params["name"]
        try:
            body = await _body(request, receiver.max_bytes(name))
        except ClientDisconnect:
            return Response(status_code=GONE)  # nobody reads it
        reply: WebhookReply = await receiver.receive(name, request.headers, body)
        headers = {"retry-after": RETRY_SECONDS} if reply.status == NOT_NOW else {}
        return JSONResponse(reply.document, reply.status, headers)

    return Starlette(routes=[Route("/hooks/{name}", hook, methods=["POST"])])


async def _body(request: Request, most: int) -> bytes:
    """The body, or a byte more of it than it may have."""
    read = bytearray()
    async for piece in request.stream():
        read += piece
        if len(read) > most:
            break
    return bytes(read[: most + 1])
