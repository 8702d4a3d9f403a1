"""What the tracers of calls and of lines do when one greenlet switches to another.

All that is open in a greenlet ends when it is suspended, and goes on when it is resumed, like a generator. So what happens
meanwhile is charged to nothing in it. It is not counted as another call or hit, and what it rises is measured over all that
it does, however often it is suspended.

One switch is like a call: that of a thread's main greenlet to a child of its own, which switches back before any other
greenlet runs. So SQLAlchemy's asyncio runs its queries. What is open in the main greenlet stays so meanwhile.
"""

from libc.stdint cimport int64_t, uint64_t

from memkit.native.tracing.calls cimport (
    call_t, calls_t, charge, grow_stack as grow_calls, node_t, pop, push, thread_level,
    thread_t as call_thread_t,
)
from memkit.native.tracing.gate cimport must_read, ticks
from memkit.native.tracing.greenlets cimport (
    TAKEN_OVER, TOO_MANY, aside_t, greenlets_t, put_aside, switch_t, take_aside,
)
from memkit.native.tracing.growing cimport stack_t
from memkit.native.tracing.lines cimport (
    activation_t, begin_activation, end_line, grow_stack as grow_lines, leave, lines_t, refresh_heap_line,
    thread_level as line_level, thread_t as line_thread_t, update_memory,
)
from memkit.native.tracing.thread_state cimport tracer_t


cdef aside_t *take_for(tracer_t *tracer, greenlets_t *greenlets, switch_t *switch) noexcept:
    """The stack of the greenlet that runs from now on; NULL: it uses that of the one before."""
    cdef aside_t *other
    if greenlets.current != NULL and greenlets.current != switch.origin:
        tracer.untold = TAKEN_OVER
    greenlets.current = switch.target
    other = take_aside(greenlets, switch.target)
    if other == NULL:
        tracer.untold = TOO_MANY
    return other


cdef bint comes_back(greenlets_t *greenlets, switch_t *switch) noexcept:
    """Whether a child of the main greenlet switches back to it, and no other has run since."""
    cdef aside_t *left = greenlets.left
    return left != NULL and left.greenlet == switch.target and greenlets.current == switch.origin


cdef void *exchange(stack_t **stacks, aside_t *other) noexcept:
    """Take the stack of another greenlet, and leave it the one that there is; returns its items, or NULL."""
    cdef stack_t *left = stacks[0]
    stacks[0] = <stack_t *>other.stack
    other.stack = left
    return stacks[0].at if stacks[0] != NULL else NULL


# -- calls -------------------------------------------------------------------------------------------------------------

cdef void exchange_calls(call_thread_t *t, aside_t *other) noexcept:
    t.stack = <call_t *>exchange(&t.stacks, other)


cdef bint exchange_calls_with_room(call_thread_t *t, aside_t *other) noexcept:
    exchange_calls(t, other)
    if t.stacks == NULL and not grow_calls(t):
        exchange_calls(t, other)
        return False
    return True


cdef void begin_stack(calls_t *calls, call_thread_t *t, node_t *node) noexcept:
    t.stack[0].node, t.stack[0].code = node, NULL
    t.stack[0].entry = t.stack[0].highest = thread_level(t)


cdef void suspend_calls(calls_t *calls, call_thread_t *t) noexcept:
    while t.depth > 1:
        pop(calls, t)
    t.returned = NULL           # nothing has returned: no locals are freed


cdef void take_work_in(call_thread_t *t, int depth, int64_t level) noexcept:
    """Undo what suspending at a level left out of the rises of callers, since work that goes on is left out when it ends."""
    cdef int64_t growth, left_out = 0
    cdef int place
    for place in range(depth - 1, -1, -1):
        growth = level - t.stack[place].entry if place and t.stack[place].node.is_work else 0
        t.stack[place].entry -= left_out
        t.stack[place].highest -= left_out
        left_out += growth


cdef void resume_calls(calls_t *calls, call_thread_t *t, int depth, int64_t level) noexcept:
    """Go on with calls that were suspended at a level. Their rises count once, with what comes now."""
    cdef int64_t missed = thread_level(t) - level
    cdef int place
    cdef call_t call
    take_work_in(t, depth, level)
    t.depth = 1
    t.top = t.stack[0].node
    for place in range(1, depth):
        call = t.stack[place]
        push(calls, t, call.node, call.code)
        t.stack[place].entry, t.stack[place].highest = call.entry + missed, call.highest + missed
        call.node.rises -= max(call.highest - call.entry, <int64_t>0)


cdef void end_left_calls(calls_t *calls, call_thread_t *t) noexcept:
    """End what is open in the main greenlet, as its child has not switched back to it. Nothing is open in this one."""
    cdef aside_t *left = t.greenlets.left
    exchange_calls(t, left)
    t.depth = left.depth
    suspend_calls(calls, t)
    exchange_calls(t, left)
    left.level, t.greenlets.left = thread_level(t), NULL


cdef void continue_calls(call_thread_t *t, int depth, int64_t highest) noexcept:
    """Go on with what stayed open while a child ran, which reached so high a level."""
    t.depth = depth
    t.top = t.stack[depth - 1].node
    t.stack[depth - 1].highest = max(t.stack[depth - 1].highest, highest)


