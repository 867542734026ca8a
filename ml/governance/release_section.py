"""What a model card can't say before there is a release: digest, gates, waivers, who and when."""

from ml.bundle.bundle import digest_of
from ml.bundle.gate_table import judged_on, result_of, shown
from ml.bundle.manifest import Manifest
from ml.release._markdown import table

__all__ = ["release_section"]


def release_section(manifest: Manifest) -> str:
    """Markdown, from the manifest alone."""
    facts = [
        ("model", f"{manifest.name} version {manifest.version} ({manifest.candidate})"),
        ("release", f"`{digest_of(manifest)}`"),
        ("bundle", f"`{manifest.bundle_digest}`"),
        ("made", f"{manifest.created_at:%Y-%m-%d %H:%M} UTC by {manifest.created_by}"),
        ("tracking run", manifest.tracking_run or "none"),
        ("image", f"`{manifest.image_digest}`" if manifest.image_digest else "not stated"),
    ]
    gates = [
        (gate.name.replace("_", " "), shown(gate.measured), gate.demanded, judged_on(gate.evidence), result_of(gate))
        for gate in manifest.gates
    ]
    waived = [gate.name.replace("_", " ") for gate in manifest.gates if gate.result == "waived"]
    waivers = (
        f"Waived: {', '.join(waived)}. Who waived what, and why, stands in the problem definition of the release."
        if waived
        else "No gate is waived."
    )
    return (
        f"## Release\n\n{table(('', ''), facts)}\n\n## Gates\n\n{waivers}\n\n"
        + table(("gate", "measured", "demanded", "judged on", "result"), gates)
        + "\n"
    )
