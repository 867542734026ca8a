"""A prediction request, whatever its protocol: how its rows are read, and how its answer is written."""

from collections.abc import Callable
from typing import NamedTuple

from ml.http.answers import Response
from ml.model.explain import Explained
from ml.model.model import Scored, ServedModel
from ml.model.requests import Rows

__all__ = ["Call"]


class Call(NamedTuple):
    """One request; champion, canary and shadow each read it with their own schema, from threads.

    `read` raises RequestRefused for rows that do not fit the model. `write` is given the request id, and the reasons
    where `explain` asks for them. A call that is `pinned` names the champion's version: no challenger answers it.
    """

    read: Callable[[ServedModel], Rows]
    write: Callable[[ServedModel, Scored, str, Explained | None], Response]
    explain: bool = False
    pinned: bool = False
