"""``memkit advise``: a recording in, advice out."""

import json

import memkit
from memkit.cli import main


def test_a_recording_is_advised_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with memkit.record("run.memkit"):
        pass
    assert main.main(["advise", "run.memkit", "--json", "advice.json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("advise   run.memkit: peak ") and lines[-1] == "wrote    advice.json"
    assert lines[1] == "nothing that was recorded would lower it by 5 % or more"
    assert json.loads((tmp_path / "advice.json").read_text())["advice"] == []
    assert main.main(["report", "advice.json"]) == 2
    assert "'advice.json' is advice, not a recording" in capsys.readouterr().err


def test_what_is_no_recording_is_refused_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "no.txt").write_text("no")
    assert main.main(["advise", "no.txt"]) == 2
    assert "'no.txt' is not a memkit recording" in capsys.readouterr().err
