"""One release, served by Model Serving, and the challenger beside it where one is stated."""

from typing import Any

import pulumi

from infra.clouds.databricks._account import INFERENCE_TABLES, endpoint_name, model_name
from infra.clouds.databricks._sdk import databricks
from infra.clouds.databricks.workspace import Workspace, WorkspacePlatform
from infra.contracts import EndpointArgs
from infra.naming import logical, tags

__all__ = ["Endpoint"]

CHAMPION, CHALLENGER = "champion", "challenger"
VERSION = "1"  # a release is a registered model of its own
SIZES = {"small": "Small", "medium": "Small", "large": "Medium"}  # of 4 requests at once, and of 8 to 16
WHOLE_PERCENT = 100


class Endpoint(pulumi.ComponentResource):
    """Every request and answer goes into an inference table; a challenger answers its share of them."""

    url: pulumi.Output[str]
    release: pulumi.Output[str]

    def __init__(
        self, name: str, args: EndpointArgs[WorkspacePlatform], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("mlops:databricks:Endpoint", name, None, opts)
        config, workspace = args.config, args.platform.workspace
        challenger = config.challenger
        share = round(WHOLE_PERCENT * challenger.weight) if challenger else 0
        served = [_served(CHAMPION, args.release, args, workspace)]
        routes = [{"served_entity_name": CHAMPION, "traffic_percentage": WHOLE_PERCENT - share}]
        if challenger:
            served.append(_served(CHALLENGER, challenger.release, args, workspace))
            routes.append({"served_entity_name": CHALLENGER, "traffic_percentage": share})
        carried = tags(config) | {"release": args.release.removeprefix("sha256:")}
        endpoint = databricks.ModelServing(
            logical(name, "endpoint"),
            name=endpoint_name(config),
            description=f"Serves {args.release}",
            config={"served_entities": served, "traffic_config": {"routes": routes}},  # pyright: ignore[reportArgumentType]
            ai_gateway={
                "inference_table_config": {
                    "enabled": True,
                    "catalog_name": workspace.catalog,
                    "schema_name": workspace.schema,
                    "table_name_prefix": INFERENCE_TABLES,
                },
                "usage_tracking_config": {"enabled": True},
            },
            budget_policy_id=workspace.budget_policy,
            email_notifications={"on_update_failures": list(config.alert_emails)} if config.alert_emails else None,
            tags=[{"key": key, "value": value} for key, value in carried.items()],
            provider_config=workspace.here,
            opts=pulumi.ResourceOptions(parent=self, protect=config.environment.is_protected),
        )
        databricks.Permissions(
            logical(name, "access"),
            serving_endpoint_id=endpoint.serving_endpoint_id,
            access_controls=[
                {
                    "service_principal_name": workspace.principals["serving"].application_id,
                    "permission_level": "CAN_QUERY",
                }
            ],
            provider_config=workspace.here,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.url = pulumi.Output.concat(workspace.url, "/serving-endpoints/", endpoint.name, "/invocations")
        # What the endpoint says of itself once it is updated, not what it was asked for.
        self.release = endpoint.tags.apply(_release)
        self.register_outputs({"url": self.url, "release": self.release})


def _served(role: str, release: str, args: EndpointArgs[WorkspacePlatform], workspace: Workspace) -> dict[str, Any]:
    environment = args.config.environment
    return {
        "name": role,
        "entity_name": pulumi.Output.concat(workspace.catalog, ".", workspace.schema, ".", model_name(release)),
        "entity_version": VERSION,
        "workload_size": SIZES[environment.serving_size],
        "scale_to_zero_enabled": environment.scales_to_zero,
    }


def _release(carried: Any) -> str:
    found = {tag["key"]: tag["value"] for tag in carried}
    return f"sha256:{found['release']}"
