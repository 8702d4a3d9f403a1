"""What cannot work is refused before the program runs, in one line that says what to write in its place."""

import os
import stat
import sys

import pytest

import memkit
from memkit.cli import main
from memkit.cli.script import check_script
from memkit.system import engine


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working directory, with a program in it that would leave a file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "job.py").write_text("def load(): pass\nopen('ran', 'w')\n")
    return tmp_path


def command(path, text):
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def refused(folder, capsys):
    """A function that gives words to memkit-run, and returns the one line of its refusal."""

    def run(*words):
        assert main.run([*words]) == 2
        shown = capsys.readouterr()
        assert shown.out == "" and shown.err.count("\n") == 1
        assert sorted(os.listdir(folder)) == ["bin", "job.py"]
        return shown.err.strip().removeprefix("memkit-run: ")

    return run


@pytest.mark.parametrize(
    ("option", "file"),
    [("--flame", "a.png"), ("--folded", "-"), ("--speedscope", "-"), ("--pprof", "-"), ("--csv-calls", "-")],
)
def test_a_report_of_calls_needs_calls(refused, option, file):
    assert refused(option, file, "job.py") == f"{option} is made of the calls that were traced: add --calls"
    assert "recorded from outside" in refused(option, file, "--program", "sleep", "1")


def test_functions_in_c_need_calls(refused):
    assert refused("--c-calls", "job.py") == "--c-calls goes with --calls, which says that calls are traced"


@pytest.mark.parametrize(("option", "file"), [("--csv-lines", "a.csv"), ("--plot-lines", "a.png")])
def test_a_report_of_lines_needs_a_program_in_python(refused, option, file):
    assert f"{option} is made of the lines that were traced" in refused(option, file, "--program", "sleep", "1")


WITHOUT_ROWS = dict.fromkeys(("--csv-lines", "--csv-calls", "--folded", "--speedscope"), "-")
WITHOUT_ROWS |= {"--pprof": "a.pb.gz", "--flame": "a.png", "--plot-lines": "a.png"}


@pytest.mark.parametrize("option", WITHOUT_ROWS)
def test_a_report_that_a_recording_has_nothing_for_is_not_offered_again(made_up, capsys, option):
    recording = made_up((0, 1), source="r.memkit")
    with pytest.raises(
        memkit.UsageError, match=rf"^{option} has nothing to (write|draw): no \w+ were traced; record with --"
    ):
        memkit.report(recording, quiet=True, **{option[2:].replace("-", "_"): WITHOUT_ROWS[option]})


