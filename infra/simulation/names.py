"""The simulated AWS answers to this machine's names alone: a page in a browser could give the address another."""

from collections.abc import Callable, Iterable
from typing import Any, Final
from urllib.parse import urlsplit

from werkzeug.exceptions import Forbidden
from werkzeug.sansio.utils import host_is_trusted

__all__ = ["own_names_only"]

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]

NAMES: Final = ("127.0.0.1", "localhost")


def own_names_only(application: Application) -> Application:
    """The application, which others than these names, and pages from there, are refused with 403."""

    def guarded(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        origin = environ.get("HTTP_ORIGIN")
        asked = [environ.get("HTTP_HOST"), *([urlsplit(origin).netloc] if origin is not None else [])]
        meant = application if all(host_is_trusted(name, NAMES) for name in asked) else Forbidden()
        return meant(environ, start_response)

    return guarded
