"""The facts that a report begins and ends with, as data; how they read is tested with the console summary."""

import re
from dataclasses import replace

import memkit
from memkit.ipython.html import html
from memkit.model.ending import Ending
from memkit.model.limit_events import Crossing
from memkit.report.reporters.console import summary
from memkit.system.limit import Limit

MIB = 1 << 20


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
