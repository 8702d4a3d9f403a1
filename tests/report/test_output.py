"""What reports are written to: files, whole or not at all, and streams."""

import io
import os
import subprocess
import sys

import pytest

import memkit


def test_a_file_takes_its_name_when_all_is_written(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("old")
    with memkit.output(path) as file:
        file.write("new é")
        assert path.read_text() == "old"
    assert path.read_text(encoding="utf-8") == "new é"
    assert os.listdir(tmp_path) == ["out.txt"]


def test_what_fails_half_way_leaves_nothing_new(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), memkit.output(path) as file:
        file.write("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.txt"]


def test_what_utf_8_cannot_spell_is_a_backslash_and_its_code(tmp_path):
    with memkit.output(tmp_path / "out.txt") as file:
        file.write("\udcff.py")
    assert (tmp_path / "out.txt").read_text() == r"\udcff.py"


def test_a_link_is_written_through(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with memkit.output(tmp_path / "link") as file:
        file.write("x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "x"


def test_a_dash_is_standard_output(capfd):
    with memkit.output("-") as file:
        file.write("x")
    with memkit.output("-", binary=True) as file:
        file.write(b"y")
    assert sorted(capfd.readouterr().out) == ["x", "y"]


def test_standard_output_that_takes_text_only_is_one_line(monkeypatch):
    monkeypatch.setattr("sys.stdout", io.StringIO())
    with pytest.raises(memkit.MemkitError, match="takes text only here: write the name of a file"):
        memkit.output("-", binary=True).__enter__()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_one_line():
    with (
        pytest.raises(memkit.MemkitError, match=r"cannot write '/dev/full': No space left"),
        memkit.output("/dev/full") as file,
    ):
        file.write("x")


def test_a_path_is_given_back_as_it_is(tmp_path):
    assert memkit.output_path(str(tmp_path / "a.csv")) == str(tmp_path / "a.csv")
    assert memkit.output_path("-") == "-"


def test_a_path_that_cannot_be_written_is_refused_with_the_reason(tmp_path):
    for path, reason in (
        (str(tmp_path), "it is a folder"),
        (str(tmp_path / "no" / "a.csv"), "there is no folder"),
        ("", "empty"),
    ):
        with pytest.raises(memkit.UsageError, match=reason):
            memkit.output_path(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(memkit.UsageError, match="permission denied"):
        memkit.output_path(str(tmp_path / "a.csv"))


@pytest.mark.parametrize("name", ["load.py", "notes.ipynb", "old.memkit"])
def test_a_program_or_a_recording_is_not_written_over(tmp_path, name):
    (tmp_path / name).write_text("precious")
    with pytest.raises(memkit.UsageError, match=r"left alone"):
        memkit.output_path(str(tmp_path / name))
    assert memkit.output_path(str(tmp_path / f"new-{name}")) == str(tmp_path / f"new-{name}")


def test_a_recording_under_another_name_is_not_written_over(tmp_path):
    with memkit.record(tmp_path / "plain"):
        pass
    with pytest.raises(memkit.UsageError, match="left alone"):
        memkit.output_path(str(tmp_path / "plain"))


def test_a_console_prints_on_the_stream(monkeypatch):
    monkeypatch.setenv("COLUMNS", "90")
    stream = io.StringIO()
    console = memkit.console(stream)
    console.print("one [b]", "two" * 40, sep="\n", markup=False)
    assert stream.getvalue() == f"one [b]\n{'two' * 40}\n"  # and breaks no lines
    assert console.width == 90


def test_where_rich_is_missing_it_is_said_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "rich.console", None)
    with pytest.raises(memkit.MemkitError, match=r"a printed report needs rich: .*pip install rich, or write --quiet"):
        memkit.console(io.StringIO())


def test_the_colours_of_reports_can_be_read_on_white_and_on_black():
    from rich.color import Color
    from rich.style import Style

    from memkit.report.output import _STYLES

    def luminance(name):
        parts = [part / 255 for part in Color.parse(name).get_truecolor()]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear))

    for style in _STYLES.values():
        light = luminance(Style.parse(style).color.name)
        assert min(1.05 / (light + 0.05), (light + 0.05) / 0.05) >= 3, style


def test_every_file_that_is_written_is_named_in_a_line(made_up, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    memkit.report(made_up((0, 1)), csv="a.csv", json=tmp_path / "sub" / "b.json", plot="c.png", mprof="-")
    shown = capsys.readouterr()
    assert shown.err.splitlines()[-1] == f"wrote    a.csv, {tmp_path / 'sub' / 'b.json'}, c.png"
    memkit.report(made_up((0, 1)), csv="a.csv")
    assert capsys.readouterr().out.splitlines()[-1] == "wrote    a.csv"
    memkit.report(made_up((0, 1)), csv="a.csv", quiet=True)
    memkit.report(made_up((0, 1)))
    shown = capsys.readouterr()
    assert "wrote" not in shown.out + shown.err


@pytest.mark.skipif(sys.platform == "win32", reason="a pipe that nobody reads is another error there")
@pytest.mark.parametrize("flags", [(), ("-u",)], ids=["buffered", "unbuffered"])
def test_where_nobody_reads_it_is_one_error_as_of_print(tmp_path, flags):
    program = """
import sys

import memkit

with memkit.record() as run:
    pass
sys.stdin.read()  # until nobody reads
try:
    for _ in range(1000):
        memkit.report(run.recording, csv="a.csv")
except BrokenPipeError as error:
    print(error.__context__, error.__cause__, file=sys.stderr)
    sys.stdout = None
"""
    process = subprocess.Popen(
        [sys.executable, *flags, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    process.stdout.close()
    process.stdout = None
    _, said = process.communicate("", timeout=60)
    assert said.splitlines()[0] == "None None"
    assert (tmp_path / "a.csv").exists()
