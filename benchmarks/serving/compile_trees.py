"""The pipeline's trees as a shared library, by treelite and tl2cgen: `compile_trees.py <model folder> <library>`."""

import pickle
import sys
import tempfile
from pathlib import Path

import tl2cgen
import treelite

pipeline = pickle.loads((Path(sys.argv[1]) / "model.pkl").read_bytes())  # noqa: S301 # made here
boosting = pipeline.steps[-1][1]  # the steps before it change nothing, which the comparison of the scores shows
model = treelite.sklearn.import_model(boosting)
with tempfile.TemporaryDirectory() as folder:
    built = Path(folder) / "trees.so"
    tl2cgen.export_lib(model, toolchain="gcc", libpath=built, params={"parallel_comp": 4})
    Path(sys.argv[2]).write_bytes(built.read_bytes())
