"""Build the image with buildah and run it, on a machine that may reach no image registry.

Debian's own packages of the release that the Dockerfile's base is made from stand in for that base, under its name.
They have more in them than the real one (Debian's Python instead of the one below /usr/local), so that what is shown of
the image holds for what the Dockerfile does, not for the real base.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psutil

ROOT: Final = Path(__file__).parents[1]
CONTEXT: Final = ("Dockerfile", ".dockerignore", "pyproject.toml", "uv.lock", "README.md", "LICENSE", "keys", "ml")
DEBIAN: Final = "bookworm"
PACKAGES: Final = "python3,python3-venv,ca-certificates"
CERTIFICATES: Final = Path("/etc/ssl/certs/ca-certificates.crt")
CONFIGURATION: Final = ("/etc/pip.conf", "/etc/uv/uv.toml")  # a machine's package index, where it has one of its own
USER: Final = 10001
TOOLS: Final = ("buildah", "debootstrap")


def missing_tools() -> list[str]:
    """What this machine lacks to build an image."""
    needs = [] if os.geteuid() == 0 else ["root"]
    return needs + [tool for tool in TOOLS if shutil.which(tool) is None]


def base_name() -> str:
    """The image that the Dockerfile starts from."""
    found = re.search(r"^FROM (\S+) AS base$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    return found.group(1)


def debian_tree(cache: Path) -> Path:
    """The stand-in's files as a tar; made once (40 s) and kept in the user's cache folder."""
    tar = cache / f"debian-{DEBIAN}-{PACKAGES.replace(',', '-')}.tar"
    if not tar.exists():
        cache.mkdir(parents=True, exist_ok=True)
        temporary = cache / f".{tar.name}-{os.getpid()}"
        folder = Path(f"{temporary}.d")
        try:
            run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", DEBIAN, str(folder))
            left = ("./var/cache/apt/archives", "./var/lib/apt/lists", "./proc", "./sys")
            run("tar", "-C", str(folder), *(f"--exclude={path}/*" for path in left), "-cf", str(temporary), ".")
            temporary.rename(tar)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            temporary.unlink(missing_ok=True)
    return tar


def run(*command: str, check: bool = True) -> str:
    """Run a command; what it printed, which is shown when it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert not check or done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-8000:]}"
    return done.stdout


class Buildah:
    """buildah with a storage of its own below `folder`, of which nothing is left behind."""

    def __init__(self, folder: Path) -> None:
        self.options = ("buildah", "--root", str(folder / "storage"), "--runroot", str(folder / "run"))
        self._folder = folder

    def __call__(self, *arguments: str) -> str:
        return run(*self.options, *arguments).strip()

    def import_base(self, tar: Path) -> None:
        """Have the stand-in under the base's name."""
        container = self("from", "scratch")
        run("tar", "-C", self("mount", container), "-xf", str(tar))
        self("umount", container)
        self("commit", "--quiet", container, base_name())
        self("rm", container)

    def build(self, context: Path, target: str) -> str:
        """Build a target of the Dockerfile, as docs/image.md says it; the name of the image."""
        mounts = [f for f in (CERTIFICATES, *map(Path, CONFIGURATION)) if f.exists()]
        volumes = [word for file in mounts for word in ("--volume", f"{file}:{file}:ro")]
        self("bud", "--format", "docker", "--isolation", "chroot", "--pull=never", *volumes, "--build-arg",
             f"REVISION={'c' * 40}", "--target", target, "--tag", target, str(context))  # fmt: skip
        return target

    def remove(self) -> None:
        """End what runs and remove everything."""
        self("rm", "--all")
        self("rmi", "--all", "--force")
        for mounted in (self._folder / "storage").glob("*"):
            run("umount", str(mounted), check=False)
        shutil.rmtree(self._folder, ignore_errors=True)


class Image:
    """A built image and one container of it: `root` is the container's file system as this machine sees it."""

    def __init__(self, buildah: Buildah, name: str) -> None:
        self.buildah = buildah
        self.container = buildah("from", "--pull=never", name)
        self.root = Path(buildah("mount", self.container))
        self.config: dict[str, Any] = json.loads(buildah("inspect", "--type", "image", name))["Docker"]["config"]

    def command(self, *words: str) -> list[str]:
        """What a container runs that is started with those words."""
        return [*self.config["Entrypoint"], *(words or self.config["Cmd"])]

    @contextmanager
    def started(
        self, log: Path, *words: str, volumes: dict[Path, str], **environment: str
    ) -> Generator["subprocess.Popen[bytes]"]:
        """Run the image as its own user, with folders mounted read-only."""
        mounts = [f"--volume={outside}:{inside}:ro" for outside, inside in volumes.items()]
        variables = [f"--env={name}={value}" for name, value in environment.items()]
        options = ["run", "--isolation", "chroot", *mounts, *variables, self.container, "--"]
        with _process([*self.buildah.options, *options, *self.command(*words)], log) as process:
            yield process

    @contextmanager
    def started_read_only(
        self, log: Path, *words: str, volumes: dict[Path, str], **environment: str
    ) -> Generator["subprocess.Popen[bytes]"]:
        """The same with a root file system that can't be written, not even by root, and a /tmp in memory."""
        for inside in volumes.values():
            (self.root / inside.lstrip("/")).mkdir(parents=True, exist_ok=True)
        variables = [*self.config["Env"], *(f"{name}={value}" for name, value in environment.items())]
        steps = [
            f"mount --bind {self.root} {self.root}",
            *(f"mount --bind {outside} {self.root}{inside}" for outside, inside in volumes.items()),
            f"mount --options remount,ro,bind {self.root}",
            f"mount --types tmpfs --options mode=1777 tmpfs {self.root / 'tmp'}",
            f"mount --rbind /dev {self.root}/dev",
            f"mount --types proc proc {self.root}/proc",
            'exec chroot --userspec="$0" "$@"',
        ]
        program = [
            str(self.root),
            "/opt/mlops/bin/python",
            "-c",
            _EXECUTE,
            json.dumps(variables),
            *self.command(*words),
        ]
        command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", "\n".join(steps)]
        # unshare holds SIGTERM back from what it started; when it is killed, that is too.
        with _process([*command, self.config["User"], *program], log, signal.SIGKILL) as process:
            yield process


# chroot keeps the caller's environment; a container has the image's alone.
_EXECUTE: Final = (
    "import json, os, sys; env = dict(v.split('=', 1) for v in json.loads(sys.argv[1])); os.chdir('/tmp'); "
    "os.environ['PATH'] = env['PATH']; os.execvpe(sys.argv[2], sys.argv[2:], env)"
)


@contextmanager
def _process(
    command: list[str], log: Path, end: signal.Signals = signal.SIGTERM
) -> Generator["subprocess.Popen[bytes]"]:
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        started = _below(process.pid)
        process.send_signal(end)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for one in started:  # --kill-child doesn't reach what has become another user
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()


def _below(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:  # it has ended and taken them along
        return []


def wait_for(
    condition: Callable[[], bool], process: "subprocess.Popen[bytes]", log: Path, timeout_s: float = 90.0
) -> None:
    """Wait until something holds; what the container said when it ends before, or takes too long."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def make_context(folder: Path, trusted: bytes) -> Path:
    """A checkout to build from: the files that a build needs, one trusted key, and things that must stay outside."""
    for name in CONTEXT:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / name)
    (folder / "keys" / "author@example.org.pub").write_bytes(trusted)
    (folder / ".env").write_text("PASSWORD=secret\n")
    (folder / "infra").mkdir()
    (folder / "infra" / "forgotten.py").write_text("secret = 1\n")
    return folder
