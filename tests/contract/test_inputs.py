"""Every planned input of every shipped stack is as somebody has reviewed it."""

from tests.inputs import FOLDER, texts


def test_inputs_are_those_of_the_golden_texts() -> None:
    """Where one is meant to change: `python -m tests.inputs --write`, and read the difference."""
    assert texts() == {file.name: file.read_text(encoding="utf-8") for file in FOLDER.iterdir()}
