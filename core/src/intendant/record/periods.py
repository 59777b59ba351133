"""Days and months, UTC, as periods of standing budgets."""

from calendar import monthrange
from datetime import UTC, datetime

SECONDS_A_DAY = 86_400


def elapsed_share(per: str, now: float) -> float:
    """How much of the day or the month is over at *now*, from 0 to 1."""
    moment = datetime.fromtimestamp(now, UTC)
    of_day = (moment.hour * 3600 + moment.minute * 60 + moment.second) / SECONDS_A_DAY
    if per == "day":
        return of_day
    return (moment.day - 1 + of_day) / monthrange(moment.year, moment.month)[1]
