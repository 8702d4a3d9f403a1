"""``python -m memkit.compat.memory_profiler``: a program runs as it would alone, and what was measured is written."""

import os
import re
import subprocess
import sys

import pytest

MIB = 1 << 20
MODULE = ("-m", "memkit.compat.memory_profiler")
README = """\
@profile
def my_func():
    a = [1] * (10 ** 6)
    b = [2] * (2 * 10 ** 7)
    del b
    return a

if __name__ == '__main__':
    my_func()
"""


@pytest.fixture
def run(plain, script):
    """A function that writes a program, and runs it under memory_profiler's name with some options."""

    def run(text, *words, options=(), name="example.py", **settings):
        return plain(*MODULE, *options, script(text, name), *words, **settings)

    return run


def table(text):
    """The rows of tables: line, memory, increment, occurrences, source."""
    row = re.compile(r" +(\d+) +([\d.]+) MiB +(-?[\d.]+) MiB +(\d+)   (.*)")
    found = [row.fullmatch(line) for line in text.splitlines()]
    return [(int(match[1]), float(match[2]), float(match[3]), int(match[4]), match[5].strip()) for match in found if match]


def test_the_readmes_program_has_its_table(run):
    done = run(README)
    assert (done.returncode, done.stderr) == (0, "")
    head = done.stdout.splitlines()
    assert head[0].startswith("Filename: ") and head[0].endswith("example.py")
    assert head[2] == "Line #    Mem usage    Increment  Occurrences   Line Contents"
    assert head[3] == "=" * 61
    assert head[5] == "     2                                         def my_func():"
    found = table(done.stdout)
    assert [row[0] for row in found] == [1, 3, 4, 5, 6]
    assert [row[3] for row in found] == [1] * 5
    entry = found[0][2]
    assert found[0][1] == entry
    assert [row[2] for row in found[1:]] == [pytest.approx(size, abs=0.3) for size in (7.629, 152.588, -152.588, 0)]
    assert [row[1] for row in found[1:]] == [pytest.approx(entry + more, abs=0.5) for more in (7.6, 160.2, 7.6, 7.6)]


def test_a_program_that_exits_has_its_table_and_its_code(run):
    done = run("@profile\ndef f():\n    raise SystemExit(3)\nf()\n")
    assert done.returncode == 3 and [row[0] for row in table(done.stdout)] == [1, 3]


def test_a_program_that_raises_has_its_table_and_its_traceback(run):
    done = run("@profile\ndef f():\n    raise KeyError('gone')\nf()\n")
    assert done.returncode == 1 and [row[0] for row in table(done.stdout)] == [1, 3]
    assert "runpy" not in done.stderr and "command.py" not in done.stderr
    assert done.stderr.splitlines()[1].endswith('example.py", line 4, in <module>')


def test_functions_of_the_program_can_be_pickled(run):
    """__main__ was memory_profiler, and nothing of the program's could be pickled."""
    done = run(
        "import pickle, sys\n@profile\ndef f():\n    return 1\n"
        "print(pickle.loads(pickle.dumps(f)) is f, sys.modules['__main__'].f is f)\n"
    )
    assert done.stdout.splitlines()[0] == "True True"


def test_a_script_needs_no_suffix(run):
    """A script without .py was taken for the name of a module."""
    assert len(table(run(README, name="example").stdout)) == 5


def test_a_module_is_run_by_its_name(plain, script):
    script(README, "package/work.py")
    assert len(table(plain(*MODULE, "package.work").stdout)) == 5


@pytest.mark.parametrize("inside", ["__init__.py", "work.py"], ids=["package", "namespace"])
def test_a_folder_that_is_a_package_is_run_as_a_module(plain, script, inside):
    script("", f"package/{inside}")
    script("from . import work\n" + README, "package/__main__.py")
    script("", "package/work.py")
    done = plain(*MODULE, "package")
    assert (done.returncode, done.stderr, len(table(done.stdout))) == (0, "", 5)


def test_a_folder_with_a_slash_is_run_as_python_would(plain, script):
    script("import work\n" + README, "folder/__main__.py")
    script("", "folder/work.py")
    assert len(table(plain(*MODULE, "./folder").stdout)) == 5


def test_a_script_is_found_on_the_path(plain, script, tmp_path, monkeypatch):
    script(README, "bin/found.py")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert len(table(plain(*MODULE, "found.py").stdout)) == 5
    done = plain(*MODULE, "nowhere.py")
    assert (done.returncode, done.stderr) == (1, "Could not find script nowhere.py\n")


