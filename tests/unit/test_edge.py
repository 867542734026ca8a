"""Whatever is the matter with a disk, a store or a service: a sentence, an exit code, and everything as it was."""

import errno
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import pyarrow as pa
import pytest
import requests
from botocore.exceptions import ClientError, NoCredentialsError
from databricks.sdk.errors import PermissionDenied
from mlflow.exceptions import RestException

from ml import cli
from ml.edge import DEBUG, sentences, told
from ml.feedback.labels import ALWAYS, joined
from ml.problem import Problem, load_problem
from ml.release.audit import audit
from ml.runtime import Runtime
from ml.store import Store
from tests.live import labels_file, log_rows, runtime_json, write_log
from tests.stages import release_into, stage

pytestmark = pytest.mark.slow

SERVERS = {"serve", "review serve"}  # they run until they are ended: tests/integration tries them
READ = {"labels add", "monitor run", "review list", "review account", "erase", "subject-export", "retention"}
STORES = ("a file", "a loop", "read-only", "not there")


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            found = command.get_command(click.Context(command), name)
            assert found is not None
            yield from leaves(found, (*path, name))
    elif (name := " ".join(path)) not in SERVERS:
        yield name, command


COMMANDS = dict(leaves(cli.mlops))


def store_that_is(kind: str, folder: Path) -> Store:
    place = folder / "store"
    if kind == "a file":
        place.write_text("not a folder")
    elif kind == "a loop":
        place.symlink_to(place)
    elif kind == "read-only":  # also for root
        place = Path("/sys/kernel")
    return Store(place.as_uri())


def words_for(command: click.Command, folder: Path) -> list[str]:
    """An argument or option of each kind that the command asks for, as a person would give it."""
    digest = f"sha256:{'a' * 64}"
    values = {
        "stack": "local-dev", "stacks": "local-dev", "source": "local-dev", "target": "local-test",
        "digest": digest,
        "release": digest, "reason": "It was tried with a broken store.", "name": "tester", "case": "a1",
        "dataset": "2017", "space": "ML", "subject": "anna",
        "root": str(folder), "command": "ls", "out": str(folder / "out"), "password_stdin": None,
        "files": str(folder / "x.csv"), "file": str(folder / "x.csv"), "confirm": None, "yes": None,
    }  # fmt: skip
    words: list[str] = []
    for parameter in command.params:
        value = values.get(str(parameter.name), "")
        if isinstance(parameter, click.Argument):
            words.append(str(value))
        elif value is None:
            words.append(parameter.opts[-1])
        elif value and (parameter.required or parameter.name in ("root", "out", "stack")):
            words += [parameter.opts[-1], value]
    return words


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """`mlops` in this process; its exit code. What leaves `main` otherwise would be a traceback."""
    monkeypatch.setattr(sys, "argv", ["mlops", *words])
    try:
        cli.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a file of labels and of stacks, of somebody who is nobody else."""
    labels_file(tmp_path, {"r-0": 1}, "x.csv")
    (tmp_path / "Pulumi.yaml").write_text("name: mlops\nruntime: python\nstackConfigDir: stacks\n")
    (tmp_path / "stacks").mkdir()
    for name in ("dev", "test"):
        (tmp_path / "stacks" / f"Pulumi.local-{name}.yaml").write_text("config:\n  mlops:owner: ml-platform\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLOPS_SIGN_AS", "eve")
    monkeypatch.setenv("PULUMI_BACKEND_URL", (tmp_path / "state").as_uri())
    monkeypatch.delenv(DEBUG, raising=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO("a long password\n"))
    return tmp_path


@pytest.mark.parametrize("kind", STORES)
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_is_wrong_with_a_store(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, kind: str
) -> None:
    store = store_that_is(kind, place)
    runtime = Runtime.parse(
        {
            **json.loads(runtime_json(store)),
            "endpoint_url": "http://127.0.0.1:1",
            "log_retention_days": 30,
            "release": None,
        },
        "a test",
    )
    monkeypatch.setattr(Runtime, "load", lambda stack=None: runtime.model_copy(update={"stack": stack or "local-dev"}))
    before = {path: path.lstat().st_mtime_ns for path in place.rglob("*") if "store" in path.name}
    code = run(monkeypatch, *name.split(), *words_for(COMMANDS[name], place))
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    assert code == 0 or said.err.strip() or said.out.strip()
    assert code or name not in READ or kind not in ("a file", "a loop")
    assert kind == "not there" or before == {
        path: path.lstat().st_mtime_ns for path in place.rglob("*") if "store" in path.name
    }


@pytest.mark.parametrize("broken", range(4))
@pytest.mark.parametrize("cause", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_labels_on_a_full_disk_are_refused_in_a_sentence_and_taken_in_afterwards(
    store: Store,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    broken: int,
    cause: int,
) -> None:
    problem = load_problem()
    ids = write_log(store, problem, log_rows(problem, 2, datetime.now(UTC)))
    file = labels_file(place, {ids[0]: 1, ids[1]: 5})
    monkeypatch.setenv("MLOPS_RUNTIME", runtime_json(store))
    real, done = os.fsync, 0

    def failing(descriptor: int) -> None:
        nonlocal done
        done += 1
        if done > broken:
            raise OSError(cause, os.strerror(cause))
        real(descriptor)

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", failing)
        code = run(full, "labels", "add", str(file))
    said = capsys.readouterr().err
    assert (code, "Then run the command again." in said) == ((1, True) if done > broken else (0, False))
    assert not list(Path(store.path("labels")).rglob(".writing-*"))
    assert run(monkeypatch, "labels", "add", str(file)) == 0
    assert joined(store, problem, *ALWAYS)["prediction_id"].to_pylist() == [ids[0]]


def test_a_process_that_may_not_write_says_so(tmp_path: Path) -> None:
    """The system's own limit, in a process of its own: as good as a full disk, also for root."""
    program = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10));"
        "from ml.edge import sentences; from ml.store import Store\n"
        f"with sentences('mlops'): Store({tmp_path.as_uri()!r}).write('a/b', b'x' * 100)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"mlops: {tmp_path}/a/b is larger than this process may write.")
    assert list((tmp_path / "a").iterdir()) == []


