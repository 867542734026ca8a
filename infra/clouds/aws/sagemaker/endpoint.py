"""One release, served, and the challenger beside it where one is stated."""

from collections.abc import Sequence

import pulumi
from pulumi_aws import sagemaker

from infra.clouds.aws._account import settings
from infra.clouds.aws._logs import log_group
from infra.clouds.aws._names import endpoint_name
from infra.clouds.aws._office_hours import OfficeHours
from infra.clouds.aws.sagemaker._alarms import endpoint_alarms
from infra.clouds.aws.sagemaker._monitoring import monitor
from infra.clouds.aws.sagemaker._scaling import scale
from infra.clouds.aws.sagemaker._variants import configuration
from infra.contracts import EndpointArgs
from infra.naming import logical, tags

__all__ = ["Endpoint"]

BAKE_S = 120  # how long the old servers wait after the new ones have all the traffic
LONGEST_ROLLOUT_S = 4 * 3600


class Endpoint(pulumi.ComponentResource):
    """A new release comes as a canary on servers of its own; an alarm takes it back without a person."""

    url: pulumi.Output[str]
    release: pulumi.Output[str]

    def __init__(self, name: str, args: EndpointArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:aws:Endpoint", name, None, opts)
        self._name, self._args = name, args
        config = args.config
        # SageMaker would make it with the first line, and keep it for ever.
        log_group(self, name, "log", f"/aws/sagemaker/Endpoints/{endpoint_name(config)}", args.foundation)
        stated = configuration(self, name, args)
        alarms = endpoint_alarms(self, name, args)
        endpoint = sagemaker.Endpoint(
            logical(name, "endpoint"),
            name=endpoint_name(config),
            endpoint_config_name=stated.name,
            deployment_config=_rollout(args, [alarm.name for alarm in alarms]),
            tags={"release": args.release},
            opts=pulumi.ResourceOptions(parent=self, protect=config.environment.is_protected),
        )
        scale(self, name, config, endpoint.name)
        monitor(self, name, args, endpoint.name)
        serves = pulumi.Output.all(endpoint.endpoint_config_name, stated.name, endpoint.name).apply(
            self._not_taken_back
        )
        if config.environment.stops_off_hours:
            self._stop_off_hours(endpoint, serves)
        host = f"https://runtime.sagemaker.{settings(config).region}.amazonaws.com/endpoints/"
        self.url = pulumi.Output.concat(host, endpoint.name, "/invocations")
        self.release = serves.apply(lambda _: args.release)
        self.register_outputs({"url": self.url, "release": self.release})

    def _not_taken_back(self, names: Sequence[str]) -> str:
        """The configuration that serves, as SageMaker says; RunError where that is not the one of the release.

        The provider takes an update that was rolled back for a good one (hashicorp/terraform-provider-aws#46663). A
        program that fails keeps the configuration that serves: only a whole update deletes what it has replaced.
        """
        serves, asked, endpoint = names
        if serves == asked:
            return serves
        config = self._args.config
        raise pulumi.RunError(
            f"SageMaker has taken the release {self._args.release} back: the endpoint {endpoint} serves {serves} and "
            f"not {asked}. Its alarms and its log, /aws/sagemaker/Endpoints/{endpoint}, say why. Go back with "
            f"`mlops rollback --stack {config.stack}`, or pin another release, and run `pulumi up`, which otherwise "
            "tries it again."
        )

    def _stop_off_hours(self, endpoint: sagemaker.Endpoint, configuration: pulumi.Output[str]) -> None:
        """An endpoint has no stop: it is deleted, and made again from its configuration. At night `up` does so too."""
        carried = tags(self._args.config) | {"release": self._args.release}
        OfficeHours(
            logical(self._name, "hours"),
            self._args.config,
            self._args.foundation.identity.scheduling,
            begin=(
                "createEndpoint",
                {
                    "EndpointName": endpoint.name,
                    "EndpointConfigName": configuration,
                    "Tags": [{"Key": key, "Value": value} for key, value in carried.items()],
                },
            ),
            end=("deleteEndpoint", {"EndpointName": endpoint.name}),
            opts=pulumi.ResourceOptions(parent=self),
        )


def _rollout(args: EndpointArgs, alarms: Sequence[pulumi.Input[str]]) -> sagemaker.EndpointDeploymentConfigArgsDict:
    """New servers beside the old ones; where there are several, one of them tries the release first."""
    wait_s = args.config.environment.canary_wait_s
    routing: sagemaker.EndpointDeploymentConfigBlueGreenUpdatePolicyTrafficRoutingConfigurationArgsDict = {
        "type": "CANARY" if wait_s else "ALL_AT_ONCE",
        "wait_interval_in_seconds": wait_s,
    }
    if wait_s:
        routing["canary_size"] = {"type": "INSTANCE_COUNT", "value": 1}
    return {
        "blue_green_update_policy": {
            "traffic_routing_configuration": routing,
            "termination_wait_in_seconds": BAKE_S,
            "maximum_execution_timeout_in_seconds": LONGEST_ROLLOUT_S,
        },
        "auto_rollback_configuration": {"alarms": [{"alarm_name": alarm} for alarm in alarms]},
    }
