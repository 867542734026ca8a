"""The one provider: it speaks to the account, and through it to the workspace that a resource names.

So everything is checked at the first preview, when there is no workspace yet whose address a second provider needs.
Who it acts as is said by the environment (DATABRICKS_CLIENT_ID and a CI system's own token, or a person's sign-on).
"""

from infra.clouds.databricks._account import settings
from infra.clouds.databricks._sdk import databricks
from infra.config import StackConfig

__all__ = ["account_provider"]


def account_provider(config: StackConfig, host: str) -> databricks.Provider:
    """`host` is where the cloud's accounts are; no token is ever part of it."""
    return databricks.Provider("databricks", host=host, account_id=settings(config).account_id)
