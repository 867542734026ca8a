"""Programs that keep and break the rules of: network, identity."""

from infra.policies.aws import _types as aws
from tests.policy_cases.programs import (
    CLAIMS,
    FEDERATED,
    OIDC,
    OURS,
    ROLE_ARN,
    Cases,
    allow,
    doc,
    egress,
    entry,
    ingress,
    it,
    role_policy,
    subnet,
    trust,
    vpc,
)

__all__ = ["CASES"]

CASES: Cases = {
    "tokens-are-for-an-audience": (
        [it(aws.OIDC_PROVIDER, clientIdLists=["sts.amazonaws.com"])],
        [[it(aws.OIDC_PROVIDER, clientIdLists=["*"])]],
    ),
    "door-names-its-port": (
        [it(aws.INGRESS, cidrIpv4="10.0.0.0/16", ipProtocol="tcp", fromPort=443, toPort=443)],
        [
            [it(aws.INGRESS, cidrIpv4="10.0.0.0/16", ipProtocol="-1")],
            [it(aws.GROUP, ingress=[{"cidrBlocks": ["10.0.0.0/16"], "protocol": "-1"}])],
        ],
    ),
    "network-leads-to-its-services": (
        [it(aws.VPC), it(aws.KEY), it(aws.ENTRY, serviceName="com.amazonaws.eu-west-1.kms")],
        [
            [it(aws.VPC), it(aws.KEY)],
            [it(aws.VPC), it(aws.LOG_GROUP), it(aws.ENTRY, serviceName="com.amazonaws.eu-west-1.kms")],
        ],
    ),
    "gateway-stands-in-routes": (
        [it(aws.ENTRY, vpcEndpointType="Gateway", routeTableIds=["rtb-1"])],
        [[it(aws.ENTRY, vpcEndpointType="Gateway", routeTableIds=[])], [it(aws.ENTRY)]],
    ),
    # network
    "group-has-no-way-in": (
        ingress(cidrIpv4="10.0.0.0/8"),
        [
            ingress(cidrIpv4="0.0.0.0/0"),
            ingress(cidrIpv4="128.0.0.0/1", ipProtocol="-1"),
            ingress(cidrIpv6="::/0"),
            [it(aws.GROUP, ingress=[{"protocol": "tcp", "fromPort": 1, "toPort": 9, "cidrBlocks": ["0.0.0.0/0"]}])],
            [it(aws.GROUP_RULE, type="ingress", protocol="tcp", fromPort=1, toPort=9, cidrBlocks=["0.0.0.0/0"])],
        ],
    ),
    "group-has-no-way-out": (
        egress(cidrIpv4="10.0.0.0/16"),
        [egress(cidrIpv4="0.0.0.0/0"), [it(aws.GROUP, egress=[{"protocol": "-1", "cidrBlocks": ["0.0.0.0/0"]}])]],
    ),
    "group-is-described": ([it(aws.GROUP, description="Jobs")], [[it(aws.GROUP)], ingress(description=None)]),
    "default-group-is-closed": (
        vpc(it(aws.DEFAULT_GROUP, vpcId=("vpc", "vpc-1"))),
        [vpc(), vpc(it(aws.DEFAULT_GROUP, vpcId=("vpc", "vpc-1"), ingress=[{"protocol": "-1", "self": True}]))],
    ),
    "network-is-recorded": (
        vpc(it(aws.FLOW_LOG, vpcId=("vpc", "vpc-1"), trafficType="ALL")),
        [vpc(), vpc(it(aws.FLOW_LOG, vpcId=("vpc", "vpc-1"), trafficType="REJECT"))],
    ),
    "network-spans-zones": (vpc(subnet("eu-west-1a"), subnet("eu-west-1b")), [vpc(subnet("eu-west-1a"))]),
    "subnet-gives-no-public-address": (
        [subnet("eu-west-1a")],
        [[it(aws.SUBNET, vpcId="vpc-1", mapPublicIpOnLaunch=True)]],
    ),
    "network-has-no-gateway": (vpc(), [[it(aws.GATEWAY, vpcId="vpc-1")], [it(aws.NAT, subnetId="subnet-1")]]),
    "entry-point-is-narrow": (
        entry(policy=doc(allow("kms:Decrypt", "*", Principal={"AWS": "*"}, Condition=OURS))),
        [
            entry(),
            entry(policy=doc(allow("*", "*", Principal="*", Condition=OURS))),
            entry(policy=doc(allow("kms:Decrypt", "*", Principal="*"))),
        ],
    ),
    "entry-point-is-redundant": (entry(subnetIds=["a", "b"]), [entry(subnetIds=["a"]), entry()]),
    "access-list-has-no-way-in": (
        [it("aws:ec2/networkAcl:NetworkAcl", vpcId="vpc-1", ingress=[{"action": "allow", "cidrBlock": "10.0.0.0/16"}])],
        [[it("aws:ec2/networkAcl:NetworkAcl", vpcId="v", ingress=[{"action": "allow", "cidrBlock": "0.0.0.0/0"}])]],
    ),
    # identity
    "policy-names-its-actions": (
        role_policy(allow("s3:GetObject")),
        [
            role_policy(allow("s3:Get*")),
            role_policy(allow("*", "*")),
            [it(aws.ROLE, assumeRolePolicy="{}", inlinePolicies=[{"name": "x", "policy": doc(allow("s3:*"))}])],
        ],
    ),
    "policy-names-its-resources": (
        role_policy(allow("s3:GetObject", "arn:aws:s3:::store/*"), allow("ecr:GetAuthorizationToken", "*")),
        [
            role_policy(allow("s3:GetObject", "*")),
            role_policy(allow("s3:GetObject", "arn:aws:s3:::*")),
            role_policy(allow("sagemaker:DeleteModel", "arn:aws:sagemaker:eu-west-1:1:model/*")),
        ],
    ),
    "policy-names-what-it-allows": (
        role_policy(allow("s3:GetObject")),
        [role_policy({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"})],
    ),
    "policy-gives-no-more-power": (
        role_policy(allow("iam:GetRole", ROLE_ARN)),
        [role_policy(allow(a, ROLE_ARN)) for a in ("iam:PutRolePolicy", "iam:CreateAccessKey", "iam:AttachRolePolicy")],
    ),
    "policy-passes-named-roles": (
        role_policy(allow("iam:PassRole", ROLE_ARN, Condition={"StringEquals": {"iam:PassedToService": "x"}})),
        [role_policy(allow("iam:PassRole", ROLE_ARN)), role_policy(allow("iam:PassRole", "arn:aws:iam::1:role/*"))],
    ),
    "policy-is-not-aws-own-broad-one": (
        [
            it(
                aws.ATTACHMENT,
                role="r",
                policyArn="arn:aws:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole",
            )
        ],
        [[it(aws.ATTACHMENT, role="r", policyArn=f"arn:aws:iam::aws:policy/{n}")] for n in ("AdministratorAccess",)],
    ),
    "role-trusts-known-callers": (
        [it(aws.ROLE, assumeRolePolicy=trust({"Service": "sagemaker.amazonaws.com"}, OURS))],
        [
            [it(aws.ROLE, assumeRolePolicy=trust({"AWS": "*"}))],
            [it(aws.ROLE, assumeRolePolicy=trust({"Service": "sagemaker.amazonaws.com"}))],
            [
                it(
                    aws.ROLE,
                    assumeRolePolicy=trust(
                        {"Service": "sagemaker.amazonaws.com"}, {"StringEquals": {"aws:PrincipalTag/team": "ml"}}
                    ),
                )
            ],
        ],
    ),
    "role-trusts-what-uses-it": (
        [
            it(aws.ROLE, "r", assumeRolePolicy=trust({"Service": "sagemaker.amazonaws.com"}, OURS)),
            it(aws.MODEL, executionRoleArn=("r", ROLE_ARN)),
        ],
        [
            [
                it(aws.ROLE, "r", assumeRolePolicy=trust({"Service": "lambda.amazonaws.com"}, OURS)),
                it(aws.MODEL, executionRoleArn=("r", ROLE_ARN)),
            ]
        ],
    ),
    "role-believes-one-pipeline": (
        [it(aws.ROLE, assumeRolePolicy=trust(FEDERATED, {"StringEquals": CLAIMS}, OIDC))],
        [
            [it(aws.ROLE, assumeRolePolicy=trust(FEDERATED, {"StringEquals": {"h:aud": "x"}}, OIDC))],
            [it(aws.ROLE, assumeRolePolicy=trust(FEDERATED, {"StringLike": CLAIMS | {"h:sub": "repo:a/*"}}, OIDC))],
            [it(aws.ROLE, assumeRolePolicy=trust(FEDERATED, None, OIDC))],
        ],
    ),
    "role-is-held-for-an-hour": (
        [it(aws.ROLE, assumeRolePolicy="{}")],
        [[it(aws.ROLE, assumeRolePolicy="{}", maxSessionDuration=43200)]],
    ),
    "identity-has-no-stored-key": ([], [[it(aws.USER)], [it(aws.ACCESS_KEY, user="u")], [it(aws.LOGIN, user="u")]]),
}
