"""The targets that there are: a cloud with a platform on it, a row each, and what every part must know of one."""

from dataclasses import dataclass
from typing import Final

__all__ = ["TARGETS", "Target", "target"]


@dataclass(frozen=True)
class Target:
    """A cloud and what trains and serves on it; the folders `infra/clouds/<cloud>` and `docs/<cloud>.md` are its own.

    `needs_image`: a container serves, so that a release is pinned with an image. `has_shadow`: a challenger can score
    a call that the champion has answered.
    """

    cloud: str
    platform: str
    needs_image: bool = True
    has_shadow: bool = True

    @property
    def name(self) -> str:
        """As stacks are called that are on it, before the environment."""
        return f"{self.cloud}-{self.platform}" if self.platform != LOCAL.platform else self.cloud


LOCAL: Final = Target("local", "process", needs_image=False)
TARGETS: Final = (
    LOCAL,
    Target("aws", "sagemaker"),
    Target("aws", "serverless", has_shadow=False),
    Target("aws", "databricks", needs_image=False, has_shadow=False),
)


def target(name: str) -> Target | None:
    """The target of this name, None where there is none."""
    return next((each for each in TARGETS if each.name == name), None)
