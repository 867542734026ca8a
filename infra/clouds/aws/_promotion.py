"""What a release passes through on its way to the next environment's account: known by name on both sides.

Both accounts must say yes: the one that lends, in the policies of its bucket, key and repository, and the one that
borrows, in the policy of the role that promotes there.
"""

from collections.abc import Sequence

from infra.clouds.aws import _actions as actions
from infra.clouds.aws._account import bucket_arn, bucket_of, partition, settings
from infra.clouds.aws._names import IMAGE, LONGEST_REPOSITORY_NAME, STORE
from infra.clouds.aws._policy import Statement, allow
from infra.config import StackConfig
from infra.naming import physical

__all__ = ["PROMOTED", "PROMOTED_PREFIXES", "borrows"]

# A bundle, who signed it, what was said of it, and the quality reports of its data: not the data. The bare prefixes
# too: a client first asks whether one is an object, and a refusal is no "no".
PROMOTED = ("bundles", "bundles/*", "signatures", "signatures/*", "ledger", "ledger/*", "data/*.quality.json")
PROMOTED_PREFIXES = ("bundles/*", "signatures/*", "ledger/*", "data/*")


def borrows(config: StackConfig) -> Sequence[Statement]:
    """Read what the previous environment lends: releases and their image, and nothing else."""
    account = settings(config)
    before, previous = account.previous_account_id, config.environment.previous
    if before is None or previous is None:
        return []
    stack = f"{config.stack.removesuffix(config.environment.name)}{previous}"
    bucket = bucket_arn(config, bucket_of(stack, STORE, before, account.region))
    repository = physical(stack, IMAGE, maximum_length=LONGEST_REPOSITORY_NAME)
    there = f"arn:{partition(config)}:{{}}:{account.region}:{before}:{{}}"
    through_s3 = {"StringEquals": {"kms:ViaService": f"s3.{account.region}.amazonaws.com"}}
    return [
        allow("PreviousList", ["s3:ListBucket"], [bucket], when={"StringLike": {"s3:prefix": list(PROMOTED_PREFIXES)}}),
        allow("PreviousRead", ["s3:GetObject"], [f"{bucket}/{key}" for key in PROMOTED]),
        allow("PreviousKey", ["kms:Decrypt"], [there.format("kms", "key/*")], when=through_s3),
        allow("PreviousImage", actions.PULL_IMAGE, [there.format("ecr", f"repository/{repository}")]),
    ]
