"""The page as a file: what it holds, what it leaves out, and that it is small whatever was recorded."""

import base64
import gzip
import hashlib
import html
import json
import os
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest

import memkit
from memkit.cli import main
from memkit.model.calls import Call, Function, Handed
from memkit.model.heap import Heap
from memkit.model.limit_events import Crossing, Frame, Stack, StackSnapshot
from memkit.model.recording import Process, Sample, Span, Total, Unrecorded
from memkit.report.page import build, source_text, thin
from memkit.report.page.build import html_page

from hostile import look_at

MIB = 1 << 20


def held(text, id):
    [packed] = re.findall(f'<script type="application/gzip" id="{id}">([^<]*)</script>', text)
    return json.loads(gzip.decompress(base64.b64decode(packed)))


def tree(count, seed=1):
    """A tree of so many calls of random weights, with the sums that its own values add up to."""
    chance = random.Random(seed)
    nodes = []
    for id in range(count):
        parent = None if id == 0 else chance.randrange(max(0, id - 50), id)
        own = chance.choice((0, 1, 4096, 1 << 20)) * chance.choice((1, 1, -1))
        heap = Heap(abs(own) + 1, 1, abs(own), 1, 2, 1)
        function = Function("/home/me/app.py", f"f{id % 700}", id % 700)
        row = {
            "calls": 1,
            "time": 5,
            "growth": own,
            "own_time": 5,
            "own_growth": own,
            "peak": 100 + id,
            "own_peak": 100 + id,
        }
        nodes.append(Call(id, parent, function, 1, **row, rise=abs(own), rises=abs(own), heap=heap, own_heap=heap))
    for id in range(count - 1, 0, -1):
        call, home = nodes[id], nodes[nodes[id].parent]
        nodes[home.id] = home._replace(
            time=home.time + call.time,
            growth=home.growth + call.growth,
            peak=max(home.peak, call.peak),
            rise=max(home.rise, call.rise),
            heap=home.heap.plus(call.heap),
        )
    return tuple(nodes)


# -- what it is ----------------------------------------------------------------------------------------------------------


def test_it_holds_the_document_and_is_read_back(made_up, tmp_path):
    recording = made_up((0, 10), (5, 30, 40), (9, 20), spans=[Span("load", 1, 0, 1, 4, 10 * MIB, 30 * MIB, 40 * MIB)])
    path = tmp_path / "a.html"
    memkit.report(recording, html=str(path), quiet=True)
    assert replace(memkit.read(path), source=None) == recording
    assert held(path.read_text(), "recording")["format"] == 1


def test_memkit_report_reads_a_page(made_up, tmp_path, capsys):
    path = tmp_path / "a.html"
    memkit.report(made_up((0, 10), (5, 30)), html=str(path), quiet=True)
    assert main.main(["report", str(path)]) == 0
    assert "30.0 MiB" in capsys.readouterr().out


def test_only_its_own_scripts_may_run_and_nothing_is_loaded(made_up):
    text = "".join(html_page(made_up((0, 10))))
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none'; ")
    for tag in ("script", "style"):
        bodies = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        hashes = {f"'sha256-{base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()}'" for body in bodies}
        assert hashes == set(re.search(rf"{tag}-src ([^;]*)", policy)[1].split())
    assert not re.findall(r"<(?:link|img|iframe|object|embed|base)\b|\s(?:src|href)=\"(?!#)", text)


def test_text_of_the_program_is_nowhere_in_the_markup(made_up):
    hostile = "</script><img src=x onerror=alert(1)>"
    function = Function(f"/tmp/{hostile}.py", hostile, 1)
    call = Call(0, None, function, 1, 1, 5, 4096, 5, 4096, 9, 9)
    span = Span(hostile, 1, 0, 1, 4, 1, 1, 1)
    recording = made_up((0, 10), (5, 20), spans=[span], argv=(hostile,))
    text = "".join(html_page(replace(recording, calls=(call,), ending=memkit.Ending("error", hostile))))
    assert "onerror" not in text
    assert held(text, "recording")["calls"][0]["function"]["name"] == hostile


