"""The page in a real browser: each view is drawn and answers, nothing leaves the page, and no text of a program is run."""

import os
import random
import re
import shutil
from dataclasses import replace

import pytest

import memkit
from memkit.model.calls import Call, Function, Handed
from memkit.model.heap import Heap, HeapErrors, HeapTotal
from memkit.model.limit_events import Crossing, Frame, GroupUse, Stack, StackSnapshot
from memkit.model.lines import Line
from memkit.model.recording import Process, Sample, Span, Total
from memkit.report.comparing import page as comparison_page
from memkit.report.page.build import html_page
from memkit.system.limit import Limit

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium: apt-get install chromium"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

MIB, MS = 1 << 20, 1_000_000
DASK_0 = ["Dask", "worker", "0", "on", "m7"]
HOSTILE = "</script><img src=x onerror=window.ran=1>\u202e\x07"


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


class Opened:
    """A page that was opened, and what went wrong in it."""

    def __init__(self, browser, path, scheme="light"):
        self.context = browser.new_context(color_scheme=scheme, viewport={"width": 1300, "height": 900})
        self.page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.wrong = []
        self.page.on("console", lambda message: self.wrong.append(message.text) if message.type != "log" else None)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda request: None if request.url.startswith("file:") else self.wrong.append(request.url))
        self.path = path

    def go(self, address=""):
        self.page.goto("about:blank")
        self.page.goto(f"file://{self.path}{address}")
        self.page.wait_for_selector("html[data-ready='1']", state="attached")
        return self.page


@pytest.fixture
def opened(browser, tmp_path):
    """A function that opens the page of a recording; nothing may have gone wrong in it at the end."""
    made = []

    def open_(recording, scheme="light", **options):
        path = tmp_path / f"page{len(made)}.html"
        path.write_text("".join(html_page(recording, **options)), encoding="utf-8")
        made.append(Opened(browser, path, scheme))
        return made[-1]

    yield open_
    for each in made:
        assert each.wrong == []
        each.context.close()


