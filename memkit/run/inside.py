"""Recording a running Python program from inside, for lines and calls: its own memkit records while this process asks.

``record.listening`` has the other side and the messages. A program that listens is asked at once. From Python 3.14 on any
other is made to listen for a moment by a script that ``sys.remote_exec`` has it run.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import tempfile
import time
from contextlib import contextmanager, suppress

from memkit.base.descriptors import readable
from memkit.base.errors import JournalError, UsageError, in_a_line
from memkit.base.stderr import to_stderr
from memkit.base.units import SECOND, parse_interval
from memkit.base.version import VERSION
from memkit.model import file_format
from memkit.model.file_format import Awaited
from memkit.model.reader import read
from memkit.record import files
from memkit.record.settings import RunSettings
from memkit.run.attach import stopped_by_signals, tree_of
from memkit.run.external import ending_of
from memkit.run.waiting import wait
from memkit.system import processes
from memkit.system.oom import Kills
from memkit.system.pidfd import Pidfd
from memkit.tracing.targets import folder_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from memkit.run.attach import StopRequest
    from memkit.run.external import ExternalProcess
    from memkit.run.progress import Progress
    from memkit.run.signals import Handler

_MOST = 1 << 16
_OFTEN, _SOON = SECOND // 100, SECOND  # between two looks whether it listens; when somebody is told that it does not yet
_TRIES = 5  # a program that forks does not listen for a moment; one that has closed the socket hangs up once
_SCRIPT = """\
def begin(folder, asker):
    import os

    def work():
        try:
            from memkit.base.threads import GivingWay

            with GivingWay():
                from memkit.record.listening import listen_for_a_moment

                listen_for_a_moment()
            said = "listens"
        except ImportError as error:
            said = f"its Python cannot import memkit ({error}): install it there"
        except BaseException as error:
            said = str(error) or type(error).__name__
        try:
            with open(folder + "/said.new", "w") as file:
                file.write(said)
            os.replace(folder + "/said.new", folder + "/said")
        except OSError:
            pass

    if not os.path.exists(f"/proc/{asker}"):
        try:
            os.unlink(folder + "/script.py")
            os.rmdir(folder)
        except OSError:
            pass
        return
    try:
        from memkit.base.threads import unpatched as found
    except ImportError:
        found = lambda module, name: getattr(__import__(module), name)
    found("_thread", "start_new_thread")(work, ())


