"""The extension in real kernels of Jupyter, as a front end sees it."""

import os
import re
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from memkit.system import engine

pytest.importorskip("ipykernel", reason="needs a kernel of Jupyter: pip install ipykernel")
manager = pytest.importorskip("jupyter_client.manager", reason="needs a client of Jupyter: pip install nbclient")

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "notebook.ipynb"
LINE = re.compile(r"In \[(\d+)\] used (-?[\d.]+) MiB RAM in ([\d.]+)s, peaked ([\d.]+) MiB above current")
TAKE = """
import mmap
def touched(size):
    memory = mmap.mmap(-1, size << 20)
    memory[::4096] = b"x" * (len(memory) // 4096)
    return memory
def spike(size):
    touched(size).close()
"""
THREADS = """
import threading
kept = []
threads = [threading.Thread(target=lambda: kept.append(touched(4))) for _ in range(5)]
for each in threads: each.start()
for each in threads: each.join()
"""
traced = pytest.mark.skipif(engine.NAME != "native", reason="lines are traced by the native engine only")
WAIT = 120  # seconds, for a busy machine


class Kernel:
    """A kernel, and a client that runs cells in it."""

    def __init__(self):
        # What ipykernel and its event loop warn of is not memkit's.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
        self.manager = manager.KernelManager(kernel_name="python3")
        self.manager.start_kernel(env=environment)
        self._connect()

    def _connect(self):
        self._client = self.manager.blocking_client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=WAIT)

    def __call__(self, cell, meanwhile=None):
        """Run a cell; returns the messages of what it gave, without the state of the kernel."""
        self.found = []

        def take(message):
            self.found.append((message["msg_type"], message["content"]))
            if meanwhile is not None:
                meanwhile(message)

        reply = self._client.execute_interactive(cell, timeout=WAIT, output_hook=take)
        self.status = reply["content"]["status"]
        return [message for message in self.found if message[0] not in ("status", "execute_input")]

    def told(self, cell, **more):
        """Of the one line about a cell: its number, growth, time and peak."""
        lines = [match for _, content in self(cell, **more) for match in LINE.findall(str(content.get("data", content)))]
        texts = {line for line in lines}
        assert len(texts) == 1, lines  # the same as text and as HTML
        number, *rest = texts.pop()
        return int(number), *map(float, rest)

    def restart(self):
        self._client.stop_channels()
        self.manager.restart_kernel(now=True)
        self._connect()

    def close(self):
        self._client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def one_kernel(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        patch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        kernel = Kernel()
        yield kernel
        kernel.close()


@pytest.fixture
def kernel(one_kernel):
    """A kernel with the extension, in which cells are watched."""
    one_kernel("%reload_ext memkit.ipython")
    one_kernel(TAKE)
    one_kernel("%memwatch on")
    yield one_kernel
    one_kernel("%unload_ext memkit.ipython")
    one_kernel("%reset -f")


def kinds(messages):
    return [kind for kind, _ in messages]


def test_growth_peak_and_time_are_printed_after_the_cell(kernel):
    number, grew, took, _ = kernel.told("import time; kept = touched(40); time.sleep(0.3)")
    assert grew == pytest.approx(40, abs=0.5)
    assert took >= 0.3
    after, grew, _, _ = kernel.told("kept.close()")
    assert after == number + 1
    assert grew == pytest.approx(-40, abs=0.5)


@pytest.mark.skipif(engine.peaks()[0] != "reset", reason="needs exact peaks")
def test_a_transient_of_an_array_is_the_peak(kernel):
    pytest.importorskip("numpy")
    kernel("import numpy as np; np.ones(10).sum()")
    _, grew, _, peak = kernel.told("np.ones(50_000_000).sum()")
    assert abs(grew) < 2
    assert peak == pytest.approx(381.5, abs=1.5)


def test_the_line_has_a_curve_in_html_and_none_as_text(kernel):
    messages = kernel("import time; kept = touched(5); time.sleep(0.05)")
    assert kinds(messages) == ["display_data"]
    data = messages[0][1]["data"]
    assert set(data) == {"text/plain", "text/html"}
    assert data["text/plain"].startswith("In [")
    page = ElementTree.fromstring(data["text/html"])
    assert page.find("svg/polyline") is not None
    assert "".join(page.itertext()).strip() == data["text/plain"]


@pytest.mark.parametrize(
    ("cell", "status"),
    [
        ("kept = touched(20); 1 / 0", "error"),
        ("import asyncio\nawait asyncio.sleep(0.01)\nkept = touched(20)", "ok"),
        ("async def fail():\n    global kept\n    kept = touched(20)\n    1 / 0\nawait fail()", "error"),
        ("%%time\nkept = touched(20)", "ok"),
        (THREADS, "ok"),
    ],
    ids=["error", "await", "error after await", "time", "threads"],
)
def test_every_kind_of_cell_is_measured(kernel, cell, status):
    kernel("1 / 0")  # the first traceback loads what shows it
    _, grew, _, _ = kernel.told(cell)
    assert grew == pytest.approx(20, abs=3)
    assert kernel.status == status
    kernel("globals().pop('kept', None)")


def test_the_value_of_a_cell_comes_before_its_line(kernel):
    assert kinds(kernel("import time; time.sleep(0.05); kept = 7\nkept")) == ["execute_result", "display_data"]


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
def test_an_interrupted_cell_and_the_next_one_are_reported(kernel):
    def interrupt(message):
        if "begun" in str(message["content"].get("text", "")):
            kernel.manager.interrupt_kernel()

    # Not flushed: interrupted in there, the traceback is of many files, and reading these takes memory.
    cell = "import time\nkept = touched(20)\nprint('begun')\nwhile True: time.sleep(0.01)"
    _, grew, _, _ = kernel.told(cell, meanwhile=interrupt)
    assert kernel.status == "error"
    assert grew == pytest.approx(20, abs=3)
    assert kernel.told("kept.close()")[1] == pytest.approx(-20, abs=1)


def test_autoreload_still_works(kernel, tmp_path):
    module = tmp_path / "changing.py"
    module.write_text("value = 1\n")
    kernel(f"%load_ext autoreload\n%autoreload 2\nimport sys\nsys.path.insert(0, {str(tmp_path)!r})\nimport changing")
    module.write_text("value = 23\n")
    os.utime(module, (time.time() + 5, time.time() + 5))
    kernel.told("found = changing.value")
    assert kernel("found")[0][1]["data"]["text/plain"] == "23"
    kernel("%autoreload 0\n%unload_ext autoreload")


def test_a_reset_leaves_one_watcher(kernel):
    kernel("%reset -f")
    kernel("%memwatch on")
    kernel.told("1")


def test_memit_prints_its_line(kernel):
    kind, content = kernel("%memit [0] * 10**6")[0]
    assert kind == "stream"
    assert re.fullmatch(r"peak memory: [\d.]+ MiB, increment: [\d.]+ MiB(?: \(sampled\))?\n", content["text"])


@traced
def test_the_lines_of_a_function_of_a_cell_are_shown_in_both_ways(kernel):
    kernel("def double(size):\n    return [0] * size")
    messages = kernel("%mprun -f double double(10)")
    data = messages[0][1]["data"]
    assert "return [0] * size" in data["text/plain"]
    assert "return [0] * size" in "".join(ElementTree.fromstring(data["text/html"]).itertext())


def test_a_recorded_cell_is_shown_with_its_plot(kernel):
    messages = kernel("%%memkit --out run\nkept = touched(30)\nkept.close()\n'done'")
    assert kinds(messages)[:2] == ["display_data", "execute_result"]
    data = messages[0][1]["data"]
    assert "finished" in data["text/plain"]
    assert ElementTree.fromstring(data["text/html"]).find(".//svg") is not None
    again = kernel("run")[0][1]["data"]
    assert again["text/html"] in data["text/html"]  # where no lines can be traced, the cell says so below


def test_a_report_is_one_text_on_its_stream_and_named_after_the_cell(kernel):
    kernel("%memwatch off\nimport contextlib, io, memkit")
    [(kind, content)] = kernel("with memkit.record() as run: kept = touched(30)\nmemkit.report(run.recording)\nkept.close()")
    assert (kind, content["name"]) == ("stream", "stdout")
    first, *lines = content["text"].splitlines()
    assert re.fullmatch(r"memkit   In \[\d+\]: finished", first)
    assert lines[-1].startswith("cost ") and "\x1b" not in content["text"]
    assert max(len(line) for line in lines if "┤" in line) <= 100
    assert kernel("with contextlib.redirect_stdout(io.StringIO()) as out: memkit.report(run.recording)") == []
    assert first in kernel("out.getvalue()")[0][1]["data"]["text/plain"]


@traced
def test_the_table_of_a_decorated_function_is_one_text_on_stderr(kernel):
    kernel("%memwatch off\nimport memkit")
    [(kind, content)] = kernel("@memkit.profile\ndef double(size):\n    return [0] * size\ndouble(5);")
    assert (kind, content["name"]) == ("stream", "stderr")
    assert "return [0] * size" in content["text"] and "\x1b" not in content["text"]


@traced
def test_the_tree_of_calls_has_no_threads_of_the_kernel(kernel):
    kernel("%%memkit --calls --out run\ndef take():\n    return touched(1)\nprint('said', flush=True)\ntake().close()")
    kernel("names = {call.function.name for depth, call in run.walk() if depth < 2}")
    assert "IOPub" not in kernel("names")[0][1]["data"]["text/plain"]
    assert "take" in kernel("{call.function.name for call in run.calls}")[0][1]["data"]["text/plain"]


def test_a_refused_option_is_one_line(kernel):
    kernel("%memwatch off")
    for cell in ("%memwatch maybe", "%memit", "%mprun f()", "%%memkit --lin\n1"):
        texts = [content["text"] for kind, content in kernel(cell) if kind == "stream"]
        assert len(texts) == 1
        assert re.fullmatch(r"UsageError: .+\n", texts[0])


def test_nothing_is_left_after_a_restart(kernel):
    kernel.restart()
    assert kinds(kernel("kept = 1")) == []
    assert kinds(kernel("%load_ext memkit\nkept = 1")) == []


def test_the_notebook_of_the_documentation_runs(tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient", reason="needs nbclient: pip install nbclient")
    pytest.importorskip("numpy")
    if engine.NAME != "native":
        pytest.skip("it traces lines")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    notebook = nbformat.read(EXAMPLE, as_version=4)
    assert notebook.cells
    nbclient.NotebookClient(notebook, timeout=WAIT, kernel_name="python3").execute()  # raises where a cell does
    shown = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    pages = [output["data"]["text/html"] for output in shown if "text/html" in output.get("data", {})]
    assert sum("<table" in page for page in pages) >= 2
    assert not any("<script" in page for page in pages)


@pytest.mark.parametrize(("suffix", "kind"), [("png", "image/png"), ("svg", "image/svg+xml")])
def test_a_picture_of_a_cell_is_shown_below_it(kernel, tmp_path, suffix, kind):
    pytest.importorskip("matplotlib", reason="draws pictures")
    path = tmp_path / f"cell.{suffix}"
    found = kernel(f"%%memkit --plot {path}\nkept = touched(4)")
    shown = [content["data"] for message, content in found if message == "display_data" and kind in content["data"]]
    assert len(shown) == 1 and path.exists()
    printed = "".join(content["text"] for message, content in found if message == "stream")
    assert f"wrote    {path}" in printed
    quiet = kernel(f"%%memkit -q --plot {path}\nkept = touched(4)")
    assert not any(message == "display_data" and kind in content["data"] for message, content in quiet)
