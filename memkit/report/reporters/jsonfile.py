"""``--json``: a whole recording as one document. Times are nanoseconds since its beginning, sizes bytes, unknowns null."""

import json

import memkit

FORMAT = 1


@memkit.hookimpl
def memkit_add_options(parser):
    parser.add_argument(
        "--json", metavar="FILE", type=memkit.output_path, help="write the whole recording as JSON; - is standard output"
    ).one_recording = True


@memkit.hookimpl
def memkit_report(recording, options):
    if not options.json:
        return
    with memkit.output(options.json) as file:
        for piece in document(recording):
            file.write(piece)


def document(recording):
    """The document, piece by piece: the samples and calls of a long run are never text all at once."""
    head = {
        "format": FORMAT,
        "about": recording.about._asdict(),
        "ending": _ending(recording.ending),
        "cost": recording.cost._asdict(),
        "unread": recording.unread,
        "duration": recording.duration,
        "start": recording.start,
        "end": recording.end,
        "growth": recording.growth,
        "peak": recording.peak,
        "peak_is_exact": recording.peak_is_exact,
        "processes": [{**process._asdict(), "ending": _ending(process.ending)} for process in recording.processes],
        "lines": [{**line._asdict(), "function": line.function._asdict()} for line in recording.lines],
        "tracing": recording.tracing and {**recording.tracing._asdict(), "cost": recording.tracing.cost},
        "call_tracing": recording.call_tracing and {**recording.call_tracing._asdict(), "cost": recording.call_tracing.cost},
        "limits": [
            {**limit._asdict(), "left": limit.left, "level": recording.level(limit), "left_at_peak": recording.left(limit)}
            for limit in recording.limits
        ],
        "crossings": [_crossing(recording, crossing) for crossing in recording.crossings],
        "oom_kills": recording.oom_kills and str(recording.oom_kills),
        "oom_kills_evidence": _evidence(recording.oom_kills),
        "glance": recording.snapshot and {"time": recording.snapshot.time, "stacks": _stacks(recording.snapshot.stacks)},
        "summed": recording.summed,
        "summed_reason": recording.summed_reason,
        "seen": recording.seen,
        "seen_reason": recording.seen_reason,
        "total_peak": recording.highest_total and recording.highest_total.memory,
        "spans": [{**span._asdict(), "growth": span.growth} for span in recording.spans],
    }
    yield json.dumps(head, indent=1)[:-2]
    yield from _array("calls", ({**call._asdict(), "function": call.function._asdict()} for call in recording.calls))
    yield from _array("totals", (total._asdict() for total in recording.totals))
    yield from _array("samples", (sample._asdict() for sample in recording.samples))
    yield from _array("others", (sample._asdict() for sample in recording.others))
    yield "\n}\n"


def _crossing(recording, crossing):
    return {**crossing._asdict(), "share": recording.share(crossing), "stacks": _stacks(crossing.stacks)}


def _stacks(stacks):
    return [{**stack._asdict(), "frames": [frame._asdict() for frame in stack.frames]} for stack in stacks]


def _array(key, objects):
    """A key of the document, with an array that has an object on each line."""
    yield f',\n "{key}": ['
    for number, each in enumerate(objects):
        yield (",\n  " if number else "\n  ") + json.dumps(each)
    yield "\n ]"


def _ending(ending):
    evidence = ending.out_of_memory
    return {
        **ending._asdict(),
        "out_of_memory": evidence and str(evidence),
        "evidence": _evidence(evidence),
        "limit": _set_limit(ending.limit),
        "text": str(ending),
    }


def _evidence(evidence):
    limits = evidence and [limit._asdict() for limit in evidence.limits]
    return evidence and {**evidence._asdict(), "limits": limits, "set": _set_limit(evidence.set)}


def _set_limit(limit):
    return limit and {**limit._asdict(), "limit": limit.limit and limit.limit._asdict()}