def heap(size):
    return Heap(2 * size, size, size // 2, size // 4, 10, 5)


def balance(moment, size):
    part = size * MIB // 4
    rows = (
        memkit.BalanceRow("c", "C", 3 * part, 0, (memkit.BalancePart(HOSTILE, 3 * part),), "hold less"),
        memkit.BalanceRow("unexplained", "unexplained", part, 0, (), None),
    )
    return memkit.Balance(4242, size * MIB, rows, (), 60 * MS, moment)


@pytest.fixture
def recording(made_up, tmp_path):
    """A recording that has something of everything, and hostile names in all of it."""
    program = tmp_path / "app.py"
    program.write_text("def work():\n    kept = [bytes(100)]  # the worst line\n    return kept\n")
    os.utime(program, (1, 1))
    root, work = Function("", "<thread MainThread>", 0), Function(str(program), "work", 1)
    library, odd = Function("/usr/lib/python3.13/json/__init__.py", "loads", 9), Function(HOSTILE, HOSTILE, 3)
    rows = [
        (0, None, root, 90, 0),
        (1, 0, work, 80, 20),
        (2, 1, library, 70, 30),
        (3, 2, odd, 40, 40),
        (4, 0, odd, -10, -10),
    ]
    calls = [
        Call(id, parent, function, 1, 3, 50 * MS, whole * MIB, 9 * MS, own * MIB, (100 + whole) * MIB, (90 + own) * MIB)
        for id, parent, function, whole, own in rows
    ]
    calls = [
        call._replace(
            rise=abs(call.growth), rises=abs(call.growth), heap=heap(abs(call.growth)), own_heap=heap(abs(call.own_growth))
        )
        for call in calls
    ]
    pooled = Function("", "<thread pool>", 0)
    calls.append(calls[4]._replace(id=5, parent=1, function=pooled, handed=Handed(None, pooled), growth=MIB, own_growth=MIB))
    lines = [
        Line(work, number, 3, number * MS, number * 9 * MIB, 50 * MIB, 99 * MIB, number * MIB, number * MIB)
        for number in (1, 2, 3)
    ]
    lines[1] = lines[1]._replace(growth=70 * MIB, heap=heap(70 * MIB), own_heap=heap(70 * MIB))
    stacks = (Stack(1, HOSTILE, (Frame(str(program), 2, "work"), Frame(HOSTILE, 1, HOSTILE))),)
    inside = (
        memkit.SpanInside((work,), 2, 45 * MIB, 44 * MIB),
        memkit.SpanInside((root, work, odd), None, 9 * MIB, 60 * MIB),
    )
    spans = [
        Span("load", 1, 0, 10 * MS, 40 * MS, 10 * MIB, 60 * MIB, 70 * MIB, overlapped=True)._replace(inside=inside),
        Span(HOSTILE, 1, 1, 50 * MS, None, 10 * MIB, None, 20 * MIB),
    ]
    ended = memkit.Ending("killed", HOSTILE, None, 9)
    found = made_up(*[(at, 10 + at, 12 + at) for at in range(100)], spans=spans, argv=("app.py", HOSTILE))
    samples = [Sample(at * MS, 77, (5 + at) * MIB, (5 + at) * MIB) for at in range(20, 60)]
    return replace(
        found,
        calls=tuple(calls),
        lines=tuple(lines),
        call_tracing=memkit.Tracing("monitoring", "perf", None, 50.0, 900.0, 10_000, 20),
        tracing=memkit.Tracing("monitoring", "perf", None, 50.0, 900.0, 10_000, 20),
        heap=HeapTotal("python, c", 50 * MIB, 60 * MIB, 0),
        others=tuple(samples),
        totals=tuple(Total(at * MS, (20 + at) * MIB, (30 + at) * MIB, 2 * MIB) for at in range(100)),
        summed="pss",
        processes=(
            Process(4242, 1, f"app.py {HOSTILE}", 0, 99 * MS, ended),
            Process(77, 4242, f"worker {HOSTILE}", 20 * MS, 60 * MS, memkit.Ending("exited", code=3)),
        ),
        ending=ended,
        limits=(Limit("cgroup /jobs", 256 * MIB, 20 * MIB, "cgroup"),),
        group=tuple(GroupUse(at * MS, "cgroup /jobs", (40 + at) * MIB) for at in range(0, 100, 10)),
        crossings=(Crossing(60 * MS, 70 * MIB, 64 * MIB, "rss", "report", stacks),),
        snapshot=StackSnapshot(90 * MS, stacks),
        balances=tuple(balance(moment, size) for moment, size in (("peak", 80), ("end", 40))),
    )


TABS = ("overview", "lines", "calls", "made-of", "processes", "about")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_each_view_is_drawn(opened, recording, scheme):
    place = opened(recording, scheme)
    for name in TABS:
        page = place.go(f"#{name}")
        panel = page.locator(f"#panel-{name}")
        assert panel.is_visible() and len(panel.inner_text()) > 40
        assert page.locator("[role=tab][aria-selected=true]").get_attribute("id") == f"tab-{name}"
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background)[:3])) > 380) == (scheme == "light")


def test_hostile_names_are_shown_and_never_run(opened, recording):
    place = opened(recording)
    for name in TABS:
        page = place.go(f"#{name}")
        assert page.evaluate("window.ran") is None
        assert page.locator("main img").count() == 0
    shown = "</script><img src=x onerror=window.ran=1>\\x202e\\x07"
    for name in ("calls?libraries=show", "processes", "overview"):
        assert shown in place.go(f"#{name}").locator(f"#panel-{name.partition('?')[0]}").inner_text()


def painted(page, selector):
    """How many different colours a canvas has."""
    script = """canvas => {
        const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        const found = new Set();
        for (let at = 0; at < data.length; at += 4) found.add(data[at] << 16 | data[at + 1] << 8 | data[at + 2]);
        return found.size;
    }"""
    return page.locator(selector).first.evaluate(script)


def test_what_was_inside_the_worst_span_is_below_the_spans(opened, recording):
    page = opened(recording).go("#overview")
    head = page.locator("p:has-text('inside it')")
    text = "load rose 60.0 MiB and grew +50.0 MiB in 30.0 ms, with all that overlapped it; inside it"
    assert head.inner_text() == text
    rows = page.locator("p:has-text('inside it') + ul li").all_inner_texts()
    assert rows[0].startswith("60.0 MiB rise, +9.0 MiB own growth: ") and rows[0].endswith(" < work")
    assert rows[1] == "44.0 MiB rise, +45.0 MiB growth: app.py:2 work"
    page.locator("p:has-text('inside it') + ul a").nth(1).click()
    assert "#lines?find=work" in page.url


