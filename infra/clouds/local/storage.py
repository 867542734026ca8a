"""The object store of a local environment."""

import pulumi

from infra.clouds.local._paths import store_folder
from infra.clouds.local._resource import Folder
from infra.contracts import ObjectStoreArgs
from infra.naming import logical, tags

__all__ = ["ObjectStore"]


class ObjectStore(pulumi.ComponentResource):
    """A folder that only this user can read; destroying the stack leaves the data in it."""

    uri: pulumi.Output[str]
    identifier: pulumi.Output[str]

    def __init__(self, name: str, args: ObjectStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:local:ObjectStore", name, None, opts)
        folder = Folder(
            logical(name, "folder"),
            {"path": str(store_folder(args.config)), "tags": tags(args.config), "host": args.network.host},
            pulumi.ResourceOptions(parent=self, protect=args.config.environment.is_protected),
        )
        self.uri = folder.uri
        self.identifier = folder.id
        self.register_outputs({"uri": self.uri})
