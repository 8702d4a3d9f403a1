"""Asking a server on a free port."""

import socket
import time


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
