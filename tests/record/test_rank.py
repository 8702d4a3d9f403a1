"""A process that is one of many is called by its rank, in its recording and in every report."""

import re
import subprocess
import sys

import pytest

import memkit
from memkit.record import rank

ALL = [name for pair in rank._RANKS for name in pair]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ALL:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch.setenv


@pytest.mark.parametrize(("number", "count"), rank._RANKS)
def test_every_launcher_s_rank_is_known(environment, number, count):
    environment(number, "03")
    environment(count, "4")
    assert rank.name() == "rank 3"


@pytest.mark.parametrize(("number", "count"), [("0", "1"), ("3", ""), ("", "4"), ("-1", "4"), ("x", "4"), ("3", "many")])
def test_what_is_not_one_of_several_has_no_name(environment, number, count):
    environment("OMPI_COMM_WORLD_RANK", number)
    environment("OMPI_COMM_WORLD_SIZE", count)
    assert rank.name() is None


def test_of_two_launchers_the_one_nearest_to_the_program_names_it(environment):
    for name, value in {"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "2", "PMI_RANK": "5", "PMI_SIZE": "8"}.items():
        environment(name, value)
    assert rank.name() == "rank 5"


def test_a_batch_script_of_slurm_is_no_rank(environment):
    environment("SLURM_PROCID", "0")
    environment("SLURM_NTASKS", "8")
    assert rank.name() is None


def test_ranks_that_were_recorded_apart_are_named_when_joined(environment, tmp_path, capsys):
    environment("PMI_SIZE", "2")
    for number in range(2):
        environment("PMI_RANK", str(number))
        code = "import memkit, sys\nwith memkit.record(sys.argv[1]): pass"
        subprocess.run([sys.executable, "-c", code, str(tmp_path / f"{number}.memkit")], check=True)
    merged = memkit.merge(memkit.read(tmp_path / f"{number}.memkit") for number in range(2))
    assert sorted(process.name for process in merged.processes) == ["rank 0", "rank 1"]
    memkit.report(merged)
    shown = capsys.readouterr().out
    assert re.search(r"^memkit +rank 0: ", shown)
    assert len(re.findall(r"^ .* rank [01]: ", shown, re.MULTILINE)) == 2


def test_what_a_rank_starts_is_called_like_it(environment, memkit_run):
    environment("PMI_RANK", "1")
    environment("PMI_SIZE", "2")
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', '0'])"
    done = memkit_run("-c", code, options=("-q", "--follow"))
    assert [process.name for process in done.recording.processes] == ["rank 1", "rank 1"]
