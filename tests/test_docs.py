"""The documentation is true and complete: its examples run, and every public thing is documented."""

import argparse
import dataclasses
import inspect
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

import memkit
from memkit.base import hookspecs
from memkit.base.units import parse_bytes
from memkit.cli import main
from memkit.model import file_format
from memkit.model.from_rows import TAKE
from memkit.model.limit_events import Crossing, Frame, Stack
from memkit.model.recording import About, Call, Function, Line, Sample, Total, Tracing
from memkit.record import event_log
from memkit.report.reporters import call_paths, lines, pprof, samples_csv
from memkit.system import engine
from memkit.system.limit import Limit

import profile_proto

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
ONELINE = DOCS / "examples" / "memkit-oneline"
PAGES = sorted([ROOT / "README.rst", ROOT / "CONTRIBUTING.rst", *DOCS.rglob("*.rst")])
COMMANDS = list(main.COMMANDS)
SERVERS = ("celery", "django", "gunicorn", "uvicorn")
ENGINES = ("joblib", "memkit_ray", "memory_profiler", "mpi4py", "pyspark", "ray")  # as these, not in the extra `test`
NEEDS = {  # and those that all examples of a page need
    "pandas.rst": ("pandas", "polars", "sklearn"),
    "budgets.rst": ("pytest_memkit",),
    "dask.rst": ("memkit_dask",),
}

# -- what is on a page -----------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Block:
    """A block of a page in a directive: code, or an included file."""

    page: Path
    line: int
    directive: str
    kind: str
    text: str
    caption: str | None

    def __str__(self):
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def runs(self):
        """Whether a reader would run it as it is; a block with a caption is a file, which a command runs."""
        return self.directive == "code-block" and (self.kind == "console" or (self.kind == "python" and not self.caption))

    @property
    def missing(self):
        """The packages that it needs, or the servers and engines that it starts or reports on, that are not installed."""
        named = (*SERVERS, *(ENGINES if self.page.name == "processes.rst" else ()))
        needed = [*NEEDS.get(self.page.name, ()), *(name for name in named if re.search(rf"\b{name}\b", self.text))]
        return [name for name in needed if find_spec(name) is None]

    @property
    def refused(self):
        """Whether nothing in it can work here: servers are missing, or all is traced, which this engine cannot."""
        runs = [command.text for command in commands_of(self) if "memkit-run" in command.text]
        traced = runs and all(re.search(r" --(lines|calls|heap)\b", text) for text in runs)
        return bool(self.missing or (traced and engine.NAME != "native"))

    @property
    def traces(self):
        """Whether it traces lines or calls, or reads what a page about tracing has recorded."""
        traced = ("lines.rst", "calls.rst", "page.rst", "compare.rst", "fit.rst", "budgets.rst", "advise.rst")
        return self.page.name in traced or bool(
            re.search(
                r"--(\w+-)?(lines|calls)|--(flame|pprof|speedscope|heap)|(lines|calls|heap)=|MEMKIT_GATE|profile|EventLog|call-log|pymemtrace",
                self.text,
            )
        )


def blocks_of(page):
    """The code blocks and included files of a page, from top to bottom."""
    lines = page.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        match = re.fullmatch(r"( *)\.\. (code-block|literalinclude):: (\S+)", line)
        if not match:
            continue
        depth = len(match[1])
        body = []
        for following in lines[number + 1 :]:
            if following.strip() and len(following) - len(following.lstrip()) <= depth:
                break
            body.append(following)
        caption = re.search(r":(?:caption|name): (\S+)", body[0]) if body else None  # docutils alone knows no captions
        text = textwrap.dedent("\n".join(body[1:])).strip("\n") + "\n"
        yield Block(page, number + 1, match[2], match[3], text, caption[1] if caption else None)


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


traced = pytest.mark.skipif(engine.NAME != "native", reason="lines and calls are traced by the native engine only")


def marks_of(block):
    lacks = pytest.mark.skipif(bool(block.missing), reason=f"not installed: {', '.join(block.missing)}")
    return [lacks, traced] if block.traces else [lacks]


