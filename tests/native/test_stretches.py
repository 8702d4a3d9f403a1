"""A thread that is on its way through a hook as a stretch ends adds nothing to the next one. The books are built alone."""

import shutil
import subprocess
from pathlib import Path

import pytest

from memkit.system import engine

HEAP = Path(__file__).parents[2] / "memkit" / "native" / "heap"

pytestmark = [
    pytest.mark.skipif(engine.NAME != "native", reason="allocators are counted by the native engine"),
    pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler"),
    pytest.mark.skipif(not HEAP.joinpath("counting.c").exists(), reason="no source"),
]

LATE = """
#include "counting.c"
#include <stdio.h>
#include <stdlib.h>

static void *plainly(void *ctx, size_t size) { (void)ctx; return malloc(size); }
static const memkit_allocator_t before = {NULL, plainly, NULL, NULL, NULL};

static void *late(void *unused)
{
    (void)unused;
    return unlocked_stretches_malloc((void *)&before, 1000);
}

static void tell(memkit_stretch_t sums)
{
    sums.allocated = MEMKIT_STRETCH_BYTES(sums.allocated), sums.alive = MEMKIT_STRETCH_BYTES(sums.alive);
    printf("%d %d %d\\n", (int)sums.allocated, (int)sums.alive, (int)MEMKIT_STRETCH_BYTES(sums.peak));
}

int main(void)
{
    enum { HELD = 2 };
    pthread_t thread;
    int waits = 0;
    memkit_heap_open(MEMKIT_STRETCHES);
    memkit_heap_begin();
    for (int i = 0; i < TABLES; i++)
        tables[i].lock = HELD;
    pthread_create(&thread, NULL, late, NULL);
    while (!waits) {            /* who waits for a lock writes 1 */
        for (int i = 0; i < TABLES; i++)
            waits |= tables[i].lock == 1;
        sched_yield();
    }
    memkit_heap_begin();
    for (int i = 0; i < TABLES; i++)
        unlock(&tables[i].lock);
    pthread_join(thread, NULL);
    tell(memkit_heap.stretch[1]);
    free(late(NULL));
    tell(memkit_heap.stretch[1]);
    return 0;
}
"""


def test_a_block_that_is_late_counts_for_no_stretch(tmp_path):
    program = str(tmp_path / "late")
    words = ["cc", "-w", "-pthread", "-xc", "-", f"-I{HEAP}", "-o", program, "-lm", "-ldl"]
    subprocess.run(words, input=LATE, text=True, check=True)
    done = subprocess.run([program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines() == ["0 0 0", "1000 1000 1000"]
