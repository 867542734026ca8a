"""Drives the simulated clouds through their own protocol, as an engine does, without one."""

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from infra.simulation.faults import Fault, Faults
from infra.simulation.provider import SimulatedProvider
from infra.simulation.wire import UNKNOWN, decode, encode
from infra.simulation.world import World

__all__ = ["DATABRICKS_ACCOUNT", "UNKNOWN", "Cloud", "Refused", "cloud"]


DATABRICKS_ACCOUNT = "0d26daa6-5e44-4c97-a497-ef015f91254a"
CONFIGURED = {
    "aws": {"region": "eu-central-1"},
    "databricks": {"host": "https://accounts.cloud.databricks.com", "accountId": DATABRICKS_ACCOUNT},
    "gcp": {"project": "mlops-dev", "region": "europe-west3"},
}


class Refused(Exception):
    """What the engine would show."""


class Cloud:
    """One provider instance of one run on one stack."""

    def __init__(self, stub: Any, package: str, stack: str, run: str) -> None:
        self.stub, self.package, self.stack = stub, package, stack
        stub.Handshake(provider_pb2.ProviderHandshakeRequest(engine_address=run))
        self.configure(CONFIGURED.get(package, {}))

    def on(self, stack: str) -> "Cloud":
        """The same provider, on another stack."""
        return Cloud(self.stub, self.package, stack, f"run-{stack}")

    def configure(self, config: dict[str, Any]) -> None:
        checked = self.stub.CheckConfig(
            provider_pb2.CheckRequest(urn=self.urn(f"pulumi:providers:{self.package}", "default"), news=encode(config))
        )
        _raise(checked.failures)
        self.stub.Configure(provider_pb2.ConfigureRequest(args=checked.inputs))

    def urn(self, type_: str, name: str) -> str:
        return f"urn:pulumi:{self.stack}::mlops::{type_}::{name}"

    def check(self, type_: str, name: str, inputs: dict[str, Any], old: dict[str, Any] | None = None) -> dict[str, Any]:
        request = provider_pb2.CheckRequest(
            urn=self.urn(f"{self.package}:{type_}", name), olds=encode(old or {}), news=encode(inputs), randomSeed=b"1"
        )
        checked = self._call(self.stub.Check, request)
        _raise(checked.failures)
        return decode(checked.inputs)

    def create(self, type_: str, name: str, /, **inputs: Any) -> dict[str, Any]:
        """Check and create: the outputs, with the id."""
        return self._create(type_, name, inputs, preview=False)

    def plan(self, type_: str, name: str, /, **inputs: Any) -> dict[str, Any]:
        """The same in a preview."""
        return self._create(type_, name, inputs, preview=True)

    def _create(self, type_: str, name: str, inputs: dict[str, Any], *, preview: bool) -> dict[str, Any]:
        request = provider_pb2.CreateRequest(
            urn=self.urn(f"{self.package}:{type_}", name),
            properties=encode(self.check(type_, name, inputs)),
            preview=preview,
        )
        created = self._call(self.stub.Create, request)
        return decode(created.properties) | {"id": created.id}

    def diff(self, type_: str, name: str, old: dict[str, Any], new: dict[str, Any]) -> Any:
        urn = self.urn(f"{self.package}:{type_}", name)
        return self.stub.Diff(provider_pb2.DiffRequest(urn=urn, old_inputs=encode(old), news=encode(new)))

    def update(self, type_: str, name: str, identifier: str, /, **inputs: Any) -> dict[str, Any]:
        urn = self.urn(f"{self.package}:{type_}", name)
        news = encode(self.check(type_, name, inputs))
        updated = self._call(self.stub.Update, provider_pb2.UpdateRequest(urn=urn, id=identifier, news=news))
        return decode(updated.properties)

    def read(self, type_: str, name: str, identifier: str) -> dict[str, Any] | None:
        urn = self.urn(f"{self.package}:{type_}", name)
        answer = self._call(self.stub.Read, provider_pb2.ReadRequest(urn=urn, id=identifier))
        return decode(answer.properties) if answer.id else None

    def delete(self, type_: str, name: str, identifier: str) -> None:
        urn = self.urn(f"{self.package}:{type_}", name)
        self._call(self.stub.Delete, provider_pb2.DeleteRequest(urn=urn, id=identifier))

    def invoke(self, function: str, /, **arguments: Any) -> dict[str, Any]:
        token = f"{self.package}:{function}"
        answer = self._call(self.stub.Invoke, provider_pb2.InvokeRequest(tok=token, args=encode(arguments)))
        _raise(answer.failures)
        return decode(getattr(answer, "return"))

    def _call(self, method: Any, request: Any) -> Any:
        try:
            return method(request)
        except grpc.RpcError as error:
            raise Refused(error.details()) from error  # pyright: ignore[reportAttributeAccessIssue]


@contextmanager
def cloud(
    folder: Path,
    *faults: Fault,
    moto: Any = None,
    package: str = "aws",
    stack: str = "aws-sagemaker-dev",
    run: str = "run",
) -> Generator[Cloud]:
    """A provider on a port of its own, over the accounts in `folder`."""
    with ThreadPoolExecutor(2) as workers:
        server = grpc.server(workers)
        provider = SimulatedProvider(World(folder, Faults(list(faults)), moto), package, lambda: server.stop(0))
        provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Cloud(provider_pb2_grpc.ResourceProviderStub(channel), package, stack, run)
        server.stop(0).wait()


def _raise(failures: Any) -> None:
    if failures:
        raise Refused("\n".join(f"{failure.property}: {failure.reason}" for failure in failures))
