"""An application for all kinds of servers, and asking one on a free port."""

import socket
import time

# To follow the text of a module that has a function `page`, from a path to a body.
APPLICATION = """
async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = page(scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


def wsgi(environ, start_response):
    body = page(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


if __name__ == "__main__":
    import signal
    import sys
    from wsgiref.simple_server import make_server

    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    make_server("127.0.0.1", int(sys.argv[1]), wsgi).serve_forever()
"""


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def answer(port, path, server):
    """The body of the answer to a request, once the server is there."""
    until = time.monotonic() + 50
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
                client.sendall(f"GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n".encode())
                found = b""
                while part := client.recv(65536):
                    found += part
                return found.partition(b"\r\n\r\n")[2]
        except OSError:
            assert server.poll() is None, server.communicate()
            assert time.monotonic() < until
            time.sleep(0.05)
