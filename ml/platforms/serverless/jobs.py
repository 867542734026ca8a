"""Jobs of AWS Batch: submit one, or an array that shares the work, and follow it to its end."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from ml.errors import InputRefused, MlopsError
from ml.following import Say, failed, wait_for
from ml.platforms.aws.client import aws_errors, client, region_of
from ml.platforms.aws.logs import JobLog
from ml.platforms.aws.patience import Patience

__all__ = [
    "ARRAY_INDEX",
    "ARRAY_SIZE",
    "JOB_ID",
    "command_of",
    "follow",
    "is_job",
    "is_under_way",
    "share_of",
    "stop_command",
    "submit",
]

# What Batch tells a job in its environment.
JOB_ID: Final = "AWS_BATCH_JOB_ID"
ARRAY_INDEX: Final = "AWS_BATCH_JOB_ARRAY_INDEX"  # of a child of an array, from 0
ARRAY_SIZE: Final = "AWS_BATCH_JOB_ARRAY_SIZE"
LARGEST_ARRAY: Final = 10_000
ENDED: Final = frozenset({"SUCCEEDED", "FAILED"})
POLL_S = 5.0


def submit(
    queue: str,
    definition: str,
    name: str,
    *,
    command: Sequence[str] | None = None,
    variables: Mapping[str, str] | None = None,
    size: int = 1,
    tags: Mapping[str, str] | None = None,
) -> str:
    """The ARN of the new job; of `size` children, where that is more than one, each knows its number and the size."""
    if not 1 <= size <= LARGEST_ARRAY:
        raise InputRefused(f"A job of AWS Batch has 1 to {LARGEST_ARRAY:,} shares, not {size:,}.")
    overrides: dict[str, Any] = {"command": list(command)} if command else {}
    if variables:
        overrides["environment"] = [{"name": key, "value": value} for key, value in variables.items()]
    batch = client("batch", region_of(queue))
    try:
        answer = batch.submit_job(
            jobName=name,
            jobQueue=queue,
            jobDefinition=definition,
            containerOverrides=overrides,
            tags=dict(tags or {}),
            propagateTags=True,
            **({"arrayProperties": {"size": size}} if size > 1 else {}),
        )
    except aws_errors() as error:
        raise MlopsError(f"AWS Batch takes no job into {queue}: {error}") from error
    return answer["jobArn"]


def is_under_way(queue: str, name: str) -> bool:
    """Whether a job of this name waits or runs."""
    pages = client("batch", region_of(queue)).get_paginator("list_jobs")
    found = pages.paginate(jobQueue=queue, filters=[{"name": "JOB_NAME", "values": [name]}])
    jobs = (job for page in found for job in page["jobSummaryList"])
    return any(job["jobName"] == name and job["status"] not in ENDED for job in jobs)


def command_of(arn: str) -> list[str]:
    """What a job was submitted to do; InputRefused for what is no job, MlopsError when AWS doesn't say."""
    try:
        found = client("batch", region_of(_a_job(arn))).describe_jobs(jobs=[_id_of(arn)])["jobs"]
    except aws_errors() as error:
        raise MlopsError(f"AWS Batch doesn't say what the job {_id_of(arn)} is: {error}") from error
    if not found:
        raise _forgotten(arn)
    return found[0].get("container", {}).get("command", [])


def stop_command(arn: str) -> str:
    """What ends the job."""
    return f"aws batch terminate-job --job-id {_id_of(arn)} --reason 'not needed'"


def share_of(environment: Mapping[str, str]) -> tuple[int, int] | None:
    """Which share, from 1, of how many this process is, as Batch says; None outside an array."""
    index, size = environment.get(ARRAY_INDEX), environment.get(ARRAY_SIZE)
    if index is None:
        return None
    if size is None or not (index.isdecimal() and size.isdecimal() and int(index) < int(size)):
        raise InputRefused(f"{ARRAY_INDEX} is {index!r} and {ARRAY_SIZE} {size!r}: that is no share of an array job.")
    return int(index) + 1, int(size)


