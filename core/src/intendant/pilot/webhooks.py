"""Webhooks that start runs, without a server of HTTP: hosts hand over what theirs received."""

import json
from collections.abc import Awaitable, Mapping
from pathlib import Path
from time import time
from typing import NamedTuple, Protocol

from intendant.config.logs import get_logger
from intendant.config.secrets import Secrets
from intendant.hooks.webhook_signatures import SignatureWrong, verified
from intendant.model.errors import IntendantError, RunExists, SettingsError, StoreError, WorkflowError
from intendant.model.workflow import Json, Workflow
from intendant.pilot.run_triggers import Firing, Message, Trigger, inputs_of

ACCEPTED, KNOWN, UNSIGNED, NOT_FOUND, TOO_LARGE, REFUSED, NOT_NOW = 202, 200, 401, 404, 413, 422, 503
log = get_logger("intendant.webhooks")


class Submit(Protocol):
    """`OrchestrationService.submit`, or the like."""

    def __call__(self, workflow: Workflow, inputs: Mapping[str, Json], *, key: str) -> Awaitable[str]:
        """Open a run and return its id; raises `RunExists` where there is one of that key."""


class WebhookReply(NamedTuple):
    """What a sender is answered."""

    status: int
    """Of HTTP: 202 for a run that is opened now, 200 for one that an earlier attempt opened; 401 for a wrong
    signature, 404 for no such webhook, 413 for a body that is too long, 422 for one that the workflow cannot take,
    503 where the database cannot be used: senders try again then."""
    document: dict[str, Json]
    """The run's id, or what is wrong."""


class WebhookReceiver:
    """Opens the runs that webhooks ask for, once each, for workers (`intendant worker`) to execute.

    Only webhooks that are signed with the secret of their trigger are taken. The ids that signatures cover, or the
    digest of what they cover, are the idempotency keys of the runs: what is sent again starts nothing.

    Args:
        submit: Opens a run.
        secrets: Where the secrets are.
        triggers: By name; those with `webhook` are received.

    Raises:
        IntendantError: A workflow is wrong, a secret is not set, or no trigger has a webhook.

    Example:
        ```python
        hooks = service.webhooks("triggers.toml")

        @app.post("/hooks/{name}")
        async def hook(name: str, request: Request):
            answer = await hooks.receive(name, request.headers, await request.body())
            return JSONResponse(answer.document, answer.status)
        ```
    """

    def __init__(self, submit: Submit, secrets: Secrets, triggers: Mapping[str, Trigger]) -> None:
        self._submit = submit
        self._secrets = secrets
        self._hooks = {name: (one, one.webhook) for name, one in triggers.items() if one.webhook is not None}
        if not self._hooks:
            raise SettingsError(
                "no trigger has `webhook`",
                hint='such as: [orders]  flow = "order.yaml"  webhook = {secret = "{{ secrets.ORDERS }}"}',
            )
        for trigger, webhook in self._hooks.values():
            Workflow.load(Path(trigger.flow))
            self._secrets.get(webhook.secret_name)

    @property
    def names(self) -> tuple[str, ...]:
        """The triggers whose webhooks are received."""
        return tuple(self._hooks)

    def max_bytes(self, name: str) -> int:
        """Bytes of a body that are read at most; 0 where there is no such webhook."""
        return self._hooks[name][1].max_bytes if name in self._hooks else 0

    async def receive(self, name: str, headers: Mapping[str, str], body: bytes) -> WebhookReply:
        """Take a webhook.

        Args:
            name: The trigger's.
            headers: Of the request.
            body: As it was received; signatures are over its bytes.
        """
        if name not in self._hooks:
            return WebhookReply(NOT_FOUND, {"error": "there is no such webhook"})
        trigger, webhook = self._hooks[name]
        if len(body) > webhook.max_bytes:
            return WebhookReply(TOO_LARGE, {"error": f"the body is longer than {webhook.max_bytes} bytes"})
        now = time()
        try:
            secret = self._secrets.get(webhook.secret_name)
            plain = {key.lower(): value for key, value in headers.items()}
            message_id = verified(webhook.signature, secret, plain, body, now)
        except SignatureWrong as error:
            log.warning("webhook_refused", webhook=name, reason=str(error))
            return WebhookReply(UNSIGNED, {"error": str(error)})
        except (ValueError, IntendantError) as error:
            log.warning("webhook_secret_unusable", webhook=name, reason=str(error))
            return WebhookReply(NOT_NOW, {"error": "its secret cannot be used here"})
        firing = Firing(name, f"{name}:{message_id}", now, message=Message(message_id, _value(body)))
        return await self._opened(trigger, firing)

    async def _opened(self, trigger: Trigger, firing: Firing) -> WebhookReply:
        try:
            flow = Workflow.load(Path(trigger.flow))
            run_id = await self._submit(flow, inputs_of(trigger, firing), key=firing.key)
        except RunExists as error:
            return WebhookReply(KNOWN, {"run_id": error.run_id, "known": True})
        except StoreError as error:
            log.warning("webhook_not_taken", webhook=firing.name, error=error.message)
            return WebhookReply(NOT_NOW, {"error": "the run cannot be recorded now"})
        except IntendantError as error:
            log.warning("webhook_not_taken", webhook=firing.name, error=error.message)
            told = error.message if isinstance(error, WorkflowError) else "its run is refused; the log says why"
            return WebhookReply(REFUSED, {"error": told})
        log.info("webhook_taken", webhook=firing.name, run_id=run_id)
        return WebhookReply(ACCEPTED, {"run_id": run_id})


def _value(body: bytes) -> Json:
    """The JSON of a body, else its text."""
    try:
        value: Json = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace")
    return value


def _refuse(name: str) -> Json:
    raise ValueError(name)
