"""Where a container finds its release and its port, and that nothing is served which nobody vouches for."""

import json
import shutil
from pathlib import Path

import pytest

from ml.bundle.bundle import key_of, verify
from ml.container import placement
from ml.container.placement import Placement, place, port
from ml.errors import InputRefused, MlopsError, ReleaseRefused
from ml.store import Store
from ml.trust.artifact import adopt

OTHER = f"sha256:{'0' * 64}"


@pytest.fixture
def artifact(tmp_path: Path, store: Store, published: str) -> Path:
    """A copy of a release, as a platform takes it out of the store, with what a platform leaves beside it."""
    folder = Path(shutil.copytree(store.path(key_of(published)), tmp_path / "artifact"))
    (folder / "SUCCESS").touch()
    return folder


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test looks into the folders of a platform that may be on this machine."""
    monkeypatch.setattr(placement, "KSERVE_FOLDER", tmp_path / "mnt-models")
    return tmp_path / "state"


def placed(state: Path, **environment: str) -> Placement:
    nowhere = str(state / "no-such-folder")
    return place({"MLOPS_STATE": str(state), "SAGEMAKER_BASE_DIR": nowhere} | environment)


def stated(found: Placement) -> str:
    return json.loads(found.deployment.read_text())["release"]


@pytest.mark.parametrize("variable", ["AIP_STORAGE_URI", "AZUREML_MODEL_DIR", "MLOPS_BUNDLE"])
@pytest.mark.parametrize("as_uri", [True, False])
def test_a_platform_hands_a_release_over_by_a_variable(
    state: Path, artifact: Path, published: str, variable: str, as_uri: bool
) -> None:
    found = placed(state, **{variable: artifact.as_uri() if as_uri else str(artifact)})
    assert stated(found) == published
    assert verify(Store(found.bundles), published)


def test_a_platform_s_store_may_be_any(
    state: Path, artifact: Path, published: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = Store("memory://platform")
    remote.upload(artifact, "models/7")
    assert stated(placed(state, AIP_STORAGE_URI="memory://platform/models/7")) == published

    def refuse(*_: object) -> None:
        raise RuntimeError("401, no credentials")  # as the clouds' libraries have it: no OSError

    monkeypatch.setattr(Store, "open", refuse)
    with pytest.raises(MlopsError, match="can't be read: RuntimeError: 401"):
        placed(state, AIP_STORAGE_URI="memory://platform/models/7")


def test_sagemaker_and_kserve_hand_it_over_in_a_folder(
    tmp_path: Path, state: Path, artifact: Path, published: str
) -> None:
    shutil.copytree(artifact, tmp_path / "ml" / "model")
    assert stated(placed(state, SAGEMAKER_BASE_DIR=str(tmp_path / "ml"))) == published
    shutil.copytree(artifact, tmp_path / "mnt-models")
    assert stated(placed(tmp_path / "another-state")) == published


def test_a_registered_model_may_keep_the_name_of_its_folder(
    tmp_path: Path, state: Path, artifact: Path, published: str
) -> None:
    shutil.copytree(artifact, tmp_path / "registered" / "income")
    assert stated(placed(state, AZUREML_MODEL_DIR=str(tmp_path / "registered"))) == published
    shutil.copytree(artifact, tmp_path / "registered" / "income2")
    with pytest.raises(InputRefused, match="holds 2 releases"):
        placed(state, AZUREML_MODEL_DIR=str(tmp_path / "registered"))


def test_predictions_are_logged_to_the_store_where_one_is_named(
    tmp_path: Path, state: Path, artifact: Path, caplog: pytest.LogCaptureFixture
) -> None:
    alone = placed(state, AIP_STORAGE_URI=str(artifact))
    assert alone.store == alone.bundles
    assert "logged in this container only, the newest 64 MB" in caplog.text
    assert alone.options()["maximum_log_mb"] == 64
    shared = placed(state, AIP_STORAGE_URI=str(artifact), MLOPS_STORE_URI=tmp_path.as_uri())
    assert (shared.store, shared.bundles) == (tmp_path.as_uri(), alone.bundles)
    assert "maximum_log_mb" not in shared.options()


def test_without_a_platform_it_is_a_digest_in_a_store(state: Path, store: Store, published: str) -> None:
    found = placed(state, MLOPS_STORE_URI=store.uri, MLOPS_RELEASE=published)
    assert (stated(found), found.store, found.bundles) == (published, store.uri, store.uri)
    for wrong in ("latest", f"{published} "):
        with pytest.raises(ReleaseRefused, match="is not a release"):
            placed(state, MLOPS_STORE_URI=store.uri, MLOPS_RELEASE=wrong)
    with pytest.raises(InputRefused, match="set MLOPS_STORE_URI"):
        placed(state, MLOPS_RELEASE=published)
    with pytest.raises(InputRefused, match="no release to serve"):
        placed(state)


def test_a_mounted_deployment_file_comes_first(tmp_path: Path, state: Path, store: Store, artifact: Path) -> None:
    mounted = {"MLOPS_SERVE_DEPLOYMENT": str(tmp_path / "deployment.json"), "AIP_STORAGE_URI": str(artifact)}
    found = placed(state, MLOPS_STORE_URI=store.uri, **mounted)
    assert (found.deployment, found.bundles) == (tmp_path / "deployment.json", store.uri)
    with pytest.raises(InputRefused, match="set MLOPS_STORE_URI"):
        placed(state, **mounted)


@pytest.mark.parametrize("name", ["model/model.pkl", "schema.json", "model/MLmodel"])
def test_an_altered_file_is_not_served(state: Path, artifact: Path, name: str) -> None:
    with (artifact / name).open("ab") as file:
        file.write(b" ")
    with pytest.raises(ReleaseRefused, match=f"{name} was altered"):
        placed(state, AIP_STORAGE_URI=str(artifact))


@pytest.mark.parametrize(
    ("name", "says"),
    [("manifest.json", "holds no release"), ("manifest.json.sig", "is not signed"), ("schema.json", "is missing")],
)
def test_a_release_that_is_not_whole_is_not_served(state: Path, artifact: Path, name: str, says: str) -> None:
    (artifact / name).unlink()
    with pytest.raises(MlopsError, match=says):
        placed(state, AIP_STORAGE_URI=str(artifact))


def test_an_altered_manifest_has_no_signature_that_counts(state: Path, artifact: Path) -> None:
    manifest = json.loads((artifact / "manifest.json").read_bytes())
    (artifact / "manifest.json").write_text(json.dumps(manifest | {"decision_threshold": 0.1}))
    with pytest.raises(ReleaseRefused, match="signature of the release"):
        placed(state, AIP_STORAGE_URI=str(artifact))


def test_a_manifest_can_not_name_a_file_outside(tmp_path: Path, state: Path, artifact: Path) -> None:
    manifest = json.loads((artifact / "manifest.json").read_bytes())
    manifest["files"]["../escaped"] = OTHER
    (artifact / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "escaped").write_text("x")
    with pytest.raises(ReleaseRefused):
        placed(state, AIP_STORAGE_URI=str(artifact))
    assert not list(state.rglob("escaped"))


def test_a_stranger_s_signature_does_not_count(
    tmp_path: Path, state: Path, artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "nobody"))  # an image without keys trusts nobody
    monkeypatch.setenv("MLOPS_TRUSTED_KEYS", str(tmp_path / "no-keys"))
    with pytest.raises(ReleaseRefused, match="is not one that counts"):
        placed(state, AIP_STORAGE_URI=str(artifact))


def test_another_release_than_the_pinned_one_is_not_served(state: Path, artifact: Path, published: str) -> None:
    assert stated(placed(state, AIP_STORAGE_URI=str(artifact), MLOPS_RELEASE=published)) == published
    with pytest.raises(ReleaseRefused, match="is what shall be served"):
        placed(state, AIP_STORAGE_URI=str(artifact), MLOPS_RELEASE=OTHER)


def test_adopting_again_mends_what_was_spoilt(tmp_path: Path, artifact: Path, store: Store, published: str) -> None:
    own = Store((tmp_path / "own").as_uri())
    adopt(Store(artifact.as_uri()), own, None)
    own.write(f"{key_of(published)}/schema.json", b"spoilt")
    assert adopt(Store(artifact.as_uri()), own, None) == published
    assert verify(own, published)


@pytest.mark.parametrize("variable", ["SAGEMAKER_BIND_TO_PORT", "AIP_HTTP_PORT", "PORT"])
def test_the_port_is_the_platform_s(variable: str) -> None:
    assert port({variable: "8501"}) == 8501
    assert port({}) == 8080
    for wrong in ("0", "65536", "http", "-1", "8080 "):
        with pytest.raises(InputRefused, match=f"{variable} is"):
            port({variable: wrong})
