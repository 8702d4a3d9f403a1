"""Whether a process has replaced its program is asked of one that may die meanwhile."""

from types import SimpleNamespace

import pytest

from memkit.run.replaced import Replaced


class Dying:
    """A process whose program is known at the first look, and which is dead at the second."""

    def __init__(self, *readings):
        self.readings = list(readings)

    def read(self, pid):
        return self.readings.pop(0)

    def command(self, pid):
        return ""


def reading(image, over=False):
    return SimpleNamespace(image=image, over=over, parent=1)


@pytest.mark.parametrize("after", [None, reading(None), reading(b"1", over=True)])
def test_a_process_that_dies_meanwhile_has_not_replaced_its_program(after):
    awaited = SimpleNamespace(origin=lambda pid: {"pid": pid})
    watched = Replaced(7, awaited, tree=None)
    watched._source = Dying(reading(b"1"), after)
    watched.look()
    assert watched.end(1, None) is False


def test_a_program_without_a_name_is_one_all_the_same(monkeypatch):
    went_on = []
    monkeypatch.setattr(Replaced, "_go_on", lambda self, parent, command: went_on.append(command))
    watched = Replaced(7, SimpleNamespace(origin=lambda pid: {"pid": pid}), tree=None)
    watched._source = Dying(reading(b"1"), reading(b"1"))
    watched.look()
    assert went_on == [""]