def of_kind(*kinds):
    blocks = [block for block in BLOCKS if block.runs and block.kind in kinds]
    return [pytest.param(block, id=str(block), marks=marks_of(block)) for block in blocks]


@dataclasses.dataclass
class Command:
    """A command line in a console block, with the output and the exit code that the page shows for it."""

    text: str
    output: list
    code: int = 0


def commands_of(block):
    commands = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            commands.append(Command(line[2:], []))
        else:
            commands[-1].output.append(line)
    for command, following in itertools.pairwise(commands):
        if following.text == "echo $?":
            command.code = int(following.output[0])
    return [command for command in commands if command.text != "echo $?"]


def labels(lines):
    """The first words of lines, without numbers, curves and indented lines."""
    return {match[0] for line in lines if (match := re.match(r"[A-Za-z][\w.\-]*", line))}


# -- running it ------------------------------------------------------------------------------------------------------


_COMMAND_WORDS = {"memkit": "-m memkit", "memkit-run": "-m memkit run", "mprof": "-m memkit.compat.mprof", "python": ""}


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    """Directories for PATH: the console scripts beside this interpreter, or replacements for them."""
    folder = tmp_path_factory.mktemp("programs")
    for name, words in _COMMAND_WORDS.items():
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        program.chmod(0o755)
    return f"{Path(sys.executable).parent}{os.pathsep}{folder}"


