"""Wrong programs of five SDKs, each with the sentence that its author needs."""

from pathlib import Path
from typing import Any

import yaml

from tests.wrong_programs.azure import AZURE
from tests.wrong_programs.clouds import SDKS, Clouds
from tests.wrong_programs.gcp import GCP
from tests.wrong_programs.kubernetes import KUBERNETES
from tests.wrong_programs.made import MADE

__all__ = ["LATER", "SDKS", "WRONG", "Clouds"]

LATER: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "later.yaml").read_text(encoding="utf-8"))
WRONG = {
    f"{name}: {case}": wrong
    for name, cases in (("azure", AZURE), ("gcp", GCP), ("kubernetes", KUBERNETES), ("made", MADE))
    for case, wrong in cases.items()
}
