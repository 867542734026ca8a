"""Physical names that more than one component has to know."""

from infra.clouds.aws._account import settings
from infra.config import StackConfig
from infra.naming import physical

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "IMAGE",
    "LONGEST_NAME",
    "LONGEST_REPOSITORY_NAME",
    "STORE",
    "endpoint_name",
    "job_prefix",
    "models_name",
    "pipeline_name",
    "tracking_name",
]

STORE = "store"  # the role in the name of the store's bucket
CHAMPION = "champion"  # the variant of the pinned release
CHALLENGER = "challenger"
IMAGE = "image"  # the role in the name of the repository
LONGEST_REPOSITORY_NAME = 256
LONGEST_NAME = 63  # of whatever SageMaker has


def dashboard_name(config: StackConfig) -> str:
    """The CloudWatch dashboard."""
    return physical(config.stack, "overview", maximum_length=255)


def dashboard_url(config: StackConfig) -> str:
    """The dashboard's page in AWS's console."""
    region = settings(config).region
    home = f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}"
    return f"{home}#dashboards/dashboard/{dashboard_name(config)}"


def endpoint_name(config: StackConfig) -> str:
    """The endpoint, whatever it serves."""
    return physical(config.stack, "endpoint", maximum_length=LONGEST_NAME)


def pipeline_name(config: StackConfig) -> str:
    """The pipeline that trains."""
    return physical(config.stack, "training", maximum_length=LONGEST_NAME)


def job_prefix(config: StackConfig) -> str:
    """How the names of training jobs begin that are started without the pipeline."""
    return f"{physical(config.stack, 'train', maximum_length=40)}-"


def models_name(config: StackConfig) -> str:
    """The group that releases are registered in."""
    return physical(config.stack, "models", maximum_length=LONGEST_NAME)


def tracking_name(config: StackConfig) -> str:
    """The MLflow tracking server."""
    return physical(config.stack, "tracking", maximum_length=LONGEST_NAME)
