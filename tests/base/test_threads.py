"""Waiting until the system knows a thread no more."""

import threading
from types import SimpleNamespace

from memkit.base import threads


def test_a_thread_has_no_task_left_once_it_was_waited_for(monkeypatch):
    answers = iter([True, True, False])
    asked = []

    def exists(path):
        asked.append(path)
        return next(answers)

    monkeypatch.setattr(threads.os, "path", SimpleNamespace(exists=exists))
    thread = threading.Thread(target=lambda: None)
    thread.start()
    threads.wait_for_end(thread)
    assert asked == [f"/proc/self/task/{thread.native_id}"] * 3
    assert not thread.is_alive()
