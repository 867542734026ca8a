"""The network: no way in from outside, no way out but to the services used, and a log of who talked to whom."""

from collections.abc import Iterable, Iterator
from ipaddress import ip_network
from typing import Any

from infra.config import ENVIRONMENTS
from infra.policies.aws import _types as aws
from infra.policies.documents import statements
from infra.policies.rule import Controls, Resource, Rule, Stack, Values

__all__ = ["RULES"]

WIDEST_PREFIX = {4: 8, 6: 16}  # a block with a shorter prefix is the internet, or so much of it that it makes no odds
OTHERS_SERVICE = "com.amazonaws.vpce."  # a service of somebody else than AWS takes no policy
INTERNET = "the whole internet"

CALLED = {  # what is called where there is such a resource
    "s3": aws.BUCKET,
    "kms": aws.KEY,
    "logs": aws.LOG_GROUP,
    "ecr.api": aws.REPOSITORY,
    "ecr.dkr": aws.REPOSITORY,
}
JOINING = (
    "aws:ec2/vpcPeeringConnection:VpcPeeringConnection",
    "aws:ec2transitgateway/vpcAttachment:VpcAttachment",
    "aws:ec2/vpnGateway:VpnGateway",
)


def _wide(block: Any) -> bool:
    try:
        network = ip_network(str(block), strict=False)
    except ValueError:
        return False  # the cloud itself says what is wrong with it
    return network.prefixlen < WIDEST_PREFIX[network.version]


def _blocks(rule: Values) -> list[str]:
    keys = ("cidrIpv4", "cidrIpv6", "cidrBlocks", "ipv6CidrBlocks", "cidrBlock", "ipv6CidrBlock")
    return [block for key in keys for block in rule.texts(key)]


def _directed(resource: Resource, way: str) -> Iterator[Values]:
    """The rules of one direction, whichever resource they are written in."""
    if resource.type in (aws.GROUP, aws.DEFAULT_GROUP):
        yield from resource.values.each(way)
    elif resource.type == aws.GROUP_RULE:
        if resource.values.at("type") == way:
            yield resource.values
    elif resource.type == {"ingress": aws.INGRESS, "egress": aws.EGRESS}[way]:
        yield resource.values


def _ports(rule: Values) -> str:
    if str(rule.at("ipProtocol", rule.at("protocol", "-1"))) in ("-1", "all"):
        return "every port"
    first, last = rule.at("fromPort"), rule.at("toPort")
    return f"port {first}" if first == last else f"ports {first} to {last}"


def _every_port(resource: Resource) -> Iterator[str]:
    for rule in _directed(resource, "ingress"):
        if _ports(rule) == "every port":
            yield from (f"every port can be reached from {each}" for each in _blocks(rule))


def _leads_to_services(network: Resource, stack: Stack) -> Iterator[str]:
    there = [each.values.at("serviceName", "") for each in stack.of(aws.ENTRY)]
    for service, type_ in CALLED.items():
        if stack.of(type_) and not any(name.endswith(f".{service}") for name in there):
            yield f"nothing inside reaches {service}, and there is no way around it"


def _in_routes(entry: Resource) -> Iterator[str]:
    if entry.values.at("vpcEndpointType", "Gateway") == "Gateway" and not entry.values.has("routeTableIds"):
        yield "no route leads to it"


def _no_way_in(resource: Resource) -> Iterator[str]:
    for rule in _directed(resource, "ingress"):
        yield from (f"{_ports(rule)} can be reached from {each}, {INTERNET}" for each in _blocks(rule) if _wide(each))


def _no_way_out(resource: Resource) -> Iterator[str]:
    for rule in _directed(resource, "egress"):
        yield from (f"{_ports(rule)} of {each}, {INTERNET}, can be reached" for each in _blocks(rule) if _wide(each))


def _described(resource: Resource) -> Iterator[str]:
    if not resource.values.at("description") or resource.values.at("description") == "Managed by Pulumi":
        yield "nothing says what it is for"


def _default_closed(network: Resource, stack: Stack) -> Iterator[str]:
    groups = stack.about(network, aws.DEFAULT_GROUP, "vpcId")
    if not groups:
        yield "the network's default group lets everything pass between its members"
    if any(group.values.has("ingress") or group.values.has("egress") for group in groups):
        yield "the network's default group has rules"


