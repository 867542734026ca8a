"""What the workloads may do that run on SageMaker, beside reading and writing the store."""

from collections.abc import Mapping, Sequence

import pulumi

from infra.clouds.aws import _actions as actions
from infra.clouds.aws._account import arn
from infra.clouds.aws._names import endpoint_name, job_prefix, models_name, pipeline_name, tracking_name
from infra.clouds.aws._policy import Statement, allow, pass_role
from infra.config import StackConfig
from infra.contracts import IdentityArgs

__all__ = ["SERVICES", "orchestrates", "runs", "schedules", "trains"]

# Who takes the role.
SERVICES: Mapping[str, str] = dict.fromkeys(("training", "serving", "monitoring", "orchestrating"), "sagemaker")
METRICS = "mlops"  # the namespace of our own CloudWatch metrics


def runs(args: IdentityArgs, _workload: str) -> Sequence[Statement]:
    """What every container of SageMaker needs: its image, its logs, its metrics, its addresses."""
    logs = arn(args.config, "logs", "log-group:/aws/sagemaker/*")
    ours = {"StringEquals": {"cloudwatch:namespace": [METRICS, "/aws/sagemaker/TrainingJobs"]}}
    return [
        allow("Image", actions.PULL_IMAGE, [args.images.identifier]),
        allow("RegistryToken", ["ecr:GetAuthorizationToken"], ["*"]),
        allow("Logs", ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"], [logs, f"{logs}:*"]),
        allow("Metrics", ["cloudwatch:PutMetricData"], ["*"], when=ours),
        allow("Addresses", actions.VPC_JOBS, ["*"]),
    ]


def orchestrates(args: IdentityArgs, training: pulumi.Output[str]) -> Sequence[Statement]:
    """A pipeline starts training jobs of its own name, as the training role and no other."""
    jobs = [
        _thing(args.config, "training-job", f"{job_prefix(args.config)}*"),
        _thing(args.config, "training-job", "pipelines-*"),  # as pipelines name them
    ]
    run = ("CreateTrainingJob", "DescribeTrainingJob", "StopTrainingJob", "AddTags", "ListTags")
    return [
        allow("Train", [f"sagemaker:{action}" for action in run], jobs),
        _disks(args),
        pass_role(training, "sagemaker.amazonaws.com"),
    ]


def schedules(args: IdentityArgs) -> Sequence[Statement]:
    """Start the pipeline; begin and end the office hours."""
    config = args.config
    pipeline = _thing(config, "pipeline", pipeline_name(config))
    statements = [allow("Start", ["sagemaker:StartPipelineExecution"], [pipeline])]
    if config.environment.stops_off_hours:
        endpoint = _thing(config, "endpoint", endpoint_name(config))
        configs = _thing(config, "endpoint-config", f"{endpoint_name(config)}*")
        server = _thing(config, "mlflow-tracking-server", tracking_name(config))
        run = ["sagemaker:CreateEndpoint", "sagemaker:DeleteEndpoint", "sagemaker:AddTags"]
        statements += [
            allow("OfficeHours", run, [endpoint, configs]),
            _disks(args),
            allow("OfficeHoursTracking", actions.TRACKING_HOURS, [server]),
        ]
    return statements


def trains(config: StackConfig) -> Sequence[Statement]:
    """Start a training from outside, look at it and stop it; register what is released of it."""
    pipeline = _thing(config, "pipeline", pipeline_name(config))
    looks = ["sagemaker:DescribePipelineExecution", "sagemaker:ListPipelineExecutionSteps"]
    jobs = _thing(config, "training-job", "pipelines-*")
    log = arn(config, "logs", "log-group:/aws/sagemaker/TrainingJobs")
    releases = [
        _thing(config, "model-package-group", models_name(config)),
        _thing(config, "model-package", f"{models_name(config)}/*"),
    ]
    registers = ("CreateModelPackage", "ListModelPackages", "DescribeModelPackage", "UpdateModelPackage")
    return [
        allow("Train", ["sagemaker:StartPipelineExecution"], [pipeline]),
        allow("Follow", [*looks, "sagemaker:StopPipelineExecution"], [f"{pipeline}/execution/*"]),
        allow("FollowJob", ["sagemaker:DescribeTrainingJob"], [jobs]),
        allow("FollowLog", ["logs:DescribeLogStreams", "logs:GetLogEvents"], [f"{log}:*"]),
        allow("Register", [f"sagemaker:{action}" for action in registers], releases),
    ]


def _disks(args: IdentityArgs) -> Statement:
    """Whoever starts machines whose disks are encrypted with our key lets SageMaker use the key for these disks."""
    return allow("Disks", ["kms:CreateGrant"], [args.keys.data], when={"Bool": {"kms:GrantIsForAWSResource": "true"}})


def _thing(config: StackConfig, kind: str, name: str) -> str:
    return arn(config, "sagemaker", f"{kind}/{name}")
