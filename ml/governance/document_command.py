"""`mlops document` and `mlops document publish`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ml.errors import InputRefused
from ml.problem import load_problem
from ml.runtime import Runtime
from ml.store import Store

if TYPE_CHECKING:
    from ml.governance.documents import Document

__all__ = ["document"]

_stack = click.option("--stack", help="The stack whose store has the release; by default that of MLOPS_RUNTIME.")
_release = click.option("--release", help="The release's digest  [default: the one that the stack serves]")


@click.group(
    invoke_without_command=True, epilog="Example: mlops document --stack local-dev --release sha256:… --out documents"
)
@_stack
@_release
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="The folder to write to, made when it isn't there.  [default: here]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the files' paths as JSON.")
@click.pass_context
def document(context: click.Context, stack: str | None, release: str | None, out: Path, as_json: bool) -> None:
    """Write a release's model card and data sheet, as Markdown and as HTML."""
    if context.invoked_subcommand is not None:
        if stack or release:
            raise click.UsageError(f"Write --stack and --release behind {context.invoked_subcommand}.")
        return
    _, made = _documents(stack, release)
    files: list[Path] = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        for one in made:
            for suffix, text in ((".md", one.markdown), (".html", one.page)):
                files.append(out / f"{one.kind}{suffix}")
                files[-1].write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputRefused(f"The documents can't be written to {out}: {error.strerror}.") from error
    click.echo(json.dumps([str(file) for file in files]) if as_json else "\n".join(map(str, files)))


@document.command(epilog="Example: mlops document publish --stack local-prod --space ML --parent Models")
@_stack
@_release
@click.option("--space", required=True, help="The key of the Confluence space.")
@click.option("--parent", help="The title of the page to publish under  [default: the space's top level]")
@click.option("--json", "as_json", is_flag=True, help="Print the pages as JSON.")
def publish(stack: str | None, release: str | None, space: str, parent: str | None, as_json: bool) -> None:
    """Publish a release's documents to Confluence, as pages that are made or get a new version.

    CONFLUENCE_URL, CONFLUENCE_TOKEN and, for Confluence Cloud, CONFLUENCE_USER say where and as whom. The manifest and
    the documents' Markdown are attached.
    """
    try:
        from ml.governance.publish import Space, connect
    except ModuleNotFoundError as error:
        raise InputRefused(f"{error.name} is not installed: `uv sync --extra confluence` adds it.") from error

    place = Space(connect(), space, parent)
    manifest, made = _documents(stack, release)
    pages = []
    for one in made:
        click.echo(f"Publishing {one.title}", err=True)
        attachments = {
            f"{one.kind}.md": (one.markdown.encode(), "text/markdown"),
            "manifest.json": (manifest, "application/json"),
        }
        digest = one.digest.removeprefix("sha256:")
        pages.append(place.publish(one, attachments, [load_problem().name, f"release-{digest[:12]}"]))
    if as_json:
        click.echo(json.dumps([{"title": p.title, "version": p.version, "url": p.url} for p in pages], indent=2))
    else:
        click.echo("\n".join(f"{page.title}, version {page.version}: {page.url}" for page in pages))


def _documents(stack: str | None, release: str | None) -> "tuple[bytes, tuple[Document, ...]]":
    """The manifest and the documents of the release that was named, else of the one that the stack serves."""
    from ml.bundle.bundle import canonical, read_manifest
    from ml.governance.documents import documents

    runtime = Runtime.load(stack)
    digest = release or runtime.release
    if digest is None:
        raise InputRefused(f"{runtime.stack} serves no release yet. Name one with --release sha256:….")
    store = Store(runtime.store_uri)
    made = documents(store, load_problem(), digest)
    return canonical(read_manifest(store, digest)), made
