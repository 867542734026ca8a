"""What a laptop doesn't have. These make nothing, and say so by their values."""

import pulumi

from infra.contracts import (
    AlertsArgs,
    BudgetArgs,
    IdentityArgs,
    ImageRegistryArgs,
    JobsArgs,
    KeysArgs,
)

__all__ = ["Alerts", "Budget", "Identity", "ImageRegistry", "Jobs", "Keys"]


class _Absent:
    def __init__(self, _name: str, _args: object, _opts: pulumi.ResourceOptions | None = None) -> None:
        self.nothing = pulumi.Output.from_input("")


class Keys(_Absent):
    """Nothing is encrypted at rest: the folder is readable by its user alone."""

    def __init__(self, name: str, args: KeysArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args, opts)
        self.data = self.operations = self.nothing


class Alerts(_Absent):
    """Prometheus evaluates the alert rules and tells whoever looks."""

    def __init__(self, name: str, args: AlertsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args, opts)
        self.channel = self.nothing


class ImageRegistry(_Absent):
    """The processes run the checkout."""

    image: pulumi.Output[str] | None
    repository: pulumi.Output[str] | None

    def __init__(self, name: str, args: ImageRegistryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args, opts)
        self.image, self.repository, self.identifier = None, None, self.nothing


class Identity(_Absent):
    """Every process is the user."""

    scoring: pulumi.Output[str] | None

    def __init__(self, name: str, args: IdentityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args, opts)
        self.training = self.serving = self.monitoring = self.tracking = self.nothing
        self.orchestrating = self.scheduling = self.nothing
        self.scoring = None


class Jobs(_Absent):
    """`mlops train` trains itself; nothing runs on a schedule."""

    training: pulumi.Output[str] | None
    scoring: pulumi.Output[str] | None
    queue: pulumi.Output[str] | None

    def __init__(self, name: str, args: JobsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args, opts)
        self.training = self.scoring = self.queue = None


class Budget(_Absent):
    """Electricity only."""

    def __init__(self, name: str, args: BudgetArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args, opts)
        self.identifier = self.nothing
