"""``--requests``: applications are found where their servers keep them, and the program is not changed.

Each server keeps its application in an attribute of a known class. As long as there is a data descriptor of that name in the
class, the server finds the application with a span around each request instead: in objects that are there already, too, and
not any more once the descriptor is gone.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

_ATTRIBUTES = {
    "uvicorn.protocols.http.h11_impl": [("H11Protocol", "app")],
    "uvicorn.protocols.http.httptools_impl": [("HttpToolsProtocol", "app")],
    "uvicorn.protocols.http.zttp_impl": [("ZttpProtocol", "app")],
    "uvicorn.protocols.http.zttp_h2_impl": [("ZttpH2Protocol", "app")],
    "uvicorn.protocols.websockets.websockets_impl": [("WebSocketProtocol", "app")],
    "uvicorn.protocols.websockets.websockets_sansio_impl": [("WebSocketsSansIOProtocol", "app")],
    "uvicorn.protocols.websockets.wsproto_impl": [("WSProtocol", "app")],
    "hypercorn.app_wrappers": [("ASGIWrapper", "app"), ("WSGIWrapper", "app")],
    "gunicorn.workers.base": [("Worker", "wsgi")],
    "gunicorn.workers.gasgi": [("ASGIWorker", "asgi")],
    "waitress.server": [("BaseWSGIServer", "application")],
    "daphne.server": [("Server", "application")],
    "wsgiref.simple_server": [("WSGIServer", "application")],
    "gevent.pywsgi": [("WSGIServer", "application")],
}
"""By the name of the module: its classes, and the attribute of their objects that is an application."""
SERVERS = "uvicorn, hypercorn, daphne, gunicorn, waitress, gevent, wsgiref, Django's runserver and Celery"
_IMPORTED_ANYWAY = "wsgiref.simple_server"
_CELERY = "celery.signals"


def install() -> None:
    """Watch from now on, in this process, also in modules that are imported later."""
    if not any(isinstance(finder, _Watch) for finder in sys.meta_path):
        permanent = Requests()
        permanent.begin()
        sys.meta_path.insert(0, _Watch(permanent))


def wrapped(app: Any) -> Any:
    """An application with a span around each request, of ASGI or WSGI; another kind, such as aiohttp's, as it is."""
    from memkit.integrations import asgi, wsgi

    if isinstance(app, (asgi.SpanMiddleware, wsgi.SpanMiddleware)):
        return app
    if _is_asynchronous(app) or not _takes(app, 2):  # a function may return the coroutine of another
        return asgi.SpanMiddleware(app) if _takes(app, 3) else app
    return wsgi.SpanMiddleware(app)


def _is_asynchronous(app: Any) -> bool:
    import inspect

    return any(map(inspect.iscoroutinefunction, (app, getattr(app, "__call__", None))))  # noqa: B004 (it is looked into)


def _takes(app: Any, number: int) -> bool:
    """Whether it can be called with so many arguments."""
    import inspect

    try:
        inspect.signature(app).bind(*[None] * number)
    except TypeError:
        return False
    except ValueError:  # of C, which does not tell
        return True
    return True


class Requests:
    """Requests and tasks of this process are spans from ``begin`` to ``end``. There may be several at a time."""

    def check(self) -> None:
        """Raise ``UsageError`` where no server is in this process whose requests can be seen."""
        from memkit.base.errors import UsageError

        known = [name for name in (*_ATTRIBUTES, _CELERY) if name in sys.modules]
        if not known or (known == [_IMPORTED_ANYWAY] and not _has_one(sys.modules[_IMPORTED_ANYWAY].WSGIServer)):
            raise UsageError(f"it runs none of the servers that --requests knows: {SERVERS}")
        leads = _leads_gunicorn() or _leads_celery()
        if leads:
            raise UsageError(f"it is {leads}, and its workers do the work: attach to one of these")

    def begin(self) -> None:
        """Requests and tasks that begin from now on are spans, as far as modules that are known have been imported."""
        for name in (*_ATTRIBUTES, _CELERY):
            if name in sys.modules:
                self.look_into(sys.modules[name])

    def look_into(self, module: Any) -> None:
        """The same of a module that has been imported. ``AttributeError`` where it is another version of a server."""
        if module.__name__ == _CELERY:
            from memkit.integrations import celery

            celery.connect(module, self)
            return
        for owner, name in _ATTRIBUTES[module.__name__]:
            _Application.put(getattr(module, owner), name, self)

    def end(self) -> None:
        """Requests and tasks that begin from now on are no spans, unless another one still wants them."""
        from memkit.integrations import celery

        for name, attributes in _ATTRIBUTES.items():
            for owner, attribute in attributes:
                found = vars(getattr(sys.modules.get(name), owner, object)).get(attribute)
                if isinstance(found, _Application):
                    found.take_away(self)
        if _CELERY in sys.modules:
            celery.disconnect(sys.modules[_CELERY], self)


