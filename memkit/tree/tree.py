"""A process and all its descendants: when each began and how it ended, its memory, and their total.

Where the kernel reports forks and exits as events, no process is missed. Elsewhere the tree is searched, often while it
changes and rarely while it does not: a process that begins and ends between two searches is missed. A process stays in the
tree when its parent ends. The rows are ``process``, ``command``, ``sample``, ``process_end``, ``process_left``, ``tree`` and
``total``.
"""

from __future__ import annotations

import os
from functools import partial

from memkit.base import clocks
from memkit.model.file_format import row
from memkit.system.pidfd import MOST, Pidfd, tells_apart
from memkit.tree.node import Node, has_image_of, unnamed
from memkit.tree.pss import TreeTotal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from memkit.base.protocols import ProcessEvents, ProcessSource
    from memkit.system.engine import Journal
    from memkit.system.oom import Kills
    from memkit.system.processes import Reading

    ExitStatus = tuple[int | None, int | None]  # code and signal


_MILLISECOND = 1_000_000
_SECOND = 1000 * _MILLISECOND
_SHORTEST, _AUTO_GROWTH = 10 * _MILLISECOND, 434  # of an interval that grows as the sampler's does
_SOON = _MILLISECOND  # the first interval after an event
_POLL_COST = 50  # polling takes no more than 1/50 of the time
_REMEMBERED = 1000  # processes that have ended
_SIGKILL = 9
_REAP_WAIT = _SECOND  # for a parent to reap its child
_ENDS_WITHIN = 10 * _MILLISECOND  # a process whose main thread has ended, or it has other threads


