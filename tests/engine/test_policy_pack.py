"""The policy pack inside the real engine: what it refuses, in which words, and that a shipped stack is accepted."""

import subprocess
import sys
from pathlib import Path

from infra.engine.environ import PROJECT
from infra.policies import PACK
from tests.simulated_engine import simulation

BROKEN = """\
import pulumi_aws as aws

key = aws.kms.Key("key", deletion_window_in_days=7)
store = aws.s3.Bucket("store", bucket="mlops-a-store", force_destroy=True)
aws.s3.BucketServerSideEncryptionConfiguration("sealed", bucket=store.bucket, rules=[
    {"apply_server_side_encryption_by_default": {"sse_algorithm": "aws:kms", "kms_master_key_id": key.arn}}])
door = [{"protocol": "tcp", "from_port": 22, "to_port": 22, "cidr_blocks": ["0.0.0.0/0"]}]
aws.ec2.SecurityGroup("door", description="A door", ingress=door)
"""
SENTENCES = (
    "[mandatory]  key-is-rotated  (aws:kms:Key: key)",
    "The key is never rotated. Set enable_key_rotation to True, and rotation_period_in_days to 365 or less.",
    "A deleted key can be had back for 7 days, and prod needs 30.",
    "[mandatory]  bucket-refuses-clear-text  (aws:s3:Bucket: store)",
    "[mandatory]  what-keeps-is-protected  (aws:s3:Bucket: store)",
    "Port 22 can be reached from 0.0.0.0/0, the whole internet.",
    "[mandatory]  budget-is-there  (pulumi:pulumi:Stack: program-some-prod)",
    "What the provider makes has no tag project, stack",
)
KEPT = ("bucket-uses-own-key", "bucket-is-encrypted", "group-is-described")  # as far as a preview knows


def test_a_broken_program_is_refused_at_preview_with_sentences(tmp_path: Path) -> None:
    with simulation(tmp_path, program=BROKEN, moto=False) as clouds:
        clouds.pulumi("stack", "init", stack="some-prod")
        clouds.pulumi("config", "set", "aws:region", "eu-central-1", stack="some-prod")
        clouds.pulumi("preview", stack="some-prod")  # which is well without the pack
        said = clouds.pulumi("preview", "--policy-pack", str(PACK), stack="some-prod", fails=True)
    for sentence in SENTENCES:
        assert sentence in said
    for rule in KEPT:
        assert rule not in said
    assert "Traceback" not in said
    assert "can't run policy" not in said


def test_a_shipped_stack_is_made_whole_and_keeps_every_rule() -> None:
    """With a release the same is seen where a stack lives its whole life (life.py)."""
    command = [sys.executable, "-m", "pipelines.policies", "--stack", "aws-sagemaker-prod"]
    judged = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=300)
    assert judged.returncode == 0, judged.stdout + judged.stderr
    assert "every rule is kept" in judged.stderr
    refused = subprocess.run([*command[:-1], "local-dev"], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "There are no rules for local yet, only for aws." in refused.stderr
