"""What is kept from run to run, and what CI reads."""

import pytest

HEAD = "# memkit baseline 1: KiB at the peak, and KiB kept, of the call of each test; by "
TESTS = "def test_b(): shop.load({})\ndef test_a(): shop.remember({})\ndef test_none(): pass\n"


@pytest.fixture
def saved(run, pytester):
    """The file of a baseline that was written."""
    run(TESTS.format(2000, 100_000), memkit="--memkit-save").assert_outcomes(passed=3)
    return pytester.path / "memkit-baseline.txt"


def test_a_baseline_is_sorted_text(saved):
    head, *lines = saved.read_text().splitlines()
    assert head == f"{HEAD}heap"
    assert [line.split("  ")[-1] for line in lines] == [f"test_it.py::test_{name}" for name in ("a", "b", "none")]
    assert [int(line.split()[0]) for line in lines] == [pytest.approx(98, abs=2), pytest.approx(2035, abs=20), 1]


def test_what_is_within_the_tolerance_passes(run, saved):
    done = run(TESTS.format(2100, 150_000), memkit="--memkit-check")
    done.assert_outcomes(passed=3)
    done.stdout.fnmatch_lines(["baseline memkit-baseline.txt: 3 tests compared, 0 over"])


def test_what_exceeds_the_baseline_fails(run, saved):
    done = run(TESTS.format(2400, 300_000), memkit="--memkit-check")
    done.assert_outcomes(passed=1, failed=2)
    done.stdout.re_match_lines([r"memkit: 2\.4 MiB at the peak, .* KiB over the baseline of 2\.0 MiB"])
    done.stdout.re_match_lines([r"memkit: 29\d\.\d KiB kept, .* KiB over the baseline of 9\d\.0 KiB"])
    done.stdout.fnmatch_lines(["baseline memkit-baseline.txt: 3 tests compared, 2 over"])


def test_the_tolerance_is_a_setting(run, saved, pytester):
    pytester.makeini("[pytest]\nmemkit_tolerance = 50%\n")
    run(TESTS.format(2400, 120_000), memkit="--memkit-check").assert_outcomes(passed=3)


def test_a_test_that_is_not_in_the_baseline_passes_and_is_counted(run, saved):
    done = run(TESTS.format(2000, 100_000) + "def test_new(): shop.load(5000)\n", memkit="--memkit-check")
    done.assert_outcomes(passed=4)
    done.stdout.fnmatch_lines(["baseline *: 3 tests compared, 0 over; 1 are not in it: --memkit-save adds them"])


def test_saving_again_keeps_what_did_not_run_and_drops_files_that_are_gone(run, saved):
    text = saved.read_text()
    saved.write_text(text + f"{9:>10} {0:>10}  gone.py::test_x\n")
    run(None, "-k", "test_b", memkit="--memkit-save").assert_outcomes(passed=1, deselected=2)
    assert [line.split("  ")[-1] for line in saved.read_text().splitlines()] == [
        line.split("  ")[-1] for line in text.splitlines()
    ]


def test_a_test_that_fails_is_not_saved(run, pytester):
    run("def test_fails(): assert 0\ndef test_it(): pass\n", memkit="--memkit-save")
    assert "test_fails" not in (pytester.path / "memkit-baseline.txt").read_text()


@pytest.mark.parametrize(
    "text, said",
    [
        (None, "there is no baseline * write it with --memkit-save"),
        ("nonsense\n", "*line 1: 'nonsense' is not of a baseline: delete the file*"),
        (
            HEAD + "rss\n",
            "*by rss, *by heap*",
        ),
    ],
)
def test_a_baseline_that_cannot_be_checked_is_refused_in_a_line(run, pytester, text, said):
    if text:
        (pytester.path / "memkit-baseline.txt").write_text(text)
    done = run("def test_it(): pass\n", memkit="--memkit-check")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    assert len([line for line in done.errlines if line]) == 1
    done.stderr.fnmatch_lines([f"ERROR: *{said}"])


def test_a_pull_request_gets_a_table(run, saved, pytester):
    run(TESTS.format(4000, 100_000), "--memkit-markdown=summary.md", memkit="--memkit-check")
    lines = (pytester.path / "summary.md").read_text().splitlines()
    assert lines[0] == "**memkit: 1 test over its budget, of 3**"
    assert lines[2].startswith("❌ `test_it.py::test_b`: 4.0 MiB at the peak, ")
    assert lines[4:6] == ["| rise | before | kept | before | test |", "| ---: | ---: | ---: | ---: | :--- |"]
    assert lines[6].startswith("| 4.0 MiB | 2.0 MiB | ")
    assert len(lines) == 9


def test_github_gets_an_annotation_for_each_that_is_over(run, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    done = run("@pytest.mark.memkit(peak='1 MiB')\ndef test_load():\n    shop.load(4000)\ndef test_it(): pass\n")
    (line,) = [line for line in done.outlines if line.startswith("::error ")]
    assert line.startswith("::error file=test_it.py,line=3,title=memory of test_it.py%3A%3Atest_load::3.9 MiB at the peak, ")


def test_junit_has_the_sizes_of_each_phase(run, pytester):
    run("def test_load(): shop.load(4000)\n", "--junit-xml=junit.xml").assert_outcomes(passed=1)
    text = (pytester.path / "junit.xml").read_text()
    for phase in ("setup", "call", "teardown"):
        for name in ("peak", "kept", "allocated"):
            assert text.count(f'<property name="memkit_{phase}_{name}" value="') == 1


def test_each_test_has_a_page_and_the_index_links_it(run, pytester):
    done = run(
        "@pytest.mark.parametrize('n', ['<b>', 'x'])\ndef test_load(n):\n    shop.load(100)\n", "--memkit-html=out/pages"
    )
    done.assert_outcomes(passed=2)
    done.stdout.fnmatch_lines(["pages: out/pages/index.html"])
    folder = pytester.path / "out" / "pages"
    index = (folder / "index.html").read_text()
    pages = [file.name for file in folder.iterdir() if file.name != "index.html"]
    assert len(pages) == 2
    assert all(f'<a href="{name}">test_it.py::test_load[' in index for name in pages)
    assert "<b>" not in index
    assert all("<!-- memkit page 1" in (folder / name).read_text() for name in pages)


def test_a_baseline_that_cannot_be_written_is_refused_in_a_line(run):
    done = run("def test_it(): pass\n", "--memkit-baseline=no/such/folder/x.txt", memkit="--memkit-save")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = [line for line in done.errlines if line]
    assert line.startswith("ERROR: the baseline ")
    assert line.endswith("cannot be written: No such file or directory")


@pytest.mark.parametrize("word", ["--memkit-html=test_it.py", "--memkit-markdown=no/such/folder/x.md"])
def test_a_place_that_cannot_be_written_to_is_refused_in_a_line(run, word):
    done = run("def test_it(): pass\n", word)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = [line for line in done.errlines if line]
    assert line.startswith(f"ERROR: {word.partition('=')[0]} ")
