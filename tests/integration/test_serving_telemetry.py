"""What a server tells of its requests: traces to a real receiver, a line of JSON each, and nothing that is secret."""

import contextlib
import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from ml.access.keys import add_key
from ml.bundle.schema import BundleSchema
from ml.problem import Problem
from ml.store import Store
from tests.processes import JSON, server, state

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
SUBJECT = "a-person-by-name"


@contextlib.contextmanager
def receiver() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """OTLP over HTTP, as a collector takes it."""
    got: list[tuple[str, bytes]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}", got
    finally:
        listening.shutdown()
        listening.server_close()


def spans_of(got: list[tuple[str, bytes]]) -> list[tuple[str, dict[str, Any]]]:
    """Each span with the service that sent it."""
    found: list[tuple[str, dict[str, Any]]] = []
    for path, body in got:
        assert path == "/v1/traces"
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = next(a.value.string_value for a in resource.resource.attributes if a.key == "service.name")
            for scope in resource.scope_spans:
                for span in scope.spans:
                    values = {a.key: a.value.string_value or a.value.int_value for a in span.attributes}
                    ids = {"trace": span.trace_id.hex(), "parent": span.parent_span_id.hex(), "error": span.status.code}
                    found.append((service, {"name": span.name, **ids, **values}))
    return found


def test_requests_are_traced_and_logged_and_nothing_secret_is_told(
    tmp_path: Path, store: Store, published: str, small_problem: Problem
) -> None:
    row = BundleSchema.of(small_problem).example
    body = json.dumps({"rows": [row], "subjects": [SUBJECT]}).encode()
    secret = add_key(tmp_path / "keys.json", "shop")
    state(tmp_path, published)
    told = tmp_path / "stdout"
    options = ("--request-log", "--log-format", "json", "--api-keys", str(tmp_path / "keys.json"))
    with receiver() as (url, got), told.open("wb") as stdout:
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_SERVICE_NAME": "employment"}
        with server(tmp_path, store, *options, environment=environment, stdout=stdout) as running:
            running.wait_for(lambda: running.ask("GET", "/ready")[0] == 200)
            known = JSON | {"Authorization": f"Bearer {secret}"}
            traced = {"traceparent": f"00-{TRACE}-{PARENT}-01", "X-Request-ID": "good-1"}
            assert running.ask("POST", "/predict", body, known | traced)[0] == 200
            assert running.ask("POST", "/predict", body[:-1], known | {"X-Request-ID": "bad-1"})[0] == 400
            other = JSON | {"Authorization": f"Bearer {secret[::-1]}", "X-Request-ID": "no-1"}
            assert running.ask("POST", "/predict", body, other)[0] == 401
            metrics = running.ask("GET", "/metrics", headers=known)[1]
            running.end()
        said = running.said
    lines = {line["request_id"]: line for line in map(json.loads, told.read_text().splitlines())}
    good, bad, no = lines["good-1"], lines["bad-1"], lines["no-1"]
    assert (good["method"], good["route"], good["status"], good["caller"]) == ("POST", "/predict", 200, "shop")
    assert good["trace_id"] == TRACE
    assert good["duration_ms"] > 0
    assert (bad["status"], bad["caller"], no["status"], "caller" in no) == (400, "shop", 401, False)
    spans = {span["mlops.request_id"]: (service, span) for service, span in spans_of(got)}
    service, span = spans["good-1"]
    assert service == "employment"
    assert (span["trace"], span["parent"], span["name"]) == (TRACE, PARENT, "POST /predict")
    assert span["http.response.status_code"] == 200
    assert spans["bad-1"][1]["trace"] != TRACE
    assert spans["bad-1"][1]["http.response.status_code"] == 400
    for line in said.splitlines():
        if not line.startswith(b"Listening"):
            assert set(json.loads(line)) >= {"at", "level", "logger", "message"}
    feature = small_problem.features[0].name.encode()
    for text in (told.read_bytes(), said, b"".join(sent for _, sent in got)):
        for never in (secret.encode(), secret[::-1].encode(), SUBJECT.encode(), feature):
            assert never not in text
    assert secret.encode() not in metrics
    assert b'mlops_access_failures_total{reason="key_unknown"} 1.0' in metrics
    assert b'mlops_refusals_total{reason="malformed"} 1.0' in metrics


@pytest.mark.parametrize(
    ("environment", "traces"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "x"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, False),
    ],
)
def test_telemetry_is_imported_only_where_it_is_asked_for(environment: dict[str, str], traces: bool) -> None:
    code = (
        "import sys, ml.serving.app, ml.http.run; from ml.serving.telemetry.tracing import tracing_of; "
        f"found = tracing_of({environment!r}); print(found is not None, 'opentelemetry' in sys.modules); "
        "found and found.close()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(traces), str(traces)]
