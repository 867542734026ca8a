"""The documents of a release, as Markdown, as a page, and as Confluence stores one."""

from dataclasses import dataclass
from html import escape
from typing import Final, Literal
from xml.etree import ElementTree

from markdown_it import MarkdownIt

from ml.bundle.bundle import read_file, read_manifest
from ml.governance.data_sheet import data_sheet, quality_reports
from ml.governance.release_section import release_section
from ml.problem import Problem
from ml.store import Store

__all__ = ["Document", "documents"]

MODEL_CARD: Final = "model_card.md"

Kind = Literal["model-card", "data-sheet"]


@dataclass(frozen=True)
class Document:
    """One document of the release `digest`; its title is its own in a Confluence space."""

    kind: Kind
    title: str
    digest: str
    markdown: str

    @property
    def storage(self) -> str:
        """The content as well-formed XHTML, without html and body: Confluence's storage format. Raw HTML is escaped."""
        rendered = MarkdownIt("commonmark", {"xhtmlOut": True, "html": False}).enable("table").render(self.markdown)
        ElementTree.fromstring(f"<page>{rendered}</page>")  # noqa: S314 # our own; Confluence refuses what isn't XML
        return rendered

    @property
    def page(self) -> str:
        """A self-contained HTML page."""
        return PAGE.format(title=escape(self.title), body=self.storage)


def documents(store: Store, problem: Problem, digest: str) -> tuple[Document, ...]:
    """Model card and data sheet of a release in the store; ReleaseRefused when it isn't there or was altered.

    The model card is the bundle's own, word for word, with what only the manifest knows behind it.
    """
    manifest = read_manifest(store, digest)
    card = f"{read_file(store, digest, manifest, MODEL_CARD).decode()}\n{release_section(manifest)}"
    sheet = data_sheet(problem, manifest, quality_reports(store, problem, manifest))
    name = f"{manifest.name} version {manifest.version}"
    return (
        Document("model-card", f"Model card: {name}", digest, card),
        Document("data-sheet", f"Data sheet: {name}", digest, sheet),
    )


PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "Liberation Sans", sans-serif; max-width: 60rem;
       margin: 0 auto; padding: 2rem 1.5rem 4rem; }}
h2 {{ margin-top: 2.5rem; }}
table {{ border-collapse: collapse; font-size: .9rem; display: block; overflow-x: auto; }}
th, td {{ text-align: left; vertical-align: top; padding: .35rem 1rem .35rem 0; border-bottom: 1px solid #8884; }}
td {{ font-variant-numeric: tabular-nums; }}
code, pre {{ font-family: ui-monospace, Menlo, "Liberation Mono", monospace; font-size: .86em; }}
code {{ overflow-wrap: anywhere; }}
pre {{ padding: .8rem 1rem; border: 1px solid #8884; border-radius: 8px; overflow-x: auto; }}
</style></head>
<body>
{body}</body></html>
"""
