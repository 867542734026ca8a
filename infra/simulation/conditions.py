"""What a bucket's policy says under a condition, in moto's server: nothing.

moto knows nothing of a request that a condition could be about, and refuses whatever a statement with one speaks of:
`Deny` without TLS would close a bucket to everybody. So such statements are kept and shown, and not applied.
"""

import json
from typing import Any

__all__ = ["leave_out_conditional_statements"]


def leave_out_conditional_statements() -> None:
    """Have moto's buckets judge by the statements without a condition alone, in this process."""
    from moto.iam.access_control import IAMPolicy, PermissionResult
    from moto.s3.models import FakeBucket

    def get_permission(bucket: Any, action: str, resource: str) -> Any:
        if bucket.policy is None:
            return PermissionResult.NEUTRAL
        policy = json.loads(bucket.policy)
        statements = policy["Statement"] if isinstance(policy["Statement"], list) else [policy["Statement"]]
        applied = [statement for statement in statements if "Condition" not in statement]
        return IAMPolicy(json.dumps(policy | {"Statement": applied})).is_action_permitted(action, resource)

    FakeBucket.get_permission = get_permission  # pyright: ignore[reportAttributeAccessIssue]