@pytest.fixture(scope="session")
def oneline(tmp_path_factory):
    """A directory with the plugin of the documentation installed."""
    target = tmp_path_factory.mktemp("site")
    source = tmp_path_factory.mktemp("source")  # a build leaves files behind in its source
    for file in ONELINE.iterdir():
        (source / file.name).write_bytes(file.read_bytes())
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet"]
    how = ["--no-deps", "--no-build-isolation", "--no-index", "--target", str(target)]
    done = subprocess.run([*pip, *how, str(source)], capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return target


def environment(programs, *folders):
    found = {name: value for name, value in os.environ.items() if not name.startswith("MEMKIT_") or name == "MEMKIT_ENGINE"}
    path = [*map(str, folders), *filter(None, [found.get("PYTHONPATH")])]
    found.update(PATH=f"{programs}{os.pathsep}{found.get('PATH', '')}", PYTHONPATH=os.pathsep.join(path))
    found.update(COLUMNS="80", PYTHONIOENCODING="utf-8")
    if not folders:
        found["MEMKIT_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # other plugins may be installed here
    return found


class Reader:
    """Runs the blocks of a page from the top, in an empty directory, as a reader would."""

    def __init__(self, page, folder, environment):
        self.folder, self._environment = folder, environment
        self._ahead = [block for block in BLOCKS if block.page == page]
        self._outcomes = {}

    def outcome(self, block):
        """The result of running a block: for each of its commands the command, exit code, output and errors."""
        while block.line not in self._outcomes:
            following = self._ahead.pop(0)
            self._outcomes[following.line] = self._do(following)
        return self._outcomes[block.line]

    def _do(self, block):
        if block.directive == "literalinclude":
            source = block.page.parent / block.kind
            (self.folder / source.name).write_bytes(source.read_bytes())
        elif block.caption:
            (self.folder / block.caption).write_text(block.text, encoding="utf-8")
        elif block.kind == "python":
            (self.folder / "example.py").write_text(block.text, encoding="utf-8")
            return [self._run(Command("python -W error example.py", []))]
        elif block.kind == "console" and not block.refused:
            return [self._run(command) for command in commands_of(block)]
        return []

    def _run(self, command):
        settings = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(
            ["sh", "-c", command.text], cwd=self.folder, env=self._environment, start_new_session=True, **settings
        ) as process:
            try:
                out, errors = process.communicate(timeout=300)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)  # with all that it has started
                raise
        code = process.returncode if process.returncode >= 0 else 128 - process.returncode  # some become their last command
        return command, code, out.decode(errors="replace"), errors.decode(errors="replace")


@pytest.fixture(scope="session")
def outcome(tmp_path_factory, programs, request):
    """A function that runs a block, after those before it on its page, in a directory of its own for each page."""
    readers = {}

    def run(block):
        if block.page not in readers:
            folders = [request.getfixturevalue("oneline")] if block.page.name == "plugins.rst" else []
            found = environment(programs, *folders)
            readers[block.page] = Reader(block.page, tmp_path_factory.mktemp(block.page.stem), found)
        return readers[block.page].outcome(block)

    return run


posix = pytest.mark.skipif(os.name != "posix", reason="the examples are written for a POSIX shell")


@posix
@pytest.mark.parametrize("block", of_kind("python"))
def test_every_python_example_in_the_docs_runs(block, outcome):
    for _, code, output, errors in outcome(block):
        assert code == 0, output + errors


@posix
@pytest.mark.parametrize("block", of_kind("console"))
def test_every_command_in_the_docs_runs_and_exits_as_the_page_says(block, outcome):
    for command, code, output, errors in outcome(block):
        assert code == command.code, f"$ {command.text}\n{output}{errors}"


@posix
@pytest.mark.parametrize("block", of_kind("console"))
def test_every_label_in_shown_output_is_in_the_real_output(block, outcome):
    for command, _, output, errors in outcome(block):
        missing = labels(command.output) - labels((output + errors).splitlines())
        assert not missing, f"$ {command.text}\n{output}{errors}"


def test_every_memkit_command_in_the_docs_is_in_a_block_that_runs():
    shown = [line for block in BLOCKS if not block.runs for line in block.text.splitlines()]
    assert [line for line in shown if re.match(r"\s*(\$ )?memkit(-run)? \S", line) and ": " not in line] == []


def test_every_file_that_a_page_defines_is_used_on_it():
    for block in BLOCKS:
        name = block.caption or (Path(block.kind).name if block.directive == "literalinclude" else None)
        if name and name != "conftest.py" and block.page.name != "plugins.rst":  # there it is installed instead
            others = [other for other in BLOCKS if other.page == block.page and other.kind == "console"]
            words = [
                word for other in others for command in commands_of(other) for word in re.split(r"[\s=:;]+", command.text)
            ]
            imported = any(
                re.search(rf"^import {Path(name).stem}$", other.text, re.M) for other in BLOCKS if other.page == block.page
            )
            assert name in words or imported, f"{block}: {name}"


SIZE = r"[\d.]+ (?:B|KiB|MiB|GiB)"
ROW = rf" +\d+ +[\d,]+ +[\d.]+ \S+ +(?:[+-]{SIZE}|0) +{SIZE} +(?:{SIZE}|0) +({SIZE}) "


def peaks_of_tables(block):
    """Of each table of lines that a block shows without gaps: the peak in its heading, and those of its rows."""
    for heading in re.finditer(rf"^\S+  .+:\d+  growth .*, peak ({SIZE})$", block.text, re.MULTILINE):
        table = re.split(r"\n\s*\n", block.text[heading.end() :])[0]
        rows = re.findall(f"^{ROW}", table, re.MULTILINE)
        if rows and not re.search(r"^ *\.\.\.\n *\S", table, re.MULTILINE):
            yield heading[1], rows


def test_the_tables_that_are_shown_agree_with_their_headings():
    shown = {str(block): tables for block in BLOCKS if (tables := list(peaks_of_tables(block)))}
    assert len(shown) >= 3
    for where, tables in shown.items():
        for peak, rows in tables:
            assert max(rows, key=parse_bytes) == peak, where


def test_no_span_that_is_shown_has_a_peak_above_that_of_its_program():
    found = []
    for block in BLOCKS:
        for command in commands_of(block) if block.runs and block.kind == "console" else []:
            text = "\n".join(command.output)
            peak = re.search(rf"^peak +({SIZE})", text, re.MULTILINE)
            spans = text.partition("\nspan  ")[2].partition("\n\n")[0]
            peaks = re.findall(rf"({SIZE})$", spans, re.MULTILINE)
            if peak and peaks:
                found.append(str(block))
                assert max(map(parse_bytes, peaks)) <= parse_bytes(peak[1]), f"{block}: {command.text}"
    assert len(found) >= 3


def test_no_example_shows_a_path_of_a_real_machine():
    for block in BLOCKS:
        paths = set(re.findall(r"(?<![\w.])/(?:home|tmp|root|work|Users)/\S*", block.text))
        assert all(path.startswith("/home/ada/") for path in paths), str(block)


# -- the plugin of the documentation ---------------------------------------------------------------------------------


@pytest.fixture
def tool(programs, oneline, tmp_path):
    """A function that runs ``python -m memkit`` in an empty directory, with the example plugin installed."""

    def run(*words, folders=(), stderr=subprocess.PIPE):
        words = [sys.executable, "-m", "memkit", *words]
        found = environment(programs, oneline, *folders)
        return subprocess.run(
            words, cwd=tmp_path, env=found, stdout=subprocess.PIPE, stderr=stderr, text=True, encoding="utf-8"
        )

    return run


def test_the_example_plugin_writes_its_line_after_a_run(tool, tmp_path):
    done = tool("run", "-q", "-o", "a.memkit", "--oneline", "a.txt", "-c", "import sys; sys.exit(3)")
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "")
    line = (tmp_path / "a.txt").read_text()
    assert re.fullmatch(r"-c import sys; sys\.exit\(3\): exited with code 3, [\d.]+ MiB, [\d.]+ \S+\n", line)


