"""What Dask's workers are told to load by ``memkit-run --dask``; memkit-dask has the tests of the rest."""

import ast

import pytest

from memkit.base.errors import UsageError
from memkit.integrations import dask


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", ["memkit_dask.preload"]),
        ("mine", ["mine", "memkit_dask.preload"]),
        ("a/path.py", ["a/path.py", "memkit_dask.preload"]),
        ("['one', 'two']", ["one", "two", "memkit_dask.preload"]),
        ("'one'", ["one", "memkit_dask.preload"]),
    ],
)
def test_what_workers_load_already_is_loaded_before(given, expected):
    found = dask.preloading({"HOME": "/", dask.PRELOAD: given})
    assert ast.literal_eval(found[dask.PRELOAD]) == expected
    assert found["HOME"] == "/"


def test_without_memkit_dask_it_is_refused(monkeypatch):
    monkeypatch.setattr(dask, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="--dask needs memkit-dask"):
        dask.check()
