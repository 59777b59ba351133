"""Notifies people through Apprise. The operator defines the targets, not the workflows."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import Field

from intendant.plugin import Connector, ConnectorCall, ConnectorError, Json, Options, operation

__all__ = ["NotifyConnector", "NotifySettings", "Send"]

MOST = 1_000_000
"""Characters of one notice."""


class NotifySettings(Options):
    """Settings of the connector."""

    targets: dict[str, str] = Field(default_factory=dict)
    """Apprise URLs by the names that workflows use: `{team: "slack://{{ secrets.SLACK }}/#sales"}`. See
    https://appriseit.com/services/."""


class Send(Options):
    """Whom to notify. The message is the step's input; data is written as JSON."""

    to: str | list[str] = Field(min_length=1)
    """Names of targets in the setting `targets`."""
    title: str = Field(default="", max_length=1000)
    kind: Literal["info", "success", "warning", "failure"] = "info"
    """The severity; services show it by a colour or an icon."""
    format: Literal["text", "markdown", "html"] = "text"
    """The markup of the input; services that do not support it get plain text."""


class NotifyConnector(Connector):
    """Notifies people through services that Apprise supports: chats, telephones, mail, incident tools, others."""

    name = "notify"
    Settings = NotifySettings

    @operation(side_effects=True)
    async def send(self, parameters: Send, call: ConnectorCall) -> Json:
        """Send the step's input to one or more targets.

        Returns:
            `{sent}`: the names of the targets that took it.

        Raises:
            ConnectorError: There is no target of that name, or one of them has not taken it.
        """
        names = [parameters.to] if isinstance(parameters.to, str) else list(dict.fromkeys(parameters.to))
        given = call.input
        text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False, indent=2)
        if not text.strip():
            raise ConnectorError("there is nothing to tell: the input is empty", delivered=False)
        if len(text) > MOST:
            raise ConnectorError(f"the notice has more than {MOST} characters", delivered=False)
        targets = [(name, self._target(name)) for name in names]
        sent: list[Json] = []
        for name, target in targets:
            if not await _notified(target, text, parameters):
                told = f"; {', '.join(map(str, sent))} got it" if sent else ""
                raise ConnectorError(
                    f"the target '{name}' has not taken the notice{told}",
                    hint="see the setting targets of connector:notify, and whether the service is up",
                )
            sent.append(name)
        return {"sent": sent}

    def doubts(self, name: str, given: Mapping[str, Json]) -> Iterable[str]:  # noqa: ARG002  # there is one
        """Targets that the settings do not name."""
        to = given.get("to")
        for target in to if isinstance(to, list) else [to]:
            if isinstance(target, str) and "{{" not in target and target not in self.settings.targets:
                yield "; ".join(self._no_target(target))

    def _no_target(self, name: str) -> tuple[str, str]:
        """That there is no such target, and which there are."""
        known = ", ".join(self.settings.targets) or "none"
        return f"there is no target '{name[:60]}'", f"the setting targets of connector:notify has: {known}"

    def _target(self, name: str) -> Any:
        """Apprise with one address.

        Raises:
            ConnectorError: There is none of that name, or it is no address.
        """
        try:
            from apprise import Apprise, AppriseAsset
        except ImportError:
            raise ConnectorError(
                "Apprise is not installed",
                hint="pip install intendant-connector-notify[apprise]",
                delivered=False,
            ) from None

        address = self.settings.targets.get(name)
        if address is None:
            what, hint = self._no_target(name)
            raise ConnectorError(what, hint=hint, delivered=False)
        made = Apprise(asset=AppriseAsset(app_id="Intendant", app_url="", plugin_paths=[], secure_logging=True))
        if not made.add(address):
            raise ConnectorError(f"the address of the target '{name}' is none that Apprise knows", delivered=False)
        return made


async def _notified(target: Any, text: str, parameters: Send) -> bool:
    return bool(
        await target.async_notify(
            body=text,
            title=parameters.title,
            notify_type=parameters.kind,
            body_format=parameters.format,
            interpret_escapes=False,
        )
    )
