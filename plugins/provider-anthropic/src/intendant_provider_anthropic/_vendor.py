"""Anthropic as a vendor: where it is, and what its errors mean."""

from intendant.plugin import HttpErrors, ProviderError, Vendor

VENDOR = Vendor(
    name="anthropic",
    sdk="anthropic",
    domain="anthropic.com",
    url="https://api.anthropic.com",
    url_variable="ANTHROPIC_BASE_URL",
    keys=("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"),
    statuses={
        "invalid_request_error": 400,
        "authentication_error": 401,
        "billing_error": 402,
        "permission_error": 403,
        "not_found_error": 404,
        "request_too_large": 413,
        "rate_limit_error": 429,
        "api_error": 500,
        "timeout_error": 504,
        "overloaded_error": 529,
    },
)


class AnthropicErrors(HttpErrors):
    """Makes Anthropic's errors."""

    def of(self, error: Exception, *, begun: bool = False) -> ProviderError:
        """As in `HttpErrors`; the SDK looks for credentials of its own before it sends anything."""
        import anthropic

        if isinstance(error, anthropic.CredentialsError):
            message = f"{self.name}: {self.safe(str(error))}"
            return ProviderError(message, hint=f"set {self.vendor.keys[0]}", billed=False)
        return super().of(error, begun=begun)


ERRORS = AnthropicErrors(VENDOR)
