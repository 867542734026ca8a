"""The image, really built and run: lean, locked down, and serving through the platforms' contracts."""

import contextlib
import http.client
import json
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from ml.bundle.bundle import key_of
from ml.bundle.schema import BundleSchema
from ml.problem import Problem, load_problem
from ml.release.build import read_evaluation
from ml.store import Store
from ml.trust.keys import signer
from pipelines._sandbox import free_ports
from tests.conftest import publish_signed
from tests.image import ROOT, USER, Buildah, Image, debian_tree, make_context, missing_tools, wait_for
from tests.lambda_runtime import RuntimeApi, url_event

TRAINING_S = 300.0
MAXIMUM_MB = 700  # 657 when it was written
SBOM = "opt/mlops/share/sbom/mlops.cdx.json"
PYTHON = "opt/mlops/lib/python3.11/site-packages"
JSON = {"Content-Type": "application/json"}
SHELL_AND_TOOLS = ("sh", "bash", "dash", "busybox", "env", "pip", "pip3", "uv", "apt", "apt-get", "dpkg", "perl", "gcc",
                   "cc", "ld", "make", "curl", "wget", "tar", "su", "mount")  # fmt: skip
NOT_TO_SERVE = ("mlflow", "matplotlib", "fairlearn", "pandera", "shap", "polars", "pulumi", "pytest", "pip",
                "setuptools", "infra", "pipelines", "tests")  # fmt: skip

# The one skip that is allowed in this suite, and not in CI, which installs what it takes.
pytestmark = pytest.mark.skipif(
    bool(missing_tools()) and os.environ.get("CI") != "true",
    reason=f"the image is not built and run: this machine lacks {', '.join(missing_tools())}",
)


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory, built: Path) -> Store:
    """A store with one signed release."""
    store = Store((tmp_path_factory.mktemp("releases") / "store").as_uri())
    publish_signed(store, built)
    return store


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory, releases: Store) -> Iterator[tuple[Buildah, Path]]:
    assert not missing_tools(), "CI installs buildah and debootstrap: see .ci/run"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlops-reference"
    folder = tmp_path_factory.mktemp("image")
    buildah = Buildah(folder / "buildah")
    try:
        buildah.import_base(debian_tree(cache))
        context = make_context(folder / "context", signer(releases).public.pem)
        yield buildah, context
    finally:
        buildah.remove()


@pytest.fixture(scope="module")
def image(builder: tuple[Buildah, Path]) -> Image:
    buildah, context = builder
    return Image(buildah, buildah.build(context, "serve"))


@pytest.fixture(scope="module")
def trainer(builder: tuple[Buildah, Path]) -> Image:
    buildah, context = builder
    return Image(buildah, buildah.build(context, "train"))


@pytest.fixture
def model(tmp_path: Path, releases: Store) -> Path:
    """A copy of the release, as a platform puts it into a container."""
    (bundle,) = {key.split("/")[2] for key in releases.list("bundles")}
    return Path(shutil.copytree(releases.path(key_of(f"sha256:{bundle}")), tmp_path / "model"))


@pytest.fixture
def row(small_problem: Problem) -> dict[str, int | None]:
    return dict(BundleSchema.of(small_problem).example)


def ask(port: int, method: str, path: str, body: object = None) -> tuple[int, Any]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request(method, path, json.dumps(body) if body is not None else None, JSON)
        response = connection.getresponse()
        data = response.read()
        return response.status, json.loads(data) if data else None


def answers(port: int, path: str) -> bool:
    try:
        return ask(port, "GET", path)[0] == 200
    except OSError:
        return False


