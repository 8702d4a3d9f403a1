"""Hooks are called by pluggy, with its order and its wrappers, and one implementation that fails harms no other."""

import contextlib
import types

import pluggy
import pytest

import memkit
from memkit.base.hook_calls import Hooks


class Called:
    """Hooks with plugins that were made here, what was said of failures, and what the implementations did."""

    def __init__(self):
        self.said, self.done = [], []
        self.hooks = Hooks(self.said.append)

    def add(self, name, function, **settings):
        """Register a plugin of one implementation, before those that are there."""
        marked = memkit.hookimpl(**settings)(function) if settings else memkit.hookimpl(function)
        return self.hooks.register(types.SimpleNamespace(**{function.__name__: marked}), name)

    def meters(self, name, value=None, **settings):
        """Register an implementation that says when it is called, and returns a meter of its name."""

        def memkit_meters():
            self.done.append(name)
            if isinstance(value, BaseException):
                raise value
            return {name: len}

        self.add(name, memkit_meters, **settings)

    def names(self):
        return [name for meters in self.hooks.call("memkit_meters", "no meters") for name in meters]


@pytest.fixture
def called():
    return Called()


def test_what_was_registered_last_is_called_first_unless_it_asks_otherwise(called):
    called.meters("last", trylast=True)
    called.meters("middle")
    called.meters("first", tryfirst=True)
    called.meters("second")
    assert called.names() == ["first", "second", "middle", "last"]


def test_an_implementation_that_fails_is_named_and_the_others_run(called):
    called.meters("after")
    called.meters("broken", ValueError("no"))
    called.meters("before")
    assert called.names() == ["before", "after"]
    assert called.said == ["plugin 'broken' failed: ValueError: no; no meters"]
    assert called.hooks.failures == {"memkit_meters": 1}


def test_an_exit_of_a_plugin_is_a_failure_of_it(called):
    called.meters("broken", SystemExit(3))
    assert called.names() == []
    assert called.said == ["plugin 'broken' failed: SystemExit: 3; no meters"]


def test_an_interrupt_is_no_failure_of_a_plugin(called):
    called.meters("interrupted", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        called.names()
    assert called.said == []


def test_a_pipe_that_nobody_reads_is_no_failure_of_a_plugin(called):
    called.meters("broken", BrokenPipeError())
    assert called.names() == []
    assert (called.said, called.hooks.reader_went_away) == ([], True)


def test_a_wrapper_runs_around_the_others_and_may_replace_their_results(called):
    def memkit_meters():
        called.done.append("in")
        results = yield
        called.done.append("out")
        return [*results, {"more": len}]

    called.meters("inner")
    called.add("wrapper", memkit_meters, wrapper=True)
    assert called.names() == ["inner", "more"]
    assert called.done == ["in", "inner", "out"]


def test_a_wrapper_of_the_old_style_may_replace_the_results(called):
    def memkit_meters():
        outcome = yield
        outcome.force_result([*outcome.get_result(), {"more": len}])

    called.meters("inner")
    called.add("wrapper", memkit_meters, hookwrapper=True)
    assert called.names() == ["inner", "more"]


def test_a_wrapper_sees_the_results_of_those_that_did_not_fail(called):
    seen = []

    def memkit_meters():
        seen.append((yield))
        return seen[-1]

    called.meters("broken", ValueError())
    called.meters("whole")
    called.add("wrapper", memkit_meters, wrapper=True)
    called.names()
    assert seen == [[{"whole": len}]]


def fails_before():
    raise ValueError("no")
    yield


def fails_after():
    yield
    raise ValueError("no")


def never_yields():
    return
    yield


def yields_twice():
    yield
    yield


def returns_a_number():
    yield
    return 5


def forces_an_exception():
    outcome = yield
    outcome.force_exception(ValueError("no"))


@pytest.mark.parametrize(
    ("wrapper", "reason", "styles"),
    [
        (fails_before, "ValueError: no", ["wrapper", "hookwrapper"]),
        (fails_after, "ValueError: no", ["wrapper", "hookwrapper"]),
        (never_yields, "RuntimeError: the wrapper did not yield", ["wrapper", "hookwrapper"]),
        (yields_twice, "RuntimeError: the wrapper has a second yield", ["wrapper", "hookwrapper"]),
        (returns_a_number, "TypeError: the wrapper returned 5, which is no list", ["wrapper"]),
        (forces_an_exception, "ValueError: no", ["hookwrapper"]),
    ],
)
def test_a_wrapper_that_fails_is_named_and_the_results_stand(wrapper, reason, styles):
    for style in styles:
        called = Called()
        outside = []

        def memkit_meters(outside=outside):
            outside.append((yield))
            return outside[-1]

        called.meters("inner")
        called.hooks.register(
            types.SimpleNamespace(
                memkit_meters=memkit.hookimpl(types.FunctionType(wrapper.__code__, globals()), **{style: True})
            ),
            "broken",
        )
        called.add("outermost", memkit_meters, wrapper=True)
        assert called.names() == ["inner"]
        assert outside == [[{"inner": len}]]
        assert called.said == [f"plugin 'broken' failed: {reason}; no meters"]


@pytest.mark.parametrize("style", ["wrapper", "hookwrapper"])
def test_a_wrapper_ends_in_order_when_somebody_interrupts(called, style):
    ended = []

    def memkit_meters():
        try:
            outcome = yield
            with contextlib.suppress(KeyboardInterrupt):
                outcome.get_result()
        finally:
            ended.append(True)

    called.meters("inner", KeyboardInterrupt())
    called.add("wrapper", memkit_meters, **{style: True})
    with pytest.raises(KeyboardInterrupt):
        called.names()
    assert (ended, called.said) == ([True], [])


def test_a_report_is_called_for_each_recording_wherever_the_argument_stands(called):
    seen = []

    def memkit_report(options, recording):
        seen.append((options, recording))
        if recording == 1:
            raise ValueError("no")

    called.add("each", memkit_report)
    called.hooks.call("memkit_report", "safe", recording=(1, 2), recordings=(1, 2), options="o")
    assert seen == [("o", 1), ("o", 2)]
    assert called.said == ["plugin 'each' failed: ValueError: no; safe"]


def test_a_wrapper_of_a_report_that_takes_one_recording_is_refused(called):
    def memkit_report(recording):
        yield

    with pytest.raises(TypeError, match="it takes recordings, not recording"):
        called.add("wrapper", memkit_report, wrapper=True)
    assert not called.hooks.has("memkit_report")


def test_a_hook_that_does_not_exist_is_refused_and_leaves_nothing_behind(called):
    def memkit_reprot():
        pass

    with pytest.raises(pluggy.PluginValidationError):
        called.add("misspelled", memkit_reprot)
    called.meters("whole")
    assert called.names() == ["whole"]


def test_the_traceback_is_shown_where_somebody_debugs(called, monkeypatch, capsys):
    called.meters("broken", ValueError("no"))
    called.names()
    assert "Traceback" not in capsys.readouterr().err
    monkeypatch.setenv("MEMKIT_DEBUG", "1")
    called.names()
    assert "Traceback" in capsys.readouterr().err


def test_each_call_can_be_shown_with_the_plugins_in_their_order(monkeypatch, capsys):
    monkeypatch.setenv("MEMKIT_TRACE_HOOKS", "1")
    called = Called()
    called.meters("second")
    called.meters("first")
    called.names()
    called.hooks.call("memkit_load_ipython", "", shell=None)
    assert capsys.readouterr().err == "memkit: memkit_meters: first second\nmemkit: memkit_load_ipython: nobody\n"
