"""Plugins: found by entry point, called one by one, and harmless when they fail."""

import shlex
import sys

import pytest

import memkit
from memkit.base.plugins import Plugins

SAFE = "the recording is safe, make this report again with:"
OWN = ["console", "csv", "flame", "folded", "json", "lines", "paths", "plot", "plot-lines", "pprof", "speedscope"]


def found(plugins):
    return {plugin.name: plugin for plugin in plugins.found}


def test_what_ships_with_memkit_is_found_as_a_strangers_would_be(install_plugin):
    install_plugin("@memkit.hookimpl\ndef memkit_report(recording): pass")
    plugins = found(Plugins())
    assert set(OWN) < set(plugins)
    assert {plugins[name].distribution for name in OWN} == {"memkit-profiler"}
    assert plugins["stranger"] == ("stranger", "stranger-distribution", "1.5", ("memkit_report",), "active")


def test_a_plugin_can_be_left_out():
    plugins = Plugins({"plot"})
    assert found(plugins)["plot"].state == "disabled"
    plugins.check_names({"plot"})


def test_leaving_out_what_there_is_not_is_refused_with_the_nearest_name():
    with pytest.raises(memkit.UsageError, match=r"no plugin 'plto' \(did you mean 'plot'\?\)"):
        Plugins().check_names({"plto"})


