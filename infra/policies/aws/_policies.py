"""Where AWS keeps policy documents: (type, path of the document)."""

from infra.policies.aws import _types as aws

__all__ = ["DOCUMENTS", "IDENTITY", "SHARED"]

IDENTITY = {aws.ROLE_POLICY: "policy", aws.POLICY: "policy"}  # what an identity may do
SHARED = {  # who may use a thing
    aws.BUCKET_POLICY: "policy",
    aws.KEY: "policy",
    aws.TOPIC_POLICY: "policy",
    aws.TOPIC: "policy",
    aws.QUEUE_POLICY: "policy",
    aws.QUEUE: "policy",
    aws.REPOSITORY_POLICY: "policy",
    aws.SECRET: "policy",
}
DOCUMENTS = IDENTITY | SHARED | {aws.ENTRY: "policy", aws.ROLE: "assumeRolePolicy"}
