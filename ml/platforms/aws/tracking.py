"""SageMaker's MLflow, which has an ARN for an address and answers signed requests alone."""

from ml.errors import TrackingUnreachable

__all__ = ["connect"]


def connect(arn: str) -> None:
    """Have the requests signed: its plugin goes by the tracking URI of the whole process."""
    try:
        import boto3
        import sagemaker_mlflow  # noqa: F401 # pyright: ignore[reportUnusedImport] # found by its entry points
    except ImportError as error:
        raise TrackingUnreachable(
            f"{arn} is SageMaker's MLflow, which is asked through its plugin: install this project with its extra "
            "`sagemaker`."
        ) from error
    if boto3.Session().get_credentials() is None:
        raise TrackingUnreachable(f"{arn} answers signed requests alone, and there are no AWS credentials here.")
    import mlflow

    mlflow.set_tracking_uri(arn)
