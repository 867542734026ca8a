"""The monitor's process: asks the endpoint how it is, has the live data looked at, and tells people and Prometheus."""

import asyncio
import json
import logging
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from ml.access.keys import own_headers
from ml.http.answers import Receive, Response, Scope, Send, json_response, run_lifespan, send_response
from ml.monitoring.latest import Latest, Section
from ml.monitoring.schedule import Schedule
from ml.monitoring.verdict import Judge, Verdict
from ml.release.allowed import Place
from ml.serving.telemetry.metrics import PREDICTIONS
from ml.store import Store

__all__ = ["Monitor", "Probe", "probe"]

TIMEOUT_S: Final = 5.0
MAXIMUM_BYTES: Final = 4 * 1024 * 1024
METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
HTML_TYPE: Final = "text/html; charset=utf-8"
NOTHING_REPORTED: Final = "No report yet: nothing was predicted, or the first run is under way."
NOTHING_RELEASED: Final = "Nothing is released yet: this environment has no endpoint."

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Probe:
    """What the endpoint said at one moment; `error` says why it is not up."""

    at: datetime
    is_up: bool
    latency_ms: float
    release: str | None = None
    model: str | None = None
    version: str | None = None
    predictions: int | None = None
    error: str | None = None
    challenger: str | None = None

    @property
    def releases(self) -> tuple[str, ...]:
        """Every release that answers people, or is about to, the champion first."""
        return tuple(release for release in (self.release, self.challenger) if release)


def probe(endpoint: str) -> Probe:
    """Ask an endpoint for its state; never raises."""
    at, started = datetime.now(UTC), time.perf_counter()
    try:
        status, body = _get(f"{endpoint}/ready")
        latency_ms = (time.perf_counter() - started) * 1000
        state: dict[str, Any] = json.loads(body)
        return Probe(
            at=at,
            is_up=status == 200,
            latency_ms=latency_ms,
            release=_text(state.get("release")),
            model=_text(state.get("model")),
            version=_text(state.get("version")),
            predictions=_predictions(endpoint),
            error=_text(state.get("error")),
            challenger=_challenger(state.get("challenger")),
        )
    except (OSError, ValueError, AttributeError) as error:
        why = error.reason if isinstance(error, urllib.error.URLError) else error
        return Probe(at, False, (time.perf_counter() - started) * 1000, error=f"{endpoint} does not answer: {why}")


