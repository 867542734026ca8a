"""Identities: roles that name their actions and resources, trusted by few, and no key that can be stolen."""

import re
from collections.abc import Iterable, Iterator

from infra.policies.aws import _types as aws
from infra.policies.aws._policies import DOCUMENTS, IDENTITY, is_ours, own_accounts
from infra.policies.documents import Statement, statements
from infra.policies.rule import Controls, Resource, Rule, Stack

__all__ = ["RULES"]

SERVICES = {  # who takes the role that a resource of this module is given
    "aws:sagemaker": "sagemaker.amazonaws.com",
    "aws:lambda": "lambda.amazonaws.com",
    "aws:scheduler": "scheduler.amazonaws.com",
    "aws:s3": "s3.amazonaws.com",
}
GIVEN_AS = ("pipelineDefinition", "roleArn", "executionRoleArn", "role", "target", "monitoringScheduleConfig")
LONGEST_SESSION_S = 3600
BROAD_POLICIES = re.compile(r"(AdministratorAccess|PowerUserAccess|FullAccess|IAMFullAccess|ReadOnlyAccess)")
# Actions for which AWS knows no resource (the service authorization reference), so that * is all one can say.
RESOURCELESS = re.compile(
    r"ecr:GetAuthorizationToken|sts:GetCallerIdentity|cloudwatch:PutMetricData|xray:Put\w+|"
    r"ec2:(Describe\w+|(Create|Delete)NetworkInterface\w*|(Assign|Unassign)PrivateIpAddresses)|"
    r"batch:(Describe|List)\w+|logs:DescribeLogGroups|ecr-public:GetAuthorizationToken"
)
ESCALATING = re.compile(
    r"iam:(CreatePolicyVersion|SetDefaultPolicyVersion|(Attach|Put)\w+Policy|CreateAccessKey|CreateLoginProfile|"
    r"UpdateLoginProfile|UpdateAssumeRolePolicy|AddUserToGroup|DeleteRolePermissionsBoundary)|"
    r"organizations:\w+|sts:AssumeRoot"
)
EVERYTHING = re.compile(r"\*|arn:[^:]*:s3:::\*(/\*)?|arn:[^:]*:(?!s3:)[^:]*:[^:]*:[^:]*:(\*|[\w-]+[:/]\*)")
CONFUSED_DEPUTY = ("aws:SourceAccount", "aws:SourceArn", "aws:SourceOrgID")
# They don't say for whom they take a role. Of CloudTrail AWS writes so ("Role policy document for CloudTrail to use
# CloudWatch Logs"); of what ECR takes for a repository creation template it names no such key.
SILENT = {"cloudtrail.amazonaws.com", "ecr.amazonaws.com"}


def _allowed(resource: Resource) -> Iterator[Statement]:
    path = IDENTITY.get(resource.type)
    paths = [path] if path else []
    yield from (each for path in paths for each in statements(resource, path) if each.allows)
    for inline in resource.values.each("inlinePolicies") if resource.type == aws.ROLE else []:
        held = Resource(aws.ROLE_POLICY, resource.name, inline.properties)
        yield from (each for each in statements(held, "policy") if each.allows)


def _no_wildcard_action(resource: Resource) -> Iterator[str]:
    for statement in _allowed(resource):
        if broad := [action for action in statement.actions if "*" in action]:
            yield f"the policy allows {', '.join(broad)}"


def _named_resources(resource: Resource) -> Iterator[str]:
    for statement in _allowed(resource):
        open_ = [action for action in statement.actions if not RESOURCELESS.fullmatch(action)]
        if open_ and not statement.condition and any(EVERYTHING.fullmatch(each) for each in statement.resources):
            yield f"the policy allows {', '.join(open_[:4])}{' and more' if len(open_) > 4 else ''} on every resource"


def _positive(resource: Resource) -> Iterator[str]:
    for statement in statements(resource, DOCUMENTS[resource.type]):
        if statement.allows and statement.negated:
            yield f"the policy allows by {', '.join(statement.negated)}: everything but what is named"


