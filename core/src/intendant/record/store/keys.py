"""Keys that the record is signed with: a file of secrets, one a line."""

from pathlib import Path

from intendant.model.errors import SettingsError

SHORTEST = 16
"""Characters of a key."""


def read_keys(path: str | Path | None) -> tuple[bytes, ...]:
    """The keys of a file: the first signs, all of them verify. Blank lines and those that begin with `#` are none.

    Raises:
        SettingsError: The file cannot be read, or holds no key, or one that is too short.
    """
    if path is None:
        return ()
    try:
        lines = Path(path).expanduser().read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise SettingsError(f"the key file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"the key file {path} is no text") from None
    found = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    hint = "make one: head -c 32 /dev/urandom | base64 > FILE"
    if not found:
        raise SettingsError(f"the key file {path} holds no key", hint=hint)
    if min(map(len, found)) < SHORTEST:
        raise SettingsError(f"a key in {path} is shorter than {SHORTEST} characters", hint=hint)
    return tuple(line.encode() for line in found)
