"""How one resource names another: by its id, its name, or the output that a rule says."""

from infra.simulation.account import Thing

__all__ = ["parts_of", "referenced"]

IDENTIFYING = ("id", "arn", "name", "selfLink", "metadata.name")


def referenced(target: str, value: str, things: list[Thing]) -> Thing | None:
    """The thing that `value` names; the target is `<type>`, `<type>.<output>`, or several with `|` between them."""
    for alternative in target.split("|"):
        type_, output = parts_of(alternative)
        names = [output] if output else IDENTIFYING
        for thing in things:
            if thing.type.partition(":")[2] == type_ and value in [thing.get(name) for name in names]:
                return thing
    return None


def parts_of(target: str) -> tuple[str, str]:
    """`rbac.authorization.k8s.io/v1:Role.metadata.name` → the type, and the output, which may be empty."""
    module, _, rest = target.rpartition(":")
    name, _, output = rest.partition(".")
    return f"{module}:{name}", output
