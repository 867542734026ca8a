"""Training as a job of SageMaker: started, followed to its end, and its candidate brought back."""

from ml.training.sagemaker.candidate import Candidate
from ml.training.sagemaker.execution import follow
from ml.training.sagemaker.pipeline import start

__all__ = ["Candidate", "follow", "start"]
