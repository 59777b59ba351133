"""Days as they are typed after an option, in UTC."""

from datetime import UTC, datetime

from intendant.model.errors import SettingsError

DAY_SECONDS = 86_400.0


def start_of(day: str | None, option: str) -> float | None:
    """When *day* begins: seconds since 1970.

    Raises:
        SettingsError: It is no day.
    """
    if day is None:
        return None
    try:
        return datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise SettingsError(f"'{day}' is no day for {option}", hint=f"write {option} 2026-11-21") from None


def end_of(day: str | None, option: str) -> float | None:
    """When *day* is over.

    Raises:
        SettingsError: It is no day.
    """
    start = start_of(day, option)
    return None if start is None else start + DAY_SECONDS
