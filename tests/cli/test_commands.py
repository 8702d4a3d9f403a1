"""The commands, their options, and what they say to bad input: one line, exit code 2, and nothing left behind."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile

import pytest

from memkit import units
from memkit.cli import main
from memkit.model import reader
from memkit.system import engine


@pytest.fixture
def run_badly(installed, tmp_path):
    """A function that gives memkit-run words it must refuse, and returns the one line that it says."""

    def run(*words, **settings):
        before = contents(tmp_path)
        settings = {"cwd": tmp_path, "capture_output": True, "text": True, "timeout": 60, **settings}
        done = subprocess.run([*installed, *words], **settings)
        assert "Traceback" not in done.stderr
        (line,) = done.stderr.splitlines()
        assert (done.returncode, done.stdout) == (2, "")
        assert line.startswith("memkit-run: ")
        assert contents(tmp_path) == before
        return line

    return run


def contents(folder):
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


@pytest.fixture
def recorded(memkit_run, tmp_path):
    """A recording called ``run.memkit``."""
    assert memkit_run("-c", "kept = bytearray(10 << 20)").recording
    return tmp_path / "run.memkit"


# -- bad input to memkit-run ---------------------------------------------------------------------------------------------

REFUSED = {
    "nothing": ([], "nothing to run"),
    "only options": (["--interval", "1"], "nothing to run"),
    "only dashes": (["--"], "nothing to run"),
    "missing script": (["missing.py"], "'missing.py'"),
    "missing script after dashes": (["--", "missing.py"], "'missing.py'"),
    "missing script with arguments": (["missing.py", "--quiet"], "'missing.py'"),
    "missing folder": (["no/such/missing.py"], "'no/such/missing.py'"),
    "folder without main": (["folder"], "__main__"),
    "zip without main": (["empty.zip"], "__main__"),
    "unknown module": (["-m", "no_such_module"], "no_such_module"),
    "unknown inner module": (["-m", "email.no_such_module"], "no_such_module"),
    "unknown module of none": (["-m", "no_such_package.module"], "no_such_package"),
    "module inside a module": (["-m", "stat.inner"], "stat.inner"),
    "package without main": (["-m", "email"], "email.__main__"),
    "module with a dot before": (["-m", ".program"], "program"),
    "empty module": (["-m", ""], "''"),
    "no module": (["-m"], "-m"),
    "no code": (["-c"], "-c"),
    "interval 0": (["--interval", "0", "good.py"], "'0'"),
    "interval negative": (["--interval", "-1", "good.py"], "'-1'"),
    "interval nan": (["--interval", "nan", "good.py"], "'nan'"),
    "interval inf": (["--interval", "inf", "good.py"], "'inf'"),
    "interval far too long": (["--interval", "1e12", "good.py"], "'1e12'"),
    "interval text": (["--interval", "often", "good.py"], "'often'"),
    "interval too short": (["--interval", "1us", "good.py"], "'1us'"),
    "interval without unit": (["--interval", "ms", "good.py"], "'ms'"),
    "interval left out": (["--interval"], "--interval"),
    "meter": (["--meter", "rrs", "good.py"], "did you mean 'rss'?"),
    "meter unlike any": (["--meter", "temperature", "good.py"], "rss, "),
    "option": (["--intervall", "1", "good.py"], "did you mean '--interval'?"),
    "option of a plugin": (["--cvs=a.csv", "good.py"], "did you mean '--csv'?"),
    "option cut short": (["--inter", "1", "good.py"], "did you mean '--interval'?"),
    "option unlike any": (["--frobnicate", "good.py"], "'--frobnicate'"),
    "letter": (["-z", "good.py"], "'-z'"),
    "output in no folder": (["-o", "no/such/a.memkit", "good.py"], "'no/such'"),
    "output is a folder": (["-o", "folder", "good.py"], "folder"),
    "output is standard output": (["-o", "-", "good.py"], "-"),
    "output is empty": (["-o", "", "good.py"], "empty"),
    "output is another file": (["-o", "good.py", "good.py"], "'good.py' is not a recording"),
    "output is refused by the system": (["-o", "/proc/a.memkit", "good.py"], "/proc/a.memkit"),
    "output left out": (["-o"], "-o"),
    "csv in no folder": (["--csv", "no/such/a.csv", "good.py"], "'no/such'"),
    "csv is a folder": (["--csv", "folder", "good.py"], "folder"),
    "json in no folder": (["--json", "no/such/a.json", "good.py"], "'no/such'"),
    "plot in no folder": (["--plot", "no/such/a.png", "good.py"], "'no/such'"),
    "plot of no kind": (["--plot", "a.txt", "good.py"], ".png, .svg, .pdf"),
    "plot without suffix": (["--plot", "picture", "good.py"], ".png, .svg, .pdf"),
    "plugin": (["-p", "nonsense", "good.py"], "-p no:NAME"),
    "plugin unknown": (["-p", "no:csvv", "good.py"], "did you mean 'csv'?"),
    "plugin unknown, attached": (["-pno:csvv", "good.py"], "did you mean 'csv'?"),
    "plugin empty": (["-p", "no:", "good.py"], "no:"),
    "plugin left out": (["-p"], "-p"),
    "option of a disabled plugin": (["-p", "no:csv", "--csv", "a.csv", "good.py"], "--csv"),
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_bad_input_is_refused_in_one_line(run_badly, script, tmp_path, mistake):
    script("open('ran', 'w')", "good.py")
    (tmp_path / "folder").mkdir()
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("other.py", "")
    words, hint = REFUSED[mistake]
    assert hint in run_badly(*words)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write and read everything")
@pytest.mark.parametrize(
    "words", [["-o", "locked/a.memkit", "good.py"], ["--csv", "locked/a.csv", "good.py"], ["unreadable.py"]]
)
def test_what_is_not_permitted_is_refused_in_one_line(run_badly, script, tmp_path, words):
    script("", "good.py")
    (tmp_path / script("", "unreadable.py")).chmod(0o200)
    (tmp_path / "locked").mkdir(mode=0o500)
    assert "permission denied" in run_badly(*words).lower()


def test_a_folder_that_cannot_be_written_asks_for_a_name(run_badly):
    assert "-o" in run_badly("-c", "pass", cwd="/proc")


def test_an_unknown_engine_is_refused_in_one_line(run_badly, script):
    assert "'fast'" in run_badly(script(""), env={**os.environ, "MEMKIT_ENGINE": "fast"})


MISTYPED = [
    ["missing.py"],
    ["-m", "no_such_module"],
    ["-m", "email.no_such_module"],
    ["-m", "email"],
    ["folder"],
    ["--interval", "0", "good.py"],
    ["--meter", "rrs", "good.py"],
    ["--plot", "a.txt", "good.py"],
    ["-p", "nonsense", "good.py"],
]


@pytest.mark.parametrize("words", MISTYPED, ids=" ".join)
def test_a_recording_survives_a_mistyped_command(run_badly, recorded, script, tmp_path, words):
    script("", "good.py")
    (tmp_path / "folder").mkdir()
    before = recorded.read_bytes()
    run_badly("-o", "run.memkit", *words)
    assert recorded.read_bytes() == before


def test_another_file_survives_being_named_for_output(run_badly, script, tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    run_badly("-o", "thesis.txt", script(""))
    assert (tmp_path / "thesis.txt").read_text() == "precious"


# -- memkit-run --------------------------------------------------------------------------------------------------------


def test_a_recording_is_named_after_the_program_and_the_time(installed, script, tmp_path):
    script("", "load.py")
    for words in (["load.py"], ["-m", "load"], ["-c", "pass"]):
        subprocess.run([*installed, "-q", *words], cwd=tmp_path, check=True, timeout=60)
    names = sorted(re.sub(r"\d{8}-\d{6}(-\d)?", "TIME", name) for name in os.listdir(tmp_path) if name.endswith(".memkit"))
    assert names == ["command-TIME.memkit", "load-TIME.memkit", "load-TIME.memkit"]


def test_an_older_recording_of_that_name_is_replaced(memkit_run, recorded):
    assert recorded.stat().st_size
    assert memkit_run("-c", "import memkit\nmemkit.span('new').__enter__()").recording.spans[0].label == "new"


def test_the_report_says_that_an_older_recording_was_replaced(memkit_run, memkit, tmp_path):
    (tmp_path / "run.memkit").touch()  # which is no recording
    first, second = (memkit_run("-c", "pass", options=()).stderr.splitlines() for _ in range(2))
    saved = f"saved    {tmp_path / 'run.memkit'}"
    assert saved in first and f"{saved}, in place of an earlier recording" in second
    assert "saved    run.memkit" in memkit("report", "run.memkit").stdout.splitlines()
    again = memkit_run("--program", "true", options=()).stderr
    assert f"{saved}, in place of an earlier recording" in again.splitlines()


def test_every_report_is_made_in_one_run(memkit_run, script, tmp_path):
    options = ["--csv", "a.csv", "--json", "a.json", "--plot", "a.svg"]
    run = memkit_run(script("kept = bytearray(40 << 20)"), options=options)
    assert run.returncode == 0
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines[0] == "time_s,pid,memory_bytes,peak_bytes"
    assert len(lines) == len(run.recording.samples) + 1
    assert len(json.loads((tmp_path / "a.json").read_text())["samples"]) == len(run.recording.samples)
    assert "<svg" in (tmp_path / "a.svg").read_text()
    assert [line.split()[0] for line in run.stderr.splitlines() if line[:6].strip()][:4] == [
        "memkit",
        "took",
        "memory",
        "peak",
    ]
    assert f"saved    {run.recording.source}" in run.stderr


def test_quiet_means_silent(memkit_run):
    run = memkit_run("-c", "pass", options=["--quiet"])
    assert (run.stdout, run.stderr) == ("", "")


def test_the_options_reach_the_recording(memkit_run):
    run = memkit_run("-c", "pass", options=["-q", "--interval", "20ms", "--meter", "uss", "--no-peak-reset"])
    assert (run.recording.about.interval, run.recording.about.meter) == (20_000_000, "uss")
    assert run.recording.about.peaks != "reset"
    assert run.recording.about.argv == ("-c", "pass")


def test_module_and_code_may_be_written_without_a_space(memkit_run, script):
    script("print('module')")
    assert memkit_run("-mprogram").stdout == "module\n"
    assert memkit_run("-cprint('code')").stdout == "code\n"


def test_memkit_run_is_a_command_of_memkit_and_of_its_module(memkit, tmp_path):
    words = ["run", "-q", "-o", "run.memkit", "-c", "raise SystemExit(3)"]
    assert memkit(*words).returncode == 3
    assert subprocess.run([sys.executable, "-m", "memkit", *words], cwd=tmp_path, timeout=60).returncode == 3


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["report", "--help"], ["list", "-h"], ["--version"]])
def test_help_is_given_where_it_is_asked_for(memkit, tmp_path, words):
    run = memkit(*words)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout
    assert os.listdir(tmp_path) == []


# -- memkit ------------------------------------------------------------------------------------------------------------

NEWER = b'["memkit",99,{"memkit":"7.0"}]\n'
UNREADABLE = {
    "missing": (None, "cannot read"),
    "empty": (b"", "empty"),
    "truncated": (b'["memkit",1,{"memk', "breaks off"),
    "foreign": (b"a thesis\n", "not a memkit recording"),
    "binary": (bytes(range(256)), "not a memkit recording"),
    "newer": (NEWER, "memkit 7.0 or newer"),
    "damaged": (b'["memkit",1,{}\n', "a.memkit"),
    "of another shape": (b'["memkit",1,[]]\n', "a.memkit"),
}


@pytest.mark.parametrize("damage", UNREADABLE)
@pytest.mark.parametrize("words", [[], ["--csv", "a.csv"]])
def test_what_is_no_recording_is_refused_in_one_line(memkit, tmp_path, damage, words):
    text, hint = UNREADABLE[damage]
    if text is not None:
        (tmp_path / "a.memkit").write_bytes(text)
    before = contents(tmp_path)
    run = memkit("report", "a.memkit", *words)
    assert (run.returncode, run.stdout) == (2, "")
    (line,) = run.stderr.splitlines()
    assert line.startswith(("memkit report: ", "memkit: "))
    assert hint in line
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "words, hint",
    [
        (["reprot"], "did you mean 'report'?"),
        (["frobnicate"], "run, attach, report"),
        (["--frobnicate"], "'--frobnicate'"),
        (["report"], "FILE"),
        (["report", "missing"], "'missing'"),
        (["report", "run.memkit", "--plto", "a.png"], "did you mean '--plot'?"),
        (["report", "run.memkit", "--plot", "a.gif"], ".png, .svg, .pdf"),
        (["report", "run.memkit", "--json", "no/such/a.json"], "'no/such'"),
        (["list", "missing"], "'missing'"),
        (["list", "one", "two"], "'two'"),
        (["clean", "missing"], "'missing'"),
        (["clean", "--dry"], "did you mean '--dry-run'?"),
        (["plugins", "extra"], "'extra'"),
        (["info", "--all"], "'--all'"),
    ],
    ids=" ".join,
)
def test_a_mistyped_command_is_refused_in_one_line(memkit, recorded, tmp_path, words, hint):
    before = contents(tmp_path)
    run = memkit(*words)
    assert (run.returncode, run.stdout) == (2, "")
    (line,) = run.stderr.splitlines()
    assert line.startswith("memkit")
    assert hint in line
    assert contents(tmp_path) == before


def test_memkit_alone_shows_its_commands(memkit):
    run = memkit()
    assert run.returncode == 2
    assert all(command in run.stdout for command in ("run", "report", "list", "clean", "plugins", "info"))


def test_a_report_can_be_made_again(memkit, recorded, tmp_path):
    run = memkit("report", "run.memkit", "--csv", "b.csv", "--json", "b.json", "--plot", "b.pdf")
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.splitlines()[0] == "memkit   -c kept = bytearray(10 << 20): finished"
    assert {"b.csv", "b.json", "b.pdf"} <= set(os.listdir(tmp_path))
    assert (tmp_path / "b.pdf").read_bytes().startswith(b"%PDF")


def test_reports_go_to_standard_output_where_asked(memkit, recorded):
    recording = reader.read(recorded)
    csv = memkit("report", "-q", "run.memkit", "--csv", "-")
    assert len(csv.stdout.splitlines()) == len(recording.samples) + 1
    document = json.loads(memkit("report", "-q", "run.memkit", "--json", "-").stdout)
    assert document["peak"] == recording.peak


def test_several_recordings_are_reported_one_by_one_and_drawn_together(memkit, memkit_run, tmp_path):
    memkit_run("-c", "'first'", path="a.memkit")
    memkit_run("-c", "'second'", path="b.memkit")
    run = memkit("report", "a.memkit", "b.memkit", "--plot", "both.svg")
    assert (run.returncode, run.stderr) == (0, "")
    heads = [line for line in run.stdout.splitlines() if line.startswith("memkit ")]
    assert heads == ["memkit   -c 'first': finished", "memkit   -c 'second': finished"]
    assert "<svg" in (tmp_path / "both.svg").read_text()


@pytest.mark.parametrize(
    "option",
    ["--csv", "--csv-lines", "--csv-calls", "--json", "--plot-lines", "--flame", "--folded", "--pprof", "--speedscope"],
)
def test_a_report_of_one_recording_is_refused_for_two_before_any_is_made(memkit, memkit_run, tmp_path, option):
    memkit_run("-c", "'first'", path="a.memkit")
    memkit_run("-c", "'second'", path="b.memkit")
    before = contents(tmp_path)
    refused = memkit("report", "a.memkit", "b.memkit", option, "both.png", "--plot", "plot.png")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == f"memkit: {option} takes one recording, not 2: make a report of each\n"
    assert contents(tmp_path) == before


@pytest.fixture
def running(installed, tmp_path, request):
    """A recording that is being made, with further options as its parameter."""
    words = ["-o", "running.memkit", "-c", "print('ready', flush=True)\ninput()"]
    command = [*installed, *getattr(request, "param", ()), *words]
    process = subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    yield tmp_path / "running.memkit"
    process.communicate(b"\n", timeout=60)
    assert process.returncode == 0


def test_every_recording_is_listed_with_its_end(memkit, memkit_run, recorded, running, tmp_path):
    memkit_run("-c", "1 / 0", path="failed.memkit")
    (tmp_path / "broken.memkit").write_bytes(b'["memkit",1,{"memk')
    (tmp_path / "newer.memkit").write_bytes(NEWER)
    (tmp_path / "other.memkit").write_text("a thesis")
    (tmp_path / "unrelated.txt").write_text("text")
    run = memkit("list")
    assert (run.returncode, run.stderr) == (0, "")
    head, *lines = run.stdout.splitlines()
    assert head.split() == ["file", "when", "took", "peak", "ended"]
    rows = {line.split()[0]: line for line in lines}
    assert set(rows) == {"run.memkit", "failed.memkit", "running.memkit", "broken.memkit", "newer.memkit"}
    assert rows["run.memkit"].endswith("finished")
    assert rows["failed.memkit"].endswith("ended by an exception: ZeroDivisionError: division by zero")
    assert rows["running.memkit"].endswith("still running")
    assert "breaks off" in rows["broken.memkit"]
    assert "7.0" in rows["newer.memkit"]


@pytest.mark.parametrize("running", [(), ("--follow",)], ids=str, indirect=True)
def test_list_and_report_say_in_the_same_words_that_a_program_runs(memkit, running, tmp_path):
    assert memkit("list", ".").stdout.splitlines()[-1].endswith(" MiB  still running")
    run = memkit("report", "running.memkit", "--json", "a.json")
    assert run.stdout.splitlines()[0].endswith(": still running")
    document = json.loads((tmp_path / "a.json").read_text())
    assert [each["ending"]["kind"] for each in (document, *document["processes"])] == ["running"] * 2


def test_a_recording_of_another_machine_is_not_said_to_run(memkit, running, tmp_path):
    head, _, rows = running.read_bytes().partition(b"\n")
    tag, version, about = json.loads(head)
    head = json.dumps([tag, version, {**about, "host": "elsewhere"}])
    (tmp_path / "moved.memkit").write_bytes(head.encode() + b"\n" + rows)
    assert "not known" in memkit("report", "moved.memkit").stdout.splitlines()[0]
    (listed,) = (line for line in memkit("list").stdout.splitlines() if line.startswith("moved.memkit"))
    assert "not known" in listed


def test_a_folder_without_recordings_is_said_to_have_none(memkit, tmp_path):
    (tmp_path / "empty").mkdir()
    run = memkit("list", "empty")
    assert (run.returncode, run.stdout) == (0, "")
    assert "no recordings" in run.stderr


def test_clean_removes_finished_recordings_and_nothing_else(memkit, recorded, running, tmp_path):
    (tmp_path / "other.memkit").write_text("a thesis")
    (tmp_path / "data.csv").write_text("1,2")
    before = set(os.listdir(tmp_path))
    dry = memkit("clean", "--dry-run")
    assert dry.stdout.splitlines() == ["would remove run.memkit", "left running.memkit: it is being recorded"]
    assert set(os.listdir(tmp_path)) == before
    assert memkit("clean").stdout.splitlines() == ["removed run.memkit", "left running.memkit: it is being recorded"]
    assert set(os.listdir(tmp_path)) == before - {"run.memkit"}


def test_clean_looks_into_the_folder_that_is_named(memkit, recorded, tmp_path):
    (tmp_path / "folder").mkdir()
    recorded.rename(tmp_path / "folder" / "a.memkit")
    assert memkit("clean").stdout == ""
    assert memkit("clean", "folder").stdout == f"removed {os.path.join('folder', 'a.memkit')}\n"


def test_clean_goes_on_after_a_file_that_cannot_be_removed(recorded, tmp_path, monkeypatch, capsys):
    shutil.copy(recorded, tmp_path / "other.memkit")
    kept = str(recorded)
    unlink = os.unlink

    def refuse(path):
        if path == kept:
            raise PermissionError(errno.EPERM, "Operation not permitted", path)
        unlink(path)

    monkeypatch.setattr(os, "unlink", refuse)
    assert main.main(["clean", str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert printed.out == f"removed {tmp_path / 'other.memkit'}\n"
    assert printed.err == f"memkit clean: cannot remove {kept!r}: Operation not permitted\n"


def test_plugins_are_listed_with_their_hooks(memkit):
    run = memkit("plugins")
    assert (run.returncode, run.stderr) == (0, "")
    head, *lines = run.stdout.splitlines()
    assert head.split() == ["plugin", "distribution", "state", "hooks"]
    for name in ("console", "csv", "json", "plot"):
        (line,) = (line for line in lines if line.split()[0] == name)
        assert "memkit-profiler" in line
        assert "active" in line
        assert "memkit_add_options memkit_report" in line


def test_info_tells_what_can_be_measured(memkit):
    run = memkit("info")
    assert (run.returncode, run.stderr) == (0, "")
    facts = dict(re.split(r"  +", line, maxsplit=1) for line in run.stdout.splitlines())
    assert facts["engine"].startswith(os.environ.get("MEMKIT_ENGINE") or ("native", "portable"))
    assert re.match(r"[\d.]+ MiB of this process now", facts["meter rss"])
    assert facts["stacks"].startswith("read ") and (facts["engine"] == "native") == facts["stacks"].startswith("read from")
    error = units.show_error(engine.peaks_error())
    assert re.match(f"exact to {error}[: ]" if error else "exact[: ]|from samples", facts["peaks"])


# -- pipes that nobody reads -------------------------------------------------------------------------------------------


def buffered():
    """An environment in which Python buffers its output, as it does for most users."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


