"""``memkit-run --requests`` finds the applications of servers, which are not changed."""

import signal
import subprocess
import sys
import time
from importlib.util import find_spec

import pytest

import memkit
from memkit.system import engine

from servers import APPLICATION, answer, free_port

PAGES = """
pages = []


def page(path):
    pages.append(bytes(10_000))
    return b"ok"


"""
SITE = """
import sys

from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpResponse
from django.urls import path

import shop

settings.configure(DEBUG=True, ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="secret", USE_TZ=True)


def item(request, number):
    shop.pages.append(bytes(10_000))
    return HttpResponse("ok")


urlpatterns = [path("items/<int:number>", item)]
if __name__ == "__main__":
    execute_from_command_line(sys.argv)
"""
GUNICORN = ["-b", "127.0.0.1:PORT", "--log-level", "error"]
SERVERS = {
    "wsgiref": ["shop.py", "PORT"],
    "uvicorn": ["-m", "uvicorn", "shop:asgi", "--port", "PORT", "--log-level", "error"],
    "gunicorn": ["--follow", "-m", "gunicorn", *GUNICORN, "shop:wsgi"],
    "gunicorn gthread": ["--follow", "-m", "gunicorn", *GUNICORN, "-k", "gthread", "--threads", "2", "shop:wsgi"],
    "gunicorn gevent": ["--follow", "-m", "gunicorn", *GUNICORN, "-k", "gevent", "shop:wsgi"],
    "waitress": ["-m", "waitress", "--listen=127.0.0.1:PORT", "shop:wsgi"],
    "daphne": ["-m", "daphne", "-p", "PORT", "-v", "0", "shop:asgi"],
    "django": ["website.py", "runserver", "--noreload", "PORT"],
    "hypercorn": ["--follow", "-m", "hypercorn", "-b", "127.0.0.1:PORT", "--log-level", "error", "shop:asgi"],
}
REQUESTS = 5


@pytest.mark.skipif(engine.NAME != "native", reason="allocators are counted by the native engine")
@pytest.mark.parametrize("name", SERVERS)
def test_requests_of_a_server_are_spans_without_a_change_to_it(tmp_path, name):
    for module in name.replace("gthread", "").split():
        if find_spec(module) is None:
            pytest.skip(f"not installed: {module}")
    (tmp_path / "shop.py").write_text(PAGES + APPLICATION)
    (tmp_path / "website.py").write_text(SITE)
    port = free_port()
    words = [word.replace("PORT", str(port)) for word in SERVERS[name]]
    command = [sys.executable, "-m", "memkit", "run", "-q", "--requests", "--heap=spans", "-o", "run.memkit", *words]
    server = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        for number in range(REQUESTS):
            assert answer(port, f"/items/{number}", server) == b"ok"
        time.sleep(0.6)  # uvicorn raises the signal again: what is not in the file by then is lost
    finally:
        server.send_signal(signal.SIGTERM)
        errors = server.communicate(timeout=50)[1]
    assert "memkit" not in errors, errors
    (sums,) = memkit.read(tmp_path / "run.memkit").span_sums
    assert sums.label == ("GET /items/<int:number>" if name == "django" else "GET /items/{}")
    assert sums.number == REQUESTS
    assert sums.kept.total >= REQUESTS * 10_000