cdef void switch_calls(calls_t *calls, call_thread_t *t, switch_t *switch) noexcept:
    cdef greenlets_t *greenlets = &t.greenlets
    cdef bint back = comes_back(greenlets, switch)
    cdef node_t *caller
    cdef call_t *root
    cdef int64_t level
    cdef int resumed, depth = t.depth
    charge(calls, t, ticks())
    caller = t.top if switch.child else t.root
    if not switch.child:
        suspend_calls(calls, t)
    if greenlets.left != NULL and not back:
        end_left_calls(calls, t)
    cdef aside_t *other = take_for(&calls.tracer, greenlets, switch)
    if other == NULL or not exchange_calls_with_room(t, other):
        if not switch.child:
            resume_calls(calls, t, depth, thread_level(t))
        if other != NULL:
            put_aside(greenlets, other, NULL)
        return
    resumed, level, root = other.depth, other.level, <call_t *>(<stack_t *>other.stack).at
    other.depth, other.level = depth, thread_level(t)
    greenlets.highest = max(greenlets.highest, root.highest)
    if back:
        continue_calls(t, resumed, root.highest)
    else:
        if not resumed:
            begin_stack(calls, t, caller)
        resume_calls(calls, t, max(resumed, 1), level)
    if switch.main:
        t.stack[0].highest = max(t.stack[0].highest, greenlets.highest)
    put_aside(greenlets, other, NULL if is_empty(other, t, switch) else switch.origin)
    greenlets.left = other if switch.child else NULL


cdef bint is_empty(aside_t *aside, call_thread_t *t, switch_t *switch) noexcept:
    """Whether nothing will go on in what is put aside."""
    return switch.ended or (aside.depth == 1 and (<call_t *>(<stack_t *>aside.stack).at).node == t.root and not switch.child)


# -- lines -------------------------------------------------------------------------------------------------------------

cdef void exchange_lines(line_thread_t *t, aside_t *other) noexcept:
    t.stack = <activation_t *>exchange(&t.stacks, other)


cdef bint exchange_lines_with_room(line_thread_t *t, aside_t *other) noexcept:
    exchange_lines(t, other)
    if t.stack == NULL and not grow_lines(t):
        exchange_lines(t, other)
        return False
    return True


cdef void suspend_lines(lines_t *lines, line_thread_t *t, uint64_t time) noexcept:
    while t.depth:
        time = end_line(lines, t, &t.stack[t.depth - 1], time)
        leave(t, time)


cdef void resume_lines(lines_t *lines, line_thread_t *t, int depth, int64_t level, uint64_t time) noexcept:
    """Go on with lines that were suspended at a level. Their rises count once, with what comes now."""
    cdef int64_t missed
    cdef activation_t before
    cdef activation_t *a
    if depth and must_read(&t.state.gate, time):
        update_memory(lines, t)
        time = t.state.gate.checked_at
    missed = line_level(t) - level
    while t.depth < depth:
        a = &t.stack[t.depth]
        before = a[0]
        begin_activation(t, a.table, a.code, a.frame, a.row, time)
        a.level, a.reached = before.level + missed, before.reached + missed
        a.reached_inside, a.reached_in_all = before.reached_inside + missed, before.reached_in_all + missed
        a.quiet = False
        a.table.lines[max(a.row, 0)].rises -= max(before.reached - before.level, <int64_t>0)


cdef void hide_lines(line_thread_t *t) noexcept:
    """Leave open what is on the stack, which another one takes the place of."""
    cdef activation_t *a
    while t.depth:
        t.depth -= 1
        a = &t.stack[t.depth]
        a.table.top = a.table.lead.inner = -1
    refresh_heap_line(t)


cdef void show_lines(line_thread_t *t, int depth) noexcept:
    cdef activation_t *a
    while t.depth < depth:
        a = &t.stack[t.depth]
        a.table.top = a.table.lead.inner = t.depth
        t.depth += 1
    refresh_heap_line(t)


cdef void end_left_lines(lines_t *lines, line_thread_t *t) noexcept:
    """End what is open in the main greenlet, as its child has not switched back to it. Nothing is open in this one."""
    cdef aside_t *left = t.greenlets.left
    exchange_lines(t, left)
    show_lines(t, left.depth)
    suspend_lines(lines, t, ticks())
    exchange_lines(t, left)
    left.level, t.greenlets.left = line_level(t), NULL


cdef void continue_lines(line_thread_t *t, int depth, activation_t *inside) noexcept:
    """Go on with what stayed open while a child ran; ``inside`` is the first activation of the child, or NULL."""
    cdef activation_t *a
    show_lines(t, depth)
    if inside != NULL:
        a = &t.stack[depth - 1]
        a.peak = max(a.peak, inside.highest)
        a.reached = max(a.reached, inside.reached_in_all)
        a.reached_inside = max(a.reached_inside, inside.reached_in_all)
        a.quiet = False


cdef void switch_lines(lines_t *lines, line_thread_t *t, switch_t *switch) noexcept:
    cdef greenlets_t *greenlets = &t.greenlets
    cdef bint back = comes_back(greenlets, switch)
    cdef int64_t level
    cdef int resumed, depth = t.depth
    if switch.child:
        hide_lines(t)
    else:
        suspend_lines(lines, t, ticks())
    if greenlets.left != NULL and not back:
        end_left_lines(lines, t)
    cdef aside_t *other = take_for(&lines.tracer, greenlets, switch)
    if other == NULL or not exchange_lines_with_room(t, other):
        if switch.child:
            show_lines(t, depth)
        else:
            resume_lines(lines, t, depth, line_level(t), ticks())
        if other != NULL:
            put_aside(greenlets, other, NULL)
        return
    resumed, level = other.depth, other.level
    other.depth, other.level = depth, line_level(t)
    if back:
        continue_lines(t, resumed, <activation_t *>(<stack_t *>other.stack).at if depth else NULL)
    else:
        resume_lines(lines, t, resumed, level, ticks())
    put_aside(greenlets, other, NULL if switch.ended or not depth else switch.origin)
    greenlets.left = other if switch.child and depth else NULL
