"""What ``record`` takes and refuses, tasks that run at once, and clients that do not wait."""

import asyncio
import logging
import threading
from types import SimpleNamespace

import distributed
import memkit_dask
import pytest
from memkit_dask.files import check_name, host_and_pid
from memkit_dask.sending import measured_clock

import memkit

MIB = 1 << 20
MET = threading.Barrier(4)
CLIENT = SimpleNamespace(register_plugin=None, status="closed", asynchronous=False)


def meets(size):
    """Allocate so much while three others do the same."""
    memory = bytearray(size)
    MET.wait(60)
    return len(memory)


async def waits(size):
    memory = bytearray(size)
    await asyncio.sleep(0)
    return len(memory)


@pytest.mark.parametrize(
    ("given", "options", "said"),
    [
        ("tcp://127.0.0.1:8786", {}, "a client of Dask, not 'tcp://127.0.0.1:8786'"),
        (CLIENT, {"path": "x.memkit"}, "no path='x.memkit'"),
        (CLIENT, {"follow": True}, "no follow=True"),
        (CLIENT, {"shared": True}, "the folder that all machines reach"),
        (CLIENT, {"interval": "fast"}, "'fast'"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(given, options, said):
    with pytest.raises(memkit.UsageError, match=said):
        memkit_dask.record(given, **options)


def test_a_client_that_is_not_connected_is_refused():
    with pytest.raises(memkit.UsageError, match="the client is closed"), memkit_dask.record(CLIENT):
        pass


@pytest.mark.parametrize("name", ["../x.memkit", "/etc/passwd", "x.py", ""])
def test_the_scheduler_keeps_no_file_of_another_name(name):
    with pytest.raises(ValueError):
        check_name(name)


def test_a_file_says_whose_it_is_though_machines_have_dashes():
    assert host_and_pid("0123456789ab-node-7-a-4242-89abcdef") == ("node-7-a", 4242)


def test_of_five_answers_the_fastest_tells_the_clock(monkeypatch):
    times = iter([0, 900, 1000, 1100, 2000, 2500, 3000, 3600, 4000, 4800])
    monkeypatch.setattr("memkit_dask.sending.time", SimpleNamespace(time_ns=lambda: next(times)))
    answers = iter([10_450, 11_050, 12_000, 13_000, 14_000])

    class Scheduler:
        async def memkit_dask_clock(self):
            return next(answers)

    assert asyncio.run(measured_clock(Scheduler())) == (10_000, 51)  # the second: 1050 here was 11050 there


def test_tasks_that_run_at_once_are_told_apart_by_their_heap():
    async def story():
        options = {"processes": False, "n_workers": 1, "threads_per_worker": 4, "dashboard_address": None}
        async with distributed.Client(asynchronous=True, **options) as client:
            with pytest.raises(memkit.UsageError, match="async with"), memkit_dask.record(client):
                pass
            async with memkit_dask.record(client, heap="spans") as run:
                sizes = {f"size{number}-1": number * MIB for number in (1, 2, 3, 4)}
                futures = [client.submit(meets, size, key=key) for key, size in sizes.items()]
                assert await client.gather(futures) == list(sizes.values())
                assert await client.submit(waits, 5 * MIB, key="size5-1") == 5 * MIB
        return run

    logging.getLogger("distributed").setLevel(logging.ERROR)
    run = asyncio.run(story())
    found = {prefix.name: prefix for prefix in run.prefixes}
    for number in (1, 2, 3, 4, 5):
        assert found[f"size{number}"].heap_peak == pytest.approx(number * MIB, rel=0.02)
        assert found[f"size{number}"].overlapped == (number < 5)
    assert len(run.recording.processes) == 1
    assert "peak by heap" in str(run)
