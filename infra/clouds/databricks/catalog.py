"""Unity Catalog: a catalog an environment, closed to the other workspaces, and who may do what in it."""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from infra.clouds.databricks._account import SCHEMA, catalog_name
from infra.clouds.databricks._sdk import databricks
from infra.clouds.databricks.identity import Principal
from infra.config import StackConfig
from infra.naming import logical

__all__ = ["Catalog", "granted"]

USE_CATALOG, USE_SCHEMA = "USE_CATALOG", "USE_SCHEMA"
# What each workload may do in the environment's schema; what nobody is given, nobody may.
SCHEMA_PRIVILEGES = {
    "training": (USE_SCHEMA,),
    "scoring": (USE_SCHEMA, "EXECUTE"),
    "serving": (USE_SCHEMA, "EXECUTE"),
    "monitoring": (USE_SCHEMA, "SELECT"),  # the inference tables
    "ci": (USE_SCHEMA, "EXECUTE", "CREATE_MODEL"),  # a release becomes a registered model
}
RUNS_WHEELS = ("training", "scoring", "monitoring")


class Catalog(pulumi.ComponentResource):
    """The catalog with its schema, its volume for wheels, and the grants of all three."""

    name: pulumi.Output[str]
    schema: pulumi.Output[str]
    wheels: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        config: StackConfig,
        storage_root: pulumi.Input[str],
        here: Any,
        principals: Mapping[str, Principal],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("mlops:databricks:Catalog", name, None, opts)
        kept = pulumi.ResourceOptions(parent=self, protect=config.environment.is_protected)
        catalog = databricks.Catalog(
            logical(name, "catalog"),
            name=catalog_name(config),
            comment=f"Models, tables and files of {config.stack}",
            storage_root=storage_root,
            isolation_mode="ISOLATED",
            properties={"owner": config.owner, "data-class": config.data_class},
            provider_config=here,
            opts=kept,
        )
        schema = databricks.Schema(
            logical(name, "schema"),
            catalog_name=catalog.name,
            name=SCHEMA,
            comment="Registered models, inference tables, volumes",
            provider_config=here,
            opts=kept,
        )
        volume = databricks.Volume(
            logical(name, "wheels"),
            catalog_name=catalog.name,
            schema_name=schema.name,
            name="wheels",
            volume_type="MANAGED",
            comment="This project as jobs install it, by content",
            provider_config=here,
            opts=kept,
        )
        child = pulumi.ResourceOptions(parent=self)
        on_catalog = dict.fromkeys(SCHEMA_PRIVILEGES, (USE_CATALOG,))
        on_volume: dict[str, Sequence[str]] = dict.fromkeys(RUNS_WHEELS, ("READ_VOLUME",))
        for role, securable, privileges in (
            ("catalog-grants", {"catalog": catalog.name}, on_catalog),
            ("schema-grants", {"schema": schema.id}, SCHEMA_PRIVILEGES),
            ("wheels-grants", {"volume": volume.id}, on_volume),
        ):
            databricks.Grants(
                logical(name, role),
                grants=granted(principals, privileges),
                provider_config=here,
                opts=child,
                **securable,  # pyright: ignore[reportArgumentType] # one of the kinds that Grants takes
            )
        self.name, self.schema, self.wheels = catalog.name, schema.name, volume.volume_path
        self.register_outputs({"name": self.name})


def granted(principals: Mapping[str, Principal], privileges: Mapping[str, Sequence[str]]) -> list[Any]:
    """`privileges` by workload, as Grants takes them."""
    return [
        {"principal": principals[workload].application_id, "privileges": list(allowed)}
        for workload, allowed in privileges.items()
    ]
