"""The facts that a report begins and ends with, as data; how they read is tested with the console summary."""

import re
from dataclasses import replace

import memkit
from memkit.ipython.html import html
from memkit.model.ending import Ending
from memkit.model.limit_events import Crossing, Frame, Stack, StackSnapshot
from memkit.model.recording import Process, Unrecorded
from memkit.report.reporters.console import summary
from memkit.system.balance_texts import BOOKS
from memkit.system.limit import Limit

MIB = 1 << 20
MS = 1_000_000


def whole(made_up):
    limits = (Limit("cgroup /jobs", 100 * MIB, 90 * MIB, "cgroup"),)
    crossings = (Crossing(4_000_000, 20 * MIB, 19 * MIB, "rss", "report"),)
    recording = made_up((0, 10), (5, 19), ending=Ending("error", error="E: x"), source="<a>.memkit")
    return replace(recording, limits=limits, crossings=crossings, unread=2)


def test_facts_have_labels_parts_with_roles_and_emphasis(made_up):
    first, took, memory, peak, limit, reached = memkit.facts(whole(made_up))
    parts = memkit.FactPart("load.py data.csv", "value"), memkit.FactPart(": ", "text")
    assert first == memkit.Fact("memkit", (*parts, memkit.FactPart("ended by an exception: E: x", "bad")))
    assert (took.label, took.text, took.emphasis) == ("took", "5.00 ms", None)
    assert [part.role for part in memory.parts] == ["text", "remark"]
    assert peak.parts[0] == memkit.FactPart("19.0 MiB", "value")
    assert (limit.label, limit.emphasis) == ("limit", "warning")
    assert (reached.label, reached.emphasis) == ("reached", "warning")


def test_what_memkit_itself_takes_to_count_the_heap_is_told_below_the_peak(made_up):
    def balance(pid, size):
        parts = memkit.BalancePart("code", MIB), memkit.BalancePart(BOOKS, size)
        return memkit.Balance(pid, 30 * MIB, (memkit.BalanceRow("memkit", "memkit itself", size + MIB, 0, parts, None),), ())

    recording = made_up((0, 10), (5, 30))
    of_others = replace(recording, balances=(balance(7, 9 * MIB), balance(recording.about.pid, 900_000)))
    assert memkit.facts(of_others) == memkit.facts(recording)
    counted = replace(recording, balances=(balance(recording.about.pid, 3 * MIB), balance(recording.about.pid, 5 * MIB)))
    [more] = [fact for fact in memkit.facts(counted) if fact not in memkit.facts(recording)]
    assert more.label == "" and more.text.startswith("not in it are up to 5.0 MiB of memkit's, ")


def test_facts_of_the_cost_say_what_is_missing_and_where_it_is(made_up):
    found = memkit.cost_facts(whole(made_up))
    assert [(fact.label, fact.parts[0].role) for fact in found] == [
        ("cost", "text"),
        ("unread", "remark"),
        ("saved", "text"),
    ]


def test_console_and_notebook_show_the_same_facts(made_up):
    recording = whole(made_up)
    found = memkit.facts(recording) + memkit.cost_facts(recording)
    shown = [line.plain for line in summary(recording)]
    page = re.sub(r"</td><td[^>]*>", " ", html(recording))
    page = re.sub(r"</?(?:span|td|tr|table|div)[^>]*>", "", page).replace("&lt;", "<").replace("&gt;", ">")
    for fact in found:
        assert f"{fact.label:<9}{fact.text}" in shown
        assert fact.text in page


def children(recording):
    """What is said of processes that were not recorded."""
    return [(fact.text, fact.emphasis) for fact in memkit.facts(recording) if fact.label == "children"]


REMEDY = "--children records them, --follow their lines and calls"


