"""The map in docs/release.md of every place where loading something could run what is in it.

A new such call fails here until somebody has said in the map what has verified the bytes by then.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "release.md"
OURS = ("ml", "infra", "pipelines", "benchmarks")

# Whatever is used of these loads what may run; but for what only writes, or names a protocol or an error.
MODULES = (
    *(
        "pickle",
        "cPickle",
        "_pickle",
        "cloudpickle",
        "dill",
        "joblib",
        "shelve",
        "marshal",
        "jsonpickle",
        "pickletools",
    ),
    *("torch", "tensorflow", "keras", "onnx", "onnxruntime", "safetensors", "skops", "transformers", "h5py"),
    *("xgboost", "lightgbm", "catboost", "treelite", "tl2cgen", "m2cgen", "shap", "numba"),
    *("mlflow.pyfunc", "mlflow.sklearn", "mlflow.models", "mlflow.artifacts", "mlflow.store.artifact"),
    *("uvicorn.supervisors.multiprocess", "pyspark.cloudpickle", "pyspark.serializers"),
    *("multiprocessing.connection", "multiprocessing.managers", "multiprocessing.pool", "multiprocessing.queues"),
)
NAMES = (
    *("numpy.load", "numpy.memmap", "numpy.lib.format", "numpy.fromfile", "pandas.read_pickle", "pandas.read_hdf"),
    *("yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.unsafe_load_all", "yaml.full_load", "yaml.full_load_all"),
    *("yaml.Loader", "yaml.UnsafeLoader", "yaml.FullLoader", "yaml.CLoader", "exec", "eval"),
    *(f"multiprocessing.{name}" for name in ("Process", "Pool", "Queue", "SimpleQueue", "Pipe", "Manager")),
    *("pulumi.dynamic.ResourceProvider", "pulumi.dynamic.Resource"),
    *("multiprocessing.get_context", "concurrent.futures.ProcessPoolExecutor", "concurrent.futures.process"),
)
INSIDE = tuple(f"{each}." for each in (*MODULES, *NAMES))
# Methods, whatever they are asked of.
METHODS = frozenset(
    {
        *("load_model", "load_checkpoint", "from_pretrained", "load_context", "download_artifacts", "load_state_dict"),
        *("mapInArrow", "mapInPandas", "mapPartitions", "applyInArrow", "applyInPandas", "foreachPartition", "udf"),
        *("pandas_udf", "arrow_udf", "broadcast", "addPyFile", "addArtifacts", "read_pickle", "deserialize"),
        *("Unpickler", "find_class", "create_model_version", "register_model", "get_model_info"),
    }
)
HARMLESS = frozenset({"dump", "dumps", "save_model", "ModelSignature", "DMatrix"})


class Use(NamedTuple):
    """A use of a loader: in which file, in which function or class, and what."""

    file: str
    place: str
    what: str


class Finder(ast.NodeVisitor):
    """Every use of a loader in a module, by whatever name it was imported."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.found: list[Use] = []
        self._known: dict[str, str] = {}
        self._place: list[str] = []

    def visit_Import(self, node: ast.Import) -> None:
        for name in node.names:
            self._known[name.asname or name.name.partition(".")[0]] = (
                name.name if name.asname else name.name.partition(".")[0]
            )

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for name in node.names:
            self._known[name.asname or name.name] = f"{node.module}.{name.name}"
            if name.name == "*" and _loads(f"{node.module}.anything"):
                self._use(f"{node.module}.*")

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        self._place.append(node.name)
        self.generic_visit(node)
        self._place.pop()

    visit_AsyncFunctionDef = visit_ClassDef = visit_FunctionDef  # noqa: N815 # the base class's names

    def visit_arg(self, node: ast.arg) -> None:
        """An annotation loads nothing."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value:
            self.visit(node.value)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        name = self._resolved(node)
        if name and _loads(name):
            self._use(name)
        elif node.attr in METHODS:
            self._use(f".{node.attr}")
            self.generic_visit(node)
        else:
            self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        name = self._resolved(node)
        if name and (_loads(name) or name.rpartition(".")[2] in METHODS):
            self._use(name)

    def visit_Call(self, node: ast.Call) -> None:
        for keyword in node.keywords:
            if keyword.arg == "allow_pickle" and not (
                isinstance(keyword.value, ast.Constant) and keyword.value.value is False
            ):
                self._use("allow_pickle")
        imports = isinstance(node.func, ast.Name | ast.Attribute) and (
            self._resolved(node.func) in ("importlib.import_module", "__import__")
        )
        if imports and node.args and isinstance(node.args[0], ast.Constant):
            name = str(node.args[0].value)
            if _loads(name) or _loads(f"{name}.anything"):
                self._use(name)
        self.generic_visit(node)

    def _use(self, what: str) -> None:
        self.found.append(Use(self.file, ".".join(self._place) or "module", what))

    def _resolved(self, node: ast.expr) -> str | None:
        if isinstance(node, ast.Name):
            return self._known.get(node.id, node.id)
        if isinstance(node, ast.Attribute) and (before := self._resolved(node.value)):
            return f"{before}.{node.attr}"
        return None


def _loads(name: str) -> bool:
    last = name.rpartition(".")[2]
    if last in HARMLESS or last.isupper() or last.endswith("Error"):
        return False
    return name in NAMES or name.startswith(INSIDE)


def uses(source: str, file: str = "some.py") -> list[Use]:
    finder = Finder(file)
    finder.visit(ast.parse(source))
    return finder.found


def found() -> Iterator[Use]:
    for folder in OURS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield from uses(path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix())


def mapped() -> Iterator[tuple[Use, str]]:
    """The rows of the map, and what each says has verified it."""
    section = PAGE.read_text(encoding="utf-8").partition("\n## What is loaded")[2].partition("\n## ")[0]
    for row in re.findall(r"^\| `([^`]+)` \| `([^`]+)` \| `([^`]+)` \| (.+) \|$", section, re.MULTILINE):
        yield Use(*row[:3]), row[3]


def test_every_place_that_loads_stands_in_the_map_and_every_row_is_such_a_place() -> None:
    here, told = Counter(found()), Counter(use for use, _ in mapped())
    assert here, "the walk finds nothing"
    missing, gone = here - told, told - here
    assert not missing, f"say in {PAGE.name} what has verified them by then: {sorted(missing)}"
    assert not gone, f"{PAGE.name} names what is not there: {sorted(gone)}"


def test_every_row_says_what_has_verified_it() -> None:
    assert all(len(says.split()) >= 4 for _, says in mapped())


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("import pickle\npickle.load(f)", "pickle.load"),
        ("import pickle as p\np.loads(b)", "pickle.loads"),
        ("from pickle import load as get\nget(f)", "pickle.load"),
        ("from pickle import *", "pickle.*"),
        ("import pickle\nread = pickle.load", "pickle.load"),
        ("import pickle\nclass Mine(pickle.Unpickler): ...", "pickle.Unpickler"),
        ("import cloudpickle\nmap(cloudpickle.load, files)", "cloudpickle.load"),
        ("import joblib\njoblib.load(f)", "joblib.load"),
        ("from joblib import load\nload(f)", "joblib.load"),
        ("import torch\ntorch.load(f, weights_only=True)", "torch.load"),
        ("import numpy as np\nnp.load(f)", "numpy.load"),
        ("from numpy import load\nload(f)", "numpy.load"),
        ("import numpy as np\nread(f, allow_pickle=True)", "allow_pickle"),
        ("import numpy as np\nread(f, allow_pickle=trusted)", "allow_pickle"),
        ("import yaml\nyaml.load(t, Loader=yaml.SafeLoader)", "yaml.load"),
        ("import yaml\nread(t, yaml.UnsafeLoader)", "yaml.UnsafeLoader"),
        ("import mlflow\nmlflow.pyfunc.load_model(f)", "mlflow.pyfunc.load_model"),
        ("import mlflow.sklearn\nmlflow.sklearn.load_model(f)", "mlflow.sklearn.load_model"),
        ("from mlflow import sklearn as kept\nkept.load_model(f)", "mlflow.sklearn.load_model"),
        ("import mlflow\nmlflow.artifacts.download_artifacts(run_id=r)", "mlflow.artifacts.download_artifacts"),
        ("client.download_artifacts(run, 'candidate')", ".download_artifacts"),
        ("booster.load_model(f)", ".load_model"),
        ("import importlib\nimportlib.import_module('treelite').frontend", "treelite"),
        ("from importlib import import_module\nimport_module('tl2cgen')", "tl2cgen"),
        ("__import__('pickle').loads(b)", "pickle"),
        ("frame.mapInArrow(f, schema)", ".mapInArrow"),
        ("spark.sparkContext.broadcast(model)", ".broadcast"),
        ("from pyspark.sql.functions import udf\nudf(score)", "pyspark.sql.functions.udf"),
        ("import multiprocessing\nmultiprocessing.Pool(2)", "multiprocessing.Pool"),
        ("from concurrent import futures\nfutures.ProcessPoolExecutor()", "concurrent.futures.ProcessPoolExecutor"),
        ("from pulumi import dynamic\nclass P(dynamic.ResourceProvider): ...", "pulumi.dynamic.ResourceProvider"),
        ("import pandas as pd\npd.read_pickle(f)", "pandas.read_pickle"),
        ("import shap\nshap.Explainer.load(f)", "shap.Explainer.load"),
        ("async def f():\n  exec(code)", "exec"),
    ],
)  # fmt: skip
def test_a_loader_is_seen_however_it_is_called(source: str, what: str) -> None:
    assert what in [use.what for use in uses(source)]


@pytest.mark.parametrize(
    "source",
    [
        "import pickle\npickle.dumps(x, pickle.HIGHEST_PROTOCOL)",
        "import yaml\nyaml.safe_load(t)",
        "import json\njson.load(f)",
        "import numpy as np\ndef f(a: np.memmap) -> None: ...",
        "Table.load(folder)",
    ],
)
def test_what_runs_nothing_is_left_alone(source: str) -> None:
    assert uses(source) == []