def _no_escalation(resource: Resource) -> Iterator[str]:
    for statement in _allowed(resource):
        if found := [action for action in statement.actions if ESCALATING.fullmatch(action)]:
            yield f"whoever has the role may give itself more, by {', '.join(found)}"


def _narrow_pass(resource: Resource) -> Iterator[str]:
    for statement in _allowed(resource):
        if "iam:PassRole" in statement.actions:
            if any("*" in each for each in statement.resources):
                yield "any role may be handed to a service"
            elif not statement.conditions_on("iam:PassedToService"):
                yield "the role may be handed to any service"


def _no_broad_policy(attachment: Resource) -> Iterator[str]:
    arns = attachment.values.texts("policyArn") + attachment.values.texts("managedPolicyArns")
    if broad := [arn.rpartition("/")[2] for arn in arns if BROAD_POLICIES.search(arn)]:
        yield f"AWS's policy {', '.join(broad)} is attached, which allows whole services"


def _known_trust(role: Resource) -> Iterator[str]:
    for statement in statements(role, "assumeRolePolicy"):
        if not statement.allows:
            continue
        if ("AWS", "*") in statement.principals:
            yield "everybody may take the role"
        by_service = any(kind == "Service" and who not in SILENT for kind, who in statement.principals)
        if by_service and not statement.conditions_on(*CONFUSED_DEPUTY):
            yield "a service may take the role on behalf of any account"


def _bound_strangers(role: Resource, stack: Stack) -> Iterator[str]:
    if not (ours := own_accounts(stack)):
        return
    for statement in statements(role, "assumeRolePolicy"):
        foreign = [who for kind, who in statement.principals if kind == "AWS" and who != "*" and not is_ours(who, ours)]
        if statement.allows and foreign and not statement.conditions_on("sts:ExternalId"):
            yield f"{foreign[0]}, of another account, may take the role for whomever it likes"


def _exact_claims(role: Resource) -> Iterator[str]:
    for statement in statements(role, "assumeRolePolicy"):
        for _, provider in (each for each in statement.principals if each[0] == "Federated"):
            if "saml-provider" in provider:
                continue
            claims = [(op, key, str(value)) for op, each in statement.condition.items() for key, value in each.items()]
            for claim in ("aud", "sub"):
                found = [(op, value) for op, key, value in claims if key.endswith(f":{claim}")]
                if not found:
                    yield f"tokens are believed whatever their {claim}"
                yield from (
                    f"tokens with any {claim} like {v} are believed"
                    for op, v in found
                    if "*" in v or op == "StringLike"
                )


def _trusts_its_users(role: Resource, stack: Stack) -> Iterator[str]:
    """A service that is given a role which it may not take fails when it first runs, not when it is made."""
    trusted = {who for statement in statements(role, "assumeRolePolicy") for _, who in statement.principals}
    for resource in stack.resources:
        service = SERVICES.get(resource.type.partition("/")[0])
        if service in (None, *trusted):
            continue
        if any(role.name in resource.sources.get(key, ()) for key in GIVEN_AS):
            yield f"the role is given to {resource.name!r}, and {service} may not take it"


def _no_users(resource: Resource) -> Iterable[str]:
    return ["people or programs come with a password or a key that can be stolen"]


def _short_session(role: Resource) -> Iterator[str]:
    seconds = role.values.at("maxSessionDuration", LONGEST_SESSION_S)
    if seconds > LONGEST_SESSION_S:
        yield f"who takes the role keeps it for {seconds // 3600} hours"


def _access(cis: tuple[str, ...] = (), fsbp: tuple[str, ...] = ()) -> Controls:
    return Controls(
        cis, fsbp, gdpr=("32(1)(b)", "32(4)"), hipaa=("164.312(a)(1)", "164.308(a)(4)(ii)(B)"), app=("11.1",)
    )


def _for_an_audience(provider: Resource) -> Iterator[str]:
    if any("*" in each for each in provider.values.texts("clientIdLists")):
        yield "tokens are believed whoever they were made for"


_POLICIES = (*IDENTITY, aws.ROLE)