def test_arguments_path_and_name_are_the_programs(run, tmp_path):
    text = "import sys\nprint(sys.argv, sys.path[0], __name__, __file__, __spec__)\n"
    done = run(text, "--precision", "7", "-o")
    argv = ["example.py", "--precision", "7", "-o"]
    assert done.stdout == f"{argv} {tmp_path} __main__ {tmp_path / 'example.py'} None\n"


def test_imported_modules_have_profile_too(run, script):
    script("@profile\ndef f():\n    return 1\n", "other.py")
    assert len(table(run("import other\nother.f()\n").stdout)) == 2


@pytest.mark.parametrize("words", ["@profile(stream=sys.stderr)", "@profile(stream=sys.stderr, precision=4)"])
def test_a_decorator_can_have_a_stream(run, words):
    """A decorator with a stream raised TypeError."""
    done = run(f"import sys\n{words}\ndef f():\n    return 1\nf()\n")
    assert done.stdout == "" and len(table(done.stderr)) == 2


def test_the_importable_decorator_goes_into_the_run(run):
    """The import took the place of the builtin, and what it decorated was printed by itself."""
    done = run("from memkit.compat.memory_profiler import profile\n@profile\ndef f():\n    return 1\nf()\nf()\n")
    assert [row[3] for row in table(done.stdout)] == [2, 2]


OWN = """\
@profile({})
def f():
    kept = bytearray(1000000)
f()
print("called")
"""


@pytest.mark.parametrize("imported", [True, False])
@pytest.mark.parametrize("settings", ["backend='tracemalloc', precision=4", "include_children=True, precision=4"])
def test_a_decorator_with_settings_of_its_own_has_a_table_of_its_own(run, imported, settings):
    done = run("from memkit.compat.memory_profiler import profile\n" * imported + OWN.format(settings))
    text, after = done.stdout.split("called\n")
    assert [row[3] for row in table(text)] == [1, 1] and after == ""
    assert re.search(r" [\d.]+\.\d{4} MiB +0\.\d{4} MiB ", text)
    assert ("tracemalloc" in settings) == (table(text)[-1][1] < 2)


def test_an_imported_decorator_with_a_precision_prints_with_it(run):
    done = run("from memkit.compat.memory_profiler import profile\n" + OWN.format("precision=4"))
    text, after = done.stdout.split("called\n")
    assert re.search(r" \d+\.\d{4} MiB", text) and after == ""


def test_settings_that_a_run_has_anyway_are_its_own(run):
    program = "from memkit.compat.memory_profiler import profile\n" + OWN.format(
        "backend='psutil_uss', include_children=True"
    )
    done = run(program, options=("--include-children", "--backend", "psutil_uss"))
    before, text = done.stdout.split("called\n")
    assert before == "" and len(table(text)) == 2


@pytest.mark.parametrize("options", [(), ("--timestamp",)], ids=" ".join)
@pytest.mark.parametrize("words", ["@profile", "@profile(precision=3)"])
def test_the_builtin_can_be_switched_off(run, monkeypatch, options, words):
    monkeypatch.setenv("MEMKIT_PROFILE", "0")
    done = run(f"{words}\ndef f():\n    return 1\nprint(f(), hasattr(f, '__wrapped__'))\n", options=options)
    assert (done.returncode, done.stdout) == (0, "1 False\n")


def test_a_block_can_be_measured(run):
    done = run(
        "def f():\n    return 1\nprofile.add_function(f)\nwith profile:\n    f()\nf()\n",
    )
    assert [row[3] for row in table(done.stdout)] == [1, 1]


def test_precision_and_a_file_that_is_appended_to(run, tmp_path):
    for _ in range(2):
        assert run(README, options=("--precision", "1", "-o", "out.txt")).stdout == ""
    text = (tmp_path / "out.txt").read_text()
    assert text.count("Filename: ") == 2
    assert re.search(r"^     3 +\d\d?\d\.\d MiB      7\.\d MiB           1       a = ", text, re.MULTILINE)


@pytest.mark.parametrize("backend", ["psutil_uss", "posix", "tracemalloc"])
def test_other_backends(run, backend):
    done = run(README, options=("--backend", backend))
    assert [row[2] for row in table(done.stdout)[1:]] == [
        pytest.approx(size, abs=0.5) for size in (7.629, 152.588, -152.588, 0)
    ]


def test_children_are_counted_where_they_are_asked_for(run):
    text = """
import subprocess, sys
@profile
def f():
    child = subprocess.Popen([sys.executable, "-c", "x = b'x' * (50 << 20); print(flush=True); input()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdout.readline()
    child.communicate(b'\\n')
f()
"""
    with_children, without = (table(run(text, options=options).stdout) for options in (("--include-children",), ()))
    assert max(row[1] for row in with_children) - with_children[0][1] > 50
    assert max(row[1] for row in without) - without[0][1] < 20


