"""Paths of files, whatever they are given as."""

import pytest

import memkit
from memkit.base.errors import FormatError, UsageError
from memkit.model import tracker_file

WRITE = [memkit.record, memkit.Tracker]
READ = [
    memkit.read,
    memkit.plot_reports,
    memkit.has_completed_successfully,
    memkit.has_crashed_gracefully,
    memkit.has_crashed_ungracefully,
    tracker_file.read,
]
NO_PATHS = [("a\0b", "no NUL"), ("\ud800", "no such characters"), (5, "give text"), (b"a\0b", "no NUL")]


@pytest.mark.parametrize(("path", "said"), NO_PATHS)
@pytest.mark.parametrize("function", WRITE)
def test_what_cannot_be_a_path_is_refused_before_anything_is_written(function, path, said):
    with pytest.raises(UsageError, match=said) as refused:
        function(path)
    assert repr(path) in str(refused.value)


@pytest.mark.parametrize(("path", "said"), NO_PATHS)
@pytest.mark.parametrize("function", READ)
def test_what_cannot_be_a_path_cannot_be_read(function, path, said):
    given = [path] if function is memkit.plot_reports else path
    with pytest.raises(FormatError, match=said) as refused:
        function(given)
    assert repr(path) in str(refused.value)


@pytest.mark.parametrize("path", ["a\0.png", "\ud800.png", ""])
def test_a_picture_cannot_be_saved_under_what_is_no_path(tmp_path, path):
    with memkit.Tracker(tmp_path / "t.csv"):
        pass
    with pytest.raises(UsageError, match=r"no path|is empty"):
        memkit.plot_reports(tmp_path / "t.csv", save=path)


def test_a_path_may_be_bytes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with memkit.record(b"r.memkit"), memkit.Tracker(b"t.csv"):
        pass
    assert memkit.read(b"r.memkit").source == "r.memkit"
    assert memkit.has_completed_successfully(b"t.csv")


def test_a_name_in_a_folder_that_is_gone_is_refused(python):
    text = """
import json, os, memkit
os.mkdir("gone")
os.chdir("gone")
os.rmdir("../gone")
said = []
for make in (memkit.record, memkit.Tracker):
    try:
        make("r.memkit")
    except memkit.UsageError as error:
        said.append(str(error))
print(json.dumps(said))
"""
    assert ["the working directory is gone" in said for said in python(text)] == [True, True]