begin(%r, %d)
"""
"""What the program runs in its main thread, wherever that is; the work is that of another, so that it goes on at once."""


class _GaveUp(Exception):
    """A signal came before the recording began."""


def settings_of(options: argparse.Namespace) -> RunSettings:
    """What the process is to be told; files are found from here, modules there."""
    names = ("interval", "meter", "c_calls", "heap")
    given = {name: getattr(options, name) for name in names}
    targets = {name: [_whole(text) for text in getattr(options, name) or ()] for name in ("lines", "calls")}
    return RunSettings(**given, **targets, peak_reset=not options.no_peak_reset)


def _whole(target: str) -> str:
    """A target, where it is a file or a folder here with its whole path."""
    where, colon, name = target.partition(":")
    whole = folder_of(where) or (os.path.abspath(where) if os.path.isfile(where) else where)
    return f"{whole}{colon}{name}"


_REQUESTS = "memkit.integrations.finding:Requests"


def record(
    process: ExternalProcess,
    path: str,
    options: argparse.Namespace,
    progress: Progress,
    afterwards: Handler | None = None,
) -> bool:
    """Have a process record itself until it ends, a signal asks to stop, or ``options.duration`` is over.

    False if a signal came before it began. Raises ``UsageError`` if it cannot be asked, or refuses. ``afterwards`` is
    that of ``stopped_by_signals``.
    """
    words, awaited, kills = settings_of(options).to_words(), Awaited(path), Kills(process.pid)
    requests = _REQUESTS if options.requests else None
    request: dict[str, object] = {"memkit": VERSION, "words": words, "path": path, "requests": requests}
    with stopped_by_signals(afterwards) as stop, _held(process.pid) as handle:
        try:
            with _conversation(process.pid, handle, stop, request) as conversation:
                conversation.begin(path)
                progress.pid = process.pid
                until = None if options.duration is None else time.monotonic_ns() + options.duration
                tree = (
                    tree_of(process, awaited, parse_interval(options.interval), options.meter) if options.children else None
                )
                try:
                    wait(conversation, progress, tree, until, stop)
                finally:
                    if tree is not None:
                        tree.close()
                    lost = conversation.end()
        except _GaveUp:
            return False
        if lost is None:
            _note_end(process.pid, handle, path, awaited, kills)
    if lost:
        raise JournalError(lost)
    return True


@contextmanager
def _held(pid: int) -> Iterator[Pidfd]:
    try:
        handle = Pidfd(pid)
    except OSError:
        raise UsageError(f"there is no process {pid}") from None
    try:
        yield handle
    finally:
        handle.close()


class _Conversation:
    """With a process that is asked to record itself; a target of ``wait``."""

    def __init__(self, pid: int, connection: socket.socket, handle: Pidfd, stop: StopRequest) -> None:
        self._pid = pid
        self._connection, self._handle, self._stop = connection, handle, stop

    @property
    def descriptor(self) -> int:
        return self._connection.fileno()

    def ended(self) -> bool:
        """Whether the process has ended the recording."""
        return bool(readable([self.descriptor]))

    def ask(self, request: dict[str, object]) -> bool:
        """Ask whether it can record; False if it hung up. Raises ``UsageError``."""
        self._send(json.dumps(request).encode())
        return self._expect("ready")

    def begin(self, path: str) -> None:
        """Have it record into a file. Raises ``UsageError``."""
        fd = files.opened(path)
        try:
            self._send(b"record", [fd])
        finally:
            os.close(fd)
        if not self._expect("recording"):
            raise UsageError(f"process {self._pid} cannot be traced: it hung up")

    def end(self) -> str | None:
        """Have it end the recording: empty, or what was lost; None if the process is gone, or has closed the connection."""
        if not self.ended():
            self._send(b"stop")
        word, _, text = self._received().partition(" ")
        return {"done": "", "lost": text}.get(word)

    def _expect(self, word: str) -> bool:
        """Wait until it says a word; False if it hung up. Raises ``UsageError`` if it refuses."""
        began = time.monotonic_ns()
        told = False
        while not readable([self.descriptor, self._stop.descriptor], _SOON // 4):
            told = told or _tell_of_waiting(self._pid, began)
        if self._stop.made:
            raise _GaveUp
        said = self._received()
        if said == word:
            return True
        if not said and not readable([self._handle.fd], _SOON):
            return False
        raise UsageError(f"process {self._pid} cannot be traced: {said.removeprefix('refused ') or 'it has ended'}")

    def _send(self, message: bytes, descriptors: list[int] | None = None) -> None:
        with suppress(BrokenPipeError, ConnectionError):  # what it says next is that it is gone
            socket.send_fds(self._connection, [message], descriptors or [])

    def _received(self) -> str:
        try:
            return self._connection.recv(_MOST).decode(errors="replace")
        except OSError:
            return ""


def _tell_of_waiting(pid: int, began: int) -> bool:
    """Whether somebody has been told by now that the process lets us wait."""
    if time.monotonic_ns() - began < _SOON:
        return False
    to_stderr(f"process {pid} has not answered yet: its main thread waits, or is in a long call of C; Ctrl-C gives up")
    return True


# -- reaching it -------------------------------------------------------------------------------------------------------


@contextmanager
def _conversation(pid: int, handle: Pidfd, stop: StopRequest, request: dict[str, object]) -> Iterator[_Conversation]:
    """A conversation with the process, which is ready to record. Raises ``UsageError`` where that cannot be."""
    for _ in range(_TRIES):
        with _connection(pid, handle, stop) as connection:
            conversation = _Conversation(pid, connection, handle, stop)
            if conversation.ask(request):
                yield conversation
                return
    raise UsageError(f"process {pid} cannot be traced: it hangs up")


def _connection(pid: int, handle: Pidfd, stop: StopRequest) -> socket.socket:
    """A connection with the process. Raises ``UsageError`` where it does not listen and cannot be made to."""
    for _ in range(_TRIES):
        found = _connected(pid)
        if found is not None:
            return found
        if readable([stop.descriptor], _OFTEN):
            raise _GaveUp
    return _made_to_listen(pid, handle, stop)


def _connected(pid: int) -> socket.socket | None:
    """A connection with the process, if it listens: another one may have its name."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.settimeout(1)
        connection.connect(f"\0memkit-{pid}")
        connection.settimeout(None)
        peer, _, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    except OSError:
        peer = None
    if peer == pid:
        return connection
    connection.close()
    return None


