"""What was recorded, and what follows from it."""

import dataclasses

import pytest

from memkit.model.ending import Ending, signal_name
from memkit.model.limit_events import NamedLimit, SetLimit
from memkit.model.oom_evidence import OutOfMemory
from memkit.model.recording import Cost, Crossing, Limit, Process, Sample, Span, Total
from memkit.system.limit_kinds import KINDS

MIB = 1 << 20
MS = 1_000_000
JOBS = OutOfMemory("oom_kill", (), "cgroup", "cgroup /jobs", 3, 4)


def test_start_end_growth_and_peak_follow_from_the_samples(made_up):
    recording = made_up((0, 10), (5, 12, 400), (9, 11))
    assert (recording.start, recording.end, recording.growth) == (10 * MIB, 11 * MIB, MIB)
    assert recording.peak == 400 * MIB
    assert recording.highest.time == 5 * MS
    assert recording.duration == 9 * MS


def test_without_samples_nothing_is_claimed(made_up):
    recording = made_up()
    assert (recording.start, recording.end, recording.growth, recording.peak, recording.highest) == (None,) * 5
    assert recording.duration == 0


def test_a_recording_calls_itself_by_one_line(made_up):
    recording = made_up((0, 10), (5, 12, 400), (9, 11), source="/home/ada/a.memkit")
    assert repr(recording) == "<memkit.Recording of 'load.py data.csv' in '/home/ada/a.memkit': 3 samples, peak 400.0 MiB>"
    text = made_up(argv=("-c", "print(1)\n" * 99))
    assert repr(text) == f"<memkit.Recording of '-c {'print(1) ' * 6}...': 0 samples, peak ?>"


def test_the_duration_reaches_to_the_end_of_the_process(made_up):
    assert made_up((0, 10), (5, 10), took=80).duration == 80 * MS


def test_what_a_kill_left_unwritten_is_unseen(made_up):
    killed = Ending("killed", signal=9, finished=False)
    recording = made_up((0, 10), (5, 10), took=80, ending=killed)
    assert (recording.unseen, recording.peak_is_exact) == (75 * MS, False)
    assert made_up((0, 10), (5, 10), took=80).unseen == 0
    assert made_up(took=80, ending=killed).unseen == 0


def test_a_recording_cannot_be_changed(made_up):
    with pytest.raises(dataclasses.FrozenInstanceError):
        made_up((0, 10)).unread = 3


@pytest.mark.parametrize(
    ("peaks", "mark", "exact"),
    [("reset", 50, True), ("mark", 30, True), ("mark", 50, False), ("mark", None, True), ("samples", None, False)],
)
def test_a_peak_is_exact_where_the_kernel_kept_it(made_up, peaks, mark, exact):
    recording = made_up((0, 10), (5, 12, 40), peaks=peaks, mark=mark and mark * MIB)
    assert recording.peak_is_exact is exact


@pytest.mark.parametrize(
    ("ending", "text"),
    [
        (Ending("ok"), "finished"),
        (Ending("error", error="ValueError: no"), "ended by an exception: ValueError: no"),
        (
            Ending("error", error="MemoryError", out_of_memory=OutOfMemory("refused", refused="MemoryError")),
            "ended by an exception, out of memory (an uncaught MemoryError): MemoryError",
        ),
        (Ending("exited", code=3), "exited with code 3"),
        (
            Ending("exited", code=3, finished=False),
            "exited with code 3, its end unrecorded (os._exit, exec, or a full disk)",
        ),
        (
            Ending("killed", signal=9, out_of_memory=JOBS),
            "killed by SIGKILL, out of memory (cgroup /jobs: oom_kill rose by 1)",
        ),
        (Ending("killed", signal=2, error="KeyboardInterrupt"), "killed by SIGINT (KeyboardInterrupt)"),
        (Ending("stopped", limit=SetLimit(2 << 30)), "stopped at the limit that was set, 2.0 GiB"),
        (Ending("stopped", error="the limit that was set, 9.0 MiB"), "stopped at the limit that was set, 9.0 MiB"),
        (Ending("ended"), "ended, exit status unknown"),
        (Ending("detached"), "still running when the recording ended"),
        (Ending("running"), "still running"),
        (Ending("unknown", "lost its connection"), "died: lost its connection"),
        (Ending("unknown"), "not known: the recording has no end (still running, or killed without a supervisor)"),
    ],
)
def test_an_ending_says_in_a_line_how_it_was(ending, text):
    assert str(ending) == text


