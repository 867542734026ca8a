"""A double of Confluence's REST API, version 1: it demands what the real one demands, and keeps what it is given.

After https://docs.atlassian.com/ConfluenceServer/rest/ (resources space, content, content/{id}/label,
content/{id}/child/attachment) and https://developer.atlassian.com/cloud/confluence/rest/v1/.
"""

import base64
import json
import threading
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

STORAGE_NAMESPACES = 'xmlns:ac="urn:ac" xmlns:ri="urn:ri"'


class Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Content:
    identifier: str
    space: str
    title: str
    body: str
    version: int = 1
    comment: str | None = None
    parent: str | None = None
    labels: set[str] = field(default_factory=set)
    attachments: dict[str, "Attachment"] = field(default_factory=dict)


@dataclass
class Attachment:
    identifier: str
    data: bytes
    media_type: str
    version: int = 1


class Confluence:
    """The state of a site, and its rules; `before_write` lets a test change something between reading and writing."""

    def __init__(self, *, token: str, user: str | None = None, spaces: tuple[str, ...] = ("ML",)) -> None:
        login = base64.b64encode(f"{user}:{token}".encode()).decode()
        self.authorization = f"Basic {login}" if user else f"Bearer {token}"
        self.spaces = spaces
        self.pages: dict[str, Content] = {}
        self.before_write: list[Any] = []
        self._next = 100

    def add(self, space: str, title: str) -> Content:
        page = Content(self._identifier(), space, title, "<p />")
        self.pages[page.identifier] = page
        return page

    def answer(self, method: str, path: str, query: dict[str, str], headers: Message, body: bytes) -> dict[str, Any]:
        if headers.get("Authorization") != self.authorization:
            raise Refused(401, "Basic authentication or a token is needed")
        if method in ("PUT", "POST") and self.before_write:
            self.before_write.pop()()
        match [method, *path.removeprefix("/rest/api/").split("/")]:
            case ["GET", "space", key]:
                self._space(key)
                return {"key": key, "type": "global"}
            case ["GET", "content"]:
                found = [p for p in self.pages.values() if (p.space, p.title) == (query["spaceKey"], query["title"])]
                return {"results": [self._shown(p) for p in found], "size": len(found)}
            case ["POST", "content"]:
                return self._create(_json(headers, body))
            case ["GET", "content", identifier, "history"]:
                return {"latest": True, "lastUpdated": {"number": self._page(identifier).version}}
            case ["PUT", "content", identifier]:
                return self._update(self._page(identifier), _json(headers, body))
            case ["POST", "content", identifier, "label"]:
                return self._label(self._page(identifier), _json(headers, body))
            case ["GET", "content", identifier, "child", "attachment"]:
                page, name = self._page(identifier), query.get("filename")
                found = [(n, a) for n, a in page.attachments.items() if name in (None, n)]
                return {"results": [{"id": a.identifier, "title": n} for n, a in found]}
            case ["POST", "content", identifier, "child", "attachment", *rest]:
                return self._attach(self._page(identifier), rest, headers, body)
        raise Refused(404, f"null for uri: {path}")

    def _create(self, value: dict[str, Any]) -> dict[str, Any]:
        if value.get("type") != "page" or not value.get("title") or "space" not in value:
            raise Refused(400, "type, title and space are required")
        self._space(value["space"]["key"])
        if any((p.space, p.title) == (value["space"]["key"], value["title"]) for p in self.pages.values()):
            raise Refused(400, "A page with this title already exists in this space")
        page = Content(self._identifier(), value["space"]["key"], value["title"], _storage(value))
        page.parent = self._ancestor(value)
        page.comment = value.get("version", {}).get("message")
        self.pages[page.identifier] = page
        return self._shown(page)

    def _update(self, page: Content, value: dict[str, Any]) -> dict[str, Any]:
        if value.get("type") != "page" or not value.get("title"):
            raise Refused(400, "type and title are required")
        number = value.get("version", {}).get("number")
        if number is None:
            raise Refused(400, "Must supply an incremented version when updating Content. No version supplied.")
        if number != page.version + 1:
            raise Refused(409, f"Version must be incremented on update. Current version is: {page.version}")
        page.body, page.title, page.version = _storage(value), value["title"], number
        page.parent = self._ancestor(value) or page.parent
        page.comment = value["version"].get("message")
        return self._shown(page)

    def _label(self, page: Content, value: Any) -> dict[str, Any]:
        for label in value if isinstance(value, list) else [value]:
            name = label.get("name", "")
            if label.get("prefix") not in ("global", "my", "team") or not name or set(name) & set(' :;,?&[]()#^*!@"'):
                raise Refused(400, f"{label} is not a valid label")
            if name != name.lower() or len(name) > 255:
                raise Refused(400, f"{name} is not a valid label")
            page.labels.add(name)
        return {"results": [{"name": name} for name in sorted(page.labels)]}

    def _attach(self, page: Content, rest: list[str], headers: Message, body: bytes) -> dict[str, Any]:
        if headers.get("X-Atlassian-Token") not in ("no-check", "nocheck"):
            raise Refused(403, "XSRF check failed")
        if not (headers.get("Content-Type") or "").startswith("multipart/form-data"):
            raise Refused(415, "Unsupported Media Type")
        name, media_type, data = _file(headers, body)
        if not rest:
            if name in page.attachments:
                raise Refused(400, f"Cannot add a new attachment with same file name as an existing attachment: {name}")
            page.attachments[name] = Attachment(self._identifier("att"), data, media_type)
            return {"results": [{"id": page.attachments[name].identifier, "title": name}]}
        known = {a.identifier: a for a in page.attachments.values()}
        if len(rest) != 2 or rest[1] != "data" or rest[0] not in known:
            raise Refused(404, "No such attachment")
        attachment = known[rest[0]]
        attachment.data, attachment.version = data, attachment.version + 1
        return {"id": attachment.identifier, "title": name}

    def _ancestor(self, value: dict[str, Any]) -> str | None:
        for ancestor in value.get("ancestors", []):
            return self._page(ancestor["id"]).identifier
        return None

    def _space(self, key: str) -> None:
        if key not in self.spaces:
            raise Refused(404, f"No space with key : {key}")

    def _page(self, identifier: str) -> Content:
        if identifier not in self.pages:
            raise Refused(404, f"No content found with id: {identifier}")
        return self.pages[identifier]

    def _identifier(self, prefix: str = "") -> str:
        self._next += 1
        return f"{prefix}{self._next}"

    def _shown(self, page: Content) -> dict[str, Any]:
        return {
            "id": page.identifier,
            "type": "page",
            "status": "current",
            "title": page.title,
            "version": {"number": page.version},
            "_links": {"webui": f"/spaces/{page.space}/pages/{page.identifier}"},
        }


