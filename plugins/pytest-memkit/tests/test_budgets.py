"""What a test may use, and what is said where it used more."""

import pytest


def test_a_test_over_its_peak_fails_and_names_the_line_and_the_path(run):
    done = run("@pytest.mark.memkit(peak='2 MiB')\ndef test_load():\n    shop.load(4000)\n")
    done.assert_outcomes(failed=1)
    done.stdout.re_match_lines_random(
        [
            r"memkit: 3\.9 MiB at the peak, 1\.9 MiB over the budget of 2\.0 MiB",
            r" +3\.9 MiB  shop\.py:2  rows = \[bytes\(1000\) for _ in range\(n\)\]",
            r" +3\.9 MiB  load  shop\.py:1 < test_load",
        ]
    )
    done.stdout.no_fnmatch_line("*pytest_memkit*")  # no traceback of the plugin


def test_a_test_that_keeps_more_than_its_budget_fails(run):
    done = run("@pytest.mark.memkit(kept=1000)\ndef test_keeps():\n    shop.remember(200_000)\n")
    done.assert_outcomes(failed=1)
    done.stdout.re_match_lines([r"memkit: 195\.\d KiB kept, .* over the budget of 1000 B"])
    done.stdout.re_match_lines([r" +195\.\d KiB  shop\.py:10  KEPT\.append\(bytearray\(n\)\)"])


def test_a_test_that_allocates_more_than_its_budget_fails(run):
    text = "@pytest.mark.memkit(allocated='10 MB')\ndef test_often():\n    for _ in range(20): shop.load(1000)\n"
    done = run(text)
    done.assert_outcomes(failed=1)
    done.stdout.re_match_lines([r"memkit: 2\d\.\d MiB allocated, .* over the budget of 9\.5 MiB"])


def test_a_test_within_its_budgets_passes(run):
    run(
        "@pytest.mark.memkit(peak='5 MiB', kept='10 KiB', allocated='6 MiB')\ndef test_load():\n    shop.load(4000)\n"
    ).assert_outcomes(passed=1)


def test_what_only_waits_for_the_collector_is_not_kept(run):
    text = """
@pytest.mark.memkit(kept="10 KiB")
def test_cycle():
    loop = [bytearray(1_000_000)]
    loop.append(loop)
"""
    run(text).assert_outcomes(passed=1)


def test_a_budget_is_of_bytes_and_not_of_pages(run):
    text = """
@pytest.mark.parametrize("size", [100_000, 101_000])
@pytest.mark.memkit(kept=101_000)
def test_exact(size):
    shop.remember(size)
"""
    done = run(text)
    done.assert_outcomes(passed=1, failed=1)


def test_a_warm_up_run_fills_caches_unmeasured(run):
    text = """
import functools
cached = functools.cache(shop.load)
@pytest.mark.memkit(peak="1 MiB", warmup={})
def test_cached():
    cached(4000)
"""
    run(text.format(0)).assert_outcomes(failed=1)
    run(text.format(1)).assert_outcomes(passed=1)


def test_the_ini_file_has_budgets_for_every_test(run, pytester):
    pytester.makeini("[pytest]\nmemkit_kept = 100 KiB\nmemkit_peak = 100 MiB\n")
    text = """
def test_leaks():
    shop.remember(200_000)
@pytest.mark.memkit(allow_leaks="the shop never forgets")
def test_may_leak():
    shop.remember(200_000)
@pytest.mark.memkit(kept="1 MiB")
def test_has_its_own():
    shop.remember(200_000)
"""
    done = run(text)
    done.assert_outcomes(passed=2, failed=1)
    done.stdout.fnmatch_lines(["memkit: * kept, * over the budget of 100.0 KiB", "FAILED test_it.py::test_leaks*"])


def test_the_nearest_marker_wins_by_name(run):
    text = """
@pytest.mark.memkit(peak="1 MiB", kept="1 KiB")
class TestAll:
    def test_classes(self): shop.load(4000)
    @pytest.mark.memkit(peak="9 MiB")
    def test_own(self): shop.load(4000)
    @pytest.mark.memkit(peak="9 MiB")
    def test_keeps(self): shop.remember(200_000)
"""
    done = run(text)
    done.assert_outcomes(passed=1, failed=2)
    done.stdout.fnmatch_lines(["memkit: 3.9 MiB at the peak*", "memkit: * kept, *"])