RULES: tuple[Rule, ...] = (
    Rule(
        "policy-names-its-actions",
        "No identity may do whatever begins alike.",
        "Name each action that is used",
        _access(cis=("1.15",), fsbp=("IAM.1", "IAM.21")),
        _POLICIES,
        _no_wildcard_action,
    ),
    Rule(
        "policy-names-its-resources",
        "An identity may act on every resource only where the action knows none, or where a condition says which.",
        "Name the ARNs as Resource, or add a condition",
        _access(cis=("1.15",), fsbp=("IAM.1",)),
        _POLICIES,
        _named_resources,
    ),
    Rule(
        "policy-names-what-it-allows",
        "No policy allows everything but something.",
        "Use Action, Resource and Principal",
        _access(fsbp=("IAM.1",)),
        tuple(DOCUMENTS),
        _positive,
    ),
    Rule(
        "policy-gives-no-more-power",
        "No identity of a stack may give itself or others more.",
        "Leave the administration of identities to the role that deploys",
        _access(),
        _POLICIES,
        _no_escalation,
    ),
    Rule(
        "policy-passes-named-roles",
        "A role is handed to one kind of service, and by name.",
        "Name the role as Resource, and the service in a condition on iam:PassedToService",
        _access(),
        _POLICIES,
        _narrow_pass,
    ),
    Rule(
        "policy-is-not-aws-own-broad-one",
        "No role has one of AWS's policies for whole services.",
        "Write a policy with the actions that are used",
        _access(cis=("1.15",), fsbp=("IAM.1",)),
        (aws.ATTACHMENT, aws.ROLE),
        _no_broad_policy,
    ),
    Rule(
        "role-trusts-known-callers",
        "A role is taken by named identities, and by services only for this account.",
        "Name the identities; for a service add a condition on aws:SourceAccount or aws:SourceArn",
        _access(),
        (aws.ROLE,),
        _known_trust,
    ),
    Rule(
        "role-binds-other-accounts",
        "Another account takes a role only with an external id.",
        "Add a condition on sts:ExternalId, or remove the principal",
        _access(),
        (aws.ROLE,),
        check_among=_bound_strangers,
    ),
    Rule(
        "role-trusts-what-uses-it",
        "A service that is given a role may take it.",
        "Name the service as Principal of the role's assume_role_policy",
        _access(),
        (aws.ROLE,),
        check_among=_trusts_its_users,
    ),
    Rule(
        "role-believes-one-pipeline",
        "A token of a CI system is believed for one audience and one subject, never for a pattern.",
        "State aud and sub with StringEquals, without wildcards",
        Controls(cis=("1.20",), gdpr=("32(1)(b)",), hipaa=("164.312(d)",), app=("11.1",)),
        (aws.ROLE,),
        _exact_claims,
    ),
    Rule(
        "tokens-are-for-an-audience",
        "A CI system's tokens are believed that were made for AWS.",
        "Set client_id_lists to sts.amazonaws.com",
        Controls(cis=("1.20",), gdpr=("32(1)(b)",), hipaa=("164.312(d)",), app=("11.1",)),
        (aws.OIDC_PROVIDER,),
        _for_an_audience,
    ),
    Rule(
        "role-is-held-for-an-hour",
        "Nobody holds a role for longer than an hour.",
        "Set max_session_duration to 3600 or remove it",
        Controls(gdpr=("32(1)(b)",), hipaa=("164.312(a)(1)",), app=("11.1",)),
        (aws.ROLE,),
        _short_session,
    ),
    Rule(
        "identity-has-no-stored-key",
        "There are no users, no groups of them, access keys and passwords.",
        "Give the workload a role, and people single sign-on",
        Controls(
            cis=("1.13", "1.20"), fsbp=("IAM.2", "IAM.3"), gdpr=("32(1)(b)",), hipaa=("164.312(d)",), app=("11.1",)
        ),
        (aws.USER, aws.ACCESS_KEY, aws.LOGIN, "aws:iam/group:Group"),
        _no_users,
    ),
)