def owners_of_listeners(port: int) -> set[int]:
    """The users of the processes that listen on a port."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(words[7]) for words in lines if words[1].endswith(f":{port:04X}") and words[3] == "0A"}


def test_it_says_what_it_is_and_runs_as_nobody_special(image: Image) -> None:
    assert image.config["User"] == f"{USER}:{USER}"  # a number: Kubernetes can tell that it is not root
    assert (image.config["Entrypoint"], image.config["Cmd"]) == (["mlops-container"], ["serve"])
    assert image.config["ExposedPorts"] == {"8080/tcp": {}}
    assert image.config["Healthcheck"]["Test"] == ["CMD", "mlops-container", "health"]
    labels = image.config["Labels"]
    assert labels["org.opencontainers.image.revision"] == "c" * 40
    assert {f"org.opencontainers.image.{name}" for name in ("title", "version", "licenses", "base.name")} <= set(labels)


def test_it_is_lean(image: Image) -> None:
    files = [path for path in image.root.rglob("*") if path.is_file() and not path.is_symlink()]
    assert files
    assert sum(path.stat().st_size for path in files) < MAXIMUM_MB * 1e6
    programs = {path.name for path in files if "bin" in path.parts[-2:-1] and os.access(path, os.X_OK)}
    assert not programs & set(SHELL_AND_TOOLS)
    assert not [name for name in NOT_TO_SERVE if (image.root / PYTHON / name).exists()]
    assert not [path for path in files if path.name in (".env", "forgotten.py")]


def test_every_module_is_compiled(image: Image) -> None:
    for folder in (image.root / PYTHON, image.root / "usr/lib/python3.11"):
        modules = list(folder.rglob("*.py"))
        bare = [path for path in modules if not list((path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"))]
        assert len(modules) > 100
        assert not [path for path in bare if _parses(path)]


def _parses(path: Path) -> bool:
    """Whether it is Python of this version: some packages carry templates that are not."""
    try:
        compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return True


def test_its_user_can_write_nothing_but_tmp(image: Image) -> None:
    writable, privileged = [], []
    for path in image.root.rglob("*"):
        mode = path.lstat()
        if stat.S_ISLNK(mode.st_mode) or not (stat.S_ISREG(mode.st_mode) or stat.S_ISDIR(mode.st_mode)):
            continue
        if mode.st_mode & stat.S_IWOTH or mode.st_uid == USER or mode.st_gid == USER:
            writable.append(str(path.relative_to(image.root)))
        if stat.S_ISREG(mode.st_mode) and mode.st_mode & (stat.S_ISUID | stat.S_ISGID):
            privileged.append(path)
    assert set(writable) <= {"tmp", "var/tmp", "run/lock"}
    assert not privileged


def test_the_bill_of_materials_is_valid_and_lists_what_is_installed(image: Image) -> None:
    text = (image.root / SBOM).read_text(encoding="utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    listed = {(part["name"].lower().replace("_", "-"), part["version"]) for part in json.loads(text)["components"]}
    installed = {
        tuple(folder.name.removesuffix(".dist-info").lower().replace("_", "-").rsplit("-", 1))
        for folder in (image.root / PYTHON).glob("*.dist-info")
    }
    assert {(name.replace(".", "-"), version) for name, version in listed} >= installed - {("mlops-reference", "0.1.0")}
    assert len(installed) > 30


def test_sagemaker_starts_it_with_the_model_in_opt_ml(
    tmp_path: Path, image: Image, model: Path, row: dict[str, int | None], releases: Store
) -> None:
    port, log = free_ports(1)[0], tmp_path / "log"
    where = {model: "/opt/ml/model"}
    with image.started(log, "serve", volumes=where, SAGEMAKER_BIND_TO_PORT=str(port)) as running:
        wait_for(lambda: answers(port, "/ping"), running, log)
        status, answer = ask(port, "POST", "/invocations", row)
        assert (status, answer["release"]) == (200, f"sha256:{next(releases.list('bundles')).split('/')[2]}")
        assert 0 <= answer["predictions"][0]["score"] <= 1
        assert ask(port, "POST", "/invocations", {"AGEP": "old"})[0] == 422
        assert owners_of_listeners(port) == {USER}


def test_vertex_starts_it_on_a_root_that_can_not_be_written(
    tmp_path: Path, image: Image, model: Path, row: dict[str, int | None]
) -> None:
    """With file: for gs:, which needs Google's cloud; the rest is as Vertex AI does it."""
    port, log = free_ports(1)[0], tmp_path / "log"
    route = "/v1/endpoints/1/deployedModels/2"
    vertex = {"AIP_HTTP_PORT": str(port), "AIP_STORAGE_URI": "file:///srv/model", "AIP_HEALTH_ROUTE": route,
              "AIP_PREDICT_ROUTE": f"{route}:predict"}  # fmt: skip
    with image.started_read_only(log, volumes={model: "/srv/model"}, **vertex) as running:
        wait_for(lambda: answers(port, route), running, log)
        status, answer = ask(port, "POST", vertex["AIP_PREDICT_ROUTE"], {"instances": [row, row]})
        assert (status, len(answer["predictions"])) == (200, 2)
        assert owners_of_listeners(port) == {USER}
        with image.started_read_only(tmp_path / "health", "health", volumes={}, **vertex) as health:
            assert health.wait(timeout=60) == 0, (tmp_path / "health").read_text()


