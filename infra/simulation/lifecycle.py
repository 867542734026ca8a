"""What happens to one resource: it is checked, compared, created, read, changed and deleted in the account."""

import secrets as random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from infra.simulation.account import Account, Thing
from infra.simulation.api import contract_of, contract_problems
from infra.simulation.demands import demand_problems
from infra.simulation.masks import masked, unmasked
from infra.simulation.paths import changes, put_at, replace_at, value_at, without_indices
from infra.simulation.refused import Refused, unknown_type
from infra.simulation.rules import Rule, rule_for
from infra.simulation.schema import Problem, ResourceSchema, Type, problems, resource_schema
from infra.simulation.settings import Settings
from infra.simulation.state import reasons_to_keep, state_problems
from infra.simulation.templates import expand
from infra.simulation.wire import UNKNOWN
from infra.simulation.world import World

if TYPE_CHECKING:
    from infra.simulation.mirror import Moto

__all__ = ["Difference", "Operation", "Refused"]

Properties = dict[str, Any]


@dataclass(frozen=True)
class Difference:
    """What a change of inputs means: each place with its kind, and which of them need a new resource."""

    changes: dict[str, str] = field(default_factory=dict[str, str])
    forcing: list[str] = field(default_factory=list[str])
    delete_first: bool = False

    @property
    def replaces(self) -> list[str]:
        """The top-level properties that need a new resource."""
        return list(dict.fromkeys(without_indices(path).partition(".")[0] for path in self.forcing))


