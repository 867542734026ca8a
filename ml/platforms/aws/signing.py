"""Requests that AWS answers only when they are signed by whoever has credentials (Signature Version 4)."""

import re
from collections.abc import Mapping
from typing import Final

from ml.errors import MlopsError

__all__ = ["signed_headers"]

# Whose requests need it: the host, the name under which the service checks signatures, and in the host its region.
SIGNED: Final = (
    (re.compile(r"https://[a-z0-9]+\.lambda-url\.(?P<region>[a-z0-9-]+)\.on\.aws(/|$)"), "lambda"),
    (re.compile(r"https://runtime\.sagemaker\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?(/|$)"), "sagemaker"),
)


def signed_headers(method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> dict[str, str]:
    """The headers, with a signature where the URL is one of AWS; MlopsError without credentials or without boto3."""
    for pattern, service in SIGNED:
        if found := pattern.match(url):
            return _signed(method, url, body, headers, service, found["region"])
    return dict(headers)


def _signed(
    method: str, url: str, body: bytes | None, headers: Mapping[str, str], service: str, region: str
) -> dict[str, str]:
    try:
        import boto3
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
    except ImportError as error:
        raise MlopsError(
            f"{url} takes signed requests only, and boto3 signs them: install this project with its extra `sagemaker`."
        ) from error
    credentials = boto3.Session().get_credentials()
    if credentials is None:
        raise MlopsError(
            f"{url} takes signed requests only, and there are no AWS credentials. `aws sso login` or AWS_PROFILE gives "
            "some; they must be allowed to call it."
        )
    request = AWSRequest(method, url, dict(headers), body or b"")
    SigV4Auth(credentials.get_frozen_credentials(), service, region).add_auth(request)
    return dict(request.headers.items())
