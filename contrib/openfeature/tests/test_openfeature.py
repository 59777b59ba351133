"""Flags are answered through OpenFeature's own client, for the same subjects as runs."""

import pytest
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode

from intendant.testing import engine, sync_engine
from intendant_openfeature import IntendantProvider

FLAGS = {
    "routing_enabled": {"percent": 0, "by": "user", "allow": ["eva"]},
    "compression_enabled": {"percent": 50},
    "shadow": False,
}
MAILER = EvaluationContext("mailer")


@pytest.fixture(autouse=True)
def _none_is_left():
    yield
    api.clear_providers()


def test_a_flag_is_on_for_whom_it_is_in_runs() -> None:
    with sync_engine(settings={"flags": FLAGS}) as service:
        api.set_provider(IntendantProvider(service))
        client = api.get_client()
        assert client.get_boolean_value("intents_enabled", False, MAILER) is True
        assert client.get_boolean_value("shadow", True, MAILER) is False
        assert client.get_boolean_value("routing_enabled", True, MAILER) is False
        eva = EvaluationContext("mailer", {"user": "eva"})
        details = client.get_boolean_details("routing_enabled", False, eva)
        assert (details.value, details.variant, details.reason) == (True, "on", "SPLIT")
        for number in range(20):
            agent = f"agent{number}"
            same = service.flag_is_on("compression_enabled", agent=agent)
            assert client.get_boolean_value("compression_enabled", not same, EvaluationContext(agent)) is same


def test_what_cannot_be_answered_gives_the_default_and_says_why() -> None:
    with sync_engine() as service:
        api.set_provider(IntendantProvider(service))
        client = api.get_client()
        for key, context, code in (
            ("wings", MAILER, ErrorCode.FLAG_NOT_FOUND),
            ("__class__", MAILER, ErrorCode.FLAG_NOT_FOUND),
            ("shadow", None, ErrorCode.TARGETING_KEY_MISSING),
        ):
            details = client.get_boolean_details(key, True, context)
            assert (details.value, details.error_code) == (True, code)
        for ask, default in (
            (client.get_string_details, "x"),
            (client.get_integer_details, 1),
            (client.get_float_details, 1.5),
            (client.get_object_details, {"a": 1}),
        ):
            details = ask("shadow", default, MAILER)
            assert (details.value, details.error_code) == (default, ErrorCode.TYPE_MISMATCH)


async def test_asked_asynchronously_it_takes_over_what_changed(tmp_path) -> None:
    db = f"sqlite:///{tmp_path / 'x.db'}"
    async with engine(db=db) as service, engine(db=db) as other:
        api.set_provider(IntendantProvider(service))
        await other.steering.change({"flags.shadow": True}, by="eva")
        assert await api.get_client().get_boolean_value_async("shadow", False, MAILER) is True
