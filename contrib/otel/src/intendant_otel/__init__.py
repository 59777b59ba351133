"""Traces and metrics of runs for OpenTelemetry: a span for a run, its steps, its model calls and uses of tools."""

from collections.abc import Mapping
from typing import Any, Literal

from opentelemetry import metrics, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from pydantic import Field

from intendant.events import (
    Completed,
    Event,
    Initialized,
    Resumed,
    StepExecuted,
    StepFailed,
    StepStarted,
    Suspended,
    TokensReserved,
    TokensSettled,
    ToolCalled,
)
from intendant.plugin import Extension, Options
from intendant_otel import _names as names

__all__ = ["OtelExtension", "OtelSettings"]

SCOPE = "intendant"
NANO = 1_000_000_000
CHARGED = ("answered", "in_doubt", "cut_off")


class OtelSettings(Options):
    """Settings of the extension."""

    conventions: Literal["genai-0.1.0", "1.41.0"] = "genai-0.1.0"
    """The version of the conventions whose names are used."""
    steps: bool = True
    """Also a span for each step."""
    attributes: dict[str, str] = Field(default_factory=dict)
    """Added to the span of each run."""


class OtelExtension(Extension):
    """Tells OpenTelemetry what happens, through its API: the host configures SDK and exporters. Times are those of
    the journal; no input, output or prompt is told.
    """

    name = "otel"
    Settings = OtelSettings

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(settings)
        self._spans: dict[tuple[str, str], Span] = {}
        self._calls: dict[tuple[str, str], float] = {}
        self._instruments: dict[str, Any] = {}
        self._heard = False

    def on_event(self, event: Event) -> None:
        """Begin or end the span that *event* is about."""
        told = _TOLD.get(type(event))
        if isinstance(event, Initialized | Resumed):
            self._heard = _is_configured()
        if told is not None and self._heard:
            told(self, event)

    # --- runs and steps ---

    def _begun(self, event: Initialized) -> None:
        self._open_run(event, {names.WORKFLOW: event.workflow, names.AGENT: event.agent})

    def _resumed(self, event: Resumed) -> None:
        self._open_run(event, {"intendant.epoch": event.epoch})

    def _open_run(self, event: Event, said: Mapping[str, Any]) -> None:
        settings: OtelSettings = self.settings
        attributes = {
            names.OPERATION: "invoke_workflow",
            "intendant.run": event.run_id,
            **settings.attributes,
            **said,
        }
        title = f"invoke_workflow {said.get(names.WORKFLOW, '')}".strip()
        self._spans[event.run_id, ""] = self._start(title, None, event.at, attributes)

    def _ended(self, event: Completed | Suspended) -> None:
        status = event.status.value if isinstance(event, Completed) else "waiting"
        for key in [key for key in self._spans if key[0] == event.run_id and key[1]]:
            self._spans.pop(key).end(_nano(event.at))
        for key in [key for key in self._calls if key[0] == event.run_id]:
            del self._calls[key]
        span = self._spans.pop((event.run_id, ""), None)
        if span is not None:
            span.set_attribute("intendant.status", status)
            if status in ("failed", "refused", "overrun"):
                _fail(span, status)
            span.end(_nano(event.at))

    def _step_begun(self, event: StepStarted) -> None:
        settings: OtelSettings = self.settings
        key = (event.run_id, event.step_id or "")
        if settings.steps and key not in self._spans:
            attributes = {"intendant.step": event.step_id or "", "intendant.run": event.run_id}
            self._spans[key] = self._start(f"step {event.step_id}", self._run_of(event), event.at, attributes)

    def _step_ended(self, event: StepExecuted | StepFailed) -> None:
        span = self._spans.pop((event.run_id, event.step_id or ""), None)
        if span is None:
            return
        span.set_attribute("intendant.attempts", event.attempts)
        span.set_attribute("intendant.cost_usd", event.usage.micro_usd / 1_000_000)
        if isinstance(event, StepFailed):
            _fail(span, event.failure.code)
        else:
            span.set_attribute("intendant.intent", event.intent)
        span.end(_nano(event.at))

    # --- calls ---

    def _sent(self, event: TokensReserved) -> None:
        self._calls[event.run_id, event.call] = event.at

    def _answered(self, event: TokensSettled) -> None:
        begun = self._calls.pop((event.run_id, event.call), None)
        if begun is None or event.outcome in ("replayed", "cached") or event.is_use:
            return
        chosen = self._names
        attributes: dict[str, Any] = {names.OPERATION: "chat", names.REQUEST_MODEL: event.model}
        attributes[chosen.provider] = event.provider
        self._count(event, begun, attributes)
        attributes |= {
            names.INPUT_TOKENS: event.usage.input_tokens,
            names.OUTPUT_TOKENS: event.usage.output_tokens,
        }
        if event.answered_by:
            attributes[names.RESPONSE_MODEL] = event.answered_by
        attributes |= {"intendant.outcome": event.outcome, "intendant.cost_usd": event.usage.micro_usd / 1_000_000}
        parent = self._spans.get((event.run_id, event.step_id or ""), self._run_of(event))
        span = self._start(f"chat {event.model}", parent, begun, attributes, SpanKind.CLIENT)
        if event.outcome != "answered":
            _fail(span, event.outcome)
        span.end(_nano(event.at))

    def _tool(self, event: ToolCalled) -> None:
        parent = self._spans.get((event.run_id, event.step_id or ""), self._run_of(event))
        attributes = {names.OPERATION: "execute_tool", names.TOOL: event.tool, "intendant.outcome": event.outcome}
        span = self._start(f"execute_tool {event.tool}", parent, event.at - event.seconds, attributes)
        if event.outcome in ("failed", "refused"):
            _fail(span, event.outcome)
        span.end(_nano(event.at))

    def _count(self, event: TokensSettled, begun: float, attributes: Mapping[str, Any]) -> None:
        chosen, usage = self._names, event.usage
        failed = {} if event.outcome == "answered" else {names.ERROR: event.outcome}
        self._instrument(chosen.duration, "s").record(max(0.0, event.at - begun), {**attributes, **failed})
        if event.outcome not in CHARGED:
            return
        counts = {
            "input": usage.input_tokens,
            "output": usage.output_tokens,
            "cache_read": usage.cached_tokens,
            "cache_write": usage.cache_write_tokens + usage.cache_write_1h_tokens,
            "reasoning": usage.reasoning_tokens,
        }
        for kind, name in chosen.tokens.items():
            more = {chosen.token_type: kind} if chosen.token_type else {}
            instrument = self._instrument(name, "{token}")
            add = instrument.record if chosen.token_type else instrument.add
            add(counts[kind], {**attributes, **more})

    # --- the API ---

    @property
    def _names(self) -> names.Names:
        settings: OtelSettings = self.settings
        return names.VERSIONS[settings.conventions]

    def _run_of(self, event: Event) -> Span | None:
        return self._spans.get((event.run_id, ""))

    def _start(
        self,
        title: str,
        parent: Span | None,
        at: float,
        attributes: Mapping[str, Any],
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> Span:
        context = None if parent is None else trace.set_span_in_context(parent)
        tracer = trace.get_tracer(SCOPE)
        return tracer.start_span(title, context, kind, attributes=dict(attributes), start_time=_nano(at))

    def _instrument(self, name: str, unit: str) -> Any:
        found = self._instruments.get(name)
        if found is None:
            meter = metrics.get_meter(SCOPE)
            counts = unit != "s" and not self._names.token_type
            found = meter.create_counter(name, unit) if counts else meter.create_histogram(name, unit)
            self._instruments[name] = found
        return found


PLACEHOLDERS = (trace.__name__, metrics.__name__)
"""Modules of the providers that stand in while the host has set none."""


def _is_configured() -> bool:
    """True if the host has set up an SDK. Without one the API drops everything, at a cost for each call."""
    providers = (trace.get_tracer_provider(), metrics.get_meter_provider())
    return any(not type(each).__module__.startswith(PLACEHOLDERS) for each in providers)


def _nano(at: float) -> int:
    return int(at * NANO)


def _fail(span: Span, why: str) -> None:
    span.set_attribute(names.ERROR, why)
    span.set_status(Status(StatusCode.ERROR, why))


_TOLD: Mapping[type[Event], Any] = {
    Initialized: OtelExtension._begun,  # noqa: SLF001  # its own
    Resumed: OtelExtension._resumed,  # noqa: SLF001
    Completed: OtelExtension._ended,  # noqa: SLF001
    Suspended: OtelExtension._ended,  # noqa: SLF001
    StepStarted: OtelExtension._step_begun,  # noqa: SLF001
    StepExecuted: OtelExtension._step_ended,  # noqa: SLF001
    StepFailed: OtelExtension._step_ended,  # noqa: SLF001
    TokensReserved: OtelExtension._sent,  # noqa: SLF001
    TokensSettled: OtelExtension._answered,  # noqa: SLF001
    ToolCalled: OtelExtension._tool,  # noqa: SLF001
}
