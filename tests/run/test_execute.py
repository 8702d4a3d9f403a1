"""A program under memkit runs as without: each test runs it both ways and compares."""

import json
import os
import py_compile
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

MIRROR = (Path(__file__).parents[1] / "programs" / "mirror.py").read_text()


@pytest.fixture
def named(tmp_path, script, program):
    """A function that makes the mirror runnable in one of the ways there are, and returns the words for it."""

    def compiled():
        py_compile.compile(str(tmp_path / program("mirror.py")), cfile=str(tmp_path / "mirror.pyc"), doraise=True)
        return ["mirror.pyc"]

    def linked():
        script(MIRROR, "folder/real.py")
        os.symlink(os.path.join("folder", "real.py"), tmp_path / "link.py")
        return ["link.py"]

    def zipped():
        with zipfile.ZipFile(tmp_path / "app.zip", "w") as archive:
            archive.writestr("__main__.py", MIRROR)
        return ["app.zip"]

    def packaged(name):
        script("", "package/__init__.py")
        script("", "package/inner/__init__.py")
        script(MIRROR, "package/__main__.py")
        script(MIRROR, "package/inner/module.py")
        return ["-m", name]

    ways = {
        "script": lambda: [script(MIRROR)],
        "script in a folder": lambda: [script(MIRROR, "folder/program.py")],
        "dotted path": lambda: [f"./{script(MIRROR)}"],
        "crooked path": lambda: [f"folder/../{script(MIRROR, 'folder/program.py')}"],
        "absolute path": lambda: [str(tmp_path / script(MIRROR))],
        "no suffix": lambda: [script(MIRROR, "program")],
        "other suffix": lambda: [script(MIRROR, "program.txt")],
        "name with spaces": lambda: [script(MIRROR, "a program ü.py")],
        "symlink": linked,
        "compiled": compiled,
        "folder": lambda: [os.path.dirname(script(MIRROR, "app/__main__.py"))],
        "zip": zipped,
        "module": lambda: ["-m", Path(script(MIRROR)).stem],
        "package": lambda: packaged("package"),
        "module in a package": lambda: packaged("package.inner.module"),
        "code": lambda: ["-c", MIRROR],
    }
    return lambda way: ways[way]()


