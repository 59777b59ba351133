"""Secrets by name: `{{ secrets.NAME }}` in the parameters of connectors. Their values reach the connector and
nothing else: not the plan, the journal, an error, a log or a prompt.
"""

import os
import re
import stat
import tomllib
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, ValuesView
from json import dumps
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

from intendant.config.layers import SECRET_PREFIX
from intendant.config.settings import SecretSettings
from intendant.model.errors import SecretMissing, SettingsError
from intendant.model.workflow import Json
from intendant.text.address_parts import PATH_SAFE, QUERY_SAFE, SEVERAL_SAFE

SecretSource = Callable[[str], str | None]
"""A host's own source of secrets: takes a name; returns the value, or None if it has none."""

LEAST = 4
"""Characters of a secret at least: a shorter one cannot be told from other text, and so not be taken out of it."""
MAX_FILE = 1_000_000
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_REFERENCE = re.compile(r"\{\{\s*secrets\.([A-Za-z][A-Za-z0-9_]*)\s*\}\}")
_PRIVATE = stat.S_IRWXG | stat.S_IRWXO
_MASK = "[secret {name}]"


class Secrets:
    """Finds secrets by name. Sources, first found wins: the host's, the environment, the file, the keyring.

    Args:
        settings: Where to look.
        host: A host's own source.
        env: The environment; by default the process's own.
    """

    def __init__(
        self,
        settings: SecretSettings | None = None,
        host: SecretSource | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._settings = settings or SecretSettings()
        self._host = host
        self._env = env

    def get(self, name: str) -> str:
        """The value of a secret.

        Raises:
            SecretMissing: No source has it, or its value is too short to be kept out of texts.
            SettingsError: A source cannot be read.
        """
        if not _NAME.fullmatch(name):
            raise SecretMissing(f"'{name[:60]}' is no name of a secret", hint="letters, digits and _ are allowed")
        for source in (self._host, self._from_environment, self._from_file, self._from_keyring):
            value = None if source is None else source(name)
            if value is None:
                continue
            if len(value) < LEAST:
                raise SecretMissing(
                    f"the secret {name} is shorter than {LEAST} characters", hint="use a longer one"
                )
            return value
        raise SecretMissing(
            f"the secret {name} is not set",
            hint=f"set the environment variable {SECRET_PREFIX}{name}, or name a file: see the setting "
            "secrets.file",
        )

    def _from_environment(self, name: str) -> str | None:
        env = os.environ if self._env is None else self._env
        value = env.get(f"{SECRET_PREFIX}{name}")
        if value is None and name in self._settings.environment:
            value = env.get(name)
        return value or None

    def _from_file(self, name: str) -> str | None:
        if self._settings.file is None:
            return None
        path = self._settings.file.expanduser()
        try:
            if path.is_dir():
                return _from_folder(path, name)
            _check_private(path)
            text = _read(path)
            values = tomllib.loads(text) if path.suffix == ".toml" else dict(_assignments(text))
        except FileNotFoundError:
            raise SettingsError(
                f"the file of secrets {path} is not there", hint="see the setting secrets.file"
            ) from None
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
            # The error's own text may quote a line of the file.
            raise SettingsError(
                f"the file of secrets {path} cannot be read", hint="lines of NAME=value, or TOML in *.toml"
            ) from None
        value = values.get(name)
        return None if value is None else str(value)

    def _from_keyring(self, name: str) -> str | None:
        if self._settings.keyring is None:
            return None
        try:
            import keyring  # type: ignore[import-not-found, unused-ignore]
        except ImportError:
            raise SettingsError(
                "the setting secrets.keyring needs the package keyring", hint="pip install keyring"
            ) from None
        try:
            found: str | None = keyring.get_password(self._settings.keyring, name)
        except Exception as error:  # noqa: BLE001  # backends raise errors of their own
            raise SettingsError(f"the keyring cannot be read: {type(error).__name__}") from None
        return found


class UsedSecrets(Mapping[str, Json]):
    """What `secrets` stands for while the parameters of one use are filled in; remembers what was used.

    Args:
        secrets: Where values come from; None gives masks in place of values.
    """

    def __init__(self, secrets: Secrets | None) -> None:
        self._secrets = secrets
        self._used: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        if self._secrets is None:
            return _MASK.format(name=name)
        self._used[name] = value = self._secrets.get(name)
        return value

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)

    def __iter__(self) -> Iterator[str]:
        return iter(self._used)

    def __len__(self) -> int:
        return len(self._used)

    def values(self) -> ValuesView[str]:
        """The values that were used."""
        return self._used.values()

    def masked(self, text: str) -> str:
        """*text* without the values that were used, in whatever form protocols write them."""
        for name, value in sorted(self._used.items(), key=lambda item: len(item[1]), reverse=True):
            for form in forms(value):
                text = text.replace(form, _MASK.format(name=name))
        return text

    def scrubbed(self, value: Any) -> Any:
        """A JSON value without them."""
        if not self._used:
            return value
        if isinstance(value, str):
            return self.masked(value)
        if isinstance(value, dict):
            return {self.scrubbed(key): self.scrubbed(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.scrubbed(item) for item in value]
        return value


def filled(value: Any, used: UsedSecrets) -> Any:
    """Settings of a plugin with `{{ secrets.NAME }}` in their texts replaced.

    Raises:
        SecretMissing: A secret is not set.
    """
    if isinstance(value, str):
        return _REFERENCE.sub(lambda match: used[match[1]], value)
    if isinstance(value, Mapping):
        return {key: filled(item, used) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [filled(item, used) for item in value]
    return value


def forms(value: str) -> list[str]:
    """How a secret may appear in a text: as it is, in URLs, in JSON, and in Base64 at each alignment."""
    found = {value, quote(value, safe=""), quote_plus(value), quote(value), dumps(value)[1:-1]}
    found |= {quote(value, safe=safe) for safe in (PATH_SAFE, SEVERAL_SAFE, QUERY_SAFE)}
    data = value.encode("utf-8", "surrogatepass")
    for before in range(3):
        text = b64encode(b"\0" * before + data).decode()
        # Characters at both ends also depend on what stands beside the value.
        inner = text[(0, 2, 3)[before] : len(data + b"\0" * before) * 4 // 3]
        if len(inner) >= 2 * LEAST:
            found |= {inner, inner.replace("+", "-").replace("/", "_")}
    return sorted(found, key=len, reverse=True)


def _from_folder(folder: Path, name: str) -> str | None:
    """A folder with a file for each secret, as containers are given them."""
    path = folder / name
    if not path.is_file():
        return None
    _check_private(path, others_only=True)
    return _read(path).rstrip("\r\n")


def _read(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise SettingsError(f"the file of secrets {path} is larger than {MAX_FILE} bytes")
    return data.decode("utf-8-sig")


def _check_private(path: Path, *, others_only: bool = False) -> None:
    mode = path.stat().st_mode
    if os.name == "posix" and mode & (stat.S_IRWXO if others_only else _PRIVATE):
        raise SettingsError(f"other users may read the secrets in {path}", hint=f"chmod 600 {path}")


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    """Lines of NAME=value; a value may stand in quotation marks, and `export` before it."""
    for line in text.splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and not name.startswith("#"):
            value = value.strip()
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
            yield name.strip(), value[1:-1] if quoted else value
