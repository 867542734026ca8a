"""What stops each mistake: the configuration, the simulated cloud, or a rule; and whether a preview sees it already."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.config import ConfigInvalid, StackConfig
from infra.policies.check import violations
from infra.simulation.lifecycle import Refused
from tests.planned import DIGEST, plan, refusals, stated
from tests.plans import shared_plan
from tests.seeds.mistakes import Mistake, mistakes

__all__ = ["Outcome", "outcomes", "summary"]


MEANS = ("configuration", "simulator", "policies")


@dataclass(frozen=True)
class Outcome:
    """By what a mistake is stopped, with the sentence that its author reads."""

    mistake: Mistake
    configuration: tuple[str, ...] = ()
    simulator: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    at_preview: bool = True

    @property
    def by(self) -> tuple[str, ...]:
        """The means that stop it."""
        return tuple(name for name in MEANS if getattr(self, name))

    @property
    def sentences(self) -> tuple[str, ...]:
        """What its author reads."""
        return (*self.configuration, *self.simulator, *self.policies)


def outcomes(folder: Path) -> list[Outcome]:
    """One for each mistake; what needs an account of its own gets it in `folder`."""
    return [_outcome(each, folder / str(number)) for number, each in enumerate(mistakes())]


def _outcome(mistake: Mistake, folder: Path) -> Outcome:
    whole, preview = shared_plan(mistake.stack), shared_plan(mistake.stack, preview=True)
    if mistake.config is not None:
        return _configured(mistake, mistake.config, folder)
    changed = mistake.made_in(whole.resources)
    # That it has no rule for a type says nothing against the program.
    said = tuple(each for each in refusals(whole, changed) if "has no rule for" not in each)
    broken = tuple(str(each) for each in violations(changed))
    seen = mistake.made_in(preview.resources)
    visible = seen != preview.resources  # not where a preview doesn't know the document that is wrong
    return Outcome(mistake, (), said, broken, at_preview=bool((visible and said) or violations(seen)))


def _configured(mistake: Mistake, values: Mapping[str, Any], folder: Path) -> Outcome:
    pins = {"mlops:release": DIGEST, "mlops:image": DIGEST}
    try:
        StackConfig.parse(mistake.stack, stated(mistake.stack, **(pins | values)))
    except ConfigInvalid as error:
        return Outcome(mistake, configuration=(str(error),))
    try:
        whole = plan(mistake.stack, folder, **values)
    except Refused as error:
        return Outcome(mistake, simulator=(str(error),))
    return Outcome(mistake, policies=tuple(str(each) for each in violations(whole.resources)))


def summary(found: Sequence[Outcome]) -> str:
    """The numbers, and those that are not stopped with the reason."""
    stopped = [each for each in found if each.by]
    early = [each for each in stopped if each.at_preview]
    lines = [
        "| stopped by | mistakes | by this alone |",
        "|---|---|---|",
        *(f"| {means} | {_by(stopped, means)} | {_alone(stopped, means)} |" for means in MEANS),
        f"| **any of them** | **{len(stopped)} of {len(found)} ({len(stopped) / len(found):.1%})** | |",
        "",
        f"A preview sees {len(early)} of them already; the others lie in documents that hold a value which only an "
        "account knows, and are seen by `make policies`.",
        "",
        "Not stopped:",
        "",
        *(f"- {each.mistake.text}: {each.mistake.given['because']}" for each in found if not each.by),
    ]
    return "\n".join(lines)


def _by(found: Sequence[Outcome], means: str) -> int:
    return sum(means in each.by for each in found)


def _alone(found: Sequence[Outcome], means: str) -> int:
    return sum(each.by == (means,) for each in found)
