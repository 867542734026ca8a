"""Runs the simulated clouds for as long as a command needs them, and tells the engine where they listen."""

import logging
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from infra.simulation.account import Account
from infra.simulation.faults import Faults
from infra.simulation.provider import SimulatedProvider
from infra.simulation.schema import installed_packages
from infra.simulation.world import World

if TYPE_CHECKING:
    from infra.simulation.mirror import Moto

__all__ = ["moto_server", "simulated_clouds"]

MAXIMUM_MESSAGE_BYTES = 400 * 1024 * 1024  # the engine's own limit
WORKERS = 16
ADDRESS = "127.0.0.1"


@contextmanager
def simulated_clouds(folder: Path, faults: Faults, *, moto: bool = False) -> Generator[dict[str, str]]:
    """Serve the accounts in `folder`; yields the variables with which an engine attaches to them.

    With `moto`, what its server can hold of AWS is really made there, and `AWS_ENDPOINT_URL` leads to it.
    """
    with moto_server(folder) if moto else nullcontext() as made, _providers(World(folder, faults, made)) as attached:
        yield attached | ({"AWS_ENDPOINT_URL": made.endpoint} if made else {})


@contextmanager
def moto_server(folder: Path) -> Generator["Moto"]:
    """moto's server with what the accounts in `folder` hold; one a process, as moto's memory is global."""
    from moto.core.config import default_user_config
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    from infra.simulation.conditions import leave_out_conditional_statements
    from infra.simulation.mirror import Moto
    from infra.simulation.names import own_names_only

    leave_out_conditional_statements()
    default_user_config["batch"] = {"use_docker": False}  # jobs run nothing, and succeed at once
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    application = own_names_only(DomainDispatcherApplication(create_backend_app))
    server = make_server(ADDRESS, 0, application, threaded=True, request_handler=MotoRequestHandler)
    serving = Thread(target=server.serve_forever, daemon=True)
    serving.start()
    try:
        made = Moto(f"http://{ADDRESS}:{server.server_port}")
        made.reset()
        for file in sorted(folder.glob("*.json")):
            made.restore(Account(file).things())
        yield made
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


@contextmanager
def _providers(world: World) -> Generator[dict[str, str]]:
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
            # Else the engine would download the real providers as soon as a state names them, and not even use them.
            yield {
                "PULUMI_DEBUG_PROVIDERS": ",".join(attached),
                "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            }
        finally:
            for server in servers:
                server.stop(0).wait()  # gRPC's own threads must be done with a server before it is forgotten
