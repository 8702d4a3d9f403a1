"""Who sent a signal that terminals send: a terminal, or somebody else, to all of a group of processes, or one to this alone.

The first two have reached the other processes of the group already. The kernel tells a terminal's signal from a process's,
but not whom it was for: that is known by a process of our own in the group, which does nothing, and for which the same
signal waits then, too.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time

_IDLE = "/bin/cat"  # it waits for the end of a pipe that nobody writes into, and that ends with us
_MOMENT = 0.01  # in which a signal to a group reaches all of it


class Listener:
    """Has a thread wait for signals, in place of their handlers, and pass on those that were for this process alone."""

    def __init__(self, numbers, pass_on):
        self._numbers = set(numbers)
        self._pass_on = pass_on
        self._peer = self._thread = None
        self._over = False

    def start(self) -> None:
        """Begin to listen, where the system can tell who sent a signal; elsewhere the handlers stay what they are."""
        if not self._numbers or not hasattr(signal, "sigwaitinfo") or not os.path.exists("/proc/self/status"):
            return
        try:
            self._peer = _Peer()
        except (AttributeError, OSError):
            return
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # all others are the main thread's
        thread = threading.Thread(target=self._run, name="memkit signals", daemon=True)
        try:
            thread.start()
            self._thread = thread
        except RuntimeError:  # there is no thread to be had
            self._peer.end()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before | self._numbers if self._thread else before)

    def stop(self) -> None:
        """Leave signals to their handlers."""
        if self._thread is None:
            return
        self._over = True
        signal.pthread_kill(self._thread.ident, next(iter(self._numbers)))
        self._thread.join()
        self._peer.end()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._numbers)

    def _run(self) -> None:
        while not self._over:
            sent = signal.sigwaitinfo(self._numbers)
            if self._over:
                return
            if sent.si_code <= 0 and not self._was_for_all(sent.si_signo):
                self._pass_on(sent.si_signo)

    def _was_for_all(self, number: int) -> bool:
        try:
            if not self._peer.has(number):
                time.sleep(_MOMENT)
                if not self._peer.has(number):
                    return False
            self._begin_anew()
        except OSError:  # it is gone, or there can be no other
            return False
        return True

    def _begin_anew(self) -> None:
        """Have a peer for which nothing waits. What comes meanwhile, right after a signal to all, is taken for one, too."""
        while any(self._peer.has(number) for number in self._numbers):
            former, self._peer = self._peer, _Peer()
            former.end()
            while signal.sigtimedwait(self._numbers, 0) is not None:
                pass


class _Peer:
    """A process in our group for which signals wait, so that it can be seen which were for all of the group."""

    def __init__(self):
        read, self._write = os.pipe()
        silent = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)]
        try:
            self._pid = os.posix_spawn(
                _IDLE, ["cat"], {}, file_actions=[(os.POSIX_SPAWN_DUP2, read, 0), *silent], setsigmask=signal.valid_signals()
            )
        except BaseException:
            os.close(self._write)
            raise
        finally:
            os.close(read)

    def end(self) -> None:
        """Have it no more."""
        os.close(self._write)
        with contextlib.suppress(OSError):  # somebody else may have waited for it
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)

    def has(self, number: int) -> bool:
        """Whether a signal waits for it."""
        with open(f"/proc/{self._pid}/status") as file:
            pending = next((line.split()[1] for line in file if line.startswith("ShdPnd:")), "0")
        return bool(int(pending, 16) >> (number - 1) & 1)