class Monitor:
    """ASGI application with the page, /report, /metrics and /health; `endpoint` is None while nothing is released.

    The endpoint is probed every `interval_s` seconds, the live data are looked at every `every_s`. What serves is
    compared with the ledger of `place`, where one is given.
    """

    def __init__(
        self, endpoint: str | None, store: Store, interval_s: float, every_s: float, place: Place | None = None
    ) -> None:
        self._judge = Judge(store, place) if place else None
        self.verdict: Verdict | None = None
        self.last: Probe | None = None
        self._endpoint = endpoint.rstrip("/") if endpoint else None
        self._store = store
        self._interval_s = interval_s
        self._metrics = _Metrics()
        self._schedule = Schedule(store, every_s, refresh_s=interval_s)
        self._routes: dict[str, Callable[[], Response]] = {
            "/": self._page,
            "/report": self._report,
            "/health": self._health,
            "/metrics": lambda: Response(200, self._metrics.text() + self._schedule.metrics(), METRICS_TYPE),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection, as ASGI has it."""
        if scope["type"] == "lifespan":
            await run_lifespan(receive, send, self._watch)
            return
        if scope["type"] != "http":
            raise ValueError(f"The monitor speaks HTTP only, not {scope['type']}.")
        route = self._routes.get(scope["path"])
        if route is None:
            response = json_response(
                404, {"error": f"There is nothing here. The monitor has {', '.join(self._routes)}."}
            )
        elif scope["method"] not in ("GET", "HEAD"):
            response = json_response(405, {"error": "The monitor answers GET only."}, Allow="GET, HEAD")
        else:
            response = route()
        await send_response(send, response, with_body=scope["method"] != "HEAD")

    async def _watch(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._schedule.keep())
            tasks.create_task(self._probe_for_ever())

    async def _probe_for_ever(self) -> None:
        while self._endpoint is not None:
            last = await asyncio.to_thread(probe, self._endpoint)
            if self.last is None or last.is_up != self.last.is_up:
                log.info("The endpoint %s is %s", self._endpoint, "up" if last.is_up else f"down: {last.error}")
            self.last = last
            self._metrics.observe(last)
            if self._judge is not None:
                self.verdict = await asyncio.to_thread(self._judge, last.releases)
                self._metrics.judge(self._judge.stack, self.verdict)
            await asyncio.sleep(self._interval_s)

    def _health(self) -> Response:
        return json_response(200, {"status": "alive", "endpoint": self._endpoint, "store": self._store.uri})

    def _page(self) -> Response:
        rows = {"Endpoint": self._endpoint or "none", "Object store": self._store.uri}
        if self._endpoint is None:
            verdict, rows["State"] = "no release", NOTHING_RELEASED
        elif self.last is None:
            verdict = "not probed yet"
        else:
            verdict = "up" if self.last.is_up else "down"
            rows |= _shown(self.last)
            if self.verdict is not None:
                rows["May it serve"] = f"{'✓ ok' if self.verdict.holds else '▲ alert'}: {self.verdict.reason}"
        cells = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows.items())
        checks = _checks(self._schedule.latest, self._schedule.failure)
        html = PAGE.format(refresh=max(1, round(self._interval_s)), verdict=verdict, rows=cells, checks=checks)
        return Response(200, html.encode(), HTML_TYPE, {"Content-Security-Policy": POLICY})

    def _report(self) -> Response:
        latest = self._schedule.latest
        if latest is None:
            return Response(404, NOTHING_REPORTED.encode(), "text/plain; charset=utf-8")
        return Response(200, latest.page, HTML_TYPE, {"Content-Security-Policy": POLICY})


class _Metrics:
    def __init__(self) -> None:
        self._registry = CollectorRegistry()

        def gauge(name: str, what: str, labels: tuple[str, ...] = ()) -> Gauge:
            return Gauge(name, what, labels, registry=self._registry)

        self._up = gauge("mlops_endpoint_up", "1 when a release serves at the endpoint.")
        self._latency = gauge("mlops_endpoint_probe_duration_seconds", "How long the last probe took.")
        self._predictions = gauge("mlops_endpoint_predictions", "Predictions the endpoint made since it started.")
        self._release = gauge(
            "mlops_endpoint_release_info", "The release that serves.", ("model", "version", "release")
        )
        self._allowed = gauge(
            "mlops_endpoint_release_allowed", "1 when what serves is what the ledger allows and says.", ("stack",)
        )
        self._probes = Counter("mlops_endpoint_probes", "Probes by result.", ["result"], registry=self._registry)

    def observe(self, seen: Probe) -> None:
        self._up.set(seen.is_up)
        self._latency.set(seen.latency_ms / 1000)
        self._probes.labels("up" if seen.is_up else "down").inc()
        if seen.predictions is not None:
            self._predictions.set(seen.predictions)
        self._release.clear()
        if seen.release:
            self._release.labels(seen.model or "", seen.version or "", seen.release).set(1)

    def judge(self, stack: str, verdict: Verdict) -> None:
        self._allowed.labels(stack).set(verdict.holds)

    def text(self) -> bytes:
        return generate_latest(self._registry)


def _get(url: str) -> tuple[int, bytes]:
    try:
        request = urllib.request.Request(url, headers=own_headers())  # noqa: S310 # the operator's own endpoint
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310
            return response.status, response.read(MAXIMUM_BYTES)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(MAXIMUM_BYTES)


def _predictions(endpoint: str) -> int | None:
    status, body = _get(f"{endpoint}/metrics")
    if status != 200:
        return None
    families = text_string_to_metric_families(body.decode("utf-8"))
    total = f"{PREDICTIONS}_total"
    return int(sum(s.value for family in families for s in family.samples if s.name == total))


def _challenger(state: Any) -> str | None:
    return str(state["release"]) if state and state.get("state") == "serving" else None


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _shown(last: Probe) -> dict[str, str]:
    rows = {
        "Probed": last.at.strftime("%Y-%m-%d %H:%M:%S UTC"),
        "Probe took": f"{last.latency_ms:.1f} ms",
        "Model": f"{last.model} version {last.version}" if last.model else "none",
        "Release": last.release or "none",
        "Predictions": "unknown" if last.predictions is None else f"{last.predictions:,} since the endpoint started",
    }
    return rows | ({"Error": last.error} if last.error else {})


def _checks(latest: Latest | None, failure: str | None) -> str:
    failed = f"<p><b>The last run failed:</b> {escape(failure)}</p>" if failure else ""
    if latest is None:
        return f"<p>{NOTHING_REPORTED}</p>{failed}"
    found = latest.outline
    rows = "".join(
        f"<tr><th>{name}</th><td><b>{_verdict(check)}</b></td><td>{escape(check.summary)}</td></tr>"
        for name, check in found.sections.items()
    )
    when = f"{found.rows:,} predictions, {found.labels:,} labels, at {found.at:%Y-%m-%d %H:%M:%S} UTC"
    return f'<p>{when}. <a href="report">The whole report</a></p><table>{rows}</table>{failed}'


def _verdict(check: Section) -> str:
    if check.alert:
        return "▲ alert"
    return "✓ ok" if check.judged else "not judged"


POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="{refresh}">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Monitor: {verdict}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 0 auto; padding: 2rem 1rem; }}
table {{ border-collapse: collapse; }}
th, td {{ text-align: left; vertical-align: top; padding: .4rem 1.5rem .4rem 0; border-bottom: 1px solid #8884; }}
th, td b {{ white-space: nowrap; }} td {{ overflow-wrap: anywhere; }}
</style></head>
<body><h1>Endpoint: {verdict}</h1><table>{rows}</table>
<h2>Live data</h2>{checks}</body></html>
"""
