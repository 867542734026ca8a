"""The data sheet of a release, under the headings of Gebru et al., "Datasheets for Datasets" (2021)."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ml.bundle.manifest import Manifest
from ml.problem import Problem
from ml.release._markdown import table
from ml.release.reports import report_key
from ml.store import Store
from ml.training.provenance import problem_digest

__all__ = ["data_sheet", "quality_reports"]

ROLES: Final = {"train": "training", "test": "testing", "live": "replayed as live traffic"}
LABELLED: Final = {"live": "training: labelled predictions of the log"}  # ml.feedback.challenger's name of them


def quality_reports(store: Store, problem: Problem, manifest: Manifest) -> dict[str, dict[str, Any]]:
    """The quality reports, by dataset, that the store holds of the release's data: `mlops train` left them there."""
    reports: dict[str, dict[str, Any]] = {}
    for name, digest in manifest.data.items():
        key = report_key(problem.name, name, digest)
        if store.exists(key):
            reports[name] = msgspec.json.decode(store.read(key))
    return reports


def data_sheet(problem: Problem, manifest: Manifest, reports: Mapping[str, dict[str, Any]]) -> str:
    """Markdown; what the reports don't say is left out, never guessed."""
    sheet = problem.datasets.sheet
    sections = {
        "Motivation": sheet.motivation,
        "Composition": "\n\n".join(
            [sheet.composition, _files(problem, manifest, reports), *_columns(problem, reports)]
        ),
        "Collection process": f"{sheet.collection}\n\n**Source:** {problem.datasets.source}",
        "Preprocessing, cleaning, labelling": f"{sheet.preprocessing}\n\n{_preprocessing(problem, reports)}",
        "Uses": f"{sheet.uses}\n\n**Not for:** {problem.decision.not_for}",
        "Distribution": f"{sheet.distribution}\n\n**Licence:** {problem.datasets.license}",
        "Maintenance": sheet.maintenance,
    }
    changed = (
        "The problem definition has changed since this release was trained: the texts here are today's, the digests "
        "are the release's.\n\n"
    ) * (problem_digest(problem) != manifest.problem_digest)
    text = "\n\n".join(f"## {title}\n\n{content}" for title, content in sections.items())
    return f"# Data of {problem.title}\n\n{changed}{text}\n"


def _files(problem: Problem, manifest: Manifest, reports: Mapping[str, dict[str, Any]]) -> str:
    roles = LABELLED | {getattr(problem.split, role): title for role, title in ROLES.items()}
    rows = [
        (
            name,
            roles.get(name, ""),
            f"{reports[name]['rows']:,}" if name in reports else "",
            _verdict(reports.get(name)),
            f"`{digest}`",
        )
        for name, digest in sorted(manifest.data.items())
    ]
    return "The data of this release:\n\n" + table(("dataset", "used for", "rows", "checks", "digest"), rows)


def _verdict(report: dict[str, Any] | None) -> str:
    if report is None:
        return "no quality report in this store"
    found = [finding["severity"] for finding in report["findings"]]
    verdict = "passed" if report["passed"] else "refused"
    return f"{verdict}, {found.count('error')} errors, {found.count('warning')} warnings"


def _columns(problem: Problem, reports: Mapping[str, dict[str, Any]]) -> list[str]:
    """What the columns hold, from the training data's report."""
    report = reports.get(problem.split.train)
    if report is None:
        return []
    sensitive = {feature.name for feature in problem.features if feature.sensitive}
    rows = [
        (
            column["name"],
            column["title"],
            f"{column['nulls']:,}",
            f"{column['distinct']:,}",
            "" if column["minimum"] is None else f"{column['minimum']:g} to {column['maximum']:g}",
            _commonest(column, report["rows"]),
            "yes" if column["name"] in sensitive else "",
        )
        for column in report["columns"]
    ]
    head = ("column", "meaning", "null", "distinct", "range", "most frequent", "sensitive")
    return [f"Columns of {problem.split.train}:", table(head, rows)]


def _commonest(column: dict[str, Any], rows: int) -> str:
    if column["kind"] != "codes" or not column["counts"]:
        return ""
    label, count = max(column["counts"], key=lambda pair: pair[1])
    return f"{label} ({count / rows:.0%})"


def _preprocessing(problem: Problem, reports: Mapping[str, dict[str, Any]]) -> str:
    bounds = [
        f"{c.column} from {c.at_least} to {c.at_most}"
        if c.is_in is None
        else f"{c.column} one of {', '.join(map(str, c.is_in))}"
        for c in problem.population
    ]
    lines = [
        f"- **Population:** rows with {', '.join(bounds)}" if bounds else "- **Population:** every row",
        f"- **Label:** `{problem.target.column}`: "
        + "; ".join(f"{code} is “{meaning}”" for code, meaning in problem.target.codes.items())
        + f". {problem.target.event}",
        f"- **Split:** trained on {problem.split.train}, of which {problem.split.validation_fraction:.0%} chose "
        f"candidate, parameters and threshold; tested once on {problem.split.test}",
    ]
    for name, report in sorted(reports.items()):
        lines += [f"- **{name}, {finding['severity']}:** {finding['message']}" for finding in report["findings"]]
    return "\n".join(lines)
