"""Where a container finds its release and its port: what each platform sets, and what we set where it sets nothing."""

import json
import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ml.bundle.bundle import key_of
from ml.errors import InputRefused
from ml.store import Store
from ml.trust.artifact import adopt, holds_bundle

__all__ = ["Placement", "place", "port"]

# The platform's own variable for the port: SageMaker, Vertex AI, and Cloud Run or KServe.
PORT_VARIABLES: Final = ("SAGEMAKER_BIND_TO_PORT", "AIP_HTTP_PORT", "PORT")
DEFAULT_PORT: Final = 8080
OWN_LOG_MB: Final = 64  # in the container's memory or on its small disk; some two million predictions
# The variable that says where the platform put the model: Vertex AI, Azure Machine Learning. Ours goes first.
ARTIFACT_VARIABLES: Final = ("MLOPS_BUNDLE", "AIP_STORAGE_URI", "AZUREML_MODEL_DIR")
KSERVE_FOLDER: Final = Path("/mnt/models")
SAGEMAKER_VARIABLE: Final = "SAGEMAKER_BASE_DIR"  # as in its own toolkits

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Placement:
    """What `mlops serve` is started with; bundles are read from `bundles`, predictions are logged to `store`.

    Where that is a folder of the container, which nobody empties, it keeps `maximum_log_mb` of them.
    """

    deployment: Path
    store: str
    bundles: str
    maximum_log_mb: int | None = None

    def options(self) -> dict[str, Any]:
        """The options of `mlops serve`, by parameter."""
        options = {"deployment": str(self.deployment), "store_uri": self.store, "bundles_uri": self.bundles}
        return options | ({} if self.maximum_log_mb is None else {"maximum_log_mb": self.maximum_log_mb})


def port(environment: Mapping[str, str]) -> int:
    """The port that the platform asks on; InputRefused when what it says is none."""
    for variable in PORT_VARIABLES:
        if given := environment.get(variable):
            if not given.isdecimal() or not 0 < int(given) < 65536:
                raise InputRefused(f"{variable} is {given!r}, which is no port.")
            return int(given)
    return DEFAULT_PORT


def place(environment: Mapping[str, str]) -> Placement:
    """Find the release, and have it verified in a folder of this container where a platform handed over a copy.

    A mounted deployment file comes first (MLOPS_SERVE_DEPLOYMENT: it states what serves, and may change), then what
    the platform hands over, then MLOPS_RELEASE in the store. InputRefused, ReleaseRefused: see `adopt`.
    """
    state = Path(environment.get("MLOPS_STATE") or Path(tempfile.gettempdir()) / "mlops")
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    shared, release = environment.get("MLOPS_STORE_URI"), environment.get("MLOPS_RELEASE")
    deployment = state / "deployment.json"
    if mounted := environment.get("MLOPS_SERVE_DEPLOYMENT"):
        return Placement(Path(mounted), _required(shared, "MLOPS_SERVE_DEPLOYMENT"), shared or "")
    if artifact := _artifact(environment):
        own = Store((state / "store").as_uri())
        release = adopt(artifact, own, release)
        log.info("The release %s at %s is verified", release, artifact.uri)
        _state(deployment, release)
        if shared is not None:
            return Placement(deployment, shared, own.uri)
        log.warning(
            "Predictions are logged in this container only, the newest %d MB, and end with it. Set MLOPS_STORE_URI.",
            OWN_LOG_MB,
        )
        return Placement(deployment, own.uri, own.uri, OWN_LOG_MB)
    if release is None:
        raise InputRefused(
            "This container has no release to serve. Hand one over as the platform does it "
            f"({', '.join(ARTIFACT_VARIABLES)}, or the folder {KSERVE_FOLDER} or {_of_sagemaker(environment)}), "
            "or set MLOPS_STORE_URI and MLOPS_RELEASE."
        )
    _state(deployment, release)
    return Placement(deployment, _required(shared, "MLOPS_RELEASE"), shared or "")


def _artifact(environment: Mapping[str, str]) -> Store | None:
    """Where the platform put a bundle, None where it put nothing."""
    named = next((environment[name] for name in ARTIFACT_VARIABLES if environment.get(name)), None)
    if named is not None:
        return _bundle_in(Path(named)) if named.startswith("/") else Store(named)
    for folder in (KSERVE_FOLDER, _of_sagemaker(environment)):
        if folder.is_dir() and any(folder.iterdir()):
            return _bundle_in(folder)
    return None


def _of_sagemaker(environment: Mapping[str, str]) -> Path:
    return Path(environment.get(SAGEMAKER_VARIABLE) or "/opt/ml") / "model"


def _bundle_in(folder: Path) -> Store:
    """The folder, or the only one in it that holds a bundle: a registered model may keep the name of its folder."""
    here = Store(folder.as_uri())
    if holds_bundle(here) or not folder.is_dir():
        return here
    folders = [path for path in sorted(folder.iterdir()) if path.is_dir()]
    below = [store for path in folders if holds_bundle(store := Store(path.as_uri()))]
    if len(below) > 1:
        raise InputRefused(f"{folder} holds {len(below)} releases; a server serves one.")
    return below[0] if below else here


def _state(deployment: Path, release: str) -> None:
    key_of(release)
    deployment.write_text(json.dumps({"release": release}), encoding="utf-8")


def _required(store: str | None, why: str) -> str:
    if not store:
        raise InputRefused(f"{why} names a release in a store: set MLOPS_STORE_URI to the store's URI as well.")
    return store
