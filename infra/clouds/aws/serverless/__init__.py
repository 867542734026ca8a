"""The platform `serverless`: Batch trains and scores in bulk, Lambda serves and watches; no server waits for work."""

from infra.clouds.aws.serverless.endpoint import Endpoint
from infra.clouds.aws.serverless.jobs import Jobs
from infra.clouds.aws.serverless.platform import Platform
from infra.clouds.aws.tracking import Tracking

__all__ = ["Endpoint", "Jobs", "Platform", "Tracking"]
