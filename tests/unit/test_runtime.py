"""Where a process reads which stack it runs on."""

from pathlib import Path

import pytest

from ml.runtime import Runtime, RuntimeUnknown
from ml.store import Store
from tests.live import runtime_json


def test_the_outputs_are_given_as_text_as_a_file_or_in_a_store(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = runtime_json(store)
    (tmp_path / "outputs.json").write_text(text)
    store.write("runtime/jobs.json", text.encode())
    for given in (text, str(tmp_path / "outputs.json"), store.url("runtime/jobs.json")):
        monkeypatch.setenv("MLOPS_RUNTIME", given)
        assert Runtime.load() == Runtime.model_validate_json(text)


@pytest.mark.parametrize("given", ["nowhere.json", "file:///nowhere/runtime.json", "{", "memory://x"])
def test_outputs_that_cannot_be_read_are_said(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_RUNTIME", given)
    with pytest.raises(RuntimeUnknown, match="no outputs can be read"):
        Runtime.load()
