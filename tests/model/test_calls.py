"""Calls: folding some into their callers, and the sums of each function."""

import pytest

from memkit.model.calls import LIBRARIES, matcher
from memkit.model.thread_names import MOST_THREADS

MIB = 1 << 20
MAIN = "<thread MainThread>"


def grown(recording):
    """The calls as (depth, name, growth, own growth), callers first."""
    depths = {None: -1}
    for call in recording.calls:
        depths[call.id] = depths[call.parent] + 1
    return [(depths[call.id], call.function.name, call.growth / MIB, call.own_growth / MIB) for call in recording.calls]


def test_what_hidden_code_did_is_counted_with_its_caller(called):
    recording = called((0, MAIN, 0), (1, "main", 1), (2, "lib.py:parse", 2), (3, "lib.py:scan", 4), (1, "other", 8))
    assert grown(recording.hiding("lib.py")) == [(0, MAIN, 15, 0), (1, "main", 7, 7), (1, "other", 8, 8)]


def test_shown_code_that_hidden_code_called_is_called_by_the_nearest_shown(called):
    recording = called((0, MAIN, 0), (1, "main", 1), (2, "lib.py:each", 2), (3, "lib.py:one", 4), (4, "work", 8))
    assert grown(recording.hiding("lib.py")) == [(0, MAIN, 15, 0), (1, "main", 15, 7), (2, "work", 8, 8)]


def test_paths_that_become_the_same_are_one(called):
    recording = called(
        *((0, MAIN, 0), (1, "main", 0), (2, "lib.py:a", 0), (3, "work", 1, 10, 5, 20), (4, "deep", 2, 1, 1, 70)),
        *((2, "lib.py:b", 0), (3, "work", 4, 30, 6, 40), (4, "deep", 8, 5, 1, 60), (2, "work", 16, 2, 7, 30)),
    )
    root, main, work, deep = recording.hiding("lib.py").calls
    assert (root.growth, main.growth, main.own_growth) == (31 * MIB, 31 * MIB, 0)
    assert (work.calls, work.growth, work.own_growth, work.own_time) == (42, 31 * MIB, 21 * MIB, 18_000_000)
    assert (work.peak, work.own_peak) == (70 * MIB, 40 * MIB)
    assert (deep.parent, deep.calls, deep.own_growth, deep.own_peak) == (work.id, 6, 10 * MIB, 70 * MIB)


def test_a_function_in_c_goes_with_its_caller(called):
    recording = called(
        *((0, MAIN, 0), (1, "main", 0), (2, "numpy.ones", 1), (3, "numpy.empty", 2)),
        *((2, "lib.py:a", 4), (3, "numpy.ones", 8), (4, "work", 16)),
    )
    assert grown(recording.hiding("lib.py")) == [
        (0, MAIN, 31, 0),
        (1, "main", 31, 12),
        (2, "numpy.ones", 3, 1),
        (3, "numpy.empty", 2, 2),
        (2, "work", 16, 16),
    ]


def test_roots_are_never_hidden(called):
    recording = called((0, "lib.py:lost_its_caller", 1), (1, "lib.py:a", 2))
    assert grown(recording.hiding("*")) == [(0, "lost_its_caller", 3, 3)]


