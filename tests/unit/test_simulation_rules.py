"""The rules are data: every path in them must exist in the installed SDK, and every output be accounted for."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.simulation import rules
from infra.simulation.made import makers
from infra.simulation.references import parts_of
from infra.simulation.rules import Rule, all_rules, package_rules, rule_for
from infra.simulation.schema import Type, installed_packages, resource_schema
from infra.simulation.schema.cache import keep

RULES = all_rules()


@pytest.mark.parametrize("token", RULES, ids=str)
def test_paths_exist_in_the_sdk_and_every_output_is_accounted_for(token: str) -> None:
    schema = resource_schema(token)
    assert schema, f"no installed SDK has {token}"
    rule = rule_for(token)
    assert rule
    package = package_rules(token.partition(":")[0])
    everywhere = {*package.every.texts, *package.every.keys, *package.every.defaults, *package.every.refers}
    everywhere |= {*package.every.replaces, *package.every.autoname, *package.every.sizes}
    for path in (part for whole in _paths(rule) for part in whole.split("/")):
        if path not in everywhere or path.partition(".")[0] in schema.inputs:
            _walk(path, Type("object", properties=schema.inputs))
    for each in rule.conditions:
        at = _walk(f"{each.at}.{each.when}".lstrip("."), Type("object", properties=schema.inputs))
        assert at.kind not in ("map", "object", "list"), f"{each.when}: what is compared must be one value"
        assert each.needs or each.forbids or each.demands
    assert rule.makes is None or rule.makes in makers()
    known = {*schema.inputs, *schema.outputs}
    assert not rule.outputs.keys() - known
    computed = {name for name in schema.outputs if name not in schema.inputs} - package.outputs.keys()
    assert computed == {*rule.unset, *(rule.outputs.keys() & computed)}
    assert {*rule.holds, *(p for each in (rule.alike, rule.unlike) for paths in each.values() for p in paths)} <= {
        *rule.refers
    }
    assert rule.counts.keys() <= set(schema.outputs)
    assert {when for when in rule.counts.values() if when} <= set(schema.inputs)


@pytest.mark.parametrize("token", RULES, ids=str)
def test_what_is_referred_to_and_needed_has_a_rule(token: str) -> None:
    package = token.partition(":")[0]
    rule = rule_for(token)
    assert rule
    targets = {parts_of(each)[0] for target in rule.refers.values() for each in target.split("|")}
    targets |= {parts_of(each)[0] for each in rule.below.values()}
    for type_ in targets | {need.type for need in RULES[token].needs}:
        assert (type_ if type_.count(":") == 2 else f"{package}:{type_}") in RULES


def test_no_type_is_written_twice_in_a_file_which_yaml_would_not_say() -> None:
    for file in Path(rules.__file__).parent.rglob("*.yaml"):
        written = re.findall(r"^  ([\w./-]+:\w+):", file.read_text(encoding="utf-8"), re.MULTILINE)
        assert len(written) == len(set(written)), file


def _paths(rule: Rule) -> Iterator[str]:
    yield from (*rule.autoname, *rule.texts, *rule.ranges, *rule.values, *rule.cidrs, *rule.zones, *rule.refers)
    yield from (*rule.documents, *rule.inside, *rule.apart, *rule.updates)
    for each in rule.conditions:
        at = f"{each.at}." if each.at else ""
        yield from (f"{at}{path}" for path in (each.when, *each.needs, *each.forbids, *each.demands))
    yield from (*rule.keys, *rule.defaults, *rule.required, *rule.configured, *rule.blocks)
    yield from (*rule.covered, *rule.covered.values(), *(path for paths in rule.orders for path in paths))
    yield from (*rule.steps, *rule.timezones, *rule.regional, *rule.about, *rule.assumed, *rule.several)
    for path in rule.distinct:
        holder, _, names = path.rpartition("[]")
        yield from (f"{holder}[].{name}" if name else f"{holder}[]" for name in names.removeprefix(".").split("+"))
    yield from (*rule.sizes, *rule.sums, *rule.below, *rule.among, *rule.among.values())
    yield from () if rule.replaces == "all" else rule.replaces
    yield from (name for names in rule.exactly_one + rule.at_most_one + rule.at_least_one for name in names)


def _walk(path: str, type_: Type) -> Type:
    """What stands at the path."""
    for part in path.partition("{}")[0].split("."):  # what is in a JSON text, no SDK knows
        name = part.removesuffix("[]")
        if type_.kind == "any":
            return type_
        if type_.kind == "map":  # of whatever names
            type_ = type_.of[0]
            continue
        assert name in type_.properties, f"{path}: there is no {name}"
        type_ = type_.properties[name].type
        if part.endswith("[]"):
            assert type_.kind == "list", f"{path}: {name} is no list"
            type_ = type_.of[0]
    return type_


def test_every_installed_sdk_has_rules() -> None:
    assert {token.partition(":")[0] for token in RULES} == set(installed_packages())


def test_two_threads_may_keep_the_same_schema_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, replace = tmp_path / "bucket.json", Path.replace

    def after_another(self: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "replace", replace)
        keep(file, b"the other's")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", after_another)
    keep(file, b"mine")
    assert file.read_bytes() == b"mine"
    assert list(tmp_path.iterdir()) == [file]