def test_the_example_plugin_writes_a_line_for_each_recording_of_a_report(tool):
    for name in ("a", "b"):
        assert tool("run", "-q", "-o", f"{name}.memkit", "-c", f"{name} = 1").returncode == 0
    done = tool("report", "-q", "--oneline", "-", "b.memkit", "a.memkit")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == ["-c b = 1", "-c a = 1"]


def test_the_example_plugin_does_nothing_without_its_option(tool):
    done = tool("run", "-q", "-o", "a.memkit", "-c", "pass")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_example_plugin_can_be_disabled(tool):
    done = tool("run", "-p", "no:oneline", "--oneline", "-", "-c", "pass")
    assert done.returncode == 2
    assert "unknown option '--oneline'" in done.stderr


HOOKS = [name for name in vars(hookspecs) if name.startswith("memkit_")]
PLUGINS = {
    block.caption.removesuffix(".py"): block for block in BLOCKS if block.page.name == "plugins.rst" and block.caption
}
"""The examples on the page about plugins: module -> block."""


@pytest.fixture
def with_example(tmp_path, tool):
    """A function that runs memkit with one of the other examples of the page about plugins installed."""

    def run(module, *words, **settings):
        folder = tmp_path / "further"
        about = folder / "further-1.0.dist-info"
        about.mkdir(parents=True, exist_ok=True)
        for name, block in PLUGINS.items():
            (folder / f"{name}.py").write_text(block.text, encoding="utf-8")
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: further\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[memkit]\nfurther = {module}\n")
        return tool(*words, folders=[folder], **settings)

    return run


def example_of_options(run, folder):
    words = ("memkit_budget", "run", "-q", "-o", "a.memkit", "--budget")
    assert run(*words, "1GiB", "-c", "pass").returncode == 0
    done = run(*words, "1MiB", "-c", "pass")
    assert done.returncode == 1
    assert re.match(
        r"memkit: plugin 'further' failed: the peak, [\d.]+ MiB, is above the budget; the recording", done.stderr
    )


def example_of_a_report(run, folder):
    for name, size in (("small", 1), ("large", 50)):
        assert run("memkit_highest", "run", "-q", "-o", f"{name}.memkit", "-c", f"b'x' * ({size} << 20)").returncode == 0
    done = run("memkit_highest", "report", "-q", "--highest", "small.memkit", "large.memkit")
    assert (done.returncode, done.stdout, done.stderr) == (0, "large.memkit\n", "")


def example_of_following(run, folder):
    # The program runs until its memory has been printed, but at most 30 s.
    program = "import os, time; any(os.path.getsize('told') or time.sleep(0.1) for _ in range(300)) or exit(1)"
    with open(folder / "told", "w") as told:
        done = run("memkit_tell", "run", "-q", "-o", "a.memkit", "--tell", "-c", program, stderr=told)
    assert done.returncode == 0
    assert re.match(r"[\d.]+ MiB\n", (folder / "told").read_text())


