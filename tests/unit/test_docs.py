"""What is written for people: every page renders as it was meant, and every link leads somewhere."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for pattern in ("*.md", "benchmarks/**/*.md", "data/**/*.md", "docs/**/*.md", "keys/*.md")
    for page in ROOT.glob(pattern)
)
MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def tokens_of(page: Path) -> list[Token]:
    return MARKDOWN.parse(page.read_text(encoding="utf-8"))


def inline(tokens: list[Token], kind: str) -> Iterator[Token]:
    for token in tokens:
        yield from (child for child in token.children or [] if child.type == kind)


def anchors_of(page: Path) -> set[str]:
    """The names that GitHub gives headings: lower case, hyphens, no punctuation, a number where one repeats."""
    found: list[str] = []
    tokens = tokens_of(page)
    for opening, heading in itertools.pairwise(tokens):
        if opening.type == "heading_open":
            text = "".join(child.content for child in heading.children or [] if child.type in ("text", "code_inline"))
            slug = re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")
            found.append(slug if slug not in found else f"{slug}-{found.count(slug)}")
    return set(found)


def broken_tables(tokens: list[Token]) -> list[str]:
    """Rows that stand outside a table: what a blank line cuts off is a paragraph with bars in it."""
    return [
        line
        for opening, text in itertools.pairwise(tokens)
        if opening.type == "paragraph_open"
        for line in text.content.splitlines()
        if line.lstrip().startswith("|")
    ]


def uneven_rows(page: Path, tokens: list[Token]) -> list[str]:
    """Rows with more or fewer cells than their table's head, which a page shows cut off."""
    lines = page.read_text(encoding="utf-8").splitlines()
    tables = (lines[slice(*token.map)] for token in tokens if token.type == "table_open" and token.map)
    return [line for table in tables for line in table if line.strip() and cells_of(line) != cells_of(table[0])]


def cells_of(row: str) -> int:
    return len(re.findall(r"(?<!\\)\|", row.strip())) - 1


def links(page: Path) -> Iterator[str]:
    tokens = tokens_of(page)
    for kind, attribute in (("link_open", "href"), ("image", "src")):
        yield from (str(token.attrs[attribute]) for token in inline(tokens, kind))


def test_there_is_something_to_look_at() -> None:
    assert {"README.md", "CHANGELOG.md", "release.md", "0001-the-real-engine-everywhere.md"} <= {p.name for p in PAGES}
    assert sum(len(list(links(page))) for page in PAGES) > 30


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_is_whole(page: Path) -> None:
    tokens = tokens_of(page)
    assert broken_tables(tokens) == []
    assert uneven_rows(page, tokens) == []
    assert [
        token.content for token in tokens if token.type == "inline" and re.search(r"\]\(\s|\]\[\]", token.content)
    ] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            assert parts.scheme in ("http", "https"), link
            continue
        there = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        assert there.exists(), f"{page.name}: {link}"
        assert there.is_relative_to(ROOT), f"{page.name}: {link}"
        if parts.fragment:
            assert parts.fragment in anchors_of(there), f"{page.name}: {link}"


def test_a_blank_line_in_a_table_is_seen() -> None:
    row = "| a | b |\n"
    whole = f"{row}|---|---|\n{row}"
    assert broken_tables(MARKDOWN.parse(whole)) == []
    assert broken_tables(MARKDOWN.parse(f"{whole}\n{row}")) == ["| a | b |"]
