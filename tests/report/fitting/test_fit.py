"""Fits of recordings: sizes, lines, limits, advice, what is kept in a file, and what a program asks it."""

import json

import pytest

import memkit
from memkit.model.ending import Ending
from memkit.model.recording import Call, Function, Line
from memkit.report.fitting import requests
from memkit.report.fitting.advice import advised
from memkit.report.fitting.document import Ceiling, document
from memkit.report.fitting.fit import fit
from memkit.report.fitting.tables import formula, page, reached

MIB = 1 << 20
LOAD, JOIN = Function("/job/load.py", "load", 3), Function("/job/load.py", "join", 9)


def line(function, number, peak, own):
    return Line(function, number, 1, 1, own, peak, peak, own, own, 0, own)


@pytest.fixture
def run(made_up):
    """A function that makes the recording of a run of 10 MiB and 100 bytes for each of ``n``; ``join`` needs n² besides."""

    def make(n, *, argv=None, join=0.0, ending=None, told=None):
        kept, square = 100 * n / MIB, join * (n / 1e5) ** 2
        peak = 10 + max(kept, kept / 2 + square)
        made = made_up((0, 10), (5, 10 + kept / 2, peak), ending=ending or Ending("ok"), argv=argv or ("load.py", str(n)))
        lines = [line(LOAD, 4, int((10 + kept) * MIB), int(kept * MIB))]
        lines += [line(JOIN, 10, int((10 + kept / 2 + square) * MIB), int(square * MIB))] if join else []
        return type(made)(**{**vars(made), "lines": tuple(lines), "size": told})

    return make


def test_the_argument_that_differs_is_the_size(run):
    found = fit([run(n, argv=("load.py", "--seed=3", f"--rows={n}")) for n in (100_000, 200_000, 500_000)])
    assert [each.size for each in found.runs] == [1e5, 2e5, 5e5]
    assert found.command == "load.py --seed=3 {size}"


def test_what_the_program_told_counts_before_its_arguments(run):
    found = fit([run(n, told=n / 1000.0) for n in (100_000, 200_000, 500_000)])
    assert [each.size for each in found.runs] == [100, 200, 500]


@pytest.mark.parametrize(
    "argvs, said",
    [
        ([("load.py", "a"), ("load.py", "b")], "no argument is a number that differs"),
        ([("load.py", "1", "2"), ("load.py", "3", "4")], "several arguments are numbers that differ"),
        ([("load.py", "1"), ("load.py", "1")], "no argument is a number that differs"),
    ],
)
def test_sizes_that_nobody_tells_are_asked_for(run, argvs, said):
    with pytest.raises(memkit.UsageError, match=said):
        fit([run(1000, argv=argv) for argv in argvs])


def test_a_recording_that_does_not_tell_among_others_is_named(run):
    with pytest.raises(memkit.UsageError, match="does not say how large its input was"):
        fit([run(1000, told=1.0, argv=("load.py", "a")), run(2000, argv=("load.py", "b"))])


def test_a_run_that_does_not_tell_is_known_by_its_argument(run):
    found = fit([run(1000, told=1000.0), run(2000)])
    assert [each.size for each in found.runs] == [1000, 2000]


def test_one_size_is_not_enough(run):
    with pytest.raises(memkit.UsageError, match=r"are of size 1,000: add one of another, such as 2,000"):
        fit([run(1000), run(1000)], [1000, 1000])
    with pytest.raises(memkit.UsageError, match="2 recordings and 3 sizes"):
        fit([run(1000), run(2000)], [1000, 2000, 3000])
    with pytest.raises(memkit.UsageError, match="'-1' is no size"):
        fit([run(1000), run(2000)], [1000, -1])


def test_the_peak_is_predicted_with_the_line_that_makes_it(run):
    found = fit([run(n) for n in (100_000, 250_000, 400_000, 600_000, 1_000_000)])
    predicted = found.at(1e7)
    assert predicted.peak == pytest.approx(10 * MIB + 1e9, rel=0.02)
    assert predicted.low < predicted.peak < predicted.high
    assert found.dominating(1e7).place.functions == (LOAD,)
    assert found.model == "linear" and formula(found).startswith("linear: 10.")


def test_a_line_that_small_runs_hide_is_counted_at_a_larger_size(run):
    found = fit([run(n, join=0.3) for n in (100_000, 250_000, 400_000, 600_000, 1_000_000)])
    needed = 10 * MIB + 0.5e9 + 0.3 * MIB * 100**2
    assert found.model == "linear"  # which is what the peaks of the runs are
    assert found.at(1e7).peak == pytest.approx(needed, rel=0.05)
    assert found.at(1e7).low <= needed <= found.at(1e7).high
    assert found.dominating(1e7).place.functions == (JOIN,)
    assert found.dominating(1e6).place.functions == (LOAD,)


def test_paths_of_calls_are_fitted_as_lines_are(run):
    def called(n):
        made = run(n)
        root = Call(0, None, Function("", "<thread MainThread>", 0), 1, 1, 9, 0, 0, 0, 0, 0)
        rows = [root]
        for id, (parent, function, growth) in enumerate([(0, LOAD, 100 * n), (1, JOIN, 40 * n)], 1):
            own = growth - (40 * n if function is LOAD else 0)
            rows.append(Call(id, parent, function, 1, 1, 9, growth, 9, own, 10 * MIB + growth, 0, growth, growth))
        return type(made)(**{**vars(made), "calls": tuple(rows), "lines": ()})

    found = fit([called(n) for n in (100_000, 250_000, 400_000, 1_000_000)])
    assert [each.place.functions for each in found.paths] == [(LOAD,), (LOAD, JOIN)]
    assert found.dominating(1e7).own.at(1e7) == pytest.approx(60e7, rel=0.02)