def test_lambda_starts_it_on_a_root_that_can_not_be_written(
    tmp_path: Path, image: Image, model: Path, row: dict[str, int | None]
) -> None:
    """AWS's runtime client of the image itself asks for events, as nobody special; /tmp alone can be written."""
    api, log = RuntimeApi(), tmp_path / "log"
    told = {"AWS_LAMBDA_RUNTIME_API": api.address, "MLOPS_BUNDLE": "/srv/model"}
    try:
        with image.started_read_only(log, "lambda", volumes={model: "/srv/model"}, **told) as running:
            _, plain = api.invoke([row, row])
            assert len(plain["predictions"]) == 2, log.read_text()
            _, over_url = api.invoke(url_event("POST", "/predict", json.dumps(row)))
            assert json.loads(over_url["body"])["predictions"] == plain["predictions"][:1]
            assert running.poll() is None
    finally:
        api.close()


@pytest.mark.parametrize("spoilt", ["model/model.pkl", "manifest.json"])
def test_a_model_that_nobody_vouches_for_ends_it_with_a_sentence(
    tmp_path: Path, image: Image, model: Path, spoilt: str
) -> None:
    with (model / spoilt).open("ab") as file:
        file.write(b" ")
    log = tmp_path / "log"
    with image.started(log, "serve", volumes={model: "/opt/ml/model"}) as running:
        assert running.wait(timeout=60) == 3
    assert log.read_text().startswith("serve: ")
    assert "Traceback" not in log.read_text()


def test_a_stranger_s_key_does_not_count(
    tmp_path: Path, image: Image, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The image trusts the keys of the checkout that it was built from; another folder can be mounted over them."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "stranger"))
    theirs = Store((tmp_path / "theirs").as_uri())
    digest = publish_signed(theirs, built)
    log, port, model = tmp_path / "log", free_ports(1)[0], Path(theirs.path(key_of(digest)))
    with image.started(log, volumes={model: "/mnt/models"}) as running:
        assert running.wait(timeout=60) == 3
    assert "is not one that counts" in log.read_text()
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "stranger.pub").write_bytes(signer(theirs).public.pem)
    with image.started(log, volumes={model: "/mnt/models", keys: "/etc/mlops/keys"}, PORT=str(port)) as running:
        wait_for(lambda: answers(port, "/ready"), running, log)


def test_the_other_image_trains_as_a_job_of_sagemaker(tmp_path: Path, trainer: Image) -> None:
    """On all of the data, as nobody special, on a root file system that can't be written beside /opt/ml and /tmp."""
    base, log, problem = tmp_path / "ml", tmp_path / "log", load_problem()
    settings = {"inputdataconfig": {"data": {"TrainingInputMode": "File"}}, "hyperparameters": {}}
    data = base / "input" / "data" / "data"
    for folder in (base / "input" / "config", data, base / "model", base / "output"):
        folder.mkdir(parents=True)
    for name, content in settings.items():
        (base / "input" / "config" / f"{name}.json").write_text(json.dumps(content))
    for name in (problem.split.train, problem.split.test):
        shutil.copy(ROOT / problem.datasets.root / problem.datasets.files[name].path, data)
    for folder in (base / "model", base / "output"):
        os.chown(folder, USER, USER)
    with trainer.started_read_only(log, "train", volumes={base: "/opt/ml"}) as running:
        assert running.wait(timeout=TRAINING_S) == 0, log.read_text()
    report = json.loads((base / "output" / "data" / "training.json").read_text())
    assert report["metrics"]["roc_auc"] > problem.gates.quality.roc_auc.minimum
    assert read_evaluation(base / "model").candidate == report["chosen"]
    assert (base / "model" / "model" / "MLmodel").stat().st_uid == USER
    assert f"roc_auc={report['metrics']['roc_auc']:.6g};" in log.read_text()