def example_of_a_meter(run, folder):
    program = "import python_heap, time; kept = bytes(50_000_000)"
    done = run("memkit_heap", "run", "-q", "-o", "a.memkit", "--meter", "python_heap", "-c", program)
    assert (done.returncode, done.stderr) == (0, "")
    recording = memkit.read(folder / "a.memkit")
    assert recording.about.meter == "python_heap"
    assert 50_000_000 <= recording.growth < 51_000_000


def example_of_a_command(run, folder):
    assert run("memkit_peak", "run", "-q", "-o", "a.memkit", "-c", "pass").returncode == 0
    done = run("memkit_peak", "peak", "a.memkit")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{memkit.read(folder / 'a.memkit').peak}\n", "")
    assert re.search("^  peak +Print the peak of a recording, in bytes.$", run("memkit_peak", "--help").stdout, re.MULTILINE)


def example_of_a_magic(run, folder):
    pytest.importorskip("IPython")
    program = (
        "from IPython.core.interactiveshell import InteractiveShell as Shell; shell = Shell.instance()\n"
        "shell.run_line_magic('load_ext', 'memkit'); print(shell.run_line_magic('rss', ''))"
    )
    done = run("memkit_rss", "run", "-q", "-o", "a.memkit", "-c", program)
    assert re.fullmatch(r"[\d.]+ MiB\n", done.stdout), done.stderr


EXAMPLES = {
    "memkit_add_options": example_of_options,
    "memkit_report": example_of_a_report,
    "memkit_follow": example_of_following,
    "memkit_meters": example_of_a_meter,
    "memkit_register_commands": example_of_a_command,
    "memkit_load_ipython": example_of_a_magic,
}


@posix
@pytest.mark.parametrize("hook", HOOKS)
def test_the_example_of_a_hook_does_what_the_page_says(hook, with_example, tmp_path):
    tried = set()

    def run(module, *words, **settings):
        tried.add(module)
        return with_example(module, *words, **settings)

    EXAMPLES[hook](run, tmp_path)
    [module] = tried
    assert f"def {hook}(" in PLUGINS[module].text
    assert f":caption: {module}.py" in sections_of("plugins.rst")[hook]


def test_the_example_of_a_wrapper_runs_around_the_reports(with_example, tmp_path):
    done = with_example("memkit_banner", "run", "-q", "-o", "a.memkit", "--csv", "-", "-c", "pass")
    assert (done.returncode, done.stderr) == (0, "")
    first, head, *_, last = done.stdout.splitlines()
    assert (first, last) == ("reports on 1 recordings", "end of reports")
    assert head == ",".join(samples_csv.HEAD)


# -- everything is documented ---------------------------------------------------------------------------------------


