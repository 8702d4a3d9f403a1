"""The memory profiler of PySpark's UDFs, which imports memory_profiler in its Python workers, on a real local Spark."""

import os
import re
import shutil
import subprocess
import sys

import pytest

pytest.importorskip("pyspark", reason="NOT TESTED with PySpark: pip install pyspark pandas pyarrow")
pytest.importorskip("pandas", reason="NOT TESTED with PySpark: pip install pandas")
pytest.importorskip("pyarrow", reason="NOT TESTED with PySpark: pip install pyarrow")
if shutil.which("java") is None:
    pytest.skip("NOT TESTED with PySpark: there is no Java", allow_module_level=True)

PROGRAM = """\
import sys
from collections.abc import Iterator
import pandas
from pyspark.sql import SparkSession
from pyspark.sql.functions import pandas_udf, udf
settings = {"spark.ui.enabled": "false", "spark.python.use.daemon": sys.argv[1], "spark.driver.bindAddress": "127.0.0.1"}
spark = SparkSession.builder.master("local[1]").config(map=settings).getOrCreate()
spark.conf.set("spark.sql.pyspark.udf.profiler", "memory")
@udf("long")
def scalar(number):
    table = bytearray(b"x") * (40 << 20)
    return len(table) + number
@pandas_udf("long")
def vector(column: pandas.Series) -> pandas.Series:
    kept = bytearray(b"x") * (30 << 20)
    return column + len(kept)
@pandas_udf("long")
def iterated(columns: Iterator[pandas.Series]) -> Iterator[pandas.Series]:
    kept = bytearray(b"x") * (20 << 20)
    for column in columns:
        yield column + len(kept)
one = spark.range(0, 1, 1, 1)
for function in (scalar, vector, iterated):
    one.select(function("id")).collect()
spark.profile.show(type="memory")
spark.stop()
"""


@pytest.mark.parametrize("daemon", ["true", "false"])
def test_a_udf_s_lines_are_in_spark_s_own_report(tmp_path, daemon):
    program = tmp_path / "udf.py"
    program.write_text(PROGRAM)
    environment = {**os.environ, "PYSPARK_PYTHON": sys.executable, "PYSPARK_DRIVER_PYTHON": sys.executable}
    words = [sys.executable, str(program), daemon]
    done = subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    row = r"^ *\d+ +([\d.]+) MiB +(-?[\d.]+) MiB +(\d+) +(table|kept) = bytearray.*\((\d+) << 20\)$"
    rows = re.findall(row, done.stdout, re.MULTILINE)
    assert [(int(times), int(mib)) for _, _, times, _, mib in rows] == [(1, 40), (1, 30), (1, 20)], done.stdout
    assert all(float(grown) == pytest.approx(int(mib), abs=1) for _, grown, _, _, mib in rows), done.stdout
