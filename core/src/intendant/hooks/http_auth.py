"""Credentials of requests over HTTP, as steps give them."""

from base64 import b64encode

from pydantic import Field, model_validator

from intendant.model.requests import Options


class HttpAuth(Options):
    """Credentials; give their values as `{{ secrets.NAME }}`."""

    bearer: str | None = Field(default=None, repr=False)
    """A token, sent as `Authorization: Bearer …`."""
    user: str | None = None
    password: str | None = Field(default=None, repr=False)
    """With `user`: HTTP basic authentication."""
    header: str | None = Field(default=None, pattern=r"^[A-Za-z0-9-]+$")
    """The name of another header that carries the credentials, such as `X-Api-Key`."""
    value: str | None = Field(default=None, repr=False)
    """The value of that header."""

    @model_validator(mode="after")
    def _one_way(self) -> "HttpAuth":
        ways = [self.bearer is not None, self.user is not None, self.header is not None]
        if sum(ways) != 1:
            raise ValueError("give one of `bearer`, `user` with `password`, and `header` with `value`")
        if (self.user is None) != (self.password is None) or (self.header is None) != (self.value is None):
            raise ValueError("`user` goes with `password`, and `header` with `value`")
        return self

    def headers(self) -> dict[str, str]:
        """The header that carries them."""
        if self.bearer is not None:
            return {"Authorization": f"Bearer {self.bearer}"}
        if self.user is not None:
            return {"Authorization": f"Basic {b64encode(f'{self.user}:{self.password}'.encode()).decode()}"}
        return {str(self.header): str(self.value)}
