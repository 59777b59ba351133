"""Where the user's settings and data are, if the user has such folders: in a container it may have none."""

from pathlib import Path

from intendant.model.errors import SettingsError


def config_folder() -> Path | None:
    """The folder of the user's settings; None where the user has no home."""
    import platformdirs

    try:
        return Path(platformdirs.user_config_dir("intendant"))
    except RuntimeError:
        return None


def data_folder() -> Path:
    """The folder of the user's data.

    Raises:
        SettingsError: The user has no home.
    """
    import platformdirs

    try:
        return Path(platformdirs.user_data_dir("intendant"))
    except RuntimeError:
        raise SettingsError(
            "this user has no home folder, in which the database would be",
            hint="name a database (--db sqlite:////var/lib/runs.db, or INTENDANT_DB), or set HOME",
        ) from None