@pytest.fixture
def unread(installed, tmp_path):
    """A function that runs a memkit command whose output nobody reads, and returns what it says on stderr."""

    def run(*words):
        reading, writing = os.pipe()
        os.close(reading)
        command = [sys.executable, installed[1].replace("memkit-run", "memkit"), *words]
        try:
            done = subprocess.run(
                command, cwd=tmp_path, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, env=buffered()
            )
        finally:
            os.close(writing)
        return done.stderr

    return run


PIPED = [
    ["report", "run.memkit"],
    ["report", "-q", "run.memkit", "--csv", "-"],
    ["report", "-q", "run.memkit", "--json", "-"],
]


@pytest.mark.parametrize(
    "words", [*PIPED, ["list"], ["plugins"], ["info"], ["clean", "--dry-run"], ["--help"]], ids=" ".join
)
def test_a_reader_that_went_away_is_no_error(unread, recorded, words):
    assert unread(*words) == ""


@pytest.mark.parametrize("words", PIPED, ids=" ".join)
def test_a_reader_that_takes_one_line_is_no_error(installed, memkit_run, tmp_path, words):
    memkit_run("-c", "import time; time.sleep(0.5)", options=["-q", "--interval", "0.1ms"])
    command = [sys.executable, installed[1].replace("memkit-run", "memkit"), *words]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        process.wait(60)
    assert process.returncode != -signal.SIGPIPE


