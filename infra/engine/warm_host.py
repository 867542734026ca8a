"""A language host with the program's modules loaded, for one run: they load while the engine starts.

A cloud's SDK takes longer to import than all else of a preview. `pulumi preview --client` connects to a host like this.
"""

import ast
import gc
import inspect
import os
import runpy
import shutil
import sys
from concurrent import futures
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from types import ModuleType
from typing import Any

import grpc
from pulumi.runtime.proto import language_pb2_grpc as service  # before the language host, for which it is all there is

from infra.engine.language_host import LanguageHost

EXECUTOR = "pulumi-language-python-exec"  # comes with every engine, beside it on PATH


class WarmHost(LanguageHost):
    """Has the program run in this process's main thread."""

    def __init__(self) -> None:
        super().__init__("")
        self._asked: SimpleQueue[tuple[list[str], dict[str, str]]] = SimpleQueue()
        self._ended: SimpleQueue[int] = SimpleQueue()

    def Run(self, request: Any, context: Any) -> Any:
        self._engine_address = request.args[0]  # so a client is told, who gets no handshake
        return super().Run(request, context)

    def execute(self, words: list[str], config: dict[str, str]) -> int:
        self._asked.put((words, config))
        return self._ended.get()

    def end(self) -> None:
        self._ended.put(1)

    def run_when_asked(self) -> None:
        """Wait for the engine and run the program, once."""
        words, config = self._asked.get()
        os.environ.update(config)
        sys.argv = [EXECUTOR, *words]
        code = 1
        try:
            runpy.run_path(shutil.which(EXECUTOR) or EXECUTOR, run_name="__main__")
        except SystemExit as ending:
            code = int(ending.code or 0)
        finally:
            self._ended.put(code)


def main(cloud: str, platform: str) -> None:
    """Serve on a free port, say which on standard output, and end when standard input does."""
    Thread(target=_end_with_input, daemon=True).start()
    gc.disable()  # as the program does
    server = grpc.server(futures.ThreadPoolExecutor(4))
    service.add_LanguageRuntimeServicer_to_server(host := WarmHost(), server)
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    with suppress(ImportError, LookupError):  # no such cloud or platform: the run meets it again, and explains it
        load(cloud, platform)
    host.run_when_asked()
    server.wait_for_termination()


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


def load(cloud: str, platform: str) -> None:
    """Import the cloud's modules, and of its SDK the services that they name: each is imported at its first use."""
    from infra import blueprint as blueprint  # here, for they take long and the engine waits for the port
    from infra.clouds import CLOUDS

    CLOUDS[cloud](platform)
    ours = [module for name, module in list(sys.modules.items()) if name.startswith("infra.clouds.")]
    for module in ours:
        sdks = {alias: sdk for alias, sdk in vars(module).items() if _is_sdk(sdk)}
        for node in ast.walk(ast.parse(inspect.getsource(module))) if sdks else ():
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in sdks:
                dir(getattr(sdks[node.value.id], node.attr))


def _is_sdk(value: object) -> bool:
    return isinstance(value, ModuleType) and value.__name__.startswith("pulumi_")


if __name__ == "__main__":
    main(*sys.argv[1:])
