"""What a writer to MLflow who has no key can do to a release: nothing but have it refused.

The server is a real one, asked over HTTP as anybody may who reaches it. What is planted is a pickle that writes a file
when it is loaded.
"""

import json
import pickle
import shutil
import threading
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from mlflow import MlflowClient

from ml.bundle.bundle import canonical, fetch, publish, verify
from ml.bundle.evaluation import CHOSEN_TAG
from ml.errors import MlopsError, ReleaseRefused
from ml.problem import Problem
from ml.release.release import release
from ml.runtime import Runtime
from ml.store import Store
from ml.trust.keys import Signer, new_key, signer
from ml.trust.signing import signature_key
from ml.trust.voucher import PREFIX, Voucher, Vouching
from tests.vouched import Marks, vouch


class Trained(NamedTuple):
    """A stack with a candidate that somebody vouches for, and where it would show that something was loaded."""

    problem: Problem
    runtime: Runtime
    store: Store
    client: MlflowClient
    experiment: str
    run_id: str
    candidate: Path
    marker: Path

    def release(self, run_id: str | None = None) -> str:
        return release(self.problem, self.runtime, run_id, lambda _: None).digest

    def put(self, name: str, content: bytes) -> None:
        """As `curl -X PUT --data-binary` does it."""
        base = f"{self.runtime.tracking_uri}/api/2.0/mlflow-artifacts/artifacts"
        url = f"{base}/{self.experiment}/{self.run_id}/artifacts/candidate/{name}"
        with urllib.request.urlopen(urllib.request.Request(url, content, method="PUT")) as answer:
            assert answer.status == 200

    def log(self, candidate: Path) -> str:
        """Log a candidate as a training does, and say that it is the chosen one; its run."""
        run_id = self.client.create_run(self.experiment).info.run_id
        self.client.log_artifacts(run_id, str(candidate), "candidate")
        self.client.set_terminated(run_id)
        self.client.set_tag(run_id, CHOSEN_TAG, "true")
        return str(run_id)

    def vouchers(self) -> list[str]:
        return list(self.store.list(PREFIX))

    def released(self) -> list[str]:
        """What is in the store beside vouchers: nothing, where a release was refused."""
        return [key for key in self.store.list() if not key.startswith(PREFIX)]

    @property
    def pickle(self) -> bytes:
        return Marks(self.marker).pickled


@pytest.fixture
def trained(
    mlflow_uri: str, store: Store, small_problem: Problem, tmp_path: Path, make_candidate: Callable[..., None]
) -> Trained:
    problem = small_problem.model_copy(update={"name": f"v{abs(hash(tmp_path)) % 10**9}"})
    runtime = Runtime(
        stack="local-dev",
        cloud="local",
        platform="process",
        environment="dev",
        store_uri=store.uri,
        tracking_uri=mlflow_uri,
        monitor_url="",
    )
    client = MlflowClient(mlflow_uri)
    experiment = client.create_experiment(problem.name)
    make_candidate(tmp_path / "candidate", problem)
    made = Trained(problem, runtime, store, client, experiment, "", tmp_path / "candidate", tmp_path / "marker")
    run_id = made.log(made.candidate)
    vouch(runtime, problem, run_id, made.candidate)
    return made._replace(run_id=run_id)


def test_what_is_planted_would_show(trained: Trained) -> None:
    pickle.loads(trained.pickle)  # noqa: S301 # our own
    assert trained.marker.exists()


def description(where: str) -> bytes:
    """An MLmodel whose pickle lies elsewhere."""
    flavours = {"sklearn": {"pickled_model": where, "serialization_format": "cloudpickle"}}
    return json.dumps({"flavors": flavours}).encode()


CHANGED = {
    "the model": ("model/model.pkl", lambda t: t.pickle),
    "which file the model is": ("model/MLmodel", lambda t: description("../../evil.pkl")),
    "what MLflow's loader imports": (
        "model/MLmodel",
        lambda t: b"flavors: {python_function: {loader_module: !!python/name:os.system }}",
    ),
    "the evaluation": (
        "evaluation.json",
        lambda t: (t.candidate / "evaluation.json").read_bytes().replace(b'"test_rows":', b'"test_rows":1', 1),
    ),
    "the reference": ("reference.parquet", lambda t: (t.candidate / "test.parquet").read_bytes()),
    "the rows to compare on": ("test.parquet", lambda t: (t.candidate / "reference.parquet").read_bytes()),
}
ADDED = ("model/evil.pkl", "evil.pkl", "manifest.json", "manifest.json.sig", "model/code/sitecustomize.py", ".hidden")


