"""The status line on a real terminal: the program's output is as without it, and the terminal is given back as it was."""

import os
import re
import signal
import subprocess
import sys
import termios
from pathlib import Path

import psutil
import pytest

from memkit.model import file_format
from memkit.run.terminal import BottomRow

pty = pytest.importorskip("pty")

from screen import Screen, Terminal  # noqa: E402

JOB = str(Path(__file__).parents[1] / "programs" / "job.py")
DRAWN = re.compile(r"[\d.]+ [KM]iB  peak [\d.]+ [KM]iB")


def drawn(screen):
    return DRAWN.search(screen.bottom) is not None


@pytest.fixture
def on_terminal(installed, script, tmp_path):
    """A function that runs a program under ``memkit-run --live`` in a terminal, ready to be talked to."""
    opened = []

    def run(text, *options, job=False, before=(), **settings):
        command = [*before, *installed, "-q", "-o", "run.memkit", *options, script(text)]
        terminal = Terminal([sys.executable, JOB, *command] if job else command, tmp_path, **settings)
        opened.append(terminal)
        return terminal

    yield run
    for terminal in opened:
        terminal.__exit__()


def given_back(terminal):
    """Whether nothing is left of the line: the whole screen scrolls, and the bottom row and the modes are as before."""
    screen = terminal.screen
    return screen.region == (0, screen.rows - 1) and not DRAWN.search(screen.bottom) and terminal.modes == terminal.before


WAIT = "print('ready', flush=True)\ninput()\nprint('over')\n"


def test_the_line_stands_on_the_bottom_row_while_the_program_runs(on_terminal):
    terminal = on_terminal(WAIT, "--live")
    terminal.until(drawn)
    assert terminal.screen.region == (0, 10)
    assert re.search(r"memkit  [\d.]+ MiB  peak [\d.]+ MiB(  left [\d.]+ \w+)?  \S+$", terminal.screen.bottom)
    terminal.type("\n")
    assert terminal.end() == 0
    assert given_back(terminal)
    assert terminal.screen.transcript == "ready\n\nover"


TALKATIVE = """
import sys, time
for number in range(40):
    sys.stdout.write(f"\\x1b[31mline {number}\\x1b[0m and more\\n")
    sys.stdout.flush()
    time.sleep(0.02)
for done in range(10):
    print(f"\\r{done} of 10", end="", flush=True)
    time.sleep(0.05)
print()
print("begun, ", end="", flush=True)
input()
print("over")
"""


def test_a_program_s_output_is_as_without_the_line(on_terminal):
    seen = []
    for options in ([], ["--live"]):
        terminal = on_terminal(TALKATIVE, *options)
        terminal.until(lambda screen: "begun" in screen.transcript)
        if options:
            terminal.until(drawn)
        terminal.type("x\n")
        assert terminal.end() == 0
        assert given_back(terminal)
        seen.append((terminal.screen.transcript, terminal.screen.column))
    assert seen[0] == seen[1]


def test_room_is_made_for_the_line_where_the_screen_is_full(on_terminal):
    lines = "\n".join(map(str, range(30)))  # before memkit runs: the first drawing may be before what a program prints
    terminal = on_terminal("input()", "--live", before=["/bin/sh", "-c", 'printf %s "$0" && exec "$@"', lines])
    terminal.until(drawn)
    assert terminal.screen.lines[-2] == "29"
    assert (terminal.screen.row, terminal.screen.column) == (10, 2)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("raise SystemExit(3)", 3),
        ("import os; os.kill(os.getpid(), 9)", 137),
        ("import os; os.kill(os.getppid(), 15); input()", 143),
        ("import os; os.killpg(0, 2); input()", 130),
    ],
)
def test_the_terminal_is_given_back_however_the_program_ends(on_terminal, text, code):
    terminal = on_terminal(f"print('ready', flush=True)\ninput()\n{text}", "--live")
    terminal.until(drawn)
    terminal.type("\n")
    assert terminal.end() == code
    assert given_back(terminal)


