"""Which of many equal processes this one is: launchers of MPI, Slurm and PyTorch tell each its rank in its environment."""

from __future__ import annotations

import os

_RANKS = (  # the variable of a rank and that of how many there are, the nearest to the program first
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),  # Open MPI
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),  # MVAPICH
    ("PMI_RANK", "PMI_SIZE"),  # MPICH, Intel MPI
    ("RANK", "WORLD_SIZE"),  # torchrun
    ("JSM_NAMESPACE_RANK", "JSM_NAMESPACE_SIZE"),  # IBM's jsrun
    ("FLUX_TASK_RANK", "FLUX_JOB_SIZE"),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),  # srun; in a batch script there is no number of tasks of a step
)


def name() -> str | None:
    """``rank 3``; None where this process is not one of several.

    What a rank starts has its environment, and is called like it.
    """
    for rank, size in _RANKS:
        number, count = os.environ.get(rank, ""), os.environ.get(size, "")
        if number.isdecimal() and count.isdecimal() and int(count) > 1:
            return f"rank {int(number)}"
    return None
