"""`intendant trust`: lets the settings file of a folder set all keys."""

from pathlib import Path
from typing import Annotated

import typer  # noqa: TID253

from intendant.cli.shared import JsonOption, command, print_json
from intendant.model.errors import SettingsError


@command()
def trust(
    path: Annotated[Path, typer.Argument(help="A settings file, or the folder it is in.")] = Path(),
    *,
    revoke: Annotated[bool, typer.Option("--revoke", help="Trust it no more.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="Show the files that are trusted.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Let the `intendant.toml` of a folder set base URLs, roots, prices, plugins and the store.

    Until then it sets only what cannot hurt. Read the file first. A file that changes needs trust again.
    """
    from intendant.config.layers import FILE_NAME, parse_toml, read_bounded
    from intendant.config.trusted_files import TrustedFiles, harmless

    trusted = TrustedFiles()
    if list_:
        files = [str(file) for file in trusted]
        print_json(files) if as_json else print("\n".join(files) or "no file is trusted")
        return
    file = path / FILE_NAME if path.is_dir() else path
    if revoke:
        removed = trusted.remove(file)
        print_json({"file": str(file.resolve()), "trusted": False}) if as_json else print(
            f"{file} is trusted no more" if removed else f"{file} was not trusted"
        )
        return
    if file.name != FILE_NAME:
        raise SettingsError(
            f"{file} is read from no folder: only {FILE_NAME} is",
            hint="name another file with --config or INTENDANT_CONFIG: that needs no trust",
        )
    content = read_bounded(file)
    _, keys = harmless(parse_toml(file, content))
    trusted.add(file, content)
    if as_json:
        print_json({"file": str(file.resolve()), "trusted": True, "keys": keys})
    else:
        print(f"{file.resolve()} is trusted as it is now; it sets {', '.join(keys) or 'nothing that needs trust'}")
