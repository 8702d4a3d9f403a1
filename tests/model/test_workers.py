"""What processes are called that do a program's work, and how several become one."""

from dataclasses import replace

import pytest

import memkit
from memkit.model.calls import Call
from memkit.model.thread_names import of_kind, of_process, of_several
from memkit.model.workers import kind_of

ROOT = memkit.Function("", "<thread MainThread>", 0)
WORK = memkit.Function("/src/load.py", "work", 4)
SITE = "/usr/lib/python3.13/site-packages"


def runs_of(*abouts):
    return {(about.pid, about.argv) for about in abouts}


def path_of(*functions, ids=0, growth=4, thread=9):
    """A root and one path below it."""
    path = [ROOT, *functions]
    return tuple(
        Call(ids + n, ids + n - 1 if n else None, function, thread, 1, 5, growth, 1, growth * (n == len(functions)), 7, 7)
        for n, function in enumerate(path)
    )


@pytest.mark.parametrize(
    ("file", "name", "kind"),
    [
        ("/usr/lib/python3.13/concurrent/futures/process.py", "_process_worker", "process pool worker"),
        (f"{SITE}/joblib/externals/loky/process_executor.py", "_process_worker", "joblib worker"),
        (f"{SITE}/gunicorn/workers/base.py", "Worker.init_process", "gunicorn worker"),
        ("C:\\Python313\\Lib\\multiprocessing\\pool.py", "worker", "process pool worker"),
        ("/src/pool.py", "worker", "job.py process"),
    ],
)
def test_the_function_that_only_such_processes_run_tells_the_kind(about, file, name, kind):
    calls = path_of(memkit.Function(file, name, 1), WORK)
    assert kind_of(about._replace(argv=("-u", "/src/job.py", "-c")), calls, runs_of(about)) == kind


def test_without_such_a_function_the_command_tells_the_kind(about):
    child = about._replace(pid=7, parent=about.pid)
    assert kind_of(child, (), runs_of(about, child)) == "forked process"
    assert kind_of(child._replace(parent=5), (), runs_of(about, child)) == "load.py process"
    spawned = child._replace(argv=("-c", "from multiprocessing.spawn import spawn_main; spawn_main()"))
    assert kind_of(spawned, (), runs_of(about)) == "multiprocessing process"
    for words in (("/usr/bin/uvicorn", "app:app"), ("-m", "uvicorn", "app:app")):
        server = about._replace(argv=words)
        assert kind_of(spawned, (), runs_of(server, spawned)) == "uvicorn worker"
        of_worker = spawned._replace(pid=8, parent=spawned.pid)
        assert kind_of(of_worker, (), runs_of(server, spawned, of_worker)) == "multiprocessing process"
    assert kind_of(child._replace(argv=()), (), runs_of(about)) == "process"


def test_roots_are_named_after_the_kind_its_number_and_its_process():
    assert of_kind("<thread MainThread>", "joblib worker") == "<joblib worker>"
    assert of_kind("<thread loader of files>", "job.py process") == "<loader of files of job.py process>"
    assert of_several("<joblib worker>", 2) == "<2 joblib workers>"
    assert of_several("<loader of files of job.py process>", 1_200) == "<loader of files of 1,200 job.py processes>"
    assert of_process("<joblib worker>", 4242) == "<joblib worker 4242>"


@pytest.fixture
def merged(made_up):
    """Three recordings as one: the second and the third do the same."""
    main = replace(made_up((0, 10)), calls=path_of(WORK))

    def part(pid, growth):
        about = main.about._replace(pid=pid, argv=("job.py", str(pid)))
        process = main.processes[0]._replace(pid=pid)
        return replace(main, about=about, processes=(process,), calls=path_of(WORK, growth=growth))

    return memkit.merge([main, part(7, 20), part(8, 30)])


def test_each_call_says_of_which_process_it_is(merged):
    assert [call.process for call in merged.calls] == [None, None, 7, 7, 8, 8]
    assert merge_again(merged) == [call.process for call in merged.calls]


def merge_again(recording):
    return [call.process for call in memkit.merge([recording]).calls]


def test_a_report_shows_processes_that_do_the_same_as_one(merged):
    shown = [(depth, call.function.name, call.calls, call.growth) for depth, call in merged.hiding().walk()]
    assert shown == [
        (0, "<thread MainThread>", 1, 4),
        (1, "work", 1, 4),
        (0, "<2 job.py processes>", 2, 50),
        (1, "work", 2, 50),
    ]


def test_threads_of_one_process_are_not_taken_for_several_processes(made_up):
    main = replace(made_up((0, 10)), calls=path_of(WORK))
    about = main.about._replace(pid=7, argv=("job.py",))
    calls = (*path_of(WORK, thread=5), *path_of(WORK, thread=6, ids=2))
    part = replace(main, about=about, processes=(main.processes[0]._replace(pid=7),), calls=calls)
    roots = [call for call in memkit.merge([main, part]).hiding().calls if call.parent is None]
    assert [(root.function.name, root.calls) for root in roots] == [
        ("<thread MainThread>", 1),
        ("<job.py process>", 1),
        ("<job.py process>", 1),
    ]


def test_by_thread_shows_many_processes_one_by_one(made_up):
    main = replace(made_up((0, 10)), calls=path_of(WORK))
    parts = [
        replace(
            main,
            about=main.about._replace(pid=pid, argv=("job.py",)),
            processes=(main.processes[0]._replace(pid=pid),),
            calls=path_of(WORK),
        )
        for pid in range(10, 30)
    ]
    merged = memkit.merge([main, *parts])
    assert [call.function.name for call in merged.hiding().calls if call.parent is None][1:] == ["<20 job.py processes>"]
    apart = [call.function.name for call in merged.by_thread().hiding().calls if call.parent is None]
    assert apart[1:] == [f"<job.py process {pid}>" for pid in range(10, 30)]


def test_by_thread_shows_each_process_by_itself(merged):
    shown = [(call.function.name, call.growth) for call in merged.by_thread().hiding().calls]
    assert shown == [
        ("<thread MainThread>", 4),
        ("work", 4),
        ("<job.py process 7>", 20),
        ("work", 20),
        ("<job.py process 8>", 30),
        ("work", 30),
    ]


def test_the_peak_of_all_processes_together_is_that_of_the_totals(made_up, tree):
    assert made_up((0, 10)).together is None
    small = tree([(0, 10), (5, 40)], {7: ([(1, 5)],)}, [(1, 15, 15), (2, 60, 70), (3, 20, 20)])
    assert (small.peak, small.together) == (40 << 20, 60 << 20)


@pytest.mark.parametrize(
    ("name", "command", "title"),
    [
        (None, "job.py 4", "job.py 4"),
        ("rank 3", "job.py 4", "rank 3: job.py 4"),
        (None, "-m joblib.externals.loky.backend.popen_loky_posix --pipe 14", "joblib worker"),
        ("rank 3", "-c from multiprocessing.spawn import spawn_main; spawn_main(3)", "rank 3: multiprocessing process"),
    ],
)
def test_a_process_is_shown_by_its_name_and_by_what_it_is_for(name, command, title):
    assert memkit.Process(7, None, command, 0, None, memkit.Ending("ok"), name).title == title