class _Application:
    """The data descriptor of an attribute that has an application, for some ``Requests``."""

    def __init__(self, owner: Any, name: str) -> None:
        self._owner, self._name = owner, name
        self._before = vars(owner).get(name, _MISSING)
        self._wanted_by: list[Requests] = []
        self._wrapped: dict[int, Any] = {}  # by the id of an application, which the middleware keeps alive

    @staticmethod
    def put(owner: Any, name: str, wanted_by: Requests) -> None:
        """Put one into a class, unless it is there."""
        found = vars(owner).get(name)
        if not isinstance(found, _Application):
            found = _Application(owner, name)
            setattr(owner, name, found)
        found._wanted_by.append(wanted_by)

    def take_away(self, wanted_by: Requests) -> None:
        """Leave the class as it was, if nobody else wants it."""
        if wanted_by in self._wanted_by:
            self._wanted_by.remove(wanted_by)
        if not self._wanted_by:
            if self._before is _MISSING:
                delattr(self._owner, self._name)
            else:
                setattr(self._owner, self._name, self._before)

    def __get__(self, server: Any, kind: Any = None) -> Any:
        if server is None:
            return self if self._before is _MISSING else self._before
        app = vars(server).get(self._name, self._before)
        if app is _MISSING:
            raise AttributeError(f"{type(server).__name__!r} object has no attribute {self._name!r}")
        if app is None:
            return None
        found = self._wrapped.get(id(app))
        if found is None:
            found = self._wrapped[id(app)] = wrapped(app)
        return found

    def __set__(self, server: Any, app: Any) -> None:
        vars(server)[self._name] = app

    def __delete__(self, server: Any) -> None:
        del vars(server)[self._name]


_MISSING: Any = object()


def _has_one(kind: type) -> bool:
    """Whether there is an object of a class, or of one that is derived from it."""
    import gc

    kinds = [kind]
    for each in kinds:
        kinds += each.__subclasses__()
    return any(issubclass(type(found), kind) for each in kinds for found in gc.get_referrers(each))


def _leads_gunicorn() -> str | None:
    """What this process is if it is the one that starts gunicorn's workers."""
    import os

    arbiter: Any = getattr(sys.modules.get("gunicorn.arbiter"), "Arbiter", None)
    workers = dict(getattr(arbiter, "WORKERS", ()))
    leads = any(getattr(worker, "ppid", None) == os.getpid() for worker in workers.values())
    return "gunicorn's master" if leads else None


def _leads_celery() -> str | None:
    """What this process is if it is the one that gives tasks to processes of Celery's."""
    process: Any = sys.modules.get("billiard.process")
    if "celery.concurrency.prefork" not in sys.modules or process is None:
        return None
    return "the main process of a Celery worker" if process.current_process().name == "MainProcess" else None


class _Watch:
    """Finds the modules that are watched for, as the other finders do."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in _ATTRIBUTES and name != _CELERY:
            return None
        for finder in sys.meta_path:
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = None if find is None else find(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader, self._requests.look_into)  # type: ignore[assignment]
                return spec
        return None


class _Loader:
    """Loads a module as its own loader does, and then looks into it."""

    def __init__(self, loader: Any, look_into: Callable[[Any], None]) -> None:
        self._loader, self._look_into = loader, look_into

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self._loader.create_module(spec)
        return made

    def exec_module(self, module: Any) -> None:
        module.__loader__ = module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        try:
            self._look_into(module)
        except Exception as error:  # another version of the server: it serves all the same
            from memkit.base.errors import in_a_line
            from memkit.base.stderr import to_stderr

            to_stderr(f"--requests does not know this {module.__name__}: {in_a_line(error)}")
