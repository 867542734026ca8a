"""What only the `aws` cloud has: the account, its regions, and what is shared with other accounts."""

from ipaddress import IPv4Network
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["PARTITIONS", "AwsSettings"]

PARTITIONS = {"cn": "aws-cn", "us-gov": "aws-us-gov"}  # by the beginning of the region; else aws

AccountId = Annotated[str, Field(pattern=r"^\d{12}$")]
Region = Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")]
Zone = Annotated[str, Field(pattern=r"^[a-z]$")]


class AwsSettings(BaseModel):
    """Each environment has an account of its own; nothing is deployed into another account than `account_id`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    account_id: AccountId = Field(description="The account, 12 digits in quotes")
    region: Region = Field(default="eu-west-1", description="Where everything is")
    replica_region: Region | None = Field(default=None, description="Where the store and the images are copied to")
    zones: tuple[Zone, Zone, Zone] = Field(default=("a", "b", "c"), description="The letters of three zones")
    cidr: IPv4Network | None = Field(default=None, description="The network, /16 to /20; else the environment's own")
    next_account_id: AccountId | None = Field(
        default=None, description="The next environment's account: it may read releases here, to be promoted to"
    )
    previous_account_id: AccountId | None = Field(
        default=None, description="The previous environment's account, in the same region: releases come from there"
    )
    roles_are_bounded: bool = Field(
        default=False, description="Every role gets the boundary that `mlops permissions` prints; make it first"
    )
    account_is_shared: bool = Field(
        default=False, description="Another stack of this account makes what an account has once"
    )

    cost_tag_is_activated: bool = Field(
        default=False,
        description="Activate the tag `stack` for budgets; only where the account pays its own bill, a day after `up`",
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.replica_region == self.region:
            raise ValueError(f"replica_region is the region itself, {self.region}; name another, or remove it")
        if len(set(self.zones)) != len(self.zones):
            raise ValueError(f"zones are {', '.join(self.zones)}; name three different ones")
        if self.cidr is not None and not 16 <= self.cidr.prefixlen <= 20:
            raise ValueError(f"cidr is {self.cidr}; three subnets and their services need a network of /16 to /20")
        if self.next_account_id == self.account_id:
            raise ValueError("next_account_id is the account itself; promotion inside one account needs no grant")
        if self.previous_account_id == self.account_id:
            raise ValueError("previous_account_id is the account itself; each environment has one of its own")
        return self
