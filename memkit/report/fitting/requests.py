"""What to ask a cluster for: requests and limits for Kubernetes, and a line for Slurm."""

from __future__ import annotations

from memkit.base.units import show_bytes
from memkit.report.fitting.fit import Fit
from memkit.report.fitting.runs import spread
from memkit.report.fitting.shapes import size_words

_MIB = 1 << 20


def yaml(fit: Fit, size: float) -> str:
    """The ``resources`` of a container: the request is the peak, the limit the upper end of the interval."""
    prediction = fit.at(size)
    lines = [
        *_said(fit, size),
        "resources:",
        "  requests:",
        f"    memory: {_mebibytes(prediction.peak)}Mi",
        "  limits:",
        f"    memory: {_mebibytes(prediction.high)}Mi",
    ]
    return "\n".join(lines) + "\n"


def slurm(fit: Fit, size: float) -> str:
    """The option of a batch script: the upper end of the interval, since a job is killed above it."""
    return "\n".join([*_said(fit, size), f"#SBATCH --mem={_mebibytes(fit.at(size).high)}M"]) + "\n"


def _said(fit: Fit, size: float) -> list[str]:
    prediction = fit.at(size)
    counted = [run for run in fit.runs if run.finished]
    ends = f"95 % between {show_bytes(prediction.low)} and {show_bytes(prediction.high)}"
    apart = spread(counted)
    runs = f"{len(counted)} runs" + (f"; those of the same size differ by up to {show_bytes(apart)}" if apart else "")
    return [
        f"# memkit fit: peak {show_bytes(prediction.peak)} at size {size_words(size)}, {ends}",
        f"# from {runs}; files that the kernel can drop from its cache are not counted",
    ]


def _mebibytes(size: int) -> int:
    return -(-size // _MIB)
