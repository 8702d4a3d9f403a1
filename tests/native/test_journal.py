"""Rows reach the file whole, whatever becomes of the file."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading

import pytest

pytest.importorskip("memkit.native.journal", reason="the compiled modules are not built here")

from memkit.native.journal import Journal

from engines import forks


@pytest.fixture
def opened(tmp_path):
    """A journal and the path of its file."""
    path = tmp_path / "j"
    journal = Journal(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), str(path))
    yield journal, path
    journal.close()


def test_rows_of_integers_are_json_lines(opened):
    journal, path = opened
    journal.row("sample", 0, -5, 2**62)
    journal.row("beat")
    journal.close()
    assert path.read_text() == f'["sample",0,-5,{2**62}]\n["beat"]\n'


def test_nothing_reaches_the_file_before_a_flush(opened):
    journal, path = opened
    journal.row("a", 1)
    assert path.read_bytes() == b""
    journal.flush()
    assert path.read_bytes() == b'["a",1]\n'


def test_the_buffer_is_bounded_and_loses_nothing(opened):
    journal, path = opened
    for number in range(20_000):
        journal.row("n", number)
    journal.text(b'["long","' + b"x" * 100_000 + b'"]\n')
    journal.row("last", 1)
    journal.close()
    lines = path.read_bytes().splitlines()
    assert [int(line[5:-1]) for line in lines[:20_000]] == list(range(20_000))
    assert (len(lines[20_000]), lines[20_001]) == (100_011, b'["last",1]')


def test_more_values_than_a_row_holds_are_refused(opened):
    with pytest.raises(ValueError, match="at most 12"):
        opened[0].row("a", *range(13))


def test_rows_of_many_threads_stay_whole(opened):
    journal, path = opened

    def write(name):
        for number in range(5000):
            journal.row(name, number)
            if number % 100 == 0:
                journal.flush()

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.close()
    lines = path.read_text().splitlines()
    assert sorted(lines) == sorted(f'["{name}",{number}]' for name in "abcdefgh" for number in range(5000))


def test_a_full_disk_is_an_error_at_the_end_and_lost_rows_are_counted(tmp_path):
    code = f"""
import errno, os, resource
from memkit.native.journal import Journal
path = {str(tmp_path / "full")!r}
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))
journal = Journal(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), path)
for number in range(10):
    journal.row("row", number)
journal.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
assert (journal.error, journal.lost) == (errno.EFBIG, 4), (journal.error, journal.lost)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (tmp_path / "full").read_bytes().count(b"\n") == 6


def test_the_row_after_a_torn_one_begins_a_new_line(tmp_path):
    code = f"""
import os, resource
from memkit.native.journal import Journal
path = {str(tmp_path / "torn")!r}
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
journal = Journal(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), path)
resource.setrlimit(resource.RLIMIT_FSIZE, (12, hard))
journal.row("row", 111111)
journal.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
journal.row("row", 2)
journal.close()
assert journal.lost == 1
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (tmp_path / "torn").read_bytes() == b'["row",11111\n["row",2]\n'


@forks
def test_a_forked_child_writes_nothing(opened):
    journal, path = opened
    journal.row("parent", 1)
    pid = os.fork()
    if pid == 0:
        journal.row("child", 1)
        journal.close()
        os._exit(0)
    os.waitpid(pid, 0)
    journal.close()
    assert path.read_text() == '["parent",1]\n'


def test_a_reused_descriptor_is_not_written_to(tmp_path):
    code = f"""
import os
from memkit.native.journal import Journal
path, other = {str(tmp_path / "mine")!r}, {str(tmp_path / "theirs")!r}
journal = Journal(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), path)
taken = [int(name) for name in os.listdir("/proc/self/fd") if int(name) > 10]
os.closerange(3, 4096)
file = os.open(other, os.O_WRONLY | os.O_CREAT)
for number in taken:
    os.dup2(file, number)
journal.row("row", 1)
journal.close()
assert journal.error is None
os.write(taken[0], b"theirs")
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (tmp_path / "mine").read_text() == '["row",1]\n'
    assert (tmp_path / "theirs").read_text() == "theirs"


def test_a_file_whose_name_is_not_utf_8_is_reopened(tmp_path):
    if not shutil.which("localedef"):
        pytest.skip("needs localedef, to make a locale whose names are not in UTF-8")
    subprocess.run(["localedef", "-i", "POSIX", "-f", "ISO-8859-1", tmp_path / "test.latin1"], capture_output=True)
    if not list(tmp_path.glob("test.latin1/*")):
        pytest.skip("needs the definition of ISO-8859-1, to make a locale whose names are not in UTF-8")
    settings = {"LOCPATH": str(tmp_path), "LC_ALL": "test.latin1", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    code = """
import os, sys
from memkit.native.journal import Journal
path = os.path.join(sys.argv[1], "caf\\xe9")
journal = Journal(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), path)
os.closerange(3, 4096)
journal.row("row", 1)
journal.close()
print(sys.getfilesystemencoding(), journal.error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], env={**os.environ, **settings}, capture_output=True, text=True
    )
    encoding, error = done.stdout.split()
    if encoding == "utf-8":
        pytest.skip("needs a locale whose names are not in UTF-8, and localedef could not make one")
    assert (encoding, error) == ("iso8859-1", "None")
    with open(os.path.join(os.fsencode(tmp_path), b"caf\xe9")) as file:
        assert file.read() == '["row",1]\n'


def test_a_removed_file_is_still_written_to(opened):
    journal, path = opened
    path.unlink()
    journal.row("row", 1)
    journal.flush()
    assert journal.error is None


def test_a_closed_descriptor_without_a_path_is_an_error_at_the_end(tmp_path):
    journal = Journal(os.open(tmp_path / "j", os.O_WRONLY | os.O_CREAT | os.O_APPEND))
    [mine] = [fd for fd in map(int, os.listdir("/proc/self/fd")) if links_to(fd, tmp_path / "j")]
    os.close(mine)
    journal.row("row", 1)
    journal.flush()
    assert (journal.error, journal.lost) == (errno.EBADF, 1)


def links_to(fd, path):
    try:
        return os.readlink(f"/proc/self/fd/{fd}") == str(path)
    except OSError:
        return False


def test_a_broken_pipe_is_an_error_at_the_end():
    here, there = os.pipe()
    journal = Journal(there)
    os.close(here)
    assert signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN
    journal.row("row", 1)
    journal.flush()
    assert journal.error == errno.EPIPE
    journal.close()


def test_an_invalid_descriptor_is_refused():
    with pytest.raises(OSError, match="descriptor"):
        Journal(9999)


def test_closing_twice_is_harmless(opened):
    opened[0].close()
    opened[0].close()
