"""What the simulation adds to a preview: a stack against the same number of plain resources on a provider that nods."""

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click
import grpc
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from infra.engine.environ import PROJECT, engine_environment
from infra.engine.install import find
from infra.engine.version import VERSION
from infra.simulation.command import simulated_environment
from infra.simulation.faults import Faults
from infra.simulation.project import prepare
from infra.simulation.schema import version_of
from infra.simulation.server import simulated_clouds

HERE = Path(__file__).parent
BARE = """\
import pulumi_aws as aws
{imports}
for number in range({count}):
    aws.s3.Bucket(f"bucket-{{number}}")
"""


class Seconds(NamedTuple):
    """Of one preview: until it ended, and of all cores."""

    wall: float
    cpu: float


class _Nods(provider_pb2_grpc.ResourceProviderServicer):
    """Accepts whatever it is given."""

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version=version_of("aws"))

    def Handshake(self, request: Any, context: Any) -> Any:
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True)

    def Attach(self, request: Any, context: Any) -> Any:
        return Empty()

    def CheckConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    def Configure(self, request: Any, context: Any) -> Any:
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Check(self, request: Any, context: Any) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    def Create(self, request: Any, context: Any) -> Any:
        return provider_pb2.CreateResponse(properties=request.properties)


@click.command()
@click.option("--stack", default="aws-sagemaker-prod", show_default=True)
@click.option("--rounds", default=5, show_default=True)
def main(stack: str, rounds: int) -> None:
    """Measure in turns and write results.json beside this file.

    Example: python -m benchmarks.preview --rounds 5
    """
    engine = find()
    if engine is None:
        raise click.ClickException("the engine isn't here: run `mlops env --install`")
    with tempfile.TemporaryDirectory() as temporary, _nodding() as nodding:
        folder = Path(temporary)
        base = os.environ | engine_environment(engine) | simulated_environment(folder) | {"AWS_REGION": "eu-west-1"}
        with simulated_clouds(folder / "accounts", Faults([])) as attached:
            inside = prepare(PROJECT, folder)
            types = _types(stack, inside, base | attached)
            bare = _bare(folder, types, base)
            measured: dict[str, list[Seconds]] = {"simulated": [], "bare": [], "command": []}
            for _ in range(rounds):
                measured["simulated"].append(_timed(stack, inside, base | attached))
                measured["bare"].append(_timed("bare", bare, base | {"PULUMI_DEBUG_PROVIDERS": nodding}))
                measured["command"].append(_timed_command(stack, folder / "command"))
    _report(stack, len(types), measured)


def _types(stack: str, inside: Path, environment: Mapping[str, str]) -> list[str]:
    """The types of all resources that the stack would create."""
    subprocess.run(["pulumi", "stack", "init", stack], cwd=inside, env=environment, check=True, capture_output=True)
    command = ["pulumi", "preview", "--json", "--stack", stack]
    shown = subprocess.run(command, cwd=inside, env=environment, check=True, capture_output=True, text=True)
    urns = [step["urn"] for step in json.loads(shown.stdout)["steps"]]
    types = [urn.split("::")[2].rpartition("$")[2] for urn in urns]
    return [each for each in types if each.startswith("aws:")]


def _bare(folder: Path, types: list[str], environment: Mapping[str, str]) -> Path:
    program = folder / "bare"
    program.mkdir()
    (program / "Pulumi.yaml").write_text("name: bare\nruntime: python\n")
    # The SDK imports a service when one of its classes is first looked at.
    imports = "\n".join(sorted({f"aws.{_service(type_)}.{type_.rpartition(':')[2]}" for type_ in types}))
    (program / "__main__.py").write_text(BARE.format(imports=imports, count=len(types)))
    subprocess.run(["pulumi", "stack", "init", "bare"], cwd=program, env=environment, check=True, capture_output=True)
    return program


def _service(type_: str) -> str:
    name = type_.split(":")[1].partition("/")[0]
    return f"{name}_" if name == "lambda" else name


def _timed(stack: str, folder: Path, environment: Mapping[str, str]) -> Seconds:
    return _seconds_of(["pulumi", "preview", "--stack", stack], folder, environment)


def _timed_command(stack: str, folder: Path) -> Seconds:
    """What `make preview` runs, from the prompt to the picture."""
    command = [sys.executable, "-m", "pipelines.preview", "--stack", stack, "--folder", str(folder)]
    return _seconds_of(command, PROJECT, os.environ)


def _seconds_of(command: list[str], folder: Path, environment: Mapping[str, str]) -> Seconds:
    started, worked = time.perf_counter(), _cpu_s()
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return Seconds(time.perf_counter() - started, _cpu_s() - worked)


def _cpu_s() -> float:
    """Of the engine and the program, and of the provider, which runs here."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime + time.process_time()


@contextmanager
def _nodding() -> Generator[str]:
    with ThreadPoolExecutor(16) as workers:
        server = grpc.server(workers)
        provider_pb2_grpc.add_ResourceProviderServicer_to_server(_Nods(), server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"aws:{port}"
        finally:
            server.stop(0).wait()


def _report(stack: str, count: int, measured: dict[str, list[Seconds]]) -> None:
    wall = {name: statistics.median(each.wall for each in taken) for name, taken in measured.items()}
    cpu = {name: statistics.median(each.cpu for each in taken) for name, taken in measured.items()}
    results = {
        "stack": stack,
        "aws_resources": count,
        "median_wall_s": wall,
        "median_cpu_s": cpu,
        "ratio_wall": wall["simulated"] / wall["bare"],
        "ratio_cpu": cpu["simulated"] / cpu["bare"],
        "all": {name: [each._asdict() for each in taken] for name, taken in measured.items()},
        "versions": {"pulumi": VERSION, "pulumi-aws": version_of("aws"), "python": platform.python_version()},
        "machine": {"cores": os.cpu_count(), "processor": platform.machine(), "load": os.getloadavg()},
    }
    (HERE / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    click.echo(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
