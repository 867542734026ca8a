"""The environment's private network: no way in, and no way out but to the services it uses."""

from collections.abc import Sequence
from ipaddress import IPv4Network

import pulumi
from pulumi_aws import cloudwatch, ec2, iam, vpc

from infra.clouds.aws import _actions as actions
from infra.clouds.aws._account import partition, settings
from infra.clouds.aws._logs import LONGEST_LOG_GROUP, retention_days
from infra.clouds.aws._policy import allow, document, trust
from infra.contracts import NetworkArgs
from infra.naming import logical, physical

__all__ = ["Network"]

HTTPS = 443
SUBNET_BITS = 4  # a /16 has room for sixteen /20; three are used
SERVICES = ("ecr.api", "ecr.dkr", "kms", "logs", "monitoring", "sts")
NAMED_OTHERWISE = {"sagemaker.experiments": "aws.sagemaker.{region}.experiments"}


class Network(pulumi.ComponentResource):
    """Private subnets in three zones, entry points of the services used, and a log of who talked to whom.

    The platform's `services` have one too, and its `buckets`, which others own, can be read.
    """

    host: pulumi.Output[str]
    subnets: Sequence[pulumi.Output[str]]
    guard: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        args: NetworkArgs,
        opts: pulumi.ResourceOptions | None = None,
        *,
        services: Sequence[str] = (),
        buckets: Sequence[str] = (),
    ) -> None:
        super().__init__("mlops:aws:Network", name, None, opts)
        self._args, self._child = args, pulumi.ResourceOptions(parent=self)
        config, account = args.config, settings(args.config)
        cidr = account.cidr or IPv4Network(config.environment.network_cidr)
        self._subnets = list(cidr.subnets(prefixlen_diff=SUBNET_BITS))
        self.vpc = ec2.Vpc(
            logical(name, "vpc"),
            cidr_block=str(cidr),
            enable_dns_hostnames=True,
            enable_dns_support=True,
            tags={"Name": physical(config.stack, "vpc", maximum_length=255)},
            opts=pulumi.ResourceOptions(parent=self, protect=config.environment.is_protected),
        )
        # Without a route: what is in these subnets reaches nothing but the entry points.
        self._routes = ec2.RouteTable(logical(name, "routes"), vpc_id=self.vpc.id, opts=self._child)
        self.subnets = [self._subnet(name, number, zone) for number, zone in enumerate(account.zones)]
        # A new network's own group lets everything pass between its members: nobody shall be one by mistake.
        ec2.DefaultSecurityGroup(logical(name, "default"), vpc_id=self.vpc.id, opts=self._child)
        self.guard = self._workloads(name)
        self._store_entry(name, buckets)
        self._services(name, (*SERVICES, *services))
        self._flow_log(name)
        self.host = self.vpc.id
        self.register_outputs({"host": self.host})

    def _subnet(self, name: str, number: int, zone: str) -> pulumi.Output[str]:
        config, account = self._args.config, settings(self._args.config)
        subnet = ec2.Subnet(
            logical(name, f"private-{number + 1}"),
            vpc_id=self.vpc.id,
            cidr_block=str(self._subnets[number]),
            availability_zone=f"{account.region}{zone}",
            map_public_ip_on_launch=False,
            tags={"Name": physical(config.stack, f"private-{zone}", maximum_length=255)},
            opts=self._child,
        )
        ec2.RouteTableAssociation(
            logical(name, f"routes-{number + 1}"), subnet_id=subnet.id, route_table_id=self._routes.id, opts=self._child
        )
        return subnet.id

    def _workloads(self, name: str) -> pulumi.Output[str]:
        """The group of jobs and servers: HTTPS inside the network and to the store, nothing else."""
        group = ec2.SecurityGroup(
            logical(name, "workloads"),
            name=physical(self._args.config.stack, "workloads", maximum_length=255),
            description="Jobs and servers: HTTPS to the services used, nothing from outside",
            vpc_id=self.vpc.id,
            opts=self._child,
        )
        vpc.SecurityGroupEgressRule(
            logical(name, "workloads-to-services"),
            security_group_id=group.id,
            description="The services' entry points",
            ip_protocol="tcp",
            from_port=HTTPS,
            to_port=HTTPS,
            cidr_ipv4=self.vpc.cidr_block,
            opts=self._child,
        )
        return group.id

    def _store_entry(self, name: str, buckets: Sequence[str]) -> None:
        """The gateway to S3, which costs nothing; buckets of other accounts can't be reached, so data can't leave."""
        config, account = self._args.config, settings(self._args.config)
        images = f"arn:{partition(config)}:s3:::prod-{account.region}-starport-layer-bucket/*"  # ECR's own
        others = [f"arn:{partition(config)}:s3:::{bucket.format(region=account.region)}/*" for bucket in buckets]
        entry = ec2.VpcEndpoint(
            logical(name, "s3"),
            vpc_id=self.vpc.id,
            vpc_endpoint_type="Gateway",
            service_name=f"com.amazonaws.{account.region}.s3",
            route_table_ids=[self._routes.id],
            policy=document(
                allow(
                    "OwnBuckets",
                    ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket", "s3:GetBucketLocation"],
                    ["*"],
                    to={"AWS": "*"},
                    when={"StringEquals": {"aws:ResourceAccount": [account.account_id]}},
                ),
                allow("ImageLayers", ["s3:GetObject"], [images, *others], to={"AWS": "*"}),
            ),
            opts=self._child,
        )
        vpc.SecurityGroupEgressRule(
            logical(name, "workloads-to-s3"),
            security_group_id=self.guard,
            description="The store",
            ip_protocol="tcp",
            from_port=HTTPS,
            to_port=HTTPS,
            prefix_list_id=entry.prefix_list_id,
            opts=self._child,
        )

    def _services(self, name: str, services: Sequence[str]) -> None:
        """An entry point for each service: in every zone where the environment is redundant, else in one."""
        config, account = self._args.config, settings(self._args.config)
        group = ec2.SecurityGroup(
            logical(name, "services"),
            name=physical(config.stack, "services", maximum_length=255),
            description="Entry points of AWS services: HTTPS from inside",
            vpc_id=self.vpc.id,
            opts=self._child,
        )
        vpc.SecurityGroupIngressRule(
            logical(name, "services-from-network"),
            security_group_id=group.id,
            description="HTTPS from inside",
            ip_protocol="tcp",
            from_port=HTTPS,
            to_port=HTTPS,
            cidr_ipv4=self.vpc.cidr_block,
            opts=self._child,
        )
        ours = {"StringEquals": {"aws:PrincipalAccount": account.account_id}}
        zones = self.subnets if config.environment.is_redundant else self.subnets[:1]
        for service in services:
            ec2.VpcEndpoint(
                logical(name, service.replace(".", "-")),
                vpc_id=self.vpc.id,
                vpc_endpoint_type="Interface",
                service_name=NAMED_OTHERWISE.get(service, "com.amazonaws.{region}." + service).format(
                    region=account.region
                ),
                subnet_ids=zones,
                security_group_ids=[group.id],
                private_dns_enabled=True,
                policy=document(allow("OwnAccount", actions.SERVICES[service], ["*"], to={"AWS": "*"}, when=ours)),
                opts=self._child,
            )

    def _flow_log(self, name: str) -> None:
        config = self._args.config
        group = cloudwatch.LogGroup(
            logical(name, "flow-logs"),
            name=f"/{physical(config.stack, 'network', maximum_length=LONGEST_LOG_GROUP)}",
            kms_key_id=self._args.keys.operations,
            retention_in_days=retention_days(config.environment.log_retention_days),
            opts=self._child,
        )
        role = iam.Role(
            logical(name, "flow-logs-role"),
            name=physical(config.stack, "flow-logs", maximum_length=64),
            assume_role_policy=trust("vpc-flow-logs", settings(config).account_id),
            opts=self._child,
        )
        iam.RolePolicy(
            logical(name, "flow-logs-policy"),
            role=role.name,
            policy=document(
                allow(
                    "WriteFlowLogs",
                    ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"],
                    [pulumi.Output.concat(group.arn, ":*")],
                )
            ),
            opts=self._child,
        )
        ec2.FlowLog(
            logical(name, "flow-log"),
            vpc_id=self.vpc.id,
            traffic_type="ALL",
            log_destination=group.arn,
            iam_role_arn=role.arn,
            opts=self._child,
        )
