"""Work that is handed to other processes, recorded with ``--follow``: it hangs under who handed it out, by known sizes."""

import multiprocessing
import os

import pytest

from memkit.system import engine

from engines import TRACERS, environment

pytestmark = [
    pytest.mark.skipif(engine.NAME != "native", reason=f"needs the native engine: {engine.REASON}"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing can be forked here"),
]
MIB = 1 << 20
HEAD = """
import functools, mmap, multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
kept = []
def grow(mebibytes):
    block = mmap.mmap(-1, mebibytes << 20, flags=mmap.MAP_PRIVATE)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        block.madvise(mmap.MADV_NOHUGEPAGE)
    for place in range(0, mebibytes << 20, 4096):
        block[place] = 1
    kept.append(block)
    return mebibytes
def other(mebibytes):
    return grow(mebibytes)
"""
METHODS = [name for name in ("fork", "spawn", "forkserver") if name in multiprocessing.get_all_start_methods()]
FOLLOWED = ("-q", "--follow", "--calls")


@pytest.fixture
def found(memkit_run, script):
    """A function that runs a text after ``HEAD``, and returns calls and MiB of the paths in which its functions are."""

    def run(text, *names, **settings):
        done = memkit_run(script(HEAD + text), options=FOLLOWED, **settings)
        assert (done.returncode, done.stderr) == (0, "")
        return paths(done.recording, names), done

    return run


def paths(recording, names):
    recording = recording.hiding()
    above, found = {}, {}
    for _, call in recording.walk():
        above[call.id] = (*above.get(call.parent, ()), call.function.name)
        if call.function.name in names:
            path = "/".join(name for name in above[call.id] if name not in ("<module>", "<thread MainThread>"))
            calls, growth = found.get(path, (0, 0))
            found[path] = calls + call.calls, growth + round(call.growth / MIB)
    return found


EXECUTOR = """
def load(pool):
    assert list(pool.map(grow, [10, 20], chunksize=2)) == [10, 20]
    assert pool.submit(functools.partial(grow, mebibytes=30)).result() == 30
def again(pool):
    assert pool.submit(other, 5).result() == 5
if __name__ == "__main__":
    with ProcessPoolExecutor(2, multiprocessing.get_context({method!r})) as pool:
        load(pool), again(pool)
"""


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("tracer", TRACERS)
def test_work_of_an_executor_is_below_who_submitted_it(found, method, tracer):
    sizes, done = found(EXECUTOR.format(method=method), "grow", "other", "<process pool>", env=environment(tracer))
    assert sizes == {
        "load/<process pool>": (3, 60),
        "load/<process pool>/grow": (3, 60),
        "again/<process pool>": (1, 5),
        "again/<process pool>/other": (1, 5),
        "again/<process pool>/other/grow": (1, 5),
    }
    apart = paths(done.recording.by_thread(), ("grow",))
    assert all(path.startswith("<process pool worker ") for path in apart)
    assert sum(growth for _, growth in apart.values()) == 65


@pytest.mark.parametrize("method", METHODS)
def test_tasks_of_a_pool_are_below_who_gave_them(found, method):
    sizes, _ = found(
        f"""
def one(pool):
    pool.apply(grow, (10,))
def mapped(pool):
    pool.map(other, [5, 6, 7, 8], chunksize=2)
class Work:
    def __call__(self, mebibytes):
        return grow(mebibytes)
    def method(self, mebibytes):
        return grow(mebibytes)
def by_object(pool):
    list(pool.imap(Work(), [9], chunksize=1)), pool.starmap(Work().method, [(3,)])
if __name__ == "__main__":
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        one(pool), mapped(pool), by_object(pool)
        pool.close(), pool.join()
""",
        "grow",
    )
    assert sizes == {
        "one/<process pool>/grow": (1, 10),
        "mapped/<process pool>/other/grow": (4, 26),
        "by_object/<process pool>/Work.__call__/grow": (1, 9),
        "by_object/<process pool>/Work.method/grow": (1, 3),
    }


def test_work_that_two_gave_is_below_what_called_both(found):
    sizes, _ = found(
        """
def one(pool):
    pool.submit(grow, 10).result()
def two(pool):
    pool.submit(grow, 20).result()
def both(pool):
    one(pool), two(pool)
if __name__ == "__main__":
    with ProcessPoolExecutor(1) as pool:
        both(pool)
""",
        "grow",
    )
    assert sizes == {"both/<process pool>/grow": (2, 30)}


def test_what_a_worker_does_on_its_own_account_stays_there(found):
    sizes, _ = found(
        """
def begin():
    grow(10)
def load(pool):
    pool.submit(grow, 20).result()
if __name__ == "__main__":
    with ProcessPoolExecutor(1, initializer=begin) as pool:
        load(pool)
""",
        "grow",
    )
    assert sizes == {"<process pool worker>/begin/grow": (1, 10), "load/<process pool>/grow": (1, 20)}


def test_a_pool_of_a_worker_is_below_what_the_worker_does(found):
    sizes, _ = found(
        """
def outer():
    with ProcessPoolExecutor(1) as pool:
        return pool.submit(grow, 10).result()
def load():
    with ProcessPoolExecutor(1) as pool:
        pool.submit(outer).result()
if __name__ == "__main__":
    load()
""",
        "grow",
    )
    assert sizes == {"load/<process pool>/outer/<process pool>/grow": (1, 10)}


def test_batches_of_joblib_are_below_who_called_it(found):
    pytest.importorskip("joblib")
    sizes, _ = found(
        """
from joblib import Parallel, delayed
def load():
    return sum(Parallel(n_jobs=2)(delayed(grow)(size) for size in (10, 20, 5, 5)))
if __name__ == "__main__":
    assert load() == 40
""",
        "grow",
    )
    assert sizes == {"load/<process pool>/grow": (4, 40)}


def test_what_a_program_hands_out_is_not_touched(same, script):
    text = """
import multiprocessing, sys
class Odd:
    def __getattr__(self, name):
        print("asked for", name)
        raise ValueError(name)
    def __getattribute__(self, name):
        if name not in ("__class__", "__reduce_ex__", "__reduce__", "__getstate__", "__dict__"):
            print("asked for", name)
        return object.__getattribute__(self, name)
    def __call__(self, number):
        return number + 1
if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(1) as pool:
        print(pool.apply(Odd(), (1,)), pool.map(int, ["3"]), pool.apply(str.upper, ("a",)))
        try:
            pool.apply(None)
        except TypeError as error:
            print(error)
"""
    same(script(text), options=FOLLOWED)