CALLS = """
import builtins, json, sys, tracemalloc
from memkit.compat.memory_profiler import LineProfiler, exec_with_profiler, run_module_with_profiler
profiler = LineProfiler()
def state():
    own = sorted(vars(sys.modules["__main__"])), __file__
    return *own, sys.argv, sys.path, getattr(builtins, "profile", None), tracemalloc.is_tracing()
def check(run, target, backend, before):
    try:
        run(target, profiler, backend, ["a", "b"])
    except KeyError:
        assert str(state()) == before
for backend in ("psutil", "tracemalloc"):
    check(exec_with_profiler, "example.py", backend, str(state()))
    check(run_module_with_profiler, "example", backend, str(state()))
print(sum(row[2] for lines in profiler.code_map.values() for row in lines.values()), profiler.enable_count)
"""


def test_running_another_program_restores_the_interpreters_state(plain, script):
    text = "import sys\n@profile\ndef f():\n    return 1\nprint(__name__, sys.argv[1:], f())\nraise KeyError\n"
    script(text, "example.py")
    done = plain(script(CALLS, "caller.py"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["__main__ ['a', 'b'] 1"] * 4 + ["8 0"]


# -- timestamps --------------------------------------------------------------------------------------------------------

SPANS = """\
import os, sys
@profile
def inner():
    pass
@profile
def outer():
    inner()
    {}
outer()
"""


def test_timestamps_are_lines_of_a_profile(run):
    words = [line.split() for line in run(SPANS.format("pass"), options=("--timestamp",)).stdout.splitlines()]
    assert sorted(word[1] for word in words) == ["__main__.inner", "__main__.outer"]
    assert {(word[0], word[1], word[-1]) for word in words} == {
        ("FUNC", "__main__.inner", "1"),
        ("FUNC", "__main__.outer", "0"),
    }
    assert all(float(word[2]) > 1 and float(word[3]) <= float(word[5]) for word in words)


def test_calls_that_have_ended_survive_a_kill(run, tmp_path):
    """All of it was lost."""
    if not hasattr(__import__("signal"), "SIGKILL"):
        pytest.skip("there is no SIGKILL here")
    done = run(SPANS.format("os.kill(os.getpid(), 9)"), options=("--timestamp", "-o", "spans.dat"))
    assert done.returncode == -9
    assert (tmp_path / "spans.dat").read_text().split()[:2] == ["FUNC", "__main__.inner"]


def test_an_exception_leaves_both_spans(run, tmp_path):
    done = run(SPANS.format("raise KeyError"), options=("--timestamp", "-o", "spans.dat"))
    assert done.returncode == 1
    lines = (tmp_path / "spans.dat").read_text().splitlines()
    assert [(line.split()[1], line.split()[-1]) for line in lines] == [("__main__.inner", "1"), ("__main__.outer", "0")]


# -- the debugger ------------------------------------------------------------------------------------------------------

GROWS = """\
@profile
def f():
    kept = []
    kept.append(bytearray(b"x" * (200 << 20)))
    count = len(kept)
    count += 1
    return count
print(f())
"""


def test_the_debugger_stops_at_the_line_once_without_rewinding(run):
    """It went back two lines, ran the allocation again, and stopped again and again."""
    done = run(GROWS, options=("--pdb-mmem", "150"), input="p len(kept)\nc\n")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^Current memory \d+\.\d\d MiB exceeded the maximum of 150\.00 MiB$", done.stdout, re.MULTILINE)
    assert done.stdout.count("Stepping into the debugger \n") == 1
    assert "-> count = len(kept)" in done.stdout
    assert done.stdout.rstrip().endswith("2")


def test_the_debugger_stays_away_below_the_limit(run):
    done = run(GROWS, options=("--pdb-mmem", "4000"))
    assert (done.returncode, done.stdout) == (0, "2\n")


# -- the command line --------------------------------------------------------------------------------------------------


def test_a_missing_program_is_reported(plain):
    done = plain(*MODULE)
    assert (done.returncode, done.stdout) == (1, "A program to run must be provided. Use -h for help\n")


def test_version_and_help(plain):
    assert plain(*MODULE, "--version").stdout == "0.61.0\n"
    words = plain(*MODULE, "--help").stdout
    for option in ("--pdb-mmem", "--precision", "-o", "--timestamp", "--include-children", "--backend"):
        assert option in words


SAYS = "print('ran')\n"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("-o", "nowhere/a.txt"), "cannot write 'nowhere/a.txt': No such file or directory; choose another file with -o"),
        (("--precision", "-3"), "--precision -3: give decimals, from 0 to 20"),
        (("--precision", "1000000000"), "--precision 1000000000: give decimals, from 0 to 20"),
    ],
)
def test_wrong_options_are_one_line_before_anything_is_run(run, options, reason):
    done = run(SAYS, options=options)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"memory_profiler: {reason}\n")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell of Unix")
