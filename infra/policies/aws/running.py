"""How functions and jobs run: on machines that there are, a released version, with nothing lost and nothing idle."""

import json
from collections.abc import Iterator
from typing import Any

from infra.policies.aws import _types as aws
from infra.policies.rule import Controls, Resource, Rule, Stack, Values

__all__ = ["RULES"]

GB = 1024
# Fargate's sizes (ECS developer guide, "Task CPU and memory"): vCPUs → from, to, step in MiB.
MEMORY = {
    0.25: (512, 2 * GB, 512),
    0.5: (GB, 4 * GB, GB),
    1.0: (2 * GB, 8 * GB, GB),
    2.0: (4 * GB, 16 * GB, GB),
    4.0: (8 * GB, 30 * GB, GB),
    8.0: (16 * GB, 60 * GB, 4 * GB),
    16.0: (32 * GB, 120 * GB, 8 * GB),
}
MOST_WARM = {"dev": 0, "test": 0, "prod": 20}
FEWEST_FAILED_S = 4 * 24 * 3600  # over a long weekend


def _fits(job: Resource) -> Iterator[str]:
    given: Any = job.values.at("containerProperties", "{}")
    container = Values(json.loads(given) if isinstance(given, str) else given)
    if "FARGATE" not in job.values.texts("platformCapabilities"):
        return
    sizes = {each.at("type"): float(each.at("value", 0)) for each in container.each("resourceRequirements")}
    vcpus, memory = sizes.get("VCPU", 0.0), sizes.get("MEMORY", 0.0)
    if vcpus not in MEMORY:
        yield f"Fargate has no machine with {vcpus:g} vCPUs; there are {', '.join(f'{each:g}' for each in MEMORY)}"
        return
    least, most, step = MEMORY[vcpus]
    if not least <= memory <= most or (memory - least) % step:
        yield f"with {vcpus:g} vCPUs Fargate has {least} to {most} MiB in steps of {step}, not {memory:g}"


def _serves_a_version(alias: Resource) -> Iterator[str]:
    if alias.values.at("functionVersion") == "$LATEST":
        yield "the alias follows whatever the function is, so that nothing can be taken back"


def _keeps_failures(function: Resource, stack: Stack) -> Iterator[str]:
    kept = stack.about(function, aws.FUNCTION_FAILURES, "functionName")
    if not function.values.has("deadLetterConfig") and not any(
        each.values.has("destinationConfig.onFailure") for each in kept
    ):
        yield "events that the function can't answer are lost"


def _long_enough(queue: Resource) -> Iterator[str]:
    seconds = queue.values.at("messageRetentionSeconds", FEWEST_FAILED_S)
    if seconds < FEWEST_FAILED_S:
        yield f"what waits in the queue is forgotten after {seconds} seconds"


def _traced(function: Resource) -> Iterator[str]:
    if function.values.at("tracingConfig.mode") != "Active":
        yield "nobody sees where the function spends its time"


def _cold(warm: Resource) -> Iterator[str]:
    copies, most = warm.values.at("provisionedConcurrentExecutions", 0), MOST_WARM[warm.environment]
    if copies > most:
        yield f"of copies {copies} wait day and night, and {warm.environment} may have {most}"


def _hears_its_bucket(rule: Resource, stack: Stack) -> Iterator[str]:
    try:
        pattern = Values(json.loads(rule.values.at("eventPattern", "{}")))
    except ValueError:
        return  # the cloud itself says that it is no JSON
    if "aws.s3" not in pattern.texts("source"):
        return
    speaking = [each for each in stack.of(aws.BUCKET_NOTIFICATION) if each.values.at("eventbridge") is True]
    for bucket in pattern.texts("detail.bucket.name"):
        if bucket not in [each.values.at("bucket") for each in speaking]:
            yield f"it waits for {bucket}, which isn't the stack's or tells EventBridge nothing"


_AVAILABLE = Controls(gdpr=("32(1)(b)",), hipaa=("164.308(a)(7)(i)",), app=("11.1",))

RULES: tuple[Rule, ...] = (
    Rule(
        "fargate-has-the-size",
        "A job on Fargate asks for a size that there is.",
        "Take vCPUs and memory that go together",
        _AVAILABLE,
        (aws.JOB_DEFINITION,),
        _fits,
    ),
    Rule(
        "alias-serves-a-version",
        "An alias serves a published version.",
        "Set function_version to the function's version",
        Controls(gdpr=("5(1)(f)",), hipaa=("164.312(c)(1)",), app=("11.1",)),
        (aws.FUNCTION_ALIAS,),
        _serves_a_version,
    ),
    Rule(
        "event-rule-hears-its-bucket",
        "A rule that waits for objects waits for a bucket of the stack that tells of them.",
        "Name the bucket, and give it a BucketNotification with eventbridge True",
        _AVAILABLE,
        (aws.EVENT_RULE,),
        check_among=_hears_its_bucket,
    ),
    Rule(
        "function-loses-no-event",
        "What a function can't answer is kept.",
        "Give it a FunctionEventInvokeConfig with on_failure, or a dead_letter_config",
        _AVAILABLE,
        (aws.FUNCTION,),
        check_among=_keeps_failures,
    ),
    Rule(
        "queue-keeps-over-a-weekend",
        "What waits in a queue is kept for four days at least.",
        "Set message_retention_seconds to 345600 or more",
        _AVAILABLE,
        (aws.QUEUE,),
        _long_enough,
    ),
    Rule(
        "function-is-traced",
        "Every function is traced.",
        "Set tracing_config.mode to Active",
        Controls(fsbp=("Lambda.7",), gdpr=("32(1)(d)",), hipaa=("164.312(b)",), app=("11.1",)),
        (aws.FUNCTION,),
        _traced,
    ),
    Rule(
        "functions-are-not-kept-warm",
        "In DEV and TEST no copies of functions are kept warm, and in PROD no more than 20.",
        "Remove the ProvisionedConcurrencyConfig, or lower it",
        Controls(),
        (aws.FUNCTION_WARM,),
        _cold,
    ),
)