@dataclass(frozen=True)
class Operation:
    """One resource of one run."""

    world: World
    settings: Settings
    account: Account
    stack: str
    urn: str
    rule: Rule
    schema: ResourceSchema
    preview: bool

    @classmethod
    def of(
        cls, world: World, settings: Settings, token: str, urn: str, stack_and_run: tuple[str, str], *, preview: bool
    ) -> "Operation":
        """Refused when the SDK has no such type or nobody has written a rule for it."""
        schema, rule = resource_schema(token), rule_for(token)
        if schema is None or rule is None:
            raise Refused(unknown_type(token))
        return cls(world, settings, world.account(*stack_and_run), stack_and_run[0], urn, rule, schema, preview)

    @property
    def name(self) -> str:
        """The logical name."""
        return self.urn.rpartition("::")[2]

    def check(self, old: Properties, new: Properties, seed: bytes) -> tuple[Properties, list[Problem]]:
        """The inputs, with a name where the cloud makes one up, and everything that is wrong with them."""
        new = self._completed_by_provider(old, new, seed)
        found = list(problems(new, Type("object", properties=self.schema.inputs)))
        region = new.get("region")
        if isinstance(region, str) and self.settings.rules.regions and region not in self.settings.rules.regions:
            found.append(Problem("region", f"{region!r} is not a region that the simulation knows"))
        found += [
            Problem(name, f"is needed here, or as {self.settings.package}:{name} in the stack's file")
            for name in self.rule.configured
            if new.get(name) is None and not self.settings.values.get(name)
        ]
        if not found:  # what a service says of its names makes no sense for what has the wrong type
            found = list(demand_problems(self.rule, new))
            if self.rule.api and (contract := contract_of(self.schema.token)):
                found += contract_problems(new, contract, f"{self.rule.api.service}:{self.rule.api.create}")
        return new, found

    def _completed_by_provider(self, old: Properties, new: Properties, seed: bytes) -> Properties:
        """With the names that it makes up, which stay, and what it puts where a program puts nothing."""
        for path, longest in self.rule.autoname.items():
            if value_at(new, path) is None and new.get(f"{path}Prefix") is None:
                suffix = expand(self.settings.rules.suffix, lambda _: None, (seed or random.token_bytes(8)).hex())
                new = put_at(new, path, value_at(old, path) or f"{self.name[: longest - len(suffix)]}{suffix}")
        for path, value in self.rule.defaults.items():
            if path.partition(".")[0] in self.schema.inputs and value_at(new, path) is None:
                new = put_at(new, path, value)
        return new

    def diff(self, old: Properties, new: Properties, state: Properties, ignored: set[str]) -> Difference:
        """Compare inputs; a place that can't be changed in place needs a new resource."""
        changed = {path: kind for path, kind in changes(old, new) if path.partition(".")[0] not in ignored}
        tags = self.settings.rules.tags
        if tags.all in state and self._all_tags(new) != state[tags.all] and tags.given not in changed:
            changed[tags.given] = "updated"  # the provider's default tags are others
        forcing = [path for path in changed if self._needs_new(path)]
        return Difference(changed, forcing, delete_first=bool(forcing) and self._keeps_name(old, new))

    def _keeps_name(self, old: Properties, new: Properties) -> bool:
        before, after = (self._thing(inputs, "", frozenset()) for inputs in (old, new))
        return any(before.get(name) == after.get(name) for name in self.rule.unique)

    def create(self, inputs: Properties, secrets: frozenset[str]) -> tuple[str, Properties]:
        """The new thing's id and outputs; a preview knows neither."""
        if not self.preview:
            self.world.faults.strike("create", self.schema.token, self.name)
        with self.world.lock:
            secrets |= self.schema.secrets
            thing = self._thing(inputs, random.token_hex(16), secrets)
            self._demand_room(thing)
            if self.preview:
                self.account.plan(thing)
                return "", dict.fromkeys(self._computed(inputs), UNKNOWN) | inputs | self._completed(inputs)
            thing = self._really_made(thing)
            self.account.put(masked(thing))
        self.world.faults.strike("create", self.schema.token, self.name, "after")
        return thing.id, inputs | thing.outputs

    def read(self, identifier: str, state: Properties, inputs: Properties) -> tuple[Properties, Properties] | None:
        """The inputs and outputs as they are now; None when it is gone."""
        self.world.faults.strike("read", self.schema.token, self.name)
        thing = self._find(identifier, state)
        seen = self.world.moto.see(thing, self.rule) if thing and self.world.moto else {}
        if thing is None or seen is None:
            return None
        now = {key: unmasked(key, value, state | inputs) for key, value in thing.inputs.items()}
        for path, value in seen.items():
            replace_at(now, path, value)
        outputs = {key: unmasked(key, value, state) for key, value in thing.outputs.items()}
        return now, now | outputs

    def update(self, identifier: str, state: Properties, new: Properties, secrets: frozenset[str]) -> Properties:
        """Change it in place: its new outputs."""
        if not self.preview:
            self.world.faults.strike("update", self.schema.token, self.name)
        with self.world.lock:
            before = self._find(identifier, state)
            if before is None:
                raise Refused(f"{self.name}: {self.schema.token} {identifier!r} doesn't exist any more; run a refresh")
            tags = self.settings.rules.tags.given
            changed = before.inputs | {tags: None} != new | {tags: None}
            known = {name: state[name] for name in self.rule.outputs if self.rule.makes and name in state}
            secrets |= self.schema.secrets
            thing = self._thing(new, before.seed, secrets, before.returned | known, before.revision + changed)
            self._demand_room(thing)
            if self.preview:
                self.account.plan(thing)
            else:
                self._ask_moto(lambda moto: moto.update(thing, self.rule))
                self.account.put(masked(thing))
        return new | thing.outputs

    def delete(self, identifier: str, state: Properties) -> None:
        """End it; Refused while something else uses it. Nothing happens when it is gone already."""
        self.world.faults.strike("delete", self.schema.token, self.name)
        with self.world.lock:
            thing = self._find(identifier, state)
            if thing is None:
                return
            if users := reasons_to_keep(thing, self._accounts()[0], rule_for):
                used = ", ".join(user.label for user in users[:5])
                raise Refused(f"{thing.label} ({thing.id}) can't be deleted: it is used by {used}")
            self._ask_moto(lambda moto: moto.delete(thing, self.rule))
            self.account.remove(thing, lingers=self.rule.lingers is not None)
        self.world.faults.strike("delete", self.schema.token, self.name, "after")

    def _really_made(self, thing: Thing) -> Thing:
        """The thing with the ids that moto's server has given it, or with what its provider makes by itself."""
        if self.rule.makes:
            from infra.simulation.made import NotMade, make

            try:
                returned = make(self.rule.makes, thing.inputs)
            except NotMade as error:
                raise Refused(f"{self.schema.token} {self.name!r}: {error}") from error
        else:
            returned = self._ask_moto(lambda moto: moto.create(thing, self.rule)) or {}
        return self._thing(thing.inputs, thing.seed, frozenset(thing.secrets), returned) if returned else thing

    def _ask_moto(self, do: Callable[["Moto"], Any]) -> Any:
        if self.world.moto is None:
            return None
        from infra.simulation.mirror import MotoRefused

        try:
            return do(self.world.moto)
        except MotoRefused as error:
            raise Refused(f"{self.schema.token} {self.name!r}: {error}") from error

    def _thing(
        self,
        inputs: Properties,
        seed: str,
        secrets: frozenset[str],
        known: Mapping[str, Any] = MappingProxyType({}),
        revision: int = 1,
    ) -> Thing:
        region = str(inputs.get("region") or self.settings.region)
        tags = {self.settings.rules.tags.all: self._all_tags(inputs)}
        values: Properties = dict(self.settings.values) | inputs | {"region": region} | tags
        values |= dict(known) | self._counted(inputs, revision)
        common = {key: each for key, each in self.settings.rules.outputs.items() if key in self.schema.outputs}
        templates = {"id": self.rule.id} | common | self.rule.outputs

        def value_of(name: str) -> Any:
            if values.get(name) is None and name in templates:
                values[name] = expand(templates[name], value_of, f"{seed}.{name}")
            return value_at(values, name)

        for name, given in self._halves(inputs).items():
            values[name] = expand(templates[name], value_of, f"{seed}.{name}") | given
        identifier = value_of("id")
        outputs = {name: value_of(name) for name in templates if name != "id"}
        return Thing(
            type=self.schema.token,
            id=identifier if isinstance(identifier, str) and identifier else self.urn,
            urn=self.urn,
            region=region,
            account=str(values.get("account", "")),
            inputs=inputs,
            outputs={name: value for name, value in outputs.items() if value is not None},
            seed=seed,
            returned=dict(known),
            revision=revision,
            secrets=sorted(secrets),
        )

    def _counted(self, inputs: Properties, revision: int) -> Properties:
        """The outputs that a change raises by one."""
        counted = [name for name, when in self.rule.counts.items() if when is None or inputs.get(when)]
        return {name: str(revision) if isinstance(self.rule.outputs.get(name), str) else revision for name in counted}

    def _halves(self, inputs: Properties) -> Properties:
        """What a program gives a part of, and the cloud completes."""
        halves = [name for name, template in self.rule.outputs.items() if isinstance(template, dict)]
        return {name: inputs[name] for name in halves if isinstance(inputs.get(name), dict)}

    def _completed(self, inputs: Properties) -> Properties:
        return {
            name: dict.fromkeys(self.rule.outputs[name], UNKNOWN) | given
            for name, given in self._halves(inputs).items()
        }

    def _all_tags(self, inputs: Properties) -> Any:
        tags = inputs.get(self.settings.rules.tags.given) or {}
        return dict(self.settings.default_tags) | tags if isinstance(tags, dict) else tags

    def _computed(self, inputs: Properties) -> list[str]:
        filled = self.rule.outputs.keys() | self.settings.rules.outputs.keys()
        return [name for name in self.schema.outputs if name not in self.schema.inputs or name in filled]

    def _needs_new(self, path: str) -> bool:
        plain = without_indices(path)
        top = plain.partition(".")[0]
        if self.rule.replaces == "all":
            return top not in (*self.rule.updates, self.settings.rules.tags.given)
        documented = top in self.schema.inputs and self.schema.inputs[top].replaces
        listed = any(plain == each or plain.startswith(f"{each}.") for each in (*self.rule.replaces, "region"))
        return listed or documented

    def _demand_room(self, thing: Thing) -> None:
        own, world = self._accounts()
        if found := list(state_problems(self.rule, thing, own, world)):
            sentences = "; ".join(f"{problem.path} {problem.reason}" for problem in found)
            raise Refused(f"{thing.type} {self.name!r}: {sentences}")

    def _accounts(self) -> tuple[list[Thing], list[Thing]]:
        """The things of this provider's account, whichever stack they belong to, and those of all others."""
        number = str(self.settings.values.get("account", ""))
        everything = [*self.account.things(), *self.world.elsewhere(self.stack)]
        return [e for e in everything if e.account == number], [e for e in everything if e.account != number]

    def _find(self, identifier: str, state: Properties) -> Thing | None:
        region = str(state.get("region") or self.settings.region)
        return self.account.find(self.schema.token, identifier, region)
