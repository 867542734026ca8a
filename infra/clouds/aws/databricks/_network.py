"""The environment's network as Databricks uses it: machines talk to each other and, privately, to Databricks."""

from dataclasses import dataclass

import pulumi
from pulumi_aws import ec2, vpc

from infra.clouds.aws._account import settings
from infra.clouds.aws._policy import allow, document
from infra.clouds.aws.databricks._makers import MAKER
from infra.clouds.databricks import _account as account
from infra.clouds.databricks._sdk import databricks
from infra.contracts import PlatformArgs
from infra.naming import logical, physical

__all__ = ["Registered", "register"]

# What machines ask Databricks for: REST, the relay, the calls inside the platform, and those of its later versions.
PORTS = ((443, 443, "rest"), (2443, 2443, "relay-fips"), (6666, 6666, "relay"), (8443, 8451, "internal"))
LAST_PORT = 65535


@dataclass(frozen=True)
class Registered:
    """As Databricks knows them: the network, and the settings that say who reaches the workspace how."""

    network: pulumi.Output[str]
    access: pulumi.Output[str]


def register(parent: pulumi.Resource, name: str, args: PlatformArgs) -> Registered:
    """The entry points, the group of the machines, and all of it made known to Databricks."""
    config, network = args.config, args.foundation.network
    links = account.settings(config).private_link
    child = pulumi.ResourceOptions(parent=parent)
    machines = _group(parent, name, args, "clusters", "Machines of Databricks: among themselves, and to its services")
    entries = _group(parent, name, args, "private-link", "Entry points of Databricks: from its machines")
    _talk(parent, name, machines.id, entries.id)
    known = {
        role: _entry(parent, name, args, role, service, entries.id)
        for role, service in (("rest", links.workspace), ("relay", links.relay))
    }
    _logs(parent, name, args, entries.id)
    account_id = account.settings(config).account_id
    registered = databricks.MwsNetworks(
        logical(name, "network"),
        account_id=account_id,
        network_name=account.named(config, "network"),
        vpc_id=network.host,
        subnet_ids=network.subnets,
        security_group_ids=[network.guard, machines.id],
        vpc_endpoints={"rest_apis": [known["rest"]], "dataplane_relays": [known["relay"]]},
        opts=child,
    )
    access = databricks.MwsPrivateAccessSettings(
        logical(name, "access"),
        account_id=account_id,
        private_access_settings_name=account.named(config, "access"),
        region=settings(config).region,
        public_access_enabled=True,  # of people's browsers and CI; machines come by the entry points alone
        private_access_level="ENDPOINT",
        allowed_vpc_endpoint_ids=list(known.values()),
        opts=child,
    )
    return Registered(registered.network_id, access.private_access_settings_id)


def _group(parent: pulumi.Resource, name: str, args: PlatformArgs, role: str, what: str) -> ec2.SecurityGroup:
    return ec2.SecurityGroup(
        logical(name, role),
        name=physical(args.config.stack, role, maximum_length=255),
        description=what,
        vpc_id=args.foundation.network.host,
        opts=pulumi.ResourceOptions(parent=parent),
    )


def _talk(parent: pulumi.Resource, name: str, machines: pulumi.Output[str], entries: pulumi.Output[str]) -> None:
    """Databricks demands every port between its machines; to the entry points go those that it names."""
    child = pulumi.ResourceOptions(parent=parent)
    for protocol in ("tcp", "udp"):
        for way, rule in (("from", vpc.SecurityGroupIngressRule), ("to", vpc.SecurityGroupEgressRule)):
            rule(
                logical(name, f"clusters-{way}-clusters-{protocol}"),
                security_group_id=machines,
                description="Among the machines of a cluster",
                ip_protocol=protocol,
                from_port=0,
                to_port=LAST_PORT,
                referenced_security_group_id=machines,
                opts=child,
            )
    for first, last, what in PORTS:
        vpc.SecurityGroupEgressRule(
            logical(name, f"clusters-to-{what}"),
            security_group_id=machines,
            description="The entry points of Databricks",
            ip_protocol="tcp",
            from_port=first,
            to_port=last,
            referenced_security_group_id=entries,
            opts=child,
        )
        vpc.SecurityGroupIngressRule(
            logical(name, f"private-link-{what}"),
            security_group_id=entries,
            description="Machines of Databricks",
            ip_protocol="tcp",
            from_port=first,
            to_port=last,
            referenced_security_group_id=machines,
            opts=child,
        )


def _entry(
    parent: pulumi.Resource, name: str, args: PlatformArgs, role: str, service: str, group: pulumi.Output[str]
) -> pulumi.Output[str]:
    """An entry point of ours to a service of Databricks, made known there; its id there."""
    config, region = args.config, settings(args.config).region
    zones = args.foundation.network.subnets if config.environment.is_redundant else args.foundation.network.subnets[:1]
    entry = ec2.VpcEndpoint(
        logical(name, f"{role}-entry"),
        vpc_id=args.foundation.network.host,
        vpc_endpoint_type="Interface",
        service_name=f"com.amazonaws.vpce.{region}.{service}",
        subnet_ids=zones,
        security_group_ids=[group],
        private_dns_enabled=True,
        opts=pulumi.ResourceOptions(parent=parent),
    )
    return databricks.MwsVpcEndpoint(
        logical(name, f"{role}-endpoint"),
        account_id=account.settings(config).account_id,
        vpc_endpoint_name=account.named(config, role),
        aws_vpc_endpoint_id=entry.id,
        region=region,
        opts=pulumi.ResourceOptions(parent=parent),
    ).vpc_endpoint_id


def _logs(parent: pulumi.Resource, name: str, args: PlatformArgs, group: pulumi.Output[str]) -> None:
    """Machines send their logs to streams of Databricks, and to no others."""
    network, region = args.foundation.network, settings(args.config).region
    zones = network.subnets if args.config.environment.is_redundant else network.subnets[:1]
    streams = ("kinesis:PutRecord", "kinesis:PutRecords", "kinesis:DescribeStream")
    theirs = {"StringEquals": {"aws:PrincipalAccount": MAKER}}
    ec2.VpcEndpoint(
        logical(name, "kinesis-entry"),
        vpc_id=network.host,
        vpc_endpoint_type="Interface",
        service_name=f"com.amazonaws.{region}.kinesis-streams",
        subnet_ids=zones,
        security_group_ids=[group],
        private_dns_enabled=True,
        policy=document(allow("Databricks", streams, ["*"], to={"AWS": "*"}, when=theirs)),
        opts=pulumi.ResourceOptions(parent=parent),
    )
