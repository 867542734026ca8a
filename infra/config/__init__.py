"""The only place that reads Pulumi configuration."""

from infra.config.environments import ENVIRONMENTS, Environment
from infra.config.stack import ConfigInvalid, StackConfig

__all__ = ["ENVIRONMENTS", "ConfigInvalid", "Environment", "StackConfig"]
