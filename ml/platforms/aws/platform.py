"""What AWS's platforms have in common."""

from collections.abc import Mapping

from ml.platform import Platform
from ml.platforms.aws.signing import signed_headers

__all__ = ["AwsPlatform"]


class AwsPlatform(Platform):
    """Endpoints that take signed requests, and SageMaker's MLflow, which has an ARN for an address."""

    def sign(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> dict[str, str]:
        """By Signature Version 4, where the URL is one of AWS."""
        return signed_headers(method, url, body, headers)

    def connect_tracking(self, uri: str) -> bool:
        """SageMaker's MLflow takes requests that its plugin signs."""
        if not uri.startswith("arn:"):
            return False
        from ml.platforms.aws.tracking import connect

        connect(uri)
        return True
