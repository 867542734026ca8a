"""A workspace's REST API as its clients ask it: a double, for Databricks has no emulator.

What `databricks-sdk` asks is checked against its own signatures and answered with its models, what MLflow asks of
Unity Catalog against MLflow's messages (tests/unity_catalog.py); its tracking is passed on to a real MLflow server. A
job that is started really runs: the tasks of its definition, in their order, by the wheel that the definition names,
installed into an environment of its own (tests/serverless.py). Files that MLflow keeps are in a folder. Not there:
identities and grants, queues, retries.
"""

import inspect
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from databricks.sdk.service import catalog, jobs

from tests.serverless import Serverless
from tests.unity_catalog import PREFIX, Refusal, Registry

__all__ = ["TOKEN", "Workspace", "workspace"]

TOKEN = "double-of-a-token"  # noqa: S105 # opens nothing
ORGANISATION = "1117956363813841"  # the workspace's number, which every answer carries
FILES, FOLDERS = "/api/2.0/fs/files", "/api/2.0/fs/directories"
Definitions = Mapping[int, Mapping[str, Any]]
Keys = Callable[[str], catalog.AwsCredentials]


class Workspace:
    """`definitions` are the jobs as the stack's program states them, by id; `keys` what a credential is worth."""

    def __init__(
        self, definitions: Definitions, compute: Serverless | None, keys: Keys, mlflow_uri: str, files: Path
    ) -> None:
        self.url, self.mlflow_uri, self.files = "", mlflow_uri, files
        self.definitions, self.compute, self.keys = definitions, compute, keys
        self.registry: Registry | None = None
        self.started: list[dict[str, Any]] = []
        self.credentials_given: list[str] = []
        self._runs: dict[int, jobs.Run] = {}
        self._told: dict[int, list[jobs.JobParameter]] = {}
        self._outputs: dict[int, jobs.RunOutput] = {}
        self._threads: list[threading.Thread] = []

    def answer(self, verb: str, path: str, given: dict[str, Any]) -> dict[str, Any]:
        """Refusal where the service says no."""
        if path.startswith(PREFIX) and self.registry:
            return self.registry.answer(verb, path, given)
        if path == "/api/2.1/unity-catalog/temporary-service-credentials":
            _check(catalog.CredentialsAPI.generate_temporary_service_credential, given)
            self.credentials_given.append(given["credential_name"])
            expires = int((time.time() + 3600) * 1000)
            return catalog.TemporaryCredentials(
                aws_temp_credentials=self.keys(given["credential_name"]), expiration_time=expires
            ).as_dict()
        call = path.rpartition("/jobs/")[2]
        if call == "run-now":
            _check(jobs.JobsAPI.run_now, given)
            if int(given["job_id"]) not in self.definitions:
                raise Refusal(400, "INVALID_PARAMETER_VALUE", f"Job {given['job_id']} does not exist.")
            return jobs.RunNowResponse(run_id=self.run(given)).as_dict()
        if call == "runs/get":
            return self._runs[int(given["run_id"])].as_dict()
        if call == "runs/get-output":
            return self._outputs[int(given["run_id"])].as_dict()
        raise Refusal(404, "ENDPOINT_NOT_FOUND", f"{verb} {path} is not part of this double")

    def file(self, verb: str, path: str, body: bytes) -> bytes:
        """A file's content, or a folder's as JSON; Refusal where there is none."""
        kind, place = (
            (FILES, path.removeprefix(FILES)) if path.startswith(FILES) else (FOLDERS, path.removeprefix(FOLDERS))
        )
        here = self.files / unquote(place).lstrip("/")
        if verb == "PUT" and kind == FILES:
            here.parent.mkdir(parents=True, exist_ok=True)
            here.write_bytes(body)
            return b""
        if not (here.is_file() if kind == FILES else here.is_dir()):
            raise Refusal(404, "NOT_FOUND", f"There is no {place}.")
        if verb == "HEAD":
            return b""
        if kind == FILES:
            return here.read_bytes()
        shown = [
            {"path": f"{unquote(place)}/{each.name}", "name": each.name, "is_directory": each.is_dir()}
            | ({} if each.is_dir() else {"file_size": each.stat().st_size})
            for each in sorted(here.iterdir())
        ]
        return json.dumps({"contents": shown}).encode()

    def wait(self) -> None:
        """Until everything that was started has ended."""
        for thread in self._threads:
            thread.join()

    def run(self, given: dict[str, Any]) -> int:
        """Start a job, as `run-now`, a schedule or a trigger does; the run's id."""
        run_id = 1000 * (1 + len(self.started))
        self.started.append(given)
        definition = self.definitions[int(given["job_id"])]
        told = {each["name"]: each["default"] for each in definition.get("parameters", [])}
        if unknown := given.get("job_parameters", {}).keys() - told.keys():
            raise Refusal(400, "INVALID_PARAMETER_VALUE", f"The job has no parameters {sorted(unknown)}.")
        told |= given.get("job_parameters", {})
        self._told[run_id] = [jobs.JobParameter(name=name, value=value) for name, value in told.items()]
        self._say(run_id, (), jobs.RunLifecycleStateV2State.RUNNING)
        thread = threading.Thread(target=self._play, args=(run_id, definition, told))
        self._threads.append(thread)
        thread.start()
        return run_id

    def logs(self, run_id: int) -> dict[str, str]:
        """What each task of an ended run has written, by its key."""
        self.wait()
        return {
            str(task.task_key): str(self._outputs[task.run_id or 0].logs) for task in self._runs[run_id].tasks or []
        }

    def error(self, run_id: int) -> str | None:
        """Why an ended run failed, None where it didn't."""
        self.wait()
        return self._error(run_id)

    def _play(self, run_id: int, definition: Mapping[str, Any], told: Mapping[str, str]) -> None:
        """Each task once those that it depends on have ended well."""
        ended: list[str] = []
        error = None
        waiting = list(definition["tasks"])
        while waiting and not error:
            task = next(t for t in waiting if {d["taskKey"] for d in t.get("dependsOns") or []} <= set(ended))
            waiting.remove(task)
            ended.append(task["taskKey"])
            output, error = self._done(definition, task, told)
            self._outputs[run_id + len(ended)] = jobs.RunOutput(logs=output, error=error)
        code = jobs.TerminationCodeCode.RUN_EXECUTION_ERROR if error else jobs.TerminationCodeCode.SUCCESS
        self._say(run_id, ended, jobs.RunLifecycleStateV2State.TERMINATED, code)

    def _done(
        self, definition: Mapping[str, Any], task: Mapping[str, Any], told: Mapping[str, str]
    ) -> tuple[str, str | None]:
        if other := task.get("runJobTask"):
            run_id = self.run({"job_id": other["jobId"], "job_parameters": other["jobParameters"]})
            self._threads[-1].join()
            return "", self._error(run_id)
        assert self.compute is not None
        where = {"DATABRICKS_HOST": self.url, "DATABRICKS_TOKEN": TOKEN}
        return self.compute.run(definition, task, told, where)

    def _error(self, run_id: int) -> str | None:
        return next((e for t in self._runs[run_id].tasks or [] if (e := self._outputs[t.run_id or 0].error)), None)

    def _say(
        self,
        run_id: int,
        tasks: Any,
        state: jobs.RunLifecycleStateV2State,
        code: jobs.TerminationCodeCode | None = None,
    ) -> None:
        details = jobs.TerminationDetails(code=code) if code else None
        status = jobs.RunStatus(state=state, termination_details=details)
        shown = [jobs.RunTask(task_key=key, run_id=run_id + 1 + n, attempt_number=0) for n, key in enumerate(tasks)]
        self._runs[run_id] = jobs.Run(run_id=run_id, status=status, tasks=shown, job_parameters=self._told[run_id])


