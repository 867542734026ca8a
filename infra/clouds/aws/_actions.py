"""What the services' clients do, as IAM names it: for the policies of identities and of the network's entry points."""

__all__ = [
    "FETCH_IMAGE",
    "MLFLOW",
    "PULL_IMAGE",
    "PUSH_IMAGE",
    "SERVICES",
    "TRACES",
    "TRACKING_HOURS",
    "USE_KEY",
    "VPC_FUNCTIONS",
    "VPC_JOBS",
]

USE_KEY = ("kms:Decrypt", "kms:GenerateDataKey", "kms:DescribeKey")
PULL_IMAGE = ("ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage")
FETCH_IMAGE = ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
PUSH_IMAGE = (
    *("ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload", "ecr:PutImage"),
    *("ecr:DescribeImages", "ecr:DescribeImageScanFindings"),
)
# A job or a model server with addresses in our network; AWS demands these on every resource.
VPC_JOBS = (
    *("ec2:CreateNetworkInterface", "ec2:CreateNetworkInterfacePermission", "ec2:DeleteNetworkInterface"),
    *("ec2:DeleteNetworkInterfacePermission", "ec2:DescribeNetworkInterfaces", "ec2:DescribeVpcs"),
    *("ec2:DescribeDhcpOptions", "ec2:DescribeSubnets", "ec2:DescribeSecurityGroups"),
)
# A function with addresses in our network; AWS demands these on every resource.
VPC_FUNCTIONS = (
    *("ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface", "ec2:DescribeNetworkInterfaces"),
    *("ec2:DescribeSubnets", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"),
)
TRACES = ("xray:PutTraceSegments", "xray:PutTelemetryRecords")  # of no resource
TRACKING_HOURS = ("sagemaker:StartMlflowTrackingServer", "sagemaker:StopMlflowTrackingServer")
MLFLOW = tuple(
    f"sagemaker-mlflow:{action}"
    for action in (
        *("CreateExperiment", "GetExperiment", "GetExperimentByName", "SearchExperiments", "SetExperimentTag"),
        *("CreateRun", "UpdateRun", "GetRun", "SearchRuns", "LogMetric", "LogParam", "LogBatch", "LogInputs"),
        *("LogModel", "SetTag", "DeleteTag", "ListArtifacts", "GetMetricHistory"),
        *("CreateRegisteredModel", "GetRegisteredModel", "SearchRegisteredModels", "SetRegisteredModelTag"),
        *("CreateModelVersion", "GetModelVersion", "SearchModelVersions", "UpdateModelVersion", "SetModelVersionTag"),
        *("SetRegisteredModelAlias", "GetModelVersionByAlias", "GetDownloadURIForModelVersionArtifacts"),
    )
)
# By the name of the network's entry point; through it goes this and nothing else.
SERVICES = {
    "ecr.api": ("ecr:GetAuthorizationToken", *PULL_IMAGE),
    "ecr.dkr": ("ecr:GetAuthorizationToken", *PULL_IMAGE),
    "kms": USE_KEY,
    "logs": ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"),
    "monitoring": ("cloudwatch:PutMetricData",),
    "sts": ("sts:AssumeRole", "sts:GetCallerIdentity"),
    "sagemaker.api": (
        *("sagemaker:DescribeTrainingJob", "sagemaker:DescribeEndpoint", "sagemaker:DescribeMlflowTrackingServer"),
        *("sagemaker:StartPipelineExecution", "sagemaker:DescribePipelineExecution"),
    ),
    "batch": ("batch:SubmitJob", "batch:TagResource", "batch:DescribeJobs", "batch:ListJobs"),
    "sagemaker.runtime": ("sagemaker:InvokeEndpoint",),
    "sagemaker.experiments": MLFLOW,
}