class Tree:
    """A process and its descendants.

    ``pid`` is the process, ``journal`` takes the rows, ``source`` reads processes, ``origin`` is the time on
    ``time.monotonic_ns`` that rows count from. ``command`` is its command line, if the system knows another one;
    ``interval`` nanoseconds from poll to poll, or 0 for one that grows; ``events`` are the kernel's, closed with the tree,
    and ``reason`` is why there are none. ``kills`` are the kernel's counts of out-of-memory kills. ``with_root`` is whether
    there are rows about the process itself, which are not needed if it records itself; ``in_process`` is whether it is the
    process that runs this code.
    """

    def __init__(
        self,
        pid: int,
        journal: Journal,
        source: ProcessSource,
        *,
        origin: int,
        command: str | None = None,
        interval: int = 0,
        meter: str = "rss",
        events: ProcessEvents | None = None,
        reason: str | None = None,
        kills: Kills | None = None,
        with_root: bool = False,
        in_process: bool = False,
    ) -> None:
        self._journal, self._source, self._events, self._kills = journal, source, events, kills
        self._origin, self._interval, self._meter = origin, interval, meter
        self._with_root, self._in_process = with_root, in_process
        self._excluded = () if in_process else (os.getpid(),)
        self._rows: list[bytes] = []
        self._nodes: dict[int, Node] = {}
        self._done: dict[int, tuple[float | None, int]] = {}  # pid: when it began and ended; it may still be listed
        self._exiting: list[Node] = []  # their main threads have ended
        self._unreaped: list[tuple[Node, int]] = []  # ended when? How they ended only their parents know so far
        self._clock = clocks.monotonic_ns
        self._lost = 0
        self._handles = 0
        self._may_hold = not in_process or tells_apart()  # otherwise a descriptor of the program's might be closed
        self._newest: int | None = None
        self._total = TreeTotal(source, origin)
        self._tree_row: tuple[str | None, ...] | None = None  # the last one
        self._searched = 0
        self._known = 0  # all processes that began before have been found
        self._polled = origin
        self._search_due = self._earliest = self.due = 0
        self._pause = _SOON
        self._seen: tuple[str, str | None] = ("events", None) if events else ("looks", reason)  # the words of a tree row
        self._root = pid
        self._root_command = source.command(pid)  # its forks have the same
        self._command = command or self._root_command

    # -- polling -------------------------------------------------------------------------------------------------------

    def poll(self, now: int | None = None, last: bool = False) -> int:
        """Write what has happened; return the time by which to poll again, unless this is the last time."""
        self._clock = clocks.monotonic_ns if now is None else partial(int, now)
        now = self._clock()
        if self._tree_row is None:
            self._adopt(self._root, None, now, True)
            self._total.begin(self._root)
        self._ask_unreaped(now)
        if self._events:
            self._take_events(self._events)
        self._check_exiting()
        if self.exiting and not last:
            return self.next
        if now >= self._search_due:
            self._search(now)
        self._total.all_known(self._nodes.values(), now if self._events else self._known)
        if now >= self.due:
            self._read_all(now)
        self._write()
        return self.next

    @property
    def exiting(self) -> bool:
        """Whether a process is about to end, and may hold memory still.

        Nothing is read and written meanwhile, which takes memory of the kernel's. Where the process was killed because there
        is none left, the kernel would kill us, too: it does not wait for what a process frees after its address space.
        """
        return any(node.handle is not None and node.handle.lives for node in self._exiting)

    @property
    def next(self) -> int:
        """The time by which to poll again."""
        if self.exiting:
            return self._clock() + _SOON
        soon = [self._polled + _SOON] if self._exiting else []
        return min(self.due, self._search_due, *soon)

    def close(self) -> None:
        """Poll for the last time."""
        now = clocks.monotonic_ns()
        self.due = now
        self._search_due = max(self._search_due, now + 1)
        self.poll(now, last=True)
        self._ask_unreaped(now, last_time=True)
        self._rows.append(self._total.last())
        for node in self._nodes.values():
            self._rows.append(node.last(self._meter))
            if not node.root:
                self._rows.append(row("process_left", node.pid, now - self._origin))
            if node.handle:
                node.handle.close()
        self._write()
        if self._events:
            self._events.close()

    @property
    def descriptors(self) -> list[int]:
        """Readable when something has happened."""
        handles = [node.handle for node in self._nodes.values() if node.handle and node.handle.ours]
        return self._events.descriptors if self._events else [handle.fd for handle in handles]

    def _write(self) -> None:
        if self._tree_row != (tree_row := (self._total.kind, self._total.reason, *self._seen)):
            self._tree_row = tree_row
            self._rows.append(row("tree", *tree_row))
        if any(self._rows):
            self._journal.text(b"".join(self._rows))
            self._rows.clear()
            self._journal.flush()

    # -- the processes -------------------------------------------------------------------------------------------------

    def _take_events(self, source: ProcessEvents) -> None:
        events = source.events()
        if source.lost > self._lost:
            self._lost = source.lost
            self._seen = "events", f"{self._lost} records of the kernel were lost: more happened than there was room for"
            self._search_due = 0
        for at, kind, thread, pid, other in events:
            node = self._nodes.get(pid)
            if kind == "fork":
                is_new = pid != other and other in self._nodes and pid not in self._excluded
                is_new = is_new and at > self._done.get(pid, (None, -1))[1]  # a search may have found it dead
                if is_new and (node is None or not self._lives(node)):  # a search may have found it just now
                    self._adopt(pid, int(other), at, False)
            elif node is None:
                continue
            elif kind == "exec":
                self._executed(node, at, str(other))
            elif thread == pid or node.exited is not None:
                node.exited = at
                self._exiting.append(node)

    def _lives(self, node: Node) -> bool:
        """Whether the pid is still that of this process. If not, the event of its end was lost, and is written now."""
        reading = self._read(node)
        if self._source.lists(node.pid) if reading is None else reading.born == node.born:
            return True
        self._end(node, clocks.monotonic_ns(), reading)
        return False

    def _check_exiting(self) -> None:
        """End the processes whose main thread has ended, unless they have other threads still."""
        exiting, self._exiting = self._exiting, []
        for node in exiting:
            if self._nodes.get(node.pid) is not node or node.exited is None:
                continue
            if node.handle is None or not node.handle.lives:
                reading = self._read(node)
                if node.is_over(reading, self._source):
                    self._end(node, node.exited, reading)
                    continue
            if self._clock() - node.exited < _ENDS_WITHIN:
                self._exiting.append(node)

    def _search(self, now: int) -> None:
        """Find new children of all known processes. With events, this only makes up for those that were lost."""
        newest = self._source.newest()
        began = clocks.thread_time_ns()
        nothing_new = newest is not None and newest == self._newest
        if not nothing_new or now - self._searched > _SECOND:
            self._newest = newest
            children, waiting = self._source.kinship(), list(self._nodes)
            for pid in waiting:
                for child in children(pid):
                    if self._events and child not in self._nodes:  # they tell better when it began, if they know of it
                        self._take_events(self._events)
                    if child not in self._nodes and child not in self._excluded and self._adopt(child, pid, now, True):
                        waiting.append(child)
            self._searched = now
            if len(self._done) > _REMEMBERED:
                self._done = {pid: times for pid, times in self._done.items() if self._source.read(pid) is not None}
        self._known = now
        pause = _SECOND if self._events else min(self._pause, _SHORTEST)
        self._search_due = now + max(pause, (clocks.thread_time_ns() - began) * _POLL_COST)

    def _adopt(self, pid: int, parent: int | None, at: int, found: bool) -> Node | None:
        """Add a process. ``found`` is whether a search found it, so that its beginning is only known to a tick."""
        reading = self._source.read(pid)
        if found and (reading is None or (pid in self._done and self._done[pid][0] == reading.born)):
            return None
        self._done.pop(pid, None)
        elder = self._nodes.get(parent) if parent is not None else None
        forked = not found or has_image_of(elder, reading)
        if forked and elder is not None:
            elder.share.has_forked = True
        began = at - self._origin
        if found and reading is not None:
            began = min(self._began(reading, elder), began)
        node = self._nodes[pid] = Node(pid, began, parent is None, forked)
        node.command = self._command_of(pid) or unnamed(elder, reading)
        if reading is not None:
            node.born, node.image = reading.born, reading.image
            # The peak of a process that began before the recording is not part of it.
            node.mark = 0 if began >= 0 and parent is not None else reading.mark or 0
        self._hold(node)
        if not node.root:
            self._rows.append(row("process", pid, parent, began, node.command))
        self._poll_soon()
        if reading is not None and not reading.over:
            self._take(node, at if found else clocks.monotonic_ns(), reading)
        elif reading is not None and not self._events:  # else the event of its end tells when that was
            self._end(node, self._clock(), reading)  # when the poll began, it may not even have begun
        return node

    def _began(self, reading: Reading, elder: Node | None) -> int:
        """When a process began: as the system tells, but not before its parent did, nor before the last search."""
        began = self._source.began(reading.born) - self._origin
        if -self._source.tick < began < 0:  # the system's time is up to a tick too early
            began = 0
        bounds = [elder.began] if elder is not None else []
        if self._searched:
            bounds.append(self._searched - self._origin)
        return max([began, *bounds])

    def _command_of(self, pid: int) -> str:
        command = self._source.command(pid)
        return self._command if command == self._root_command else command

    def _hold(self, node: Node) -> None:
        if self._handles >= MOST or not self._may_hold:
            return
        try:
            node.handle = Pidfd(node.pid, self._in_process)
            self._handles += 1
        except OSError:
            pass

    def _executed(self, node: Node, at: int, name: str) -> None:
        """A process has executed another program, whose command line may not be readable yet."""
        node.share.executed()
        node.mark = 0
        node.new_image = (at, name)
        reading = self._source.read(node.pid)
        if reading is not None and reading.born == node.born:
            node.image = reading.image
        self._name(node)
        self._poll_soon()

    def _name(self, node: Node, over: bool = False) -> None:
        """Write the command line of the program that a process has executed, if it is readable by now."""
        if node.new_image is None:
            return
        at, name = node.new_image
        command = self._command_of(node.pid) or (f"({name})" if over else "")
        if command:
            node.new_image = None
            node.command = command
            if not node.root:
                self._rows.append(row("command", node.pid, at - self._origin, command))

    def _end(self, node: Node, at: int, reading: Reading | None) -> None:
        """Write that a process has ended, and how if that is known."""
        del self._nodes[node.pid]
        is_same = reading is not None and reading.born == node.born
        if is_same:
            self._done[node.pid] = node.born, at
        elif reading is not None:  # its pid was used again, perhaps for a process of the tree
            self._newest = None
        self._total.without(node.share)
        self._name(node, over=True)
        self._rows.append(node.last(self._meter))
        status = reading.code if reading is not None and is_same else None
        if status is None and node.handle is not None:
            status = node.handle.ending()
        if is_same and not status and node.handle:
            self._unreaped.append((node, at))
        else:
            self._write_end(node, at, status)
        self._poll_soon()

    def _ask_unreaped(self, now: int, last_time: bool = False) -> None:
        """Write how processes ended that have been reaped by now, since when the system tells."""
        unreaped, self._unreaped = self._unreaped, []
        for node, at in unreaped:
            status = node.handle.ending() if node.handle is not None else None
            if status or last_time or now - at > _REAP_WAIT:
                self._write_end(node, at, status)
            else:
                self._unreaped.append((node, at))

    def _write_end(self, node: Node, at: int, code: ExitStatus | None) -> None:
        if node.handle:
            node.handle.close()
            self._handles -= 1
        if not node.root:
            why = (self._kills.of_one(),) if self._kills and code and code[1] == _SIGKILL else ()
            moment = max(at - self._origin, node.began)
            self._rows.append(row("process_end", node.pid, moment, *(code or (None, None)), *why))

    def _poll_soon(self) -> None:
        """Something has happened: shorten the interval."""
        self._total.changed = True
        self._pause = _SOON
        if not self._interval:
            self.due = min(self.due, max(self._polled + _SOON, self._earliest))
        if not self._events:
            self._search_due = min(self._search_due, self._searched + _SOON)

    # -- their memory --------------------------------------------------------------------------------------------------

    def _read_all(self, now: int) -> None:
        began = clocks.thread_time_ns()
        self._polled = now
        for node in list(self._nodes.values()):
            reading = self._read(node)
            if node.is_over(reading, self._source):
                if self._events and node.exited is None:
                    self._take_events(self._events)  # the kernel tells of an end before it shows a zombie
                if self._nodes.get(node.pid) is node:
                    self._end(node, node.exited or self._clock(), reading)
                continue
            if reading is None:
                continue
            if reading.image not in (None, node.image) and not self._events:
                self._executed(node, now, reading.name)
            self._name(node)
            self._take(node, now, reading)
        cost = clocks.thread_time_ns() - began
        if self._nodes:
            self._rows.append(self._total.poll(self._nodes.values(), now))
        self._earliest = now + cost * _POLL_COST
        self.due = max(self._earliest, self._next_due(now))

    def _read(self, node: Node) -> Reading | None:
        reading = self._source.read(node.pid)
        if reading is not None and node.born is None:  # it could not be read when it was added
            node.born, node.image = reading.born, reading.image
        return reading

    def _next_due(self, now: int) -> int:
        if self._interval:
            missed = max(0, now - self.due) // self._interval if self.due else 0
            return (self.due or now) + (missed + 1) * self._interval
        interval = min(self._pause, max(_SHORTEST, (now - self._origin) // _AUTO_GROWTH))
        self._pause = min(self._pause * 2, _SECOND)
        return now + interval

    def _take(self, node: Node, now: int, reading: Reading) -> None:
        """Keep the reading of a process, and write what has changed of its memory."""
        if node.root and not self._with_root:
            node.reading = reading
        else:
            self._rows.append(node.take(reading, now - self._origin, self._meter))
