"""A span around each request or task: its label is that of the route, and nothing about the application changes."""

import asyncio
import sys
from wsgiref.util import FileWrapper, setup_testing_defaults

import pytest

import memkit
from memkit.integrations import asgi, finding, routes, wsgi
from memkit.integrations.gunicorn import Workers
from memkit.system import engine

from engines import exactly


async def ask(app, path, method="GET", kind="http", **more):
    """The messages that an ASGI application sends for a request."""
    sent = []
    scope = {"type": kind, "path": path, "raw_path": path.encode(), "query_string": b"", "headers": [], **more}
    scope |= {"method": method, "http_version": "1.1", "scheme": "http", "server": ("host", 80)} if kind == "http" else {}
    received = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive():
        return next(received, {"type": "http.disconnect"})

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    return sent


def asked(app, *requests):
    """The labels of the spans of some requests to an ASGI application."""

    async def all_of_them():
        for path, *method in requests:
            await ask(app, path, *method)

    with memkit.record() as run:
        asyncio.run(all_of_them())
    return [span.label for span in run.recording.spans]


def called(app, path="/", method="GET"):
    """The body that a WSGI application answers with, as a server reads it."""
    environ = {"PATH_INFO": path, "REQUEST_METHOD": method}
    setup_testing_defaults(environ)
    body = app(environ, lambda status, headers, error=None: None)
    try:
        return list(body)
    finally:
        if hasattr(body, "close"):
            body.close()


async def bare(scope, receive, send):
    assert scope["type"] in ("http", "websocket", "lifespan")
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"ok"})


# -- ASGI ----------------------------------------------------------------------------------------------------------------


def test_a_bare_application_has_paths_without_what_differs():
    labels = asked(asgi.SpanMiddleware(bare), ("/items/17",), ("/items/18", "POST"), ("/about",), ("/a/b3f-11/c",))
    assert labels == ["GET /items/{}", "POST /items/{}", "GET /about", "GET /a/{}/c"]


def test_websockets_are_spans_and_the_lifespan_is_none():
    app = asgi.SpanMiddleware(bare)
    with memkit.record() as run:
        asyncio.run(ask(app, "/news", kind="websocket"))
        asyncio.run(ask(app, "", kind="lifespan"))
    assert [span.label for span in run.recording.spans] == ["WEBSOCKET /news"]


def test_a_request_has_one_span_however_often_it_is_wrapped():
    assert asked(asgi.SpanMiddleware(asgi.SpanMiddleware(bare)), ("/",)) == ["GET /"]


def test_what_an_application_raises_passes_and_ends_its_span():
    async def fails(scope, receive, send):
        raise ZeroDivisionError

    with memkit.record() as run, pytest.raises(ZeroDivisionError):
        asyncio.run(ask(asgi.SpanMiddleware(fails), "/"))
    assert run.recording.spans[0].end is not None


def test_a_label_of_ones_own():
    app = asgi.SpanMiddleware(bare, label=lambda scope: scope["path"].upper())
    assert asked(app, ("/a",)) == ["/A"]


