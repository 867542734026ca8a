"""Keys and secrets: rotated, not public, and not gone by mistake."""

from collections.abc import Iterator

from infra.config import ENVIRONMENTS
from infra.policies.aws import _types as aws
from infra.policies.aws._policies import IDENTITY, is_ours, own_accounts
from infra.policies.aws.functions import looks_secret
from infra.policies.documents import statements
from infra.policies.rule import Controls, Resource, Rule, Stack

__all__ = ["RULES"]

DEFAULT_WINDOW_DAYS = 30  # what KMS and Secrets Manager take when nothing is said
LONGEST_ROTATION_DAYS = 365
NARROWING = ("kms:ViaService", "kms:ResourceAliases", "kms:RequestAlias")  # another account's key has no known ARN
ADMINISTERING = tuple(f"kms:{each}" for each in ("Put", "Schedule", "Cancel", "Disable", "Enable", "Update", "Delete"))
DECRYPTS = ("*", "kms:*", "kms:Decrypt", "kms:ReEncryptFrom", "kms:De*", "kms:Re*")


def _rotates(key: Resource) -> Iterator[str]:
    if key.values.at("keyUsage", "ENCRYPT_DECRYPT") != "ENCRYPT_DECRYPT":
        return  # what signs can't be rotated by KMS
    if key.values.at("enableKeyRotation") is not True:
        yield "the key is never rotated"
    days = key.values.at("rotationPeriodInDays", LONGEST_ROTATION_DAYS)
    if days > LONGEST_ROTATION_DAYS:
        yield f"the key is rotated every {days} days"


def _window(key: Resource) -> Iterator[str]:
    needed, days = (
        ENVIRONMENTS[key.environment].key_deletion_days,
        key.values.at("deletionWindowInDays", DEFAULT_WINDOW_DAYS),
    )
    if days < needed:
        yield f"a deleted key can be had back for {days} days, and {key.environment} needs {needed}"


def _not_public(key: Resource) -> Iterator[str]:
    for statement in statements(key, "policy"):
        if statement.allows and statement.is_for_everybody:
            yield f"everybody may {', '.join(statement.actions)} with the key"


def _named_keys(policy: Resource) -> Iterator[str]:
    for statement in statements(policy, IDENTITY[policy.type]):
        if statement.conditions_on(*NARROWING):
            continue
        decrypts = statement.allows and any(action in DECRYPTS for action in statement.actions)
        if decrypts and any(each == "*" or each.endswith(":key/*") for each in statement.resources):
            yield "the policy lets decrypt with every key of the account"


def _not_locked_out(key: Resource) -> Iterator[str]:
    if key.values.at("bypassPolicyLockoutSafetyCheck") is True:
        yield "the key's policy may lock everybody out, its administrators included"
    if key.values.at("isEnabled") is False:
        yield "the key is disabled: what is encrypted with it can't be read"


def _others(key: Resource, stack: Stack) -> Iterator[str]:
    """Another account may read what it is given; use it for more only under a condition, and administer it never."""
    if not (ours := own_accounts(stack)):
        return
    for statement in statements(key, "policy"):
        foreign = [who for kind, who in statement.principals if kind == "AWS" and who != "*" and not is_ours(who, ours)]
        given = ("kms:Decrypt", "kms:DescribeKey")
        more = [each for each in statement.actions if each not in given]
        barred = [each for each in more if each in ("*", "kms:*") or each.startswith(ADMINISTERING)]
        if statement.allows and foreign and (barred if statement.condition else more):
            yield f"{foreign[0]}, of another account, may {', '.join(more)}"


def _obeys(key: Resource, stack: Stack) -> Iterator[str]:
    """A key whose account may not change its policy can be mended by AWS's support alone."""
    if not (ours := own_accounts(stack)) or not key.values.has("policy"):
        return  # without a policy KMS gives it to the account
    masters = [
        who
        for statement in statements(key, "policy")
        if statement.allows and {"kms:PutKeyPolicy", "kms:*", "*"} & set(statement.actions)
        for kind, who in statement.principals
        if kind == "AWS" and is_ours(who, ours)
    ]
    if not masters:
        yield "nobody of the stack's account may change the key's policy"