def test_a_label_that_leaks_is_told_with_the_line_that_grew(opened, recording, tmp_path):
    def inside(line, alive, allocated, grown):
        function = memkit.Function(str(tmp_path / HOSTILE), HOSTILE, 1)
        return memkit.HeapInside((function,), line, Heap(allocated, allocated - alive, alive, 0, 1, 0), grown)

    lines = inside(9, 90 * MIB, 95 * MIB, 0), inside(7, 4 * MIB, 5 * MIB, 3 * MIB), inside(8, 0, 500 * MIB, 0)
    found = replace(
        recording,
        spans=(),
        span_heaps=(memkit.SpanHeap((HOSTILE,), Heap(600 * MIB, 506 * MIB, 0, None, 9, 9), 3 * MIB, lines),),
        span_sums=(memkit.SpanSums(HOSTILE, 2000, 0, *[None] * 6, 25, tuple(range(0, 41 * 2500, 2500))),),
    )
    page = opened(found).go("#overview")
    leak = page.locator("p:has-text('leak: ')").inner_text()
    assert "kept 100 B a span" in leak and ":7 " in leak
    assert "; 3.0 MiB of 3.0 MiB since about half of its spans had ended: " in leak
    rows = page.locator("p:has-text('allocated by') + ul li").all_inner_texts()
    assert [row.partition(": ")[0] for row in rows] == ["4.0 MiB alive, 5.0 MiB allocated", "0 B alive, 500.0 MiB allocated"]
    [heap] = found.span_heaps
    page = opened(replace(found, span_heaps=(heap._replace(grown=9 * MIB),))).go("#overview")
    leak = page.locator("p:has-text('leak: ')").inner_text()
    assert "; 6.0 MiB of 9.0 MiB since about half of its spans had ended: code that is not traced; --heap --calls" in leak
    assert "; 3.0 MiB of 9.0 MiB since about half of its spans had ended: " in leak and ":7 " in leak


def test_the_curve_tells_what_was_at_a_moment(opened, recording):
    page = opened(recording).go("#overview")
    assert painted(page, "#panel-overview canvas") > 8
    over = page.locator("#panel-overview .u-over").first
    box = over.bounding_box()
    over.hover(position={"x": box["width"] * 0.3, "y": 100})
    assert re.search(r"\d+(\.\d+)? ms: \d+\.\d MiB.* in load", page.locator(".hover").inner_text())
    over.click(position={"x": box["width"] * 0.95, "y": 100})
    assert "Stacks at 90.0 ms" in page.locator("#stacks").inner_text()
    assert "the worst line" in page.locator("#stacks").inner_text()


def test_the_curve_is_zoomed_by_buttons_and_keys(opened, recording):
    page = opened(recording).go("#overview")
    page.wait_for_selector("#panel-overview canvas")
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")  # it is drawn
    before = page.locator("#panel-overview canvas").first.evaluate("canvas => canvas.toDataURL()")
    page.get_by_role("button", name="Zoom in").first.click()
    page.wait_for_function("before => document.querySelector('#panel-overview canvas').toDataURL() !== before", arg=before)
    page.locator("#panel-overview .curve").first.press("0")
    page.wait_for_function("before => document.querySelector('#panel-overview canvas').toDataURL() === before", arg=before)


def test_lines_have_source_heat_and_columns(opened, recording):
    page = opened(recording).go("#lines")
    table = page.locator("#panel-lines table").first
    assert table.locator("th").all_inner_texts()[1:] == [
        *("line", "hits", "time", "growth", "rise", "peak", "allocated", "alive", "alive at the peak", "temporary", "source")
    ]
    row = table.locator("tr", has_text="the worst line")
    assert "+70.0 MiB" in row.inner_text() and row.locator(".tc").inner_text() == "# the worst line"
    assert row.locator("td.heat").evaluate("cell => cell.style.background") != ""
    page.locator("#worst").click()
    assert "the worst line" in page.locator("tr.chosen").inner_text()
    page.get_by_role("button", name="All lines in one table").click()
    head = page.locator("#panel-lines th", has_text="hits")
    page.get_by_role("button", name="hits").click()
    assert head.get_attribute("aria-sort") == "descending"
    page.get_by_role("button", name="hits").click()
    assert head.get_attribute("aria-sort") == "ascending"