def test_an_interrupt_from_the_keyboard_gives_the_terminal_back(on_terminal):
    terminal = on_terminal(WAIT, "--live")
    terminal.until(drawn)
    terminal.type("\x03")
    assert terminal.end() == 130
    assert given_back(terminal)


def test_while_the_job_is_stopped_the_terminal_is_the_shell_s(on_terminal, tmp_path):
    terminal = on_terminal(WAIT, "--live", job=True)
    terminal.until(drawn)
    terminal.type("\x1a")
    terminal.until(lambda screen: "stopped" in screen.transcript)
    assert given_back(terminal)
    program = psutil.Process(file_format.origin(tmp_path / "run.memkit")[0])
    while program.status() != psutil.STATUS_STOPPED:  # it would read what is meant for the shell
        terminal.read(0.01)
    terminal.type("\n")
    terminal.until(drawn)
    terminal.type("\n")
    assert terminal.end() == 0
    assert given_back(terminal)


def test_a_program_that_reads_single_keys_has_the_whole_screen(on_terminal):
    text = """
import sys, termios, tty
print("ready", flush=True)
input()
before = termios.tcgetattr(0)
tty.setraw(0)
sys.stdin.buffer.raw.read(1)
termios.tcsetattr(0, termios.TCSANOW, before)
print("cooked", flush=True)
input()
"""
    terminal = on_terminal(text, "--live")
    terminal.until(drawn)
    terminal.type("\n")
    terminal.until(lambda screen: screen.region == (0, 11))
    before = len(terminal.seen)
    for _ in range(10):
        terminal.read(0.1)
    assert terminal.seen[before:] == ""
    terminal.type("x")
    terminal.until(lambda screen: "cooked" in screen.transcript and drawn(screen) and screen.region == (0, 10))
    terminal.type("\n")
    assert terminal.end() == 0
    assert given_back(terminal)


def test_the_line_follows_the_size_of_the_terminal(on_terminal):
    terminal = on_terminal(WAIT, "--live")
    terminal.until(drawn)
    terminal.screen.rows, terminal.screen.lines = 8, terminal.screen.lines[:8]
    terminal.screen.region = (0, 7)
    terminal.resize(8, 80)
    terminal.until(lambda screen: screen.region == (0, 6) and drawn(screen))
    terminal.type("\n")
    assert terminal.end() == 0
    assert given_back(terminal)


@pytest.mark.parametrize("pulls", [False, True])
@pytest.mark.parametrize("printed", [3, 11, 13, 40])
def test_nothing_of_the_line_stays_behind_when_the_terminal_becomes_larger(printed, pulls):
    ours, theirs = pty.openpty()
    screen, row = Screen(10, 40), BottomRow(theirs)

    def show():
        termios.tcsetwinsize(ours, (screen.rows, screen.columns))
        row.show(lambda columns: "status")
        screen.feed(os.read(ours, 4096).decode())
        assert screen.bottom == "status"

    try:
        show()
        screen.feed("".join(f"{number}\r\n" for number in range(printed)) + "asks: ")
        show()
        screen.enlarge(14, pulls)
        show()
        row.leave()
        screen.feed(os.read(ours, 4096).decode() + "answered")
    finally:
        os.close(ours)
        os.close(theirs)
    assert screen.transcript.split("\n") == [*map(str, range(printed)), "asks: answered"]


def test_a_narrow_terminal_gets_what_matters_most(on_terminal):
    terminal = on_terminal(WAIT, "--live", columns=14)
    terminal.until(lambda screen: re.fullmatch(r"[\d.]+ MiB", screen.bottom))


@pytest.mark.parametrize(("rows", "columns"), [(3, 80), (24, 11)])
def test_nothing_is_drawn_on_a_terminal_too_small(on_terminal, rows, columns):
    terminal = on_terminal("import time; time.sleep(1); print('over')", "--live", rows=rows, columns=columns)
    assert terminal.end() == 0
    assert terminal.seen == "over\r\n"


