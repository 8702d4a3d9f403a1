"""A span around each request and each websocket of an ASGI application, such as one of Starlette, FastAPI or Django."""

from __future__ import annotations

import memkit
from memkit.integrations.routes import labeller

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping
    from typing import Any

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
    Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_SEEN = "memkit.span"  # in the scope of a request that has its span


class SpanMiddleware:
    """An ASGI application around another: each request is a ``memkit.span``, until its response has been sent.

    ::

        app.add_middleware(SpanMiddleware)      # FastAPI, Starlette; or app = SpanMiddleware(app)

    The label is the method and the template of the route, such as ``GET /items/{id}``; of a websocket ``WEBSOCKET`` and
    that. ``label`` is a function of the scope that tells another.
    """

    def __init__(self, app: Application, label: Callable[[Scope], str] | None = None) -> None:
        self.app = app
        self._label = label
        self._routes: Callable[[str, str], str] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or _SEEN in scope:
            await self.app(scope, receive, send)
            return
        scope[_SEEN] = True
        with memkit.span(self._label_of(scope)):
            await self.app(scope, receive, send)

    def _label_of(self, scope: Scope) -> str:
        if self._label is not None:
            return self._label(scope)
        if self._routes is None:  # routes are there once the application is: it is in the scope if this is inside it
            self._routes = labeller(scope.get("app") or self.app)
        path, root = scope["path"], scope.get("root_path") or ""
        if root and path.startswith(root):
            path = path[len(root) :]
        return self._routes(scope.get("method", "WEBSOCKET"), path)
