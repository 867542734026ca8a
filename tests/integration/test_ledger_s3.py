"""The ledger in an object store of a cloud: S3 as moto's server has it, through fsspec, asked by several processes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from ml.store import Store
from ml.trust.keys import TrustedKeys, new_key
from ml.trust.ledger import Ledger
from tests.aws import aws
from tests.stages import AUTHOR

URI = "s3://mlops-ledger/environment"
ENTRIES = 8
# Each looks at the ledger before it writes: what it saw then must not be what it sees later.
WRITER = f"""
import sys
from ml.trust.keys import TrustedKeys, signer
from ml.trust.ledger import Ledger
from ml.store import Store

store = Store({URI!r})
trusted = TrustedKeys.of(store)
ledger, me = Ledger(store, "aws-sagemaker-dev", "dev", trusted), signer(store)
for number in range({ENTRIES}):
    ledger.append("deployed", me, None, {{"by": sys.argv[1], "number": number}})
"""


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with aws(monkeypatch, "us-east-1"):
        boto3.client("s3").create_bucket(Bucket="mlops-ledger")
        yield


@pytest.mark.usefixtures("s3")
def test_writers_in_several_processes_make_one_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Pulumi.yaml").write_text("name: x\n")
    (tmp_path / "keys").mkdir()
    if not (Path(os.environ["XDG_CONFIG_HOME"]) / "mlops-reference" / "keys" / f"{AUTHOR}.key").exists():
        new_key(AUTHOR, share_in=None)
    shared = Path(os.environ["XDG_CONFIG_HOME"]) / "mlops-reference" / "keys" / f"{AUTHOR}.pub"
    (tmp_path / "keys" / shared.name).write_bytes(shared.read_bytes())
    path = os.pathsep.join(sys.path)
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, name], env=os.environ | {"PYTHONPATH": path})
        for name in ("a", "b")
    ]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0]
    store = Store(URI)
    entries = Ledger(store, "aws-sagemaker-dev", "dev", TrustedKeys.of(store)).entries()
    assert len(entries) == 2 * ENTRIES
    for name in ("a", "b"):
        assert [e.details["number"] for e in entries if e.details["by"] == name] == list(range(ENTRIES))
