"""What the workloads may do that run on Batch and Lambda, beside reading and writing the store."""

from collections.abc import Sequence

import pulumi

from infra.clouds.aws import _actions as actions
from infra.clouds.aws._account import arn
from infra.clouds.aws._names import tracking_name
from infra.clouds.aws._policy import Statement, allow
from infra.clouds.aws.serverless import _names as names
from infra.config import StackConfig
from infra.contracts import IdentityArgs

__all__ = ["SERVICES", "orchestrates", "reads_images", "runs", "schedules", "trains"]

SERVICES = {  # who takes the role; a job of Batch is a task of ECS
    "training": "ecs-tasks",
    "scoring": "ecs-tasks",
    "serving": "lambda",
    "monitoring": "lambda",
    "orchestrating": "ecs-tasks",
}
FUNCTIONS = {"serving": names.SERVING, "monitoring": names.WATCHING}


def runs(args: IdentityArgs, workload: str) -> Sequence[Statement]:
    """A function needs its logs, traces, addresses and a place for events that failed; a job has them of its agent."""
    if workload not in FUNCTIONS:
        return []
    config = args.config
    logs = arn(config, "logs", f"log-group:{names.log_group(config, FUNCTIONS[workload])}:*")
    found = [
        allow("Logs", ["logs:CreateLogStream", "logs:PutLogEvents"], [logs]),
        allow("Traces", actions.TRACES, ["*"]),
        allow("Addresses", actions.VPC_FUNCTIONS, ["*"]),
        allow("Failed", ["sqs:SendMessage"], [arn(config, "sqs", names.failed_queue(config))]),
        allow("FailedEncrypted", ["kms:Decrypt", "kms:GenerateDataKey"], [args.keys.operations]),
    ]
    return [*found, *_submits(config, names.TRAINING)] if workload == "monitoring" else found


def reads_images(config: StackConfig) -> Sequence[Statement]:
    """Lambda fetches the image as itself, not as the function."""
    ours = {"ArnLike": {"aws:SourceArn": arn(config, "lambda", "function:*")}}
    return [allow("Functions", actions.FETCH_IMAGE, [], to={"Service": "lambda.amazonaws.com"}, when=ours)]


def orchestrates(args: IdentityArgs, _training: pulumi.Output[str]) -> Sequence[Statement]:
    """Batch's agent fetches the image and writes the logs; what the job itself may do is another role's."""
    logs = arn(args.config, "logs", f"log-group:{names.log_group(args.config, names.JOBS)}:*")
    return [
        allow("Image", actions.PULL_IMAGE, [args.images.identifier]),
        allow("RegistryToken", ["ecr:GetAuthorizationToken"], ["*"]),
        allow("Logs", ["logs:CreateLogStream", "logs:PutLogEvents"], [logs]),
    ]


def schedules(args: IdentityArgs) -> Sequence[Statement]:
    """Submit a training, call the function that watches, and begin and end the tracking server's office hours."""
    config = args.config
    watch = arn(config, "lambda", f"function:{names.function_name(config, names.WATCHING)}")
    statements = [
        *_submits(config, names.TRAINING)[:1],
        allow("Watch", ["lambda:InvokeFunction"], [watch]),
    ]
    if config.environment.stops_off_hours:
        server = arn(config, "sagemaker", f"mlflow-tracking-server/{tracking_name(config)}")
        statements.append(allow("OfficeHoursTracking", actions.TRACKING_HOURS, [server]))
    return statements


def trains(config: StackConfig) -> Sequence[Statement]:
    """Submit a training or a scoring from outside, follow it with its log, and stop it."""
    logs = arn(config, "logs", f"log-group:{names.log_group(config, names.JOBS)}:*")
    jobs = arn(config, "batch", "job/*")
    return [
        *_submits(config, names.TRAINING, names.SCORING),
        allow("Stop", ["batch:TerminateJob"], [jobs], when={"StringEquals": {"aws:ResourceTag/stack": config.stack}}),
        allow("JobLogs", ["logs:GetLogEvents"], [logs]),
    ]


def _submits(config: StackConfig, *jobs: str) -> list[Statement]:
    definitions = [arn(config, "batch", f"job-definition/{names.definition_name(config, job)}") for job in jobs]
    queue = arn(config, "batch", f"job-queue/{names.queue_name(config)}")
    named = [queue, *(each for definition in definitions for each in (definition, f"{definition}:*"))]
    # Batch looks jobs up without a resource.
    return [
        allow("Submit", ["batch:SubmitJob", "batch:TagResource"], named),
        allow("LookAtJobs", ["batch:DescribeJobs", "batch:ListJobs"], ["*"]),
    ]
