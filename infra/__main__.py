"""The Pulumi program: configuration → blueprint → outputs."""

import atexit
import gc
import os
import sys
from pathlib import Path
from typing import Any

import pulumi
from pulumi.runtime import get_config_env

from infra.blueprint import compose
from infra.config import ConfigInvalid, StackConfig
from infra.config.reader import read_values
from infra.engine.ownership import StateOfAnother, require_own_backend
from infra.release import PinRefused

ALREADY_EXPLAINED = 32  # tells the engine that the message above is all there is to say


def _without_debug_messages(*_: Any, **__: Any) -> None:
    """The SDK tells the engine of each step of each resource and waits for its answer; only `--debug` shows them."""


# A cloud's SDK is a great many classes, all of which stay: looking for rubbish among them took a third of the time,
# and half a second more at the program's end.
gc.disable()
atexit.register(gc.freeze)
if "MLOPS_SDK_DEBUG" not in os.environ:
    pulumi.log.debug = _without_debug_messages
try:
    require_own_backend(os.environ)
    if (file := Path(pulumi.runtime.get_root_directory(), "stacks", f"Pulumi.{pulumi.get_stack()}.yaml")).exists():
        read_values(file)  # refuses what other commands would read in another way than the engine has
    config = StackConfig.parse(pulumi.get_stack(), get_config_env())
    for name, value in compose(config).items():
        pulumi.export(name, value)
except (ConfigInvalid, PinRefused, StateOfAnother) as error:
    pulumi.log.error(str(error))
    sys.exit(ALREADY_EXPLAINED)
