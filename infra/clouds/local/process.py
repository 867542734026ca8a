"""The platform `process`: supervised processes on this machine track experiments and serve the model."""

import sys
from pathlib import Path
from typing import Any

import pulumi

from infra.clouds.local import _paths
from infra.clouds.local._resource import Deployment, Program, Supervisor
from infra.contracts import EndpointArgs, PlatformArgs, TrackingArgs
from infra.naming import logical, physical, tags

__all__ = ["Endpoint", "Platform", "Tracking", "program"]

READY_TIMEOUT_S = 180.0  # a loaded machine takes long to import MLflow; a program that ends is noticed at once


class Platform(pulumi.ComponentResource):
    """The supervisor that starts the environment's programs and brings back what dies."""

    identifier: pulumi.Output[str]

    def __init__(self, name: str, args: PlatformArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:local:Platform", name, None, opts)
        config = args.config
        supervisor = Supervisor(
            logical(name, "supervisor"),
            {
                "root": str(_paths.root(config)),
                "identifier": physical(config.stack, "supervisor", maximum_length=64),
                "host": args.foundation.network.host,
                "tags": tags(config),
            },
            pulumi.ResourceOptions(parent=self, protect=config.environment.is_protected),
        )
        self.identifier = supervisor.id
        self.register_outputs({"identifier": self.identifier})


class Tracking(pulumi.ComponentResource):
    """An MLflow tracking server and model registry: SQLite and an artifact folder of its own."""

    uri: pulumi.Output[str]
    models: pulumi.Output[str] | None = None

    def __init__(self, name: str, args: TrackingArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:local:Tracking", name, None, opts)
        folder, port = _paths.root(args.config) / "tracking", args.config.local.ports.tracking
        server = program(
            self,
            logical(name, "server"),
            args,
            "tracking",
            [
                *(sys.executable, "-m", "uvicorn", "mlflow.server.fastapi_app:app", "--log-level", "warning"),
                *("--host", args.foundation.network.host, "--port", str(port)),
            ],
            ready_path="/health",
            port=port,
            environment=_mlflow_environment(folder),
            folders=["tracking", "tracking/artifacts"],
        )
        self.uri = server.url
        self.register_outputs({"uri": self.uri})


class Endpoint(pulumi.ComponentResource):
    """The model server. A new release is swapped in by the running server, which keeps the old one when it fails."""

    url: pulumi.Output[str]
    release: pulumi.Output[str]

    def __init__(self, name: str, args: EndpointArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:local:Endpoint", name, None, opts)
        file, port = _paths.deployment_file(args.config), args.config.local.ports.endpoint
        deployment = Deployment(
            logical(name, "deployment"),
            {
                "file": str(file),
                "release": args.release,
                # Always there: a property that disappears is no change to the engine.
                "challenger": args.config.challenger.model_dump() if args.config.challenger else {},
                "url": f"http://127.0.0.1:{port}",
            },
            pulumi.ResourceOptions(parent=self, protect=args.config.environment.is_protected),
        )
        server = program(
            self,
            logical(name, "server"),
            args,
            "endpoint",
            [
                *(sys.executable, "-m", "ml", "serve", "--deployment", str(file), "--store", args.foundation.store.uri),
                *("--host", args.foundation.network.host, "--port", str(port)),
                *("--stack", args.config.stack, "--environment", args.config.environment.name),
                *("--approvals-required", str(args.config.environment.approvals_required)),
            ],
            ready_path="/ready",
            port=port,
            depends_on=deployment,
        )
        self.url = server.url
        self.release = deployment.serving
        self.register_outputs({"url": self.url, "release": self.release})


def _mlflow_environment(folder: Path) -> dict[str, str]:
    """What `mlflow server` sets before it starts uvicorn in a second process.

    Doing without the first one halves the time until the server answers. The names are MLflow's own and not public:
    uv.lock pins MLflow, and the engine tests would show a change.
    """
    return {
        "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{folder}/mlflow.db",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(folder / "artifacts"),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        # Its default takes whatever begins with `10.` or `192.168.`, which a name on the internet can.
        "MLFLOW_SERVER_ALLOWED_HOSTS": "127.0.0.1,127.0.0.1:*,localhost,localhost:*",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


def program(
    parent: pulumi.Resource,
    name: str,
    args: Any,
    role: str,
    command: list[pulumi.Input[str]],
    *,
    ready_path: str,
    port: int,
    environment: dict[str, str] | None = None,
    folders: list[str] | None = None,
    files: dict[str, pulumi.Input[str]] | None = None,
    depends_on: pulumi.Resource | None = None,
) -> Program:
    """One supervised program; ready when `ready_path` on its port answers. `files` and `folders` are below the root."""
    return Program(
        name,
        {
            "root": args.platform.identifier,
            "name": role,
            "command": command,
            "environment": environment or {},
            "folders": folders or [],
            "files": files or {},
            "address": pulumi.Output.concat(args.foundation.network.host, f":{port}"),
            "ready_path": ready_path,
            "ready_timeout_s": READY_TIMEOUT_S,
        },
        pulumi.ResourceOptions(
            parent=parent,
            depends_on=[depends_on] if depends_on else None,
            protect=args.config.environment.is_protected,
        ),
    )
