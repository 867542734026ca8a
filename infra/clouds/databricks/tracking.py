"""The workspace's own MLflow."""

import pulumi

from infra.clouds.databricks._sdk import databricks
from infra.clouds.databricks.workspace import WorkspacePlatform
from infra.contracts import TrackingArgs
from infra.naming import logical

__all__ = ["Tracking"]

EXPERIMENTS = "/Shared/mlops"  # ml.training.tracking looks for experiments there


class Tracking(pulumi.ComponentResource):
    """MLflow is part of the workspace: what is made is the folder of experiments, and who may write into it."""

    uri: pulumi.Output[str]
    models: pulumi.Output[str] | None

    def __init__(
        self, name: str, args: TrackingArgs[WorkspacePlatform], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("mlops:databricks:Tracking", name, None, opts)
        workspace, child = args.platform.workspace, pulumi.ResourceOptions(parent=self)
        folder = databricks.Directory(
            logical(name, "experiments"), path=EXPERIMENTS, provider_config=workspace.here, opts=child
        )
        databricks.Permissions(
            logical(name, "experiments-access"),
            directory_path=folder.path,
            access_controls=[
                {"service_principal_name": workspace.principals[workload].application_id, "permission_level": level}
                for workload, level in (("training", "CAN_EDIT"), ("ci", "CAN_EDIT"), ("monitoring", "CAN_READ"))
            ],
            provider_config=workspace.here,
            opts=child,
        )
        self.uri = folder.id.apply(lambda _: "databricks")
        self.models = pulumi.Output.concat(workspace.catalog, ".", workspace.schema)
        self.register_outputs({"uri": self.uri, "models": self.models})
