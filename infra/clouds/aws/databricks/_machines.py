"""The role by which Databricks starts and ends machines in our network: its own, by tag, from its own images.

https://docs.databricks.com/aws/en/admin/workspace/create-uc-workspace says what it needs; here each statement names
the account, and where EC2 lets it, the network.
"""

import pulumi
from pulumi_aws import iam

from infra.clouds.aws._account import arn, partition, settings
from infra.clouds.aws._policy import Statement, allow, document
from infra.clouds.aws.databricks._makers import principal
from infra.clouds.databricks import _account as account
from infra.contracts import PlatformArgs
from infra.naming import logical, physical

__all__ = ["machines_role"]

IMAGES_OWNER = "601306020600"  # the account of Databricks that its machine images are of
KINDS = ("volume", "instance", "fleet", "launch-template", "network-interface", "spot-instance-request")
TAG = {"Vendor": "Databricks"}  # Databricks sets it on whatever it makes
START = ("ec2:CreateFleet", "ec2:RequestSpotInstances", "ec2:RunInstances")
CREATE = (*START, "ec2:CreateLaunchTemplate", "ec2:CreateLaunchTemplateVersion", "ec2:CreateVolume")
CHANGE = (
    *CREATE,
    *("ec2:AssignPrivateIpAddresses", "ec2:AssociateIamInstanceProfile", "ec2:DisassociateIamInstanceProfile"),
    *("ec2:AttachVolume", "ec2:DetachVolume", "ec2:CancelSpotInstanceRequests"),
    *("ec2:ModifyFleet", "ec2:ModifyLaunchTemplate", "ec2:GetLaunchTemplateData"),
    *("ec2:DeleteFleets", "ec2:DeleteLaunchTemplate", "ec2:DeleteLaunchTemplateVersions", "ec2:DeleteVolume"),
    *("ec2:TerminateInstances", "ec2:CreateTags", "ec2:DeleteTags"),
)
LOOK = tuple(
    f"ec2:{action}"
    for action in (
        *("DescribeAvailabilityZones", "DescribeFleetHistory", "DescribeFleetInstances", "DescribeFleets"),
        *("DescribeIamInstanceProfileAssociations", "DescribeInstanceStatus", "DescribeInstances"),
        *("DescribeInternetGateways", "DescribeLaunchTemplates", "DescribeLaunchTemplateVersions"),
        *("DescribeNatGateways", "DescribeNetworkAcls", "DescribePrefixLists", "DescribeRouteTables"),
        *("DescribeReservedInstancesOfferings", "DescribeSecurityGroups", "DescribeSpotInstanceRequests"),
        *("DescribeSpotPriceHistory", "DescribeSubnets", "DescribeVolumes", "DescribeVpcAttribute", "DescribeVpcs"),
        "GetSpotPlacementScores",
    )
)
DISK_KEY = ("kms:Decrypt", "kms:GenerateDataKeyWithoutPlaintext", "kms:CreateGrant", "kms:DescribeKey")


def machines_role(parent: pulumi.Resource, name: str, args: PlatformArgs, key: pulumi.Output[str]) -> iam.Role:
    """Taken by Databricks for this Databricks account alone."""
    config = args.config
    ours = {"StringEquals": {"sts:ExternalId": account.settings(config).account_id}}
    trusted = {"Sid": "Trust", "Effect": "Allow", "Action": "sts:AssumeRole"}
    role = iam.Role(
        logical(name, "machines"),
        name=physical(config.stack, "machines", maximum_length=64),
        assume_role_policy=document(trusted | {"Principal": principal(config, "root"), "Condition": ours}),
        opts=pulumi.ResourceOptions(parent=parent),
    )
    iam.RolePolicy(
        logical(name, "machines-policy"),
        role=role.name,
        policy=document(*_statements(args, key)),
        opts=pulumi.ResourceOptions(parent=parent),
    )
    return role


def _statements(args: PlatformArgs, key: pulumi.Output[str]) -> list[Statement]:
    config, network = args.config, args.foundation.network
    things = [arn(config, "ec2", f"{kind}/*") for kind in KINDS]
    images = f"arn:{partition(config)}:ec2:{settings(config).region}::image/*"
    inside = pulumi.Output.concat(arn(config, "ec2", "vpc/"), network.host)
    places = [pulumi.Output.concat(arn(config, "ec2", "subnet/"), subnet) for subnet in network.subnets]
    requested = {"StringEquals": {f"aws:RequestTag/{tag}": value for tag, value in TAG.items()}}
    tagged = {"StringEquals": {f"ec2:ResourceTag/{tag}": value for tag, value in TAG.items()}}
    by_ec2 = {"StringEquals": {"kms:ViaService": f"ec2.{settings(config).region}.amazonaws.com"}}
    spot = arn(config, "iam", "role/aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot").replace(
        f":{settings(config).region}:", "::"
    )
    return [
        allow("Create", [*CREATE, "ec2:CreateTags"], things, when=requested),
        allow("Change", CHANGE, things, when=tagged),
        allow("OwnImages", START, [images], when={"StringEquals": {"ec2:Owner": IMAGES_OWNER}}),
        allow("OwnSubnets", ["ec2:RunInstances"], places),
        allow(
            "OwnGroups",
            ["ec2:RunInstances"],
            [arn(config, "ec2", "security-group/*")],
            when={"StringEquals": {"ec2:Vpc": inside}},
        ),
        allow("Look", LOOK, ["*"], when={"StringEquals": {"aws:RequestedRegion": settings(config).region}}),
        allow("Disks", DISK_KEY, [key], when=by_ec2),
        allow(
            "Spot",
            ["iam:CreateServiceLinkedRole"],
            [spot],
            when={"StringEquals": {"iam:AWSServiceName": "spot.amazonaws.com"}},
        ),
    ]