def _listens(pid: int) -> bool:
    connection = _connected(pid)
    if connection is not None:
        connection.close()
    return connection is not None


def _made_to_listen(pid: int, handle: Pidfd, stop: StopRequest) -> socket.socket:
    listens = next((child for child in processes.here().kinship()(pid) if _listens(child)), None)
    if listens is not None:
        raise UsageError(
            f"process {pid} does not listen for memkit, but {listens} does, which it has started: attach to that"
        )
    if not hasattr(sys, "remote_exec"):
        raise UsageError(
            f"process {pid} does not listen for memkit: start it with memkit-run, or call memkit.listen() in it; "
            "where it and memkit run on Python 3.14 or later, neither is needed"
        )
    began, told = time.monotonic_ns(), False
    with _folder_for(pid) as folder:
        script, said = os.path.join(folder, "script.py"), os.path.join(folder, "said")
        _write_for(pid, script, _SCRIPT % (folder, os.getpid()))
        _have_run(pid, script)
        while not readable([stop.descriptor, handle.fd], _OFTEN):
            connection = _connected(pid)
            if connection is not None:
                _wait_for(said, handle)
                return connection
            told = told or _tell_of_waiting(pid, began)
            if os.path.exists(said):
                with open(said) as file:
                    answer = file.read()
                os.unlink(said)
                if answer != "listens":
                    raise UsageError(f"process {pid} cannot be traced: {answer}")
                _have_run(pid, script)  # it listened for somebody else, who has gone meanwhile
        if stop.made:
            with suppress(OSError, RuntimeError):
                _remote_exec(pid, os.devnull)  # in place of the script, which will be gone when it comes by
            raise _GaveUp
    raise UsageError(f"process {pid} has ended before it answered")


def _remote_exec(pid: int, script: str) -> None:
    sys.remote_exec(pid, script)  # type: ignore[attr-defined,unused-ignore]  # from 3.14 on


def _have_run(pid: int, script: str) -> None:
    """Have a process run a script. Raises ``UsageError``."""
    try:
        _remote_exec(pid, script)
    except PermissionError as error:
        raise UsageError(
            f"process {pid} cannot be traced: the system does not allow to look into it ({in_a_line(error)}): "
            "be root or its user, set kernel.yama.ptrace_scope to 0 or give a container CAP_SYS_PTRACE; "
            "or start it with memkit-run, or call memkit.listen() in it"
        ) from None
    except Exception as error:  # whatever the interpreter says
        reason = str(error) if isinstance(error, RuntimeError) else in_a_line(error)
        raise UsageError(
            f"process {pid} cannot be traced: {reason}; start it with memkit-run, or call memkit.listen() in it"
        ) from None


@contextmanager
def _folder_for(pid: int) -> Iterator[str]:
    """A folder that a process can write into."""
    with tempfile.TemporaryDirectory(prefix="memkit-", ignore_cleanup_errors=True) as folder:
        _give(pid, folder)
        yield folder


def _write_for(pid: int, path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
    _give(pid, path)


def _give(pid: int, path: str) -> None:
    """Have a file belong to the user of a process, where that is another."""
    with suppress(OSError):
        owner = os.stat(f"/proc/{pid}")
        if os.geteuid() == 0 and owner.st_uid != 0:
            os.chown(path, owner.st_uid, owner.st_gid)


def _wait_for(path: str, handle: Pidfd) -> None:
    """Wait until the process has written its answer: the folder is removed then."""
    until = time.monotonic_ns() + _SOON
    while not os.path.exists(path) and time.monotonic_ns() < until and not readable([handle.fd], _OFTEN):
        pass


# -- its end -----------------------------------------------------------------------------------------------------------


def _note_end(pid: int, handle: Pidfd, path: str, awaited: Awaited, kills: Kills) -> None:
    """Add to the recording how the process ended, as far as it has not done that itself."""
    origin = awaited.origin(pid)
    if origin is None:
        return
    known = read(path).ending.kind != "unknown"
    moment = time.monotonic_ns() - origin
    if not readable([handle.fd], _SOON):  # it executes another program, or has closed what it did not know
        if not known:
            file_format.append(path, "end", moment, "detached")
        return
    code, killed = ending_of(pid, handle)
    if not known or code is not None or killed is not None:
        file_format.append(path, "exit", moment, code, killed, kills.risen())