@pytest.mark.parametrize("what", CHANGED)
def test_a_changed_file_is_named_and_nothing_is_loaded(trained: Trained, what: str) -> None:
    name, content = CHANGED[what]
    trained.put(name, content(trained))
    with pytest.raises(ReleaseRefused, match=rf"candidate/{name} was altered.*Nothing of it was loaded") as refused:
        trained.release()
    assert refused.value.exit_code == 3
    assert not trained.marker.exists()
    assert trained.released() == []


@pytest.mark.parametrize("name", ADDED)
def test_a_file_too_many_is_named(trained: Trained, name: str) -> None:
    trained.put(name, trained.pickle)
    with pytest.raises(ReleaseRefused, match=rf"candidate/{name} does not belong to it"):
        trained.release()
    assert not trained.marker.exists()
    assert trained.released() == []


def test_a_file_too_few_is_named(trained: Trained) -> None:
    base = f"{trained.runtime.tracking_uri}/api/2.0/mlflow-artifacts/artifacts"
    url = f"{base}/{trained.experiment}/{trained.run_id}/artifacts/candidate/test.parquet"
    urllib.request.urlopen(urllib.request.Request(url, method="DELETE")).close()
    with pytest.raises(ReleaseRefused, match=r"candidate/test\.parquet is missing"):
        trained.release()
    assert trained.released() == []


def test_files_of_a_model_that_mlflow_knows_by_the_same_name_are_files_too_many(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow adds them to those of the run: somebody else's logged model, named as the folder is."""
    monkeypatch.chdir(tmp_path)  # its client of logged models makes a database where it works
    model = trained.client.create_logged_model(trained.experiment, name="candidate", source_run_id=trained.run_id)
    trained.client.log_model_artifacts(model.model_id, str(_evil(trained)))
    trained.client.finalize_logged_model(model.model_id, "READY")
    try:
        trained.release()
    except ReleaseRefused as refused:
        assert "does not belong to it" in str(refused)  # noqa: PT017 # MLflow may leave them out as well
    assert not trained.marker.exists()


def _evil(trained: Trained) -> Path:
    folder = trained.candidate.parent / "planted"
    folder.mkdir()
    (folder / "evil.pkl").write_bytes(trained.pickle)
    return folder


@contextmanager
def lying(behind: str, name: str) -> Generator[str]:
    """A server before MLflow's own that says of every folder that `name` is in it as well; its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or None
            told = {"Content-Type": self.headers.get("Content-Type") or "application/json"}
            asked = urllib.request.Request(behind + self.path, body, told, method=self.command)
            with urllib.request.urlopen(asked) as answer:
                content = answer.read()
            if "/mlflow-artifacts/artifacts?path=" in self.path:
                listed = json.loads(content)
                listed.setdefault("files", []).append({"path": name, "is_dir": False, "file_size": 1})
                content = json.dumps(listed).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815 # the base class's name

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 # the base class's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


@pytest.mark.parametrize("name", ["../../../planted", "..%2F..%2Fplanted", "/planted", "x/../../evil"])
def test_a_listing_that_leads_out_of_the_candidate_is_refused(trained: Trained, name: str) -> None:
    with lying(trained.runtime.tracking_uri, name) as url:
        runtime = trained.runtime.model_copy(update={"tracking_uri": url})
        with pytest.raises(ReleaseRefused, match=r"MLflow doesn't give the candidate|does not belong to it"):
            release(trained.problem, runtime, None, lambda _: None)
    assert trained.released() == []


def test_another_run_that_says_it_is_the_chosen_one_is_refused(trained: Trained) -> None:
    """A whole candidate of somebody else's, newer, with the tag: MLflow alone never says what is released."""
    planted = Path(shutil.copytree(trained.candidate, trained.candidate.parent / "other"))
    (planted / "model" / "model.pkl").write_bytes(trained.pickle)
    other = trained.log(planted)
    with pytest.raises(ReleaseRefused, match=f"{other}.*newest that somebody vouches for is {trained.run_id}"):
        trained.release()
    with pytest.raises(ReleaseRefused, match=f"Nobody vouches for the run {other}.*mlops train"):
        trained.release(other)
    assert not trained.marker.exists()
    assert trained.released() == []
    assert verify(trained.store, trained.release(trained.run_id)).tracking_run == trained.run_id


def test_an_older_run_that_somebody_vouched_for_is_not_passed_off_as_the_newest(trained: Trained) -> None:
    newer = trained.log(trained.candidate)
    vouch(trained.runtime, trained.problem, newer, trained.candidate)
    trained.client.delete_tag(newer, CHOSEN_TAG)
    with pytest.raises(ReleaseRefused, match=f"{trained.run_id}.*vouches for is {newer}"):
        trained.release()
    trained.client.delete_tag(trained.run_id, CHOSEN_TAG)
    with pytest.raises(ReleaseRefused, match=f"of nobody.*vouches for is {newer}"):
        trained.release()


def test_a_run_from_before_trainings_vouched_is_to_be_trained_again(trained: Trained) -> None:
    trained.store.delete(PREFIX)
    for run_id in (None, trained.run_id):
        with pytest.raises(ReleaseRefused, match=r"did not say yet what it made\. Run `mlops train` again"):
            trained.release(run_id)
    assert trained.released() == []


def _again(trained: Trained, **changes: Any) -> None:
    """Write the voucher anew, with changes that somebody without the key can make."""
    (key,) = trained.vouchers()
    changed = Voucher.model_validate_json(trained.store.read(key)).model_copy(update=changes)
    trained.store.delete(PREFIX)
    trained.store.write(changed.store_key, changed.data)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"files": {"model/model.pkl": f"sha256:{'0' * 64}"}}, "is not signed by author@example.org"),
        ({"made_at": datetime.now(UTC) + timedelta(days=1)}, "is not signed by author@example.org"),
        ({"made_by": "another@example.org"}, "is not signed by another@example.org"),
        ({"signature": ""}, "is not signed by author@example.org"),
        ({"signature": "AAAA"}, "is not signed by author@example.org"),
        ({"key": "", "signature": ""}, "nobody has signed it, and no job of local-dev could have written it"),
        ({"stack": "local-test"}, "is of local-test, not of local-dev"),
    ],
)
def test_a_voucher_that_somebody_without_the_key_wrote_counts_for_nothing(
    trained: Trained, changes: dict[str, Any], says: str
) -> None:
    """The store of a laptop is a folder: what else runs there, the tracking server among it, may write to it."""
    _again(trained, **changes)
    for run_id in (None, trained.run_id):
        with pytest.raises(ReleaseRefused, match=f"{says}.*mlops train"):
            trained.release(run_id)
    assert trained.released() == []