def test_the_span_lasts_until_the_response_has_been_sent():
    async def streams(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(3):
            await asyncio.sleep(0.002)
            await send({"type": "http.response.body", "body": b"part", "more_body": True})

    with memkit.record() as run:
        asyncio.run(ask(asgi.SpanMiddleware(streams), "/"))
    assert run.recording.spans[0].duration >= 6_000_000


@pytest.mark.skipif(engine.NAME != "native", reason="allocators are counted by the native engine")
def test_concurrent_requests_are_told_apart_to_the_byte():
    slots = {}

    async def keeps(scope, receive, send):
        number = int(scope["path"].rpartition("/")[2])
        await asyncio.sleep(0)
        slots[number] = bytes(1000 + number)
        await asyncio.sleep(0)
        bytes(30_000)

    app = asgi.SpanMiddleware(keeps, label=lambda scope: f"route {int(scope['path'][1:]) % 7}")

    async def all_at_once():
        await asyncio.gather(*(ask(app, f"/{number}") for number in range(1000)))

    asyncio.run(all_at_once())
    slots.update(dict.fromkeys(slots))
    with memkit.record(heap="spans") as run:
        asyncio.run(all_at_once())
    expected = {}
    for number, kept in slots.items():
        label = f"route {number % 7}"
        expected[label] = expected.get(label, 0) + sys.getsizeof(kept)
    found = {each.labels[-1]: each.heap.alive for each in run.recording.span_heaps}
    assert exactly(found, expected)


def test_starlette_has_the_templates_of_its_routes():
    pytest.importorskip("starlette")
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Mount, Route

    async def page(request):
        return PlainTextResponse("ok")

    below = Mount("/v1", routes=[Route("/users/{name}", page)])
    app = Starlette(routes=[Route("/items/me", page), Route("/items/{id:int}", page, methods=["GET"]), below])
    app.add_middleware(asgi.SpanMiddleware)
    labels = asked(app, ("/items/me",), ("/items/5",), ("/v1/users/ada",), ("/nowhere/at/all",))
    assert labels == ["GET /items/me", "GET /items/{id:int}", "GET /v1/users/{name}", "GET <no route>"]
    assert asked(asgi.SpanMiddleware(app), ("/items/7",)) == ["GET /items/{id:int}"]


def test_fastapi_has_the_templates_of_its_routes():
    fastapi = pytest.importorskip("fastapi")
    app = fastapi.FastAPI()
    router = fastapi.APIRouter(prefix="/shop")

    @router.get("/items/{id}")
    async def item(id: int):
        return {"id": id}

    @router.post("/items/{id}")
    def sell(id: int):
        return {"sold": id}

    app.include_router(router)
    assert asked(asgi.SpanMiddleware(app), ("/shop/items/5",), ("/shop/items/6", "POST"), ("/shop",)) == [
        "GET /shop/items/{id}",
        "POST /shop/items/{id}",
        "GET <no route>",
    ]


# -- WSGI ----------------------------------------------------------------------------------------------------------------


def test_a_wsgi_response_that_is_whole_is_given_as_it_is():
    body = [b"ok"]
    app = wsgi.SpanMiddleware(lambda environ, start: body)
    with memkit.record() as run:
        environ = {}
        setup_testing_defaults(environ)
        assert app(environ, None) is body
    assert [span.label for span in run.recording.spans] == ["GET /"]


def test_a_wsgi_response_that_is_made_as_it_is_read_is_in_its_span():
    closed = []

    class Parts:
        def __iter__(self):
            with memkit.span("part"):
                yield b"a"
            yield b"b"

        def close(self):
            closed.append(True)

    with memkit.record() as run:
        assert called(wsgi.SpanMiddleware(lambda environ, start: Parts()), "/parts/1") == [b"a", b"b"]
    request, part = run.recording.spans
    assert (request.label, part.label, part.depth) == ("GET /parts/{}", "part", 1)
    assert request.end >= part.end
    assert closed == [True]


def test_a_file_is_left_to_the_server(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    with open(tmp_path / "file", "rb") as file:
        wrapper = FileWrapper(file)
        app = wsgi.SpanMiddleware(lambda environ, start: wrapper)
        environ = {"wsgi.file_wrapper": FileWrapper}
        setup_testing_defaults(environ)
        assert app(environ, None) is wrapper


def test_what_a_wsgi_application_raises_passes_and_ends_its_span():
    def fails(environ, start):
        raise ZeroDivisionError

    with memkit.record() as run, pytest.raises(ZeroDivisionError):
        called(wsgi.SpanMiddleware(fails))
    assert run.recording.spans[0].end is not None


def test_flask_has_the_templates_of_its_rules():
    flask = pytest.importorskip("flask")
    app = flask.Flask("shop")
    app.add_url_rule("/items/<int:id>", view_func=lambda id: str(id), endpoint="item")
    app.wsgi_app = wsgi.SpanMiddleware(app.wsgi_app)
    with memkit.record() as run:
        assert called(app, "/items/5") == [b"5"]
        called(app, "/nowhere/5")
    assert [span.label for span in run.recording.spans] == ["GET /items/<int:id>", "GET <no route>"]


def test_django_has_the_templates_of_its_patterns(python):
    pytest.importorskip("django")
    text = """if True:
        import json, django
        from django.conf import settings
        from django.http import HttpResponse
        from django.urls import path
        settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"])
        django.setup()
        urlpatterns = [path("items/<int:id>/", lambda request, id: HttpResponse(str(id)))]
        import memkit
        from django.core.wsgi import get_wsgi_application
        from memkit.integrations.wsgi import SpanMiddleware
        from wsgiref.util import setup_testing_defaults
        app = SpanMiddleware(get_wsgi_application())
        with memkit.record() as run:
            for where in ("/items/5/", "/nowhere"):
                environ = {"PATH_INFO": where}
                setup_testing_defaults(environ)
                list(app(environ, lambda *_: None))
        print(json.dumps([span.label for span in run.recording.spans]))
    """
    assert python(text) == ["GET /items/<int:id>/", "GET <no route>"]


def test_an_application_is_wrapped_as_what_it_is():
    async def asynchronous(scope, receive, send):
        pass

    def hands_on(scope, receive, send):
        return asynchronous(scope, receive, send)

    def synchronous(environ, start_response):
        return []

    class Another:  # as those of aiohttp and Tornado are, which their workers look into
        def __call__(self, request):
            pass

    class Asynchronous:
        async def __call__(self, request):
            pass

    kinds = [type(finding.wrapped(app)) for app in (asynchronous, hands_on, synchronous)]
    assert kinds == [asgi.SpanMiddleware, asgi.SpanMiddleware, wsgi.SpanMiddleware]
    for other in (Another(), Asynchronous()):
        assert finding.wrapped(other) is other


def test_methods_that_strangers_make_up_are_one():
    label = routes.labeller(lambda environ, start_response: [])
    assert [label("QZX1", "/a"), label("FOO", "/a"), label("PUT", "/a")] == ["<other> /a", "<other> /a", "PUT /a"]


def test_routes_that_are_not_as_they_are_known_are_no_reason_to_fail():
    class Odd:
        routes = [object()]  # noqa: RUF012
        url_map = None

    class Broken:
        url_map = None

    assert routes.labeller(Odd())("GET", "/a/1") == "GET <no route>"
    assert routes.labeller(Broken())("GET", "/a/1") == "GET /a/{}"


# -- Celery ----------------------------------------------------------------------------------------------------------------


def test_tasks_of_celery_are_spans_only_as_long_as_it_is_wanted(python):
    pytest.importorskip("celery")
    text = """if True:
        import json, memkit
        from celery import Celery, signals
        from memkit.integrations.finding import Requests

        app = Celery("shop", broker="memory://")
        app.conf.task_always_eager = True
        before = [list(signals.task_prerun.receivers or ()), list(signals.task_postrun.receivers or ())]
        one, other = Requests(), Requests()

        @app.task(name="resize")
        def resize():
            return None

        @app.task(name="last")
        def last():
            one.end()

        with memkit.record() as run:
            resize.apply()
            one.begin()
            other.begin()
            resize.apply()
            other.end()
            last.apply()
            resize.apply()
        after = [list(signals.task_prerun.receivers or ()), list(signals.task_postrun.receivers or ())]
        print(json.dumps([before == after, [(each.label, each.end is not None) for each in run.recording.spans]]))
    """
    assert python(text) == [True, [["resize", True], ["last", True]]]


def test_tasks_of_celery_are_spans(python):
    pytest.importorskip("celery")
    text = """if True:
        import json, memkit
        from celery import Celery
        from memkit.integrations import celery
        celery.connect()
        app = Celery("shop", broker="memory://", backend="cache+memory://")
        app.conf.task_always_eager = True
        @app.task(name="shop.resize")
        def resize(n):
            if n == 3:
                raise ValueError
            n > 1 and resize.delay(n - 1)
        with memkit.record() as run:
            resize.delay(2).get()
            resize.delay(3)
        print(json.dumps([(span.label, span.depth, span.end is not None) for span in run.recording.spans]))
    """
    assert python(text) == [["shop.resize", 0, True], ["shop.resize", 1, True], ["shop.resize", 0, True]]


# -- gunicorn --------------------------------------------------------------------------------------------------------------


class Server:
    """What of gunicorn's arbiter the hooks use."""

    def __init__(self):
        self.warnings = []
        self.log = self

    def warning(self, text, *values):
        self.warnings.append(text % values)


def test_each_worker_of_gunicorn_has_a_recording_of_its_own(tmp_path):
    workers, server = Workers(tmp_path / "recordings"), Server()
    workers.post_fork(server, None)
    with memkit.span("GET /"):
        pass
    workers.worker_abort(None)
    (path,) = (tmp_path / "recordings").iterdir()
    assert [span.label for span in memkit.read(path).spans] == ["GET /"]
    workers.worker_exit(server, None)
    assert str(memkit.read(path).ending) == "finished"
    assert server.warnings == []


def test_a_worker_that_cannot_be_recorded_works(tmp_path):
    (tmp_path / "file").write_text("")
    workers, server = Workers(tmp_path / "file"), Server()
    workers.post_fork(server, None)
    workers.worker_abort(None)
    workers.worker_exit(server, None)
    assert [text.partition(":")[0].rpartition(" ")[0] for text in server.warnings] == ["memkit does not record worker"]
