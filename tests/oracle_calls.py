"""What a call tracer must find, found by other means: a program of its own, so that each engine has a process to itself.

::

    python tests/oracle_calls.py settrace|monitoring|memkit FOLDER

runs every program in the folder, as ``oracle.py`` does, and prints as JSON, for each:

* ``paths``, how often each path of calls was entered, by a tracer in Python that looks at the stack of frames, or by memkit;
* ``booked``, the bytes that ``keep`` and ``drop`` took and gave back, by path, known without any tracing;
* ``rise`` and ``rises``, the most by which one call of a path rose above what its thread had when it began or was resumed,
  and the sum of these over all calls: by the profile function in Python from what is booked, or by memkit;
* of memkit only, ``growth``: what each path did to memory itself, and ``whole``: what all of it did, as the samples say.
"""

import dis
import gc
import json
import sys
import threading
from collections import Counter, defaultdict
from pathlib import Path

import oracle

booked = defaultdict(int)  # no Counter: its __missing__ is a call in Python, made or not by which idents threads get
levels = defaultdict(int)
"""What each thread has taken and not given back."""
stacks = defaultdict(list)
"""The calls that run in each thread, under settrace: frame, path, level at the beginning, highest level since."""
_resumes = {}


def place(code):
    """A code object's name, first line, and the end of its file's name."""
    return code.co_qualname, code.co_firstlineno, code.co_filename.rpartition("/")[2]


def path_of(frame):
    """The codes from the beginning of the program, or of its thread, to a frame."""
    path = []
    while frame is not None:
        path.append(place(frame.f_code))
        frame = frame.f_back
    return cut(path[::-1])


def cut(path):
    """A path without what calls the program: this file and its like, and the beginnings of a thread."""
    for number, (name, _, file) in enumerate(path):
        if (name, file) == ("run", "oracle.py"):
            return tuple(path[number + 1 :])
    while path and path[0][2] == "threading.py":
        path = path[1:]
    return tuple(path)


def book(size):
    booked[path_of(sys._getframe(1))] += size
    thread = threading.get_ident()
    levels[thread] += size
    for call in stacks[thread][:-1]:
        call[3] = max(call[3], levels[thread])
    if stacks[thread]:  # this function itself: it began after the memory was taken
        stacks[thread][-1][2:] = [levels[thread]] * 2


def begins(frame):
    """Whether a frame is at its start, and not at a resumption."""
    code = frame.f_code
    if code not in _resumes:
        _resumes[code] = next((each.offset for each in dis.get_instructions(code) if each.opname == "RESUME"), 0)
    return frame.f_lasti == _resumes[code]


# -- three ways to run a program -------------------------------------------------------------------------------------


def under_settrace(file):
    paths, rise, rises = Counter(), Counter(), Counter()

    def on_event(frame, event, _):
        thread = threading.get_ident()
        if event == "call":
            path, level = path_of(frame), levels[thread]
            paths[path] += begins(frame)
            stacks[thread].append([frame, path, level, level])
        elif event == "return" and stacks[thread] and stacks[thread][-1][0] is frame:
            _, path, entry, highest = stacks[thread].pop()
            rise[path] = max(rise[path], highest - entry)
            rises[path] += highest - entry

    stacks.clear()
    threading.setprofile(on_event)
    sys.setprofile(on_event)
    try:
        oracle.run(file)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return {"paths": paths, "rise": rise, "rises": rises}


def under_monitoring(file):
    paths, monitoring, tool = Counter(), sys.monitoring, sys.monitoring.PROFILER_ID

    def on_start(code, _):
        paths[path_of(sys._getframe(1))] += 1

    # All that memkit wishes for: what is told of depends on it, in 3.13.0.
    events = monitoring.events
    others = ("PY_RESUME", "PY_THROW", "PY_RETURN", "PY_YIELD", "PY_UNWIND")
    monitoring.use_tool_id(tool, "oracle")
    monitoring.register_callback(tool, events.PY_START, on_start)
    for name in others:
        monitoring.register_callback(tool, getattr(events, name), lambda *_: None)
    monitoring.set_events(tool, events.PY_START | sum(getattr(events, name) for name in others))
    try:
        oracle.run(file)
    finally:
        monitoring.set_events(tool, 0)
        for name in ("PY_START", *others):
            monitoring.register_callback(tool, getattr(events, name), None)
        monitoring.free_tool_id(tool)
    return {"paths": paths}


def under_memkit(file):
    import memkit
    from memkit.model.calls import those_that_hand_over

    with memkit.record(calls=True) as run:
        oracle.run(file)
    recording = run.recording.by_thread()
    paths, growth, rise, rises, whole = Counter(), Counter(), Counter(), Counter(), {}
    handing = those_that_hand_over(run.recording.calls)
    gave = Counter()
    for call in recording.calls:
        function = call.function
        mine = (function.name, function.line, function.file.rpartition("/")[2])
        whole[call.id] = [*whole[call.parent], mine] if call.parent is not None else []
        paths[cut(whole[call.id])] += call.calls
        growth[cut(whole[call.id])] += call.own_growth
        rise[cut(whole[call.id])] = max(rise[cut(whole[call.id])], call.rise)
        rises[cut(whole[call.id])] += call.rises
        gave[cut(whole[call.id])] += call.id in handing
    sums = sum(call.own_growth for call in recording.calls), recording.growth
    found = {"paths": paths, "growth": growth, "rise": rise, "rises": rises, "gave": gave}
    return {**found, "whole": sums, "tracer": recording.call_tracing.tracer}


def main(way, folder):
    under = {"settrace": under_settrace, "monitoring": under_monitoring, "memkit": under_memkit}[way]
    sys.setswitchinterval(oracle.SWITCH)
    oracle._write_down = book
    found = {}
    if way == "memkit":
        import memkit

        with memkit.record(calls=True):  # Python 3.15 takes 0.2 MiB for its first profile function
            pass
    gc.disable()  # what is still alive, and is looked through by asyncio, is then the same each time
    for file in sorted(Path(folder).glob("*.py")):
        oracle.run(file)
        gc.collect()
        booked.clear()
        result = under(file)
        result["booked"] = booked
        for name in ("paths", "booked", "growth", "rise", "rises", "gave"):
            result[name] = sorted([path, number] for path, number in result.get(name, {}).items() if path and number)
        found[file.stem] = result
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    from oracle_calls import main  # the module, not this program: it is what book() counts in

    main(*sys.argv[1:])
