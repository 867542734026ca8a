"""The model server as an AWS Lambda function: the same application, asked by events.

Function URLs, API Gateway and load balancers send HTTP in their events, which Mangum turns into requests of any route.
Every other event is a plain invocation: its JSON is what POST /invocations takes, and what that answers is the result.
"""

import asyncio
import os
from functools import cache
from typing import Any, Final

import msgspec
from mangum import Mangum

from ml.container.placement import place
from ml.serving.app import ModelServer
from ml.serving.command import serve, settings_of

__all__ = ["Function", "function", "handler"]

PLAIN_ROUTE: Final = "/invocations"


class PlainEvent:
    """An invocation without HTTP around it, as Mangum takes a kind of event."""

    @classmethod
    def infer(cls, event: Any, context: Any, config: Any) -> bool:
        """Whether the event is one."""
        return not (isinstance(event, dict) and "requestContext" in event)

    def __init__(self, *event_context_and_config: Any) -> None:
        event, context, _ = event_context_and_config
        self._request_id = str(getattr(context, "aws_request_id", ""))
        self.body = msgspec.json.encode(event)

    @property
    def scope(self) -> dict[str, Any]:
        """The request that the event stands for."""
        headers = {b"content-type": b"application/json", b"x-request-id": self._request_id.encode()}
        return {
            "type": "http", "http_version": "1.1", "method": "POST", "scheme": "https", "path": PLAIN_ROUTE,
            "raw_path": None, "root_path": "", "query_string": b"", "headers": [list(pair) for pair in headers.items()],
            "server": None, "client": None, "asgi": {"version": "3.0", "spec_version": "2.0"},
        }  # fmt: skip

    def __call__(self, response: Any) -> Any:
        """The answer's JSON; a refusal is one too, with its `status` beside its `error`, and no failure of ours."""
        answer = msgspec.json.decode(response["body"])
        return answer if response["status"] < 400 else {"status": response["status"], **answer}


class Function:
    """A server that is asked by events, one at a time, and may be frozen between them."""

    def __init__(self, server: ModelServer) -> None:
        self._server = server
        self._ask = Mangum(server, lifespan="off", custom_handlers=[PlainEvent])
        asyncio.get_event_loop().run_until_complete(server.host.reload())

    def __call__(self, event: Any, context: Any) -> Any:
        """Answer an event, with its predictions in the store: a frozen function might never write them."""
        try:
            return self._ask(event, context)
        finally:
            self._server.write_log()


@cache
def function() -> Function:
    """This container's function, with the options that its variables state; ReleaseRefused as `place` has it."""
    with serve.make_context("lambda", [], default_map=dict(place(os.environ).options())) as context:
        return Function(ModelServer(settings_of(context.params)))


def handler(event: Any, context: Any) -> Any:
    """What the Lambda runtime calls."""
    return function()(event, context)
