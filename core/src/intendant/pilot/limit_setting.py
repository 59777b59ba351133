"""How operators set standing budgets through a service."""

from typing import TYPE_CHECKING

from intendant.config.logs import get_logger
from intendant.model.errors import SettingsError
from intendant.model.money import MICRO
from intendant.model.workflow import MAX_AMOUNT, MAX_USD
from intendant.pilot.alerting import limits_of

if TYPE_CHECKING:
    from intendant.pilot.engine import Engine
    from intendant.record.rows import LimitRow, LimitState
    from intendant.record.store.windows import Period

log = get_logger("intendant.limits")


async def set_limit(
    engine: "Engine", scope: str, per: "Period", tokens: int | None, usd: float | None, by: str
) -> "LimitState | None":
    """Set what a scope may spend per period; see `Operations.set_limit`."""
    from intendant.record.store import limits

    kind, _, name = scope.partition(":")
    if kind not in ("agent", "tenant") or not name:
        raise SettingsError(f"'{scope}' has no budget", hint="write agent:NAME or tenant:NAME")
    if kind == "tenant" and name != engine.tenant:
        raise SettingsError(f"'{scope}' is another tenant", hint=f"write tenant:{engine.tenant}")
    if per not in ("day", "month"):
        raise SettingsError(f"'{per}' is no period of a budget", hint="write day or month")
    if tokens is not None and not 0 <= tokens <= MAX_AMOUNT:
        raise SettingsError(f"{tokens} is no limit of tokens", hint=f"write 0 to {MAX_AMOUNT:,}")
    if usd is not None and not 0 <= usd <= MAX_USD:
        raise SettingsError(f"{usd} is no limit in US$", hint=f"write 0 to {MAX_USD:,}")
    micro = None if usd is None else round(usd * MICRO)
    await engine.store.do(limits.set_limit(scope, per, tokens, micro, by=by or None))
    log.info("limit_set", scope=scope, per=per, tokens=tokens, micro_usd=micro, by=by)
    return next((row for row in await limits_of(engine) if (row.scope, row.per) == (scope, per)), None)


async def limit_history(engine: "Engine", limit: int) -> "list[LimitRow]":
    """How standing budgets of the tenant and of agents were set, the newest first."""
    from intendant.record.store import limits

    own = f"tenant:{engine.tenant}"
    rows = await engine.store.do(limits.history(limit))
    return [row for row in rows if row.scope == own or not row.scope.startswith("tenant:")]