DAMAGE = {
    "broken off": lambda text: text[:3000],
    "letters that are none": lambda text: re.sub(r'(id="recording">)..', r"\1!!", text),
    "packed wrongly": lambda text: re.sub(r'(id="recording">.{40}).{30}', lambda found: found[1] + "A" * 30, text),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_page_is_refused_in_one_line(damage, made_up, tmp_path, capsys):
    path = tmp_path / "a.html"
    path.write_text(damage("".join(html_page(made_up((0, 10), (5, 20))))))
    assert main.main(["report", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 1 and "a.html" in err


def test_options_of_a_page_without_one_are_wrong_usage(made_up, tmp_path, capsys):
    path = tmp_path / "a.html"
    memkit.report(made_up((0, 10), (5, 20)), html=str(path), quiet=True)
    assert main.main(["report", str(path), "--redact"]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", "memkit: --redact is for --html: give that too\n")
    with pytest.raises(memkit.UsageError, match="are for html"):
        memkit.report(memkit.read(path), no_source=True, quiet=True)


def test_a_page_that_cannot_be_redacted_leaves_no_other_report_behind(made_up, tmp_path):
    path, other = tmp_path / "a.html", tmp_path / "a.json"
    memkit.report(made_up((0, 10), (5, 20)), html=str(path), quiet=True)
    assert main.main(["report", "-q", str(path), "--redact", "--json", str(other)]) == 2
    assert not other.exists()


# -- what is left out ----------------------------------------------------------------------------------------------------


BALANCE = memkit.Balance(
    4242,
    30,
    (
        memkit.BalanceRow("code", "code", 20, 0, (memkit.BalancePart("/secret/libx.so", 20),), "use less"),
        memkit.BalanceRow("unexplained", "unexplained", 10, 0, (), None),
    ),
    ("secret could not be read",),
    3,
    "end",
)


def secret(made_up):
    """A recording in which everything that may tell of a person or machine has the word ``secret`` in it."""
    function = Function("/home/secret/app.py", "work", 1)
    other = Function("/srv/secret/app.py", "other", 9)
    library = Function("/secret/lib/python3.13/site-packages/pandas/core/frame.py", "merge", 5)
    row = (1, 1, 5, 4096, 5, 4096, 9, 9)
    calls = (
        Call(0, None, function, *row, handed=Handed(None, function)),
        Call(1, 0, library, *row),
        Call(2, 0, other, *row),
    )
    stacks = (Stack(1, "main", (Frame("/home/secret/app.py", 3, "work"),)),)
    ending = memkit.Ending("error", "KeyError: 'secret'", exception="KeyError")
    recording = made_up((0, 10), (5, 20), argv=("/home/secret/app.py", "--key=secret"), host="secret", package="/secret/")
    tracing = memkit.Tracing("monitoring", "perf", None, 1.0, 1.0, 1, 1, targets=("/home/secret/app.py",))
    return replace(
        recording,
        calls=calls,
        call_tracing=tracing,
        ending=ending,
        processes=(
            Process(4242, 1, "/usr/bin/python3 /home/secret/app.py", 0, 5, ending, "rank 3"),
            Process(4243, 1, "worker", 0, 5, ending, "secret"),
        ),
        unrecorded=(Unrecorded(7, "/bin/sh -c secret", 5),),
        executed=((3, "/bin/env secret"),),
        sources=(("/home/secret/app.py", "secret = 1"),),
        crossings=(Crossing(1, 5, 5, "rss", "report", stacks), Crossing(2, 5, 5, "worker tcp://secret:1", "report", ())),
        spans=(Span("load", 1, 0, 1, 4, 1, 1, 1, (("user", "secret"),)),),
        snapshot=StackSnapshot(1, stacks),
        source="/home/secret/run.memkit",
        balances=(BALANCE,),
    )


def test_a_redacted_page_says_nothing_of_paths_and_arguments(made_up):
    text = "".join(html_page(secret(made_up), redact=True))
    recording, view = held(text, "recording"), held(text, "view")
    assert "secret" not in json.dumps([recording, view])
    assert {call["function"]["file"] for call in recording["calls"]} == {
        ".../app.py",
        ".../app~2.py",
        ".../lib/python3/pandas/core/frame.py",
    }
    assert recording["ending"]["error"] == "KeyError"
    assert [process["title"] for process in recording["processes"]] == ["rank 3: python3", "worker"]
    assert view["libraries"] == [".../lib/python3/pandas/core/frame.py"]
    assert any("--redact" in note for note in view["notes"])


def test_a_redacted_page_is_not_given_the_text_of_another_file(made_up, tmp_path, monkeypatch):
    path = tmp_path / "a.html"
    path.write_text("".join(html_page(secret(made_up), redact=True)))
    (tmp_path / "app.py").write_text("another = 1\n")
    monkeypatch.chdir(tmp_path)
    [file] = {call.function.file for call in memkit.read(path).calls if call.function.name == "work"}
    assert memkit.Source(file).lines == []


def test_without_source_there_is_no_text_and_the_page_says_so(made_up):
    whole, without = (held("".join(html_page(secret(made_up), source=each)), "view") for each in (True, False))
    assert whole["text"] and not without["text"]
    assert any("--no-source" in note for note in without["notes"])


def test_a_page_has_the_colours_of_the_pictures():
    assets = Path(build.__file__).parent / "assets"
    light = (assets / "page.css").read_text().partition("@media")[0]
    pictures = memkit.pictures
    wanted = {"memory": pictures.MEMORY, "peak": pictures.PEAK, "span": pictures.FREED, "limit": pictures.LIMIT}
    for name, colour in {**wanted, "total": pictures.TOGETHER}.items():
        assert f"--{name}: {colour};" in light
    listed = re.search(r"COLOURS = \[(.*?)\]", (assets / "processes.js").read_text())[1]
    assert re.findall("#[0-9a-f]{6}", listed) == list(pictures.PROCESSES)


# -- how much ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [3, 4_000, 4_001, 50_000])
def test_a_thinned_curve_has_its_start_end_and_peak(count):
    chance = random.Random(count)
    samples = [Sample(at * 1000, 1, size := chance.randrange(1 << 30), size + chance.randrange(99)) for at in range(count)]
    thinned = thin.thin_samples(samples, thin.MOST_POINTS)
    assert len(thinned) <= thin.MOST_POINTS
    assert (thinned[0].memory, thinned[-1][:3]) == (samples[0].memory, samples[-1][:3])
    assert max(each.peak for each in thinned) == max(each.peak for each in samples)
    assert min(each.memory for each in thinned) == min(each.memory for each in samples)
    kept = {each.time: each for each in samples}
    assert all(kept[each.time].memory == each.memory for each in thinned)


@pytest.mark.parametrize("most", [10, 100, 900])
def test_fewer_calls_add_up_to_what_all_did(most):
    calls = tree(1000)
    fewer = thin.fewer_calls(calls, most)
    assert len(fewer) <= most
    for name in ("own_growth", "own_time"):
        assert sum(getattr(call, name) for call in fewer) == sum(getattr(call, name) for call in calls)
    assert sum(call.own_heap.allocated for call in fewer) == sum(call.own_heap.allocated for call in calls)
    found = {call.id: call for call in fewer}
    before = {call.id: call for call in calls}
    below = {}
    for call in fewer:
        below.setdefault(call.parent, []).append(call)
    for id, call in found.items():
        if id in before:
            assert call == before[id]
        inside = below.get(id, [])
        if id in before and inside:
            assert call.growth == call.own_growth + sum(each.growth for each in inside)
            assert call.heap.allocated == call.own_heap.allocated + sum(each.heap.allocated for each in inside)
    names = [call.function.name for call in fewer if call.function.name.endswith("smaller calls>")]
    assert sum(int(name[1:].split()[0].replace(",", "")) for name in names) == len(calls) - (len(fewer) - len(names))


def test_calls_that_have_room_are_all_there():
    calls = tree(50)
    assert thin.fewer_calls(calls, 50) is calls


def test_a_day_with_five_hundred_processes_makes_at_most_three_megabytes(made_up):
    chance = random.Random(3)
    recording = made_up(*[(at * 100, 50 + chance.random() * 900) for at in range(864_00)])
    others, processes, totals = [], list(recording.processes), []
    for pid in range(500):
        begun = pid * 170_000_000_000
        processes.append(
            Process(pid + 10, 4242, f"python worker.py --shard {pid}", begun, begun + 10**12, memkit.Ending("ok"))
        )
        others += [Sample(begun + at * 10**9, pid + 10, size := chance.randrange(1 << 29), size) for at in range(400)]
    others.sort()
    totals = [Total(at * 10**9, chance.randrange(1 << 33), 1 << 33) for at in range(86_400)]
    recording = replace(
        recording, others=tuple(others), processes=tuple(processes), totals=tuple(totals), summed="pss", calls=tree(100_000)
    )
    text = "".join(html_page(recording))
    assert len(text) <= 3_000_000
    shown = held(text, "recording")
    assert len(shown["calls"]) <= thin.MOST_CALLS
    assert shown["peak"] == recording.peak and shown["total_peak"] == recording.together
    assert len(held(text, "view")["notes"]) >= 4


# -- source text ---------------------------------------------------------------------------------------------------------


def test_colours_cover_each_line():
    lines = ['def load(path):  # reads "it"', "    return [int(x) for x in open(path)]", '    """', "   text"]
    colours = source_text.coloured(lines)
    for line, colour in zip(lines, colours):
        lengths = [int(length) for _, length in re.findall(r"([a-z-])(\d+)", colour)]
        assert not colour or sum(lengths) == len(line)
    assert colours[0].startswith("k3-1f4") and "c" in colours[0]


def test_the_text_of_lines_is_there_with_their_numbers(python, native_only, tmp_path):
    program = tmp_path / "program.py"
    program.write_text("import memkit\n\n\ndef keeps():\n    kept = bytearray(5 << 20)\n    return kept\n\n\nkeeps()\n")
    python(f"""
import json, runpy, memkit
with memkit.record({str(tmp_path / "a.memkit")!r}, lines={str(program)!r}, calls=True):
    runpy.run_path({str(program)!r}, run_name="program")
print(json.dumps(None))
""")
    view = held("".join(html_page(memkit.read(tmp_path / "a.memkit"))), "view")
    found = {}
    for first, lines, _ in view["text"][str(program)]:
        found |= dict(enumerate(lines, first))
    assert found[5] == "    kept = bytearray(5 << 20)"


def test_a_recording_makes_its_page_and_a_notebook_shows_it_in_a_frame(made_up, tmp_path):
    page = made_up((0, 10), (5, 20)).page(tmp_path / "a.html")
    assert memkit.read(page.path).peak == 20 * MIB
    shown = page._repr_html_()
    [frame] = re.findall(r'<iframe srcdoc="([^"]*)" sandbox="([^"]*)"', shown)
    assert html.unescape(frame[0]) == (tmp_path / "a.html").read_text()
    assert "allow-same-origin" not in frame[1] and str(tmp_path) in shown


def test_a_function_whose_file_was_changed_has_its_own_text(python, native_only, tmp_path):
    program = tmp_path / "program.py"
    text = "def keeps():\n    kept = bytearray(5 << 20)\n    return kept\n\n\n"
    text += "def other():\n    return 1\n\n\nkeeps(), other()\n"
    program.write_text(text)
    python(f"""
import json, runpy, memkit
with memkit.record({str(tmp_path / "a.memkit")!r}, lines={str(program)!r}):
    runpy.run_path({str(program)!r}, run_name="program")
print(json.dumps(None))
""")
    program.write_text("# a new line\n" + text)
    recording = memkit.read(tmp_path / "a.memkit")
    view = held("".join(html_page(recording)), "view")
    for function, lines in recording.functions.items():
        if function.name != "<module>":
            key = f"{program}:{function.line}:{function.name}"
            assert "changed after" in view["remarks"][f"{key}:0"]
            found = {}
            for first, texts, _ in view["text"][key]:
                found |= dict(enumerate(texts, first))
            assert found[lines[0].number] == text.splitlines()[lines[0].number - 1]


def test_memkit_view_makes_a_page_that_only_its_owner_reads(made_up, tmp_path, capsys):
    source = tmp_path / "run.html"
    memkit.report(made_up((0, 10), (5, 20)), html=str(source), quiet=True)
    capsys.readouterr()
    assert main.main(["view", str(source), "--no-open"]) == 0
    path = capsys.readouterr().out.strip()
    assert path.endswith("run.html")
    look_at(memkit.read(path), shown=False)
    assert os.stat(os.path.dirname(path)).st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (123, "123 is no path"),
        ("", "the name of the output file is empty"),
        ("a\0b", "NUL"),
        (b"/nowhere/at/all.html", "cannot write '/nowhere/at/all.html': there is no folder"),
        ("kept.py", "'kept.py' is a program or a recording"),
    ],
)
@pytest.mark.parametrize("compared", [False, True])
def test_what_is_no_file_for_a_page_is_refused_in_a_line(made_up, tmp_path, monkeypatch, path, said, compared):
    monkeypatch.chdir(tmp_path)
    Path("kept.py").write_text("kept = 1\n")
    recording = made_up((0, 10), (5, 20))
    shown = memkit.compare(recording, recording) if compared else recording
    with pytest.raises(memkit.UsageError, match=re.escape(said)):
        shown.page(path)
    assert os.listdir() == ["kept.py"] and Path("kept.py").read_text() == "kept = 1\n"
