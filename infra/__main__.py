"""The Pulumi program: configuration → blueprint → outputs."""

import gc
import sys

import pulumi
from pulumi.runtime import get_config_env

from infra.blueprint import compose
from infra.config import ConfigInvalid, StackConfig
from infra.release import PinRefused

ALREADY_EXPLAINED = 32  # tells the engine that the message above is all there is to say

gc.disable()  # a cloud's SDK is a great many classes, all of which stay: looking for rubbish took a third of the time
try:
    config = StackConfig.parse(pulumi.get_stack(), get_config_env())
    for name, value in compose(config).items():
        pulumi.export(name, value)
except (ConfigInvalid, PinRefused) as error:
    pulumi.log.error(str(error))
    sys.exit(ALREADY_EXPLAINED)
