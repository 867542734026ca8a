"""The list of rules in docs/policies.md, generated from the rules.

python -m infra.policies.table
"""

from collections.abc import Iterator
from pathlib import Path

from infra.policies.check import AREAS
from infra.policies.rule import Rule

__all__ = ["FILE", "render", "with_section"]

FILE = Path(__file__).parents[2] / "docs" / "policies.md"
HEAD = "| rule | what it demands | CIS AWS 5.0 | AWS FSBP | GDPR | HIPAA 45 CFR | APP |\n|---|---|---|---|---|---|---|"


def render() -> str:
    """A table for each area."""
    return "\n\n".join(f"### {area}\n\n{HEAD}\n" + "\n".join(_lines(rules)) for area, rules in AREAS.items())


def with_section(page: str, name: str, text: str) -> str:
    """The page with `text` between the marks of a generated section. ValueError where the marks are missing."""
    begin, end = f"<!-- {name}: generated -->\n", f"\n<!-- {name}: end -->"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"the page has no section {name}: put {begin.strip()} and {end.strip()} where it belongs")
    return f"{before}{begin}\n{text}\n{end}{after}"


def _lines(rules: tuple[Rule, ...]) -> Iterator[str]:
    for rule in rules:
        serves = rule.controls
        cells = (serves.cis, serves.fsbp, serves.gdpr, serves.hipaa, serves.app)
        yield f"| `{rule.name}` | {rule.demand} | {' | '.join(', '.join(cell) or '—' for cell in cells)} |"


if __name__ == "__main__":
    FILE.write_text(with_section(FILE.read_text(encoding="utf-8"), "rules", render()), encoding="utf-8")
