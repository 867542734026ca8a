"""Runs the simulated clouds for as long as a command needs them, and tells the engine where they listen."""

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from infra.simulation.faults import Faults
from infra.simulation.provider import SimulatedProvider
from infra.simulation.schema import installed_packages
from infra.simulation.world import World

__all__ = ["simulated_clouds"]

MAXIMUM_MESSAGE_BYTES = 400 * 1024 * 1024  # the engine's own limit
WORKERS = 16


@contextmanager
def simulated_clouds(folder: Path, faults: Faults) -> Generator[dict[str, str]]:
    """Serve the accounts in `folder`; yields the variables with which an engine attaches to them."""
    world = World(folder, faults)
    servers: list[grpc.Server] = []

    def end() -> None:
        for server in servers:
            server.stop(0)

    attached: list[str] = []
    options = [(f"grpc.max_{way}_message_length", MAXIMUM_MESSAGE_BYTES) for way in ("receive", "send")]
    with ThreadPoolExecutor(WORKERS) as workers:
        for package in installed_packages():
            server = grpc.server(workers, options=options)
            provider = SimulatedProvider(world, package, end)
            provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
            attached.append(f"{package}:{server.add_insecure_port('127.0.0.1:0')}")
            server.start()
            servers.append(server)
        try:
            yield {"PULUMI_DEBUG_PROVIDERS": ",".join(attached)}
        finally:
            end()
