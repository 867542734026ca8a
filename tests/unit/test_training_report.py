"""What a training job of SageMaker left is read, or what is wrong with it is said in a sentence."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from ml.errors import MlopsError
from ml.platforms.sagemaker.candidate import candidate_of

NAME = "pipelines-1-Train-1"


def archive(**files: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{name}.json")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


WHOLE = archive(noise=os.urandom(20_000), training=b'{"run_id": null, "evaluation": {}, "gates": []}')
BROKEN = bytearray(WHOLE)
BROKEN[10:14] = b"\xff" * 4


@pytest.mark.parametrize(
    ("output", "why"),
    [
        (None, "No such file"),
        (b"", "empty file"),
        (b"<html>", "not a gzip file"),
        (WHOLE[:9_000], "ended before"),
        (bytes(BROKEN), "invalid"),
        (archive(other=b"{}"), "no training.json in it"),
        (archive(training=b"{"), "Expecting property name"),
        (WHOLE, "evaluation"),
    ],
)
def test_a_report_that_can_not_be_read_is_said_to_be(tmp_path: Path, output: bytes | None, why: str) -> None:
    job = {"TrainingJobName": NAME, "OutputDataConfig": {"S3OutputPath": f"{tmp_path.as_uri()}/"}}
    folder = tmp_path / NAME / "output"
    folder.mkdir(parents=True)
    if output is not None:
        (folder / "output.tar.gz").write_bytes(output)
    with pytest.raises(MlopsError, match=rf"(?s)The job {NAME} has ended well, but .*holds no report .*{why}"):
        candidate_of(job)
