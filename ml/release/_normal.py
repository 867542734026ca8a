"""Take out of a saved model what differs between identical trainings: the same inputs give the same bytes."""

from pathlib import Path
from typing import Final

import yaml

__all__ = ["normalise_model"]

# What MLflow stamps on a model when it saves it. Its loaders need none of them.
STAMPS: Final = ("artifact_path", "model_id", "model_uuid", "run_id", "utc_time_created")


def normalise_model(folder: Path) -> None:
    """Rewrite the description of the MLflow model in `folder` without its stamps; it loads as before."""
    file = folder / "MLmodel"
    model = yaml.safe_load(file.read_text(encoding="utf-8"))
    for stamp in STAMPS:
        model.pop(stamp, None)
    file.write_text(yaml.safe_dump(model, sort_keys=True, allow_unicode=True), encoding="utf-8")
