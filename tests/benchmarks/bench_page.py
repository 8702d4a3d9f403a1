"""Measures pages: how large one is, how long it takes to make, and until it can be used in Chromium; beside its peers.

Targets: a page of 3 MB is ready within 1 s; no page is larger. The program is a pandas pipeline under ``--lines --calls
--heap``; the large page is of a made-up tree of 100,000 calls, a day of samples and 500 processes. Ready is, of memkit's
page, when its first view is drawn; of the others, the browser's ``load`` event: what they ask servers for is refused here.

Needs playwright, a Chromium, pandas, and memray and scalene for their rows. ``python bench_page.py 9``: nine rounds.
"""

import random
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import memkit
from memkit.model.calls import Call, Function
from memkit.model.recording import Process, Sample

ROUNDS = 5
PROGRAM = """
import io
import numpy, pandas

def make(count):
    numbers = numpy.random.default_rng(1)
    return pandas.DataFrame({"key": numbers.integers(0, 1000, count), "value": numbers.normal(size=count)})

def enrich(frame):
    return frame.merge(frame.groupby("key")["value"].mean().rename("mean"), on="key")

text = make(200_000).to_csv(index=False)
enrich(pandas.read_csv(io.StringIO(text))).describe()
"""
READY = "document.documentElement.dataset.ready === '1'"


def large():
    """A recording of a day, of 500 processes and 100,000 paths of calls."""
    chance = random.Random(1)
    with memkit.record() as run:
        pass
    calls, others, processes = [], [], list(run.recording.processes)
    for id in range(100_000):
        size = chance.randrange(1 << 24)
        parent = None if id == 0 else chance.randrange(max(0, id - 60), id)
        function = Function(f"/srv/app/module{id % 90}.py", f"function_{id % 900}", id % 900)
        calls.append(Call(id, parent, function, 1, 9, size, size, size, size, size, size, size, size))
    for pid in range(500):
        begun = pid * 170 * 10**9
        processes.append(Process(pid + 10, 1, f"python worker.py {pid}", begun, begun + 10**12, memkit.Ending("ok")))
        others += [Sample(begun + at * 10**9, pid + 10, size := chance.randrange(1 << 29), size) for at in range(1000)]
    samples = [Sample(at * 10**8, run.recording.about.pid, size := chance.randrange(1 << 30), size) for at in range(864_000)]
    others.sort()
    return replace(
        run.recording, calls=tuple(calls), others=tuple(others), samples=tuple(samples), processes=tuple(processes)
    )


def timed(words, folder):
    began = time.perf_counter()
    subprocess.run(words, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def made(folder):
    """The pages, each with the seconds that it took to make from what was recorded."""
    (folder / "program.py").write_text(PROGRAM)
    python = [sys.executable, "-m"]
    run = ["memkit", "run", "-q", "--lines", "--calls", "--heap", "-o", "a.memkit", "program.py"]
    subprocess.run([*python, *run], cwd=folder, check=True)
    yield "memkit", folder / "a.html", timed([*python, "memkit", "report", "-q", "--html", "a.html", "a.memkit"], folder)
    began = time.perf_counter()
    (folder / "large.html").write_text("".join(memkit.html_page(large())))
    yield "memkit, large", folder / "large.html", time.perf_counter() - began
    if find_spec("memray"):
        subprocess.run([*python, "memray", "run", "-q", "-o", "a.bin", "program.py"], cwd=folder, check=True)
        yield "memray", folder / "b.html", timed([*python, "memray", "flamegraph", "-f", "-o", "b.html", "a.bin"], folder)
    if find_spec("scalene"):
        subprocess.run(
            [*python, "scalene", "run", "-o", "c.json", "program.py"], cwd=folder, check=True, capture_output=True
        )
        seconds = timed([*python, "scalene", "view", "--standalone", "c.json"], folder)
        yield "scalene", folder / "scalene-profile.html", seconds


def main(rounds=ROUNDS):
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        print(f"{'':16}{'size':>12}{'made in':>10}{'ready in':>10}")
        for name, path, seconds in made(Path(folder)):
            times = []
            for _ in range(int(rounds)):
                page = browser.new_page()
                page.route("http*://**", lambda route: route.abort())
                began = time.perf_counter()
                page.goto(f"file://{path}", wait_until="load")
                if name.startswith("memkit"):
                    page.wait_for_function(READY)
                times.append(time.perf_counter() - began)
                page.close()
            print(f"{name:16}{path.stat().st_size / 1e6:9.2f} MB{seconds:8.2f} s{median(times):8.2f} s")
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:2])
