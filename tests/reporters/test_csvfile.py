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
