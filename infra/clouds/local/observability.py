"""What watches a local environment."""

import shutil
import subprocess
import sys
from functools import cache

import pulumi
import yaml

from infra.clouds.local import _paths
from infra.clouds.local.process import program
from infra.contracts import ObservabilityArgs
from infra.naming import logical

__all__ = ["Observability"]


class Observability(pulumi.ComponentResource):
    """The monitor, and Prometheus with the problem's alert rules where its binary is on PATH."""

    monitor_url: pulumi.Output[str]
    metrics_url: pulumi.Output[str] | None

    def __init__(self, name: str, args: ObservabilityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:local:Observability", name, None, opts)
        ports, host = args.config.local.ports, args.foundation.network.host
        endpoint = ["--endpoint", args.endpoint.url] if args.endpoint else []
        self.monitor_url = program(
            self,
            logical(name, "monitor"),
            args,
            "monitor",
            [
                *(sys.executable, "-m", "ml", "monitor", "--store", args.foundation.store.uri, *endpoint),
                *("--stack", args.config.stack, "--environment", args.config.environment.name),
                *("--approvals-required", str(args.config.environment.approvals_required)),
                *("--interval-s", str(args.config.environment.probe_interval_s)),
                *("--host", host, "--port", str(ports.monitor)),
            ],
            ready_path="/health",
            port=ports.monitor,
        ).url
        self.metrics_url = self._prometheus(name, args) if _runs_prometheus(args) else None
        self.register_outputs({"monitor_url": self.monitor_url, "metrics_url": self.metrics_url})

    def _prometheus(self, name: str, args: ObservabilityArgs) -> pulumi.Output[str]:
        ports, root = args.config.local.ports, _paths.root(args.config)
        targets = {"monitor": ports.monitor, "endpoint": ports.endpoint, "prometheus": ports.metrics}
        scraped = [
            {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]} for job, port in targets.items()
        ]
        return program(
            self,
            logical(name, "prometheus"),
            args,
            "prometheus",
            [
                *(
                    "prometheus",
                    f"--config.file={root}/metrics/prometheus.yml",
                    f"--storage.tsdb.path={root}/metrics/data",
                ),
                *(f"--storage.tsdb.retention.time={args.config.environment.log_retention_days}d",),
                pulumi.Output.concat("--web.listen-address=", args.foundation.network.host, f":{ports.metrics}"),
            ],
            ready_path="/-/ready",
            port=ports.metrics,
            files={
                "metrics/prometheus.yml": yaml.safe_dump(
                    {
                        "global": {"scrape_interval": "5s"},
                        "rule_files": ["alerts.yml"],
                        "scrape_configs": scraped,
                    }
                ),
                "metrics/alerts.yml": _alert_rules(),
            },
        ).url


def _runs_prometheus(args: ObservabilityArgs) -> bool:
    wanted = args.config.local.prometheus
    return shutil.which("prometheus") is not None if wanted is None else wanted


@cache
def _alert_rules() -> str:
    """The problem's alert rules, from the command line: infrastructure doesn't import what monitors."""
    command = [sys.executable, "-m", "ml", "monitor", "rules"]
    return subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8").stdout
