"""The policies that AWS itself manages, as moto's copy of the published list has them."""

import difflib
import importlib.util
import re
from functools import cache
from pathlib import Path

__all__ = ["managed_policy_problem"]

PREFIX = "arn:aws:iam::aws:policy/"
# The text of a large Python module: importing it takes a second, reading it hundredths of one.
LISTED = re.compile(r'^ "(?P<name>[\w+=,.@-]+)":\{$|^  "Path":"(?P<path>[^"]*)"', re.MULTILINE)


def managed_policy_problem(arn: str) -> str | None:
    """Why the ARN can't be that of a managed policy; None when it is one, is none at all, or the list isn't here."""
    known = _known() if arn.startswith(PREFIX) else frozenset[str]()
    if not known or arn in known:
        return None
    near = difflib.get_close_matches(arn, known, n=1, cutoff=0.8)
    return f"AWS has no managed policy {arn!r}" + (f"; did you mean {near[0]!r}?" if near else "")


@cache
def _known() -> frozenset[str]:
    specification = importlib.util.find_spec("moto")
    if specification is None or specification.origin is None:
        return frozenset()
    text = (Path(specification.origin).parent / "iam" / "aws_managed_policies.py").read_text(encoding="utf-8")
    found: set[str] = set()
    name = ""
    for match in LISTED.finditer(text):
        name = match["name"] or name
        if match["path"] is not None:
            found.add(f"{PREFIX.removesuffix('/')}{match['path']}{name}")
    return frozenset(found)
