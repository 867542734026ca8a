"""Training as a job of SageMaker: started, followed to its end, and its candidate brought back."""

from ml.training.sagemaker.execution import follow, stop_command
from ml.training.sagemaker.pipeline import start

__all__ = ["follow", "start", "stop_command"]
