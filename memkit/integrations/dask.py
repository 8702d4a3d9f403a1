"""Tasks of Dask as spans: its workers are told to load ``memkit_dask.preload``, of the distribution memkit-dask."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from importlib.util import find_spec

from memkit.base.errors import UsageError

PRELOAD, MODULE = "DASK_DISTRIBUTED__WORKER__PRELOAD", "memkit_dask.preload"


def check() -> None:
    """Raise ``UsageError`` where memkit-dask is not installed."""
    if find_spec(MODULE.partition(".")[0]) is None:
        raise UsageError(
            "--dask needs memkit-dask, which is not installed here; it is in plugins/memkit-dask of memkit's repository"
        )


def preloading(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which Dask's workers load the module, after what they are told to load already."""
    given = environment.get(PRELOAD, "")
    try:
        before = ast.literal_eval(given) if given else []
    except (ValueError, SyntaxError):  # a name alone
        before = given
    return {**environment, PRELOAD: repr([*([before] if isinstance(before, str) else before), MODULE])}
