"""stacks/schema.json: what editors and CI check a stack file against, generated from the typed configuration."""

import json
from pathlib import Path
from typing import Any

from infra.config.adjusted import Adjusted
from infra.config.stack import NAMESPACE, StackConfig

__all__ = ["FILE", "render"]

FILE = Path(__file__).parents[2] / "stacks" / "schema.json"
FROM_THE_NAME = ("stack", "cloud", "platform", "environment")


def render() -> str:
    """The JSON schema's text."""
    model = StackConfig.model_json_schema()
    definitions: dict[str, Any] = model.get("$defs", {})
    definitions.pop("Environment", None)
    for definition in definitions.values():
        definition.pop("required", None)  # a stack file holds only what differs from the defaults
    adjusted = Adjusted.model_json_schema()["properties"]
    keys = {
        f"{NAMESPACE}:{name}": value
        for name, value in (model["properties"] | adjusted).items()
        if name not in FROM_THE_NAME
    }
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A stack file of this project",
        "type": "object",
        "properties": {
            "config": {"type": "object", "properties": keys, "additionalProperties": False},
            "encryptionsalt": {"type": "string"},
            "secretsprovider": {"type": "string"},
            "encryptedkey": {"type": "string"},
        },
        "additionalProperties": False,
        "$defs": definitions,
    }
    return json.dumps(schema, indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(render(), encoding="utf-8")
