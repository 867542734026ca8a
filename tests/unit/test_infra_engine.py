"""How the engine gets onto a machine: each way, its checks, and the error when none is left."""

import hashlib
import io
import os
import stat
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

from infra.engine import install as engine
from infra.engine.environ import engine_environment
from infra.engine.version import VERSION

ROOT = Path(__file__).parents[2]


def fake_pulumi(folder: Path, version: str = VERSION) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "pulumi"
    program.write_text(f"#!/bin/sh\necho v{version}\n")
    program.chmod(0o755)
    return program


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    for name in ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE", "PULUMI_BACKEND_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def serve(monkeypatch: pytest.MonkeyPatch, archive: bytes, checksum: str) -> None:
    machine = {"x86_64": "x64", "aarch64": "arm64", "arm64": "arm64"}[os.uname().machine]
    name = f"pulumi-v{VERSION}-{os.uname().sysname.lower()}-{machine}.tar.gz"
    pages = {"checksums.txt": f"{checksum}  {name}\n".encode(), name: archive}
    monkeypatch.setattr(engine, "_download", lambda url: next(v for k, v in pages.items() if url.endswith(k)))


def archive_of(program: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name in ("pulumi", "pulumi-language-python"):
            info = tarfile.TarInfo(f"pulumi/{name}")
            info.size, info.mode = len(program), 0o755
            tar.addfile(info, io.BytesIO(program))
    return buffer.getvalue()


def test_the_sdk_and_the_go_module_are_of_the_engine_version() -> None:
    pinned = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["infra"]
    assert f"pulumi=={VERSION}" in pinned
    go_mod = (ROOT / "infra/engine/module/go.mod").read_text()
    for module in ("pkg", "sdk"):
        assert f"github.com/pulumi/pulumi/{module}/v3 v{VERSION}" in go_mod


def test_one_on_path_of_the_right_version_is_taken(home: Path) -> None:
    fake_pulumi(home / "bin")
    found = engine.install(lambda _: None)
    assert (found.source, found.bin) == ("on PATH", home / "bin")


def test_one_on_path_of_another_version_is_not(home: Path) -> None:
    fake_pulumi(home / "bin", "3.1.0")
    assert engine.find() is None


def test_the_vendors_archive_is_unpacked_when_its_checksum_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    archive = archive_of(f"#!/bin/sh\necho v{VERSION}\n".encode())
    serve(monkeypatch, archive, hashlib.sha256(archive).hexdigest())
    installed = engine.install(lambda _: None)
    assert installed.source == "the vendor's release"
    assert engine.find() == installed


def test_an_archive_with_another_checksum_is_refused_and_nothing_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    archive = archive_of(b"#!/bin/sh\necho owned\n")
    serve(monkeypatch, archive, "0" * 64)
    with pytest.raises(engine.EngineMissing, match="but the vendor publishes 0000"):
        engine.install(lambda _: None)
    assert engine.find() is None
    assert sorted(p.name for p in engine.cache_folder().iterdir()) == ["lock"]


def test_without_any_way_the_error_says_what_was_tried_and_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(url: str) -> bytes:
        raise engine.EngineMissing(f"{url} can't be reached (no route)")

    monkeypatch.setattr(engine, "_download", unreachable)
    monkeypatch.setattr(engine.shutil, "which", lambda _: None)
    with pytest.raises(engine.EngineMissing) as caught:
        engine.install(lambda _: None)
    for words in ("PATH: no pulumi", "no route", "go is not on PATH", "Install it as", "or install Go"):
        assert words in str(caught.value)


def test_a_failing_build_is_reported_in_gos_words(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = home / "bin" / "go"
    go.parent.mkdir(exist_ok=True)
    go.write_text("#!/bin/sh\necho 'no space left on device' >&2\nexit 1\n")
    go.chmod(0o755)
    monkeypatch.setattr(engine, "_from_vendor", lambda *_: (_ for _ in ()).throw(engine.EngineMissing("blocked")))
    with pytest.raises(engine.EngineMissing, match="no space left on device"):
        engine.install(lambda _: None)


def test_the_passphrase_is_made_once_and_only_its_owner_can_read_it(home: Path) -> None:
    found = engine.Engine(home / "bin", "on PATH")
    file = Path(engine_environment(found)["PULUMI_CONFIG_PASSPHRASE_FILE"])
    first = file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(first) >= 32
    engine_environment(found)
    assert file.read_text() == first


def test_what_the_user_has_set_stays(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "mine")
    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://mine")
    added = engine_environment(engine.Engine(home / "bin", "on PATH"))
    assert not {"PULUMI_CONFIG_PASSPHRASE_FILE", "PULUMI_BACKEND_URL"} & added.keys()


def test_doctor_ends_with_1_without_an_engine(home: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "ml", "doctor"], env=dict(os.environ), capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert "MISSING" in result.stdout
    assert "`make up` gets it" in result.stdout