def _loop(folder: Path) -> None:
    (folder / "loop").symlink_to(folder / "loop")
    Store(folder.as_uri()).read("loop")


def _folder_as_object(folder: Path) -> None:
    (folder / "object").mkdir()
    Store(folder.as_uri()).write("object", b"x")


def _folder_read(folder: Path) -> None:
    (folder / "object").mkdir()
    Store(folder.as_uri()).read("object")


def _below_a_file(folder: Path) -> None:
    (folder / "file").write_text("")
    Store(folder.as_uri()).write("file/below", b"x")


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (_loop, "loop is a link that leads to itself. Remove or restore it. Then run the command again."),
        (_folder_read, "object is a folder where a file should be."),
        (_folder_as_object, "object is a folder where a file should be."),
        (_below_a_file, "file is there already, where something else should be. Move it away."),
        (lambda folder: (folder / "none").read_bytes(), "none isn't there. Check the path"),
    ],
)
def test_a_sentence_names_the_file_the_cause_and_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], act: Callable[[Path], None], says: str
) -> None:
    with pytest.raises(SystemExit) as ended, sentences("mlops"):
        act(tmp_path)
    said = capsys.readouterr().err
    assert ended.value.code == 1
    assert f"{tmp_path}/" in said
    assert says in said
    assert not list(tmp_path.glob(".writing-*"))


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "PutObject"),
        NoCredentialsError(),
        PermissionDenied("not yours"),
        RestException({"error_code": "INTERNAL_ERROR", "message": "down"}),
        requests.ConnectionError("connection refused"),
        pa.ArrowInvalid("Parquet magic bytes not found"),
        ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
        TimeoutError("timed out"),
        ModuleNotFoundError("No module named 's3fs'", name="s3fs"),
        subprocess.CalledProcessError(255, ["pulumi", "stack", "ls"], stderr="error: no"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_service_or_a_library_that_fails_is_told(error: Exception) -> None:
    said = told(error)
    assert said is not None
    assert said.endswith((".", "happened.)"))
    assert "\n" not in said


@pytest.mark.parametrize("error", [KeyError("x"), TypeError("x"), ModuleNotFoundError("no", name="ml.gone")])
def test_a_mistake_of_our_own_keeps_its_traceback(error: Exception) -> None:
    assert told(error) is None
    with pytest.raises(type(error)), sentences("mlops"):
        raise error


def test_a_traceback_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEBUG, "1")
    with pytest.raises(FileNotFoundError), sentences("mlops"):
        raise FileNotFoundError(errno.ENOENT, "x", "y")


@pytest.mark.parametrize("kind", ["folder", "loop"])
def test_what_is_spoilt_in_one_release_is_found_and_the_others_are_verified(
    tmp_path: Path, candidate: Path, small_problem: Problem, kind: str
) -> None:
    place = stage(tmp_path, "dev")
    spoilt, whole = (release_into(place, candidate, small_problem, version) for version in ("1", "2"))
    file = Path(place.store.path(f"bundles/sha256/{spoilt.removeprefix('sha256:')}/schema.json"))
    file.unlink()
    file.mkdir() if kind == "folder" else file.symlink_to(file)
    found = {finding.subject: finding for finding in audit(place)}
    assert not found[spoilt].holds
    assert "schema.json" in found[spoilt].note
    assert found[whole].holds
