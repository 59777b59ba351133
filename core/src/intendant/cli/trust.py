"""`intendant trust`: lets the settings file of a folder set all keys, and its agents' files hold."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer  # noqa: TID253

from intendant.cli.shared import JsonOption, command, print_json
from intendant.model.errors import SettingsError

if TYPE_CHECKING:
    from intendant.config.trusted_files import TrustedFiles

NOTHING = "nothing that needs trust"


@command()
def trust(
    path: Annotated[
        Path, typer.Argument(help="A settings file or an agent's file, or the folder that contains them.")
    ] = Path(),
    *,
    revoke: Annotated[bool, typer.Option("--revoke", help="Revoke the trust.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the trusted files.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Trust the settings in a folder. Its `intendant.toml` may then set base URLs, roots, prices, plugins and the
    store, and its `agents/*.toml` may define what agents may do.

    Until then only harmless keys count, and runs of those agents are refused. Read the files first. A file that
    changes must be trusted again.
    """
    from intendant.config.trusted_files import TrustedFiles

    trusted = TrustedFiles()
    if list_:
        files = [str(file) for file in trusted]
        print_json(files) if as_json else print("\n".join(files) or "no file is trusted")
        return
    files_here = _files_of(path)
    if revoke:
        removed = sum(trusted.remove(file) for file in files_here)
        shown = ", ".join(str(file) for file in files_here)
        print_json({"file": str(files_here[0].resolve()), "trusted": False}) if as_json else print(
            f"{shown} is trusted no more" if removed else f"{shown} was not trusted"
        )
        return
    given = [_trusted(trusted, file) for file in files_here]
    if as_json:
        print_json(given[0] if len(given) == 1 else given)
        return
    for each in given:
        print(f"{each['file']} is trusted as it is now; it sets {', '.join(each['keys']) or NOTHING}")


def _files_of(path: Path) -> list[Path]:
    """The files that *path* means: itself, or the settings and the agents' files of a folder."""
    from intendant.config.agent_files import FOLDER
    from intendant.config.layers import FILE_NAME

    if not path.is_dir():
        return [path]
    settings, agents = path / FILE_NAME, sorted((path / FOLDER).glob("*.toml"))
    return [*([settings] if settings.exists() or not agents else []), *agents]


def _trusted(trusted: "TrustedFiles", file: Path) -> dict[str, Any]:
    """Trust a file, and tell what it sets.

    Raises:
        SettingsError: It is read from nowhere, or is wrong.
    """
    from intendant.config.agent_files import FOLDER, read_definition
    from intendant.config.layers import FILE_NAME, parse_toml, read_bounded
    from intendant.config.trusted_files import harmless

    of_agent = file.suffix == ".toml" and file.resolve().parent.name == FOLDER
    if file.name != FILE_NAME and not of_agent:
        raise SettingsError(
            f"{file} is read from no folder: only {FILE_NAME} and {FOLDER}/NAME.toml are",
            hint="name another file with --config or INTENDANT_CONFIG: that needs no trust",
        )
    content = read_bounded(file)
    if of_agent:
        keys = sorted(read_definition(file, content).model_fields_set)
    else:
        _, keys = harmless(parse_toml(file, content))
    trusted.add(file, content)
    return {"file": str(file.resolve()), "trusted": True, "keys": keys}