def test_calls_are_searched_and_counted(opened, recording):
    page = opened(recording).go("#calls?libraries=show")
    page.locator("#find").fill("loads")
    assert page.locator("#matches").inner_text() == "1 match, +30.0 MiB of their own"
    assert "find=loads" in page.url
    page.locator("#find").press("Enter")
    assert "loads" in page.locator(".tree tr.chosen").inner_text()
    assert "loads" in page.locator("#frame").inner_text()
    page.locator("#reset").click()
    page.locator("#find").fill("loads")
    assert page.locator("#matches").inner_text() == "0 matches; 1 in libraries, which are hidden"
    page.locator("#reset").click()
    page.wait_for_function("document.querySelector('#find').value === ''")  # once the address has changed
    assert page.url.endswith("#calls?by=growth")


def test_calls_are_zoomed_by_a_click_on_a_box(opened, recording):
    page = opened(recording).go("#calls")
    canvas = page.locator(".icicle canvas")
    assert painted(page, ".icicle canvas") > 4
    canvas.click(position={"x": 20, "y": 31})
    assert "at=1" in page.url
    assert "work" in page.locator("#frame").inner_text() and "the worst line" in page.locator("#frame").inner_text()
    canvas.press("ArrowUp")
    assert "MainThread" in page.locator(".tree tr.chosen").inner_text()


def rows(page):
    return [re.sub(r"\s+", " ", text.strip()) for text in page.locator(".tree tbody tr").all_inner_texts()]


def test_calls_without_libraries_count_with_their_callers(opened, recording):
    place = opened(recording)
    with_ = rows(place.go("#calls?libraries=show"))
    without = rows(place.go("#calls"))
    assert any("loads" in row for row in with_) and not any("loads" in row for row in without)
    [work] = [row for row in without if "work" in row]
    assert work.startswith("+80.0 MiB +50.0 MiB 3")  # its own 20 and 30 of what it called in a library


def test_calls_turned_round_have_callers_below(opened, recording):
    page = opened(recording).go("#calls?libraries=show")
    page.get_by_role("button", name="Callers").click()
    assert "invert=1" in page.url
    first = page.locator(".tree tbody tr").first
    assert "loads" in first.inner_text() or "onerror" in first.inner_text()
    page.locator("#by").select_option("peak")
    assert page.get_by_role("button", name="Callers").is_disabled()


def test_calls_are_shown_by_all_that_was_measured(opened, recording):
    page = opened(recording).go("#calls")
    assert page.locator("#by option").all_inner_texts() == [
        *("growth", "rise", "peak", "time", "allocated", "alive at the peak", "alive", "temporary")
    ]
    page.locator("#by").select_option("heap")
    assert page.locator(".tree th").first.inner_text() == "alive"
    assert rows(page)[0].startswith("90.0 MiB")


def test_work_that_was_handed_over_is_marked(opened, recording):
    page = opened(recording).go("#calls")
    page.locator("#find").fill("thread pool")
    page.locator("#find").press("Enter")
    assert "↷ <thread pool>" in page.locator(".tree tr.chosen").inner_text()


def test_a_link_opens_the_view_that_it_names(opened, recording):
    page = opened(recording).go("#calls?by=rise&find=work")
    assert page.locator("#by").input_value() == "rise"
    assert page.locator("#find").input_value() == "work"
    assert page.locator("#matches").inner_text() == "1 match"


def test_processes_open_their_own_curve(opened, recording):
    page = opened(recording).go("#processes")
    row = page.locator("#panel-processes tbody tr", has_text="worker")
    assert "exited with code 3" in row.inner_text() and "64.0 MiB" in row.inner_text()
    row.press("Enter")
    assert page.locator("#panel-processes h2").last.inner_text().startswith("77: worker")
    assert painted(page, "#panel-processes canvas") > 3


def test_what_memory_was_made_of_is_a_bar_and_its_rows(opened, recording):
    page = opened(recording).go("#made-of")
    assert [text[:12] for text in page.locator("#panel-made-of h2").all_inner_texts()] == ["near the pea", "at the end: "]
    widths = [part.bounding_box()["width"] for part in page.locator("#panel-made-of .bar").first.locator("div").all()]
    assert widths[0] == pytest.approx(3 * widths[1], rel=0.02)
    row = page.locator("#panel-made-of tr").first.inner_text()
    assert "60.0 MiB" in row and "75.0 %" in row and "the paths and lines that follow say" in row


