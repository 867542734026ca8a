"""A span for each request, for OpenTelemetry: where the standard variables ask for it, and the library is there.

OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT turn it on, or OTEL_TRACES_EXPORTER=otlp;
OTEL_SDK_DISABLED=true or OTEL_TRACES_EXPORTER=none turn it off. Sampling, batches, headers, the service's name and its
attributes are the SDK's own variables. Spans go out as OTLP over HTTP.
"""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from ml.http.answers import Scope, header

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

__all__ = ["Tracing", "trace_id", "tracing_of"]

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
EXPORTER: Final = "OTEL_TRACES_EXPORTER"
DISABLED: Final = "OTEL_SDK_DISABLED"
SERVICE: Final = "mlops-serve"

log = logging.getLogger(__name__)


class Tracing:
    """Begins and ends the spans of requests; `exporter` takes the place of OTLP's in tests."""

    def __init__(self, exporter: "SpanExporter | None" = None) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        named = OTELResourceDetector().detect()
        self._provider = TracerProvider(resource=Resource.create({"service.name": SERVICE}).merge(named))
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer(__name__)
        self._propagator = TraceContextTextMapPropagator()
        self._kind = SpanKind.SERVER

    def begin(self, scope: Scope, route: str, request_id: str) -> "Span":
        """A request begins, in the caller's trace where it names one."""
        names = ("traceparent", "tracestate")
        carrier = {name: value for name in names if (value := header(scope, name.encode()))}
        return self._tracer.start_span(
            f"{scope['method']} {route}",
            self._propagator.extract(carrier),
            self._kind,
            {"http.request.method": scope["method"], "http.route": route, "mlops.request_id": request_id},
        )

    def end(self, span: "Span", status: int) -> None:
        """It is answered."""
        from opentelemetry.trace import StatusCode

        span.set_attribute("http.response.status_code", status)
        if status >= 500:
            span.set_status(StatusCode.ERROR)
        span.end()

    def close(self) -> None:
        """Send what was not sent yet."""
        self._provider.shutdown()


def tracing_of(environment: Mapping[str, str]) -> Tracing | None:
    """Tracing as the environment asks for it, None where it doesn't."""
    exporter = environment.get(EXPORTER, "otlp" if any(environment.get(name) for name in ENDPOINTS) else "none")
    if exporter == "none" or environment.get(DISABLED, "").lower() == "true":
        return None
    if exporter != "otlp":
        log.warning("%s is %r: traces go out by otlp alone, so there are none.", EXPORTER, exporter)
        return None
    try:
        return Tracing()
    except ImportError as error:
        log.warning("OTEL_* asks for traces, which need the extra `telemetry`: %s. There are none.", error)
        return None


def trace_id(span: Any) -> str:
    """The trace's id as logs show it."""
    return f"{span.get_span_context().trace_id:032x}"
