"""The platform `sagemaker`: managed training, tracking and serving."""

from infra.clouds.aws.sagemaker.endpoint import Endpoint
from infra.clouds.aws.sagemaker.jobs import Jobs
from infra.clouds.aws.sagemaker.platform import Platform
from infra.clouds.aws.sagemaker.tracking import Tracking

__all__ = ["Endpoint", "Jobs", "Platform", "Tracking"]
