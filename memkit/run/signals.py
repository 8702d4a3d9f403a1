"""Signals while a program runs: those that the program does not get by itself are forwarded to it.

A terminal sends a signal to all processes of its foreground job, so the program has it already. Another process may send it
to the whole group, which includes the program, or to this process alone: only then it must be forwarded. The kernel tells
whether a terminal or a process has sent it, but not to whom. To find out, a probe is kept in the same process group, a
process that does nothing and blocks all signals: one that was sent to the group is pending there.

When the program is over, what is left to do, such as its report, is completed before a signal ends this process.

A signal that this process ignores, because a shell or ``nohup`` has started it so, is waited for like the others: the
program may have a handler of its own. The kernel keeps an ignored signal for whoever waits for it, if all threads block it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from contextlib import contextmanager

from memkit.system import oom

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterable, Iterator
    from types import FrameType
    from typing import Any, TypeAlias

    Handler: TypeAlias = Callable[[int, FrameType | None], object]

_FORWARDED = ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
_FOR_THE_PROGRAM = ("SIGUSR1", "SIGUSR2")
_INTERRUPTS = ("SIGINT", "SIGQUIT")
_STOPS = ("SIGTTIN", "SIGTTOU")  # a process in the background uses its terminal; gunicorn has another use for them
_ALL = (*_FORWARDED, *_INTERRUPTS, *_STOPS, "SIGCONT", "SIGWINCH")
_OF_TERMINALS = (*_INTERRUPTS, *_STOPS, "SIGWINCH")  # the kernel sends them to a group, never to one process
_PROBE = "/bin/cat"  # it waits for the end of a pipe that nobody writes into, and that closes when this process ends
_DELIVERY_SECONDS = 0.01  # within which a signal to a group reaches all of it


@contextmanager
def put_off() -> Iterator[Handler]:
    """Put signals off that end this process: yields a handler that passes over the first, and interrupts at the second.

    That raises ``KeyboardInterrupt``, and a third does what it did before. Whoever waits for the end of a program installs
    the handler when it has come; a signal that only the program has a use for is passed over.
    """
    before = {number: signal.getsignal(number) for number in _numbers((*_FORWARDED, *_INTERRUPTS))}
    came: list[int] = []

    def restore() -> None:
        for number, previous in before.items():
            if signal.getsignal(number) is handle:
                signal.signal(number, previous)

    def handle(number: int, _: FrameType | None) -> None:
        if number in _numbers(_FOR_THE_PROGRAM):
            return
        came.append(number)
        if len(came) > 1:
            restore()
            raise KeyboardInterrupt

    try:
        yield handle
    finally:
        restore()


@contextmanager
def forwarding(afterwards: Handler | None = None) -> Iterator[Callable[[subprocess.Popen[bytes]], None]]:
    """Forward signals to a program, while it runs: yields a function to be called with its process once it was started.

    ``afterwards`` is the handler of these signals when it is over; without one, they have those that they had.
    """
    started: list[subprocess.Popen[bytes]] = []
    early: list[int] = []  # signals that came before the program was started

    def forward(number: int, _: FrameType | None) -> None:
        if started:
            started[0].send_signal(number)
        else:
            early.append(number)

    def forward_to(process: subprocess.Popen[bytes]) -> None:
        started.append(process)
        for number in early:
            process.send_signal(number)
        listener.start()  # not earlier: the program would inherit the signals that are blocked for it

    handlers = dict.fromkeys(_FORWARDED, forward) | dict.fromkeys(_INTERRUPTS, lambda *_: None)
    before: dict[int, Any] = {}
    for name, handler in handlers.items():
        number = getattr(signal, name, None)
        # The program inherits a signal that is ignored (nohup) as ignored; with a handler it would not.
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, handler)
    listener = Listener(_numbers(_ALL), lambda number: started[0].send_signal(number))
    try:
        yield forward_to
    finally:
        listener.stop()
        for number, previous in before.items():
            signal.signal(number, afterwards if afterwards is not None and started else previous)


def _numbers(names: Iterable[str]) -> set[int]:
    return {getattr(signal, name) for name in names if hasattr(signal, name)}


class Listener:
    """A thread that waits for signals, in place of their handlers, and forwards those sent to this process alone."""

    def __init__(self, numbers: Iterable[int], forward: Callable[[int], None]) -> None:
        self._numbers = set(numbers)
        self._forward = forward
        self._thread: threading.Thread | None = None
        self._stopping = False

    def start(self) -> None:
        """Start the thread, on systems that tell who sent a signal; on others the handlers stay as they are."""
        if not self._numbers or not hasattr(signal, "sigwaitinfo") or not os.path.exists("/proc/self/status"):
            return
        try:
            self._probe = _Probe()
        except (AttributeError, OSError):
            return
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # the main thread handles all others
        thread = threading.Thread(target=self._run, name="memkit signals", daemon=True)
        try:
            thread.start()
            self._thread = thread
        except RuntimeError:  # the system refuses another thread
            self._probe.end()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before | self._numbers if self._thread else before)

    def stop(self) -> None:
        """End the thread, and leave signals to their handlers again."""
        if self._thread is None or self._thread.ident is None:
            return
        self._stopping = True
        signal.pthread_kill(self._thread.ident, next(iter(self._numbers)))
        self._thread.join()
        self._probe.end()
        while signal.sigtimedwait(self._numbers, 0) is not None:
            pass  # it was for the program, which is over: it must not stop this process
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._numbers)

    def _run(self) -> None:
        while not self._stopping:
            info = signal.sigwaitinfo(self._numbers)
            if self._stopping:
                return
            from_terminal = info.si_code > 0 and info.si_signo in _numbers(_OF_TERMINALS)
            if not self._was_for_group(info.si_signo) and not from_terminal:
                self._forward(info.si_signo)
            elif from_terminal and info.si_signo in _numbers(_STOPS):
                self._stop_too(info.si_signo)

    def _stop_too(self, number: int) -> None:
        """Stop this process as its job was stopped, so that its shell says so; returns when it is continued."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        signal.pthread_kill(threading.get_ident(), number)
        signal.pthread_sigmask(signal.SIG_BLOCK, {number})

    def _was_for_group(self, number: int) -> bool:
        try:
            if number not in self._probe.pending():
                time.sleep(_DELIVERY_SECONDS)
                if number not in self._probe.pending():
                    return False
            self._renew_probe()
        except OSError:  # the probe is gone, or cannot be started again
            with contextlib.suppress(OSError):
                former, self._probe = self._probe, _Probe()
                former.end()
            return False
        return True

    def _renew_probe(self) -> None:
        """Replace the probe until nothing is pending. What came to the group meanwhile is taken away here, too."""
        while self._probe.pending() & self._numbers:
            former, self._probe = self._probe, _Probe()
            seen = former.pending() & self._numbers
            former.end()
            until = time.monotonic() + _DELIVERY_SECONDS
            while signal.sigtimedwait(seen, max(0, until - time.monotonic())) is not None and time.monotonic() < until:
                pass


class _Probe:
    """A process in this process group, with all signals blocked, so that those sent to the group stay pending."""

    def __init__(self) -> None:
        read, self._write = os.pipe()
        silent = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)]
        try:
            self._pid = os.posix_spawn(
                _PROBE,
                ["cat"],
                {},
                file_actions=[(os.POSIX_SPAWN_DUP2, read, 0), *silent],
                setsigmask=signal.valid_signals(),
            )
        except BaseException:
            os.close(self._write)
            raise
        finally:
            os.close(read)
        oom.sacrifice(self._pid)

    def end(self) -> None:
        """Kill it and reap it."""
        os.close(self._write)
        with contextlib.suppress(OSError):  # somebody else may have reaped it
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)

    def pending(self) -> set[int]:
        """The signals that are pending for it."""
        with open(f"/proc/{self._pid}/status") as file:
            fields = dict(line.split(":", 1) for line in file)
        if fields["State"].split()[0] == "Z":
            raise ChildProcessError("the probe was killed")
        bits = int(fields["ShdPnd"], 16)
        return {number for number in range(1, bits.bit_length() + 1) if bits >> (number - 1) & 1}