def _clear_parameter(parameter: Resource) -> Iterator[str]:
    value = str(parameter.values.at("value", ""))
    if parameter.values.at("type") != "SecureString" and looks_secret(str(parameter.values.at("name", "")), value):
        yield "a secret lies in clear in the parameter store"


def _secret(secret: Resource) -> Iterator[str]:
    if not secret.values.has("kmsKeyId"):
        yield "the secret is encrypted with AWS's key for all secrets of the account"
    if secret.values.at("recoveryWindowInDays", DEFAULT_WINDOW_DAYS) == 0 and secret.environment != "dev":
        yield "a deleted secret can't be had back"


RULES: tuple[Rule, ...] = (
    Rule(
        "key-is-rotated",
        "Every key that encrypts is rotated at least once a year.",
        "Set enable_key_rotation to True, and rotation_period_in_days to 365 or less",
        Controls(cis=("3.6",), fsbp=("KMS.4",), gdpr=("32(1)(a)",), hipaa=("164.312(a)(2)(iv)",), app=("11.1",)),
        (aws.KEY,),
        _rotates,
    ),
    Rule(
        "key-can-be-had-back",
        "A deleted key can be had back for as long as the environment says.",
        "Set deletion_window_in_days to key_deletion_days of the environment (infra/config/environments.py)",
        Controls(fsbp=("KMS.3",), gdpr=("32(1)(c)",), hipaa=("164.308(a)(7)(ii)(B)",), app=("11.1",)),
        (aws.KEY,),
        _window,
    ),
    Rule(
        "key-is-not-public",
        "No key's policy gives anything to everybody.",
        "Name the account or the services as Principal",
        Controls(fsbp=("KMS.5",), gdpr=("32(1)(b)",), hipaa=("164.312(a)(1)",), app=("11.1",)),
        (aws.KEY,),
        _not_public,
    ),
    Rule(
        "key-locks-nobody-out",
        "Every key is enabled and leaves its administrators in.",
        "Remove bypass_policy_lockout_safety_check and is_enabled",
        Controls(fsbp=("KMS.3",), gdpr=("32(1)(b)", "32(1)(c)"), hipaa=("164.308(a)(7)(ii)(B)",), app=("11.1",)),
        (aws.KEY,),
        _not_locked_out,
    ),
    Rule(
        "key-gives-others-no-power",
        "Other accounts may read with a key, use it for more only under a condition, and administer it never.",
        "Allow them kms:Decrypt and kms:DescribeKey, or add a condition that says on whose behalf they act",
        Controls(gdpr=("32(1)(b)",), hipaa=("164.312(a)(1)",), app=("8", "11.1")),
        (aws.KEY,),
        check_among=_others,
    ),
    Rule(
        "key-obeys-its-account",
        "A key's policy lets its own account change it.",
        "Allow the account's root what for_the_account of infra/clouds/aws/keys.py does",
        Controls(gdpr=("32(1)(c)",), hipaa=("164.308(a)(7)(ii)(B)",), app=("11.1",)),
        (aws.KEY,),
        check_among=_obeys,
    ),
    Rule(
        "parameter-holds-no-secret-in-clear",
        "A secret in the parameter store is encrypted.",
        "Set type to SecureString with key_id, or use a secretsmanager.Secret",
        Controls(gdpr=("32(1)(a)",), hipaa=("164.312(a)(2)(iv)",), app=("11.1",)),
        (aws.PARAMETER,),
        _clear_parameter,
    ),
    Rule(
        "policy-names-its-keys",
        "No identity may decrypt with every key, unless through one service or by an alias.",
        "Name the ARNs of the keys as Resource, or add a condition on kms:ViaService or kms:ResourceAliases",
        Controls(fsbp=("KMS.1", "KMS.2"), gdpr=("32(1)(b)",), hipaa=("164.312(a)(1)",), app=("11.1",)),
        tuple(IDENTITY),
        _named_keys,
    ),
    Rule(
        "secret-has-own-key-and-comes-back",
        "Every secret is encrypted with a key of the stack, and outside DEV a deleted one can be had back.",
        "Set kms_key_id to a key of the stack, and recovery_window_in_days to 7 or more",
        Controls(gdpr=("32(1)(a)", "32(1)(c)"), hipaa=("164.312(a)(2)(iv)", "164.312(d)"), app=("11.1",)),
        (aws.SECRET,),
        _secret,
    ),
)