def test_two_reports_do_not_go_into_one_file(memkit, script):
    name = script("print('ran')")
    done = memkit("run", "--csv", "same.out", "--json", "same.out", name)
    assert (done.returncode, done.stdout) == (2, "")
    assert "'same.out': that file is in use already" in done.stderr


def test_a_report_does_not_go_over_the_program_that_is_run(memkit, script, tmp_path):
    script("print('ran')", "program")
    done = memkit("run", "--csv", "program", "program")
    assert (done.returncode, done.stdout) == (2, "")
    assert (tmp_path / "program").read_text() == "print('ran')"


def test_a_name_that_is_no_module_is_refused_with_the_way_to_write_it(memkit, script):
    name = script("def parse(): pass")
    done = memkit("run", "--lines=parse", name)
    assert done.returncode == 2
    assert "there is no module 'parse'; for a function write file.py:parse" in done.stderr


def test_nothing_that_a_file_is_called_commands_the_terminal(memkit, memkit_run, tmp_path):
    memkit_run("-c", "pass", path="\x1b[31mred\udce9.memkit")
    for command in ("list", "clean"):
        done = memkit(command)
        assert r"\x1b[31mred\udce9.memkit" in done.stdout
        assert "\x1b" not in done.stdout
    refused = memkit("report", "\x1b[31m")
    assert "\x1b" not in refused.stderr


