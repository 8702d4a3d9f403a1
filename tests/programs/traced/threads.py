"""Threads that take turns; what one takes does not fall on the lines that the others wait in."""
# fmt: off
# ruff: noqa

import threading

from oracle import drop, keep


def work(size, turns, held):
    for _ in range(turns):
        held.append(keep(size))
    return held


def alone(size):
    held = []
    worker = threading.Thread(target=work, args=(size, 3, held))
    worker.start(), worker.join()
    while held:
        drop(held.pop())


class InTurns:
    """Two threads, of which the one works only while the other waits."""

    def __init__(self):
        self.mine, self.yours = threading.Semaphore(0), threading.Semaphore(0)
        self.held = []

    def first(self):
        self.mine.acquire()
        for _ in range(3):
            self.held.append(keep(1))
            self.hand_over(self.yours, self.mine)

    def second(self):
        self.mine.release(), self.yours.acquire()
        for _ in range(3):
            self.held.append(keep(2))
            self.hand_over(self.mine, self.yours)

    def hand_over(self, to, back):
        to.release(), back.acquire()

    def run(self):
        workers = [threading.Thread(target=work) for work in (self.first, self.second)]
        first, second = workers
        first.start(), second.start(), first.join(), self.yours.release(), second.join()
        while self.held:
            drop(self.held.pop())


def fails():
    block = keep(1)
    drop(block)
    raise SystemExit


def recursive(deep, held):
    if deep:
        recursive(deep - 1, held)
    held.append(keep(1))


def generator_in_two_threads():
    def numbers():
        held.append(keep(1))
        yield 1
        held.append(keep(2))
        yield 2

    held = []
    source = numbers()
    next(source)
    worker = threading.Thread(target=next, args=(source,))
    worker.start(), worker.join()
    while held:
        drop(held.pop())


class Worker(threading.Thread):
    def __init__(self):
        super().__init__()
        self.held = []

    def run(self):
        recursive(3, self.held)


alone(1)
alone(2)
InTurns().run()
for target in (fails, lambda: None):
    thread = threading.Thread(target=target)
    thread.start(), thread.join()
thread = Worker()
thread.start(), thread.join()
for each in thread.held:
    drop(each)
del thread
generator_in_two_threads()
