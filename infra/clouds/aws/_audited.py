"""What of the audit trail people are told of at once: the controls of CIS AWS 5.0, section 4, in six filters."""

from dataclasses import dataclass

__all__ = ["AUDITED", "Audited"]


@dataclass(frozen=True)
class Audited:
    """An alarm when `least` records within five minutes match the pattern of CloudWatch Logs."""

    name: str
    what: str
    pattern: str
    least: int = 1


def _any(*conditions: str) -> str:
    return f"{{ {' || '.join(conditions)} }}"


def _events(*names: str) -> list[str]:
    return [f"($.eventName = {name})" for name in names]


def _calls(service: str, *names: str) -> str:
    return f"(($.eventSource = {service}.amazonaws.com) && ({' || '.join(_events(*names))}))"


BUCKETS = (
    *("PutBucketAcl", "PutBucketPolicy", "PutBucketCors", "PutBucketLifecycle", "PutBucketReplication"),
    *("DeleteBucketPolicy", "DeleteBucketCors", "DeleteBucketLifecycle", "DeleteBucketReplication"),
)
RECORDERS = ("StopConfigurationRecorder", "DeleteDeliveryChannel", "PutDeliveryChannel", "PutConfigurationRecorder")
ROUTES = (
    *("CreateRoute", "CreateRouteTable", "ReplaceRoute", "ReplaceRouteTableAssociation"),
    *("DeleteRouteTable", "DeleteRoute", "DisassociateRouteTable"),
)

AUDITED = (
    Audited(
        "refused-calls",
        "calls were refused that nobody should make",  # CIS 4.1
        _any('($.errorCode = "*UnauthorizedOperation")', '($.errorCode = "AccessDenied*")'),
        least=10,
    ),
    Audited(
        "sign-ins",
        "somebody signed in as root, without a second factor, or in vain",  # CIS 4.2, 4.3, 4.6
        _any(
            '($.userIdentity.type = "Root" && $.userIdentity.invokedBy NOT EXISTS && $.eventType != "AwsServiceEvent")',
            '($.eventName = "ConsoleLogin" && $.additionalEventData.MFAUsed != "Yes" && '
            '$.userIdentity.type = "IAMUser" && $.responseElements.ConsoleLogin = "Success")',
            '($.eventName = ConsoleLogin && $.errorMessage = "Failed authentication")',
        ),
    ),
    Audited(
        "changed-rights",
        "a policy of an identity was changed",  # CIS 4.4
        _any(
            *_events("DeleteGroupPolicy", "DeleteRolePolicy", "DeleteUserPolicy"),
            *_events("PutGroupPolicy", "PutRolePolicy", "PutUserPolicy"),
            *_events("CreatePolicy", "DeletePolicy", "CreatePolicyVersion", "DeletePolicyVersion"),
            *_events("AttachRolePolicy", "DetachRolePolicy", "AttachUserPolicy", "DetachUserPolicy"),
            *_events("AttachGroupPolicy", "DetachGroupPolicy"),
        ),
    ),
    Audited(
        "changed-evidence",
        "a trail, a recorder, a key or a bucket's policy was changed or taken away",  # CIS 4.5, 4.7, 4.8, 4.9
        _any(
            *_events("CreateTrail", "UpdateTrail", "DeleteTrail", "StartLogging", "StopLogging"),
            _calls("kms", "DisableKey", "ScheduleKeyDeletion"),
            _calls("s3", *BUCKETS),
            _calls("config", *RECORDERS),
        ),
    ),
    Audited(
        "changed-doors",
        "a security group, a network list or a gateway was changed",  # CIS 4.10, 4.11, 4.12
        _any(
            *_events("AuthorizeSecurityGroupIngress", "AuthorizeSecurityGroupEgress"),
            *_events("RevokeSecurityGroupIngress", "RevokeSecurityGroupEgress"),
            *_events("CreateSecurityGroup", "DeleteSecurityGroup"),
            *_events("CreateNetworkAcl", "CreateNetworkAclEntry", "DeleteNetworkAcl", "DeleteNetworkAclEntry"),
            *_events("ReplaceNetworkAclEntry", "ReplaceNetworkAclAssociation"),
            *_events("CreateCustomerGateway", "DeleteCustomerGateway", "AttachInternetGateway"),
            *_events("CreateInternetGateway", "DeleteInternetGateway", "DetachInternetGateway"),
        ),
    ),
    Audited(
        "changed-routes",
        "a route or a network was changed",  # CIS 4.13, 4.14
        _any(
            _calls("ec2", *ROUTES),
            *_events("CreateVpc", "DeleteVpc", "ModifyVpcAttribute"),
            *_events("AcceptVpcPeeringConnection", "CreateVpcPeeringConnection", "DeleteVpcPeeringConnection"),
            *_events("RejectVpcPeeringConnection", "AttachClassicLinkVpc", "DetachClassicLinkVpc"),
            *_events("DisableVpcClassicLink", "EnableVpcClassicLink"),
        ),
    ),
)
