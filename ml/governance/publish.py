"""Documents as pages of a Confluence space: made where there is none of their title, else a new version of it."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from atlassian import Confluence
from atlassian.errors import ApiError
from requests import RequestException

from ml.errors import InputRefused, MlopsError
from ml.governance.documents import Document

__all__ = ["Page", "Space", "connect"]

URL: Final = "CONFLUENCE_URL"
USER: Final = "CONFLUENCE_USER"
TOKEN: Final = "CONFLUENCE_TOKEN"  # noqa: S105 # the variable's name
TIMEOUT_S: Final = 30
LABEL: Final = "mlops"


@dataclass(frozen=True)
class Page:
    """A page as it stands in Confluence now; version 1 is a new one."""

    identifier: str
    version: int
    title: str
    url: str


def connect(environment: Mapping[str, str] = os.environ) -> Any:
    """A client from CONFLUENCE_URL, CONFLUENCE_TOKEN and, for Confluence Cloud, CONFLUENCE_USER; InputRefused else.

    With a user the token is Cloud's API token (the URL ends in /wiki), without one Data Center's personal access token.
    """
    url, token, user = (environment.get(name, "").strip() for name in (URL, TOKEN, USER))
    if missing := [name for name, value in ((URL, url), (TOKEN, token)) if not value]:
        raise InputRefused(f"Set {' and '.join(missing)}: where Confluence is, and with which token to write there.")
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.hostname)):
        raise InputRefused(f"{URL} is {parts.scheme or 'no'}://…: the token is sent over https only.")
    if parts.username or parts.password:
        raise InputRefused(f"{URL} holds a user or a password. Put them into {USER} and {TOKEN}.")
    login = {"username": user, "password": token} if user else {"token": token}
    # cloud=False: version 1 of the REST API, the one that both Cloud and Data Center have for all that is needed here.
    return Confluence(url, cloud=False, timeout=TIMEOUT_S, **login)


class Space:
    """A space to publish to, below the page titled `parent` if there is one."""

    def __init__(self, client: Any, key: str, parent: str | None = None) -> None:
        self._client = client  # most of its methods say nothing of their types
        self._key = key
        _asked(lambda: self._client.get_space(key), f"read the space {key!r}")
        found = self._find(parent) if parent else None
        if parent and found is None:
            raise InputRefused(
                f"The space {key!r} has no page {parent!r} to publish under. Make it, or leave --parent out."
            )
        self._parent = found["id"] if found else None

    def publish(self, document: Document, attachments: Mapping[str, tuple[bytes, str]], labels: list[str]) -> Page:
        """Write the page, then its attachments (content and media type by name) and labels; safe to repeat.

        MlopsError in Confluence's words. When somebody else changes the page meanwhile, theirs stays and this fails.
        """
        page = self._write(document, f"Release {document.digest}")
        identifier = str(page["id"])
        for name, (content, media_type) in attachments.items():
            self._attach(identifier, name, content, media_type)
        for label in (LABEL, document.kind, *labels):
            _asked(lambda label=label: self._client.set_page_label(identifier, label), f"label {document.title!r}")
        return Page(identifier, int(page["version"]["number"]), document.title, f"{self._client.url}{_path_of(page)}")

    def _write(self, document: Document, comment: str) -> dict[str, Any]:
        title, body = document.title, document.storage
        how = {"parent_id": self._parent, "version_comment": comment}
        if found := self._find(title):
            return _asked(
                lambda: self._client.update_page(found["id"], title, body, always_update=True, **how),
                f"update the page {title!r}",
            )
        return _asked(lambda: self._client.create_page(self._key, title, body, **how), f"create the page {title!r}")

    def _find(self, title: str) -> dict[str, Any] | None:
        pages = _asked(lambda: self._client.get_page_by_title(self._key, title), f"search the space {self._key!r}")
        return next(iter(pages["results"]), None)

    def _attach(self, page: str, name: str, content: bytes, media_type: str) -> None:
        # Not the client's attach_content: it updates by a PUT that takes an attachment's properties, not its data.
        path = f"rest/api/content/{page}/child/attachment"
        headers = {"X-Atlassian-Token": "no-check", "Accept": "application/json"}
        there = _asked(lambda: self._client.get(path, params={"filename": name}), f"list the attachments of {page}")
        if there["results"]:
            path = f"{path}/{there['results'][0]['id']}/data"
        upload = {"file": (name, content, media_type)}
        _asked(lambda: self._client.post(path, headers=headers, files=upload), f"attach {name}")


def _asked(ask: Callable[[], Any], what: str) -> Any:
    """What Confluence answers; MlopsError says what it refused, and why, without the credentials."""
    try:
        return ask()
    except (ApiError, RequestException) as error:
        cause = error.reason if isinstance(error, ApiError) else error
        response = getattr(cause, "response", None)
        status = getattr(response, "status_code", None)
        hint = HINTS.get(status or 0, "")
        raise MlopsError(
            f"Confluence did not {what}: {f'status {status}, ' if status else ''}{str(error)[:300]}.{hint}"
        ) from error


HINTS: Final = {
    401: f" Check {TOKEN}, and {USER} for Confluence Cloud.",
    403: " The account may not do that in this space.",
    404: " There is no such thing, or the account may not see it.",
    409: " Somebody changed the page meanwhile: look at it, then publish again.",
}


def _is_loopback(host: str | None) -> bool:
    try:
        return host == "localhost" or ip_address(host or "").is_loopback
    except ValueError:
        return False


def _path_of(page: dict[str, Any]) -> str:
    links: dict[str, str] = page.get("_links", {})
    return links.get("webui") or f"/pages/viewpage.action?pageId={page['id']}"
