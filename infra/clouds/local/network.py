"""The loopback network of a local environment."""

from collections.abc import Sequence

import pulumi

from infra.clouds.local import _paths
from infra.clouds.local._resource import Ports
from infra.contracts import NetworkArgs
from infra.naming import logical

__all__ = ["Network"]


class Network(pulumi.ComponentResource):
    """The environment's ports on 127.0.0.1; a port that another program uses is refused before anything is created."""

    host: pulumi.Output[str]
    subnets: Sequence[pulumi.Output[str]] = ()
    guard: pulumi.Output[str]

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:local:Network", name, None, opts)
        ports = Ports(
            logical(name, "ports"),
            {"ports": args.config.local.ports.model_dump(), "root": str(_paths.root(args.config))},
            pulumi.ResourceOptions(parent=self),
        )
        self.host = self.guard = ports.host  # who may talk is said by the address alone
        self.register_outputs({"host": self.host})
