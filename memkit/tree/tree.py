"""A process and all its descendants: when each began and how it ended, its memory, and the memory of all together.

Where the kernel tells of births and ends as they happen nothing that lived is missed; elsewhere
the tree is searched, often while it changes and rarely while it does not, and what came and went between two searches is
not seen. A process that was seen once stays in the tree when its parent ends. What is seen is written as ``process``,
``command``, ``sample``, ``process_end``, ``process_left``, ``tree`` and ``total`` rows.
"""

from __future__ import annotations

import os
import time

from memkit.model.file_format import row
from memkit.system.pidfd import MOST, Pidfd, tells_apart
from memkit.tree.node import Member
from memkit.tree.pss import Sum

_MILLISECOND = 1_000_000
_SECOND = 1000 * _MILLISECOND
_SHORTEST, _AUTO_GROWTH = 10 * _MILLISECOND, 434  # of a beat that grows as that of the sampler does
_EAGER = _MILLISECOND  # after something happened
_LOOKS_SHARE = 50  # looking takes no more than one part in so many of the time
_REMEMBERED = 1000  # of those that have ended
_SIGKILL = 9
_PATIENCE = _SECOND  # with a parent that does not ask how its child ended
_CHECKS = 8  # how often a process that is about to end is looked at


class Tree:
    """The descendants of a process, and itself.

    ``pid`` is its number, ``journal`` takes the rows, ``source`` reads processes, ``origin`` is the moment on
    ``time.monotonic_ns`` that rows count from. ``command`` is what it runs, where its own words do not tell; ``interval``
    nanoseconds from look to look, or 0 for a beat that grows; ``family`` tells of births and ends, and is closed with the
    tree; ``seen`` is why there is none. ``kills`` are those for want of memory, where that is to be told. ``whole`` is
    whether the process itself is to be written about, which one that records itself is not; ``guest`` whether it is this
    very process, and not one that memkit looks at from outside.
    """

    def __init__(
        self,
        pid,
        journal,
        source,
        *,
        origin,
        command=None,
        interval=0,
        meter="rss",
        family=None,
        seen=None,
        kills=None,
        whole=False,
        guest=False,
    ):
        self._journal, self._source, self._family, self._kills = journal, source, family, kills
        self._origin, self._interval, self._meter = origin, interval, meter
        self._whole, self._guest = whole, guest
        self._excluded = () if guest else (os.getpid(),)
        self._rows = []
        self._members = {}  # pid: member
        self._done = {}  # pid: when it began, of what has ended and may still be found
        self._leaving = []
        self._unasked = []  # those that have ended, while only their parents may know how, and when each did
        self._lost = 0
        self._handles = 0
        self._may_hold = not guest or tells_apart()  # or a descriptor of the program's might be closed for ours
        self._newest = None
        self._sum = Sum(source, origin)
        self._said = None  # how it is added up, as it was written last
        self._searched = 0
        self._known = 0  # until when whatever began has been found
        self._looked = origin
        self._search_due = self._earliest = self.due = 0
        self._eager = _EAGER
        self._seen = ("events", None) if family else ("looks", seen)
        self._root = pid
        self._words = source.command(pid)  # a fork of it has the same
        self._command = command or self._words

    # -- looking -------------------------------------------------------------------------------------------------------

    def look(self, now: int | None = None) -> int:
        """See what has happened, and write it down; return when to look again, at the latest."""
        now = time.monotonic_ns() if now is None else now
        if self._said is None:
            self._adopt(self._root, None, now, True)
            self._sum.begin(self._root)
        self._ask_again(now)
        if self._family:
            self._take_events()
        self._check_the_leaving(now)
        if now >= self._search_due:
            self._search(now)
        self._sum.knows(self._members.values(), now if self._family else self._known)
        if now >= self.due:
            self._look_at_all(now)
        self._write()
        return self.next

    @property
    def next(self) -> int:
        """When to look again, at the latest."""
        soon = [self._looked + _EAGER] if self._leaving else []
        return min(self.due, self._search_due, *soon)

    def close(self) -> None:
        """Look for the last time."""
        now = time.monotonic_ns()
        self.due = now
        self._search_due = max(self._search_due, now + 1)
        self.look(now)
        self._ask_again(now, for_the_last_time=True)
        self._rows.append(self._sum.last())
        for member in self._members.values():
            self._rows.append(member.last(self._meter))
            if not member.root:
                self._rows.append(row("process_left", member.pid, now - self._origin))
            if member.handle:
                member.handle.close()
        self._write()
        if self._family:
            self._family.close()

    @property
    def descriptors(self) -> list[int]:
        """What becomes readable when something has happened."""
        if self._family:
            return self._family.descriptors
        return [member.handle.fd for member in self._members.values() if member.handle and member.handle.ours]

    def _write(self):
        if self._said != (said := (self._sum.kind, self._sum.reason, *self._seen)):
            self._said = said
            self._rows.append(row("tree", *said))
        if any(self._rows):
            self._journal.text(b"".join(self._rows))
            self._rows.clear()
            self._journal.flush()

    # -- who there is --------------------------------------------------------------------------------------------------

    def _take_events(self):
        events = self._family.events()
        if self._family.lost > self._lost:
            self._lost = self._family.lost
            self._seen = "events", f"{self._lost} records of the kernel were lost: more happened than there was room for"
            self._search_due = 0
        for at, kind, thread, pid, other in events:
            member = self._members.get(pid)
            if kind == "fork":
                theirs = pid != other and other in self._members and pid not in self._excluded
                if theirs and (member is None or not self._lives(member)):  # searching may have found it just now
                    self._adopt(pid, other, at, False)
            elif member is None:
                continue
            elif kind == "exec":
                self._executed(member, at, other)
            elif thread == pid or member.exited is not None:
                member.exited = at
                member.checks = 0
                self._leaving.append(member)

    def _lives(self, member):
        """Whether a process is still the one that it was; where it is not, its end was lost, and is written now."""
        reading = self._source.read(member.pid)
        if reading is not None and reading.born == member.born:
            return True
        self._end(member, time.monotonic_ns(), reading)
        return False

    def _check_the_leaving(self, now):
        """Whether those whose main thread has ended have other threads still."""
        leaving, self._leaving = self._leaving, []
        for member in leaving:
            if self._members.get(member.pid) is not member:
                continue
            reading = self._source.read(member.pid)
            if reading is None or reading.over or reading.born != member.born:
                self._end(member, member.exited, reading)
                continue
            member.checks += 1
            if member.checks < _CHECKS:
                self._leaving.append(member)

    def _search(self, now):
        """Find processes by asking each that is known for its children; where events tell of them, now and then only."""
        newest = self._source.newest()
        began = time.thread_time_ns()
        quiet = newest is not None and newest == self._newest
        if not quiet or now - self._searched > _SECOND:
            self._newest = newest
            children, waiting = self._source.kinship(), list(self._members)
            for pid in waiting:
                for child in children(pid):
                    known = self._members.get(child)
                    if known is None and child not in self._excluded and self._adopt(child, pid, now, True):
                        waiting.append(child)
            self._searched = now
            if len(self._done) > _REMEMBERED:
                self._done = {pid: born for pid, born in self._done.items() if self._source.read(pid) is not None}
        self._known = now
        cost = time.thread_time_ns() - began
        pause = _SECOND if self._family else min(self._eager, _SHORTEST)
        self._search_due = now + max(pause, cost * _LOOKS_SHARE)

    def _adopt(self, pid, parent, at, found):
        """Take a process in; ``found`` is whether it was found by searching, so that its beginning is not known well."""
        reading = self._source.read(pid)
        if found and (reading is None or self._done.get(pid) == reading.born):
            return None
        self._done.pop(pid, None)
        elder = self._members.get(parent)
        forked = not found
        if found and elder is not None:
            forked = reading.parent == parent and reading.image is not None and reading.image == elder.image
        if forked and elder is not None:
            elder.part.has_forked = True
        began = at - self._origin
        if found:
            began = min(self._told(reading, elder), began)
        member = self._members[pid] = Member(pid, began, parent is None, forked)
        member.command = self._command_of(pid) or (f"({reading.name})" if reading else elder.command)
        if reading is not None:
            member.born, member.image = reading.born, reading.image
            # What its mark was before the recording is no news.
            member.mark = 0 if began >= 0 and parent is not None else reading.mark or 0
        self._hold(member)
        if not member.root:
            self._rows.append(row("process", pid, parent, began, member.command))
        self._stir()
        if reading is not None:
            if reading.over:
                self._end(member, at, reading)
            else:
                self._take(member, at if found else time.monotonic_ns(), reading)
        return member

    def _told(self, reading, elder):
        """When a process began, as far as the system tells and the tree knows."""
        began = self._source.began(reading.born) - self._origin
        if -self._source.tick < began < 0:  # it is up to a tick too early
            began = 0
        # It was not there when somebody looked.
        return max([began, *([elder.began] if elder else []), *([self._searched - self._origin] if self._searched else [])])

    def _command_of(self, pid):
        words = self._source.command(pid)
        return self._command if words == self._words else words

    def _hold(self, member):
        if self._handles >= MOST or not self._may_hold:
            return
        try:
            member.handle = Pidfd(member.pid, self._guest)
            self._handles += 1
        except OSError:
            pass

    def _executed(self, member, at, name):
        """It runs another program from now on, whose words may not be there yet."""
        member.part.executed()
        member.mark = 0
        member.unnamed = (at, name)
        reading = self._source.read(member.pid)
        if reading is not None and reading.born == member.born:
            member.image = reading.image
        self._name(member)
        self._stir()

    def _name(self, member, over=False):
        at, name = member.unnamed
        command = self._command_of(member.pid) or (f"({name})" if over else "")
        if command:
            member.unnamed = None
            member.command = command
            if not member.root:
                self._rows.append(row("command", member.pid, at - self._origin, command))

    def _end(self, member, at, reading):
        """Write that a process has ended, and how, as far as anybody knows."""
        del self._members[member.pid]
        known = reading is not None and reading.born == member.born
        if known:
            self._done[member.pid] = member.born
        elif reading is not None:  # its number was used again, perhaps by one of the tree
            self._newest = None
        self._sum.without(member.part)
        if member.unnamed:
            self._name(member, over=True)
        self._rows.append(member.last(self._meter))
        code = (known and reading.code) or (member.handle and member.handle.ending())
        if known and not code and member.handle:
            self._unasked.append((member, at))
        else:
            self._tell_end(member, at, code)
        self._stir()

    def _ask_again(self, now, for_the_last_time=False):
        """Whether the system tells by now how processes ended of which only their parents knew."""
        unasked, self._unasked = self._unasked, []
        for member, at in unasked:
            code = member.handle.ending()
            if code or for_the_last_time or now - at > _PATIENCE:
                self._tell_end(member, at, code)
            else:
                self._unasked.append((member, at))

    def _tell_end(self, member, at, code):
        if member.handle:
            member.handle.close()
            self._handles -= 1
        if not member.root:
            why = (self._kills.of_one(),) if self._kills and code and code[1] == _SIGKILL else ()
            moment = max(at - self._origin, member.began)
            self._rows.append(row("process_end", member.pid, moment, *(code or (None, None)), *why))

    def _stir(self):
        """Something has happened: look again soon."""
        self._sum.changed = True
        self._eager = _EAGER
        if not self._interval:
            self.due = min(self.due, max(self._looked + _EAGER, self._earliest))
        if not self._family:
            self._search_due = min(self._search_due, self._searched + _EAGER)

    # -- memory --------------------------------------------------------------------------------------------------------

    def _look_at_all(self, now):
        began = time.thread_time_ns()
        self._looked = now
        for member in list(self._members.values()):
            reading = self._source.read(member.pid)
            if reading is not None and member.born is None and not reading.over:  # it was not there yet
                member.born, member.image = reading.born, reading.image
            if reading is None or reading.over or reading.born != member.born:
                self._end(member, member.exited or now, reading)
                continue
            if reading.image != member.image and not self._family:
                self._executed(member, now, reading.name)
            if member.unnamed:
                self._name(member)
            self._take(member, now, reading)
        looked = time.thread_time_ns() - began
        if self._members:
            self._rows.append(self._sum.look(self._members.values(), now))
        self._earliest = now + looked * _LOOKS_SHARE
        self.due = max(self._earliest, self._next_beat(now))

    def _next_beat(self, now):
        if self._interval:
            missed = max(0, now - self.due) // self._interval if self.due else 0
            return (self.due or now) + (missed + 1) * self._interval
        beat = min(self._eager, max(_SHORTEST, (now - self._origin) // _AUTO_GROWTH))
        self._eager = min(self._eager * 2, _SECOND)
        return now + beat

    def _take(self, member, now, reading):
        """Note how a process is, and write what is new about its memory."""
        if member.root and not self._whole:
            member.reading = reading
        else:
            self._rows.append(member.take(reading, now - self._origin, self._meter))
