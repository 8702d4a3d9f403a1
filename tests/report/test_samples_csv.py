"""``--csv``."""

import pytest

import memkit


def test_each_sample_is_a_row_with_its_units_in_the_head(made_up, tmp_path):
    memkit.report(made_up((0, 1), (1.5, 2, 9)), csv=tmp_path / "a.csv", quiet=True)
    assert (tmp_path / "a.csv").read_bytes() == (
        b"time_s,pid,memory_bytes,peak_bytes\n0.000000000,4242,1048576,1048576\n0.001500000,4242,2097152,9437184\n"
    )


def test_a_dash_writes_to_standard_output(made_up, capsys):
    memkit.report(made_up((0, 1)), csv="-", quiet=True)
    assert capsys.readouterr().out.startswith("time_s,")


def test_several_recordings_do_not_fit_into_one_file(made_up, tmp_path):
    with pytest.raises(memkit.MemkitError, match="--csv takes one recording, not 2"):
        memkit.report([made_up((0, 1)), made_up((0, 2))], csv=tmp_path / "a.csv", quiet=True)
    assert not (tmp_path / "a.csv").exists()


def test_samples_of_all_processes_stand_in_the_order_of_time(tree, capsys):
    recording = tree([(0, 10), (4, 11), (8, 12)], {5: ([(2, 20), (6, 30)],), 6: ([(2, 1), (9, 1)],)}, [(4, 30, 30)])
    memkit.report(recording, csv="-", quiet=True)
    rows = [line.split(",")[:2] for line in capsys.readouterr().out.splitlines()[1:]]
    assert [(float(time) * 1000, int(pid)) for time, pid in rows] == [
        (0, 4242),
        (2, 5),
        (2, 6),
        (4, 4242),
        (6, 5),
        (8, 4242),
        (9, 6),
    ]
