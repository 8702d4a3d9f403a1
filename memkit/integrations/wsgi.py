"""A span around each request of a WSGI application, such as one of Flask or Django."""

from __future__ import annotations

import memkit
from memkit.integrations.routes import labeller

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    Environ = dict[str, Any]
    Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

_SEEN = "memkit.span"  # in the environment of a request that has its span


class SpanMiddleware:
    """A WSGI application around another: each request is a ``memkit.span``, until the server has read its response.

    ::

        app.wsgi_app = SpanMiddleware(app.wsgi_app)     # Flask; or application = SpanMiddleware(application)

    The label is the method and the template of the route, such as ``GET /items/<int:id>``. ``label`` is a function of the
    environment that tells another.
    """

    def __init__(self, app: Application, label: Callable[[Environ], str] | None = None) -> None:
        self.app = app
        self._label = label
        self._routes: Callable[[str, str], str] | None = None

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if _SEEN in environ:
            return self.app(environ, start_response)
        environ[_SEEN] = True
        one = memkit.span(self._label_of(environ))
        one.__enter__()
        try:
            body = self.app(environ, start_response)
        except BaseException:
            one.__exit__()
            raise
        if isinstance(body, (list, tuple)) or type(body) is environ.get("wsgi.file_wrapper"):
            one.__exit__()  # it is all there, or a file that the server may send without reading it
            return body
        return _Body(body, one)

    def _label_of(self, environ: Environ) -> str:
        if self._label is not None:
            return self._label(environ)
        if self._routes is None:
            owner = getattr(self.app, "__self__", None)  # Flask's wsgi_app is a method
            self._routes = labeller(self.app if owner is None else owner)
        return self._routes(environ.get("REQUEST_METHOD", "GET"), environ.get("PATH_INFO", "/"))


class _Body:
    """A response that is made while the server reads it: its span ends as it is closed, or when it is all read."""

    def __init__(self, body: Iterable[bytes], one: memkit.span) -> None:
        self._body = body
        self._open: memkit.span | None = one

    def __iter__(self) -> Iterator[bytes]:
        yield from self._body
        self._end()

    def close(self) -> None:
        try:
            if hasattr(self._body, "close"):
                self._body.close()
        finally:
            self._end()

    def _end(self) -> None:
        one, self._open = self._open, None
        if one is not None:
            one.__exit__()
