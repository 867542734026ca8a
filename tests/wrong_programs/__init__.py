"""Wrong programs, each with the sentence that its author needs, and right ones that are near a mistake."""

from pathlib import Path
from typing import Any, cast

import yaml

from tests.wrong_programs.azure import AZURE
from tests.wrong_programs.clouds import SDKS, Clouds
from tests.wrong_programs.gcp import GCP
from tests.wrong_programs.kubernetes import KUBERNETES
from tests.wrong_programs.made import MADE

__all__ = ["LATER", "RIGHT", "SDKS", "WRONG", "Clouds"]

LATER, RIGHT = (
    cast(list[dict[str, Any]], yaml.safe_load((Path(__file__).parent / file).read_text(encoding="utf-8")))
    for file in ("later.yaml", "right.yaml")
)
WRONG = {
    f"{name}: {case}": wrong
    for name, cases in (("azure", AZURE), ("gcp", GCP), ("kubernetes", KUBERNETES), ("made", MADE))
    for case, wrong in cases.items()
}
