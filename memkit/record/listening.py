"""Recordings of this process that ``memkit attach PID --lines`` or ``--calls``, another process, asks for.

Whoever asks connects to the socket of ``memkit.native.listener``, in the thread of which all of this runs, and sends

1. a request, as JSON: the version of memkit, the settings as words, where the recording is to be, for messages, and what
   makes requests spans if that is wanted. The answer is ``ready``, or ``refused`` and the reason;
2. ``record``, with the descriptor of the file. The answer is ``recording``, or ``refused`` and the reason;
3. ``stop``, or nothing more: the recording ends in any case as soon as the connection does. The answer is ``done``, or
   ``lost`` and what was lost.

The socket listens for as long as the process lives where the program called ``memkit.listen()`` or ``memkit-run`` started
it. From Python 3.14 on ``memkit attach`` can have any program listen for a moment: see ``run.inside``.
"""

from __future__ import annotations

import os
import sys

from memkit.base import own_code
from memkit.base.descriptors import identity, readable
from memkit.base.errors import JournalError, MemkitError, UsageError, in_a_line
from memkit.base.shadows import StandardModules
from memkit.base.threads import GivingWay, unpatched
from memkit.base.version import VERSION
from memkit.record import active
from memkit.record.recorder import Recorder
from memkit.record.resolve import can_trace, object_at
from memkit.record.settings import RunSettings
from memkit.system import engine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from memkit.native.listener import Listener

MOST = 1 << 16  # bytes of a message
_PATIENCE = 10_000  # milliseconds that a program listens that was made to
_LONGEST = 3600 * 1_000_000_000
_A_MOMENT, _WAITS = 0.005, 200

own_code.uninterruptible |= {__file__}


def listen() -> None:
    """Let ``memkit attach PID --lines`` and ``--calls`` trace this program while it runs.

    Programs that ``memkit-run`` started do so already, and from Python 3.14 on ``memkit attach`` needs it only where the
    system does not allow to look into another process. A process that is forked from this one listens for itself. Only the
    user that this process runs as, and root, are answered. Calling it again does nothing. It costs a thread that sleeps
    until somebody asks, a socket, and one or two milliseconds at each fork, in which both are made anew.

    Raises ``MeterError`` where lines and calls cannot be traced, ``MemkitError`` if the socket cannot be opened.
    """
    can_trace("lines and calls")
    _begin(on_request=False)


def listen_for_a_moment() -> None:
    """Listen until one recording has been made, or until nobody has asked for ten seconds."""
    can_trace("lines and calls")
    _begin(on_request=True)


def listen_if_possible() -> None:
    """Listen where that works; nothing is said where it does not."""
    if engine.NAME == "native":
        try:  # noqa: SIM105 (contextlib is not memkit's: calls of it in the listening thread would be in the recording)
            _begin(on_request=False)
        except MemkitError:
            pass


def _begin(on_request: bool) -> None:
    active.install_hooks()
    with active.lock:
        for each in active.others:
            if isinstance(each, _Listening):
                each.on_request = each.on_request and on_request
                return
        listening = _Listening(on_request)
        listening.start()
        active.others.append(listening)


class _AskedFor(Recorder):
    """A recorder that writes into a file which somebody else has opened."""

    def __init__(self, settings: RunSettings, where: str) -> None:
        super().__init__(settings)
        self._name = where
        self.descriptor = -1

    def check_targets(self) -> None:
        """Raise ``UsageError`` for a target that names nothing here."""
        with StandardModules():
            for targets in (self._line_targets, self._call_targets):
                if targets is not None and not isinstance(targets, bool):
                    targets.check()

    def _opened(self) -> int:
        return self.descriptor

    def _where(self) -> str:
        return repr(self._name)


class _Connection:
    """One who asks."""

    def __init__(self, descriptor: int) -> None:
        import _socket

        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, descriptor)
        self._socket.settimeout(None)
        self._no_signal = _socket.MSG_NOSIGNAL
        self.descriptor = descriptor
        self._identity = identity(descriptor)
        self.recorder: _AskedFor | None = None
        self.requests: Any = None  # what makes spans of requests meanwhile, see integrations.finding
        self.closed = False

    @property
    def is_there(self) -> bool:
        """Whether the program has not closed the descriptor."""
        return identity(self.descriptor) == self._identity

    def answer(self) -> None:
        """Do what the message that has come asks for."""
        message, descriptors = self._received()
        try:
            if self.recorder is None and message:
                self.recorder = self._checked(message)
                self._say("ready")
            elif self.recorder is not None and message == b"record" and descriptors:
                self.recorder.descriptor = descriptors.pop()
                self._start(self.recorder)
                self._say("recording")
            else:
                self.close()
        except Exception as error:  # whatever it is, the program must go on
            self._say(f"refused {in_a_line(error)}")
            self.recorder = None
            self._leave_requests()
            self.close()
        for descriptor in descriptors:
            os.close(descriptor)

    def _received(self) -> tuple[bytes, list[int]]:
        import _socket

        try:
            message, more, _, _ = self._socket.recvmsg(MOST, _socket.CMSG_SPACE(4), _socket.MSG_CMSG_CLOEXEC)
        except OSError:
            return b"", []
        given = [data for level, kind, data in more if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS)]
        return message, [int.from_bytes(data[:4], sys.byteorder) for data in given]

    def _checked(self, message: bytes) -> _AskedFor:
        """The recorder that is asked for; raises what there is against it."""
        import _socket

        peer = self._socket.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
        user = int.from_bytes(peer[4:8], sys.byteorder)
        if user not in (0, os.geteuid()):
            raise UsageError(f"it answers user {os.geteuid()} and root only, and this is user {user}")
        with StandardModules():
            import json

        request = json.loads(message)
        if request["memkit"] != VERSION:
            raise UsageError(f"it has memkit {VERSION}, and this is memkit {request['memkit']}")
        _import_threading()
        settings = RunSettings.from_words(request["words"])
        if isinstance(settings.lines, list):  # of texts: an empty one is for the program's own code
            settings.lines = [text or _own_code() for text in settings.lines]
        recorder = _AskedFor(settings, request["path"])
        recorder.check_targets()
        if request.get("requests"):
            with StandardModules():
                self.requests = object_at(request["requests"])()
            self.requests.check()
        return recorder

    def _start(self, recorder: _AskedFor) -> None:
        recorder.start()
        if self.requests is not None:
            try:
                self.requests.begin()
            except BaseException:
                recorder.stop()
                raise

    def _leave_requests(self) -> None:
        requests, self.requests = self.requests, None
        if requests is not None:
            requests.end()

    def _say(self, text: str) -> None:
        try:  # noqa: SIM105 (as above)
            self._socket.send(text.encode(errors="replace")[:MOST], self._no_signal)
        except OSError:  # nobody is there any more
            pass

    def close(self) -> None:
        """End the recording, say so, and hang up."""
        recorder, self.recorder = self.recorder, None
        self._leave_requests()
        lost: JournalError | None = None
        if recorder is not None:
            try:
                recorder.stop("detached")
            except JournalError as error:
                lost = error
        self.closed = True
        if not self.is_there:
            self._socket.detach()
            return
        self._say(f"lost {lost}" if lost else "done")
        self._socket.close()

    def let_go(self) -> None:
        """Close the copy that a forked process has, whose requests are not recorded."""
        self._leave_requests()
        if self.is_there:
            self._socket.close()
        else:
            self._socket.detach()


