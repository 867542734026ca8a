"""Batch's part in a job, on moto's server, which records what is submitted and runs none of it.

Each job, and each child of an array, is a process of this machine: the container's own command with the variables that
the definition and whoever submitted it state, its output in the log that the definition names, tried again as the
definition's retry strategy says. The image, the network, the role and the size of a real job are not there.
"""

import fnmatch
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from moto.batch.models import Job
from moto.batch_simple.models import BatchSimpleBackend

__all__ = ["Fargate", "fargate"]

Machine = Callable[[Job, int, "subprocess.Popen[str]"], None]


class Fargate:
    """Runs what is submitted to moto's server of this process; `on_machine` is called with each attempt's process."""

    def __init__(self, region: str) -> None:
        self.region = region
        self.on_machine: Machine = lambda _job, _attempt, _process: None
        self.codes: dict[str, list[int]] = {}  # by job: how its attempts ended
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def play(self, job: Job) -> None:
        """In the background."""
        thread = threading.Thread(target=self._run, args=(job,))
        self._threads.append(thread)
        thread.start()

    def wait(self) -> None:
        """Until everything has ended."""
        for thread in self._threads:
            thread.join()

    def _run(self, job: Job) -> None:
        tried = 0
        try:
            strategy: Any = job.job_definition.retry_strategy or {}
            for tried in range(1, int(strategy.get("attempts", 1)) + 1):
                job.exit_code = self._attempt(job, tried)
                self.codes.setdefault(job.job_id, []).append(job.exit_code)
                if job.exit_code == 0 or not _is_retried(strategy.get("evaluateOnExit", []), job.exit_code):
                    break
        finally:
            job._mark_stopped(success=job.exit_code == 0)
            self._end_array(job)

    def _attempt(self, job: Job, attempt: int) -> int:
        details = job.describe()["container"]
        told = {each["name"]: each["value"] for each in details["environment"]}
        if ":" in job.job_id:
            parent, _, index = job.job_id.rpartition(":")
            size = str(job.backend._jobs[parent].array_properties["size"])
            told |= {"AWS_BATCH_JOB_ARRAY_INDEX": index, "AWS_BATCH_JOB_ARRAY_SIZE": size}
        variables = {k: v for k, v in os.environ.items() if k != "MLOPS_RUNTIME"} | told
        command = [sys.executable, "-m", "ml.container", *details["command"]]
        job.log_stream_name = f"{details['logConfiguration']['options']['awslogs-stream-prefix']}/default/{attempt}"
        if ":" in job.job_id:
            job.log_stream_name += f"-{job.job_id.rpartition(':')[2]}"
        job.status = "RUNNING"
        job._start_attempt()
        with subprocess.Popen(
            command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            watched = threading.Thread(target=self.on_machine, args=(job, attempt, process))
            watched.start()
            self._log(details["logConfiguration"]["options"]["awslogs-group"], job.log_stream_name, process)
            code = process.wait()
            watched.join()
        return code if code >= 0 else 128 - code

    def _log(self, group: str, stream: str, process: "subprocess.Popen[str]") -> None:
        logs = boto3.client("logs", region_name=self.region)  # pyright: ignore[reportArgumentType]
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
        assert process.stdout
        for line in process.stdout:
            event = {"timestamp": int(time.time() * 1000), "message": line.rstrip("\n") or " "}
            logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=[event])

    def _end_array(self, job: Job) -> None:
        """An array has failed when all of its children have ended and one has failed."""
        parent_id = job.job_id.rpartition(":")[0]
        if not parent_id:
            return
        with self._lock:
            jobs: dict[str, Job] = dict(job.backend._jobs)
            children = [each for name, each in jobs.items() if name.startswith(f"{parent_id}:")]
            if all(child.job_stopped for child in children) and any(child.exit_code != 0 for child in children):
                jobs[parent_id]._mark_stopped(success=False)


def _is_retried(rules: list[dict[str, str]], code: int) -> bool:
    """What the first rule that matches says; without a match a job is tried again."""
    for rule in rules:
        if fnmatch.fnmatchcase(str(code), rule.get("onExitCode", "*")):
            return rule["action"].upper() == "RETRY"
    return True


@contextmanager
def fargate(monkeypatch: pytest.MonkeyPatch, region: str) -> Generator[Fargate]:
    """Have the jobs run that are submitted to moto's server, which must be one of this process."""
    running = Fargate(region)
    details = Job._container_details

    def taken(self: Any, *, include_start_attempt: bool, job: Job) -> None:
        jobs: dict[str, Job] = self.backend._jobs
        jobs[job.job_id] = job
        if ":" not in job.job_id:  # an array comes after its children, and they are what runs
            for each in [jobs[name] for name in jobs if name.startswith(f"{job.job_id}:")] or [job]:
                running.play(each)

    def told(self: Job) -> dict[str, Any]:  # moto leaves out where the log is, and how it ended
        found = details(self) | {
            "logConfiguration": (self.job_definition.container_properties or {})["logConfiguration"]
        }
        return found | ({"exitCode": self.exit_code} if self.exit_code is not None else {})

    with monkeypatch.context() as patch:
        patch.setattr(BatchSimpleBackend, "_mark_job_as_finished", taken)
        patch.setattr(Job, "_container_details", told)
        try:
            yield running
        finally:
            running.wait()
