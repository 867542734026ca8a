"""Functions and batch jobs: pinned, private, bounded, without secrets in clear."""

import json
import re
from collections.abc import Iterator
from typing import Any

from infra.policies.aws import _types as aws
from infra.policies.aws.serving import PINNED
from infra.policies.rule import UNKNOWN, Controls, NotKnownYet, Resource, Rule, Values

__all__ = ["RULES", "looks_secret"]

SECRET_NAME = re.compile(r"(password|passwd|secret|token|api_?key|access_?key|private_?key)", re.IGNORECASE)
SECRET_VALUE = re.compile(r"AKIA[0-9A-Z]{16}|-----BEGIN|gh[pousr]_\w{36}|dapi[0-9a-f]{32}|xox[bap]-")
POINTER = re.compile(r"^(arn:|secretsmanager:|ssm:|/)|_(ARN|NAME|ID|URI|FILE)$", re.IGNORECASE)


def _container(job: Resource) -> Values:
    given: Any = job.values.at("containerProperties", "{}")
    if given is UNKNOWN:
        raise NotKnownYet("containerProperties")
    return Values(json.loads(given) if isinstance(given, str) else given)


def _variables(resource: Resource) -> Iterator[tuple[str, Any]]:
    if resource.type == aws.FUNCTION:
        yield from resource.values.at("environment.variables", {}).items()
    elif resource.type == aws.JOB_DEFINITION:
        yield from ((each.at("name"), each.at("value")) for each in _container(resource).each("environment"))
    else:
        for container in (*resource.values.each("primaryContainer"), *resource.values.each("containers")):
            yield from container.at("environment", {}).items()


def looks_secret(name: str, value: str) -> bool:
    """Whether it is called like a secret or looks like one, and doesn't only say where one is."""
    named = SECRET_NAME.search(name) and not POINTER.search(name.lstrip("/")) and not POINTER.search(value)
    return bool(named or SECRET_VALUE.search(value))


def _no_secret(resource: Resource) -> Iterator[str]:
    for name, value in _variables(resource):
        if looks_secret(str(name), value if isinstance(value, str) else ""):
            yield f"the variable {name} holds a secret that everybody sees who may look at the resource"


def _pinned_code(resource: Resource) -> Iterator[str]:
    job = resource.type == aws.JOB_DEFINITION
    image = _container(resource).at("image", "") if job else resource.values.at("imageUri")
    if image is not None and not PINNED.search(str(image)):
        yield f"the image {image or '(none)'} is not pinned"


def _in_network(function: Resource) -> Iterator[str]:
    if not function.values.has("vpcConfig.subnetIds"):
        yield "the function runs outside the private network"


def _sealed_variables(function: Resource) -> Iterator[str]:
    if function.values.at("environment.variables") and not function.values.has("kmsKeyArn"):
        yield "the function's variables are not encrypted with a key of the stack"


def _asks_who(url: Resource) -> Iterator[str]:
    if url.values.at("authorizationType") != "AWS_IAM":
        yield "anybody on the internet may call the function"


def _known_caller(permission: Resource) -> Iterator[str]:
    principal = permission.values.at("principal", "")
    if principal == "*":
        yield "everybody may call the function"
    elif principal.endswith(".amazonaws.com") and not (
        permission.values.has("sourceArn") or permission.values.has("sourceAccount")
    ):
        yield f"the service {principal} may call the function on behalf of any account"


def _unprivileged(job: Resource) -> Iterator[str]:
    container = _container(job)
    if container.at("privileged") is True:
        yield "the job is root on the machine it runs on"
    if container.at("networkConfiguration.assignPublicIp", "DISABLED") == "ENABLED":
        yield "the job has a public address"


def _ends(job: Resource) -> Iterator[str]:
    if not job.values.at("timeout.attemptDurationSeconds"):
        yield "nothing ends a job that hangs"


_ACCESS = Controls(fsbp=("Lambda.1",), gdpr=("32(1)(b)",), hipaa=("164.312(a)(1)", "164.312(d)"), app=("11.1",))
_BOTH = (aws.FUNCTION, aws.JOB_DEFINITION)

RULES: tuple[Rule, ...] = (
    Rule(
        "variables-hold-no-secret",
        "No variable of a function, job or model holds a secret.",
        "Keep it in Secrets Manager and give the variable its ARN",
        Controls(gdpr=("32(1)(b)",), hipaa=("164.312(d)",), app=("11.1",)),
        (*_BOTH, aws.MODEL),
        _no_secret,
    ),
    Rule(
        "function-image-is-pinned",
        "What a function or a batch job runs is an image by its digest.",
        "Pin it: mlops:image: sha256:…, which makes repository@sha256:…",
        Controls(gdpr=("5(1)(f)", "32(1)(b)"), hipaa=("164.312(c)(1)",), app=("11.1",)),
        _BOTH,
        _pinned_code,
    ),
    Rule(
        "function-is-in-the-network",
        "Every function runs inside the private network.",
        "Set vpc_config to the stack's private subnets and its group of workloads",
        Controls(fsbp=("Lambda.3",), gdpr=("32(1)(b)",), hipaa=("164.312(e)(1)",), app=("11.1",)),
        (aws.FUNCTION,),
        _in_network,
    ),
    Rule(
        "function-variables-are-encrypted",
        "Variables of a function are encrypted with a key of the stack.",
        "Set kms_key_arn to the stack's key for data",
        Controls(gdpr=("32(1)(a)",), hipaa=("164.312(a)(2)(iv)",), app=("11.1",)),
        (aws.FUNCTION,),
        _sealed_variables,
    ),
    Rule(
        "function-url-asks-who",
        "A function's URL asks who calls.",
        "Set authorization_type to AWS_IAM",
        _ACCESS,
        (aws.FUNCTION_URL,),
        _asks_who,
    ),
    Rule(
        "function-is-called-by-known-callers",
        "A function is called by named identities, and by services only for this account.",
        "Set source_arn or source_account",
        _ACCESS,
        (aws.FUNCTION_PERMISSION,),
        _known_caller,
    ),
    Rule(
        "batch-job-is-unprivileged",
        "Batch jobs are not privileged and have no public address.",
        "Remove privileged, and set assignPublicIp to DISABLED",
        Controls(gdpr=("32(1)(b)",), hipaa=("164.312(a)(1)", "164.312(e)(1)"), app=("11.1",)),
        (aws.JOB_DEFINITION,),
        _unprivileged,
    ),
    Rule(
        "batch-job-ends",
        "Every batch job has a time after which it is ended.",
        "Set timeout.attempt_duration_seconds",
        Controls(),
        (aws.JOB_DEFINITION,),
        _ends,
    ),
)
