"""What recording a Dask cluster adds to a run of tasks of some ms: ``bench_dask.py 12 400 5`` is rounds, tasks and ms.

Target: at most 2 % of the run. A cluster runs the same tasks, plain and recorded by turns. CPU time is that of the workers,
and of the scheduler, while tasks run; the least of all rounds counts, since other programs only add. Needs memkit-dask.
"""

import statistics
import sys
import time

import paired

TARGET, WORKERS = 2, 2


def task(number: int, loops: int) -> int:
    """Some milliseconds of work, always the same."""
    for each in range(loops):
        number ^= each
    return number


def main() -> None:
    """Print what recording adds to the run."""
    import memkit_dask
    from distributed import Client, LocalCluster

    rounds, tasks, milliseconds = (int(word) for word in (sys.argv[1:] or ("8", "300", "5")))
    loops = calibrated(milliseconds / 1000)
    paired.header(f"{tasks} tasks of {milliseconds} ms on {WORKERS} workers of Dask, {rounds} rounds")
    with (
        LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):

        def measured() -> dict[str, float]:
            before, began = cpu_of(client), time.monotonic()
            client.gather(client.map(task, range(tasks), loops=loops, pure=False, batch_size=tasks))
            took, after = time.monotonic() - began, cpu_of(client)
            return {"wall": took} | {where: after[where] - before[where] for where in after}

        def recorded() -> dict[str, float]:
            began = time.monotonic()
            with memkit_dask.record(client):
                found = measured()
            return found | {"around": time.monotonic() - began - found["wall"]}

        measured(), recorded()
        found = paired.by_turns(rounds, plain=measured, recorded=recorded)
    least = {
        name: {what: min(each[name][what] for each in found) for what in ("workers", "scheduler", "wall")}
        for name in ("plain", "recorded")
    }
    added = {what: least["recorded"][what] - plain for what, plain in least["plain"].items()}
    rows = [
        (what, f"{plain:.3f} s", f"{added[what] / tasks * 1e6:+.0f} us", f"{100 * added[what] / plain:+.2f} %")
        for what, plain in least["plain"].items()
    ]
    paired.table(("the least of all rounds", "plain", "added a task", "of it"), rows)
    around = statistics.median(each["recorded"]["around"] for each in found)
    print(f"\nto begin and end a recording: {around * 1e3:.0f} ms a run")
    print("CPU time of workers,", paired.verdict(100 * added["workers"] / least["plain"]["workers"], TARGET, " %"))


def calibrated(seconds: float) -> int:
    """How many loops take so long, by CPU time."""
    best = min(timed(20_000) for _ in range(20))
    return round(20_000 * seconds / best)


def timed(loops: int) -> float:
    began = time.thread_time()
    task(1, loops)
    return time.thread_time() - began


def cpu_of(client) -> dict[str, float]:
    """CPU time so far: of all workers together, and of the process in which the scheduler and the client are."""
    return {"workers": sum(client.run(time.process_time).values()), "scheduler": time.process_time()}


if __name__ == "__main__":
    main()
