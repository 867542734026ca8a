"""One release, served by a function, and the challenger beside it where one is stated."""

from contextlib import suppress

import pulumi
from pulumi_aws import lambda_

from infra.clouds.aws.serverless import _names as names
from infra.clouds.aws.serverless._alarms import serving_alarms
from infra.clouds.aws.serverless._function import FunctionConfig, ImageFunction
from infra.clouds.aws.serverless.platform import Platform
from infra.config import StackConfig
from infra.contracts import EndpointArgs
from infra.naming import logical
from infra.release import PinRefused

__all__ = ["Endpoint", "champions_version"]

MEMORY_MIB = {"small": 1024, "medium": 1769, "large": 3538}  # 1769 MiB come with one whole processor
COPIES = {"small": 10, "medium": 50, "large": 200}
LONGEST_CALL_S = 30


class Endpoint(pulumi.ComponentResource):
    """Each release is a version of the function; the alias that is called says which of them answers what share.

    The newest version serves the challenger, where there is one, and the alias stays with the version before it.
    """

    url: pulumi.Output[str]
    release: pulumi.Output[str]

    def __init__(self, name: str, args: EndpointArgs[Platform], opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:aws:Endpoint", name, None, opts)
        self._args, self._child = args, pulumi.ResourceOptions(parent=self)
        base, challenger = args.foundation, args.config.challenger
        size = args.config.environment.serving_size
        made = ImageFunction(
            logical(name, "serving"),
            FunctionConfig(
                names.SERVING, ["lambda"], MEMORY_MIB[size], LONGEST_CALL_S, COPIES[size], is_versioned=True
            ),
            base,
            base.identity.serving,
            {"MLOPS_STORE_URI": base.store.uri, "MLOPS_RELEASE": challenger.release if challenger else args.release},
            self._child,
        )
        alias = self._alias(name, made.function)
        made.keep_failed(args.platform.failed, alias.name)
        serving_alarms(self, name, args)
        self.url = lambda_.FunctionUrl(
            logical(name, "url"),
            function_name=made.function.name,
            qualifier=alias.name,
            authorization_type="AWS_IAM",
            opts=self._child,
        ).function_url
        # What the alias itself says, once it leads to the version that serves it.
        self.release = alias.description.apply(str)
        self.register_outputs({"url": self.url, "release": self.release})

    def _alias(self, name: str, function: lambda_.Function) -> lambda_.Alias:
        config, challenger = self._args.config, self._args.config.challenger
        serves = function.version
        weights: lambda_.AliasRoutingConfigArgsDict | None = None
        if challenger:
            weight = challenger.weight
            there = pulumi.InvokeOptions(parent=self)
            serves = pulumi.Output.from_input(champions_version(config, self._args.release, there))
            weights = {"additional_version_weights": function.version.apply(lambda version: {version: weight})}
        return lambda_.Alias(
            logical(name, "alias"),
            name=names.ALIAS,
            description=self._args.release,
            function_name=function.name,
            function_version=serves,
            routing_config=weights,
            opts=pulumi.ResourceOptions(parent=self, protect=config.environment.is_protected),
        )


def champions_version(config: StackConfig, release: str, there: pulumi.InvokeOptions) -> str:
    """The version that the alias leads to; PinRefused when there is none, or it serves another than `release`."""
    function, serves = names.function_name(config, names.SERVING), "nothing"
    with suppress(Exception):  # the SDK has no narrower one for a thing that isn't there
        found = lambda_.get_alias(function_name=function, name=names.ALIAS, opts=there)
        if found.description == release:
            return found.function_version
        serves = found.description
    raise PinRefused(
        f"The challenger of {config.stack} can't be tried yet: it is weighed against the version that serves the "
        f"pinned release {release}, and the alias {names.ALIAS} of {function} serves {serves}. Remove "
        "mlops:challenger, run `pulumi up`, and state it again."
    )
