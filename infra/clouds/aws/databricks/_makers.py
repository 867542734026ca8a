"""Databricks as AWS knows it: its account, and the role by which Unity Catalog comes."""

from infra.clouds.aws._account import in_every_region
from infra.config import StackConfig

__all__ = ["CATALOG_ROLE", "MAKER", "principal"]

MAKER = "414351767826"  # the AWS account of Databricks
CATALOG_ROLE = "role/unity-catalog-prod-UCMasterRole-14S5ZJVKOTYTL"


def principal(config: StackConfig, resource: str) -> dict[str, str]:
    """Something in that account, as a policy's principal."""
    return {"AWS": in_every_region(config, "iam", resource, account_id=MAKER)}