def test_runs_that_did_not_finish_are_left_out_and_named(run):
    killed = run(3_000_000, ending=Ending("killed", signal=9))
    found = fit([*(run(n) for n in (100_000, 300_000, 1_000_000)), killed])
    assert found.largest == 1e6
    assert any("did not finish and is left out" in remark for remark in found.remarks)
    with pytest.raises(memkit.UsageError, match="no run finished"):
        fit([killed, killed], [1, 2])


def test_the_size_at_which_a_limit_is_reached(run):
    found = fit([run(n) for n in (100_000, 250_000, 400_000, 600_000, 1_000_000)])
    at = found.reached(1 << 30)
    assert at.size == pytest.approx(((1 << 30) - 10 * MIB) / 100, rel=0.02)
    assert at.earliest < at.size < at.latest
    constant = fit([run(1000), run(1000), run(1000)], [1, 2, 3])
    assert constant.reached(1 << 40) is None
    assert reached(Ceiling("it", 1 << 40, None), 3).endswith("not reached by any size, as far as these runs tell")


def test_few_points_are_answered_with_the_run_to_add(run):
    assert "add a run of size" in advised(fit([run(100_000), run(200_000)]), 2e6)
    assert advised(fit([run(n) for n in (100_000, 250_000, 400_000, 600_000, 1_000_000)]), 2e6) is None


def test_runs_of_one_size_that_differ_are_told(run):
    found = fit([run(100_000), run(400_000), run(600_000), run(1_000_000)], [1e5, 5e5, 5e5, 1e6])
    assert any("runs of the same size differ by up to 19.1 MiB" in remark for remark in found.remarks)


def test_what_to_ask_a_cluster_for_is_the_peak_and_the_upper_end(run):
    found = fit([run(n) for n in (100_000, 250_000, 400_000, 600_000, 1_000_000)])
    predicted = found.at(1e7)
    asked = requests.yaml(found, 1e7).splitlines()
    assert asked[-3] == f"    memory: {-(-predicted.peak // MIB)}Mi"
    assert asked[-1] == f"    memory: {-(-predicted.high // MIB)}Mi"
    assert requests.slurm(found, 1e7).splitlines()[-1] == f"#SBATCH --mem={-(-predicted.high // MIB)}M"


def test_a_fit_that_was_kept_predicts_the_same(run, tmp_path):
    found = fit([run(n, join=0.3) for n in (100_000, 250_000, 400_000, 600_000, 1_000_000)])
    path = tmp_path / "job.fit.json"
    path.write_text(document(found, [1e7, 2e7], [Ceiling("it", 1 << 30, found.reached(1 << 30))]))
    kept, written = memkit.read_fit(path), json.loads(path.read_text())
    assert kept.at(3e7) == found.at(3e7) and kept.remarks == found.remarks
    assert [written[key] for key in ("peak", "low", "high")] == list(found.at(1e7)[1:])
    assert [each["size"] for each in written["predictions"]] == [1e7, 2e7]
    assert [row["dominates"] for row in written["lines"]].count(True) == 1


def test_a_program_asks_before_the_expensive_call(run, tmp_path, monkeypatch):
    path = tmp_path / "job.fit.json"
    path.write_text(document(fit([run(n) for n in (100_000, 250_000, 400_000, 1_000_000)]), [1e7]))
    assert memkit.will_it_fit(1000, path)
    monkeypatch.setenv("MEMKIT_FIT", str(path))
    answer = memkit.will_it_fit(1e13)
    assert not answer and answer.high > answer.left
    assert str(answer).startswith("may not fit: peak ") and answer.limit in str(answer)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"kind": "fit"}', '{"kind": "fit", "format": 1}', "\0"])
def test_a_damaged_fit_is_refused_in_one_line(tmp_path, text):
    path = tmp_path / "job.fit.json"
    path.write_text(text)
    with pytest.raises(memkit.FormatError, match=r"job\.fit\.json"):
        memkit.will_it_fit(5, path)


def test_no_fit_and_no_size_are_refused(run, monkeypatch):
    monkeypatch.delenv("MEMKIT_FIT", raising=False)
    with pytest.raises(memkit.UsageError, match="set MEMKIT_FIT"):
        memkit.will_it_fit(5)
    with pytest.raises(memkit.UsageError, match="no size"):
        memkit.will_it_fit("much", fit([run(1000), run(2000)]))


def test_the_page_names_prediction_line_and_runs(run):
    found = fit([run(n) for n in (100_000, 250_000, 400_000, 600_000, 1_000_000)])
    lines = [row.plain for row in page(found, [1e7], [Ceiling("--limit 1GiB", 1 << 30, found.reached(1 << 30))])]
    assert lines[0] == "fit      5 runs of load.py {size}"
    assert lines[2].startswith("size     1e7: peak 9") and "load, load.py:4 adds most" in lines[2]
    assert lines[3].startswith("limit    --limit 1GiB (1.0 GiB): reached at size 1.06")
    assert sum("linear" in line for line in lines) == 2


def test_the_picture_has_points_curve_interval_and_limits(run):
    pytest.importorskip("matplotlib")
    from memkit.report.fitting.picture import draw

    found = fit([run(n) for n in (100_000, 250_000, 1_000_000)])
    ceilings = [Ceiling("near", 800 * MIB, None), Ceiling("far", 1 << 40, None)]
    figure = draw(found, [1e7], ceilings)
    [axes], [legend] = figure.axes, figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["fit: linear", "95 % interval", "runs"]
    words = [text.get_text() for text in axes.texts]
    assert "near: 800.0 MiB" in words and any(word.startswith("far: 1.0 TiB") for word in words)
