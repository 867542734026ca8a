"""boto3's clients, and which of their errors pass by themselves."""

from typing import Any, Final

from ml.errors import MlopsError

__all__ = ["aws_errors", "client", "passes_by_itself", "region_of"]

ATTEMPTS: Final = 8  # botocore's own, with growing waits between them
PASSING: Final = frozenset(
    {
        *("Throttling", "ThrottlingException", "ThrottledException", "TooManyRequestsException"),
        *("RequestLimitExceeded", "RequestThrottled", "LimitExceededException", "SlowDown"),
        *("ServiceUnavailable", "ServiceUnavailableException", "InternalFailure", "InternalServerError"),
    }
)


def client(service: str, region: str) -> Any:
    """A client that waits and asks again when it is throttled; MlopsError without boto3."""
    try:
        import boto3
        from botocore.config import Config
    except ImportError as error:
        raise MlopsError("AWS is asked through boto3: install this project with its extra `sagemaker`.") from error
    retries = Config(retries={"mode": "standard", "max_attempts": ATTEMPTS})
    return boto3.client(service, region_name=region, config=retries)


def region_of(arn: str) -> str:
    """The region that an ARN names."""
    return arn.split(":")[3]


def aws_errors() -> tuple[type[Exception], ...]:
    """What a client raises when it gets no answer, or a refusal."""
    from botocore.exceptions import BotoCoreError, ClientError

    return BotoCoreError, ClientError


def passes_by_itself(error: Exception) -> bool:
    """Whether the same question may be answered a little later: throttled, unreachable, or the service's own fault."""
    from botocore.exceptions import ClientError, HTTPClientError

    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return error.response.get("Error", {}).get("Code", "") in PASSING or status >= 500
    return isinstance(error, HTTPClientError)