@pytest.mark.parametrize("ending", ["sys.exit(3)", "raise ValueError", "os.kill(os.getpid(), 9)"])
def test_a_program_that_fails_is_reported_on_all_the_same(memkit_run, tmp_path, ending):
    assert memkit_run("--csv", "a.csv", "-c", f"import os, sys; {ending}", options=()).stderr.count("\npeak ") == 1
    assert (tmp_path / "a.csv").read_text().startswith("time")


# -- what is not needed is not imported ------------------------------------------------------------------------------------


QUIET = """\
import sys
from memkit.cli.main import run
code = run(sys.argv[1:])
print(code, *(name for name in ("pluggy", "memkit.report.reporters.console", "memkit.model.reader") if name in sys.modules))
"""


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (["-q", "-c", "import sys; sys.exit(3)"], "3"),
        (["-q", "--csv", "a.csv", "-c", "pass"], "0 pluggy memkit.report.reporters.console memkit.model.reader"),
        (["-q", "-p", "no:csv", "-c", "pass"], "0 pluggy memkit.report.reporters.console memkit.model.reader"),
    ],
    ids=["nothing", "a report", "a plugin that is left out"],
)
def test_a_quiet_run_without_reports_imports_nothing_that_reports(tmp_path, words, printed):
    where = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sys.path))}}
    done = subprocess.run(
        [sys.executable, "-S", "-c", QUIET, "-o", "a.memkit", *words], capture_output=True, text=True, **where
    )
    assert (done.stdout, done.stderr) == (f"{printed}\n", "")
    assert reader.read(tmp_path / "a.memkit").ending.kind in ("ok", "exited")