@pytest.mark.parametrize("option", WITHOUT_ROWS)
def test_a_report_that_has_nothing_to_show_is_a_usage_error_of_the_command(folder, capsys, option):
    assert main.run(["-q", "-o", "a.memkit", "-c", "pass"]) == 0
    assert main.main(["report", "-q", option, WITHOUT_ROWS[option], "--csv", "a.csv", "a.memkit"]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith(f"memkit: {option} has nothing to ") and shown.err.count("\n") == 1
    assert shown.out == "" and os.path.getsize("a.csv") > 0  # the other report is made


@pytest.mark.skipif(engine.NAME != "native", reason="calls are traced by the native engine only")
def test_reports_that_are_refused_for_one_reason_say_so_once(folder, capsys):
    assert main.run(["-q", "-o", "a.memkit", "--calls", "job.py"]) == 0
    assert main.main(["report", "--folded", "-", "--speedscope", "b.json", "--by", "heap", "-q", "a.memkit"]) == 2
    assert capsys.readouterr().err == "memkit: --by heap: no heap was counted by calls; record with --heap --calls\n"


def test_the_code_of_a_program_comes_before_that_of_a_refused_report(folder, capsys):
    assert main.run(["-q", "-o", "a.memkit", "--csv-lines", "-", "-c", "pass"]) == 2
    said = "memkit-run: --csv-lines has nothing to write: no lines were traced; record with --lines or --heap=sampled"
    assert capsys.readouterr().err == f"{said}, or put @profile; the recording is safe\n"
    assert main.run(["-q", "-o", "a.memkit", "--csv-lines", "-", "-c", "exit(3)"]) == 3


def test_a_refusal_does_not_hide_a_report_that_failed(install_plugin, made_up):
    install_plugin("@memkit.hookimpl\ndef memkit_report(recording): raise RuntimeError('no ink')", "broken")
    with pytest.raises(memkit.MemkitError, match=r"'broken' failed: RuntimeError: no ink.*; --folded has nothing to write"):
        memkit.report(made_up((0, 1)), quiet=True, folded="-")


@pytest.mark.parametrize("key", ["heap", "heap-peak", "allocated", "temporary"])
def test_pictures_by_heap_need_heap(refused, key):
    said = refused("--calls", "--folded", "-", "--by", key, "job.py")
    assert said == f"--by {key} is made of the heap that was counted: add --heap"


@pytest.mark.parametrize("option", ["--lines", "--calls"])
def test_a_target_is_written_behind_an_equals_sign(refused, option):
    assert refused(option, "load", "job.py") == f"cannot find 'load': if it is what to trace, write {option}=load"


@pytest.mark.parametrize(
    ("word", "option"), [("--heapp", "--heap"), ("--hlep", "--help"), ("--lins", "--lines"), ("--chilrden", "--children")]
)
def test_a_misspelled_option_is_answered_with_the_nearest(refused, word, option):
    assert refused(word, "job.py") == f"unknown option {word!r} (did you mean {option!r}?); see memkit-run --help"


def test_help_writes_options_as_they_are_typed(capsys):
    with pytest.raises(SystemExit):
        main.run(["--help"])
    shown = capsys.readouterr().out
    for text in ("--lines[=TARGET]", "--calls[=TARGET]", "-m MODULE ...", "-c CODE ...", "--program COMMAND ..."):
        assert f"  {text}" in shown


def test_the_version_is_shown(capsys):
    with pytest.raises(SystemExit) as end:
        main.run(["--version"])
    assert (end.value.code, capsys.readouterr().out) == (0, f"memkit {memkit.__version__}\n")


COMMANDS = {
    ("python", "job.py", "1"): "memkit-run starts Python itself, write memkit-run job.py 1",
    (
        "python3.12",
        "-V",
    ): "memkit-run starts Python itself, leave the word out; --program python3.12 -V is another interpreter",
    ("pytest", "-q"): "it is a module, write -m pytest -q",
    ("statistics",): "it is a module, write -m statistics",
    ("serve", "--now"): "it is a command, write its path: memkit-run {bin}/serve --now",
    ("tool",): "it is a command, write --program tool",
    ("nothing",): "check the path, or write -m for a module",
    ("no/such.py",): "check the path, or write -m for a module",
}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_word_that_is_no_script_is_told_what_to_write(refused, folder, words):
    command(folder / "bin" / "serve", f"#!{sys.executable}\npass\n")
    command(folder / "bin" / "tool", "#!/bin/sh\n")
    said = COMMANDS[words].format(bin=folder / "bin")
    assert refused(*words) == f"cannot find {words[0]!r}: {said}"


OTHERS = {
    "#!/bin/sh\necho hi\n": "a script for sh",
    "#!/usr/bin/env bash\n": "a script for bash",
    "#!/usr/bin/env -S perl -w\n": "a script for perl",
    "\x7fELF\2\1": "machine code",
}


@pytest.mark.parametrize("text", OTHERS, ids=OTHERS.values())
def test_a_script_of_another_language_is_refused(folder, text):
    (folder / "shim").write_text(text)
    with pytest.raises(memkit.UsageError, match=f"^'./shim' is {OTHERS[text]}, not Python: write --program ./shim -x$"):
        check_script(["./shim", "-x"], [])


@pytest.mark.parametrize(
    "text",
    [
        "print()",
        "#!/usr/bin/python3\n",
        "#!/usr/bin/env python\n",
        "#!/usr/bin/env -S uv run --script\n",
        "#!/bin/sh\n'''exec' '/a long/bin/python' \"$0\" \"$@\"\n' '''\n",
        "PK\3\4",
    ],
)
def test_a_script_that_may_be_python_is_run(folder, text):
    (folder / "shim").write_text(text)
    check_script(["./shim"], [])


@pytest.mark.skipif(engine.NAME != "native", reason="calls are traced by the native engine only")
def test_a_target_that_nothing_called_is_named(memkit_run):
    done = memkit_run("--calls=statistics", "-c", "pass", options=())
    assert "no calls were traced: nothing was called of what --calls names, or of the program" in done.stderr


@pytest.mark.parametrize("name", ["empty.py", "empty.ipynb", "job.py"])
def test_a_program_is_never_recorded_over(folder, capsys, name):
    (folder / name).touch()
    before = (folder / name).read_bytes()
    assert main.run(["-o", name, name]) == 2
    assert capsys.readouterr().err == f"memkit-run: {name!r} is not a recording, so it is left alone: give -o another name\n"
    assert (folder / name).read_bytes() == before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_report_into_a_pipe_that_nobody_reads_does_not_wait(folder, made_up):
    os.mkfifo(folder / "pipe")
    with pytest.raises(memkit.MemkitError, match="it is a pipe that nobody reads"):
        memkit.report(made_up((0, 1)), csv=folder / "pipe", quiet=True)
    reader = os.open(folder / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    memkit.report(made_up((0, 1)), csv=folder / "pipe", quiet=True)
    assert os.read(reader, 1000).startswith(b"time_s,pid")
    os.close(reader)


def test_plugins_takes_the_option_that_leaves_one_out(capsys):
    assert main.main(["plugins", "-p", "no:csv"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [row[0] for row in rows if "disabled" in row] == ["csv"]
    assert main.main(["plugins", "-p", "csv"]) == 2


@pytest.mark.parametrize("hook", ["", "memkit_report", "memkit_add_options"])
def test_a_plugin_that_raises_any_exception_stops_nothing(install_plugin, made_up, capsys, hook):
    fault = "class Outcome(BaseException): pass\n"
    body = "raise Outcome('skipped')"
    arguments = {"memkit_report": "recording", "memkit_add_options": "parser"}
    install_plugin(fault + (f"@memkit.hookimpl\ndef {hook}({arguments[hook]}): {body}\n" if hook else body), "stranger")
    if hook == "memkit_report":
        with pytest.raises(memkit.MemkitError, match="plugin 'stranger' failed: Outcome: skipped"):
            memkit.report(made_up((0, 1)))
    else:
        memkit.report(made_up((0, 1)))
    assert "finished" in capsys.readouterr().out


@pytest.mark.skipif(not hasattr(os, "link"), reason="files have one name here")
def test_a_program_under_another_name_is_not_recorded_over(folder, capsys):
    (folder / "empty.py").touch()
    os.link(folder / "empty.py", folder / "other")
    assert main.run(["-o", "other", "empty.py"]) == 2
    assert "-o 'other' is the program itself" in capsys.readouterr().err
    assert (folder / "empty.py").read_bytes() == b"" and (folder / "other").exists()


@pytest.mark.parametrize("key", ["heap", "heap-peak", "allocated", "temporary"])
def test_an_order_by_heap_needs_heap(refused, key):
    said = refused("--calls", "--sort", key, "job.py")
    assert said == f"--sort {key} is made of the heap that was counted: add --heap"
