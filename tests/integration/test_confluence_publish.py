"""Documents of a release, published to a double of Confluence that demands what the real one demands."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from ml.errors import InputRefused, MlopsError
from ml.governance import document_command
from ml.governance.document_command import document
from ml.governance.documents import Document
from ml.governance.publish import Space, connect
from ml.problem import Problem
from ml.runtime import Runtime
from ml.store import Store
from tests.integration.confluence_double import Confluence, Site

TOKEN = "a-token-that-nobody-may-see"  # noqa: S105
DIGEST = f"sha256:{'a' * 64}"


@pytest.fixture
def confluence() -> Confluence:
    return Confluence(token=TOKEN)


@pytest.fixture
def site(confluence: Confluence) -> Iterator[Site]:
    site = Site(confluence)
    yield site
    site.close()


def card(text: str = "# Title\n\nText & more\n") -> Document:
    return Document("model-card", "Model card: employment version 1", DIGEST, text)


def space_at(url: str, token: str = TOKEN, key: str = "ML", parent: str | None = None) -> Space:
    return Space(connect({"CONFLUENCE_URL": url, "CONFLUENCE_TOKEN": token}), key, parent)


def test_a_page_is_made_once_and_gets_a_new_version_afterwards(site: Site, confluence: Confluence) -> None:
    confluence.add("ML", "Models")
    space = space_at(site.url, parent="Models")
    first = space.publish(card(), {"manifest.json": (b"{}", "application/json")}, ["employment"])
    second = space.publish(card("# Better\n"), {"manifest.json": (b"[]", "application/json")}, ["employment"])
    assert (first.version, second.version) == (1, 2)
    assert first.identifier == second.identifier
    page = confluence.pages[first.identifier]
    assert page.body == "<h1>Better</h1>\n"
    assert page.comment == f"Release {DIGEST}"
    assert confluence.pages[page.parent or ""].title == "Models"
    assert page.labels == {"mlops", "model-card", "employment"}
    assert page.attachments["manifest.json"].data == b"[]"
    assert page.attachments["manifest.json"].version == 2
    assert page.attachments["manifest.json"].media_type == "application/json"
    assert second.url == f"{site.url}/spaces/ML/pages/{page.identifier}"


def test_confluence_cloud_is_asked_with_user_and_token() -> None:
    cloud = Confluence(token=TOKEN, user="someone@example.org")
    site = Site(cloud)
    try:
        environment = {"CONFLUENCE_URL": site.url, "CONFLUENCE_TOKEN": TOKEN, "CONFLUENCE_USER": "someone@example.org"}
        assert Space(connect(environment), "ML").publish(card(), {}, []).version == 1
    finally:
        site.close()


def test_a_wrong_token_is_refused_and_never_shown(site: Site) -> None:
    with pytest.raises(MlopsError, match=r"status 401.*Check CONFLUENCE_TOKEN") as refused:
        space_at(site.url, token="another-secret")  # noqa: S106
    assert "another-secret" not in str(refused.value)


def test_a_space_or_parent_that_is_not_there_is_said_before_anything_is_written(
    site: Site, confluence: Confluence
) -> None:
    with pytest.raises(MlopsError, match="read the space 'NO'"):
        space_at(site.url, key="NO")
    with pytest.raises(InputRefused, match="has no page 'Models'"):
        space_at(site.url, parent="Models")
    assert not confluence.pages


def test_a_page_that_somebody_changes_meanwhile_stays_theirs(site: Site, confluence: Confluence) -> None:
    space = space_at(site.url)
    page = confluence.pages[space.publish(card(), {}, []).identifier]

    def change() -> None:
        page.version, page.body = page.version + 1, "<p>theirs</p>"

    confluence.before_write = [change]
    with pytest.raises(MlopsError, match="Somebody changed the page meanwhile"):
        space.publish(card("mine"), {}, [])
    assert page.body == "<p>theirs</p>"


def test_a_site_that_does_not_answer_is_a_sentence(site: Site) -> None:
    site.close()
    with pytest.raises(MlopsError, match="Confluence did not read the space"):
        space_at(site.url)


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({}, "Set CONFLUENCE_URL and CONFLUENCE_TOKEN"),
        ({"CONFLUENCE_URL": "https://example.org/wiki"}, "Set CONFLUENCE_TOKEN"),
        ({"CONFLUENCE_URL": "http://example.org", "CONFLUENCE_TOKEN": TOKEN}, "over https only"),
        ({"CONFLUENCE_URL": "https://me:pass@example.org", "CONFLUENCE_TOKEN": TOKEN}, "holds a user or a password"),
    ],
)
def test_credentials_come_from_the_environment_and_go_over_https_alone(environment: dict[str, str], says: str) -> None:
    with pytest.raises(InputRefused, match=says) as refused:
        connect(environment)
    assert TOKEN not in str(refused.value)
    assert "pass@" not in str(refused.value)


@pytest.fixture
def command(
    site: Site, store: Store, published: str, small_problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """`mlops document` on a stack that serves the published release."""
    runtime = {"stack": "local-dev", "cloud": "local", "platform": "process", "environment": "dev"}
    uris = {"store_uri": store.uri, "tracking_uri": "unused", "monitor_url": "unused", "release": published}
    monkeypatch.setenv("MLOPS_RUNTIME", Runtime.model_validate(runtime | uris).model_dump_json())
    monkeypatch.setenv("CONFLUENCE_URL", site.url)
    monkeypatch.setenv("CONFLUENCE_TOKEN", TOKEN)
    monkeypatch.setattr(document_command, "load_problem", lambda: small_problem)

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(document, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


def test_the_command_publishes_both_documents_of_the_release_that_serves(
    command: Callable[..., str], confluence: Confluence, published: str
) -> None:
    pages = json.loads(command("publish", "--space", "ML", "--json"))
    assert [page["version"] for page in pages] == [1, 1]
    found = {page.title: page for page in confluence.pages.values()}
    assert found.keys() == {"Model card: employment version 1", "Data sheet: employment version 1"}
    assert published in found["Model card: employment version 1"].body
    assert found["Model card: employment version 1"].attachments.keys() == {"model-card.md", "manifest.json"}
    command("publish", "--space", "ML")
    assert {page.version for page in confluence.pages.values()} == {2}


def test_the_command_writes_markdown_and_html(command: Callable[..., str], tmp_path: Path, published: str) -> None:
    files = [Path(line) for line in command("--out", str(tmp_path / "documents")).splitlines()]
    assert {file.name for file in files} == {"model-card.md", "model-card.html", "data-sheet.md", "data-sheet.html"}
    assert published in (tmp_path / "documents" / "model-card.md").read_text()
    assert published in (tmp_path / "documents" / "model-card.html").read_text()