def test_processes_that_were_not_recorded_are_told_with_the_largest(made_up):
    recording = made_up((0, 10), (5, 20))
    seen = Unrecorded(7, "gunicorn", 140 * MIB), Unrecorded(8, "gunicorn", 90 * MIB)
    said = f"2 were seen that are not recorded (the largest reached 140.0 MiB or more): {REMEDY}"
    assert children(replace(recording, unrecorded=seen)) == [(said, "warning")]
    said = f"2 were seen that are not recorded (the largest reached 143.0 MiB): {REMEDY}"
    assert children(replace(recording, unrecorded=seen, waited_for=143 * MIB)) == [(said, "warning")]
    said = f"1 was seen that is not recorded (the largest reached 1.0 MiB or more): {REMEDY}"
    assert children(replace(recording, unrecorded=(Unrecorded(7, "sort", MIB),))) == [(said, None)]


def test_of_short_helpers_only_a_bound_is_told(made_up):
    recording = made_up((0, 10), (5, 20))
    said = f"some were started that are not recorded (none was larger than 20.0 MiB): {REMEDY}"
    assert children(replace(recording, waited_for=20 * MIB)) == [(said, None)]


def test_nothing_is_said_of_children_if_there_are_none_or_all_are_recorded(made_up, tree):
    assert children(made_up((0, 10))) == []
    small = tree([(0, 10)], {7: ([(1, 5)],)}, [(1, 15, 15)])
    assert children(replace(small, unrecorded=(Unrecorded(9, "sort", MIB),), waited_for=MIB)) == []


def test_of_a_followed_program_those_that_recorded_themselves_do_not_count(made_up):
    recording = made_up((0, 10), (5, 20))
    other = Process(7, 4242, "work", 0, 5, Ending("ok"))
    followed = replace(recording, processes=(*recording.processes, other), waited_for=300 * MIB)
    assert children(followed) == []
    said = "1 was seen that is not recorded (the largest reached 3.0 MiB or more): --children records them"
    assert children(replace(followed, unrecorded=(Unrecorded(9, "sort", 3 * MIB),))) == [(said, "warning")]


def test_of_a_watch_it_is_said_which_processes_have_files(made_up):
    recording = replace(made_up((0, 10), (5, 20), watch="5d41402abc4b"), unrecorded=(Unrecorded(9, "sort", MIB),))
    remedy = "a forked process has a file once it has lived a second, a spawned one if it is Python, with --follow"
    said = f"1 was seen that is not recorded (the largest reached 1.0 MiB or more): {remedy}"
    assert children(recording) == [(said, None)]


# -- stacks that could not be read -------------------------------------------------------------------------------------


def stacks(recording):
    """What is said of stacks that are missing."""
    return [fact.text for fact in memkit.facts(recording) if fact.label == "stacks"]


REASON = "the frames of this Python are not known"
SAID = [f"could only be read while Python ran: {REASON}"]
WHERE = (Stack(4242, "MainThread", (Frame("a.py", 1, "f"),)),)


def watched(recording):
    """What is said of processes that a limit did not watch."""
    return [(fact.text, fact.emphasis) for fact in memkit.facts(recording) if fact.label == "watched"]


def test_processes_that_a_limit_did_not_watch_are_told_with_what_would(made_up, tree):
    limit = {"set_limit": 100 * MIB, "set_limit_scope": "process"}
    remedy = "with --meter cgroup the limit is one of all processes of the control group"

    def said(others):
        return f"only the first process, for the limit of 100.0 MiB, and not {others} that it started: {remedy}"

    seen = Unrecorded(7, "gunicorn", 140 * MIB), Unrecorded(8, "gunicorn", 90 * MIB)
    alone = made_up((0, 10), (5, 20), **limit)
    assert watched(replace(alone, unrecorded=seen)) == [(said("2 others"), "warning")]
    assert watched(replace(alone, unrecorded=seen[1:])) == [(said("1 other"), None)]
    assert watched(replace(alone, waited_for=20 * MIB)) == [(said("those"), None)]
    assert watched(tree([(0, 10)], {7: ([(1, 120)],)}, [(1, 130, 130)], **limit)) == [(said("1 other"), "warning")]
    assert [fact.label for fact in memkit.facts(replace(alone, unrecorded=seen))][:4] == [
        "memkit",
        "took",
        "children",
        "watched",
    ]