@pytest.mark.parametrize(
    ("ending", "text"),
    [
        (Ending("error", error="a, b: c", out_of_memory=JOBS), "ended by an exception, out of memory"),
        (Ending("exited", code=3, finished=False), "exited with code 3"),
        (Ending("killed", signal=9, out_of_memory=JOBS), "killed by SIGKILL, out of memory"),
        (Ending("stopped", limit=SetLimit(9)), "stopped"),
        (Ending("ended"), "ended"),
        (Ending("detached"), "still running"),
        (Ending("running"), "still running"),
        (Ending("unknown", "lost its connection"), "died"),
        (Ending("unknown"), "not known"),
    ],
)
def test_an_ending_is_told_in_a_few_words_too(ending, text):
    assert ending.brief == text


GIB = 1 << 30
SPACE = NamedLimit("address space", "RLIMIT_AS", GIB)
SHARED = SetLimit(GIB, 0.125, NamedLimit("cgroup", "cgroup /jobs", 8 * GIB))
REFUSED = OutOfMemory("refused", (SPACE, NamedLimit("data", "RLIMIT_DATA", 2 * GIB)), refused="thread")


@pytest.mark.parametrize(
    ("evidence", "text"),
    [
        (JOBS, "cgroup /jobs: oom_kill rose by 1"),
        (JOBS._replace(limits=(SHARED.limit,), after=7), "cgroup /jobs (8.0 GiB): oom_kill rose by 4"),
        (
            JOBS._replace(counter="cgroup /jobs/one", limits=(SHARED.limit,)),
            "cgroup /jobs/one in cgroup /jobs (8.0 GiB): oom_kill rose by 1",
        ),
        (OutOfMemory("refused", refused="ENOMEM"), "an uncaught ENOMEM"),
        (REFUSED, "an uncaught refusal of a thread; RLIMIT_AS 1.0 GiB; RLIMIT_DATA 2.0 GiB"),
        (
            REFUSED._replace(address_space_peak=GIB // 2),
            "an uncaught refusal of a thread; RLIMIT_AS 1.0 GiB, of which 512.0 MiB were in use; RLIMIT_DATA 2.0 GiB",
        ),
        (OutOfMemory("limit", set=SHARED), "the limit that was set"),
        (SHARED, "the limit that was set, 12.5% of cgroup /jobs (8.0 GiB)"),
    ],
)
def test_evidence_is_put_into_words_from_its_fields(evidence, text):
    assert str(evidence) == text


@pytest.mark.parametrize(
    ("evidence", "kinds"),
    [
        (JOBS, ["cgroup"]),
        (JOBS._replace(counter="cgroup /other"), []),
        (JOBS._replace(counter="cgroup /jobs/one", limits=(SHARED.limit,)), ["cgroup"]),
        (OutOfMemory("oom_kill", kind="machine", counter="this machine", before=1, after=2), ["machine"]),
        (OutOfMemory("refused"), ["address space", "data", "commit"]),
        (OutOfMemory("limit", set=SHARED), []),
    ],
)
def test_evidence_names_the_limits_that_it_speaks_of(evidence, kinds):
    limits = [Limit("cgroup /jobs", 9, 5, "cgroup"), *(Limit("another", 9, 5, kind) for kind in KINDS)]
    assert [limit.kind for limit in limits if evidence.names(limit)] == kinds


def test_an_unknown_ending_says_what_that_can_mean():
    assert "killed" in str(Ending("unknown"))
    assert "running" in str(Ending("unknown"))


def test_a_signal_without_a_name_keeps_its_number():
    assert (signal_name(15), signal_name(200)) == ("SIGTERM", "signal 200")


def test_an_unfinished_span_has_neither_growth_nor_duration():
    assert (Span("a", 1, 0, 5, None, 10, None, 12).growth, Span("a", 1, 0, 5, None, 10, None, 12).duration) == (None, None)
    assert (Span("a", 1, 0, 5, 9, 10, 14, 20).growth, Span("a", 1, 0, 5, 9, 10, 14, 20).duration) == (4, 4)


def test_the_share_of_ticks_kept_counts_the_late_ones():
    assert Cost(99, 1, None).kept == 0.99
    assert Cost(0, 0, None).kept == 1.0


def test_a_walk_goes_down_before_it_goes_on(called):
    recording = called((0, "<thread A>", 0), (1, "a", 0), (2, "b", 0), (1, "c", 0), (0, "<thread B>", 0), (1, "d", 0))
    assert [(depth, call.function.name) for depth, call in recording.walk()] == [
        (0, "<thread A>"),
        (1, "a"),
        (2, "b"),
        (1, "c"),
        (0, "<thread B>"),
        (1, "d"),
    ]


def test_a_recording_without_calls_has_none_to_hide_or_sum_up(made_up):
    recording = made_up((0, 10))
    assert (recording.called, recording.hiding().calls, list(recording.walk()), recording.call_tracing) == ((), (), [], None)


# -- limits and totals -------------------------------------------------------------------------------------------------

GROUP = Limit("cgroup /jobs", 100 * MIB, 40 * MIB, "cgroup")


def test_the_highest_total_is_the_first_of_the_highest(made_up):
    totals = (Total(1, 5, 9), Total(2, 8, 9), Total(3, 8, 20))
    assert dataclasses.replace(made_up((0, 1)), totals=totals).highest_total == totals[1]
    assert made_up((0, 1)).highest_total is None


def test_a_limit_is_reached_by_growth_of_what_was_left(made_up):
    recording = made_up((0, 10), (5, 12, 30), (9, 11))
    assert (recording.level(GROUP), recording.left(GROUP)) == (70 * MIB, 40 * MIB)
    assert made_up((0, 10), (5, 90)).left(GROUP) == 0
    assert (made_up().level(GROUP), made_up().left(GROUP)) == (None, None)


def test_pages_of_files_that_were_mapped_take_nothing_of_a_limit(made_up):
    recording = dataclasses.replace(made_up((0, 10), (5, 90)), mapped=((0, 4 * MIB), (5 * MS, 64 * MIB), (9 * MS, 80 * MIB)))
    assert (recording.mapped_meanwhile, recording.left(GROUP)) == (60 * MIB, 40 * MIB)
    assert dataclasses.replace(recording, mapped=()).left(GROUP) == 0
    assert dataclasses.replace(recording, mapped=((0, 9), (1, 4))).mapped_meanwhile == 0


@pytest.mark.parametrize(
    ("meter", "reckoned"),
    [
        ("rss", ["cgroup", "machine"]),
        ("anon", ["cgroup", "machine"]),
        ("cgroup", ["cgroup", "machine"]),
        ("vms", ["address space"]),
        ("swap", []),
        ("python_heap", []),
    ],
)
def test_a_limit_is_reckoned_only_with_what_counts_against_it(made_up, meter, reckoned):
    recording = made_up((0, 10), meter=meter)
    assert [kind for kind in KINDS if recording.level(Limit("a limit", 9, 5, kind)) is not None] == reckoned


def test_of_several_processes_the_memory_of_all_reaches_a_limit(made_up):
    totals = (Total(3 * MS, 20 * MIB, 25 * MIB), Total(9 * MS, 50 * MIB, 90 * MIB))
    recording = dataclasses.replace(made_up((0, 10), (3, 14), (9, 15)), totals=totals, summed="pss")
    assert recording.level(GROUP) == (20 - 4 + 60) * MIB  # it had grown by 4 MiB before they were first looked at
    assert recording.left(GROUP) == 26 * MIB
    assert dataclasses.replace(recording, summed="rss").left(GROUP) is None
    assert recording.level(Limit("RLIMIT_AS", 9, 5, "address space")) is None


def test_of_several_processes_that_were_not_summed_up_nothing_is_reckoned(tree):
    recording = tree([(0, 10), (9, 10)], {5: ([(1, 2), (3, 4)],)}, [])
    assert (recording.level(GROUP), recording.left(GROUP)) == (None, None)


def test_a_crossing_knows_its_share_of_a_limit(made_up):
    recording = dataclasses.replace(made_up((0, 1)), limits=(GROUP,))
    assert recording.share(Crossing(1, 90, 80 * MIB, "cgroup /jobs", "report")) == 0.8
    assert recording.share(Crossing(1, 90, 80 * MIB, "rss", "report")) is None


def test_each_process_has_its_lane_though_a_pid_was_used_twice(tree):
    recording = tree([(0, 10), (9, 10)], {5: ([(1, 2), (3, 4)],), 6: ([(2, 7), (2, 7)],)}, [])
    again = Process(5, 4242, "again", 5 * MS, None, Ending("unknown"))
    late = Sample(6 * MS, 5, MIB, MIB)
    recording = dataclasses.replace(recording, processes=(*recording.processes, again), others=(*recording.others, late))
    assert [(process.pid, [sample.time // MS for sample in lane]) for process, lane in recording.lanes] == [
        (4242, [0, 9]),
        (5, [1, 3]),
        (6, [2, 2]),
        (5, [6]),
    ]
    assert [lane for _, lane in recording.lanes] == [recording.lane(process) for process in recording.processes]


def test_an_ending_that_is_not_known_to_be_bad_has_not_failed():
    kinds = ("ok", "ended", "detached", "unknown", "error", "exited", "stopped", "killed")
    assert [kind for kind in kinds if Ending(kind).failed] == ["error", "exited", "stopped", "killed"]
    assert not Ending("exited", code=0, finished=False).failed  # as after os._exit(0)


def test_columns_have_the_highest_of_each_stretch(made_up):
    memory, peak = made_up((10, 10), (45, 30), (55, 20, 90), (100, 20)).columns(10)
    assert [value // MIB for value in memory] == [10, 10, 10, 10, 30, 20, 20, 20, 20, 20]
    assert [value // MIB for value in peak] == [10, 10, 10, 10, 90, 90, 20, 20, 20, 20]
    assert made_up().columns(2) == ([0, 0], [0, 0])
