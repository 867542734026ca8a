"""The picture of a plan: what is in it, in which order, and what it may not draw."""

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from infra.simulation.picture import draw
from infra.simulation.plan import Component, components_of

STACK = "urn:pulumi:dev::mlops::pulumi:pulumi:Stack::mlops-dev"


def planned(type_: str, name: str, parent: str, step: str = "create", **goal: Any) -> dict[str, Any]:
    urn = f"urn:pulumi:dev::mlops::{type_}::{name}"
    return {
        urn: {
            "goal": {"custom": not type_.rpartition("$")[2].startswith("mlops:"), "parent": parent} | goal,
            "steps": [step],
        }
    }


def plan(folder: Path) -> Path:
    vpc = "urn:pulumi:dev::mlops::mlops:aws:Network$aws:ec2/vpc:Vpc::network-vpc"
    network = "urn:pulumi:dev::mlops::mlops:aws:Network::network"
    resources = (
        {STACK: {"goal": {"custom": False}, "steps": ["create"]}}
        | planned("pulumi:providers:aws", "default", "")
        | planned("mlops:aws:Network", "network", STACK)
        | planned("mlops:aws:Network$aws:ec2/vpc:Vpc", "network-vpc", network)
        | planned("mlops:aws:Network$aws:ec2/subnet:Subnet", "network-a", network, dependencies=[vpc])
        | planned("mlops:aws:Network$aws:ec2/subnet:Subnet", "network-b", network, dependencies=[vpc])
        | planned("aws:lambda/function:Function", "drift<1>", STACK, "replace", propertyDependencies={"vpc": [vpc]})
    )
    file = folder / "plan.json"
    file.write_text(json.dumps({"resourcePlans": resources}))
    return file


def test_a_component_holds_what_is_below_it_and_needs_what_its_resources_need(tmp_path: Path) -> None:
    function, network = components_of(plan(tmp_path))
    assert network.resources == {("create", "aws:ec2/subnet:Subnet"): 2, ("create", "aws:ec2/vpc:Vpc"): 1}
    assert function.needs == {"network"}
    assert function.resources == {("replace", "aws:lambda/function:Function"): 1}


def test_the_picture_is_whole_xml_and_says_that_the_cloud_is_simulated(tmp_path: Path) -> None:
    svg = draw("aws-<dev>", components_of(plan(tmp_path)))
    root = ET.fromstring(svg)  # noqa: S314 # our own
    texts = ["".join(each.itertext()) for each in root.iter() if each.tag.endswith("text")]
    assert "aws-<dev>" in texts
    assert "ec2 Subnet \u00d7 2" in texts
    assert "3 to create, 1 to replace. Planned by the real engine on simulated clouds, with no account." in texts


def test_components_that_need_each_other_are_drawn_all_the_same() -> None:
    pair = [Component("a", "t", {}, frozenset({"b"})), Component("b", "t", {}, frozenset({"a"}))]
    assert draw("stack", pair).count('class="card"') == 2


def test_an_arrow_that_follows_from_others_is_left_out() -> None:
    chain = [
        Component("a", "t", {}, frozenset()),
        Component("b", "t", {}, frozenset({"a"})),
        Component("c", "t", {}, frozenset({"a", "b"})),
    ]
    assert len(re.findall(r'<path d="M\d+ [\d.]+C', draw("stack", chain))) == 2


def test_an_arrow_goes_below_the_cards_that_it_would_cross() -> None:
    """Otherwise it seems to come from the one that it comes out behind."""
    many = {("create", f"databricks:index/kind{index}:Kind{index}"): 1 for index in range(9)}
    chain = [
        Component("a", "t", {}, frozenset()),
        Component("b", "t", many, frozenset({"a"})),
        Component("c", "t", {}, frozenset()),
        Component("d", "t", {}, frozenset({"b", "c"})),
    ]
    svg = draw("stack", chain)
    bottom = max(
        int(y) + int(height)
        for y, height in re.findall(r'class="card" x="\d+" y="(\d+)" width="\d+" height="(\d+)', svg)
    )
    (lane,) = (int(y) for y in re.findall(r'<path d="M[^"]* (\d+)H\d+C', svg))
    assert lane > bottom
    assert lane < int(svg.partition('height="')[2].partition('"')[0])
    assert "databricks Kind3" in svg
