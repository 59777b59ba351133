"""Intendant's flags as a provider of OpenFeature: the same shares, lists, tenants and subjects."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import FlagNotFoundError, TargetingKeyMissingError, TypeMismatchError
from openfeature.flag_evaluation import FlagResolutionDetails, Reason
from openfeature.provider import AbstractProvider, Metadata

from intendant import OrchestrationService, SettingsError, SyncOrchestrationService

__all__ = ["IntendantProvider"]

ValueT = TypeVar("ValueT")


class IntendantProvider(AbstractProvider):
    """Answers by the settings of a service.

    The targeting key is the agent, the attribute `user` the user of a rollout by user. Asked synchronously, it
    answers by the settings as the service knows them; asked asynchronously by those of two seconds ago at most.

    Args:
        service: The service.
    """

    def __init__(self, service: OrchestrationService | SyncOrchestrationService) -> None:
        super().__init__()
        self._service = service

    def get_metadata(self) -> Metadata:
        """The provider's name."""
        return Metadata(name="intendant")

    def resolve_boolean_details(
        self,
        flag_key: str,
        default_value: bool,  # noqa: ARG002  # OpenFeature's own signature
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[bool]:
        """Whether a flag, such as `routing_enabled`, is on.

        Raises:
            FlagNotFoundError: There is no such flag.
            TargetingKeyMissingError: No agent is named.
        """
        agent = evaluation_context.targeting_key if evaluation_context is not None else None
        if not agent:
            raise TargetingKeyMissingError("the targeting key is the agent")
        user = evaluation_context.attributes.get("user") if evaluation_context is not None else None
        try:
            on = self._service.flag_is_on(flag_key, agent=agent, user=None if user is None else str(user))
        except SettingsError as error:
            raise FlagNotFoundError(error.message) from None
        whole = isinstance(getattr(self._service.settings.flags, flag_key), bool)
        reason = Reason.STATIC if whole else Reason.SPLIT
        return FlagResolutionDetails(value=on, variant="on" if on else "off", reason=reason)

    async def resolve_boolean_details_async(
        self,
        flag_key: str,
        default_value: bool,  # OpenFeature's own signature
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[bool]:
        """The same, by settings that are at most two seconds old."""
        if isinstance(self._service, OrchestrationService):
            await self._service.steering.refresh()
        return self.resolve_boolean_details(flag_key, default_value, evaluation_context)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        """Never: all flags are on or off."""
        return _no_such_type(flag_key, default_value, evaluation_context)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        """Never: all flags are on or off."""
        return _no_such_type(flag_key, default_value, evaluation_context)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        """Never: all flags are on or off."""
        return _no_such_type(flag_key, default_value, evaluation_context)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[Any] | Mapping[str, Any],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[Any] | Mapping[str, Any]]:
        """Never: all flags are on or off."""
        return _no_such_type(flag_key, default_value, evaluation_context)


def _no_such_type(key: str, _default: ValueT, _context: EvaluationContext | None) -> FlagResolutionDetails[ValueT]:
    raise TypeMismatchError(f"{key} is on or off")
