"""Recordings that earlier versions made are read as they were then: ``data/recordings`` has each with its report."""

from pathlib import Path

import pytest

from memkit.model import reader
from memkit.report.reporters.console import summary

FOLDER = Path(__file__).parent.parent / "data" / "recordings"
NAMES = sorted(path.stem for path in FOLDER.glob("*.jsonl"))


def recording_of(name):
    with open(FOLDER / f"{name}.jsonl", "rb") as file:  # a file has no name to show
        return reader.read(file)


@pytest.mark.parametrize("name", NAMES)
def test_an_old_recording_is_reported_in_the_same_words(name):
    shown = "".join(f"{line.plain.rstrip()}\n" for line in summary(recording_of(name), 100))
    assert shown == (FOLDER / f"{name}.txt").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_every_row_of_an_old_recording_is_known(name):
    assert recording_of(name).unread == 0


@pytest.mark.parametrize("name", NAMES)
def test_an_old_recording_has_no_balances(name):
    assert recording_of(name).balances == ()
