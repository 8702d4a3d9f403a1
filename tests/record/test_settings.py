"""The settings of a recording, on their way to another process."""

import pytest

from memkit.record.settings import RunSettings, Settings
from memkit.tracing.targets import Targets

CHANGED = {
    "path": "/tmp/a=b c.memkit",
    "interval": "10ms",
    "meter": "pss",
    "lines": ["", "load.py:main"],
    "calls": ["package.module"],
    "c_calls": True,
    "peak_reset": False,
    "follow": True,
    "limit": "80%",
    "on_limit": "stop",
    "call_log": "/tmp/log.csv",
    "trigger": "0",
    "watch": "5d41402abc4b",
    "profile": "",
}


def test_what_another_process_reads_is_what_was_set():
    assert vars(RunSettings.from_words(RunSettings(**CHANGED).to_words())) == CHANGED


@pytest.mark.parametrize("name", CHANGED)
def test_each_setting_stands_alone(name):
    found = RunSettings.from_words(RunSettings(**{name: CHANGED[name]}).to_words())
    assert vars(found) == {name: CHANGED[name]}


def test_defaults_are_not_passed_on():
    assert RunSettings(interval="auto", peak_reset=True, lines=(), limit=None).to_words() == []


@pytest.mark.parametrize("calls", [True, [""], ["", "load.py"]])
def test_calls_without_a_target_are_all_calls(calls):
    assert RunSettings.from_words(RunSettings(calls=calls).to_words()).calls is True


@pytest.mark.parametrize("heap", [True, "sampled", "sampled:64KiB"])
def test_how_the_heap_is_counted_is_passed_on(heap):
    assert RunSettings.from_words(RunSettings(heap=heap).to_words()).heap == heap


def test_a_heap_that_is_sampled_needs_no_calls():
    assert [Settings(heap=heap).every_call for heap in (False, True, "sampled", "sampled:1KiB")] == [
        False,
        True,
        False,
        False,
    ]
    assert [Settings(heap=heap).sampled for heap in (False, True, "sampled", "sampled:1KiB")] == [
        None,
        None,
        1 << 19,
        1 << 10,
    ]


def test_a_child_gets_the_targets_but_neither_limit_nor_tree():
    settings = RunSettings(path="a", children=True, limit="80%", on_limit="raise", call_log="log.csv", c_calls=True)
    targets = Targets(["load.py"])
    child = {"path": "a", "children": False, "limit": None, "on_limit": None, "c_calls": True, "follow": True}
    assert vars(settings.for_child(targets, True)) == {**child, "lines": targets, "calls": True}


def test_an_unknown_setting_is_refused():
    with pytest.raises(TypeError, match="no setting 'colour'"):
        Settings(colour="red")
