"""OpenAI as a vendor: where it is, and what its errors mean."""

from intendant.plugin import HttpErrors, Vendor

VENDOR = Vendor(
    name="openai",
    sdk="openai",
    domain="openai.com",
    url="https://api.openai.com/v1",
    url_variable="OPENAI_BASE_URL",
    keys=("OPENAI_API_KEY",),
    statuses={"rate_limit_exceeded": 429, "model_not_found": 404, "overloaded_error": 503},
    empty=frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}),
)
ERRORS = HttpErrors(VENDOR)