def test_nothing_is_said_of_a_limit_that_watches_all_there_is(made_up):
    seen = (Unrecorded(7, "gunicorn", 140 * MIB),)
    assert watched(made_up((0, 10), set_limit=100 * MIB, set_limit_scope="process")) == []
    assert watched(replace(made_up((0, 10)), unrecorded=seen)) == []
    for scope in ("cgroup", "machine"):
        assert watched(replace(made_up((0, 10), set_limit=100 * MIB, set_limit_scope=scope), unrecorded=seen)) == []


def test_stacks_that_are_missing_at_a_limit_are_explained(made_up):
    crossing = Crossing(4_000_000, 20 * MIB, 19 * MIB, "rss", "report")
    recording = replace(made_up((0, 10), (5, 19), stacks_reason=REASON), crossings=(crossing,))
    assert stacks(recording) == SAID
    assert stacks(replace(recording, crossings=(crossing._replace(stacks=WHERE),))) == []
    assert stacks(replace(recording, about=recording.about._replace(stacks_reason=None))) == []
    assert stacks(replace(recording, crossings=())) == []


def test_stacks_that_are_missing_before_a_death_are_explained(made_up):
    recording = made_up((0, 10), (5, 19), ending=Ending("killed", signal=9), stacks_reason=REASON)
    assert stacks(recording) == SAID
    assert stacks(replace(recording, snapshot=StackSnapshot(4_000_000, WHERE))) == []


def test_a_group_that_others_fill_is_told_of_and_of_what(made_up):
    limit = Limit("cgroup /jobs", 100 * MIB, 40 * MIB, "cgroup")
    uses = (
        memkit.GroupUse(1 * MS, limit.name, 30 * MIB, 9 * MIB, 1, 2, 3),
        memkit.GroupUse(2 * MS, limit.name, 90 * MIB, 20 * MIB, 66 * MIB, 1 * MIB, None),
        memkit.GroupUse(3 * MS, limit.name, 20 * MIB),
    )
    recording = replace(made_up((0, 10), (5, 20)), limits=(limit,), group=uses)
    [line] = [fact.text for fact in memkit.facts(recording) if fact.label == "group"]
    assert line == (
        "90.0 MiB of cgroup /jobs in use at the most, as seen at 2.00 ms: 20.0 MiB anonymous, "
        "66.0 MiB shared memory and tmpfs, 1.0 MiB other files in memory"
    )
    own = replace(made_up((0, 10), (5, 85)), limits=(limit,), group=uses)
    assert not [fact for fact in memkit.facts(own) if fact.label == "group"]
    assert not [fact for fact in memkit.facts(replace(recording, limits=())) if fact.label == "group"]


def test_what_was_left_says_which_files_do_not_count(made_up):
    limit = Limit("cgroup /jobs", 100 * MIB, 40 * MIB, "cgroup")
    recording = replace(made_up((0, 10), (5, 60)), limits=(limit,), mapped=((0, 0), (5 * MS, 45 * MIB)))
    [line] = [fact.text for fact in memkit.facts(recording) if fact.label == "limit"]
    assert line.endswith(
        "55.0 MiB were still free at the peak (counting this program only, without 45.0 MiB of files that it mapped)"
    )


def test_what_a_program_became_is_said_up_to_a_few(made_up):
    became = [(number * 1_000_000, f"program {number}") for number in range(1, 6)]
    recording = replace(made_up((0, 10), (9, 10)), executed=tuple(became))
    found = memkit.facts(recording)
    place = next(place for place, fact in enumerate(found) if fact.label == "became")
    assert [fact.text for fact in found[place : place + 4]] == [
        *(f"program {number} after {number}.00 ms, by exec" for number in (1, 2, 3)),
        "and 2 more programs after that",
    ]
    assert not any(fact.label == "became" for fact in memkit.facts(replace(recording, executed=())))