WAYS = [
    "script", "script in a folder", "dotted path", "crooked path", "absolute path", "no suffix", "other suffix",
    "name with spaces", "symlink", "compiled", "folder", "zip", "module", "package", "module in a package", "code",
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_a_program_sees_what_it_would_see_without_memkit(same, named, way):
    run = same(*named(way), "one", "two words")
    assert json.loads(run.stdout)["argv"][1:] == ["one", "two words"]
    assert run.recording.ending.kind == "ok"


def test_a_program_from_standard_input_sees_no_difference(same):
    run = same("-", "one", "-q", "--", "-m", input=MIRROR)
    assert json.loads(run.stdout)["argv"] == ["-", "one", "-q", "--", "-m"]
    assert run.recording.about.argv == ("-", "one", "-q", "--", "-m")
    assert run.recording.ending.kind == "ok"


@pytest.mark.parametrize("text", ["print('ü', __file__)\ninput()", "1 +", "import sys; sys.exit('no')", ""])
def test_a_program_from_standard_input_ends_as_it_would_without_memkit(same, text):
    same("-", input=text)


@pytest.mark.usefixtures("native_only")
def test_the_lines_of_a_program_from_standard_input_are_traced(memkit_run):
    run = memkit_run("-", options=("-q", "--lines"), input="kept = []\nfor _ in range(3):\n    kept.append(1)\n")
    assert [(line.function.file, line.hits) for line in run.recording.lines if line.number == 3] == [("<stdin>", 3)]


def test_a_terminal_has_no_program_for_memkit(memkit_run):
    ours, theirs = os.openpty()
    try:
        run = memkit_run("-", stdin=theirs)
    finally:
        os.close(ours)
        os.close(theirs)
    (line,) = run.stderr.splitlines()
    assert run.returncode == 2
    assert line.startswith("memkit-run: '-' is a program from standard input")


@pytest.mark.parametrize("way", ["script", "symlink", "folder", "module", "code"])
def test_a_safe_path_stays_safe(same, named, way):
    words = [word if word != "program" else "json.tool" for word in named(way)]
    same(*words, flags=["-P"])
    same(*words, env={**os.environ, "PYTHONSAFEPATH": "1"})


FLAGS = [
    ["-O"],
    ["-OO"],
    ["-B"],
    ["-u"],
    ["-E"],
    ["-I"],
    ["-s"],
    ["-X", "dev"],
    ["-Xutf8=0"],
    ["-W", "error"],
    ["-bb", "-Wignore"],
]


@pytest.mark.parametrize("flags", FLAGS, ids=" ".join)
def test_interpreter_flags_are_passed_on(same, script, flags):
    same(script(MIRROR), "argument", flags=flags)


def test_environment_variables_of_the_interpreter_are_passed_on(same, script):
    same(script(MIRROR), env={**os.environ, "PYTHONOPTIMIZE": "1", "PYTHONWARNINGS": "error", "PYTHONUNBUFFERED": "1"})


@pytest.mark.parametrize(
    "words",
    [
        ["-m", "x", "-c", "y", "-o", "file", "--quiet", "--csv", "z", "-h", "--help", "--unknown=1", "-p", "no:csv"],
        ["--", "a", "--", "b"],
        ["a", "--", "--interval", "0"],
        ["", " ", "*", "-", "@file", "ü"],
    ],
)
@pytest.mark.parametrize("way", ["script", "module", "code"])
def test_arguments_after_the_program_are_the_programs(same, script, way, words):
    text = "import sys; print(sys.argv)"
    name = script(text)
    same(*{"script": [name], "module": ["-m", "program"], "code": ["-c", text]}[way], *words)


def test_the_module_that_runs_is_the_main_module(same, script):
    text = "import sys, __main__\nclass Here: pass\nprint(__main__.Here is Here, sys.modules['__main__'] is __main__)"
    same(script(text))
    same("-m", "program")
    same("-c", text)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_pools_of_processes_work(same, program, tmp_path, method):
    run = same(program("pools.py"), method)
    assert run.stdout.startswith(f"{method} [0, 2, 4, 6] [0, 2, 4, 6]\nTrue\nchild")
    ends = [line for line in (tmp_path / "run.memkit").read_text().splitlines() if line.startswith('["end"')]
    assert len(ends) == 1


def test_a_pool_of_a_module_works(same, program):
    program("pools.py")
    same("-m", "pools", "spawn")


def test_threads_and_descriptors_are_only_the_programs(native_only, same, script):
    text = """
import os, threading
print([(thread.name, thread.daemon) for thread in threading.enumerate()], threading.active_count())
print([number for number in range(64) if os.path.exists(f"/proc/self/fd/{number}")])
"""
    same(script(text))


def test_next_to_nothing_is_imported_before_the_program(native_only, plain, memkit_run, script):
    name = script("import sys; print(*sys.modules)")
    added = set(memkit_run(name).stdout.split()) - set(plain(name).stdout.split())
    theirs = {module for module in added if module.partition(".")[0] != "memkit" and "cython" not in module.lower()}
    builtin = {"__future__", "_contextvars", "_json", "atexit", "itertools"}
    assert theirs <= {*builtin, "importlib", "importlib.machinery", "warnings"}


# -- what goes wrong in the program -----------------------------------------------------------------------------------

FAILURES = {
    "in a function": "def f(x):\n    return 1 / x\n\nf(0)",
    "at the top": "x = 1\nraise ValueError('two\\nlines')",
    "chained": "try:\n    {}['a']\nexcept KeyError as e:\n    raise RuntimeError('b') from e",
    "while handling": "try:\n    {}['a']\nexcept KeyError:\n    open('/nonexistent')",
    "from none": "try:\n    {}['a']\nexcept KeyError:\n    raise RuntimeError('b') from None",
    "group": "raise ExceptionGroup('g', [ValueError(1), TypeError(2)])",
    "with a note": "e = ValueError(1)\ne.add_note('noted')\nraise e",
    "of the program": "class Mine(BaseException): pass\nraise Mine('x')",
    "broken text": "class Mine(Exception):\n    def __str__(self): raise ValueError\nraise Mine",
    "in a library": "import json\njson.loads('{')",
    "no such name": "import sys\nsys.exitt()",
    "syntax": "x = 1\ndef f(:\n    pass",
    "indentation": "if 1:\nx = 1",
    "syntax inside": "exec('a b')",
    "import": "import no_such_module",
    "interrupt": "def f():\n    raise KeyboardInterrupt\nf()",
    "exit": "import sys\nsys.exit('some text')",
    "exit in a function": "def f():\n    raise SystemExit('out') from ValueError(1)\nf()",
    "hook": "import sys\nsys.excepthook = lambda *a: print('mine', a[0], a[1], a[2].tb_lineno, a[2].tb_next)\n1 / 0",
    "hook fails": "import sys\ndef hook(*a):\n    raise TypeError('hook')\nsys.excepthook = hook\n1 / 0",
    "hook exits": "import sys\ndef hook(*a):\n    sys.exit(9)\nsys.excepthook = hook\n1 / 0",
    "hook chained": "import sys\nold = sys.excepthook\nsys.excepthook = lambda *a: print('first') or old(*a)\n1 / 0",
    "last": "import atexit, sys, traceback\n"
    "atexit.register(lambda: traceback.print_tb(sys.last_traceback) or print(sys.last_value, sys.excepthook))\n1 / 0",
    "at exit": "import atexit\natexit.register(lambda: 1 / 0)\nprint('done')",
    "in a thread": "import threading\nt = threading.Thread(target=lambda: 1 / 0, name='mine')\nt.start()\nt.join()",
    "in a finaliser": "class A:\n    def __del__(self): 1 / 0\n    def __repr__(self): return 'A'\na = A()\ndel a",
    "task": "import asyncio\nasync def main():\n    raise ValueError('async')\nasyncio.run(main())",
    "warned": "import warnings\ndef f():\n    warnings.warn('old', DeprecationWarning, stacklevel=2)\nf()",
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_script_that_fails_says_what_it_would_say_without_memkit(same, script, failure):
    same(script(FAILURES[failure]))


@pytest.mark.parametrize("failure", ["in a function", "syntax", "syntax inside", "interrupt", "exit", "hook", "import"])
def test_a_module_that_fails_says_what_it_would_say_without_memkit(same, script, failure):
    script(FAILURES[failure])
    same("-m", "program")


@pytest.mark.parametrize("failure", ["in a function", "at the top", "chained", "syntax", "interrupt", "exit", "hook"])
def test_code_that_fails_says_what_it_would_say_without_memkit(same, failure):
    same("-c", FAILURES[failure])


@pytest.mark.parametrize("failure", ["in a function", "syntax"])
def test_a_folder_that_fails_says_what_it_would_say_without_memkit(same, script, failure):
    script(FAILURES[failure], "app/__main__.py")
    same("app")


def test_a_syntax_error_in_a_module_is_shown_as_without_memkit(same, script):
    script("x = = 1", "broken.py")
    same(script("import broken"))


@pytest.mark.parametrize("source", [b"\xef\xbb\xbfprint('marked')\n", b"", b"print(1)", b"print(1)\r\nprint(2)\r\n"])
def test_a_source_with_strange_bytes_is_taken_as_without_memkit(same, tmp_path, source):
    (tmp_path / "program.py").write_bytes(source)
    same("program.py")


@pytest.mark.parametrize("source", [b"x = '\xff'\n", b"x = 1\0\n", b"# coding: nonsense\n"])
def test_a_source_that_is_no_text_is_a_syntax_error(plain, memkit_run, tmp_path, source):
    (tmp_path / "program.py").write_bytes(source)
    # The interpreter words these by the file and compile() by the text, so the words differ.
    for run in (plain("program.py"), memkit_run("program.py")):
        assert run.returncode == 1
        assert run.stderr.splitlines()[-1].startswith("SyntaxError: ")
        assert "Traceback" not in run.stderr


def test_a_source_in_another_encoding_is_read_in_it(same, tmp_path):
    (tmp_path / "program.py").write_bytes("# coding: latin-1\nprint(ascii('ä'))\n1 / 0  # ä\n".encode("latin-1"))
    same("program.py")


def test_a_module_whose_package_cannot_import_it_fails_with_one_line(memkit_run, script):
    script("import no_such_thing", "package/__init__.py")
    script("", "package/__main__.py")
    run = memkit_run("-m", "package")
    assert run.returncode != 0
    assert "no_such_thing" in run.stderr


@pytest.mark.parametrize(
    "code",
    [
        "0",
        "1",
        "2",
        "77",
        "127",
        "128",
        "254",
        "255",
        "256",
        "-1",
        "2**40",
        "None",
        "True",
        "'text'",
        "''",
        "3.5",
        "(1, 'a')",
    ],
)
def test_exit_codes_are_the_programs(same, script, code):
    run = same(script(f"import sys\nsys.exit({code})"))
    assert run.recording.ending.finished
    assert (run.recording.ending.kind == "ok") == (run.returncode == 0)


def test_a_text_that_starts_with_the_interpreters_name_is_the_programs_own(same, script):
    run = same(script("import sys\nsys.exit(f'{sys.executable}: too old')"))
    assert run.recording.ending.code == 1


# -- input, output, and what surrounds it ------------------------------------------------------------------------------


def test_standard_input_is_the_programs(same, script):
    name = script("import sys\nprint([input('? '), input(), sys.stdin.read()])")
    same(name, input="one\ntwo\nthree\nfour")
    same(script("import sys; sys.stdout.buffer.write(sys.stdin.buffer.read()[::-1])"), input=bytes(range(256)), text=False)


def test_standard_output_is_the_programs_byte_for_byte(same, script):
    text = "import sys\nsys.stdout.buffer.write(bytes(range(256)) * 999)\nsys.stderr.buffer.write(b'\\0\\xff\\r\\n')"
    same(script(text), text=False)


def test_the_report_stays_out_of_standard_output(plain, memkit_run, script):
    name = script("print('result')")
    assert memkit_run(name, options=()).stdout == plain(name).stdout


def test_closed_standard_streams_stay_closed(installed, script, tmp_path):
    name = script(
        "import os, sys\nopen('seen', 'w').write(str([sys.stdin, sys.stdout, sys.stderr]))\nprint('lost')\nsys.exit(5)"
    )
    shut = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
    assert subprocess.run([*shut, sys.executable, name], cwd=tmp_path, timeout=60).returncode == 5
    seen = (tmp_path / "seen").read_text()
    assert subprocess.run([*shut, *installed, name], cwd=tmp_path, timeout=60).returncode == 5
    assert (tmp_path / "seen").read_text() == seen
    assert len(list(tmp_path.glob("program-*.memkit"))) == 1


def test_inherited_descriptors_reach_the_program(same, script):
    reading, writing = os.pipe()
    try:
        name = script("import os, sys\nprint(os.write(int(sys.argv[1]), b'hello'))")
        same(name, str(writing), pass_fds=[writing])
        assert os.read(reading, 100) == b"hellohello"
    finally:
        os.close(reading)
        os.close(writing)


def test_exit_handlers_and_threads_are_recorded_until_they_end(same, script):
    text = """
import atexit, threading, time, memkit
def late(label):
    with memkit.span(label):
        time.sleep(0.1)
        print(label)
atexit.register(late, "handler")
threading.Thread(target=late, args=("thread",)).start()
print("main")
"""
    run = same(script(text))
    assert run.stdout == "main\nthread\nhandler\n"
    assert [(span.label, span.end is not None) for span in run.recording.spans] == [("thread", True), ("handler", True)]
    assert run.recording.samples[-1].time >= run.recording.spans[-1].end


def test_exit_handlers_run_after_an_exception_and_are_recorded(same, script):
    text = "import atexit, memkit\natexit.register(lambda: memkit.span('late').__enter__())\n1 / 0"
    run = same(script(text))
    assert [span.label for span in run.recording.spans] == ["late"]
    assert run.recording.ending.kind == "error"


def test_the_program_finds_its_own_modules_first(same, script):
    names = ("memkit_run", "record", "recorder", "errors", "journal", "engine", "script", "start", "json", "typing", "plot")
    for name in names:
        script(f"NAME = 'my {name}'", f"{name}.py")
    imports = "".join(f"import {name}; print({name}.NAME)\n" for name in names)
    run = same(script(imports))
    assert run.stdout.splitlines() == [f"my {name}" for name in names]


def test_memkit_is_there_for_the_program(memkit_run, script):
    text = """
import memkit
with memkit.span("outer"), memkit.span("inner"):
    kept = bytearray(20 << 20)
print(memkit.rss() > 20 << 20)
with memkit.record() as run:
    pass
print(run.recording.ending.kind)
"""
    run = memkit_run(script(text))
    assert (run.returncode, run.stdout, run.stderr) == (0, "True\nok\n", "")
    outer, inner = run.recording.spans
    assert [(outer.label, outer.depth), (inner.label, inner.depth)] == [("outer", 0), ("inner", 1)]
    assert inner.growth >= 19 << 20


def test_nothing_of_memkit_warns(memkit_run, script):
    run = memkit_run(script("import memkit\nwith memkit.span('a'): print('fine')"), flags=["-X", "dev", "-W", "error"])
    assert (run.returncode, run.stdout, run.stderr) == (0, "fine\n", "")


def test_the_reports_warn_of_nothing(memkit_run, script):
    outputs = ["--csv", "a.csv", "--json", "a.json", "--plot", "a.svg"]
    run = memkit_run(script("print('fine')"), flags=["-X", "dev", "-W", "error"], options=outputs)
    assert (run.returncode, run.stdout) == (0, "fine\n")
    assert "Warning" not in run.stderr


def test_signals_that_were_ignored_from_the_start_stay_ignored(installed, script, tmp_path):
    name = script("import signal; print(*map(signal.getsignal, (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)))")
    ignoring = ["sh", "-c", "trap '' HUP INT; exec \"$@\"", "sh"]
    settings = {"cwd": tmp_path, "timeout": 60, "text": True}
    plainly = subprocess.check_output([*ignoring, sys.executable, name], **settings)
    assert subprocess.check_output([*ignoring, *installed, "-q", name], **settings) == plainly
    assert plainly.count(str(signal.SIG_IGN)) == 2
