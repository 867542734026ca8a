"""Who may do what: one role a workload, and one for each CI system, which has no key but what it signs itself."""

from collections.abc import Sequence

import pulumi
from pulumi_aws import iam

from infra.clouds.aws import _actions as actions
from infra.clouds.aws._account import arn, in_every_region, settings
from infra.clouds.aws._ci import CiTrust, trusts
from infra.clouds.aws._names import endpoint_name, job_prefix, pipeline_name, tracking_name
from infra.clouds.aws._policy import Statement, allow, document, trust
from infra.contracts import IdentityArgs
from infra.naming import logical, physical

__all__ = ["Identity"]

METRICS = "mlops"  # the namespace of our own CloudWatch metrics
LONGEST_ROLE_NAME = 64
SESSION_S = 3600
# What each workload reads and writes, by prefix of the store.
READS = {
    "training": ("runtime", "data", "datasets", "bundles", "signatures", "ledger", "labels", "predictions"),
    "serving": ("bundles", "signatures", "ledger"),
    "monitoring": (
        "data",
        "bundles",
        "signatures",
        "ledger",
        "predictions",
        "labels",
        "monitoring",
        "capture",
        "retraining",
    ),
    "tracking": ("tracking",),
    "ci": ("data", "datasets", "bundles", "signatures", "ledger", "tracking", "monitoring", "predictions", "labels"),
}
WRITES = {
    "training": ("data", "tracking", "retraining"),
    "serving": ("predictions", "capture"),
    "monitoring": ("monitoring", "retraining"),
    "tracking": ("tracking",),
    "ci": ("data", "datasets", "bundles", "signatures", "ledger"),
}


