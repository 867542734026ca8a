"""The SDK's runtime on a monitor of the tests' own, in place of the engine."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from pathlib import Path

from pulumi.runtime import mocks, settings, sync_await
from pulumi.runtime.stack import run_pulumi_func

__all__ = ["run_program"]


def run_program(
    program: Callable[[], Awaitable[None]],
    monitor: mocks.MockMonitor,
    stack: str,
    folder: Path,
    *,
    preview: bool | None = None,
) -> None:
    """Run a program to its end, and leave nothing of it to the next one."""
    gc.disable()  # as the program does: what it makes lives until its end
    runner = asyncio.Runner()
    asyncio.set_event_loop(loop := runner.get_loop())
    loop.set_exception_handler(lambda *_: None)  # what fails is raised; each task that it reached would tell it again
    settings.set_root_resource(None)  # another plan's has that plan's transformations
    mocks.set_mocks(monitor.mocks, project="mlops", stack=stack, monitor=monitor, preview=preview)
    settings.SETTINGS.root_directory = str(folder)
    try:
        sync_await._sync_await(run_pulumi_func(program))
    finally:
        settings.SETTINGS.outputs.clear()  # what a plan that failed leaves, the next one would wait for
        gc.enable()
        runner.close()  # and with it the threads that it started
