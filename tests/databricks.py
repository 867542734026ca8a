"""A workspace's REST API as `databricks-sdk` asks it: a double, for Databricks has no emulator.

What it is asked is checked against the published client's own signatures, and what it answers is made of its models. A
job that is started really runs: the wheel's entry point, in a process of its own, with the parameters as Databricks
gives them. Not there: serverless compute, the wheel's installation, identities, queues.
"""

import inspect
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from databricks.sdk.service import catalog, jobs

__all__ = ["TOKEN", "Workspace", "workspace"]

TOKEN = "double-of-a-token"  # noqa: S105 # opens nothing
CALL = """
import sys
from importlib.metadata import distribution
entry_point, *sys.argv[1:] = sys.argv[1:]
(found,) = [each for each in distribution("mlops-reference").entry_points if each.name == entry_point]
found.load()()
"""


class Workspace:
    """`parameters` are the named parameters of the one job's task; `keys` what a service credential is worth."""

    def __init__(self, parameters: Mapping[str, str], keys: catalog.AwsCredentials) -> None:
        self.url = ""
        self.parameters = dict(parameters)
        self.keys = keys
        self.started: list[dict[str, Any]] = []
        self.credentials_given: list[str] = []
        self._runs: dict[int, jobs.Run] = {}
        self._outputs: dict[int, jobs.RunOutput] = {}
        self._threads: list[threading.Thread] = []

    def answer(self, path: str, given: dict[str, Any]) -> dict[str, Any]:
        """KeyError where there is no such call."""
        if path == "/api/2.1/unity-catalog/temporary-service-credentials":
            _check(catalog.CredentialsAPI.generate_temporary_service_credential, given)
            self.credentials_given.append(given["credential_name"])
            expires = int((time.time() + 3600) * 1000)
            return catalog.TemporaryCredentials(aws_temp_credentials=self.keys, expiration_time=expires).as_dict()
        call = path.rpartition("/jobs/")[2]
        if call == "run-now":
            _check(jobs.JobsAPI.run_now, given)
            return jobs.RunNowResponse(run_id=self._run(given)).as_dict()
        if call == "runs/get":
            return self._runs[int(given["run_id"])].as_dict()
        if call == "runs/get-output":
            return self._outputs[int(given["run_id"])].as_dict()
        raise KeyError(path)

    def wait(self) -> None:
        """Until everything that was started has ended."""
        for thread in self._threads:
            thread.join()

    def _run(self, given: dict[str, Any]) -> int:
        run_id = 1000 + len(self.started)
        self.started.append(given)
        self._say(run_id, jobs.RunLifecycleStateV2State.RUNNING)
        told = given.get("job_parameters", {})
        parameters = {
            key: told.get(value.removeprefix("{{job.parameters.").removesuffix("}}"), value)
            for key, value in self.parameters.items()
        }
        thread = threading.Thread(target=self._play, args=(run_id, parameters))
        self._threads.append(thread)
        thread.start()
        return run_id

    def _play(self, run_id: int, parameters: Mapping[str, str]) -> None:
        """As a wheel task: named parameters are words of the command line."""
        words = [f"--{key}={value}" for key, value in parameters.items()]
        ended = subprocess.run(
            [sys.executable, "-c", CALL, "mlops-databricks", *words],
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        error = None if ended.returncode == 0 else ended.stderr.strip().rpartition("\n")[2]
        self._outputs[run_id + 1] = jobs.RunOutput(logs=ended.stderr + ended.stdout, error=error)
        well = ended.returncode == 0
        code = jobs.TerminationCodeCode.SUCCESS if well else jobs.TerminationCodeCode.RUN_EXECUTION_ERROR
        self._say(run_id, jobs.RunLifecycleStateV2State.TERMINATED, code)

    def environment(self) -> dict[str, str]:
        """What a task finds: who it is, and no key of AWS."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
        aws = {"AWS_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL"], "AWS_EC2_METADATA_DISABLED": "true"}
        return kept | aws | {"DATABRICKS_HOST": self.url, "DATABRICKS_TOKEN": TOKEN}

    def _say(
        self, run_id: int, state: jobs.RunLifecycleStateV2State, code: jobs.TerminationCodeCode | None = None
    ) -> None:
        details = jobs.TerminationDetails(code=code) if code else None
        status = jobs.RunStatus(state=state, termination_details=details)
        task = jobs.RunTask(task_key="train", run_id=run_id + 1, attempt_number=0)
        self._runs[run_id] = jobs.Run(run_id=run_id, status=status, tasks=[task])


def _check(method: Any, given: Mapping[str, Any]) -> None:
    """Only what the published client can send, and all that it must."""
    parameters = inspect.signature(method).parameters
    required = {name for name, p in parameters.items() if p.default is inspect.Parameter.empty and name != "self"}
    if not required <= given.keys() <= parameters.keys():
        raise KeyError(f"{sorted(given)} is not what {method.__qualname__} sends")


@contextmanager
def workspace(parameters: Mapping[str, str], keys: catalog.AwsCredentials) -> Generator[Workspace]:
    """A workspace with one job, on a port of its own."""
    made = Workspace(parameters, keys)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({key: value[0] for key, value in parse_qs(urlsplit(self.path).query).items()})

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _answer(self, given: dict[str, Any]) -> None:
            status, content = 200, dict[str, Any]()
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                status, content = 401, {"error_code": "UNAUTHENTICATED", "message": "who are you?"}
            else:
                try:
                    content = made.answer(urlsplit(self.path).path, given)
                except KeyError as error:
                    status, content = 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": str(error)}
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 # the base class's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        made.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield made
        finally:
            made.wait()
            server.shutdown()
