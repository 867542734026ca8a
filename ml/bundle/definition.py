"""Which parts of a problem definition the figures of a release depend on, each with a digest to compare by.

Limits and waivers are not among them: figures can be judged by other limits than their author's, but not when they
were measured on other data, at other costs, or between other groups.
"""

from typing import Any, Final

from ml.bundle.canonical import canonical_json, sha256
from ml.problem import Problem

__all__ = ["measured_under"]

WORDS: Final = {"title", "why", "meaning", "borne_by", "event", "unit"}  # what is said of a part changes no figure


def measured_under(problem: Problem) -> dict[str, str]:
    """The digest of each part, by its name."""
    said = problem.model_dump(mode="json")
    quality = said["gates"]["quality"]
    parts: dict[str, Any] = {
        "target": said["target"],
        "features": [said["identifier"], said["time"], said["features"]],
        "population": said["population"],
        "data": {role: said["datasets"]["files"][said["split"][role]]["sha256"] for role in ("train", "test")},
        "split": {key: said["split"][key] for key in ("validation_fraction", "seed")},
        "baseline": said["baseline"],
        "costs": said["costs"],
        "groups": [[each["column"], each["bands"]] for each in said["protected"]],
        "intervals": {key: quality[key] for key in ("bootstrap_samples", "confidence")},
    }
    return {name: sha256(canonical_json(_without_words(part))) for name, part in parts.items()}


def _without_words(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: _without_words(value) for key, value in part.items() if key not in WORDS}
    if isinstance(part, list):
        return [_without_words(value) for value in part]
    return part
