"""How releases serve: the model is the release that it says, tried long enough, kept in full, scaled where it is."""

import re
from collections.abc import Iterator

from infra.policies.aws import _types as aws
from infra.policies.rule import Controls, Resource, Rule, Stack

__all__ = ["RULES"]

SHORTEST_TRIAL_S = 60
MODES = {"Input", "Output"}
VARIANT = re.compile(r"endpoint/(?P<endpoint>[^/]+)/variant/(?P<variant>[^/]+)")


def _loads_what_it_says(model: Resource, stack: Stack) -> Iterator[str]:
    buckets = [each.values.at("bucket") for each in stack.of(aws.BUCKET)]
    for container in model.values.each("primaryContainer") + model.values.each("containers"):
        release = str(container.at("environment.MLOPS_RELEASE", "")).partition(":")[2]
        for source in container.each("modelDataSource.s3DataSources") if container.has("modelDataSource") else []:
            uri = str(source.at("s3Uri", ""))
            if release and release not in uri:
                yield f"the model says that it is {release[:12]}… and loads {uri}"
            if uri.removeprefix("s3://").partition("/")[0] not in buckets:
                yield f"the model is loaded from {uri}, which is no bucket of the stack"


def _tried(endpoint: Resource) -> Iterator[str]:
    routing = "deploymentConfig.blueGreenUpdatePolicy.trafficRoutingConfiguration"
    kind, waits = endpoint.values.at(f"{routing}.type"), endpoint.values.at(f"{routing}.waitIntervalInSeconds", 0)
    if kind in ("CANARY", "LINEAR") and waits < SHORTEST_TRIAL_S:
        yield f"a new release is tried for {waits} seconds, in which no alarm can ring"


def _kept_in_full(configuration: Resource) -> Iterator[str]:
    capture = configuration.values.at("dataCaptureConfig")
    if not capture:
        return  # another rule demands it
    kept = {each.at("captureMode") for each in configuration.values.each("dataCaptureConfig.captureOptions")}
    if missing := MODES - kept - ({"Input", "Output"} if "InputAndOutput" in kept else set()):
        yield f"of requests the {', '.join(sorted(missing)).lower()} is not kept"
    if configuration.values.at("dataCaptureConfig.initialSamplingPercentage", 0) < 1:
        yield "no request is kept"


def _scales_what_is_there(target: Resource, stack: Stack) -> Iterator[str]:
    named = VARIANT.fullmatch(str(target.values.at("resourceId", "")))
    configurations = stack.of(aws.ENDPOINT_CONFIGURATION)
    if named and configurations:
        variants = [v.at("variantName") for each in configurations for v in each.values.each("productionVariants")]
        endpoints = [each.values.at("name") for each in stack.of(aws.ENDPOINT)]
        if named["variant"] not in variants or named["endpoint"] not in endpoints:
            yield f"{named[0]} is nothing of the stack: its servers stay as few as they are"


def _by_release_alone(server: Resource) -> Iterator[str]:
    if server.values.at("automaticModelRegistration") is True:
        yield "every model that somebody logs is registered, past all gates"


_INTEGRITY = Controls(gdpr=("5(1)(f)",), hipaa=("164.312(c)(1)",), app=("11.1",))
_QUALITY = Controls(gdpr=("5(1)(d)", "22(3)"), hipaa=("164.312(b)",), app=("10.2",))

RULES: tuple[Rule, ...] = (
    Rule(
        "model-is-loaded-from-its-release",
        "A model is loaded from the bundle of the release that it says it is, in a bucket of the stack.",
        "Make s3_uri of the digest in MLOPS_RELEASE, below the store",
        _INTEGRITY,
        (aws.MODEL,),
        check_among=_loads_what_it_says,
    ),
    Rule(
        "release-is-tried-long-enough",
        "A canary is watched for a minute at least before the next step.",
        "Set wait_interval_in_seconds to 60 or more",
        _QUALITY,
        (aws.ENDPOINT,),
        _tried,
    ),
    Rule(
        "requests-are-kept-in-full",
        "Of captured requests both the question and the answer are kept.",
        "Set capture_options to Input and Output, and initial_sampling_percentage above 0",
        _QUALITY,
        (aws.ENDPOINT_CONFIGURATION,),
        _kept_in_full,
    ),
    Rule(
        "scaling-is-of-what-serves",
        "What scales names an endpoint and a variant of the stack.",
        "Take both names from the endpoint and its configuration",
        Controls(gdpr=("32(1)(b)",), hipaa=("164.308(a)(7)(i)",), app=("11.1",)),
        (aws.SCALING_TARGET,),
        check_among=_scales_what_is_there,
    ),
    Rule(
        "models-are-registered-by-release",
        "Models are registered by a release, never by themselves.",
        "Set automatic_model_registration to False",
        _INTEGRITY,
        (aws.TRACKING,),
        _by_release_alone,
    ),
)