def test_the_peak_of_hidden_code_is_the_callers_own(called):
    recording = called(
        (0, MAIN, 0, 1, 1, 5), (1, "main", 0, 1, 1, 6), (2, "lib.py:a", 0, 1, 1, 90), (2, "work", 0, 1, 1, 80)
    )
    [root, main, work] = recording.hiding("lib.py").calls
    assert [call.peak // MIB for call in (root, main, work)] == [90, 90, 80]
    assert [call.own_peak // MIB for call in (root, main, work)] == [5, 90, 80]


def test_libraries_are_hidden_unless_they_are_wanted(called):
    recording = called((0, MAIN, 0), (1, "/usr/lib/python3.11/json/__init__.py:loads", 1), (1, "main", 1))
    assert len(recording.hiding().calls) == 2
    assert len(recording.hiding(libraries=False).calls) == 3
    assert len(recording.hiding(["load.py"], libraries=False).calls) == 2
    assert len(recording.hiding("load.py").calls) == 1


def threads(count):
    return [
        row
        for k in range(count)
        for row in ((0, f"<thread Thread-{k} (serve)>", 0), (1, "serve", 1), (2, f"numpy.f{k % 2}", 1))
    ]


def test_many_threads_that_only_numbers_tell_apart_are_one(called):
    recording = called((0, MAIN, 5), *threads(MOST_THREADS + 1), (0, "<thread Thread-1 (other)>", 3))
    assert grown(recording.hiding()) == [
        (0, MAIN, 5, 5),
        (0, "<thread Thread-* (serve)>", 18, 0),
        (1, "serve", 18, 9),
        (2, "numpy.f0", 5, 5),
        (2, "numpy.f1", 4, 4),
        (0, "<thread Thread-1 (other)>", 3, 3),
    ]


def test_a_few_threads_stand_for_themselves(called):
    recording = called(*threads(MOST_THREADS))
    assert recording.hiding().calls == recording.calls


@pytest.mark.parametrize(
    "file",
    [
        "<frozen importlib._bootstrap>",
        "<frozen runpy>",
        "/usr/lib/python3.11/json/decoder.py",
        "/home/a/.pyenv/versions/3.13.0/lib/python3.13/json/decoder.py",
        "/home/a/project/.venv/lib/python3.12/site-packages/numpy/core.py",
        "/home/a/project/.venv/lib64/python3.12/site-packages/numpy/core.py",
        "/usr/lib/python3/dist-packages/six.py",
        "/opt/python313.zip/json/decoder.py",
        "/Library/Frameworks/Python.framework/Versions/3.13/lib/python3.13/json/decoder.py",
        r"C:\Users\a\AppData\Local\Programs\Python\Python313\Lib\json\decoder.py",
        r"C:\hostedtoolcache\windows\Python\3.11.9\x64\Lib\json\decoder.py",
        r"C:\Users\a\AppData\uv\python\cpython-3.12.3-windows-x86_64-none\Lib\json\decoder.py",
        r"C:\ProgramData\Miniconda3\Lib\json\decoder.py",
        r"C:\project\.venv\Lib\site-packages\numpy\core.py",
    ],
)
def test_a_library_is_known_by_its_path_wherever_it_was_recorded(file):
    assert matcher(LIBRARIES)(file)


@pytest.mark.parametrize(
    "file",
    [
        "<string>",
        "<stdin>",
        "load.py",
        "/home/a/library/load.py",
        "/home/a/lib/load.py",
        "/home/a/python3/load.py",
        "/home/a/python3-tools/lib/load.py",
        "/srv/python-app/lib/load.py",
        r"C:\project\lib\load.py",
        "/home/a/site-packages.py",
    ],
)
def test_what_is_no_library_is_shown(file):
    assert not matcher(LIBRARIES)(file)


@pytest.mark.parametrize(
    ("glob", "file", "matches"),
    [
        ("vendor/*", "/srv/app/vendor/six.py", True),
        ("vendor/*", "/srv/app/myvendor/six.py", False),
        ("six.py", "/srv/app/vendor/six.py", True),
        ("six.py", "/srv/app/six.pyx", False),
        ("/srv/*", "/srv/app/six.py", True),
        ("*/APP/*", "/srv/app/six.py", True),
        ("vendor/*", "C:\\app\\vendor\\six.py", True),
        ("vendor\\*", "/srv/vendor/six.py", True),
    ],
)
def test_a_glob_is_of_the_whole_path_or_of_its_end(glob, file, matches):
    assert matcher([glob])(file) is matches


def test_no_glob_matches_nothing():
    assert not matcher([])("")
    assert not matcher([])("a")


# -- sums of each function -------------------------------------------------------------------------------------------


def sums(recording):
    return {
        call.function.name: (call.calls, call.growth // MIB, call.own_growth // MIB, call.time // 1_000_000)
        for call in recording.called
    }


def test_a_function_is_summed_up_over_its_paths(called):
    recording = called((0, MAIN, 0), (1, "a", 0), (2, "work", 1, 10, 5), (1, "b", 0), (2, "work", 2, 20, 6), (3, "deep", 4))
    assert sums(recording) == {
        MAIN: (1, 7, 0, 15),
        "a": (1, 1, 0, 6),
        "work": (30, 7, 3, 12),
        "b": (1, 6, 0, 8),
        "deep": (1, 4, 4, 1),
    }
    assert {call.parent for call in recording.called} == {None}


def test_of_a_recursion_growth_and_time_count_once(called):
    recording = called((0, MAIN, 0), (1, "walk", 1), (2, "visit", 2), (3, "walk", 4), (4, "visit", 8), (2, "walk", 16))
    assert sums(recording) == {MAIN: (1, 31, 0, 6), "walk": (3, 31, 21, 5), "visit": (2, 14, 10, 3)}


def test_the_same_function_beside_itself_counts_twice(called):
    recording = called((0, MAIN, 0), (1, "walk", 1), (2, "deep", 2), (1, "b", 4), (2, "walk", 8))
    assert sums(recording)["walk"] == (2, 11, 9, 3)


def test_the_peak_of_a_function_is_the_highest_of_its_paths(called):
    recording = called(
        (0, MAIN, 0), (1, "work", 0, 1, 1, 30), (2, "deep", 0, 1, 1, 90), (1, "b", 0), (2, "work", 0, 1, 1, 50)
    )
    work = next(call for call in recording.called if call.function.name == "work")
    assert (work.peak, work.own_peak) == (90 * MIB, 50 * MIB)


def test_of_a_recursion_the_rises_of_the_outer_calls_count(called):
    recording = called(
        (0, MAIN, 0, 1, 1, 10, 50, 50),
        (1, "walk", 0, 2, 1, 10, 40, 60),
        (2, "walk", 0, 9, 1, 10, 20, 90),
        (1, "b", 0, 1, 1, 10, 50, 50),
        (2, "walk", 0, 1, 1, 10, 50, 50),
    )
    walk = next(call for call in recording.called if call.function.name == "walk")
    assert (walk.rise, walk.rises) == (50 * MIB, 110 * MIB)


def test_paths_that_become_one_have_the_highest_rise(called):
    recording = called(
        (0, MAIN, 0, 1, 1, 10, 50, 50),
        (1, "/usr/lib/python3.13/json/__init__.py:a", 0, 1, 1, 10, 45, 45),
        (2, "work", 0, 1, 1, 10, 40, 40),
        (1, "/usr/lib/python3.13/json/__init__.py:b", 0, 1, 1, 10, 35, 35),
        (2, "work", 0, 1, 1, 10, 30, 30),
    ).hiding()
    assert [(call.rise // MIB, call.rises // MIB) for call in recording.calls] == [(50, 50), (40, 70)]