@pytest.mark.parametrize(
    ("value", "state"), [("1", "disabled by MEMKIT_DISABLE_PLUGIN_AUTOLOAD"), ("0", "active"), ("", "active")]
)
def test_strangers_can_be_kept_out_by_the_environment(install_plugin, monkeypatch, value, state):
    monkeypatch.setenv("MEMKIT_DISABLE_PLUGIN_AUTOLOAD", value)
    install_plugin("@memkit.hookimpl\ndef memkit_report(recording): pass")
    plugins = found(Plugins())
    assert plugins["stranger"].state == state
    assert plugins["console"].state == "active"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import nowhere_to_be_found", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("1 / 0", "ZeroDivisionError"),
        ("def broken(:", "SyntaxError"),
        ("@memkit.hookimpl\ndef memkit_report(recoding): pass", "PluginValidationError"),
        ("@memkit.hookimpl\ndef memkit_reprot(recording): pass", "PluginValidationError"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_is_named_and_left_out(install_plugin, source, reason):
    install_plugin(source)
    said = []
    plugins = Plugins(complain=said.append)
    assert len(said) == 1
    assert "plugin 'stranger' of stranger-distribution cannot be loaded" in said[0]
    assert reason in said[0]
    assert "-p no:stranger" in said[0]
    assert found(plugins)["stranger"].hooks == ()
    assert found(plugins)["console"].state == "active"


def test_loading_plugins_imports_nothing_heavy():
    import subprocess

    code = (
        "import sys; from memkit.base.plugins import Plugins; Plugins();"
        "print([name for name in ('matplotlib', 'numpy', 'rich', 'psutil', 'IPython') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


class Options:
    """What a command line gave."""

    command, quiet = "report", True
    csv = json = mprof = plot = csv_lines = plot_lines = csv_calls = flame = folded = html = pprof = speedscope = None
    no_source = redact = False


def test_a_report_is_called_for_each_recording_or_once_with_all(install_plugin, made_up):
    install_plugin(
        """
        calls = []
        @memkit.hookimpl
        def memkit_report(recording, options): calls.append(recording)
        """,
        "single",
    )
    install_plugin(
        """
        calls = []
        @memkit.hookimpl
        def memkit_report(recordings): calls.append(recordings)
        """,
        "plural",
    )
    one, two = made_up((0, 1)), made_up((0, 2))
    assert Plugins().report([one, two], Options) == 0
    assert sys.modules["single_module"].calls == [one, two]
    assert sys.modules["plural_module"].calls == [(one, two)]


def test_an_option_of_one_recording_refuses_several_before_any_report(install_plugin, made_up, capsys):
    install_plugin(
        """
        @memkit.hookimpl
        def memkit_add_options(parser):
            parser.add_argument("--zeal").one_recording = True
        @memkit.hookimpl
        def memkit_report(recording): raise RuntimeError("called")
        """
    )
    for recordings in ([made_up((0, 1)), made_up((0, 2))], []):
        with pytest.raises(
            memkit.UsageError, match=rf"^--zeal takes one recording, not {len(recordings)}: make a report of each$"
        ):
            memkit.report(recordings, zeal="a")
    memkit.report([made_up((0, 1)), made_up((0, 2))], without=["stranger"])
    assert capsys.readouterr().out.count("finished") == 2


def test_a_report_that_fails_is_named_with_the_command_that_makes_it_again(install_plugin, made_up):
    install_plugin("@memkit.hookimpl\ndef memkit_report(recording): raise RuntimeError('no ink')", "broken")
    install_plugin("calls = []\n@memkit.hookimpl\ndef memkit_report(recording): calls.append(1)", "whole")
    said = []
    plugins = Plugins(complain=said.append)
    plugins.remember([])
    assert plugins.report([made_up((0, 1), source="r.memkit")], Options) == 1
    assert said == [
        "plugin 'broken' failed: RuntimeError: no ink; "
        "the recording is safe, make this report again with: memkit report r.memkit"
    ]
    assert sys.modules["whole_module"].calls == [1]


MANY_OPTIONS = """
@memkit.hookimpl
def memkit_add_options(parser):
    parser.add_argument("-Z", "--zeal", dest="zeal")
    parser.add_argument("-F", "--flag", action="store_true")
    parser.add_argument("--no-frills", dest="frills", action="store_false")
    parser.add_argument("--each", action="append", type=float)
    parser.add_argument("--pair", nargs=2)
    parser.add_argument("--maybe", nargs="?", const="c")
    parser.add_argument("--all", nargs="*")
@memkit.hookimpl
def memkit_report(recordings): raise RuntimeError("no ink")
"""


@pytest.mark.parametrize(
    ("words", "again"),
    [
        ("", ""),
        ("-q", " -q"),
        ("--csv a.csv", " --csv a.csv"),
        ("--csv=a.csv -o b.memkit", " --csv=a.csv"),
        ("--csv -", " --csv -"),
        ("--plot 'a plot; rm x.png'", " --plot 'a plot; rm x.png'"),
        ("--interval 10ms --lines --flag --quiet", " --flag --quiet"),
        ("--no-frills -Zeager", " --no-frills -Zeager"),
        ("-Z eager", " -Z eager"),
        ("-Fq", " -F"),
        ("--each 1e3 --each=-2", " --each 1e3 --each=-2"),
        ("--pair a b --maybe --all", " --pair a b --maybe --all"),
        ("--maybe c --all a b c -q", " --maybe c --all a b c -q"),
        ("--flag -- --csv a.csv", " --flag"),
    ],
)
def test_the_command_that_makes_a_report_again_has_the_given_options(install_plugin, made_up, words, again):
    import argparse

    install_plugin(MANY_OPTIONS)
    said = []
    plugins = Plugins({"plot-lines"}, complain=said.append)
    plugins.add_options(argparse.ArgumentParser())
    plugins.remember(shlex.split(words))
    plugins.report([made_up((0, 1), source="my runs/r.memkit"), made_up((0, 1), source="-s.memkit")], Options)
    [line] = said
    command = "memkit report 'my runs/r.memkit' ./-s.memkit -p no:plot-lines"
    assert line == f"plugin 'stranger' failed: RuntimeError: no ink; {SAFE} {command}{again}"


def test_a_recording_without_a_file_has_no_command_that_reports_on_it(install_plugin, made_up):
    install_plugin(MANY_OPTIONS)
    with pytest.raises(memkit.MemkitError, match=r"failed: RuntimeError: no ink; the recording is safe$"):
        memkit.report(made_up((0, 1)), quiet=True)


def test_every_hook_may_fail_and_the_others_go_on(install_plugin, made_up):
    import argparse

    install_plugin(
        """
        @memkit.hookimpl
        def memkit_add_options(parser): raise ValueError("a")
        @memkit.hookimpl
        def memkit_follow(recording): raise ValueError("b")
        @memkit.hookimpl
        def memkit_meters(): raise ValueError("c")
        """,
        "broken",
    )
    install_plugin("@memkit.hookimpl\ndef memkit_meters(): return {'shelf': len}", "whole")
    said = []
    plugins = Plugins(complain=said.append)
    parser = argparse.ArgumentParser()
    plugins.add_options(parser)
    assert parser.parse_args(["--csv", "-"]).csv == "-"
    plugins.follow(made_up((0, 1)), Options)
    assert plugins.meters() == {"shelf": len}
    assert [line.partition(";")[0] for line in said] == [f"plugin 'broken' failed: ValueError: {letter}" for letter in "abc"]


def test_a_follower_that_fails_is_told_once_and_counts_as_a_failed_report(install_plugin, made_up):
    install_plugin("@memkit.hookimpl\ndef memkit_follow(recording): raise ValueError('lost')", "broken")
    install_plugin("calls = []\n@memkit.hookimpl\ndef memkit_follow(recording): calls.append(recording)", "whole")
    said = []
    plugins = Plugins(complain=said.append)
    one, two = made_up((0, 1)), made_up((0, 2))
    plugins.follow(one, Options)
    plugins.follow(two, Options)
    assert said == ["plugin 'broken' failed: ValueError: lost; it is not called again"]
    assert sys.modules["whole_module"].calls == [one, two]
    assert plugins.report([two], Options) == 1


def test_meters_that_are_no_dict_are_named_and_left_out(install_plugin):
    install_plugin("@memkit.hookimpl\ndef memkit_meters(): return [1]", "broken")
    install_plugin("@memkit.hookimpl\ndef memkit_meters(): return {'shelf': len}", "whole")
    said = []
    assert Plugins(complain=said.append).meters() == {"shelf": len}
    assert said == [
        "plugin 'broken' failed: TypeError: memkit_meters returned [1], which is no dict; its meters are missing"
    ]


def test_two_plugins_with_the_same_option_do_not_stop_each_other(install_plugin):
    import argparse

    install_plugin("@memkit.hookimpl\ndef memkit_add_options(parser): parser.add_argument('--csv')", "greedy")
    said = []
    parser = argparse.ArgumentParser()
    Plugins(complain=said.append).add_options(parser)
    assert len(said) == 1
    assert "'greedy'" in said[0]
    assert "--csv" in said[0]


def test_a_report_can_be_asked_for_from_python(made_up, tmp_path, capsys):
    memkit.report(made_up((0, 1), (5, 2)), csv=tmp_path / "a.csv", quiet=True)
    assert (tmp_path / "a.csv").read_text().splitlines()[1] == "0.000000000,4242,1048576,1048576"
    assert capsys.readouterr().out == ""
    memkit.report(made_up((0, 1), (5, 2)))
    assert "finished" in capsys.readouterr().out


def test_a_plugin_can_be_left_out_from_python(made_up, capsys):
    memkit.report(made_up((0, 1)), without=["console"])
    assert capsys.readouterr() == ("", "")
    with pytest.raises(memkit.UsageError, match=r"no plugin 'consle' \(did you mean 'console'\?\)"):
        memkit.report(made_up((0, 1)), without=["consle"])


def test_an_unknown_option_from_python_is_refused_with_the_nearest(made_up):
    with pytest.raises(memkit.UsageError, match=r"unknown option 'cvs' \(did you mean 'csv'\?\)"):
        memkit.report(made_up((0, 1)), cvs="a.csv")


def test_a_value_that_its_option_refuses_is_refused_from_python_too(made_up):
    with pytest.raises(memkit.UsageError, match="end it in"):
        memkit.report(made_up((0, 1)), plot="a.bmp")


def test_a_report_that_fails_is_an_error_from_python(made_up, install_plugin):
    install_plugin("@memkit.hookimpl\ndef memkit_report(recording): raise RuntimeError('no ink')", "broken")
    with pytest.raises(memkit.MemkitError, match="'broken' failed: RuntimeError: no ink"):
        memkit.report(made_up((0, 1)), quiet=True)