def text_of(name):
    return (DOCS / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", memkit.__all__)
def test_every_public_name_is_documented_in_the_reference(name):
    pages = text_of("reference/api.rst") + text_of("reference/errors.rst")
    assert re.search(rf"^\.\. (auto\w+|py:\w+):: memkit\.{name}(\(.*\))?$", pages, re.MULTILINE)


class Found(Exception):
    """A parser was about to parse."""


def options_of(command, monkeypatch):
    """The options of the parser of a command, in all their spellings."""

    def stop(parser, words):
        raise Found(parser)

    monkeypatch.setattr(argparse.ArgumentParser, "parse_known_args", stop)
    monkeypatch.setenv("MEMKIT_DISABLE_PLUGIN_AUTOLOAD", "1")
    with pytest.raises(Found) as found:
        main.main([command])
    return {name for action in found.value.args[0]._actions for name in action.option_strings}


def sections_of(page):
    """The sections of the second level: title -> text."""
    pieces = re.split(r"^(.+)\n-{3,}\n", text_of(page), flags=re.MULTILINE)
    return dict(zip(pieces[1::2], pieces[2::2]))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_a_command_is_documented_with_it(command, monkeypatch):
    sections = sections_of("reference/commands.rst")
    text = sections[f"memkit {command}"] + text_of("reference/commands.rst").split("memkit run\n---")[0]
    if command in ("run", "attach", "report", "snapshot"):
        text += sections["Reports"]
    options = options_of(command, monkeypatch)
    assert options > {"-h"}
    assert {option for option in options if not re.search(rf"(?<![\w-]){option}(?![\w-])", text)} == set()


def test_the_options_of_memkit_itself_are_documented(monkeypatch):
    assert "--version" in options_of("--version", monkeypatch)
    assert ".. option:: --version" in text_of("reference/commands.rst")


def test_every_option_that_is_documented_exists(monkeypatch):
    headings = re.findall(r"^\.\. option:: (.+)$", text_of("reference/commands.rst"), re.MULTILINE)
    documented = re.findall(r"(?<![\w-])--?[a-z][a-z-]*", " ".join(headings))
    existing = set().union(*(options_of(command, monkeypatch) for command in [*COMMANDS, "--version"]))
    assert set(documented) <= existing


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_with_its_parameters_and_their_types(hook):
    text = " ".join(sections_of("plugins.rst")[hook].split())
    assert f".. autofunction:: memkit.base.hookspecs.{hook} " in text
    for name, parameter in inspect.signature(getattr(hookspecs, hook)).parameters.items():
        assert f"``{name}: {parameter.annotation}``" in text.partition("Called")[0]
    assert " Process " in text.partition(" Called ")[2]


def test_every_row_of_the_journal_is_in_the_file_format():
    tags = re.findall(r"^``(\w+)`` ", file_format.__doc__, re.MULTILINE)
    assert {*TAKE, "memkit", "sample"} <= set(tags)
    rows = re.findall(
        r"^    \* - ``(\w+)``\n      - ", text_of("reference/journal.rst").split("The first row")[0], re.MULTILINE
    )
    assert rows == tags


@pytest.mark.parametrize("key", About._fields)
def test_every_key_of_the_first_row_is_in_the_file_format(key):
    assert re.search(rf"^    \* - .*``{key}``", text_of("reference/journal.rst").split("The first row")[1], re.MULTILINE)


def keys_in(value):
    if isinstance(value, dict):
        yield from value
        for each in value.values():
            yield from keys_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from keys_in(each)


def with_rows(recording):
    """The recording with made-up rows: a line, a call, a limit, a crossing, a sample of another process."""
    how, load = Tracing("monitoring", "perf", None, 30.0, 700.0, 3, 1), Function("load.py", "load", 1)
    line, call = Line(load, 2, 3, 4, 5, 6, 7), Call(0, None, load, 1, 2, 3, 4, 5, 6, 7, 8)
    crossing = Crossing(1, 2, 3, "rss", "report", (Stack(1, "a", (Frame("load.py", 1, "load"),)),))
    limits, totals, others = (Limit("RLIMIT_AS", 2, 1, "address space"),), (Total(1, 2, 3),), (Sample(1, 2, 3, 4),)
    recording = dataclasses.replace(recording, limits=limits, crossings=(crossing,), totals=totals, others=others)
    row = memkit.BalanceRow("c", "C blocks", 1, 0, (memkit.BalancePart("heap", 1),), None)
    recording = dataclasses.replace(recording, balances=(memkit.Balance(1, 1, (row,), (), 1, "end"),))
    return dataclasses.replace(recording, lines=(line,), tracing=how, calls=(call,), call_tracing=how)


def test_every_key_of_the_json_document_is_documented():
    with memkit.record() as run, memkit.span("here"):
        pass
    document = json.loads("".join(memkit.document(with_rows(run.recording))))
    del document["about"]  # the page refers to the file format
    assert {key for key in keys_in(document) if f"``{key}``" not in text_of("reference/json.rst")} == set()


def test_every_column_of_the_csv_file_is_documented_in_order():
    assert tuple(re.findall(r"^    \* - ``(\w+)``$", text_of("howto/numbers.rst"), re.MULTILINE)) == samples_csv.HEAD


def test_every_column_of_the_csv_file_of_lines_is_documented_in_order(tmp_path):
    with memkit.record() as run:
        pass
    lines.write_csv(with_rows(run.recording), str(tmp_path / "lines.csv"))
    head = (tmp_path / "lines.csv").read_text().splitlines()[0]
    assert ",".join(re.findall(r"^    \* - ``(\w+)``$", text_of("howto/lines.rst"), re.MULTILINE)) == head


def test_every_column_of_the_csv_file_of_calls_is_documented_in_order(tmp_path):
    with memkit.record() as run:
        pass
    call_paths.write_csv(with_rows(run.recording), str(tmp_path / "calls.csv"))
    head = (tmp_path / "calls.csv").read_text().splitlines()[0]
    assert ",".join(re.findall(r"^    \* - ``(\w+)``$", text_of("howto/calls.rst"), re.MULTILINE)) == head


def test_every_value_of_a_profile_of_pprof_is_documented():
    with memkit.record() as run:
        pass
    found = profile_proto.profile(b"".join(pprof.profile(with_rows(run.recording), by="peak")))
    names = {name for name, *_ in (*found.types, *pprof.HEAP)}
    assert names >= {"growth", "peak", "inuse_space"}
    text = text_of("howto/pictures.rst").partition(".. _pprof:")[2] + text_of("howto/heap.rst")
    assert {name for name in names if f"``{name}``" not in text} == set()


def test_every_column_of_the_event_log_is_documented_in_order():
    assert tuple(re.findall(r"^    \* - ``(\w+)``$", text_of("howto/log.rst"), re.MULTILINE)) == event_log.HEAD


def test_every_environment_variable_is_documented_and_exists():
    source = "".join(file.read_text(encoding="utf-8") for file in sorted((ROOT / "memkit").rglob("*.py")))
    read = set(re.findall(r"environ.get\(\"(MEMKIT_\w+)\"", source))
    documented = re.findall(r"^\.\. envvar:: (\w+)$", text_of("reference/environment.rst"), re.MULTILINE)
    assert sorted(documented) == sorted(read)


def test_every_page_can_be_reached():
    listed = {"index"}
    for page in DOCS.rglob("index.rst"):
        tree = page.read_text(encoding="utf-8").partition(".. toctree::")[2]
        listed |= {(page.parent / name).relative_to(DOCS).as_posix() for name in re.findall(r"^    ([\w/-]+)$", tree, re.M)}
    pages = {page.relative_to(DOCS).with_suffix("").as_posix() for page in DOCS.rglob("*.rst") if "_build" not in page.parts}
    assert pages == listed


def test_the_commands_of_the_readme_name_what_exists():
    readme = (ROOT / "README.rst").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    commands = re.findall(r"::\n\n    (.*)\n", readme.partition("Install\n")[0])
    assert len(commands) == 2
    assert set(re.findall(r"\.venv/bin/(\S+)", " ".join(commands))) - {"python"} <= set(project["scripts"])
    assert set(re.findall(r"\.\[(\w+)\]", readme)) <= set(project["optional-dependencies"])
    for path in re.findall(r"(?:docs/[\w./-]+|[A-Z]+\.rst)", readme):
        assert (ROOT / path.rstrip(".")).exists() or path == "docs/_build", path


def test_every_path_in_contributing_exists():
    text = (ROOT / "CONTRIBUTING.rst").read_text(encoding="utf-8")
    paths = set(re.findall(r"``((?:memkit|tests|docs|plugins|\.ci)/[\w./*-]*)``", text))
    assert len(paths) > 20
    assert [path for path in sorted(paths) if not any(ROOT.glob(path.rstrip("/")))] == []


def test_the_documentation_builds_without_a_warning(tmp_path):
    pytest.importorskip("sphinx")
    pytest.importorskip("furo")
    words = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-n", "-b", "html"]
    words += ["-d", str(tmp_path / "trees"), str(DOCS), str(tmp_path / "html")]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, encoding="utf-8")
    assert (done.returncode, done.stderr) == (0, "")