def _flow_logs(network: Resource, stack: Stack) -> Iterator[str]:
    logs = stack.about(network, aws.FLOW_LOG, "vpcId")
    if not logs:
        yield "nobody records who talks to whom in the network"
    for log in logs:
        if (recorded := log.values.at("trafficType", "ALL")) != "ALL":
            yield f"the flow log {log.name!r} records {recorded} traffic only"


def _zones(network: Resource, stack: Stack) -> Iterator[str]:
    subnets = stack.about(network, aws.SUBNET, "vpcId")
    zones = {each.values.at("availabilityZone") or each.values.at("availabilityZoneId") for each in subnets}
    if subnets and len(zones) < 2:
        yield "all subnets are in one zone: when it fails, all fails"


def _no_public_address(subnet: Resource) -> Iterator[str]:
    if subnet.values.at("mapPublicIpOnLaunch") is True:
        yield "whatever starts in the subnet gets a public address"


def _no_gateway(resource: Resource) -> Iterable[str]:
    return ["it connects the private network with the internet"]


def _narrow_entry(entry: Resource) -> Iterator[str]:
    if str(entry.values.at("serviceName", "")).startswith(OTHERS_SERVICE):
        return
    if not entry.values.has("policy"):
        yield "the entry point has no policy: through it goes every action, with anybody's credentials"
    for statement in statements(entry, "policy"):
        if statement.allows and any(action == "*" or action.endswith(":*") for action in statement.actions):
            yield f"the entry point lets through {', '.join(statement.actions)}"
        elif statement.allows and statement.is_for_everybody and "*" in statement.resources:
            yield "the entry point lets through anybody's credentials to anybody's resources"


def _redundant_entry(entry: Resource) -> Iterator[str]:
    asked = ENVIRONMENTS[entry.environment].is_redundant and entry.values.at("vpcEndpointType") == "Interface"
    if asked and len(entry.values.at("subnetIds", [])) < 2:
        yield "the entry point is in one zone: when that fails, all zones are without the service"


def _answers_to_its_name(entry: Resource) -> Iterator[str]:
    if entry.values.at("vpcEndpointType") == "Interface" and entry.values.at("privateDnsEnabled") is not True:
        yield "the service's name leads past the entry, out of the network"


def _resolves(network: Resource) -> Iterator[str]:
    if network.values.at("enableDnsSupport", True) is False or network.values.at("enableDnsHostnames") is not True:
        yield "names are not resolved in the network, so that no entry is found"


def _joined(resource: Resource) -> Iterable[str]:
    return ["another network leads into the stack's"]


def _list_open(acl: Resource) -> Iterator[str]:
    for rule in acl.values.each("ingress"):
        if str(rule.at("action", "allow")).lower() == "allow" and any(_wide(block) for block in _blocks(rule)):
            yield f"{_ports(rule)} can be reached from {INTERNET}"


_EDGE = Controls(
    cis=("5.3", "5.4"),
    fsbp=("EC2.13", "EC2.14", "EC2.18", "EC2.19"),
    gdpr=("32(1)(b)",),
    hipaa=("164.312(e)(1)", "164.312(a)(1)"),
    app=("11.1",),
)
_LEAK = Controls(gdpr=("32(1)(b)", "32(2)"), hipaa=("164.312(e)(1)",), app=("11.1", "8"))
_GROUPS = (aws.GROUP, aws.GROUP_RULE)