class Identity(pulumi.ComponentResource):
    """Roles that name their resources. `*` stands only where the service knows no resource, for single actions."""

    training: pulumi.Output[str]
    serving: pulumi.Output[str]
    monitoring: pulumi.Output[str]
    tracking: pulumi.Output[str]
    scheduling: pulumi.Output[str]
    orchestrating: pulumi.Output[str]

    def __init__(self, name: str, args: IdentityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:aws:Identity", name, None, opts)
        self._args, self._name = args, name
        self._child = pulumi.ResourceOptions(parent=self)
        runs = self._runs_in_the_network()
        tracks = allow(
            "Tracking", actions.MLFLOW, [self._of_sagemaker("mlflow-tracking-server", tracking_name(args.config))]
        )
        self.training = self._workload("training", "sagemaker", [*self._data("training"), *runs, tracks])
        self.serving = self._workload("serving", "sagemaker", [*self._data("serving"), *runs])
        self.monitoring = self._workload("monitoring", "sagemaker", [*self._data("monitoring"), *runs])
        self.tracking = self._workload("tracking", "sagemaker", self._data("tracking"))
        self.orchestrating = self._workload("orchestrating", "sagemaker", self._orchestrates())
        self.scheduling = self._workload("scheduling", ["scheduler", "events"], self._schedules())
        for ci in trusts(args.config):
            self._ci(ci, tracks)
        self.register_outputs({"training": self.training, "serving": self.serving})

    def _workload(
        self, workload: str, service: str | Sequence[str], statements: Sequence[Statement]
    ) -> pulumi.Output[str]:
        return self._role(workload, trust(service, settings(self._args.config).account_id), statements)

    def _role(self, role: str, trusted: pulumi.Input[str], statements: Sequence[Statement]) -> pulumi.Output[str]:
        made = iam.Role(
            logical(self._name, role),
            name=physical(self._args.config.stack, role, maximum_length=LONGEST_ROLE_NAME),
            assume_role_policy=trusted,
            max_session_duration=SESSION_S,
            opts=self._child,
        )
        policy = iam.RolePolicy(
            logical(self._name, f"{role}-policy"), role=made.name, policy=document(*statements), opts=self._child
        )
        # Whoever is given the role may rely on what it may do.
        return pulumi.Output.all(made.arn, policy.id).apply(lambda both: both[0])

    def _data(self, workload: str) -> list[Statement]:
        store, key = self._args.store.identifier, self._args.keys.data
        prefixes = sorted({*READS[workload], *WRITES[workload]})
        below = {"StringLike": {"s3:prefix": [f"{prefix}/*" for prefix in prefixes] + prefixes}}
        return [
            allow("List", ["s3:ListBucket"], [store], when=below),
            allow("Read", ["s3:GetObject"], [pulumi.Output.concat(store, f"/{p}/*") for p in prefixes]),
            allow(
                "Write",
                ["s3:PutObject", "s3:AbortMultipartUpload"],
                [pulumi.Output.concat(store, f"/{p}/*") for p in WRITES[workload]],
            ),
            allow("Encrypted", actions.USE_KEY, [key]),
        ]

    def _runs_in_the_network(self) -> list[Statement]:
        """What every container of SageMaker needs: its image, its logs, its metrics, its addresses."""
        config = self._args.config
        logs = arn(config, "logs", "log-group:/aws/sagemaker/*")
        ours = {"StringEquals": {"cloudwatch:namespace": [METRICS, "/aws/sagemaker/TrainingJobs"]}}
        return [
            allow("Image", actions.PULL_IMAGE, [self._args.images.identifier]),
            allow("RegistryToken", ["ecr:GetAuthorizationToken"], ["*"]),
            allow("Logs", ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"], [logs, f"{logs}:*"]),
            allow("Metrics", ["cloudwatch:PutMetricData"], ["*"], when=ours),
            allow("Addresses", actions.VPC_JOBS, ["*"]),
        ]

    def _orchestrates(self) -> list[Statement]:
        """A pipeline starts training jobs of its own name, as the training role and no other."""
        jobs = [
            self._of_sagemaker("training-job", f"{job_prefix(self._args.config)}*"),
            self._of_sagemaker("training-job", "pipelines-*"),  # as pipelines name them
        ]
        run = ("CreateTrainingJob", "DescribeTrainingJob", "StopTrainingJob", "AddTags", "ListTags")
        return [
            allow("Train", [f"sagemaker:{action}" for action in run], jobs),
            self._pass(self.training, "sagemaker.amazonaws.com"),
        ]

    def _schedules(self) -> list[Statement]:
        statements = [
            allow(
                "Start",
                ["sagemaker:StartPipelineExecution"],
                [self._of_sagemaker("pipeline", pipeline_name(self._args.config))],
            )
        ]
        if self._args.config.environment.stops_off_hours:
            endpoint = self._of_sagemaker("endpoint", endpoint_name(self._args.config))
            configs = self._of_sagemaker("endpoint-config", f"{endpoint_name(self._args.config)}*")
            server = self._of_sagemaker("mlflow-tracking-server", tracking_name(self._args.config))
            servers = ["sagemaker:StartMlflowTrackingServer", "sagemaker:StopMlflowTrackingServer"]
            statements += [
                allow(
                    "OfficeHours",
                    ["sagemaker:CreateEndpoint", "sagemaker:DeleteEndpoint", "sagemaker:AddTags"],
                    [endpoint, configs],
                ),
                allow("OfficeHoursTracking", servers, [server]),
            ]
        return statements

    def _ci(self, ci: CiTrust, tracks: Statement) -> None:
        """A pipeline of CI builds, trains, releases and promotes. What it may deploy is not given here: docs/aws.md."""
        config, account = self._args.config, settings(self._args.config)
        provider: pulumi.Input[str] = in_every_region(config, "iam", f"oidc-provider/{ci.host}")
        if not account.account_is_shared:
            provider = iam.OpenIdConnectProvider(
                logical(self._name, f"{ci.name}-provider"),
                url=f"https://{ci.host}",
                client_id_lists=[ci.audience],
                opts=self._child,
            ).arn
        claims = {"StringEquals": {f"{ci.host}:aud": ci.audience, f"{ci.host}:sub": ci.subject}}
        trusted = document(
            {
                "Sid": "Trust",
                "Effect": "Allow",
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Principal": {"Federated": provider},
                "Condition": claims,
            }
        )
        run = ["sagemaker:StartPipelineExecution", "sagemaker:DescribePipelineExecution"]
        steps = ["sagemaker:ListPipelineExecutionSteps", "sagemaker:StopPipelineExecution"]
        self._role(
            ci.name,
            trusted,
            [
                *self._data("ci"),
                allow("Image", [*actions.PULL_IMAGE, *actions.PUSH_IMAGE], [self._args.images.identifier]),
                allow("RegistryToken", ["ecr:GetAuthorizationToken"], ["*"]),
                allow("Train", [*run, *steps], [self._of_sagemaker("pipeline", pipeline_name(self._args.config))]),
                tracks,
            ],
        )

    def _pass(self, role: pulumi.Input[str], service: str) -> Statement:
        return allow("Pass", ["iam:PassRole"], [role], when={"StringEquals": {"iam:PassedToService": service}})

    def _of_sagemaker(self, kind: str, name: str) -> str:
        return arn(self._args.config, "sagemaker", f"{kind}/{name}")