def _check(method: Any, given: Mapping[str, Any]) -> None:
    """Only what the published client can send, and all that it must."""
    parameters = inspect.signature(method).parameters
    required = {name for name, p in parameters.items() if p.default is inspect.Parameter.empty and name != "self"}
    if not required <= given.keys() <= parameters.keys():
        raise Refusal(400, "INVALID_PARAMETER_VALUE", f"{sorted(given)} is not what {method.__qualname__} sends")


@contextmanager
def workspace(
    definitions: Definitions, compute: Serverless | None, keys: Keys, mlflow_uri: str = "", files: Path = Path()
) -> Generator[Workspace]:
    """A workspace on a port of its own."""
    made = Workspace(definitions, compute, keys, mlflow_uri, files)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                status, content = self._asked()
            except Refusal as refusal:
                status, content = refusal.status, json.dumps(refusal.content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("X-Databricks-Org-Id", ORGANISATION)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_GET  # noqa: N815 # the base class's names

        def _asked(self) -> tuple[int, bytes]:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            verb, parts = str(self.command), urlsplit(self.path)
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                raise Refusal(401, "UNAUTHENTICATED", "who are you?")
            if parts.path.startswith((FILES, FOLDERS)):
                return 200, made.file(verb, parts.path, body)
            if parts.path.startswith("/api/2.0/mlflow/") and not parts.path.startswith(PREFIX):
                return _passed_on(f"{made.mlflow_uri}{self.path}", verb, body)
            given = json.loads(body) if body else {}
            given |= {key: value[0] for key, value in parse_qs(parts.query).items()}
            return 200, json.dumps(made.answer(verb, parts.path, given)).encode()

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


def _passed_on(url: str, verb: str, body: bytes) -> tuple[int, bytes]:
    """MLflow's own answer: the tracking of a workspace speaks the same protocol."""
    asked = urllib.request.Request(url, data=body or None, method=verb, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(asked) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
