"""Champion and challengers of an endpoint, by the names that its parts have on a platform."""

from collections.abc import Mapping
from typing import Final

from ml.errors import MlopsError
from ml.platform import Observed

__all__ = ["by_role"]

CHAMPION: Final = "champion"


def by_role(releases: Mapping[str, str | None], url: str) -> Observed:
    """One of several is the champion by its name; one alone is it whatever it is called."""
    named = dict(releases)
    champion = named.pop(CHAMPION, None) if len(named) > 1 or CHAMPION in named else named.popitem()[1]
    if champion is None or None in named.values():
        raise MlopsError(f"{url} serves something that names no release. Look at it on its platform, and `pulumi up`.")
    return Observed(champion, tuple(str(release) for release in named.values()))