def test_the_voucher_of_another_run_vouches_for_no_other(trained: Trained) -> None:
    other = trained.log(_evil(trained))
    (key,) = trained.vouchers()
    trained.store.write(key.replace(trained.run_id, other), trained.store.read(key))
    with pytest.raises(ReleaseRefused, match="it lies where another's would"):
        trained.release(other)
    assert not trained.marker.exists()


def test_no_voucher_of_a_stranger_or_of_a_revoked_key_counts(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (key,) = trained.vouchers()
    voucher = Voucher.model_validate_json(trained.store.read(key))
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("XDG_CONFIG_HOME", str(tmp_path / "elsewhere"))
        stranger = new_key("author@example.org", share_in=None)
    trained.store.write(key, voucher.signed(stranger).data)
    with pytest.raises(ReleaseRefused, match=r"is not signed by author@example\.org with a key that counts"):
        trained.release()
    trained.store.write(key, voucher.data)
    _revoke(tmp_path, signer(trained.store), monkeypatch)
    monkeypatch.setenv("MLOPS_SIGN_AS", new_key("another@example.org", share_in=None).name)
    with pytest.raises(ReleaseRefused, match=r"is not signed by author@example\.org with a key that counts"):
        trained.release()
    assert trained.released() == []


def _revoke(tmp_path: Path, whose: Signer, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / f"{whose.name}.pub").write_bytes(whose.public.pem)
    (tmp_path / "keys" / f"{whose.name}.revoked").write_text(
        json.dumps({"at": "2999-01-01T00:00:00Z", "reason": "the laptop was stolen"})
    )
    monkeypatch.setenv("MLOPS_TRUSTED_KEYS", str(tmp_path / "keys"))


def test_a_claim_that_somebody_without_the_key_laid_is_not_signed(trained: Trained) -> None:
    """Else `mlops release` would sign, as an earlier release that was cut short, what was never judged."""
    digest = trained.release()
    (key,) = (key for key in trained.store.list("releases"))
    planted = verify(trained.store, digest).model_copy(update={"gates": (), "created_by": "another@example.org"})
    folder = trained.candidate.parent / "bundle"
    fetch(trained.store, digest, folder)
    (folder / "manifest.json").write_bytes(canonical(planted))
    other = publish(trained.store, folder)
    for text in (canonical(planted).decode(), json.dumps({"kind": "claim", "manifest": canonical(planted).decode()})):
        trained.store.write(key, text.encode())
        again = trained.release(trained.run_id)
        assert again != other
        assert not trained.store.exists(signature_key(other))
        assert verify(trained.store, again).gates


def test_who_has_no_key_that_counts_is_told_before_the_work(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_TRUSTED_KEYS", str(tmp_path))
    shared = trained.runtime.model_copy(update={"store_uri": "memory://shared"})
    with pytest.raises(MlopsError, match=r"Nobody would vouch for what is trained here.*commit its public key"):
        Vouching.begin(shared, trained.problem.name, None)