def follow(arn: str, progress: Say, show: Say) -> None:
    """Say what happens and what a single job prints until it has ended; MlopsError when it failed.

    The job goes on when this ends before it.
    """
    watched = _Watched(_a_job(arn), progress, show)
    wait_for(watched.look, ENDED.__contains__, POLL_S)
    time.sleep(POLL_S)  # CloudWatch shows the last lines some seconds late
    watched.end()


class _Watched:
    """A job, and the log of its present attempt where it has one of its own."""

    def __init__(self, arn: str, progress: Say, show: Say) -> None:
        self._id = _id_of(arn)
        self._batch, self._logs = client("batch", region_of(arn)), client("logs", region_of(arn))
        self._aws = Patience(progress, show, f"The job {self._id} itself goes on.")
        self._job: dict[str, Any] = {}
        self._log: JobLog | None = None
        self._stream = ""

    def look(self) -> str:
        """The job's state, after what is new has been said."""
        if found := self._described(self._id):
            self._job = found
            self._aws.news.say("job", _standing(self._job))
            self._read()
        return self._job.get("status", "SUBMITTED")

    def end(self) -> None:
        """The last lines; MlopsError with them when the job failed."""
        self._read()
        if self._job["status"] == "SUCCEEDED":
            return
        job, log = self._job, self._log
        if "arrayProperties" in job:
            job = self._failed_child()
            log = self._log_of(job)
            self._aws.read(log, show=lambda _: None)
        reason = job.get("container", {}).get("reason") or job.get("statusReason") or "its log may say why"
        code, attempts = job.get("container", {}).get("exitCode"), len(job.get("attempts", ()))
        how = f"The job {job['jobId']} failed{f' with exit code {code}' if code is not None else ''}"
        raise failed(f"{how}, at attempt {attempts}" if attempts > 1 else how, reason, log.last if log else ())

    def _described(self, job: str) -> dict[str, Any] | None:
        """What Batch says of a job, None when it doesn't answer now."""
        answer = self._aws.ask(self._batch.describe_jobs, jobs=[job])
        if answer is not None and not answer["jobs"]:
            raise _forgotten(job)
        return answer["jobs"][0] if answer else None

    def _failed_child(self) -> dict[str, Any]:
        """One that failed, the array itself where none did."""
        ask = partial(self._aws.ask, self._batch.list_jobs, arrayJobId=self._id, jobStatus="FAILED")
        listed = wait_for(ask, bool, POLL_S) or {}
        child = next((job["jobId"] for job in listed["jobSummaryList"] if job["status"] == "FAILED"), None)
        return (wait_for(lambda: self._described(child), bool, POLL_S) if child else None) or self._job

    def _read(self) -> None:
        stream = self._job.get("container", {}).get("logStreamName")
        if stream and stream != self._stream and "arrayProperties" not in self._job:
            self._stream, self._log = stream, self._log_of(self._job)
        self._aws.read(self._log)

    def _log_of(self, job: dict[str, Any]) -> JobLog | None:
        container = job.get("container", {})
        group = container.get("logConfiguration", {}).get("options", {}).get("awslogs-group")
        stream = container.get("logStreamName")
        return JobLog(self._logs, group, stream) if group and stream else None


def is_job(arn: str) -> bool:
    """Whether this is how Batch names its jobs."""
    parts = arn.split(":")
    return parts[2:3] == ["batch"] and parts[-1].startswith("job/")


def _a_job(arn: str) -> str:
    if not is_job(arn):
        raise InputRefused(f"{arn!r} is not the ARN of a job of AWS Batch.")
    return arn


def _id_of(arn: str) -> str:
    return arn.rpartition("/")[2]


def _forgotten(arn: str) -> InputRefused:
    return InputRefused(f"AWS Batch knows no job {_id_of(arn)}; it forgets them after some days.")


def _standing(job: dict[str, Any]) -> str:
    """One line: the state, and of an array how many children are in which."""
    summary = Counter(job.get("arrayProperties", {}).get("statusSummary", {}))
    children = ", ".join(f"{count:,} {state.lower()}" for state, count in sorted(summary.items()) if count)
    return f"The job is {job['status']}{f': {children}' if children else ''}"
