"""What a training job of SageMaker left: the candidate in the store, and how good it is."""

import io
import json
import tarfile
import zlib
from pathlib import PurePosixPath
from typing import Any, Final

from pydantic import ValidationError

from ml.bundle.job_result import ANOTHER_VERSION, JobReport, JobResult
from ml.errors import MlopsError
from ml.store import Store

__all__ = ["candidate_of"]

REPORT: Final = "training.json"  # as ml.platforms.sagemaker.train_job leaves it in output/data
OUTPUT: Final = "output.tar.gz"  # what SageMaker makes of a job's output/data
MODEL: Final = "model.tar.gz"
LARGEST_REPORT_BYTES: Final = 16 * 1024 * 1024


def candidate_of(job: dict[str, Any]) -> JobResult:
    """The candidate of a finished job, as DescribeTrainingJob describes it; MlopsError when it left none."""
    name = job["TrainingJobName"]
    store = Store(f"{job['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{name}/output")
    try:
        report = JobReport.model_validate(json.loads(_report_in(store.read(OUTPUT))))
    except (OSError, EOFError, zlib.error, tarfile.TarError, ValueError, ValidationError) as error:
        raise MlopsError(
            f"The job {name} has ended well, but {store.url(OUTPUT)} holds no report of its candidate: {error} "
            f"{ANOTHER_VERSION}"
        ) from error
    if not store.exists(MODEL):
        raise MlopsError(f"The job {name} has ended well, but left no model: {store.url(MODEL)} isn't there.")
    return report.candidate(name, store.url(MODEL))


def _report_in(archive: bytes) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        for member in tar:
            if not member.isfile() or PurePosixPath(member.name).name != REPORT:
                continue
            file = tar.extractfile(member)
            content = file.read(LARGEST_REPORT_BYTES + 1) if file else b""
            if len(content) > LARGEST_REPORT_BYTES:
                raise ValueError(f"{REPORT} has more than {LARGEST_REPORT_BYTES:,} bytes.")
            return content
    raise ValueError(f"there is no {REPORT} in it.")
