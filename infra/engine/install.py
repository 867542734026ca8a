"""How the Pulumi CLI gets onto this machine: from PATH, from its vendor, or built from the Go module proxy."""

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.engine.version import VERSION

__all__ = ["Engine", "EngineMissing", "cache_folder", "find", "install"]

HERE = Path(__file__).parent
ARCHIVE = "https://get.pulumi.com/releases/sdk/pulumi-v{version}-{system}-{machine}.tar.gz"
CHECKSUMS = "https://github.com/pulumi/pulumi/releases/download/v{version}/pulumi-{version}-checksums.txt"
VENDOR_TIMEOUT_S = 5.0  # without a way out it must be noticed within seconds
SDK_MODULE = "github.com/pulumi/pulumi/sdk/v3"
BUILD_TAGS = "osusergo grpcnotrace"
Progress = Callable[[str], None]


class EngineMissing(RuntimeError):
    """No way led to the CLI; the message lists what was tried and what to install."""


@dataclass(frozen=True)
class Engine:
    """A Pulumi CLI of the pinned version and how it came here."""

    bin: Path
    source: str

    @property
    def pulumi(self) -> Path:
        """The executable."""
        return self.bin / "pulumi"


def cache_folder() -> Path:
    """The user's folder for the engine of this version; shared by all checkouts."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "mlops-reference" / "engine" / VERSION


def find() -> Engine | None:
    """The engine that is already here, on PATH or in the cache; None when `install` has to get it."""
    on_path = shutil.which("pulumi")
    if on_path and Path(on_path).parent != cache_folder() / "bin" and _version_of(Path(on_path)) == VERSION:
        return Engine(Path(on_path).parent, "on PATH")
    source = cache_folder() / "source"
    if source.exists() and (cache_folder() / "bin" / "pulumi").exists():
        _refresh_host(cache_folder() / "bin", source.read_text())
        return Engine(cache_folder() / "bin", source.read_text())
    return None


def install(progress: Progress) -> Engine:
    """The engine, installed into the cache when it isn't here; EngineMissing when no way leads to it."""
    if engine := find():
        return engine
    with _only_one_at_a_time():
        if engine := find():
            return engine
        failures: list[str] = []
        for source, way in (("the vendor's release", _from_vendor), ("built from Go modules", _from_go_modules)):
            try:
                return _try(source, way, progress)
            except (OSError, subprocess.CalledProcessError, tarfile.TarError, EngineMissing) as error:
                failures.append(f"{source}: {error}")
                progress(f"{source}: {error}")
    tried = "\n  - ".join([f"PATH: no pulumi {VERSION}", *failures])
    raise EngineMissing(
        f"The Pulumi CLI {VERSION} is needed and could not be had. Tried:\n  - {tried}\n"
        f"Install it as https://www.pulumi.com/docs/install says (version {VERSION}), "
        "or install Go 1.25 or later so that it can be built here, and run this again."
    )


def _try(source: str, way: Callable[[Path, Progress], None], progress: Progress) -> Engine:
    folder = cache_folder()
    with tempfile.TemporaryDirectory(dir=folder, prefix="making-") as temporary:
        binaries = Path(temporary) / "bin"
        binaries.mkdir()
        way(binaries, progress)
        if (got := _version_of(binaries / "pulumi")) != VERSION:
            raise EngineMissing(f"it calls itself version {got}, not {VERSION}")
        shutil.rmtree(folder / "bin", ignore_errors=True)
        binaries.rename(folder / "bin")
    (folder / "source").write_text(source)
    return Engine(folder / "bin", source)


def _from_vendor(binaries: Path, progress: Progress) -> None:
    """Download the vendor's archive for this machine and unpack it, once its published SHA-256 agrees."""
    machine = {"x86_64": "x64", "aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), platform.machine())
    url = ARCHIVE.format(version=VERSION, system=platform.system().lower(), machine=machine)
    name = url.rpartition("/")[2]
    progress(f"asking the vendor for {name}")
    listing = _download(CHECKSUMS.format(version=VERSION)).decode()
    expected = {line.split()[1]: line.split()[0] for line in listing.splitlines() if line.strip()}.get(name)
    if expected is None:
        raise EngineMissing(f"the vendor publishes no checksum for {name}")
    archive = _download(url)
    if (actual := hashlib.sha256(archive).hexdigest()) != expected:
        raise EngineMissing(f"{name} has SHA-256 {actual}, but the vendor publishes {expected}")
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / name
        file.write_bytes(archive)
        with tarfile.open(file) as tar:
            tar.extractall(temporary, filter="data")
        for program in (Path(temporary) / "pulumi").iterdir():
            shutil.copy2(program, binaries)


def _download(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=VENDOR_TIMEOUT_S) as response:  # noqa: S310 # the constants above
            return response.read()
    except urllib.error.URLError as error:
        raise EngineMissing(f"{url} can't be reached ({error.reason})") from error


def _from_go_modules(binaries: Path, progress: Progress) -> None:
    """Build the CLI with Go; go.sum holds the checksum of every module."""
    go = shutil.which("go")
    if go is None:
        raise EngineMissing("go is not on PATH")
    with tempfile.TemporaryDirectory() as temporary:
        module = shutil.copytree(HERE / "module", Path(temporary) / "module")
        environment = os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-mod=mod -modcacherw"}
        flags = f"-s -w -X {SDK_MODULE}/go/common/version.Version=v{VERSION}"
        build = [go, "build", "-trimpath", "-tags", BUILD_TAGS, "-ldflags", flags, "-o", str(binaries / "pulumi")]
        started = time.monotonic()
        process = subprocess.Popen(
            [*build, "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"],
            cwd=module,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        errors = _wait_with_progress(process, started, progress)
        if process.returncode:
            raise EngineMissing(f"go build failed: {errors[-1500:]}")
        listing = [go, "list", "-m", "-f", "{{.Dir}}", SDK_MODULE]
        sdk = Path(subprocess.check_output(listing, cwd=module, env=environment, text=True).strip()) / "python"
        for script in (sdk / "cmd" / "pulumi-language-python-exec", sdk / "dist" / "pulumi-resource-pulumi-python"):
            _install_script(script, binaries / script.name)
        _install_script(HERE / "language_host.py", binaries / "pulumi-language-python")


def _wait_with_progress(process: subprocess.Popen[str], started: float, progress: Progress) -> str:
    """Wait for the build with a line every 15 seconds; the build dies with us."""
    try:
        while True:
            try:
                return process.communicate(timeout=15)[1]
            except subprocess.TimeoutExpired:
                progress(
                    f"building the Pulumi CLI from Go modules, once: {time.monotonic() - started:.0f} s (about 240 s)"
                )
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def _install_script(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    target.chmod(0o755)


def _refresh_host(binaries: Path, source: str) -> None:
    """Keep the cached language host equal to this checkout's, where the engine runs on it."""
    installed = binaries / "pulumi-language-python"
    if source == "built from Go modules" and installed.read_bytes() != (HERE / "language_host.py").read_bytes():
        _install_script(HERE / "language_host.py", temporary := binaries / f".host-{os.getpid()}")
        temporary.replace(installed)


def _version_of(pulumi: Path) -> str | None:
    result = subprocess.run([pulumi, "version"], capture_output=True, text=True, check=False)
    return result.stdout.strip().lstrip("v") if result.returncode == 0 else None


@contextmanager
def _only_one_at_a_time() -> Generator[None]:
    cache_folder().mkdir(parents=True, exist_ok=True)
    with (cache_folder() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
