#!/usr/bin/env python3
"""Pulumi's Python language host over the SDK's own protocol, for an engine that was built without the vendor's host.

Installed beside the built CLI as `pulumi-language-python`; the Python that runs it must have the Pulumi SDK.
It does what running programs, dynamic providers and policy packs takes. Code generation is not part of it.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent import futures
from importlib.util import find_spec
from pathlib import Path
from threading import Event, Thread
from types import ModuleType
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty

# The protocol's modules alone: importing the SDK around them takes longer than all else at a start, and an engine
# starts two hosts for every command.
for name in () if "pulumi" in sys.modules else ("pulumi", "pulumi.runtime"):
    spec = find_spec(name)
    package = sys.modules[name] = ModuleType(name)
    package.__path__ = list((spec and spec.submodule_search_locations) or ())

from pulumi.runtime.proto import language_pb2 as messages  # noqa: E402
from pulumi.runtime.proto import language_pb2_grpc as service  # noqa: E402
from pulumi.runtime.proto import plugin_pb2  # noqa: E402

ALREADY_EXPLAINED = 32  # pulumi-language-python-exec: the program failed and has told the user why
EXECUTOR = Path(__file__).resolve().with_name("pulumi-language-python-exec")


class LanguageHost(service.LanguageRuntimeServicer):
    """Starts the user's program, and plugins written in Python, as child processes."""

    def __init__(self, engine_address: str) -> None:
        self._engine_address = engine_address
        self._children: set[subprocess.Popen[bytes]] = set()

    def Handshake(self, request: messages.LanguageHandshakeRequest, context: Any) -> messages.LanguageHandshakeResponse:
        self._engine_address = request.engine_address
        return messages.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: Empty, context: Any) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version="")

    def GetRequiredPackages(self, request: Any, context: Any) -> messages.GetRequiredPackagesResponse:
        return messages.GetRequiredPackagesResponse()  # the engine asks for each plugin when a resource needs it

    def About(self, request: Any, context: Any) -> messages.AboutResponse:
        return messages.AboutResponse(executable=sys.executable, version=sys.version.split()[0])

    def Cancel(self, request: Empty, context: Any) -> Empty:
        self.end()
        return Empty()

    def end(self) -> None:
        """End what was started: without its engine it would wait for ever, and this process with it."""
        for child in list(self._children):
            child.terminate()

    def Run(self, request: messages.RunRequest, context: Any) -> messages.RunResponse:
        options = {
            "monitor": request.monitor_address,
            "engine": self._engine_address,
            "project": request.project,
            "root_directory": request.info.root_directory,
            "stack": request.stack,
            "pwd": request.pwd,
            "dry_run": str(request.dryRun).lower(),
            "parallel": str(request.parallel),
            "organization": request.organization,
        }
        flags = [word for key, value in options.items() if value for word in (f"--{key}", value)]
        config = {
            "PULUMI_CONFIG": json.dumps(dict(request.config)),
            "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
        }
        try:
            code = self.execute([*flags, request.info.entry_point, *request.args], config)
        except OSError as error:
            return messages.RunResponse(error=str(error))
        if code == ALREADY_EXPLAINED:
            return messages.RunResponse(bail=True)
        return messages.RunResponse(error=f"program exited with non-zero exit code: {code}" if code else "")

    def execute(self, words: list[str], config: dict[str, str]) -> int:
        """Run the program by the SDK's executor, in a process of its own; its exit code."""
        return self._wait(subprocess.Popen([sys.executable, "-u", str(EXECUTOR), *words], env=os.environ | config))

    def RunPlugin(self, request: messages.RunPluginRequest, context: Any) -> Iterator[messages.RunPluginResponse]:
        folder = request.info.program_directory
        is_policy_pack = request.kind == "analyzer"
        arguments = ["-m", "pulumi.policy", *request.args, folder] if is_policy_pack else [folder, *request.args]
        child = subprocess.Popen(
            [sys.executable, "-u", *arguments],
            cwd=folder if is_policy_pack else request.pwd,
            env=os.environ | dict(pair.split("=", 1) for pair in request.env),
            stdout=subprocess.PIPE,
            stderr=sys.stderr,
        )
        context.add_callback(child.terminate)
        for line in child.stdout or ():
            yield messages.RunPluginResponse(stdout=line)
        yield messages.RunPluginResponse(exitcode=self._wait(child))

    def _wait(self, child: subprocess.Popen[bytes]) -> int:
        self._children.add(child)
        try:
            return child.wait()
        finally:
            self._children.discard(child)


def main() -> None:
    """Serve on a free port, say which on standard output, and end with the engine."""
    if "--version" in sys.argv:
        print("self-made host")
        return
    addresses = [word for word in sys.argv[1:] if not word.startswith("-")]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
    host = LanguageHost(addresses[-1] if addresses else "")
    service.add_LanguageRuntimeServicer_to_server(host, server)
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    ended = Event()
    for ending in (signal.SIGINT, signal.SIGTERM):  # an interrupted engine signals its plugins too
        signal.signal(ending, lambda *_: ended.set())
    Thread(target=_until_orphaned, args=(ended,), daemon=True).start()
    ended.wait()
    host.end()
    server.stop(grace=None)


def _until_orphaned(ended: Event) -> None:
    parent = os.getppid()
    while os.getppid() == parent and not ended.wait(1):
        pass
    ended.set()


if __name__ == "__main__":
    main()
