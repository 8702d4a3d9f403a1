"""A machine with processes that somebody made up."""

from memkit.system.processes import Reading, Refused, Shares

MIB = 1 << 20
MS = 1_000_000


class Machine:
    """Processes that somebody made up."""

    kind, reason, page, tick = "pss", None, 4096, 0

    def __init__(self):
        self.table = {}
        self.below = {}
        self.words = {}
        self.known = {}
        self.number = 1
        self.stock = None
        self.no_descriptors = False

    def has(self, pid, parent=1, born=0, mib=10, **more):
        found = self.table[pid] = Reading()
        found.parent, found.born, found.name, found.image = parent, born, "job", pid
        found.faults, found.over, found.code, found.swap, found.forked = 0, False, None, 0, False
        found.rss = found.mark = found.anonymous = found.vms = mib * MIB
        found.shmem = 0
        for name, value in more.items():
            setattr(found, name, value)
        self.below.setdefault(parent, set()).add(pid)
        self.words.setdefault(pid, f"job {pid}")
        self.number += 1

    def loses(self, pid):
        del self.table[pid]
        for children in self.below.values():
            children.discard(pid)

    def read(self, pid):
        return None if self.no_descriptors else self.table.get(pid)

    def lists(self, pid):
        return pid in self.table

    def kinship(self):
        return lambda pid: sorted(self.below.get(pid, ()))

    def newest(self):
        return self.number

    def command(self, pid):
        return self.words.get(pid, "") if pid in self.table else ""

    def shares(self, pid):
        if pid not in self.table:
            return None
        if pid in self.known and self.known[pid] is None:
            raise Refused("Permission denied")
        rss = self.table[pid].rss
        return Shares(rss, *self.known.get(pid, (rss, rss)))

    def shmem(self):
        return None if self.stock is None else (self.stock, 0)

    def began(self, born):
        return born * MS
