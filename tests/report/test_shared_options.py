"""Options that several reporters share: each reporter works without the others."""

import argparse
import sys

import pytest

import memkit

MIB = 1 << 20
MAIN = "<thread MainThread>"
JSON = "/usr/lib/python3.13/json/__init__.py:loads"


@pytest.fixture
def recording(called):
    return called((0, MAIN, 0, 1, 0), (1, "main", 1, 1, 5), (2, "part.py:load", 2, 1, 7), (3, JSON, 4, 1, 9))


@pytest.mark.parametrize("without", [["paths"], ["paths", "speedscope"], ["console", "flame", "lines", "paths"]])
def test_the_options_of_calls_work_without_the_other_reporters(recording, capsys, without):
    memkit.report(recording, command="run", folded="-", hide=["part.py"], sort="time", without=without)
    assert capsys.readouterr().out == f"{MAIN};main (load.py:10) 21000000\n"


def test_quiet_silences_every_printed_report_of_which_one_is_left(recording, capsys):
    memkit.report(recording, quiet=True, without=["console"])
    memkit.report(recording, quiet=True, without=["console", "lines"])
    assert capsys.readouterr() == ("", "")


def test_the_options_of_calls_go_with_the_last_reporter_of_calls(recording):
    with pytest.raises(memkit.UsageError, match="unknown option 'hide'"):
        without = ["console", "heap", "lines", "paths", "flame", "folded", "pprof", "speedscope"]
        memkit.report(recording, hide=["part.py"], without=without)


def test_options_are_added_once_however_many_reporters_add_them():
    parser = argparse.ArgumentParser(add_help=False)
    for _ in range(2):
        memkit.add_quiet_option(parser)
        memkit.add_call_options(parser)
    assert [action.dest for action in parser._actions] == ["quiet", "sort", "hide", "show_all", "by_thread"]


@pytest.mark.parametrize(
    ("hide", "show_all", "functions"),
    [
        (None, False, [MAIN, "main", "load"]),
        (["part.py"], False, [MAIN, "main"]),
        (None, True, [MAIN, "main", "load", "loads"]),
        (["part.py"], True, [MAIN, "main", "loads"]),
    ],
)
def test_chosen_calls_are_those_that_the_options_leave(recording, hide, show_all, functions):
    options = argparse.Namespace(hide=hide, show_all=show_all, by_thread=False)
    assert [call.function.name for call in memkit.chosen_calls(recording, options).calls] == functions


@pytest.mark.parametrize(
    ("options", "stream"),
    [
        ({"command": "report"}, "stdout"),
        ({"command": "report", "csv": "a.csv"}, "stdout"),
        ({"command": "report", "csv": "-"}, "stderr"),
        ({"command": "run"}, "stderr"),
        ({"command": "attach", "quiet": False}, "stderr"),
    ],
)
def test_a_printed_report_keeps_out_of_the_way(options, stream):
    assert memkit.report_stream(argparse.Namespace(**options)) is getattr(sys, stream)


def test_there_is_no_stream_where_it_is_quiet_or_python_has_none(monkeypatch):
    assert memkit.report_stream(argparse.Namespace(command="report", quiet=True)) is None
    monkeypatch.setattr(sys, "stdout", None)
    assert memkit.report_stream(argparse.Namespace(command="report")) is None


def test_a_key_that_nothing_is_sorted_by_is_refused(recording):
    with pytest.raises(
        memkit.UsageError, match="--sort 'size': functions can be sorted by own, growth, rise, peak, calls, time"
    ):
        memkit.report(recording, sort="size", without=["paths"])