@pytest.fixture
def cluster(made_up):
    """A recording of two workers of one machine and one of another, of which the highest was killed; hostile names in it."""
    about = made_up((0, 20), (100, 30))
    killed = memkit.Ending("killed", "95% memory budget", signal=9, finished=False)
    workers = [(7, "Dask worker 0", 90, killed, 120), (8, f"Dask worker {HOSTILE}", 60, memkit.Ending("ok"), None)]
    lanes = [
        Sample(at * MS, pid, size * at * MIB // 90, size * at * MIB // 90)
        for pid, _, size, _, _ in workers
        for at in range(91)
    ]
    return replace(
        about,
        others=tuple(sorted(lanes, key=lambda sample: sample.time)),
        processes=(
            *about.processes,
            *(
                Process(pid, 4242, f"{name} on machine m{pid}", 0, 95 * MS, ending, None, limit and limit * MIB)
                for pid, name, _, ending, limit in workers
            ),
        ),
        spans=(
            Span("sum", 1, 0, 80 * MS, None, 80 * MIB, None, 90 * MIB, (("key", "sum-1"),), process=7),
            Span(HOSTILE, 1, 0, 20 * MS, 30 * MS, 10 * MIB, 12 * MIB, 20 * MIB, (("key", HOSTILE),), process=8),
        ),
        crossings=(Crossing(70 * MS, 70 * MIB, 64 * MIB, f"Pausing {HOSTILE}", "report", process=7),),
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_workers_are_drawn_with_who_was_worst_and_who_died(opened, cluster, scheme):
    page = opened(cluster, scheme).go("#workers")
    panel = page.locator("#panel-workers")
    worst = panel.locator("#worst-worker").inner_text()
    assert "Highest: Dask worker 0 on m7, 90.0 MiB at 90.0 ms, 75 % of its limit of 120.0 MiB; it ran sum then." in worst
    assert "killed by SIGKILL (95% memory budget) at 95.0 ms; it was in sum" in panel.locator("#died").inner_text()
    assert panel.locator(".lane").count() == 2 and panel.locator(".lane .death").count() == 1
    assert panel.locator(".lane .limit").count() == 2  # its own limit, and the threshold that was reached
    assert "Pausing" in panel.locator(".lane .crossing title").text_content()
    assert page.evaluate("window.ran") is None
    rows = panel.locator("table[aria-label='Tasks by label'] tbody tr").all_inner_texts()
    assert rows[0].split() == ["sum", "unfinished", "10.0", "MiB", *DASK_0, "80.0", "ms", "sum-1"]


def test_a_worker_is_opened_by_keyboard_and_by_its_address(opened, cluster):
    page = opened(cluster).go("#workers")
    page.locator(".lane").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_selector("#worker")
    assert page.evaluate("location.hash") == "#workers?worker=2"
    page.wait_for_function("document.activeElement.classList.contains('lane')")
    page.keyboard.press("Enter")
    page.wait_for_selector("#worker", state="detached")
    page.wait_for_function("document.activeElement.classList.contains('lane')")
    page = opened(cluster).go("#workers?worker=1&by=name")
    assert page.locator("#worker").inner_text() == "Dask worker 0 on m7" and page.locator("#order").input_value() == "name"
    assert painted(page, "#panel-workers .curve canvas") > 3
    page.locator("#panel-workers .legend button", has_text="sum").click()
    page.wait_for_function("document.querySelectorAll('.lane rect').length === 1")
    assert "label=sum" in page.evaluate("location.hash")


def test_tabs_and_search_are_reached_by_keyboard(opened, recording):
    page = opened(recording).go("#overview")
    page.locator("#tab-overview").press("ArrowRight")
    assert page.locator("#panel-lines").is_visible()
    page.locator("#tab-lines").press("End")
    assert page.locator("#panel-about").is_visible()
    page.locator("#tab-about").press("Home")
    page.locator("#tab-overview").press("ArrowRight")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.type") == "search"


def test_a_head_links_to_what_it_means(opened, recording):
    page = opened(recording).go("#lines")
    page.locator("#panel-lines a.term[aria-label='what rise means']").first.click()
    assert page.locator("dt.chosen").inner_text() == "rise"


def test_a_term_leads_to_its_meaning(opened, recording):
    page = opened(recording).go("#about?term=rise")
    assert page.locator("dt.chosen").inner_text() == "rise"
    assert "transients included" in page.locator("#term-rise + dd").inner_text()


def test_a_comparison_is_drawn_sorted_and_searched(browser, recording, tmp_path):
    grown = tuple(call._replace(growth=call.growth * 5, own_growth=call.own_growth * 5) for call in recording.calls)
    lines = tuple(line._replace(growth=line.growth * 2) for line in recording.lines)
    comparison = memkit.compare(recording, replace(recording, calls=grown, lines=lines), libraries=True)
    path = tmp_path / "changes.html"
    path.write_text("".join(comparison_page.page([comparison])), encoding="utf-8")
    place = Opened(browser, path)
    page = place.go()
    assert page.locator("[role=tab]").all_inner_texts() == ["Summary", "Functions", "Lines", "Paths"]
    assert comparison.sentence.replace("`", "") in page.locator("#verdict").inner_text().replace("`", "")
    page = place.go("#functions?by=growth")
    assert page.locator("#panel-functions tbody tr").first.inner_text().startswith("+120.0 MiB")
    page = place.go("#functions?find=loads")
    assert "+120.0 MiB" in page.locator("#panel-functions tbody tr").first.inner_text()
    page = place.go("#paths?by=growth")
    assert painted(page, ".icicle canvas") > 3 and page.evaluate("window.ran") is None
    assert place.wrong == []
    place.context.close()


def test_sampled_heaps_are_compared_by_what_was_alive_at_the_peak(browser, recording, tmp_path):
    def sampled(size):
        heap = Heap(size, size, size, None, 1, 1, HeapErrors(*[1] * 6))
        calls = tuple(call._replace(heap=heap, own_heap=heap) for call in recording.calls)
        total = HeapTotal("python", 0, size, 0, sampled=1024)
        return replace(recording, calls=calls, lines=(), tracing=None, heap=total)

    path = tmp_path / "changes.html"
    comparison = memkit.compare(sampled(10 << 20), sampled(40 << 20), libraries=True)
    path.write_text("".join(comparison_page.page([comparison])), encoding="utf-8")
    place = Opened(browser, path)
    page = place.go("#paths")
    assert page.locator("#panel-paths tbody tr").first.inner_text().startswith("+30.0 MiB")
    assert painted(page, ".icicle canvas") > 3
    assert "Width: heap-peak before or after" in page.locator("#panel-paths").inner_text()
    assert place.wrong == []
    place.context.close()


def test_printed_it_has_all_views(opened, recording):
    page = opened(recording).go("#about")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert all(page.locator(f"#panel-{name}").is_visible() for name in TABS)
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert not page.locator("#panel-lines").is_visible()


def test_sizes_and_times_are_written_as_everywhere(opened, made_up):
    page = opened(made_up((0, 10), (5, 20))).go()
    chance = random.Random(5)
    middles = [sign * (eighth << 17) for eighth in range(1, 400) for sign in (1, -1)]
    sizes = [
        0,
        1,
        1023,
        1024,
        1_310_720,
        -1_310_720,
        *middles,
        *(chance.randrange(-(1 << 44), 1 << 44) for _ in range(2000)),
    ]
    shown = page.evaluate("sizes => sizes.map(size => [memkit.showBytes(size), memkit.showBytes(size, true)])", sizes)
    assert shown == [[memkit.units.show_bytes(size), memkit.units.show_bytes(size, sign=True)] for size in sizes]
    times = [
        0,
        999,
        1_125_000,
        100_500_000,
        12_250_000,
        -5,
        *(chance.randrange(10 ** chance.randrange(1, 15)) for _ in range(2000)),
    ]
    assert page.evaluate("times => times.map(memkit.showTime)", times) == [memkit.units.show_time(time) for time in times]


def test_a_page_of_nothing_but_samples_is_drawn(opened, made_up):
    page = opened(made_up((0, 10), (5, 20))).go()
    assert page.locator("[role=tab]").all_inner_texts() == ["Overview", "Processes", "About"]


def test_a_page_without_samples_is_drawn(opened, made_up):
    assert "no samples were recorded" in opened(made_up(took=5)).go().locator("#panel-overview").inner_text()
