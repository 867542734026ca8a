"""Wrong programs of Google Cloud, with what their author is told."""

from collections.abc import Callable
from typing import Any

from tests.wrong_programs.clouds import Clouds


def gcp_subnets(clouds: Clouds, *blocks: str, delete: bool = False, **given: Any) -> Any:
    network = clouds.gcp.create("compute/network:Network", "n", name="net", autoCreateSubnetworks=False)["id"]
    for index, block in enumerate(blocks):
        wanted = {"name": f"sub-{index}", "network": network, "ipCidrRange": block} | given
        clouds.gcp.create("compute/subnetwork:Subnetwork", f"s-{index}", **wanted)
    return clouds.gcp.delete("compute/network:Network", "n", network) if delete else None


def forgotten_ring(clouds: Clouds) -> Any:
    ring = {"name": "mlops", "location": "europe-west3"}
    made = clouds.gcp.create("kms/keyRing:KeyRing", "r", **ring)
    clouds.gcp.delete("kms/keyRing:KeyRing", "r", made["id"])
    return clouds.gcp.create("kms/keyRing:KeyRing", "r", **ring)


GCP: dict[str, tuple[Callable[[Clouds], Any], str]] = {
    "no project": (
        lambda c: c.gcp.configure({}),
        "no project is configured: set gcp:project in the stack's file, or GOOGLE_PROJECT",
    ),
    "misspelt property": (
        lambda c: c.bucket(uniformBucketLevelAcess=True),
        "did you mean 'uniform_bucket_level_access'",
    ),
    "missing required": (lambda c: c.bucket(location=None), "location: is required and missing"),
    "wrong type": (lambda c: c.bucket(forceDestroy="maybe"), "forceDestroy: must be true or false"),
    "bucket's name": (lambda c: c.bucket(name="MLOps"), "'MLOps' is no name for a bucket"),
    "bucket named after google": (lambda c: c.bucket(name="my-google-data"), "no google in it"),
    "bucket taken in another project": (
        lambda c: (
            c.bucket(),
            c.gcp.configure({"project": "other-project"}),
            c.gcp.create("storage/bucket:Bucket", "c", name="mlops-store", location="EU"),
        ),
        "'mlops-store' is taken: there is gcp:storage/bucket:Bucket 'b' in the world",
    ),
    "storage class": (lambda c: c.bucket(storageClass="HOT"), "storageClass: 'HOT' is not one of STANDARD, NEARLINE"),
    "place": (lambda c: c.bucket(location="frankfurt"), "'frankfurt' is no place for buckets"),
    "label's key": (
        lambda c: c.bucket(labels={"Owner": "ml"}),
        "labels.Owner: the key 'Owner' is none that Google Cloud takes",
    ),
    "label's value": (
        lambda c: c.bucket(labels={"owner": "ML team"}),
        "labels.owner: 'ML team' is no value of a label",
    ),
    "account's id": (
        lambda c: c.gcp.create("serviceaccount/account:Account", "a", accountId="ml"),
        "'ml' is no id of a service account: 6 to 30",
    ),
    "member": (
        lambda c: (
            c.bucket(),
            c.gcp.create(
                "storage/bucketIAMMember:BucketIAMMember",
                "m",
                bucket="mlops-store",
                role="roles/viewer",
                member="me@example.com",
            ),
        ),
        "'me@example.com' is no member",
    ),
    "role": (
        lambda c: c.gcp.create(
            "projects/iAMMember:IAMMember", "m", project="mlops-dev", role="viewer", member="user:a@b.c"
        ),
        "'viewer' is no role, such as",
    ),
    "member of a bucket that isn't there": (
        lambda c: c.gcp.create(
            "storage/bucketIAMMember:BucketIAMMember", "m", bucket="gone", role="roles/viewer", member="user:a@b.c"
        ),
        "bucket refers to 'gone'",
    ),
    "enum of the published contract": (
        lambda c: c.gcp.create(
            "artifactregistry/repository:Repository",
            "r",
            repositoryId="images",
            format="DOKCER",
            location="europe-west3",
        ),
        "'DOKCER' is not one of .*DOCKER.*artifactregistry.v1:projects.locations.repositories.create",
    ),
    "purpose of a key": (
        lambda c: (
            c.gcp.create("kms/keyRing:KeyRing", "r", name="mlops", location="europe-west3"),
            c.gcp.create(
                "kms/cryptoKey:CryptoKey",
                "k",
                name="k",
                keyRing="projects/mlops-dev/locations/europe-west3/keyRings/mlops",
                purpose="ENCRYPT",
            ),
        ),
        "'ENCRYPT' is not one of .*ENCRYPT_DECRYPT",
    ),
    "rotation": (
        lambda c: c.gcp.create("kms/cryptoKey:CryptoKey", "k", name="k", keyRing="r", rotationPeriod="90d"),
        "'90d' is no number of seconds such as 7776000s",
    ),
    "key ring that can't be deleted": (forgotten_ring, "is taken for good: key rings and keys can't be deleted"),
    "network's name by its published pattern": (
        lambda c: c.gcp.create("compute/network:Network", "n", name="My_Net"),
        "'My_Net' doesn't match .*compute.v1:networks.insert",
    ),
    "subnets that overlap": (
        lambda c: gcp_subnets(c, "10.0.0.0/20", "10.0.8.0/24"),
        "10.0.8.0/24 overlaps 10.0.0.0/20",
    ),
    "block that is none": (lambda c: gcp_subnets(c, "10.0.0.0/33"), "is no block of IPv4 addresses"),
    "network in use": (
        lambda c: gcp_subnets(c, "10.0.0.0/20", delete=True),
        "can't be deleted: it is used by gcp:compute/subnetwork:Subnetwork 's-0'",
    ),
    "zone for a region": (
        lambda c: gcp_subnets(c, "10.0.0.0/20", region="europe-west3-a"),
        "'europe-west3-a' is no region",
    ),
    "no region": (
        lambda c: (c.gcp.configure({"project": "mlops-dev"}), gcp_subnets(c, "10.0.0.0/20")),
        "region: is needed here, or as gcp:region",
    ),
    "firewall without rules": (
        lambda c: (gcp_subnets(c), c.gcp.create("compute/firewall:Firewall", "f", network="net")),
        "exactly one of allows, denies is needed",
    ),
    "subscription to a topic that isn't there": (
        lambda c: c.gcp.create("pubsub/subscription:Subscription", "s", topic="gone"),
        "topic refers to 'gone'",
    ),
    "deadline": (
        lambda c: c.gcp.create("pubsub/subscription:Subscription", "s", topic="t", ackDeadlineSeconds=5),
        "5 is not between 10 and 600",
    ),
}