class Site:
    """The double behind a socket, until `close`."""

    def __init__(self, confluence: Confluence) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                url = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                query = {name: values[0] for name, values in parse_qs(url.query).items()}
                try:
                    status, value = 200, confluence.answer(self.command, url.path, query, self.headers, body)
                except Refused as refused:
                    status, value = refused.status, {"statusCode": refused.status, "message": str(refused)}
                data = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = _serve  # noqa: N815 # the names that http.server calls

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _json(headers: Message, body: bytes) -> Any:
    if not (headers.get("Content-Type") or "").startswith("application/json"):
        raise Refused(415, "Unsupported Media Type")
    try:
        return json.loads(body)
    except ValueError as error:
        raise Refused(400, str(error)) from error


def _storage(value: dict[str, Any]) -> str:
    storage = value.get("body", {}).get("storage", {})
    if storage.get("representation") != "storage" or "value" not in storage:
        raise Refused(400, "body.storage with its value and representation is required")
    try:
        ElementTree.fromstring(f"<body {STORAGE_NAMESPACES}>{storage['value']}</body>")  # noqa: S314 # our own
    except ElementTree.ParseError as error:
        raise Refused(400, f"Error parsing xhtml: {error}") from error
    return storage["value"]


def _file(headers: Message, body: bytes) -> tuple[str, str, bytes]:
    parts = message_from_bytes(b"Content-Type: " + headers["Content-Type"].encode() + b"\r\n\r\n" + body)
    for part in parts.get_payload():
        if isinstance(part, Message) and part.get_param("name", header="content-disposition") == "file":
            name = part.get_filename()
            if name:
                return name, part.get_content_type(), part.get_payload(decode=True)
    raise Refused(400, "At least one multipart part named 'file' with a file name is required")