class _Listening:
    """Listens in this process, and answers those who ask."""

    follow = True  # a forked process listens for itself

    def __init__(self, on_request: bool) -> None:
        self.on_request = on_request
        self._connections: list[_Connection] = []
        self._pausing = False
        self._listener: Listener | None = None

    def start(self) -> None:
        """Listen, from now on; raises ``MemkitError``."""
        with engine.compiled("memkit attach with --lines or --calls"):
            from memkit.native.listener import Listener
        try:
            patience = _PATIENCE if self.on_request else -1
            self._listener = Listener(self._serve, patience, bool(self._connections))
        except OSError as error:
            raise MemkitError(f"cannot listen for memkit attach: {os.strerror(error.errno or 0)}") from None

    def _serve(self) -> bool:
        """Answer until nobody is left; whether to go on listening. The listening thread calls this."""
        listener = self._listener
        while listener is not None and not self._pausing:
            try:  # noqa: SIM105 (as above)
                listener.reopen()  # where the program has closed the socket
            except OSError:
                pass
            while (descriptor := listener.accept()) is not None:
                self._connections.append(_Connection(descriptor))
            asking = readable([each.descriptor for each in self._connections if each.is_there])
            for each in list(self._connections):
                if not each.is_there or each.descriptor in asking:
                    self._attend(each)
            if not self._connections:
                return self._goes_on(listener)
            place = listener.descriptor
            waiting = [each.descriptor for each in self._connections]
            readable([place, *waiting] if place is not None else waiting, _LONGEST)
        return True

    def _attend(self, connection: _Connection) -> None:
        """Do what one wants, or end what one wanted that the program has cut off."""
        acts = connection.recorder is not None
        if acts and not self._entered():
            return
        try:
            with GivingWay():
                connection.answer() if connection.is_there else connection.close()
        finally:
            if acts:
                active.lock.release()
        if connection.closed:
            self._connections.remove(connection)

    def _goes_on(self, listener: Listener) -> bool:
        """Whether to listen on when nobody is left."""
        if (listener.descriptor is not None and not self.on_request) or not self._entered():
            return True
        self._listener = None
        active.others.remove(self)
        active.lock.release()
        return False

    def _entered(self) -> bool:
        """Whether this thread has ``active.lock`` now. A fork has it while it waits for the end of this thread."""
        while not self._pausing:
            if active.lock.acquire(timeout=_A_MOMENT):
                return True
        return False

    # -- as something that is active -------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """End the thread."""
        self._pausing = True
        if self._listener is not None:
            self._listener.stop()
            self._listener = None

    def end(self, *_: object) -> None:
        """Listen no more. Recordings that were asked for end by themselves."""
        self.before_fork()
        if self in active.others:
            active.others.remove(self)

    def after_fork_in_parent(self) -> None:
        """Go on, if the system allows."""
        self._pausing = False
        try:  # noqa: SIM105 (as above)
            self.start()
        except MemkitError:
            pass

    def after_fork_in_child(self) -> None:
        """Close what is the parent's."""
        for each in self._connections:
            each.let_go()

    def follow_fork(self) -> None:
        """Listen for this process, which was forked."""
        if not self.on_request:
            listen_if_possible()


def _import_threading() -> None:
    """Have the main thread import ``threading``: up to Python 3.12 it takes the thread that does so for the main one."""
    if sys.version_info < (3, 13) and "threading" not in sys.modules:
        engine.PendingCall(lambda: __import__("threading"))()
        for _ in range(_WAITS):
            if "threading" in sys.modules:
                break
            unpatched("time", "sleep")(_A_MOMENT)
        else:
            raise UsageError("its main thread waits, or is in a long call of C: try again later")
        import threading  # noqa: F401 (waits for the end of that)


def _own_code() -> str:
    """The target for the program's own code."""
    main: Any = sys.modules["__main__"]
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    if not file:
        return "<string>"
    from memkit.tracing.libraries import own_target

    is_package = spec is not None and spec.name.endswith("__main__")
    return own_target(os.path.abspath(file), module=spec is not None, package=is_package)
