"""A server on a free port, and clients that send it requests as fast as it answers."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = Path(__file__).parent / "programs"


class Server:
    """uvicorn with ``ten_services``; ``words`` come before it, such as those of ``memkit run``. A context manager."""

    def __init__(self, *words: str) -> None:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self.port = one.getsockname()[1]
        command = ["-m", "uvicorn", "ten_services:app", "--port", str(self.port), "--log-level", "error", "--no-access-log"]
        self._process = subprocess.Popen([sys.executable, *words, *command], cwd=PROGRAMS)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                break
            except OSError:
                time.sleep(0.05)
        self.pid = _serving(self._process.pid)

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        os.kill(self.pid, signal.SIGTERM)
        self._process.wait(60)

    def cpu(self) -> int:
        """Nanoseconds of CPU time that the serving process has taken, memkit's threads included."""
        return sum(int(each.read_text().split()[0]) for each in Path(f"/proc/{self.pid}/task").glob("*/schedstat"))

    def resident(self) -> int:
        """Bytes."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def send(self, paths: list[str], connections: int = 20, rate: float = 0) -> float:
        """Send a request for each path, over some connections that stay open, at most so many a second; the seconds."""
        began = time.perf_counter()
        asyncio.run(_send(self.port, iter(enumerate(paths)), connections, rate))
        return time.perf_counter() - began


def _serving(pid: int) -> int:
    """The process that a command became: the child of memkit-run, or itself."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0]) if children else pid


async def _send(port: int, paths: Iterator[tuple[int, str]], connections: int, rate: float) -> None:
    began = time.perf_counter()
    await asyncio.gather(*(_client(port, paths, began, rate) for _ in range(connections)))


async def _client(port: int, paths: Iterator[tuple[int, str]], began: float, rate: float) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for number, path in paths:
        if rate and (early := began + number / rate - time.perf_counter()) > 0:
            await asyncio.sleep(early)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head:
            raise RuntimeError(head)
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
    writer.close()