def test_a_failing_test_keeps_its_own_failure(run):
    done = run("@pytest.mark.memkit(peak='1 MiB')\ndef test_fails():\n    rows = shop.load(4000)\n    assert rows is None\n")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["E *assert*is None*"])
    done.stdout.no_fnmatch_line("memkit: *over*")


def test_an_expected_failure_may_be_one_of_memory(run):
    text = "@pytest.mark.xfail(strict=True)\n@pytest.mark.memkit(peak='1 MiB')\ndef test_load():\n    shop.load(4000)\n"
    run(text).assert_outcomes(xfailed=1)


def test_repeats_of_a_test_spread_by_less_than_64_kib(bills):
    text = """
import json
@pytest.mark.parametrize("number", range(60))
@pytest.mark.memkit(peak="100 MiB")
def test_again(number):
    json.loads(json.dumps([{"a": [n, str(n)]} for n in range(5000)]))
"""
    done, found = bills(text)
    done.assert_outcomes(passed=60)
    peaks = [peak for (_, phase), (peak, *_) in found.items() if phase == "call"]
    assert len(peaks) == 60
    assert max(peaks) - min(peaks) <= 100 << 10  # of which 50 KiB are the rounding of the table


@pytest.mark.parametrize(
    "marker, said",
    [
        ("peak='24 MibiB'", "memkit(peak='24 MibiB'): '24 MibiB' is not a size"),
        ("peek=3", "memkit(peek=3): there is peak, kept, allocated, allow_leaks, warmup, processes"),
        ("'24 MiB'", "memkit('24 MiB'): write the name"),
        ("warmup=-1", "memkit(warmup=-1): write how often"),
        ("allow_leaks=3", "memkit(allow_leaks=3): write True or False, or why"),
        ("peak=True", "memkit(peak=True): True is not a size"),
        ("processes=True, kept='10 KiB'", "the budget kept=10.0 KiB is tighter than the error of 1.0 MiB"),
        ("processes=True, allocated='1 GiB'", "the budget allocated=1.0 GiB needs the heap"),
    ],
)
def test_a_marker_that_makes_no_sense_is_refused_in_a_line(run, marker, said):
    done = run(f"@pytest.mark.memkit({marker})\ndef test_it(): pass\n")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = [line for line in done.errlines if line]
    assert line.startswith("ERROR: test_it.py::test_it: ")
    assert said in line


@pytest.mark.parametrize(
    "setting, said",
    [
        ("memkit_peak = many", "memkit_peak = 'many': 'many' is not a size"),
        ("memkit_warmup = x", "memkit_warmup = 'x': write how often"),
        ("memkit_tolerance = 10 %%", "memkit_tolerance = '10 %%': write a share, a size or both"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_in_a_line(run, pytester, setting, said):
    pytester.makeini(f"[pytest]\n{setting}\n")
    done = run("def test_it(): pass\n")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = [line for line in done.errlines if line]
    assert line.startswith(f"ERROR: {said}")


def test_resident_memory_decides_what_is_wider_than_its_error(run):
    text = "@pytest.mark.memkit(peak='{}')\ndef test_load():\n    bytearray(50 << 20)[::4096] = b'x' * (50 << 8)\n"
    run(text.format("100 MiB"), "--memkit-meter=rss").assert_outcomes(passed=1)
    done = run(text.format("10 MiB"), "--memkit-meter=rss")
    done.assert_outcomes(failed=1)
    done.stdout.re_match_lines([r"memkit: \d\d\.\d MiB at the peak, .* over the budget of 10\.0 MiB \(each ± .*\)"])


def test_resident_memory_refuses_what_is_tighter_than_its_error(run):
    done = run("@pytest.mark.memkit(kept='1 KiB')\ndef test_it(): pass\n", "--memkit-meter=rss")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = [line for line in done.errlines if line]
    assert "the budget kept=1.0 KiB is tighter than the error of" in line