RULES: tuple[Rule, ...] = (
    Rule(
        "group-has-no-way-in",
        "No security group lets the internet in.",
        "Name the network's block or another group as the source",
        _EDGE,
        (*_GROUPS, aws.INGRESS),
        _no_way_in,
    ),
    Rule(
        "group-has-no-way-out",
        "No security group lets data out to the internet.",
        "Name the network's block, a group or a prefix list as the destination: AWS's services have entry points here",
        _LEAK,
        (*_GROUPS, aws.EGRESS),
        _no_way_out,
    ),
    Rule(
        "group-is-described",
        "Every security group and rule says what it is for.",
        "Set description to what it lets through and why",
        Controls(gdpr=("5(2)",), hipaa=("164.308(a)(1)(ii)(D)",), app=("1.2",)),
        (*_GROUPS, aws.INGRESS, aws.EGRESS),
        _described,
    ),
    Rule(
        "default-group-is-closed",
        "Every network's default security group lets nothing through.",
        "Take it over as a DefaultSecurityGroup without rules",
        Controls(cis=("5.5",), fsbp=("EC2.2",), gdpr=("25(2)",), hipaa=("164.312(e)(1)",), app=("11.1",)),
        (aws.VPC,),
        check_among=_default_closed,
    ),
    Rule(
        "network-is-recorded",
        "Every network has a flow log of all traffic.",
        "Give it a FlowLog with traffic_type ALL",
        Controls(cis=("3.7",), fsbp=("EC2.6",), gdpr=("32(1)(d)", "33(1)"), hipaa=("164.312(b)",), app=("11.1",)),
        (aws.VPC,),
        check_among=_flow_logs,
    ),
    Rule(
        "network-spans-zones",
        "Every network has subnets in two zones or more.",
        "Give its subnets different values of availability_zone",
        Controls(gdpr=("32(1)(b)",), hipaa=("164.308(a)(7)(i)",), app=("11.1",)),
        (aws.VPC,),
        check_among=_zones,
    ),
    Rule(
        "subnet-gives-no-public-address",
        "No subnet gives public addresses.",
        "Set map_public_ip_on_launch to False",
        Controls(fsbp=("EC2.15",), gdpr=("25(2)",), hipaa=("164.312(e)(1)",), app=("11.1",)),
        (aws.SUBNET,),
        _no_public_address,
    ),
    Rule(
        "network-has-no-gateway",
        "No gateway connects the network with the internet.",
        "Remove it; reach AWS's services by VpcEndpoint",
        _LEAK,
        (aws.GATEWAY, aws.NAT, "aws:ec2/egressOnlyInternetGateway:EgressOnlyInternetGateway", "aws:ec2/eip:Eip"),
        _no_gateway,
    ),
    Rule(
        "entry-point-is-narrow",
        "Entry points of services let through the actions that are used, of or to accounts that are known.",
        "Give it a policy with the actions that are used and a condition on aws:PrincipalAccount",
        _LEAK,
        (aws.ENTRY,),
        _narrow_entry,
    ),
    Rule(
        "entry-point-is-redundant",
        "In PROD entry points of services are in two zones or more.",
        "Set subnet_ids to all private subnets",
        Controls(gdpr=("32(1)(b)",), hipaa=("164.308(a)(7)(i)",), app=("11.1",)),
        (aws.ENTRY,),
        _redundant_entry,
    ),
    Rule(
        "entry-point-answers-to-its-name",
        "An entry point answers under the service's own name.",
        "Set private_dns_enabled to True",
        _LEAK,
        (aws.ENTRY,),
        _answers_to_its_name,
    ),
    Rule(
        "network-leads-to-its-services",
        "The network has an entry point for each service that is called from inside.",
        "Add an ec2.VpcEndpoint for it",
        _LEAK,
        (aws.VPC,),
        check_among=_leads_to_services,
    ),
    Rule(
        "gateway-stands-in-routes",
        "An entry point of the type Gateway stands in a route table.",
        "Set route_table_ids",
        _LEAK,
        (aws.ENTRY,),
        _in_routes,
    ),
    Rule(
        "door-names-its-port",
        "What lets in a block of addresses names the port.",
        "Set ip_protocol, from_port and to_port",
        Controls(fsbp=("EC2.18",), gdpr=("32(1)(b)",), hipaa=("164.312(e)(1)",), app=("11.1",)),
        (aws.GROUP, aws.DEFAULT_GROUP, aws.GROUP_RULE, aws.INGRESS),
        _every_port,
    ),
    Rule(
        "network-resolves-names",
        "The network resolves names, the services' own included.",
        "Set enable_dns_support and enable_dns_hostnames to True",
        _LEAK,
        (aws.VPC,),
        _resolves,
    ),
    Rule(
        "network-stands-alone",
        "No other network leads into the stack's.",
        "Share by roles and grants, as promotion does",
        _LEAK,
        JOINING,
        _joined,
    ),
    Rule(
        "access-list-has-no-way-in",
        "No network access list lets the internet in.",
        "Name the network's block as the source",
        Controls(cis=("5.2",), fsbp=("EC2.21",), gdpr=("32(1)(b)",), hipaa=("164.312(e)(1)",), app=("11.1",)),
        ("aws:ec2/networkAcl:NetworkAcl", "aws:ec2/defaultNetworkAcl:DefaultNetworkAcl"),
        _list_open,
    ),
)