def test_no_colour_is_used_where_none_is_wanted(on_terminal):
    for environment, styled in (({}, True), ({"NO_COLOR": "1"}, False)):
        terminal = on_terminal(WAIT, "--live", **environment)
        terminal.until(drawn)
        assert ("\x1b[0;7m" in terminal.seen) is styled
        terminal.type("\n")
        assert terminal.end() == 0


NOTHING = "memkit-run: --live: there is no terminal to draw on, so nothing is drawn"


def test_a_terminal_that_can_do_nothing_is_left_alone(on_terminal):
    terminal = on_terminal("import time; time.sleep(0.6); print('over')", "--live", TERM="dumb")
    assert terminal.end() == 0
    assert terminal.seen == f"{NOTHING}\r\nover\r\n"


def test_without_a_terminal_one_line_says_so_and_the_run_goes_on(installed, script, tmp_path):
    name = script("print('over')\nraise SystemExit(3)")
    command = [*installed, "-q", "--live", name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, start_new_session=True)
    assert (done.returncode, done.stdout, done.stderr) == (3, "over\n", f"{NOTHING}\n")


def test_the_line_is_drawn_where_only_standard_error_goes_elsewhere(on_terminal, tmp_path):
    to_file = ["/bin/sh", "-c", 'exec "$@" 2> errors', "sh"]
    terminal = on_terminal(WAIT, "--live", before=to_file)
    terminal.until(drawn)
    terminal.type("\n")
    assert terminal.end() == 0
    assert (tmp_path / "errors").read_text() == ""
    assert given_back(terminal)


def test_a_job_in_the_background_draws_nothing(on_terminal):
    # The job that is in the foreground is the one that waits for us.
    behind = [sys.executable, "-c", "import os, sys; os.setpgid(0, 0); os.execv(sys.argv[1], sys.argv[1:])"]
    text = "import time; time.sleep(1); open('over', 'w')"
    terminal = on_terminal(text, "--live", before=["/bin/sh", "-c", '"$@" & wait; exit 0', "sh", *behind])
    assert terminal.end() == 0
    assert terminal.seen == ""


def test_output_that_is_held_holds_nobody_up(on_terminal, tmp_path):
    text = "import os, time\nprint('ready', flush=True)\ninput()\ntime.sleep(1)\nopen('over', 'w').close()\ninput()"
    terminal = on_terminal(text, "--live")
    terminal.until(lambda screen: "ready" in screen.transcript and drawn(screen))
    terminal.type("\n\x13")
    while not os.path.exists(tmp_path / "over"):
        terminal.read(0.05)
    os.kill(terminal.process.pid, signal.SIGTERM)
    terminal.type("\x11")
    assert terminal.end() == 143
    assert given_back(terminal)


def test_of_a_program_that_is_not_python_the_line_tells_its_processes(installed, tmp_path):
    command = [*installed, "-q", "-o", "run.memkit", "--live", "--program", "sh", "-c", "sleep 30 | cat; exit"]
    with Terminal(command, tmp_path) as terminal:
        terminal.until(lambda screen: re.search(r"  3 processes$", screen.bottom))
        terminal.type("\x03")
        assert terminal.end() == 130
        assert given_back(terminal)


def test_the_line_is_drawn_for_a_process_that_was_attached_to(tmp_path):
    other = subprocess.Popen(["sleep", "30"])
    try:
        command = [sys.executable, "-m", "memkit", "attach", "-q", "-o", "run.memkit", "--live", str(other.pid)]
        with Terminal(command, tmp_path) as terminal:
            terminal.until(drawn)
            terminal.type("\x03")
            assert terminal.end() == 0
            assert given_back(terminal)
    finally:
        other.kill()
        other.wait()