def test_a_closed_pipe_is_no_error(plain, script):
    script(README + "    import sys; sys.exit(3)\n", "example.py")
    reads = "import subprocess, sys; child = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE); child.stdout.close()"
    done = plain("-c", reads + "; sys.exit(child.wait())", sys.executable, *MODULE, "example.py")
    assert (done.returncode, done.stderr) == (3, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
@pytest.mark.parametrize("options", [(), ("--timestamp",)], ids=" ".join)
def test_a_full_disk_is_reported_and_does_not_change_the_program(run, options):
    passing, failing = (run(README + more, options=("-o", "/dev/full", *options)) for more in (SAYS, SAYS + "exit(3)\n"))
    complaint = "memory_profiler: the results are incomplete: No space left on device\n"
    assert (passing.returncode, passing.stdout, passing.stderr) == (1, "ran\n", complaint)
    assert (failing.returncode, failing.stdout, failing.stderr) == (3, "ran\n", complaint)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_fork_that_runs_to_its_end_prints_no_second_table(run):
    done = run("import os\n@profile\ndef f():\n    return 1\nf()\nif os.fork():\n    os.wait()\n", flags=("-W", "ignore"))
    assert done.stdout.count("Filename") == 1


# -- under mprof -------------------------------------------------------------------------------------------------------


def test_the_importable_decorator_gives_mprof_its_functions(plain, script, tmp_path):
    """A program that imported the decorator had no functions in mprof's file, and tables instead."""
    script("from memkit.compat.memory_profiler import profile\n@profile\ndef f():\n    return 1\nf()\n", "example.py")
    done = plain("-m", "memkit.compat.mprof", "run", "-o", "spans.dat", "example.py")
    assert done.returncode == 0 and "Filename" not in done.stdout
    assert re.search(r"^FUNC __main__\.f ", (tmp_path / "spans.dat").read_text(), re.MULTILINE)


SPELLED = "@profile\ndef größe(n):\n    wärme = [0] * n\n    return wärme\n\ngröße(10)\n"


def test_what_a_stream_cannot_spell_is_a_backslash_and_its_code(run, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    monkeypatch.setenv("PYTHONUTF8", "0")
    done = run(SPELLED)
    assert (done.returncode, done.stderr) == (0, "")
    assert "def gr\\xf6\\xdfe(n):\n" in done.stdout and "w\\xe4rme = [0] * n\n" in done.stdout
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("PYTHONCOERCECLOCALE", "0")
    for options in [(), ("--timestamp",)]:
        done = run(SPELLED, options=("-o", str(tmp_path / "out"), *options))
        assert (done.returncode, done.stderr) == (0, "")
        assert b"gr\\xf6\\xdfe" in (tmp_path / "out").read_bytes()
        (tmp_path / "out").unlink()


GOES_ON = """
import itertools, sys, threading
from memkit.compat.memory_profiler import profile

inside, never = threading.Event(), threading.Event()

@profile
def counts():
    yield from itertools.count()

@profile
def waits():
    inside.set()
    never.wait()

@profile
def work():
    return 1

threading.Thread(target=waits, daemon=True).start()
inside.wait(30)
generator = counts()
next(generator)
work()
print("ran", file=sys.stderr)
"""


def test_calls_that_never_end_have_their_tables_at_the_end(plain, script):
    done = plain(script(GOES_ON, "example.py"))
    assert (done.returncode, done.stderr) == (0, "ran\n")
    first, *others = re.findall(r"def (\w+)", done.stdout)
    assert (first, sorted(others)) == ("work", ["counts", "waits"])


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
def test_a_table_that_cannot_be_printed_does_not_end_the_program(script, tmp_path):
    text = "from memkit.compat.memory_profiler import profile\n@profile\ndef work():\n    return 7\n"
    name = script(text + "import sys\nprint(work(), file=sys.stderr)\n", "example.py")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-u", name], stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path, timeout=60
        )
    assert done.returncode == 0
    assert done.stderr == "memkit: a table could not be printed: OSError: [Errno 28] No space left on device\n7\n"
