"""What other packages add to this one, by entry points."""

from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec

__all__ = ["plugins"]


def plugins(group: str) -> list[EntryPoint]:
    """The entry points of a group, by name; not what a wheel names but was built without, as an image's is of infra."""
    found = (point for point in entry_points(group=group) if find_spec(point.module.partition(".")[0]))
    return sorted(found, key=lambda point: point.name)
